"""IJB: its figures equal loops over its files."""

from fractions import Fraction

import made_up_ijb
import numpy as np
import pytest
from literal import literal_auc, literal_cosine, literal_tar
from made_up_lists import embed

from bench import protocols, scorers

LISTS = made_up_ijb.release()
FACES, PAIRS, SCORES = (f"ijbx_{name}.txt" for name in ("face_tid_mid", "template_pair_label", "name_5pts_score"))
PROBES, FIRST, SECOND = (f"ijbx_1N_{name}.csv" for name in ("probe_mixed", "gallery_G1", "gallery_G2"))
WEIGHTS = ["none", "detector", "norm", "norm-detector"]


def make(changes=None, **options):
    return protocols.create("ijb", root={**LISTS, **(changes or {})}, **options)


def apart(protocol):
    """Embeddings that know the people, none of them a copy of another's."""
    return embed(protocol, noise=1.0) + np.random.default_rng(9).normal(size=(len(protocol.images), 12))


def table(name):
    return [line.split() for line in LISTS[name].splitlines()]


def literal_templates(rows, aggregation="media_mean", weight="none"):
    """Template number -> its embedding, by loops over the files."""
    scores = {fields[0]: float(fields[-1]) for fields in table(SCORES)}
    media = {}
    for (name, template, medium), row in zip(table(FACES), rows, strict=True):
        x = row if weight.startswith("norm") else row / np.linalg.norm(row)
        x = x * (scores[name] if weight.endswith("detector") else 1.0)
        key = medium if aggregation == "media_mean" else name
        media.setdefault(int(template), {}).setdefault(key, []).append(x)
    return {template: sum(np.mean(of, axis=0) for of in each.values()) for template, each in media.items()}


def literal_pairs(templates):
    """(scores, labels) of the listed pairs."""
    listed = [tuple(map(int, fields)) for fields in table(PAIRS)]
    plain = {template: row.tolist() for template, row in templates.items()}
    return np.array([literal_cosine(plain[a], plain[b]) for a, b, _ in listed]), np.array([x == 1 for *_, x in listed])


def owners(name):
    return {int(line.split(",")[0]): line.split(",")[1] for line in LISTS[name].splitlines()[1:]}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("aggregation", ["media_mean", "image_mean"])
def test_pairs_equal_loops_over_the_files(aggregation, weight):
    protocol = make(aggregation=aggregation, weight=weight)
    words = [word for word in (aggregation, weight) if word not in ("media_mean", "none")]
    assert protocol.name == "-".join(["ijbx", *words])
    rows = embed(protocol, noise=3.0)
    scores, same = literal_pairs(literal_templates(rows, aggregation, weight))
    answer = protocol.score(rows)
    assert answer.raw["genuine_scores"] == pytest.approx(scores[same], abs=1e-11)
    assert answer.metrics[f"{protocol.name}/auc"] == literal_auc(scores, same)
    for far in (1e-1, 1e-2, 1e-3):
        expected = literal_tar(scores[same], scores[~same], far)
        assert answer.metrics[f"{protocol.name}/tar_at_far_{far:.0e}".replace("e-0", "e-")] == expected
    count = (~same).sum()
    assert answer.undefined[f"{protocol.name}/tar_at_far_1e-6"] == f"FAR 1e-06 is undefined on {count:,} impostor pairs"
    assert protocol.primary == f"{protocol.name}/tar_at_far_1e-1"
    assert answer.counts["templates"] == 104 and answer.counts["genuine"] == 78 and answer.counts["impostor"] == count


def test_the_jackknife_leaves_out_all_pairs_of_a_subject():
    protocol = make()
    rows = embed(protocol, noise=3.0)
    scores, same = literal_pairs(literal_templates(rows))
    owner = owners(FIRST) | owners(SECOND) | owners(PROBES)
    sides = [{owner[int(a)], owner[int(b)]} for a, b, _ in table(PAIRS)]
    left = []
    for subject in sorted(set(owner.values())):
        keep = np.array([subject not in pair for pair in sides])
        left.append(literal_tar(scores[keep & same], scores[keep & ~same], 0.1))
    assert sorted(protocol.score(rows).clusters["ijbx/tar_at_far_1e-1"].values) == pytest.approx(
        sorted(left), abs=1e-15
    )


