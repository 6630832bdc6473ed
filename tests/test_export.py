"""A network out of the house: ONNX and safetensors that are the trial's network, and a card that does not boast."""

import json
import re
from dataclasses import replace

import made_up_networks as made
import made_up_study
import numpy as np
import onnx
import pytest
import yaml
from safetensors.torch import save_file

import backbones
import reports
from bench import any_network, ledger, onnx_export, places, record, trial_network
from bench.checkpoint import Checkpoints
from bench.errors import RequestError
from bench.networks import metadata
from bench.networks.inputs import settled
from bench.plain import Options, Result, Trial
from reports import _card

TINY = ["--dataset", "digits", "--set", "channels=1", "--set", "image_size=16", "--set", "embedding_dim=8"]
TINY += ["--set", "backbone_options.widths=[4, 4, 4, 4]", "--epochs", "1", "--protocol", "heldout"]
HELDOUT = ["--protocol", "heldout", "--set", "data.name=digits"]
INPUTS = settled("net", made.SAID)


def handmade(monkeypatch, tmp_path, **options) -> None:
    """Have the exporter, which takes seconds, give an ONNX graph that was made by hand."""
    graph = onnx.load(str(made.onnx_file(tmp_path / "made.onnx", **options)))
    monkeypatch.setattr(onnx_export, "_model", lambda network, inputs: graph)


def test_an_onnx_file_is_compared_with_torch_and_says_what_it_wants(tmp_path, monkeypatch):
    handmade(monkeypatch, tmp_path)
    assert onnx_export.write(made.Patches(), INPUTS, {"trial": "ab12"}, tmp_path / "net.onnx") < 1e-5
    opened = any_network.opened(str(tmp_path / "net.onnx"), {})
    assert replace(opened.inputs, origin={}) == replace(INPUTS, origin={}) and opened.facts["trial"] == "ab12"
    assert set(opened.inputs.origin.values()) == {"model"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": 1.001}, r"differs from torch by 0.001 of the largest number, more than 0.0001: nothing was written"),
        ({"shape": (2, 3, 8, 8)}, "refuses images of shape"),
    ],
)
def test_what_is_not_the_network_is_refused(tmp_path, monkeypatch, options, says):
    handmade(monkeypatch, tmp_path, **options)
    with pytest.raises(RequestError, match=says):
        onnx_export.write(made.Patches(), INPUTS, {}, tmp_path / "net.onnx")


# --- the folder ---


def trial(**fields) -> record.Record:
    """A finished trial of no epochs: its network is drawn from its seed, no checkpoint is needed."""
    wanted = Trial(epochs=0, image_size=16, embedding_dim=8, backbone_options=Options(widths=[4, 4, 4, 4]), **fields)
    folder = record.start(wanted, places.study_folder(wanted.study))
    return record.finish(folder, "finished", result=Result({}))


def quick(monkeypatch) -> None:
    monkeypatch.setattr(onnx_export, "write", lambda network, inputs, said, path: path.write_bytes(b"onnx") and 0.0)


def test_nothing_is_overwritten_without_being_asked(facebench, tmp_path, monkeypatch):
    quick(monkeypatch)
    known, to = trial(), tmp_path / "out"
    code, out, err = facebench("export", known.trial.id[:8], "--to", to)
    assert code == 0 and f"{to}: model.onnx" in out, err
    assert sorted(path.name for path in to.iterdir()) == ["README.md", "model.onnx", "model.safetensors"]
    (to / "README.md").write_text("mine")
    (to / "notes.txt").write_text("mine too")
    code, _, err = facebench("export", known.trial.id, "--to", to)
    assert code == 2 and "is there already: give another folder by --to, or --overwrite" in err
    assert (to / "README.md").read_text() == "mine"
    assert facebench("export", known.trial.id, "--to", to, "--overwrite")[0] == 0
    assert (to / "README.md").read_text() != "mine" and (to / "notes.txt").read_text() == "mine too"
    assert facebench("export", known.trial.id, "--json")[0] == 0 and (known.folder / "model" / "model.onnx").exists()


def test_a_refusal_leaves_nothing_behind(facebench, tmp_path, monkeypatch):
    def refuse(network, inputs, said, path):
        path.write_bytes(b"half")
        raise RequestError("it differs")

    monkeypatch.setattr(onnx_export, "write", refuse)
    code, _, err = facebench("export", trial().trial.id, "--to", tmp_path / "deep" / "out")
    assert code == 2 and "it differs" in err and not list((tmp_path / "deep").iterdir())


