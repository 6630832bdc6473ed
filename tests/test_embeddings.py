"""Embeddings from anybody's files: every format gives the same rows, and a broken file one sentence."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_lists import embed, make

from bench import embeddings
from bench.errors import RequestError

PROTOCOL = make("lfw")
ROWS = embed(PROTOCOL).astype(np.float32)
MIXED = np.random.default_rng(3).permutation(len(ROWS))  # files that name their images may be in any order
NAMES = np.array(PROTOCOL.images)[MIXED]


def frame(names=NAMES, rows=ROWS[MIXED], heading="image"):
    table = pandas.DataFrame(rows, columns=[f"d{n}" for n in range(rows.shape[1])])
    table.insert(0, heading, names)
    return table


WRITERS = {
    "rows.npy": lambda path: np.save(path, ROWS),
    "rows.npz": lambda path: np.savez(path, ROWS),
    "named.npz": lambda path: np.savez(path, features=ROWS[MIXED], names=NAMES),
    "packed.npz": lambda path: np.savez_compressed(path, embeddings=ROWS[MIXED], paths=NAMES),
    "named.csv": lambda path: frame().to_csv(path, index=False, float_format="%.9g"),
    "headless.csv": lambda path: frame().to_csv(path, index=False, header=False, float_format="%.9g"),
    "rows.csv": lambda path: np.savetxt(path, ROWS, delimiter=",", fmt="%.9g"),
    "wide.parquet": lambda path: frame().to_parquet(path),
    "lists.parquet": lambda path: pandas.DataFrame({"path": NAMES, "embedding": list(ROWS[MIXED])}).to_parquet(path),
    "other_suffix.csv": lambda path: frame([n.replace(".jpg", ".png") for n in NAMES]).to_csv(path, index=False),
    "more_rows.csv": lambda path: pandas.concat([frame(["Nobody/1.jpg"], ROWS[:1]), frame()]).to_csv(path, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_protocols_rows(tmp_path, name):
    WRITERS[name](tmp_path / name)
    protocol, rows = embeddings.arrange(embeddings.read(tmp_path / name), PROTOCOL)
    assert protocol is PROTOCOL
    assert np.array_equal(np.asarray(rows, np.float32), ROWS)


def test_a_npy_file_is_mapped_and_not_read(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    assert isinstance(embeddings.read(tmp_path / "a.npy").rows, np.memmap)


def test_names_that_are_numbers_are_names_where_the_column_says_so(tmp_path):
    frame(np.arange(len(ROWS))).to_csv(tmp_path / "a.csv", index=False)
    found = embeddings.read(tmp_path / "a.csv")
    assert found.names[:3] == ("0", "1", "2") and found.rows.shape == ROWS.shape


def test_missing_images_are_counted_or_left_out(tmp_path):
    frame().iloc[5:].to_csv(tmp_path / "a.csv", index=False)
    found = embeddings.read(tmp_path / "a.csv")
    gone = set(NAMES[:5])
    first = next(name for name in PROTOCOL.images if name in gone)
    with pytest.raises(
        RequestError, match=f"5 of the 110 images of lfw have no row of their name, the first is '{first}'"
    ):
        embeddings.arrange(found, PROTOCOL)
    partial, rows = embeddings.arrange(found, PROTOCOL, allow_missing=True)
    assert partial.hash == PROTOCOL.without(gone).hash
    assert np.array_equal(rows.astype(np.float32), ROWS[[PROTOCOL.images.index(name) for name in partial.images]])


def test_of_two_rows_with_one_stem_the_exact_name_counts(tmp_path):
    names = [PROTOCOL.images[0].replace(".jpg", ".png"), *PROTOCOL.images]
    rows = np.concatenate([np.ones((1, ROWS.shape[1]), np.float32), ROWS])
    np.savez(tmp_path / "a.npz", embeddings=rows, names=names)
    assert np.array_equal(embeddings.arrange(embeddings.read(tmp_path / "a.npz"), PROTOCOL)[1], ROWS)
    np.savez(tmp_path / "b.npz", embeddings=rows, names=[names[1], *names[1:]])
    with pytest.raises(RequestError, match=f"name 1 images twice, the first is '{names[1]}'"):
        embeddings.arrange(embeddings.read(tmp_path / "b.npz"), PROTOCOL)


def pickled(path):
    np.save(path, np.array([object()]), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        (
            "a.txt",
            lambda path: path.write_text("1"),
            r"a.txt is no file of embeddings: expected .npy, .npz, .csv, .parquet",
        ),
        ("none.npy", lambda path: None, "no file of embeddings at .*none.npy"),
        ("a.npy", lambda path: path.write_bytes(b"not numpy"), "no .npy file of plain numbers"),
        (
            "a.npy",
            lambda path: np.save(path, ROWS[0]),
            r"one \(images, dimensions\) array of numbers, got shape \(12,\)",
        ),
        ("a.npy", pickled, "no .npy file of plain numbers"),
        ("a.npz", lambda path: path.write_bytes(b"PK"), "no .npz file of plain arrays"),
        ("a.npz", lambda path: np.savez(path, x=ROWS, y=ROWS), "must hold the array 'embeddings'; it has: x, y"),
        ("a.npz", lambda path: np.savez(path, embeddings=ROWS, names=NAMES[:3]), "3 names for 110 rows"),
        (
            "a.npz",
            lambda path: np.savez(path, embeddings=ROWS, names=np.arange(110)),
            "one array of text, got type int64",
        ),
        ("a.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "no csv of UTF-8 text"),
        ("a.csv", lambda path: path.write_text(""), "cannot be read as a table"),
        ("a.csv", lambda path: path.write_text("image,who,d\na,b,1\n"), "got 2 columns that are no numbers"),
        ("a.csv", lambda path: path.write_text("image\na\n"), "no columns of numbers"),
        ("a.parquet", lambda path: path.write_bytes(b"PAR1"), "cannot be read as a table"),
        (
            "a.parquet",
            lambda path: pandas.DataFrame({"image": ["a", "b"], "e": [[1.0], [1.0, 2.0]]}).to_parquet(path),
            "lists of numbers, all equally long",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, name, write, sentence):
    write(tmp_path / name)
    with pytest.raises(RequestError, match=sentence):
        embeddings.read(tmp_path / name)


def test_an_array_that_unpacks_to_far_more_than_it_is_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "_MOST_INFLATED", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embeddings.npy", bytes(1 << 21))
    with pytest.raises(RequestError, match="embeddings.npy would unpack to 2,097,152 bytes from 2,"):
        embeddings.read(tmp_path / "a.npz")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, data):
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    path = tmp_path / name
    WRITERS[name](path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        found = embeddings.read(path)
    except RequestError as error:
        assert "\n" not in str(error)
    else:
        assert found.rows.ndim == 2 and found.rows.dtype.kind in "fiu"


# --- tables of scores ---


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_columns_of_numbers_by_name(tmp_path, suffix):
    path = tmp_path / f"dev{suffix}"
    scores, same = np.array([0.5, 0.25, 1.0]), np.array([1, 0, 1])
    table = pandas.DataFrame({"same": same, "score": scores, "who": ["a", "b", "c"]})
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".parquet": lambda: table.to_parquet(path),
        ".npz": lambda: np.savez(path, score=scores, same=same),
    }[suffix]()
    found = embeddings.column(path, "score", "same")
    assert [column.tolist() for column in found] == [scores.tolist(), same.tolist()]
    with pytest.raises(RequestError, match="has no column 'far'; it has: "):
        embeddings.column(path, "far")


def test_a_column_of_words_is_refused(tmp_path):
    (tmp_path / "dev.csv").write_text("score,same\n1,yes\n")
    with pytest.raises(RequestError, match="must be columns of numbers"):
        embeddings.column(tmp_path / "dev.csv", "score", "same")
    with pytest.raises(RequestError, match=r"no table at .*dev.txt: expected a .csv"):
        embeddings.column(tmp_path / "dev.txt", "score", "same")


def test_names_in_the_index_are_names(tmp_path):
    frame().set_index("image").to_parquet(tmp_path / "indexed.parquet")
    assert np.array_equal(embeddings.arrange(embeddings.read(tmp_path / "indexed.parquet"), PROTOCOL)[1], ROWS)


def test_names_stay_as_they_are_written(tmp_path):
    (tmp_path / "a.csv").write_text("image,d0\n0001,1.5\nNA,2.5\n")
    assert embeddings.read(tmp_path / "a.csv").names == ("0001", "NA")
    (tmp_path / "last.csv").write_text("1.5,a/1.jpg\n2.5,a/2.jpg\n")
    assert embeddings.read(tmp_path / "last.csv").names == ("a/1.jpg", "a/2.jpg")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("d0,d1\na/1.jpg,1,2\na/2.jpg,3,4\n", "its rows have more fields than its first line names"),
        (",image,d0\n0,a/1.jpg,1\n", "a column without a name: write it without the index of rows"),
        ("image,label,d0\na/1.jpg,3,0.5\n", "the column 'label' is no dimension of an embedding"),
        ("image,d0\n", "has no rows"),
    ],
)
def test_a_table_that_could_be_read_in_two_ways_is_refused(tmp_path, text, sentence):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RequestError, match=sentence):
        embeddings.read(tmp_path / "a.csv")


def test_of_two_images_that_differ_in_their_suffix_neither_stands_for_the_other():
    twins = SimpleNamespace(name="twins", images=("a/1.jpg", "a/1.png"))
    found = embeddings.Embeddings(ROWS[:1], ("a/1.jpg",))
    with pytest.raises(
        RequestError, match="1 of the 2 images of twins have no row of their name, the first is 'a/1.png'"
    ):
        embeddings.arrange(found, twins)


def test_a_suffix_is_of_feature_files_alone(tmp_path):
    np.save(tmp_path / "mine.npy", np.eye(3))
    with pytest.raises(RequestError, match="--suffix is of a folder's feature files, and .*mine.npy is one file"):
        embeddings.of_protocol(tmp_path / "mine.npy", None, suffix="_a.bin")
