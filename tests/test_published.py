"""Published figures: what is carried, which row stands for which, how far the orders agree, and how it is shown."""

import csv
import itertools
from importlib.resources import files

import made_up_features as made
import numpy as np
import pytest
from made_up_features import Arm, answers, part
from markupsafe import Markup

from bench.errors import RequestError
from reports import _published, _rows, claims, published
from reports._agreement import agreement
from reports.criteria import FAIL, NOT_DECIDABLE, PASS, overall
from reports.statistics import Sample

LFW, RANK1 = "lfw/accuracy", "megaface/rank1"
# Wang et al. 2018, Table 2, in the paper's order: LFW, YTF, MF1 rank-1, MF1 verification.
TABLE_2 = {
    "Softmax": (97.88, 93.1, 54.85, 65.92),
    "Softmax+Contrastive": (98.78, 93.5, 65.21, 78.86),
    "Triplet": (98.70, 93.4, 64.79, 78.32),
    "L-Softmax": (99.10, 94.0, 67.12, 80.42),
    "Softmax+Center": (99.05, 94.4, 65.49, 80.14),
    "A-Softmax (SphereFace)": (99.42, 95.0, 72.72, 85.56),
    "A-Softmax-NormFea": (99.32, 95.4, 75.42, 88.82),
    "LMCL (CosFace)": (99.33, 96.1, 77.11, 89.88),
}
LOSSES = {
    "Softmax": ("softmax", {}),
    "Softmax+Contrastive": ("deepid2", {}),
    "Triplet": ("triplet", {}),
    "L-Softmax": ("lsoftmax", {}),
    "Softmax+Center": ("center", {"center_weight": 0.003}),
    "A-Softmax (SphereFace)": ("asoftmax", {}),
    "A-Softmax-NormFea": ("asoftmax", {"normalize_features": True}),
    "LMCL (CosFace)": ("lmcl", {"margin": 0.35}),
}


def table(levels=None, **more) -> dict[str, Arm]:
    """One arm a published row, with the published rank-1 as its level where no other is given."""
    levels = levels or {system: figures[2] / 100 for system, figures in TABLE_2.items()}
    facts = {"provenance": {"train_images": 4900, "train_identities": 200}}
    return {
        name: Arm(*LOSSES[name], figures={RANK1: level, LFW: 0.8 + level / 10}, **facts)
        for name, level in levels.items()
    } | more


def test_every_carried_figure_has_its_paper_and_source_and_a_number():
    lines = _published.figures()
    assert len(lines) == 258
    columns = {
        "paper",
        "system",
        "loss",
        "training_set",
        "backbone",
        "dataset",
        "protocol",
        "metric",
        "value",
        "source",
    }
    assert set(lines[0]) == columns
    assert all(line["paper"] and line["source"] and float(line["value"]) > 0 for line in lines)
    assert not any("recalled" in value or "unverified" in value for line in lines for value in line.values())


def test_table_2_is_the_printed_one():
    for system, printed in TABLE_2.items():
        found = _published.table_2(system)
        assert [found[key] for key in _published.COLUMNS.values()] == pytest.approx([one / 100 for one in printed])
    assert [entry.system for entry in _published.TABLE_2] == list(TABLE_2)


def test_the_file_is_part_of_the_package():
    assert files("reports").joinpath("_published.csv").is_file()
    assert len(list(csv.reader(files("reports").joinpath("_published.csv").read_text().splitlines()))) == 259


def test_rows_stand_for_published_ones_by_what_they_are_and_not_by_their_names(tmp_path):
    other = {
        "LMCL": Arm("lmcl", {"normalize_features": False}, figures={RANK1: 0.5}),
        "CosFace": Arm("lmcl+center", {}, figures={RANK1: 0.5}),
        "Softmax, l2": Arm("softmax", {}, figures={RANK1: 0.5}, trial={"scorer": "l2"}),
        "eyes": Arm("softmax", {}, figures={RANK1: 0.5}, trial={"patch": (0.0, 0.0, 0.5)}),
    }
    other["25 eyes"] = Arm("softmax", {}, figures={RANK1: 0.5}, trial={"patches": ((0.0, 0.0, 0.5),) * 25})
    study = made.make(tmp_path, table() | other)
    found, notes = _published.matches(_rows.rows(study, "tuned"))
    assert [(match.entry.system, match.row.label) for match in found] == [
        (name, name) for name in TABLE_2
    ] and not notes


