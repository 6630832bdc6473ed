"""Long lists of pairs by blocks, templates of images, searches of galleries: against loops over their definitions."""

import numpy as np
import pytest
from literal import literal_auc, literal_cosine, literal_eer, literal_tar

from bench.metrics import cosine, levels, listed, searches
from bench.metrics.levels import Table
from bench.metrics.quadratic import Quadratic
from bench.metrics.rounding import error_bound
from bench.metrics.templates import Layout, aggregate

FARS = (0.5, 0.1, 0.05, 0.01, 0.004)


def case(seed, shape="any", things=40, noise=0.8):
    """Rows of 8 people with copies, a zero row and parallel rows; listed pairs, one of them twice."""
    random = np.random.default_rng(seed)
    people = np.arange(things) % 8
    rows = random.normal(size=(8, 6))[people] + noise * random.normal(size=(things, 6))
    rows[11], rows[12], rows[20] = 3 * rows[3], rows[4], 0
    pairs = [(i, j) for i in range(things) for j in range(things) if i != j and random.random() < 0.5]
    if shape == "gallery":
        pairs = [(i, j) for i, j in pairs if i < 10 <= j]
    pairs.append(pairs[0])
    first, second = np.array(pairs).T
    return rows, people, first, second, people[first] == people[second]


def counted(rows, first, second, same, clusters, bits=listed.BITS):
    blocks = listed.Blocks.of(first[~same], second[~same], len(rows.reach), clusters, bits)
    return listed.count(rows, (first[same], second[same]), blocks, clusters)[0]


@pytest.mark.parametrize("bits", [1, 3, 10])
@pytest.mark.parametrize("shape", ["any", "gallery"])
@pytest.mark.parametrize("seed", range(3))
def test_the_counts_are_those_of_loops_with_and_without_each_cluster(seed, shape, bits):
    rows, people, first, second, same = case(seed, shape)
    plain = rows.tolist()
    scores = np.array([literal_cosine(plain[i], plain[j]) for i, j in zip(first, second, strict=True)])
    clusters = people % 5
    found = counted(cosine.Vectors.of(rows), first, second, same, clusters, bits)
    for left_out in [None, *range(5)]:
        keep = np.array([left_out not in (clusters[i], clusters[j]) for i, j in zip(first, second, strict=True)])
        genuine, impostor = scores[keep & same].tolist(), scores[keep & ~same].tolist()
        roc = found.roc(left_out)
        assert (roc.genuine, roc.impostors) == (len(genuine), len(impostor))
        assert [roc.tar_at_far(far) for far in FARS] == [literal_tar(genuine, impostor, far) for far in FARS]
        assert roc.auc() == literal_auc(scores[keep].tolist(), same[keep].tolist())
        assert roc.eer() == pytest.approx(literal_eer(genuine, impostor), abs=1e-15)


def test_the_thresholds_accept_what_the_roc_says():
    rows, people, first, second, same = case(1)
    vectors = cosine.Vectors.of(rows)
    scores = vectors.scores(first, vectors, second)
    roc = counted(vectors, first, second, same, people).roc()
    assert (np.diff(roc.thresholds) <= 0).all()
    for threshold, false, true in zip(roc.thresholds, roc.false_accepts, roc.true_accepts, strict=True):
        accepted = scores >= threshold
        assert (accepted[~same].sum(), accepted[same].sum()) == (false, true)


def test_the_figures_agree_with_scikit_learn():
    from sklearn.metrics import roc_auc_score, roc_curve

    rows, people, *_ = case(2, things=120)
    first, second = np.triu_indices(120, 1)  # each pair once: no ties
    same = people[first] == people[second]
    vectors = cosine.Vectors.of(np.random.default_rng(0).normal(size=(120, 16)) + 2 * rows[:, :1])
    scores = vectors.scores(first, vectors, second)
    roc = counted(vectors, first, second, same, people).roc()
    assert roc.auc() == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    far, tar, _ = roc_curve(same, scores)
    far, tar = far[::-1], tar[::-1]  # as insightface's script takes the nearest point
    for level in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6):
        assert levels.tar_at_nearest_far(roc, level) == pytest.approx(tar[np.argmin(np.abs(far - level))], abs=1e-12)
    conservative = [tar[far <= level].max() for level in (1e-1, 1e-2, 1e-3)]
    assert [roc.tar_at_far(level) for level in (1e-1, 1e-2, 1e-3)] == pytest.approx(conservative, abs=1e-12)


