"""BLUFR: loops over its trials, the lists in each of their forms, lists made by the paper's rule, and all of LFW."""

import zlib
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import literal_cosine, literal_tar
from made_up_lists import LISTS, make
from real_faces import DATA, LFW, needs_data, pixels

from bench import protocols, scorers
from bench.errors import RequestError
from bench.metrics import exact
from bench.metrics.tail import Tail
from bench.protocols import _blufr_lists

TEXT = LISTS["lfw_blufr"]


def embedded(protocol, kind="plain"):
    """Images of one person lie near each other, and some are copies (ties).

    `hub`: most of the highest impostor scores have one person on a side. `close`: the images of six people score so
    high with each other that float32 cannot tell these scores apart, and neither two people's gallery images.
    """
    random = np.random.default_rng(3)
    centres = {person: random.normal(size=6) for person in sorted(set(protocol.people))}
    rows = np.stack([centres[person] for person in protocol.people]) + 0.5 * random.normal(
        size=(len(protocol.people), 6)
    )
    row = {name.split("/")[1][:-4]: place for place, name in enumerate(protocol.images)}
    rows[row["Person_01_0002"]] = rows[row["Person_02_0002"]] = rows[row["Person_02_0001"]]
    rows[row["Person_31_0001"]] = rows[row["Person_30_0001"]]
    if kind == "hub":
        rows[[row[f"Person_03_000{n}"] for n in (1, 2, 3, 4)]] = 1.0
        for other in range(5, 40, 2):
            rows[row[f"Person_{other:02d}_0001"]] = 1.0 + 0.05 * random.normal(size=6)
    if kind == "close":
        for person in (2, 3, 6, 7, 10, 11):
            near = 1.0 + 1e-4 * random.normal(size=6)
            for n in range(1, 2 + person % 4):
                rows[row[f"Person_{person:02d}_000{n}"]] = near + 3e-5 * random.normal(size=6)
    return rows


def trials_of(text):
    """The sets of the toolkit's text files, by loops."""
    found = []
    for part in ("test", "gallery", "probe"):
        lines = iter(text[f"{part}_set.txt"].splitlines())
        found.append(
            [[int(next(lines).split(",")[0]) - 1 for _ in range(int(next(lines)))] for _ in range(int(next(lines)))]
        )
    return list(zip(*found, strict=True))


def literal_trial(scores, people, test, gallery, probes, without=None):
    """VR at FAR 1e-3 and DIR at FAR 0.1 of one trial, without one person if asked."""
    test, gallery, probes = ([row for row in side if people[row] != without] for side in (test, gallery, probes))
    pairs = [(i, j) for i in test for j in test if i < j]
    genuine = [scores[i][j] for i, j in pairs if people[i] == people[j]]
    impostor = [scores[i][j] for i, j in pairs if people[i] != people[j]]
    if not genuine or not impostor:
        return None
    known = {people[row]: row for row in gallery}
    strangers = [max(scores[probe][row] for row in gallery) for probe in probes if people[probe] not in known]
    right = []
    for probe in probes:
        if people[probe] in known:
            mate = scores[probe][known[people[probe]]]
            rank_1 = all(scores[probe][row] < mate for row in gallery if people[row] != people[probe])
            right.append(mate if rank_1 else -np.inf)
    return literal_tar(genuine, impostor, 1e-3), literal_tar(right, strangers, 0.1)


@lru_cache
def literal_table(kind):
    """(1 + n, trials, 2) the rates of all people and without every fourth person; and these people."""
    protocol = make("lfw_blufr")
    rows = embedded(protocol, kind).tolist()
    scores = [[literal_cosine(a, b) for b in rows] for a in rows]
    left_out = sorted(set(protocol.people))[3::4]  # the hub among them
    found = [
        [literal_trial(scores, protocol.people, *t, without=one) for t in trials_of(TEXT)] for one in (None, *left_out)
    ]
    return np.array(found), left_out


