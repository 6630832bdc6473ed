"""The section of groups: each group's figures beside the others, the gap between them, and how many comparisons there are."""

import numpy as np
import pytest
from made_up_hard import FACES, NOISE, make
from made_up_study import full, runs, text_of  # noqa: F401 (fixtures)
from well_formed import assert_well_formed

import reports
from bench import scoring
from reports import figures, groups


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """People whose number is even are one group, the others another."""
    root = tmp_path_factory.mktemp("groups")
    people = sorted({name for spec in FACES for name in scoring.open_protocol(spec)[0].people})
    kinds = [f"{name},{'even' if int(name[-1]) % 2 == 0 else 'odd'}" for name in people]
    (root / "kinds.csv").write_text("\n".join(["name,kind", *kinds]))
    return reports.read(make(root, [{**spec, "groups": str(root / "kinds.csv")} for spec in FACES]))


def test_a_table_a_figure_with_the_groups_side_by_side(study):
    found = {(one.protocol, one.figure): one.metrics for one in groups.slices(study)}
    assert found["lfw", "accuracy"] == {"even": "lfw/group_even/accuracy", "odd": "lfw/group_odd/accuracy"}
    assert ("megaface", "rank1") in found and ("lfw", "far_at_far_1e-1") in found
    html = groups.render(study)
    assert_well_formed(html)
    text = text_of(html)
    for loss in NOISE:
        means = [
            np.mean([r.metrics[f"lfw/group_{group}/accuracy"] for r in study.of("tuned") if r.trial.loss == loss])
            for group in ("even", "odd")
        ]
        assert all(f"{100 * mean:.2f} ±" in text for mean in means) and f"{100 * abs(means[0] - means[1]):.2f}" in text


def test_it_counts_the_comparisons_of_each_group(study):
    counts = study.of("tuned")[0].scores["lfw"]["counts"]
    said = f"even {counts['genuine_even']} genuine, {counts['impostor_even']} impostor"
    assert counts["genuine_even"] > 0 and said in text_of(groups.render(study))


def test_a_figure_that_no_group_has_is_a_sentence(study):
    html = groups.render(study)
    assert "FAR 1e-03 is undefined on 100 impostor pairs." in text_of(html)
    known = [one for one in groups.slices(study) if any(m in study[0].metrics for m in one.metrics.values())]
    assert html.count("<table") == len(known) < len(groups.slices(study))


def test_they_stand_nowhere_else(study, full):
    assert ", even</th>" not in figures.render(study) and ">accuracy</th>" in figures.render(study)
    assert groups.render(full) == ""