def test_two_rows_that_could_stand_for_one_are_not_compared(tmp_path):
    study = made.make(tmp_path, table(more=Arm("center", {"center_weight": 0.1}, figures={RANK1: 0.6})))
    found, notes = _published.matches(_rows.in_order(study, "tuned"))
    assert len(found) == 7 and notes == [
        "Softmax+Center: 2 rows could stand for it (Softmax+Center, more), so none is compared."
    ]


def samples(means, *, spread=0.0, seeds=5, kind="folds", people=0.0) -> list[Sample]:
    draw = np.random.default_rng(0)
    made_up = []
    for place, mean in enumerate(means):
        values = mean + spread * draw.standard_normal(seeds)
        each = people * np.random.default_rng(9).standard_normal(20)
        made_up.append(Sample(str(place), RANK1, "h", kind, values, np.tile(mean + each, (seeds, 1))))
    return made_up


def literal_tau(a, b) -> float:
    pairs = list(itertools.combinations(range(len(a)), 2))
    agree = sum((a[i] - a[j]) * (b[i] - b[j]) > 0 for i, j in pairs)
    against = sum((a[i] - a[j]) * (b[i] - b[j]) < 0 for i, j in pairs)
    return (agree - against) / len(pairs)


def test_tau_is_the_literal_one():
    draw = np.random.default_rng(4)
    for _ in range(20):
        ours, theirs = draw.random(7), draw.random(7)
        found = agreement(samples(ours), theirs)
        assert found.tau == found.low == pytest.approx(literal_tau(ours, theirs))
    assert agreement(samples([0.1, 0.2, 0.2]), [1, 2, 3]).tau == pytest.approx(2 / 3)
    assert agreement(samples([0.1, 0.2, 0.3, 0.4, 0.5]), [1, 2, 3, 4, 5]).p == pytest.approx(2 / 120)


def test_a_settled_order_is_sure_of_its_tau_and_an_unsettled_one_is_not():
    apart, close = np.arange(8) / 10, np.arange(8) / 10_000
    assert agreement(samples(apart, spread=0.002), apart).low == 1
    unsettled = agreement(samples(close, spread=0.01), close)
    assert unsettled.low < 0.3 and unsettled.high == 1


def test_only_pairs_that_are_significantly_reversed_speak_against_an_agreement():
    apart = np.arange(8) / 10
    theirs = apart.copy()
    theirs[[0, 1]] = theirs[[1, 0]]
    settled = samples(apart, spread=0.002)
    assert agreement(settled, theirs).high == pytest.approx(1 - 2 / 28) == agreement(settled, theirs).tau
    assert agreement(settled, apart[::-1]).high == -1
    assert agreement(samples(apart / 1000, spread=0.01), apart[::-1]).high == 1


@pytest.mark.parametrize("kind", ["folds", "jackknife"])
def test_identities_that_are_hard_for_every_loss_alike_do_not_unsettle_the_order(kind):
    close = np.arange(6) / 1000
    assert agreement(samples(close, people=0.2, kind=kind), close).low == 1
    own = [
        replace_clusters(one, 0.2 * np.random.default_rng(n).standard_normal(20))
        for n, one in enumerate(samples(close))
    ]
    assert agreement(own, close).low < 0.6


def replace_clusters(sample: Sample, each: np.ndarray) -> Sample:
    return Sample(sample.name, sample.metric, sample.hash, sample.kind, sample.values, sample.clusters + each)


