"""BLUFR's lists: the toolkit's MATLAB file, its text files, malformed ones, and lists made by the paper's rule."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lists import LISTS, blufr_trials, make

from bench import protocols
from bench.errors import RequestError
from bench.protocols import _blufr_lists

TEXT = LISTS["lfw_blufr"]


def mat(path, text=TEXT, **changes):
    """The toolkit's MATLAB file with the content of the text files."""
    from scipy.io import savemat

    def cells(values):
        made = np.empty((len(values), 1), object)
        for row, value in enumerate(values):
            made[row, 0] = value
        return made

    trials = blufr_trials(text)
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