@pytest.mark.parametrize("gap", [3e-6, 1e-9, 1e-11])
def test_differences_below_float32_are_decided_in_float64(gap):
    """Impostor scores a hair above or below the genuine one, many of them (a float64 product) or few (one by one)."""
    width, count = 64, 300
    random = np.random.default_rng(0)
    above = random.random(count) < 0.5
    cosines = np.concatenate([[0.6], 0.6 + np.where(above, gap, -gap)])
    aside = random.normal(size=(count + 1, width - 1))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    others = np.concatenate([cosines[:, None], np.sqrt(1 - cosines**2)[:, None] * aside], axis=1)
    rows = cosine.Vectors.of(np.concatenate([np.eye(1, width), others]))
    assert gap < error_bound(width)
    first, second, same = np.zeros(count + 1, int), np.arange(1, count + 2), np.arange(count + 1) == 0
    clusters = np.arange(count + 2) % 4
    for bits in (2, 5, 9):
        roc = counted(rows, first, second, same, clusters, bits).roc()
        assert roc.false_accepts[np.argmax(roc.true_accepts == 1)] == above.sum()


@pytest.mark.parametrize("kind", ["few", "many"])
def test_a_float64_product_and_single_pairs_give_the_same_counts(kind, monkeypatch):
    rows, people, first, second, same = case(3, things=90, noise=3.0)
    vectors = cosine.Vectors.of(rows)
    before = counted(vectors, first, second, same, people)
    monkeypatch.setattr(listed, "_WIDE", 0 if kind == "few" else 10**9)
    wide = []
    widely = listed._Places._widely
    monkeypatch.setattr(listed._Places, "_widely", lambda *given: wide.append(1) or widely(*given))
    after = counted(vectors, first, second, same, people, bits=4)
    assert bool(wide) == (kind == "many")
    assert before.impostor.tolist() == after.impostor.tolist()
    assert before.impostor_of.tolist() == after.impostor_of.tolist()


def shifted(products, width, limits):
    """As if every product had been rounded to the next decimal, and none were certain."""
    return products + 1e-12, np.zeros(products.shape, bool)


def test_what_a_float64_product_leaves_in_doubt_is_scored_again(monkeypatch):
    rows, people, first, second, same = case(3)
    vectors = cosine.Vectors.of(rows)
    before = counted(vectors, first, second, same, people)
    monkeypatch.setattr(listed, "_WIDE", 10**9)
    monkeypatch.setattr(listed, "rounded_product", shifted)
    assert counted(vectors, first, second, same, people).impostor.tolist() == before.impostor.tolist()


def test_scores_that_are_no_cosines_are_counted_too():
    rows, people, first, second, same = case(4)
    squared = Quadratic.of(np.sqrt(2) * 30 * rows, np.ones(6))
    scores = squared.scores(first, squared, second)
    roc = counted(squared, first, second, same, people, bits=3).roc()
    assert roc.auc() == literal_auc(scores.tolist(), same.tolist())
    for far in FARS:
        assert roc.tar_at_far(far) == literal_tar(scores[same], scores[~same], far)


@pytest.mark.parametrize("constant", [1.0, 0.0])
def test_a_constant_embedding_has_chance_figures(constant):
    *_, people, first, second, same = case(5)
    rows = cosine.Vectors.of(np.full((len(people), 6), constant))
    roc = counted(rows, first, second, same, people).roc()
    assert roc.auc() == 0.5 and roc.eer() == 0.5 and roc.tar_at_far(0.1) == 0.0


def test_blocks_without_pairs_cost_nothing():
    """20 probes of a gallery of 4 in blocks of 4: five blocks, not the 21 of all pairs of things."""
    first, second = (side.ravel() for side in np.meshgrid(np.arange(20, 24), np.arange(20)))
    blocks = listed.Blocks.of(first, second, 24, np.zeros(24, int), bits=2)
    assert len(blocks) == 5 and blocks.starts[-1] == 80
    first, second = (side.ravel() for side in np.indices((8, 8)))
    assert len(listed.Blocks.of(first, second, 8, np.zeros(8, int), bits=2)) == 3, "scores are symmetric"


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-7, 0.0])
def test_a_table_knows_a_place_only_where_the_margin_cannot_change_it(kind, spread):
    random = np.random.default_rng(0)
    found = np.unique(0.7 + spread * random.normal(size=50))
    margin = 1e-5 if kind is np.float32 else 1e-12
    table = Table(found, margin, kind)
    true = np.concatenate([0.7 + 3 * spread * random.normal(size=20_000), found, found + margin, [-9.0, 9.0, -1e30]])
    asked = (true + margin * random.uniform(-1, 1, len(true))).astype(kind)
    true = np.clip(true, asked.astype(float) - margin, asked.astype(float) + margin)
    places = table(asked)
    known = places != Table.UNKNOWN
    assert known[-3:].all() and (spread != 1.0 or known.mean() > 0.5)
    assert (places[known] == levels.place(found, true)[known]).all()
    assert (~known[20_000 : 20_000 + len(found)]).all(), "a score at a level is never known from its bin"


# --- templates ---


