"""Identification lists: loops over them, what strangers change, the conventions, and the real lists of LFW."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import literal_cosine
from made_up_lists import LISTS, embed, make
from real_faces import DATA, LFW, needs_data, pixels

from bench import protocols, scorers
from bench.errors import RequestError
from bench.metrics import exact
from bench.metrics.open_set import carried, dir_at_far, to_exceed
from bench.protocols import _ident_lists

GALLERY, PROBE = "test_ident_gallery.txt", "test_ident_probe.txt"


def listed(file, root=LISTS["rank_k"]):
    return [line.split()[0] for line in root[file].splitlines()]


def literal(rows, count):
    """For each probe: its mate's score, how many score at least as much, how many more, and its highest score."""
    found = []
    for probe in listed(PROBE):
        person = probe.split("/")[0]
        scores = {name: literal_cosine(rows[probe], rows[name]) for name in listed(GALLERY) if name != probe}
        mates = [score for name, score in scores.items() if name.startswith(person + "/")]
        others = [(name.split("/")[0], score) for name, score in scores.items() if not name.startswith(person + "/")]
        if count == "people":
            best = {}
            for owner, score in others:
                best[owner] = max(score, best.get(owner, -1))
            others = list(best.items())
        mate = max(mates, default=None)
        higher = [sum(s >= mate for _, s in others), sum(s > mate for _, s in others)] if mates else [0, 0]
        found.append((mate, *higher, max(scores.values())))
    return found