@pytest.mark.parametrize("block", [1, 200, exact.BLOCK])
@pytest.mark.parametrize("kind", ["plain", "hub", "close"])
def test_blufr_equals_loops_over_its_trials(kind, block, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK", block)
    protocol, trials = make("lfw_blufr"), trials_of(TEXT)
    answer = protocol.score(embedded(protocol, kind))
    table, left_out = literal_table(kind)
    ranked = sorted(set(protocol.people), key=lambda person: (-protocol.people.count(person), person))
    for figure, values in (("vr_at_far_1e-3", table[:, :, 0]), ("dir_at_far_1e-1_rank1", table[:, :, 1])):
        key = f"lfw-blufr/{figure}"
        mean, spread = values.mean(axis=1), values.std(axis=1, ddof=1)
        assert answer.raw[figure] == pytest.approx(values[0], abs=1e-15)
        assert answer.metrics[f"{key}_mean"] == pytest.approx(mean[0], abs=1e-15)
        assert answer.metrics[f"{key}_std"] == pytest.approx(spread[0], abs=1e-15)
        assert answer.metrics[key] == pytest.approx(max(mean[0] - spread[0], 0), abs=1e-15)
        for one, found in (("", np.maximum(mean - spread, 0)), ("_mean", mean), ("_std", spread)):
            clusters = [answer.clusters[key + one].values[ranked.index(person)] for person in left_out]
            assert clusters == pytest.approx(found[1:], abs=1e-14)
        assert "hangs on" in answer.marks[key] and "effective identities in the" in answer.marks[key]
    assert answer.undefined["lfw-blufr/vr_at_far_1e-5"].startswith("FAR 1e-05 is undefined on ")
    assert "probes without a mate in the gallery of a trial" in answer.undefined["lfw-blufr/dir_at_far_1e-2_rank1"]
    assert (answer.counts["images"], answer.counts["people"], answer.counts["trials"]) == (100, 40, 4)
    assert answer.counts["test_images"] == np.mean([len(test) for test, _, _ in trials])
    assert answer.counts["gallery"] == np.mean([len(gallery) for _, gallery, _ in trials])
    assert answer.counts["genuine"] + answer.counts["impostor"] == np.mean(
        [len(t) * (len(t) - 1) / 2 for t, _, _ in trials]
    )


def test_another_scorer_is_counted_exactly_too():
    protocol = make("lfw_blufr")
    rows = embedded(protocol)
    answer = protocol.score(rows, scorers.fit("l2"))
    scores = [[-float(np.sum((a - b) ** 2)) / 2 for b in rows] for a in rows]
    rounded = np.round(scores, 9).tolist()
    found = [literal_trial(rounded, protocol.people, *trial) for trial in trials_of(TEXT)]
    assert answer.raw["vr_at_far_1e-3"].tolist() == [vr for vr, _ in found]
    assert answer.raw["dir_at_far_1e-1_rank1"].tolist() == [rate for _, rate in found]


def test_a_missing_gallery_image_takes_its_person_out_of_identification():
    protocol = make("lfw_blufr")
    trial = protocol.trials[0]
    lost = protocol.images[trial.gallery[0]]
    partial = protocol.without({lost})
    person = lost.split("/")[0]
    assert person not in {partial.people[row] for row in partial.trials[0].probes}
    assert person in {partial.people[row] for row in partial.trials[0].test}
    rows = embedded(protocol)
    answer = partial.score(rows[[name != lost for name in protocol.images]])
    assert answer.marks["lfw-blufr/vr_at_far_1e-3"].startswith("partial: 1 of 100 images are missing; ")


# --- the tail ---


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 3)), max_size=30), max_size=8),
    st.integers(1, 12),
)
def test_the_tail_of_any_stream_is_the_end_of_its_sorted_list(chunks, keep):
    tail = Tail(keep, 4)
    for chunk in chunks:
        numbers = np.array(chunk, float).reshape(-1, 3)
        high = numbers[numbers[:, 0] >= tail.floor]
        tail.add(high[:, 0], high[:, 1:].T.astype(int))
    tail.close()
    stream = [pair for chunk in chunks for pair in chunk]
    for without in (None, 0, 1, 2, 3):
        falling = sorted((s for s, a, b in stream if without not in (a, b)), reverse=True)
        for allowed in range(len(stream) + 2):
            (found,) = tail.to_exceed([allowed], without)
            if found is None:
                assert allowed >= sum(s >= tail.floor and without not in (a, b) for s, a, b in stream)
            else:
                assert found == (falling[allowed] if allowed < len(falling) else -np.inf)
        assert all(level is not None for level in tail.to_exceed(list(range(keep)))), "it keeps what it was asked to"