@pytest.mark.parametrize("weighted", [False, True])
def test_a_template_is_the_mean_of_its_media(weighted):
    random = np.random.default_rng(1)
    template, medium = np.concatenate([np.arange(6), random.integers(0, 6, 60)]), random.integers(0, 4, 66)
    rows, weights = random.normal(size=(66, 3)), random.uniform(0, 2, 66)
    found = aggregate(lambda part: rows[part], Layout.of(template, medium, 6), weights if weighted else None)
    for number in range(6):
        sums, total = np.zeros(3), 0.0
        for name in set(medium[template == number].tolist()):
            members = [i for i in range(66) if template[i] == number and medium[i] == name]
            share = [weights[i] if weighted else 1.0 for i in members]
            sums += sum(w * rows[i] for i, w in zip(members, share, strict=True)) / len(members)
            total += sum(share) / len(members)
        assert found[number] == pytest.approx(sums / total, abs=1e-13)


def test_a_template_does_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    random = np.random.default_rng(2)
    template, medium = np.concatenate([np.arange(9), random.integers(0, 9, 200)]), random.integers(0, 3, 209)
    rows = random.normal(size=(209, 5))
    layout = Layout.of(template, medium, 9)
    whole = aggregate(lambda part: rows[part], layout)
    monkeypatch.setattr("bench.metrics.templates._NUMBERS", 40)
    assert len(list(layout.parts(5))) == 9
    assert (aggregate(lambda part: rows[part], layout) == whole).all()


# --- searches ---


def literal_search(plain, probe, mate, gallery):
    """(others >= the mate, others > the mate, the best other), by loops."""
    scores = [literal_cosine(plain[probe], plain[g]) for g in gallery if g != mate]
    level = literal_cosine(plain[probe], plain[mate]) if mate >= 0 else np.inf
    return sum(s >= level for s in scores), sum(s > level for s in scores), max(scores)


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_searches_count_what_loops_count(chunk):
    rows, people, *_ = case(6, things=60)
    rows[30:34] = rows[0:4]
    plain = rows.tolist()
    galleries = [np.array([0, 5, 2]), np.array([3, 12, 1, 7])]  # row 12 is row 4
    enrolled = {people[g]: g for gallery in galleries for g in gallery.tolist()}
    probes = np.arange(14, 60)
    mates = np.array([enrolled.get(people[p], -1) for p in probes])
    found = searches.search_galleries(cosine.Vectors.of(rows), probes, mates, galleries, chunk=chunk)
    assert (mates < 0).any() and (found.better > found.above).any()
    for n, (probe, mate) in enumerate(zip(probes.tolist(), mates.tolist(), strict=True)):
        expected = [literal_search(plain, probe, mate, gallery.tolist()) for gallery in galleries]
        assert found.better[n].tolist() == [better for better, _, _ in expected]
        assert found.above[n].tolist() == [above for _, above, _ in expected]
        assert found.best[n].tolist() == pytest.approx([best for _, _, best in expected], abs=1e-12)


def test_scores_of_searches_that_are_in_doubt_are_made_again(monkeypatch):
    rows, people, *_ = case(6, things=60)
    galleries, probes = [np.array([0, 5, 2]), np.array([3, 12, 1, 7])], np.arange(14, 60)
    enrolled = {people[g]: g for gallery in galleries for g in gallery.tolist()}
    mates = np.array([enrolled.get(people[p], -1) for p in probes])
    before = searches.search_galleries(cosine.Vectors.of(rows), probes, mates, galleries)
    monkeypatch.setattr(searches, "rounded_product", shifted)
    after = searches.search_galleries(cosine.Vectors.of(rows), probes, mates, galleries)
    assert after.better.tolist() == before.better.tolist() and after.above.tolist() == before.above.tolist()
    unmated = mates < 0
    assert after.best[unmated].tolist() == before.best[unmated].tolist()


def test_the_open_set_rate_is_that_of_its_definition():
    random = np.random.default_rng(7)
    mates, best = np.round(random.normal(0.6, 0.3, 50), 1), np.round(random.normal(0.2, 0.2, 40), 1)
    better = random.integers(0, 2, 50)
    roc = searches.open_set(mates, better, best)
    for fpir in (0.025, 0.1, 0.3):
        levels_ = [*sorted({*mates, *best}), np.inf]
        threshold = next(t for t in levels_ if (best >= t).mean() <= fpir)
        expected = sum(m >= threshold and b == 0 for m, b in zip(mates, better, strict=True)) / 50
        assert searches.rate_at_fpir(roc, fpir).value == expected
    assert searches.rate_at_fpir(roc, 0.1).mark == "hangs on 4 false alarms (FPIR 1e-01 of 40 non-mated searches)"
    undefined = searches.rate_at_fpir(roc, 0.01).undefined
    assert undefined == "FPIR 1e-02 is undefined on 50 mated and 40 non-mated searches"
