"""The contract of protocols, over every entry found."""

import json
import subprocess
import sys

import numpy as np
import pytest
from made_up_lists import CHANCE, LISTS, embed, lfw_pairs, make

from bench import protocols, scorers
from bench.errors import RequestError
from bench.protocols.heldout import Heldout

VARIANTS = [(name, {}) for name in protocols.names()] + [
    ("ytf", {"aggregation": "mean_score"}),
    ("ytf", {"aggregation": "max_score"}),
    ("ytf", {"aggregation": "first_100_frames"}),
    ("megaface", {"sizes": [7, 50]}),
    ("bins", {"files": "two.bin", "convention": "insightface"}),
    ("pairs", {"people": "unknown", "convention": "insightface"}),
    ("megaface", {"probes": "probes.json", "distractors": "drawn.json", "sizes": [20, 150]}),
    ("megaface", {"probes": "probes.json", "distractors": "drawn.json", "sizes": [20, 150], "set": "all"}),
    ("megaface", {"probes": "probes.json", "distractors": "drawn.json", "sizes": [60, 150], "refined": "exclusion"}),
    ("lfw", {"convention": "sphereface"}),
    ("lfw", {"convention": "insightface"}),
    ("lfw", {"convention": "all_pairs"}),
    ("rank_k", {"count": "images"}),
    ("ijb", {"aggregation": "image_mean"}),
    ("ijb", {"weight": "detector"}),
    ("ijb", {"one_to_n": False}),
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join([variant[0], *map(str, variant[1].values())]))
def protocol(request):
    name, options = request.param
    return make(name, **options)


# --- the contract, for every entry ---


def test_the_protocol_describes_itself(protocol):
    assert len(set(protocol.images)) == len(protocol.images) == len(protocol.people)
    for image, person in zip(protocol.images, protocol.people, strict=True):
        # IJB's crops are numbered, and lists say whose they are.
        folder = image.startswith(person + "/") or protocol.spec["protocol"] == "ijb"
        assert folder or person.startswith("?"), "a folder's name, or nobody's"
    assert json.loads(json.dumps(protocol.spec)) == protocol.spec
    assert len(protocol.hash) == 16 and int(protocol.hash, 16) >= 0


def test_every_figure_is_a_fraction_with_its_name_and_company(protocol):
    scores = protocol.score(embed(protocol))
    assert protocol.primary in scores.metrics
    names = {protocol.name, *(part.name for part in getattr(protocol, "parts", ()))}
    assert {key.partition("/")[0] for key in [*scores.metrics, *scores.undefined]} == names
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in scores.metrics.values())
    assert not set(scores.metrics) & set(scores.undefined)
    assert set(scores.marks) <= set(scores.metrics) and set(scores.clusters) <= set(scores.metrics)
    assert protocol.primary in scores.clusters
    for clusters in scores.clusters.values():
        assert clusters.kind in ("folds", "jackknife") and len(clusters.values) >= 2
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in clusters.values)
    assert json.loads(json.dumps([scores.counts, scores.curves]))
    for curve in scores.curves.values():
        assert len({len(column) for column in curve.values()}) == 1
    assert all(isinstance(array, np.ndarray) for array in scores.raw.values())
    assert not any(set(key) & set("@=+[]") for key in scores.metrics), "MLflow refuses these"


def test_the_same_embeddings_give_the_same_figures(protocol):
    rows = embed(protocol)
    first, again = protocol.score(rows), make_again(protocol).score(rows)
    assert first.metrics == again.metrics and first.clusters == again.clusters and first.curves == again.curves


def make_again(protocol):
    if isinstance(protocol, Heldout):
        return Heldout(protocol.images, protocol.people)
    return next(again for name, options in VARIANTS if (again := make(name, **options)).hash == protocol.hash)


def test_lengths_and_rotations_do_not_matter(protocol):
    rows = embed(protocol)
    before = protocol.score(rows).metrics
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(12, 12)))[0]
    lengths = np.random.default_rng(6).uniform(0.1, 50, (len(rows), 1))
    if protocol.name == "lfw-sphereface":  # the mean that it subtracts is one of features as they are
        lengths = 7.0
    after = protocol.score((rows * lengths) @ turn).metrics
    assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_very_short_and_very_long_embeddings_are_scored(protocol, scale):
    rows = embed(protocol)
    assert protocol.score(rows * scale).metrics == pytest.approx(protocol.score(rows).metrics, abs=1e-12)


@pytest.mark.parametrize("value", [1.0, 0.3])
def test_a_constant_embedding_scores_chance(protocol, value):
    metrics = protocol.score(np.full((len(protocol.images), 7), value, np.float32)).metrics
    chance = dict(CHANCE)
    if protocol.name == "lfw-sphereface":  # a score at the threshold is wrong either way
        chance["accuracy"] = 0.0
    for key, found in metrics.items():
        figure = key.partition("/")[2]
        if not figure.endswith("_optimistic"):
            assert found == chance.get(figure, 0.0), key
        else:
            assert found == 1.0, key