def literal_searches(templates, gallery, left_out=None):
    """(mate's score, better, subject) of the mated searches, and (best, subject) of the others."""
    probes = {t: s for t, s in owners(PROBES).items() if s != left_out}
    enrolled, mated, others = owners(gallery), [], []
    for probe, subject in sorted(probes.items()):
        scores = {t: literal_cosine(templates[probe].tolist(), templates[t].tolist()) for t in enrolled}
        mates = [t for t, s in enrolled.items() if s == subject]
        if mates:
            level = scores.pop(mates[0])
            mated.append((level, sum(s >= level for s in scores.values())))
        else:
            others.append(max(scores.values()))
    return mated, others


def literal_dir(mated, others, fpir):
    levels = [*sorted({*others, *(level for level, _ in mated)}), np.inf]
    threshold = next(t for t in levels if Fraction(sum(o >= t for o in others), len(others)) <= Fraction(str(fpir)))
    return sum(level >= threshold and better == 0 for level, better in mated) / len(mated)


def test_searches_equal_loops_over_the_files():
    protocol = make()
    rows = apart(protocol)
    templates, answer = literal_templates(rows), protocol.score(rows)
    ranks, rates = [], []
    for label, gallery in (("g1", FIRST), ("g2", SECOND)):
        mated, others = literal_searches(templates, gallery)
        assert len(mated) == len(others) == 39
        ranks.append([sum(better < k for _, better in mated) / 39 for k in (1, 5, 10)])
        rates.append(literal_dir(mated, others, 0.1))
        assert [answer.metrics[f"ijbx/rank{k}_{label}"] for k in (1, 5, 10)] == ranks[-1]
        assert answer.metrics[f"ijbx/dir_at_fpir_1e-1_{label}"] == rates[-1]
    assert [answer.metrics[f"ijbx/rank{k}"] for k in (1, 5, 10)] == pytest.approx(np.mean(ranks, axis=0), abs=1e-15)
    assert answer.metrics["ijbx/dir_at_fpir_1e-1"] == pytest.approx(np.mean(rates), abs=1e-15)
    assert 0 < rates[0] < ranks[0][0] < 1, "the case must not be trivial"
    assert answer.undefined["ijbx/dir_at_fpir_1e-2"] == "FPIR 1e-02 is undefined on 39 mated and 39 non-mated searches"
    assert answer.marks["ijbx/dir_at_fpir_1e-1"].startswith("hangs on 3 false alarms")
    everybody = owners(FIRST) | owners(SECOND)
    hits = []
    for probe, subject in owners(PROBES).items():
        best = max(everybody, key=lambda t: literal_cosine(templates[probe].tolist(), templates[t].tolist()))
        hits.append(everybody[best] == subject)
    assert answer.metrics["ijbx/rank1_joined"] == pytest.approx(np.mean(hits), abs=1e-15)


def test_the_jackknife_of_searches_leaves_out_the_probes_of_a_subject():
    protocol = make()
    rows = apart(protocol)
    templates, answer = literal_templates(rows), protocol.score(rows)
    ranks, rates = [], []
    for subject in sorted({*owners(PROBES).values()}):
        parts = [literal_searches(templates, gallery, subject) for gallery in (FIRST, SECOND)]
        ranks.append(np.mean([np.mean([better < 1 for _, better in mated]) for mated, _ in parts]))
        rates.append(np.mean([literal_dir(mated, others, 0.1) for mated, others in parts]))
    assert sorted(answer.clusters["ijbx/rank1"].values) == pytest.approx(sorted(ranks), abs=1e-14)
    assert sorted(answer.clusters["ijbx/dir_at_fpir_1e-1"].values) == pytest.approx(sorted(rates), abs=1e-14)


