"""The command line as a user meets it: exit codes, one sentence on stderr, no traceback."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bench import cli, ledger, places, record, single
from bench.errors import RequestError
from bench.locks import alone

TINY = ["--dataset", "digits", "--set", "channels=1", "--set", "image_size=16"]
TINY += ["--set", "backbone_options.widths=[4, 4, 4, 4]", "--set", "embedding_dim=8"]


def test_help_lists_the_commands(facebench):
    code, out, _ = facebench("--help")
    assert code == 0
    for command in ("demo", "train", "sweep", "evaluate", "report", "ui", "data", "list", "doctor", "status", "sync"):
        assert f"  {command} " in out
    assert "  ensemble " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "hinge"], "no 'hinge' in losses; there is: adaface, arcface, .*lmcl, .*softmax"),
        (["train", "--backbone", "resnt18"], "no 'resnt18' in backbones; closest: "),
        (["train", "--dataset", "fases"], "no 'fases' in datasets; there is: digits, faces, folder, lst, mnist"),
        (["train", "--epochs", "many"], "Invalid value for '--epochs': Input should be a valid integer"),
        (["train", "--set", "epochs"], "--set takes KEY=VALUE, got 'epochs'"),
        (["train", "--set", "epoch=3"], "a trial has no field 'epoch'; it has: study, stage"),
        (["train", "--set", "momentum=high"], "the trial's field 'momentum' takes a number, got 'high'"),
        (["train", "--set", "loss_options=3"], "the trial's field 'loss_options' takes a mapping, got 3"),
        (["train", "--set", "augment.flip=3"], "augment.flip must be a number between 0 and 1, got 3"),
        (["train", "--set", "seed=1", "--set", "seed.x=2"], "goes below 'seed', which was set to a value"),
        (["train", "--set", "seed=[1"], "the value is not valid yaml"),
        (["train", "--protocol", "lfv"], "faces .*no protocol 'lfv'"),
        (["train", "--set", "data=faces"], "the trial's field 'data' takes a mapping, got 'faces'"),
        (["train", "--set", "protocols=[lfw]"], "'protocols' takes a list of mappings"),
        (["train", "--set", "protocols=[{name: heldout, data: digits}]"], "a protocol's data are a mapping"),
        (["train", "--set", "data.seed=2020-01-01"], "expected numbers, words, lists and mappings"),
        (["train", "--set", "data.size=32", "--protocol", "lfw"], "options of the data set were set"),
        (["train", "--set", "protocols=[{name: lfw, root: 5}]"], "a data path is a word, got 5"),
        (["data", "sheet", "digits", "-o", "sheet.foo"], "written to a .png file, got sheet.foo"),
        (["data", "sheet", "digits", "--set", "nonsense=1"], "dataset 'digits' has no option 'nonsense'"),
        (["train", "--nonsense"], "No such option: --nonsense"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["evaluate", "nothing.npy"], "no file of embeddings at nothing.npy"),
        (["evaluate"], "a file of embeddings or the network of --model, got neither"),
        (["report", "nowhere"], "no study 'nowhere' in .*runs; there is: none yet"),
        (["status", "nowhere"], "no study 'nowhere'"),
        (["sync", "nowhere"], "no study 'nowhere'"),
        (["sweep", "nowhere"], "nowhere.*smoke"),
        (["list", "colours"], "list takes losses, backbones, datasets, protocols or studies, got 'colours'"),
        (["sweep", "smoke", "--data", "/nowhere"], "--data must name a folder, /nowhere is none"),
        (["data", "sheet", "nowhere.zip"], r"\$FACEBENCH_DATA"),
        (["data", "images", "--protocol", "lfw"], r"no data folder is named: give --data FOLDER"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(facebench, arguments, message):
    import re

    code, out, err = facebench(*arguments)
    assert code == 2 and re.search(message, err), err
    assert err.startswith("facebench: ") and err.count("\n") == 1 and "Traceback" not in err and not out


def test_a_diverging_training_is_exit_code_1(facebench):
    code, _, err = facebench("train", "softmax", *TINY, "--set", "learning_rate=1e30", "--set", "warmup=0")
    assert code == 1 and "the training diverged" in err and "Traceback" not in err


def test_train_scores_records_and_enters_the_ledger(facebench):
    code, out, _ = facebench("train", "center", *TINY, "--epochs", 2, "--protocol", "heldout", "--json")
    answer = json.loads(out)
    assert code == 0 and 0 < answer["metrics"]["heldout/auc"] <= 1
    (entry,) = ledger.entries()
    assert entry["protocol"] == "heldout" and entry["trial"] == answer["id"]


def test_evaluate_scores_anybodys_embeddings(facebench, tmp_path):
    settings = ["--protocol", "heldout", "--set", "data.name=digits"]
    code, out, _ = facebench("data", "images", *settings)
    images = out.split()
    assert code == 0 and len(images) > 400 and len(set(images)) == len(images)
    by_person = {name: k for k, name in enumerate(sorted({i.split("/")[0] for i in images}))}
    perfect = np.eye(len(by_person))[[by_person[i.split("/")[0]] for i in images]]
    np.save(tmp_path / "mine.npy", perfect)
    code, out, _ = facebench("evaluate", tmp_path / "mine.npy", *settings, "--json")
    assert code == 0 and json.loads(out)["metrics"]["heldout/auc"] == 1.0
    code, out, _ = facebench("evaluate", tmp_path / "mine.npy", *settings)
    assert code == 0 and "heldout/auc" in out and "1.0000" in out
    assert len(ledger.entries()) == 2


def test_evaluate_takes_a_root_names_and_missing_images(facebench, tmp_path):
    images = [f"Person_{n // 3:02d}/{n % 3}.jpg" for n in range(72)]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "images.txt").write_text("\n".join(images))
    rows = [f"{image},{n // 3 % 5 + 1},{n // 3 % 7 + 1},{n // 3}" for n, image in enumerate(images)]
    (tmp_path / "mine.csv").write_text("\n".join(rows[2:]))
    request = ["evaluate", tmp_path / "mine.csv", "--protocol", "heldout", "--root", tmp_path / "lists"]
    code, _, err = facebench(*request)
    assert (
        code == 2 and "2 of the 72 images of heldout have no row of their name, the first is 'Person_00/0.jpg'" in err
    )
    code, out, _ = facebench(*request, "--allow-missing", "--json")
    marks = json.loads(out)["marks"]
    assert code == 0 and marks["heldout/auc"].startswith("partial: 2 of 72 images are missing")
    code, _, err = facebench("evaluate", tmp_path / "mine.csv", "--root", tmp_path / "nowhere")
    assert code == 2 and "--root must name the folder (or file) of the protocol, there is none at" in err


def test_evaluate_freezes_thresholds_on_development_scores(facebench, tmp_path):
    images = [f"Person_{n // 3:02d}/{n % 3}.jpg" for n in range(72)]
    (tmp_path / "images.txt").write_text("\n".join(images))
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(24, 4)).repeat(3, axis=0))
    scores = [f"{score / 1000},{int(score > 900)}" for score in range(1000)]
    (tmp_path / "dev.csv").write_text("score,same\n" + "\n".join(scores))
    request = ["evaluate", tmp_path / "mine.npy", "--root", tmp_path, "--development", tmp_path / "dev.csv"]
    code, out, _ = facebench(*request, "--protocol", "heldout", "--json")
    answer = json.loads(out)
    # 901 impostors from 0 to 0.9: the least score that at most nine of them reach is 0.892
    assert code == 0 and answer["development"]["thresholds"]["1e-2"] == 0.892
    assert 0 < answer["metrics"]["heldout/far_at_dev_1e-2"] < 0.3 and answer["metrics"]["heldout/frr_at_dev_1e-2"] == 0
    (tmp_path / "odd.csv").write_text("score,same\n0.5,-1\n0.6,1\n")
    odd = [
        "evaluate",
        tmp_path / "mine.npy",
        "--root",
        tmp_path,
        "--protocol",
        "heldout",
        "--development",
        tmp_path / "odd.csv",
    ]
    code, _, err = facebench(*odd)
    assert code == 2 and "must hold finite scores, and 1 (one person) or 0 (two) as same" in err
    code, _, err = facebench(*request, "--protocol", "retrieval")
    assert code == 2 and "retrieval compares no pairs at a threshold: leave --development out" in err


def test_data_images_writes_the_crops_in_the_protocols_order(facebench, tmp_path, tree):
    from PIL import Image

    names = ["Dee/1.png", "Ann/0.png", "Ann/1.png"]
    (tree / "images.txt").write_text("\n".join(names))
    request = ["data", "images", "--protocol", "retrieval", "--root", tree, "--crops", tmp_path / "crops"]
    code, out, _ = facebench(*request)
    assert code == 0 and out.split() == names
    for name in out.split():
        with Image.open(tmp_path / "crops" / name) as crop, Image.open(tree / name) as original:
            assert np.array_equal(np.asarray(crop), np.asarray(original))
    stamp = (tmp_path / "crops" / "Dee" / "1.png").stat().st_mtime_ns
    assert facebench(*request)[0] == 0 and (tmp_path / "crops" / "Dee" / "1.png").stat().st_mtime_ns == stamp
    (tree / "images.txt").write_text("\n".join([*names, "Bob/none.png"]))
    code, _, err = facebench(*request)
    assert code == 2 and "1 of 1 images are missing in" in err and "the first is 'Bob/none.png'" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "is no .npy file of plain numbers"),
        (np.zeros(3), r"must hold one \(images, dimensions\) array of numbers"),
        (np.array([[None]]), "is no .npy file of plain numbers"),
        (np.zeros((2, 3)), r"one row of numbers for each of its 533 images .*, got an array of shape \(2, 3\)"),
        (np.full((533, 3), np.nan), r"533 of 533 embeddings for heldout hold nan or infinity, the first is row 0"),
    ],
)
def test_embeddings_that_are_none_are_answered(facebench, tmp_path, content, message):
    import re

    path = tmp_path / "mine.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    code, _, err = facebench("evaluate", path, "--protocol", "heldout", "--set", "data.name=digits")
    assert code == 2 and re.search(message, err) and err.count("\n") == 1


def test_a_package_that_is_missing_is_named(facebench, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = facebench("sweep", "smoke", "--address", "inline")
    assert code == 2 and "this command needs optuna, which is not installed" in err


def test_a_contact_sheet_counts_and_draws(facebench, tree, tmp_path):
    code, out, _ = facebench("data", "sheet", tree, "-o", tmp_path / "sheet.png")
    assert code == 0 and "4 identities, 12 images" in out and (tmp_path / "sheet.png").stat().st_size > 500


def test_list_knows_every_room(facebench):
    for what, one in (("losses", "lmcl"), ("datasets", "faces"), ("protocols", "ytf"), ("studies", "demo")):
        code, out, _ = facebench("list", what, "--json")
        assert code == 0 and one in json.loads(out)
    assert "resnet50" in facebench("list", "backbones")[1].split()
    on_the_disk = {"folder", "lst", "mnist", "olivetti", "parquet", "recordio", "webdataset"}
    assert on_the_disk | {"digits", "faces"} == set(json.loads(facebench("list", "datasets", "--json")[1]))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_stopped_command_says_that_it_continues_where_it_does(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["facebench", command])
    monkeypatch.setattr(cli, "app", lambda **_: cli.INTERRUPTED)
    with pytest.raises(SystemExit, match="130"):
        cli.main()
    assert ("continues" in capsys.readouterr().err) == (command == "train")


@pytest.mark.long
@pytest.mark.slow
def test_ctrl_c_stops_and_the_same_command_goes_on(tmp_path):
    """SIGINT in the middle of a training: exit code 130, one sentence; again: the record is that of an unbroken run."""
    command = [sys.executable, "-c", "from bench import cli; cli.main()", "train", "softmax", *TINY, "--epochs", "12"]

    def start(runs):
        places = {**os.environ, "FACEBENCH_RUNS": str(tmp_path / runs)}
        return subprocess.Popen(command, env=places, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    process = start("cut")
    while "epoch   3" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "facebench: stopped; the same command continues where it stood\n"
    time.sleep(0.1)
    for runs in ("cut", "whole"):
        process = start(runs)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert ("epoch   1" in out) == (runs == "whole")
    cut, whole = (next((tmp_path / runs).glob("single/*/record.json")) for runs in ("cut", "whole"))
    assert json.loads(cut.read_text())["metrics"] == json.loads(whole.read_text())["metrics"]


def test_the_doctor_names_mixed_builds(monkeypatch):
    from bench import doctor

    said = "RuntimeError: operator torchvision::nms does not exist"
    monkeypatch.setattr(doctor, "_try", lambda code: subprocess.CompletedProcess(code, 1, "", said))
    found = doctor._torchvision()
    assert (
        found.state == "wrong" and "come from different builds" in found.detail and "make clean setup" in found.detail
    )


@pytest.mark.slow
def test_the_doctor_looks_at_everything(facebench, monkeypatch):
    monkeypatch.setenv("FACEBENCH_DATA", "/nowhere")
    code, out, _ = facebench("doctor", "--json")
    found = {finding["subject"]: finding for finding in json.loads(out)}
    assert code == 1 and found["data"]["state"] == "wrong" and "/nowhere" in found["data"]["detail"]
    assert all(found[name]["state"] == "ok" for name in ("python", "torch", "torchvision", "timm", "runs", "cache"))


@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), OSError("odd")])
def test_an_error_of_the_system_that_names_no_file_is_a_sentence(error, monkeypatch, capsys):
    def fails(**_):
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err in ("facebench: Operation not permitted\n", "facebench: OSError: odd\n")


def test_two_processes_do_not_train_one_trial():
    wanted = single.trial({"loss": "softmax", "backbone": "cnn4"}, "digits", {}, [])
    folder = record.start(wanted, places.study_folder(single.STUDY))
    with alone(folder), pytest.raises(RequestError, match=f"another process trains trial {wanted.id}"):
        single.train(wanted)
    assert not (folder / "events.jsonl").exists()