def test_what_cannot_be_exported(facebench, tmp_path):
    assert "neither a file nor the id of a trial" in facebench("export", "0123")[2]
    gone = record.start(Trial(epochs=3), places.study_folder("single"))
    record.finish(gone, "finished", result=Result({}))
    code, _, err = facebench("export", gone.name)
    assert code == 2 and "has no checkpoint of its last epoch" in err and not (gone / "model").exists()
    (tmp_path / "file").write_text("")
    assert "is a file: give a folder by --to" in facebench("export", gone.name, "--to", tmp_path / "file")[2]


def test_exported_weights_are_opened_without_a_word(tmp_path, monkeypatch):
    quick(monkeypatch)
    known = trial(supervise=("stages.2",), seed=5)
    folder = reports.export(known.trial.id).folder
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    mine = any_network.opened(str(folder / "model.safetensors"), {})
    theirs = any_network.opened(known.trial.id, {})
    np.testing.assert_allclose(mine.embed(images), theirs.embed(images), rtol=1e-5, atol=1e-6)
    assert mine.inputs.flip == "concat" and mine.facts["trial"] == known.trial.id
    with pytest.raises(RequestError, match="takes size 16x16 and nothing else, --input says 32"):
        any_network.opened(str(folder / "model.safetensors"), {"size": 32})


def test_a_checkpoint_that_lies_elsewhere_is_found(tmp_path):
    """As `checkpoints` of a study file says it."""
    wanted = Trial(study="far", epochs=2, image_size=16, embedding_dim=8, backbone_options=Options(widths=[4] * 4))
    known = record.finish(record.start(wanted, places.study_folder("far")), "finished", result=Result({}))
    (known.folder.parent / "study.json").write_text(json.dumps({"file": {"checkpoints": str(tmp_path / "store")}}))
    made, _ = trial_network.drawn(replace(wanted, seed=7))
    place = Checkpoints(str(tmp_path / "store" / "far" / wanted.id))
    place.save({"network": made.state_dict(), "epoch": 1}, [])
    with pytest.raises(RequestError, match="has no checkpoint of its last epoch"):
        trial_network.trained(known)
    place.save({"network": made.state_dict(), "epoch": 2}, [])
    found = trial_network.trained(known).state_dict()
    assert all(value.equal(found[key]) for key, value in made.state_dict().items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backbone": "resnt18"}, "names a network that cannot be made: no 'resnt18' in backbones"),
        ({"embedding_dim": "many"}, "names a network that cannot be made"),
        ({"backbone_options": [1]}, "names a network that cannot be made"),
        ({"colour": "cmyk"}, "names a network that cannot be made"),
        ({"scorer": ["l2"]}, "the scorer of a model is a name"),
        ({"embedding_dim": 9}, "is it another network's?"),
    ],
)
def test_a_strangers_file_that_says_something_else(tmp_path, change, says):
    weights, said = stranger(**change)
    save_file(weights, tmp_path / "model.safetensors", said)
    with pytest.raises(RequestError, match=says) as refused:
        any_network.opened(str(tmp_path / "model.safetensors"), {})
    assert "\n" not in str(refused.value)


def test_a_strangers_file_loads_no_other(tmp_path):
    """timm takes a path or a URL of weights as an option of a model."""
    elsewhere = {"checkpoint_path": str(tmp_path / "none.pth"), "pretrained": True}
    weights, said = stranger("test_resnet", backbone_options=elsewhere)
    save_file(weights, tmp_path / "model.safetensors", said)
    assert any_network.opened(str(tmp_path / "model.safetensors"), {}).kind == "safetensors"


def stranger(real: str = "cnn4", **change) -> tuple[dict, dict]:
    """Weights, and metadata that say what is changed."""
    options = {"widths": [4, 4, 4, 4]} if real == "cnn4" else {}
    weights = backbones.create(real, 8, 3, (16, 16), **options).state_dict()
    said = {**INPUTS.plain(), "size": 16, "backbone": real, "backbone_options": options, "embedding_dim": 8}
    return weights, metadata.written({**said, **change})


# --- the card ---


def card(known: record.Record) -> tuple[dict, str]:
    """The front matter and the text."""
    text = _card.text(known, INPUTS, 1e-6, 1e-4)
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.fixture
def study(tmp_path):
    return made_up_study.make(tmp_path / "runs", seeds=3)


def tuned(folder) -> record.Record:
    return next(one for one in record.read_study(folder) if one.trial.role == "tuned" and one.trial.loss == "lmcl")