def test_the_nearest_point_stands_there_only_where_it_differs_and_is_not_ranked():
    protocol = make()
    answer = protocol.score(apart(protocol))
    nearest = [key for key in answer.metrics if key.endswith("_nearest")]
    assert nearest and all("nearest to this FAR" in answer.marks[key] for key in nearest)
    assert all(answer.metrics[key] != answer.metrics[key.removesuffix("_nearest")] for key in nearest)


def test_other_scorers_take_the_mean_of_embeddings_as_they_are():
    protocol = make()
    rows = embed(protocol)
    count = {
        template: len({m for _, t, m in table(FACES) if int(t) == template}) for template in literal_templates(rows)
    }
    templates = {t: x / count[t] for t, x in literal_templates(rows, weight="norm").items()}
    scores = [
        -float(np.sum((templates[int(a)] - templates[int(b)]) ** 2)) for a, b, label in table(PAIRS) if label == "1"
    ]
    answer = protocol.score(rows, scorers.fit("l2"))
    assert answer.raw["genuine_scores"] == pytest.approx(scores, rel=1e-9)


def test_subjects_are_the_lists_or_without_them_what_genuine_pairs_connect():
    protocol = make()
    assert set(protocol.people) == {str(5000 + subject) for subject in range(26)}
    alone = make(one_to_n=False)
    assert len(set(alone.people)) == 26 and "rank1" not in str(alone.score(embed(alone)).metrics)
    pairs = list(zip(protocol.people, alone.people, strict=True))
    assert len(set(pairs)) == 26, "the same people under other names"
    assert alone.hash != protocol.hash and alone.score(embed(alone)).counts["subjects"] == 26


def test_whole_templates_that_are_missing_take_their_pairs_and_searches_with_them():
    protocol = make()
    enrolled = sorted(owners(FIRST))[0]
    lost = [name for name, template, _ in table(FACES) if int(template) == enrolled]
    partial, rows = protocol.without(lost), apart(protocol)
    keep = np.array([name not in lost for name in protocol.images])
    answer, whole = partial.score(rows[keep]), protocol.score(rows)
    gone = sum(int(a) == enrolled for a, _, _ in table(PAIRS))
    said = f"partial: {len(lost)} of {len(keep)} images are missing, 1 of 104 templates are missing, {gone} of"
    assert answer.marks["ijbx/rank1"].startswith(said)
    assert answer.counts["enrolled_g1"] == 12 and answer.counts["probes"] == 78
    templates = literal_templates(rows)
    mated, others = literal_searches(templates, SECOND)
    assert answer.metrics["ijbx/rank1_g2"] == whole.metrics["ijbx/rank1_g2"] == sum(b < 1 for _, b in mated) / 39
    assert answer.metrics["ijbx/dir_at_fpir_1e-1_g2"] == literal_dir(mated, others, 0.1)
    del templates[enrolled]
    subject = owners(FIRST)[enrolled]
    rest = {t: s for t, s in owners(FIRST).items() if t != enrolled}
    hits, others, mated = [], [], []
    for probe, of in owners(PROBES).items():
        if of != subject:
            scores = {s: literal_cosine(templates[probe].tolist(), templates[t].tolist()) for t, s in rest.items()}
            if of not in scores:
                others.append(max(scores.values()))
                continue
            better = sum(score >= scores[of] for s, score in scores.items() if s != of)
            mated.append((scores[of], better))
            hits.append(better < 1)
    assert (len(hits), len(others)) == (36, 39), "his own probes search it no more"
    assert answer.metrics["ijbx/dir_at_fpir_1e-1_g1"] == literal_dir(mated, others, 0.1)
    assert answer.undefined["ijbx/dir_at_fpir_1e-2_g1"].endswith("on 36 mated and 39 non-mated searches")
    assert answer.metrics["ijbx/rank1_g1"] == np.mean(hits)