@pytest.mark.parametrize("count", ["people", "images"])
@pytest.mark.parametrize("noise", [0.5, 1.5])
@pytest.mark.parametrize("block", [1, 64, exact.BLOCK])
def test_rank_k_equals_loops_over_its_lists(count, noise, block, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK", block)
    protocol = make("rank_k", count=count)
    rows = embed(protocol, noise=noise)
    by_name = {name: row.tolist() for name, row in zip(protocol.images, rows, strict=True)}
    found = literal(by_name, count)
    answer = protocol.score(rows)
    mated = [one for one in found if one[0] is not None]
    people = [name.split("/")[0] for name, one in zip(listed(PROBE), found, strict=True) if one[0] is not None]
    assert any(at_least != more for _, at_least, more, _ in mated), "there are ties"
    name = protocol.name
    for k in range(1, 11):
        hits = [at_least < k for _, at_least, _, _ in mated]
        assert answer.metrics[f"{name}/rank{k}"] == pytest.approx(np.mean(hits), abs=1e-15)
        optimistic = np.mean([more < k for _, _, more, _ in mated])
        assert answer.metrics.get(f"{name}/rank{k}_optimistic", np.mean(hits)) == pytest.approx(optimistic, abs=1e-15)
    hits = [at_least < 1 for _, at_least, _, _ in mated]
    each = [np.mean([h for h, p in zip(hits, people, strict=True) if p == one]) for one in sorted(set(people))]
    assert answer.metrics[f"{name}/rank1_macro"] == pytest.approx(np.mean(each), abs=1e-15)
    without = [np.mean([h for h, p in zip(hits, people, strict=True) if p != one]) for one in sorted(set(people))]
    assert answer.clusters[f"{name}/rank1"].values == pytest.approx(without, abs=1e-15)
    strangers = [best for mate, _, _, best in found if mate is None]
    assert answer.metrics[f"{name}/dir_at_far_1e-1_rank1"] == pytest.approx(literal_dir(mated, strangers, 6), abs=1e-15)
    assert answer.marks[f"{name}/dir_at_far_1e-1_rank1"].startswith("hangs on 6 false accepts (FAR 1e-01 of 64 probes")
    assert answer.undefined[f"{name}/dir_at_far_1e-2_rank1"] == (
        "FAR 1e-02 is undefined on 64 probes without a mate in the gallery"
    )
    assert answer.counts | {"effective_identities": 0} == {
        "images": 136, "gallery": 47, "gallery_people": 24, "probes": 112, "probe_people": 40, "strangers": 64,
        "largest_identity_share": 2 / 48, "effective_identities": 0,
    }  # fmt: skip


def literal_dir(mated, strangers, allowed):
    """The smallest threshold (a score, or infinity) that at most `allowed` strangers reach."""
    for t in [*sorted({*strangers, *(mate for mate, *_ in mated)}), np.inf]:
        if sum(s >= t for s in strangers) <= allowed:
            return np.mean([at_least < 1 and mate >= t for mate, at_least, _, _ in mated])
    raise AssertionError("infinity lets nobody in")


def test_dir_of_known_answer():
    mates, hits = np.array([0.9, 0.7, 0.7, 0.5]), np.array([True, True, False, True])
    strangers = np.array([0.8, 0.7, 0.6, 0.1])
    assert [to_exceed(strangers, n) for n in range(5)] == [0.8, 0.7, 0.6, 0.1, -np.inf]
    assert [dir_at_far(mates, hits, strangers, far) for far in (0.24, 0.25, 0.5, 0.75, 1.0)] == [
        0.25,
        0.25,
        0.5,
        0.75,
        0.75,
    ]
    assert dir_at_far(mates, hits, np.full(4, 0.7), 0.5) == 0.25, "ties are all let in or all kept out"
    assert carried(0.1, 9, "probes").undefined == "FAR 1e-01 is undefined on 9 probes"
    assert carried(0.1, 10, "probes").mark == "hangs on 1 false accept (FAR 1e-01 of 10 probes)"
    assert carried(0.1, 300, "probes").mark is None


def test_other_scorers_search_exactly_too():
    protocol = make("rank_k")
    rows = embed(protocol)
    answer = protocol.score(rows, scorers.fit("l2"))
    place = {name: row for row, name in enumerate(protocol.images)}
    hits = []
    for probe in listed(PROBE):
        other = [name for name in listed(GALLERY) if name != probe]
        far = {name: np.sum((rows[place[probe]] - rows[place[name]]) ** 2) for name in other}
        own = [d for name, d in far.items() if name.split("/")[0] == probe.split("/")[0]]
        if own:
            rest = [d for name, d in far.items() if name.split("/")[0] != probe.split("/")[0]]
            hits.append(min(own) < min(rest) - 1e-9)
    assert answer.metrics["lfw-rank/rank1"] == np.mean(hits)


def test_without_any_stranger_nothing_can_be_falsely_accepted():
    inside = {line.split()[0].split("/")[0] for line in LISTS["rank_k"][GALLERY].splitlines()} - {"Person_00"}
    lines = [line for line in LISTS["rank_k"][PROBE].splitlines() if line.split("/")[0] in inside]
    protocol = protocols.create("rank_k", root={**LISTS["rank_k"], PROBE: "\n".join(lines)})
    answer = protocol.score(embed(protocol))
    assert answer.counts["strangers"] == 0
    assert answer.undefined["lfw-rank/dir_at_far_1e-1_rank1"].startswith("FAR 1e-01 is undefined on 0 probes")


def test_the_rows_are_in_the_order_of_the_indices_or_of_the_lists():
    protocol = make("rank_k")
    assert list(protocol.images) == sorted(protocol.images, reverse=True)
    short = {
        file: "\n".join(" ".join(line.split()[::2]) for line in text.splitlines())
        for file, text in LISTS["rank_k"].items()
    }
    bare = protocols.create("rank_k", root=short)
    assert list(bare.images) == list(dict.fromkeys([*listed(GALLERY), *listed(PROBE)]))
    rows = embed(protocol)
    again = rows[[protocol.images.index(name) for name in bare.images]]
    assert bare.score(again).metrics == protocol.score(rows).metrics


@pytest.mark.parametrize(
    ("gallery", "probe", "sentence"),
    [
        ("A/1.jpg 0", "A/2.jpg", r"probe.txt line 1: expected `PERSON/image index label` .*, got 'A/2.jpg'"),
        ("A/1.jpg 0 x", "A/2.jpg 0", "gallery.txt line 1: expected"),
        ("A/1.jpg 0 0 0", "A/2.jpg 0", "gallery.txt line 1: expected"),
        ("A/1.jpg 0\nA/1.jpg 0", "A/2.jpg 0", "image 'A/1.jpg' stands twice in test_ident_gallery.txt"),
        ("1.jpg 0", "A/2.jpg 0", "image '1.jpg' of test_ident_gallery.txt lies in no folder"),
        ("A/1.jpg 0", "B/2.jpg 0", "probe.txt line 1: label 0 is 'B' here and 'A' before: one person has one label"),
        ("A/1.jpg 0", "A/2.jpg 1", "probe.txt line 1: person 'A' has label 1 here and 0 before"),
        ("A/1.jpg 0 0", "A/2.jpg 0 0", "probe.txt line 1: index 0 is 'A/2.jpg' here and 'A/1.jpg' before"),
        ("A/1.jpg 0 0", "A/1.jpg 1 0", "probe.txt line 1: image 'A/1.jpg' has index 1 here and 0 before"),
        ("A/1.jpg 0", "A/1.jpg 0", "none of the 1 probes of lfw-rank has another image of its person among the 1 of"),
        ("", "A/1.jpg 0", "test_ident_gallery.txt lists no images"),
        ("A/1.jpg 0\nA/1.png 0", "A/2.jpg 0", "name 'A/1' with two suffixes"),
    ],
)
def test_malformed_lists_are_answered_with_their_line(gallery, probe, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("rank_k", root={GALLERY: gallery, PROBE: probe})


def test_a_rank_counts_people_or_images():
    with pytest.raises(RequestError, match="count is what a rank counts, people or images, got 'faces'"):
        make("rank_k", count="faces")
    people, images = make("rank_k"), make("rank_k", count="images")
    rows = embed(people, noise=2.0)
    first, second = people.score(rows).metrics, images.score(rows).metrics
    assert images.name == "lfw-rank_images" and first["lfw-rank/rank1"] == second["lfw-rank_images/rank1"]
    assert first["lfw-rank/rank5"] > second["lfw-rank_images/rank5"], "two images of one person take two places"


FIELDS = st.sampled_from(["A/1.jpg", "A/2.jpg", "B/1.jpg", "x", "0", "1", "2", "-1", "٣", "²", "9" * 5000, "", "\x00"])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(st.lists(FIELDS, max_size=4).map(" ".join), max_size=5).map("\n".join) | st.text(max_size=40),
    st.booleans(),
)
def test_any_text_is_a_list_or_one_sentence(text, swap):
    good = "A/1.jpg 0\nA/3.jpg 0"
    root = {"g": text, "p": good} if swap else {"g": good, "p": text}
    try:
        lists = _ident_lists.read(root, "g", "p")
        assert len(set(lists.images)) == len(lists.images) and len(lists.gallery) and len(lists.probes)
    except RequestError as error:
        assert "\n" not in str(error).replace(repr(text), "")


# --- the real lists ---


def real(full=False, **options):
    end = "_full_list.txt.gz" if full else ".txt.gz"
    files = {side: f"protocols/lfw_test_ident_{side}{end}" for side in ("gallery", "probe")}
    return protocols.create("rank_k", root=DATA, images=LFW, **files, **options)


@needs_data
def test_lfw_one_gallery_image_a_person():
    protocol = real()
    answer = protocol.score(pixels(protocol.images))
    counts = answer.counts
    assert (counts["gallery"], counts["gallery_people"], counts["probes"]) == (5_748, 5_748, 7_484)
    assert (counts["probe_people"], counts["strangers"], counts["images"]) == (1_680, 0, 13_232)
    metrics = answer.metrics
    ranks = [metrics[f"lfw-rank/rank{k}"] for k in range(1, 11)]
    assert 0.02 < ranks[0] < 0.5 and ranks == sorted(ranks), "far above 1 / 5748"
    assert len(answer.clusters["lfw-rank/rank1"].values) == 1_680
    assert "probes without a mate in the gallery" in answer.undefined["lfw-rank/dir_at_far_1e-2_rank1"]
    assert real(count="images").score(pixels(protocol.images)).metrics["lfw-rank_images/rank10"] == ranks[9]


@pytest.mark.slow
@needs_data
def test_lfw_all_images_as_gallery_in_the_convention_of_its_source():
    protocol = real(full=True, count="images")
    with gzip.open(DATA / "protocols/lfw_test_ident_gallery_full_list.txt.gz", "rt") as lines:
        assert [line.split()[0] for line in lines] == list(protocol.images), (
            "row i of features made for it is row i here"
        )
    rows = pixels(protocol.images)
    answer = protocol.score(rows)
    assert (answer.counts["gallery"], answer.counts["probes"], answer.counts["strangers"]) == (13_233, 9_164, 0)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = np.random.default_rng(0).choice(9_164, 200, replace=False)
    nearest = np.zeros(10)
    for probe in protocol.probes[chosen]:  # the k nearest images but itself: is one of them of its person?
        order = [column for column in np.argsort(-(units[protocol.gallery] @ units[probe]))[:12] if column != probe][
            :10
        ]
        nearest += np.cumsum([protocol.people[column] == protocol.people[probe] for column in order]) > 0
    better = answer.raw["better"][chosen]
    assert [int((better < k).sum()) for k in range(1, 11)] == nearest.astype(int).tolist()
    people = real(full=True).score(rows).metrics
    assert people["lfw-rank/rank1"] == answer.metrics["lfw-rank_images/rank1"]
    assert people["lfw-rank/rank10"] >= answer.metrics["lfw-rank_images/rank10"]