def test_the_card_holds_the_figures_with_their_spread_and_n(study):
    known = tuned(study)
    front, body = card(known)
    score = known.scores["lfw"]
    figure = front["model-index"][0]["results"][0]["metrics"][0]
    assert figure == {"type": "lfw/accuracy", "value": score["metrics"]["lfw/accuracy"], "name": "lfw/accuracy"}
    folds = np.array(score["clusters"]["lfw/accuracy"]["values"])
    spread = 100 * folds.std(ddof=1) / len(folds) ** 0.5
    assert f"| lfw/accuracy | {100 * figure['value']:.2f} ± {spread:.2f} |" in body
    assert f"lfw (protocol {score['hash']}): " in body and "pairs 600" in body
    values = [one.metrics["lfw/accuracy"] for one in record.read_study(study) if one.trial.name == "lmcl" and
              one.trial.role == "tuned"]  # fmt: skip
    assert f"over the 3 seeds of this configuration:\n\n- lfw/accuracy: {100 * np.mean(values):.2f} ± " in body
    for said in (
        "loss `lmcl`",
        "backbone `cnn4`",
        "the last one, after epoch 10",
        "`f318bb3d`",
    ):
        assert said.lower() in body.lower(), said


def test_the_card_says_what_speaks_against_it(study):
    said = "\n".join(_card.warnings(tuned(study)))
    assert "Pilot: There are 3 runs" in said and "Whether training and ytf share people is not known" in said
    assert (
        "Dirty" not in said
        and "The network is untrained" not in said
        and "Partial" not in said
        and "test-selected" not in said
    )

    def spoil(body):
        body["provenance"]["dirty"] = True
        body["cost"]["precision"] = "bf16"
        body["scores"]["lfw"]["spec"]["missing"] = [{"what": "images", "count": 3, "of": 20}]
        body["scores"]["ytf"]["overlap"] = {"verdict": "allowed", "detail": "2 people"}

    made_up_study.edit(study, spoil, role="tuned")
    said = "\n".join(_card.warnings(tuned(study)))
    assert "Dirty: the code had uncommitted changes" in said and "computed in bf16" in said
    assert "Partial: lfw was scored without 3 of its 20 images" in said
    assert "Training and ytf overlap, and that was allowed: 2 people." in said


def test_a_run_by_hand_that_looked_before_is_perhaps_selected(study):
    body = json.loads((tuned(study).folder / "record.json").read_text())
    wanted = Trial(study="single", seed=9)
    folder = record.start(wanted, places.study_folder("single"))
    known = record.finish(folder, "finished", result=Result({}, {"lfw": body["scores"]["lfw"]}))
    for who in ("other", wanted.id, "later"):
        ledger.append("single", who, "lfw", known.scores["lfw"]["hash"], {})
    before = len(ledger.entries()) - 2
    looks = sum(entry["protocol"] == "lfw" for entry in ledger.entries()[:before])
    assert f"lfw had been looked at {looks} times here before this run" in "\n".join(_card.warnings(known))


def test_no_path_of_the_machine_stands_in_the_card(study):
    known = tuned(study)
    data = Options(name="folder", paths=["/home/somebody/faces.zip"], exclude="/home/somebody/who.csv:name")
    body = card(replace(known, trial=replace(known.trial, data=data)))[1]
    assert "faces.zip" in body and "somebody" not in body and "knows nothing of their licence" in body


# --- the whole way ---


@pytest.mark.long
@pytest.mark.slow
def test_an_exported_network_reproduces_the_trials_figures(facebench, tmp_path):
    code, out, err = facebench("train", "lmcl", *TINY, "--json")
    assert code == 0, err
    answer = json.loads(out)
    expected = answer["scores"]["heldout"]["metrics"]
    assert facebench("export", answer["id"], "--to", tmp_path / "out")[0] == 0
    for name in ("model.onnx", "model.safetensors", answer["id"]):
        given = name if name == answer["id"] else tmp_path / "out" / name
        code, out, err = facebench("evaluate", "--model", given, *HELDOUT, "--json")
        assert code == 0, err
        assert json.loads(out)["metrics"] == pytest.approx(expected, abs=1e-4), name
    code, out, err = facebench("compare", answer["id"], tmp_path / "out" / "model.onnx", *HELDOUT, "--fail-if-worse")
    assert code == 0 and "tie" in out, err
    content = (tmp_path / "out" / "model.onnx").read_bytes()
    assert not re.search(rb"\.py\b|site-packages", content), "the exporter's notes of where the code lay"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cnn4", (32, 32)),
        ("lenetpp", (28, 28)),
        pytest.param("centerface", (112, 96), marks=pytest.mark.long),
        pytest.param("sphere20", (112, 96), marks=pytest.mark.long),
        pytest.param("iresnet18", (112, 112), marks=pytest.mark.long),
        pytest.param("resnet18", (64, 64), marks=pytest.mark.long),
        pytest.param("vit_tiny_patch16_224", (64, 64), marks=pytest.mark.long),
    ],
)
def test_backbones_export(tmp_path, name, size):
    network = backbones.create(name, 16, 3, size).eval()
    inputs = settled("net", {"size": list(size), "mean": 127.5, "std": 128})
    assert onnx_export.write(network, inputs, {}, tmp_path / "net.onnx") <= onnx_export.TOLERANCE