def test_a_row_of_zeros_points_nowhere_and_is_refused_with_its_image(protocol):
    rows = embed(protocol)
    rows[[5, 7]] = 0
    with pytest.raises(RequestError, match=r"^2 of .* all zeros and point nowhere, the first is row 5 \(") as caught:
        protocol.score(rows)
    assert f"({protocol.images[5]})" in str(caught.value)
    if protocol.name in ("lfw-sphereface", "lfw-insightface"):
        return  # they are defined on cosines
    by_distance = protocol.score(rows, scorers.fit("l2"))
    assert protocol.primary in by_distance.metrics


def test_integers_and_half_precision_are_embeddings_too(protocol):
    rows = np.round(10 * embed(protocol))
    before = protocol.score(rows).metrics
    for kind in (np.int32, np.float16, np.float32):
        assert protocol.score(rows.astype(kind)).metrics == before


def test_without_some_images_every_figure_is_partial_and_has_another_hash(protocol):
    missing = set(protocol.images[3::7])
    partial = protocol.without(missing)
    assert set(partial.images) <= set(protocol.images) - missing
    assert partial.hash != protocol.hash and partial.name == protocol.name
    rows = embed(protocol)
    answer = partial.score(rows[[protocol.images.index(name) for name in partial.images]])
    said = f"partial: {len(missing)} of {len(protocol.images)} "
    figures = {figure for figure in answer.metrics if not figure.endswith(("_se", "_sd"))}
    assert partial.primary in figures
    assert all(answer.marks[figure].startswith(said) for figure in figures), answer.marks
    more = partial.without(partial.images[:1])
    counts = more.score(rows[[protocol.images.index(name) for name in more.images]]).counts
    assert (
        max(value for key, value in counts.items() if key in ("missing_images", "missing_frames")) == len(missing) + 1
    )
    with pytest.raises(RequestError, match="nothing is left"):
        protocol.without(protocol.images)
    with pytest.raises(RequestError, match="cannot do without 'Nobody/1.jpg': it is none of its"):
        protocol.without({"Nobody/1.jpg"})


def test_another_number_of_rows_is_refused_with_both_numbers(protocol):
    with pytest.raises(
        RequestError, match=rf"each of its {len(protocol.images)} images.*got an array of shape \(3, 8\)"
    ):
        protocol.score(np.zeros((3, 8)))
    with pytest.raises(RequestError, match="real numbers, got an array of type complex128"):
        protocol.score(np.zeros((len(protocol.images), 8), complex))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_image(protocol, bad):
    rows = embed(protocol)
    rows[[4, 11], 2] = bad
    with pytest.raises(RequestError, match=r"^2 of .* nan or infinity, the first is row 4 \(") as caught:
        protocol.score(rows)
    assert f"({protocol.images[4]})" in str(caught.value)


def test_the_hash_says_which_lists_and_options():
    hashes = {make(name, **options).hash for name, options in VARIANTS}
    assert len(hashes) == len(VARIANTS)
    other = protocols.create("lfw", root={"pairs.txt": lfw_pairs(each=3)})
    assert other.hash not in hashes
    assert protocols.create("lfw", root={"pairs.txt": lfw_pairs()}).hash in hashes


def test_unknown_names_and_options_list_the_known_ones():
    with pytest.raises(RequestError, match=r"no 'lwf' in protocols; there is: .*heldout, .*lfw, .*megaface, .*ytf"):
        protocols.create("lwf")
    with pytest.raises(RequestError, match="'lfw' has no option 'pears'; it has: pairs, images, label"):
        make("lfw", pears="x")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("lfw", {"images": [3]}, r"'images' takes a list, each of it a word or nothing, got \[3\]"),
        ("ytf", {"splits": 3}, "'splits' takes a word, got 3"),
        ("rank_k", {"gallery": 3}, "'gallery' takes a word, got 3"),
        ("megaface", {"exclude": 3}, "'exclude' takes a word or nothing, got 3"),
    ],
)
def test_an_option_of_a_wrong_kind_is_a_sentence(tmp_path, name, options, sentence):
    for file, text in LISTS[name].items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    with pytest.raises(RequestError, match=sentence):
        protocols.create(name, root=tmp_path, **options)


def test_protocols_import_numpy_alone():
    heavy = "torch sklearn scipy pandas ray optuna mlflow matplotlib PIL"
    modules = f"import sys; from bench.protocols import {', '.join(protocols.names())}"
    code = f"{modules}; print(*set('{heavy}'.split()) & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