# --- lists ---


def mat(path, text=TEXT, **changes):
    """The toolkit's MATLAB file with the content of the text files."""
    from scipy.io import savemat

    def cells(values):
        made = np.empty((len(values), 1), object)
        for row, value in enumerate(values):
            made[row, 0] = value
        return made

    trials = trials_of(text)
    sets = [cells([np.array(trial[part])[:, None] + 1 for trial in trials]) for part in range(3)]
    values = {
        "imageList": cells(text["image_list.txt"].splitlines()),
        "labels": np.array([float(label) for label in text["labels.txt"].splitlines()])[:, None],
        **dict(zip(("testIndex", "galIndex", "probIndex"), sets, strict=True)),
        **changes,
    }
    savemat(path, {name: value for name, value in values.items() if value is not None}, do_compression=True)


def test_the_matlab_file_and_the_text_files_are_the_same_lists(tmp_path):
    mat(tmp_path / "blufr_lfw_config.mat")
    (tmp_path / "list").mkdir()
    for file, text in TEXT.items():
        (tmp_path / "list" / file).write_text(text)
    made = [protocols.create("lfw_blufr", root=tmp_path, **options) for options in ({}, {"lists": "list"})]
    made += [protocols.create("lfw_blufr", root=tmp_path / "list"), make("lfw_blufr")]
    assert len({protocol.hash for protocol in made}) == 1 and len({protocol.images for protocol in made}) == 1
    assert made[0].images[:3] == tuple(f"Person_0{n}/Person_0{n}_000{k}.jpg" for n, k in ((0, 1), (1, 1), (1, 2)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"galIndex": None}, "has no variable 'galIndex': expected imageList, labels, testIndex, galIndex, probIndex"),
        ({"labels": np.array([["a"]])}, "has other variables than BLUFR's lists .*no whole numbers"),
        ({"labels": np.array([[1.5]])}, "no whole numbers but"),
        ({"labels": np.ones((100, 1))}, "expected one label a person for each of its 100 images, got 100 labels"),
        ({"labels": np.ones((3, 1))}, "got 3 labels"),
        (
            {"imageList": np.array(["noname"], object)},
            r"has an image 'noname': expected file names like Aaron_Eckhart_0001",
        ),
        ({"galIndex": np.array([[[1]], [[2]]], object)}, "has 4, 2, 4 trials in its three sets"),
    ],
)
def test_a_matlab_file_with_other_content_is_answered_in_one_sentence(tmp_path, changes, sentence):
    mat(tmp_path / "blufr_lfw_config.mat", **changes)
    with pytest.raises(RequestError, match=sentence):
        protocols.create("lfw_blufr", root=tmp_path)


def test_files_that_are_no_lists(tmp_path):
    with pytest.raises(RequestError, match=r"no file at .*blufr_lfw_config.mat: check .* give lists=FOLDER"):
        protocols.create("lfw_blufr", root=tmp_path)
    path = tmp_path / "x.mat"
    for data in (b"", b"\x00" * 300, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 20):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=r"x.mat is no MATLAB file of versions 5 to 7.2 \(|has no variable"):
            protocols.create("lfw_blufr", root=tmp_path, lists="x.mat")
    bomb = zlib.compress(bytes(_blufr_lists.MOST_BYTES + 1), 9)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(head + (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + bomb)
    with pytest.raises(RequestError, match="unpacks to more than 67,108,864 bytes"):
        protocols.create("lfw_blufr", root=tmp_path, lists="x.mat")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mat")
    mat(folder / "x.mat")
    return folder / "x.mat", (folder / "x.mat").read_bytes()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.data())
