"""A study on bundled data, and on the user's own where they are given: which it is, and that it is said."""

import io

import fake_trial
import pytest
from made_up_sweep import no_mlflow  # noqa: F401 (fixture)

import sweeps
from bench import record
from bench.errors import RequestError
from sweeps import given, reading

TOY = """\
name: toy
data: {name: digits, classes: [0, 1, 2, 3, 4]}
image_size: 16
backbones: {cnn4: {widths: [4, 4, 4, 4]}}
losses: [softmax]
confirm: {seeds: 2, epochs: 3}
protocols:
  - {name: heldout, data: {name: digits}}
given:
  files: [own/images*, own/labels]
  name: toy-own
  data: {name: folder, paths: [own]}
  image_size: 28
  backbones: [lenetpp]
  confirm: {epochs: 9}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder that holds all the files."""
    own = tmp_path / "data" / "own"
    own.mkdir(parents=True)
    (own / "images.gz").touch()
    (own / "labels").touch()
    monkeypatch.setenv("FACEBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def parse(text=TOY, **options):
    return reading.parse(text, "toy.yaml", **options)


def test_without_a_data_folder_the_study_is_what_it_says_and_the_line_says_what_else_it_could_be():
    study = parse()
    assert (study.name, study.data["name"], study.confirm.epochs) == ("toy", "digits", 3)
    assert given.line(study) == (
        "study 'toy' on data set 'digits'; where --data or $FACEBENCH_DATA has own/images*, own/labels, "
        "it is 'toy-own' on them"
    )


@pytest.mark.parametrize("own_data", [False, True])
def test_where_all_files_are_there_the_overrides_hold(folder, own_data):
    study = parse(own_data=own_data)
    assert (study.name, study.image_size, list(study.backbones)) == ("toy-own", 28, ["lenetpp"])
    assert study.data == {"name": "folder", "paths": ["own"]}, "no option of the other data set is left"
    assert (study.confirm.seeds, study.confirm.epochs) == (2, 9), "the rest of a mapping stays"
    assert given.line(study) == f"study 'toy-own' on data set 'folder', from the files in {folder}"


def test_a_data_folder_that_was_named_long_ago_for_something_else_changes_nothing(folder):
    for name in ("images.gz", "labels"):
        (folder / "own" / name).unlink()
    assert parse().name == "toy"


def test_a_data_folder_that_is_not_there_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_DATA", str(tmp_path / "gone"))
    assert parse().name == "toy"


def test_a_data_folder_named_for_this_very_call_must_hold_the_files(folder):
    for name in ("images.gz", "labels"):
        (folder / "own" / name).unlink()
    with pytest.raises(
        RequestError, match=r"^study 'toy' takes other data from own/images\*, own/labels, and there is no own/"
    ):
        parse(own_data=True)


@pytest.mark.parametrize("own_data", [False, True])
def test_some_of_the_files_without_the_others_are_refused(folder, own_data):
    (folder / "own" / "labels").unlink()
    with pytest.raises(
        RequestError, match=r"there is no own/labels in .*/data: put all of them there, or run it without"
    ):
        parse(own_data=own_data)


def test_own_data_mean_nothing_to_a_study_that_takes_none(folder):
    assert parse(TOY.partition("given:")[0], own_data=True).name == "toy"


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        ("  name: toy-own\n", "", 9, ["'given.name'", "missing"]),
        ("name: toy-own", "name: toy", 11, ["'given.name'", "a name of its own", "'toy'"]),
        ("name: toy-own", "name: ../own", 11, ["'given.name'", "'../own'", "pattern"]),
        ("[own/images*, own/labels]", "[]", 10, ["'given.files'", "at least 1"]),
        ("[own/images*, own/labels]", "own", 10, ["'given.files'", "list"]),
        ("own/labels]", "/own/labels]", 10, ["'given.files.1'", "'/own/labels'", "pattern"]),
        ("  image_size: 28", "  image_sise: 28", 13, ["'given.image_sise'", "unknown key", "image_size"]),
        ("{epochs: 9}", "{epochs: 9, seed: 1}", 15, ["'given.confirm.seed'", "accepted here: seeds, epochs"]),
        ("{epochs: 9}", "{epochs: 0}", 15, ["'given.confirm.epochs'", "got 0"]),
        (
            "name: folder, paths",
            "name: folder, path",
            12,
            ["'given.data.path'", "'folder' has no option 'path'", "paths"],
        ),
        ("[lenetpp]", "[lenet]", 14, ["'given.backbones.lenet'", "no backbone 'lenet'"]),
        ("epochs: 3}", "epochs: 0}", 6, ["'confirm.epochs'", "got 0"]),
    ],
)
def test_a_mistake_is_found_whether_the_files_are_there_or_not(right, wrong, line, says):
    assert TOY.count(right) == 1
    with pytest.raises(RequestError) as error:
        parse(TOY.replace(right, wrong))
    for part in (f"study file toy.yaml, line {line},", *says):
        assert part in str(error.value)


def test_both_kinds_are_run_side_by_side_and_each_says_what_it_is(tmp_path, folder, monkeypatch):
    file = tmp_path / "toy.yaml"
    file.write_text(TOY)
    for name, first in (
        ("toy-own", "study 'toy-own' on data set 'folder', from"),
        ("toy", "study 'toy' on data set 'digits'; "),
    ):
        stream = io.StringIO()
        where = sweeps.sweep(file, address="inline", run=fake_trial.run, stream=stream)
        assert where.name == name and stream.getvalue().startswith(first)
        assert {r.trial.data["name"] for r in record.read_study(where)} == {"folder" if name == "toy-own" else "digits"}
        monkeypatch.delenv("FACEBENCH_DATA", raising=False)
    assert sweeps.status(file)["study"] == "toy"


def test_the_other_data_are_no_part_of_what_was_run():
    assert reading.digest(parse()) == reading.digest(parse(TOY.partition("given:")[0]))