def test_the_order_criterion(tmp_path):
    found = answers(made.make(tmp_path / "a", table()), "order")
    assert overall(found) == PASS and len(found) == 3
    assert found[0].statistic.startswith("τ = 1.00 over 8 losses") and len(found[0].details) == 9

    mirrored = dict(zip(TABLE_2, sorted((figures[2] / 100 for figures in TABLE_2.values()), reverse=True), strict=True))
    found = answers(made.make(tmp_path / "b", table(mirrored)), "order")
    assert {one.verdict for one in found} == {FAIL} and "Holm p" in part(found, "LMCL").statistic

    level = dict.fromkeys(TABLE_2, 0.6)
    found = answers(made.make(tmp_path / "c", table(level), spread=0.01), "order")
    assert {one.verdict for one in found} == {NOT_DECIDABLE}
    assert "would have been found with 80 % power" in part(found, "Softmax+Center").statistic


def test_the_order_of_a_pilot_or_of_few_losses_is_not_decidable(tmp_path):
    found = answers(made.make(tmp_path / "a", table(), seeds=3), "order")
    assert {one.verdict for one in found} == {NOT_DECIDABLE} and found[0].statistic.startswith("pilot")
    few = {name: TABLE_2[name][2] / 100 for name in ("Softmax", "Softmax+Center", "Triplet", "LMCL (CosFace)")}
    found = answers(made.make(tmp_path / "b", table(few)), "order")
    assert [one.verdict for one in found] == [NOT_DECIDABLE, PASS, PASS]
    without = {name: level for name, level in few.items() if name != "Softmax"}
    found = answers(made.make(tmp_path / "c", table(without)), "order")
    assert {one.verdict for one in found} == {NOT_DECIDABLE} and "plain softmax" in found[1].statistic


def test_three_searches_decide_the_order_as_they_do_a_verdict(tmp_path):
    found = answers(made.make(tmp_path, table(), searches=3, seeds=1), "order")
    assert overall(found) == PASS and {one.seeds for one in found} == {3}
    assert (
        found[0].statistic.endswith("(3 searches each)") and "anew from searches and identities" in found[0].statistic
    )


def test_the_section_shows_both_and_says_what_may_be_compared(tmp_path):
    study = made.make(tmp_path, table(), published="cosface-table-2", primary=RANK1)
    text = published.render(study).striptags()
    assert published.MARK in text
    assert "4,900 images (1 % of that) of 200 identities (1.9 %)" in text
    for printed in ("77.11", "54.85", "88.82"):
        assert printed in text
    assert (
        "Order by MegaFace-style rank-1 against the published MF1 rank-1: Kendall's τ = 1.00 over 8 losses (exact p < .001)"
        in text
    )
    assert "Order by LFW accuracy against the published LFW" in text and "(pilot)" not in text
    assert "99.33 against 99.42" in text


def test_the_section_is_empty_where_no_table_is_named_and_refuses_an_unknown_one(tmp_path):
    assert published.render(made.make(tmp_path / "a", table())) == Markup("")
    with pytest.raises(RequestError, match="'table-3'; there is: cosface-table-2"):
        published.render(made.make(tmp_path / "b", table(), published="table-3"))
    bare = made.make(tmp_path / "c", {"arcface": Arm("arcface")}, published="cosface-table-2")
    assert "No row of this study stands for a row of the table" in published.render(bare).striptags()


def test_the_claims_section(tmp_path):
    study = made.make(tmp_path / "a", table(), criteria=["order", "margin_shape"])
    text = claims.render(study).striptags()
    assert "A13" in text and "A12" in text and "of 3 parts: 3 pass" in text and "of 1 part: 1 not decidable" in text
    assert text.count("Wang et al. 2018, Table 2") == 1 and "Kendall's τ of our MegaFace-style rank-1" in text
    assert claims.render(made.make(tmp_path / "b", table())) == Markup("")
    with pytest.raises(RequestError, match="there is: beyond_bound"):
        claims.render(made.make(tmp_path / "c", table(), criteria=["ordre"]))


def test_a_row_named_like_markup_is_escaped(tmp_path):
    arms = table({"Softmax": 0.5})
    study = made.make(tmp_path, {"<b>x": arms["Softmax"]}, published="cosface-table-2", criteria=["order"])
    assert "<b>x" not in published.render(study) and "<b>x" not in claims.render(study)