def test_any_bytes_are_the_lists_or_one_sentence(whole, data):
    path, good = whole
    cut = data.draw(st.integers(0, len(good)))
    changes = data.draw(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=4))
    bad = bytearray(good)
    for place, value in changes:
        bad[place] = value
    path.write_bytes(bytes(bad[:cut] if data.draw(st.booleans()) else bad))
    try:
        assert len(_blufr_lists.of_mat(path).trials) >= 1
    except RequestError as error:
        assert str(error).startswith((str(path), "trial ", "the labels beside", "image "))


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("test_set.txt", "4\n", "5\n", "test_set.txt ends before trial 5 of the 5 that its first line promises"),
        ("test_set.txt", "4\n", "four\n", "test_set.txt line 1: expected a whole number, got 'four'"),
        ("probe_set.txt", "\n1, P", "\nx, P", "probe_set.txt line .*: expected a whole number, got 'x'"),
        ("probe_set.txt", "1, Person_00", "2, Person_00", "image 2 of image_list.txt is not 'Person_00_0001.jpg'"),
        ("gallery_set.txt", "4\n", "3\n", "gallery_set.txt line .*: expected the end of the last trial"),
        ("labels.txt", "1\n", "", "got 99 labels"),
    ],
)
def test_malformed_text_lists_are_answered_with_their_line(file, old, new, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("lfw_blufr", root={**TEXT, file: TEXT[file].replace(old, new, 1)})


@pytest.mark.parametrize(
    ("test", "gallery", "probe", "sentence"),
    [
        ([1, 2, 3, 4], [2, 3], [1, 4], "trial 1 of image_list.txt: a person has two gallery images"),
        ([1, 2, 3, 4], [2, 4], [1], "its test set is not its gallery and its probes together"),
        ([1, 2, 4], [2, 4], [1, 1], "an index that is there twice, or not from 1 to 100"),
        ([1, 2, 4], [2, 4], [101], "an index that is there twice, or not from 1 to 100"),
        ([1, 2, 4], [2, 4], [0], "an index that is there twice, or not from 1 to 100"),
        ([1, 2, 4], [2, 4], [1], "trial 1 of lfw-blufr has 0 genuine and 3 impostor pairs and 0 probes with a mate"),
    ],
)
def test_sets_that_contradict_each_other(test, gallery, probe, sentence):
    sets = {"test": test, "gallery": gallery, "probe": probe}
    texts = {f"{part}_set.txt": f"1\n{len(rows)}\n" + "\n".join(map(str, rows)) for part, rows in sets.items()}
    with pytest.raises(RequestError, match=sentence):
        protocols.create("lfw_blufr", root={**TEXT, **texts})
    twice = TEXT["image_list.txt"].replace("Person_00_0001", "Person_01_0001")
    with pytest.raises(RequestError, match="'Person_01/Person_01_0001.jpg' stands twice"):
        protocols.create("lfw_blufr", root={**TEXT, **texts, "image_list.txt": twice})


WORDS = st.sampled_from(
    ["1", "2", "0", "1, A_0001.jpg", "2, A_0002.jpg", "3", "x", "-1", "٣", "²", "9" * 5000, ",", ""]
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.sampled_from(["test_set.txt", "labels.txt", "image_list.txt", "probe_set.txt"]), st.lists(WORDS, max_size=9))
def test_any_text_is_the_lists_or_one_sentence(file, words):
    root = {
        "image_list.txt": "A_0001.jpg\nA_0002.jpg\nB_0001.jpg", "labels.txt": "1\n1\n2", "test_set.txt": "1\n3\n1\n2\n3",
        "gallery_set.txt": "1\n1\n1", "probe_set.txt": "1\n2\n2\n3",
    }  # fmt: skip
    assert len(_blufr_lists.of_text(root).trials) == 1
    try:
        assert _blufr_lists.of_text({**root, file: "\n".join(words)}).trials
    except RequestError as error:
        assert str(error)


# --- generated lists ---


def test_lists_made_by_the_rule_of_the_paper():
    root = {"lfw-names.txt": "\n".join(f"P{n:03}\t{1 + n % 4}" for n in range(100))}
    sizes = {"trials": 5, "train_people": 30, "gallery_people": 20}
    protocol = protocols.create("lfw_blufr", root=root, lists="generated", **sizes)
    assert protocol.name == "lfw-blufr_generated" and len(protocol.images) == 250
    owner = np.array(protocol.people)
    counts = {name: int((owner == name).sum()) for name in owner}
    for trial in protocol.trials:
        assert len(set(owner[trial.test])) == 70 and len(trial.gallery) == len(set(owner[trial.gallery])) == 20
        assert sorted(trial.test) == sorted([*trial.gallery, *trial.probes])
        assert all(counts[name] >= 2 for name in owner[trial.gallery])
        assert all((owner[trial.test] == name).sum() == counts[name] for name in set(owner[trial.test])), "whole people"
    assert len({tuple(trial.test) for trial in protocol.trials}) == 5
    again = protocols.create("lfw_blufr", root=root, lists="generated", **sizes)
    other = protocols.create("lfw_blufr", root=root, lists="generated", seed=1, **sizes)
    assert again.hash == protocol.hash != other.hash
    assert protocol.primary in protocol.score(np.random.default_rng(0).normal(size=(250, 5))).metrics
    with pytest.raises(RequestError, match=r"trial 1 of lfw_blufr needs 1,000 test people with two images and has 0"):
        protocols.create("lfw_blufr", root=root, lists="generated")
    with pytest.raises(RequestError, match="lfw-names.txt line 1: expected a new `NAME images`, got 'P1'"):
        protocols.create("lfw_blufr", root={"lfw-names.txt": "P1"}, lists="generated")


# --- all of LFW ---


@needs_data
def test_all_of_lfw_in_trials_of_the_papers_size():
    protocol = protocols.create("lfw_blufr", root=DATA, images=LFW, lists="generated", trials=2)
    named = protocols.create("lfw_blufr", root=DATA, lists="generated", names="protocols/lfw_names.txt", trials=2)
    assert sorted(named.images) == sorted(protocol.images) and len(named.images) == 13_233
    owner = np.array(protocol.people)
    for trial in protocol.trials:
        assert len(set(owner[trial.test])) == 4_249 and len(trial.gallery) == 1_000
        assert 9_000 < len(trial.test) < 10_400, "9,708 in the mean of the paper's ten"
    answer = protocol.score(pixels(protocol.images))
    rate = answer.metrics["lfw-blufr_generated/vr_at_far_1e-3_mean"]
    assert 0.004 < rate < 0.2, "above chance, 0.001"
    assert 0 < answer.metrics["lfw-blufr_generated/dir_at_far_1e-2_rank1_mean"] < 0.2
    assert "hangs on" not in answer.marks["lfw-blufr_generated/vr_at_far_1e-3"]
    assert "effective identities in the genuine pairs" in answer.marks["lfw-blufr_generated/vr_at_far_1e-3"]
    trial, rows = protocol.trials[0], pixels(protocol.images).astype(np.float64)
    units = rows[trial.test] / np.linalg.norm(rows[trial.test], axis=1, keepdims=True)
    genuine, high, impostors = [], [], 0
    for row, unit in enumerate(units):  # each pair once; only high impostor scores are kept
        scores, same = units[:row] @ unit, owner[trial.test[:row]] == owner[trial.test[row]]
        genuine.append(scores[same])
        high.append(scores[~same & (scores > 0.2)])
        impostors += int((~same).sum())
    falling = np.sort(np.concatenate(high))[::-1]
    level = falling[impostors // 1_000]
    assert answer.raw["vr_at_far_1e-3"][0] == pytest.approx(np.mean(np.concatenate(genuine) > level + 1e-12), abs=1e-5)
