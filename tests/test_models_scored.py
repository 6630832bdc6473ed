"""Networks on protocols: `facebench evaluate --model` and `compare`, trials, and the models of MLflow."""

import json

import made_up_networks as made
import numpy as np
import pytest
from made_up_networks import IMAGES
from real_faces import DATA, needs_data
from torch import nn

from bench import any_network, ledger, places, record, show
from bench.plain import Options, Result, Trial
from bench.trial import run

HELDOUT = ["--protocol", "heldout", "--set", "data.name=digits"]
INPUT = ["--input", f"size={made.SIZE}", "--input", "mean=127.5", "--input", "std=128"]


def test_evaluate_scores_a_network_and_enters_the_ledger(facebench, tmp_path, capsys):
    path = made.onnx_file(tmp_path / "net.onnx")
    code, out, err = facebench("evaluate", "--model", path, *HELDOUT, *INPUT, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert 0 < answer["metrics"]["heldout/auc"] <= 1 and answer["overlap"]["verdict"] == "unknown"
    model = answer["model"]
    assert model["kind"] == "onnx" and len(model["sha256"]) == 64 and model["inputs"]["size"] == [8, 8]
    (entry,) = ledger.entries()
    assert (entry["study"], entry["trial"], entry["hash"]) == ("evaluate", "net.onnx", answer["hash"])
    show.scores({"heldout": answer})
    said = " ".join(capsys.readouterr().out.split())
    assert "given 8x8 rgb nchw, (x - 127.5) / 128 of 0 to 255, mirror image: none" in said
    assert "taken for granted: colour, flip, range" in said


def test_files_of_its_embeddings_give_the_same_figures(facebench, tmp_path):
    """The whole way (decode, scale, normalise, embed) against embeddings that were made by hand."""
    from bench import scoring
    from bench.pixels import pixels

    protocol, source = scoring.open_protocol({"name": "heldout", "data": {"name": "digits"}})
    np.save(tmp_path / "mine.npy", made.expected(pixels(source, protocol.images, made.SIZE).array))
    path = made.script(tmp_path / "net.ts")
    metrics = []
    for given in ([tmp_path / "mine.npy"], ["--model", path, *INPUT]):
        code, out, err = facebench("evaluate", *given, *HELDOUT, "--json")
        assert code == 0, err
        metrics.append(json.loads(out)["metrics"])
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x.npy", "--model", "net.onnx"], "got x.npy and --model net.onnx: give one of them"),
        (["x.npy", "--input", "size=8"], "--weights, --input and --allow-overlap are of a network: give --model"),
        (["x.npy", "--allow-overlap"], "--weights, --input and --allow-overlap are of a network: give --model"),
        (["--model", "net.onnx", "--suffix", "_a.bin"], "leave it out with --model"),
        (["--model", "net.onnx", "--weights", "w.pt"], "weights are of a timm model, and net.onnx has its own"),
        (["--model", "net.onnx", "--input", "size"], "--input takes KEY=VALUE, got 'size'"),
        (["--model", "timm:test_resnet", "--weights", "w.pt"], "no file of weights at w.pt"),
    ],
)
def test_wrong_requests(facebench, arguments, says):
    code, _, err = facebench("evaluate", *arguments, *HELDOUT)
    assert code == 2 and says in err and err.count("\n") == 1 and not ledger.entries()


def test_compare_takes_networks(facebench, tmp_path):
    a, b = made.onnx_file(tmp_path / "a.onnx"), made.script(tmp_path / "b.ts", made.Patches(seed=1))
    code, out, err = facebench("compare", a, b, *HELDOUT, *INPUT, "--json")
    assert code == 0, err
    answer = json.loads(out)[0]
    assert (answer["a"], answer["b"]) == ("a.onnx", "b.ts") and answer["lines"][0]["metric"] == "heldout/auc"
    assert [entry["study"] for entry in ledger.entries()] == ["compare", "compare"]
    code, out, _ = facebench("compare", a, a, *HELDOUT, *INPUT, "--input", "b.flip=concat", "--json", "--fail-if-worse")
    assert code == 0 and json.loads(out)[0]["lines"][0]["difference"] != 0
    code, _, err = facebench("compare", a, b, *INPUT)
    assert code == 2 and "is a network that is scored now: say by --protocol" in err
    code, _, err = facebench("compare", a, b, "--input", "b=3")
    assert code == 2 and "--input b.KEY=VALUE is of one network" in err


# --- trials ---


def trial(**fields) -> Trial:
    """A finished trial of no epochs: its network is drawn from its seed, and was scored on nothing."""
    small = {"image_size": 16, "embedding_dim": 8, "channels": 1, "backbone_options": Options(widths=[4, 4, 4, 4])}
    wanted = Trial(epochs=0, **small, **fields)
    record.finish(record.start(wanted, places.study_folder("single")), "finished", result=Result({}))
    return wanted


@pytest.mark.parametrize("scorer", ["l2", "joint_bayesian"])
def test_a_trial_is_scored_as_it_would_score_itself(facebench, scorer):
    """Its own examination, through `run`, against its network opened by its id."""
    wanted = trial(scorer=scorer, flip="add", seed=3, protocols=(Options(name="heldout", data={"name": "digits"}),))
    *_, last = run(wanted)
    code, out, err = facebench("evaluate", "--model", wanted.id[:9], *HELDOUT, "--json")
    assert code == 0, err
    answer, own = json.loads(out), last.scores["heldout"]
    assert answer["metrics"] == own["metrics"] and answer["hash"] == own["hash"]
    assert answer["scorer"] == own["scorer"] and answer["overlap"] == own["overlap"]


def test_a_trials_own_people_are_no_test(facebench):
    own = ["--protocol", "heldout", "--set", "faces.name=digits"]
    code, _, err = facebench("evaluate", "--model", trial().id, *own)
    assert code == 2 and "training and heldout share" in err and "give --allow-overlap" in err and not ledger.entries()
    code, out, _ = facebench("evaluate", "--model", trial().id, *own, "--allow-overlap", "--json")
    assert code == 0 and json.loads(out)["overlap"]["verdict"] == "allowed"


def test_compare_allows_an_overlap_as_evaluate_does(facebench):
    a, own = trial(), ["--protocol", "heldout", "--set", "faces.name=digits"]
    code, _, err = facebench("compare", a.id, a.id, *own)
    assert code == 2 and "give --allow-overlap" in err and not ledger.entries()
    code, out, err = facebench("compare", a.id, a.id, *own, "--allow-overlap", "--json")
    assert code == 0, err
    lines = json.loads(out)[0]["lines"]
    assert lines and all("training and heldout share" in line["mark"] for line in lines)


def test_a_scored_trial_is_scored_anew_where_something_is_asked_of_its_network(facebench):
    """Trial a has a record of heldout; b is the same network, and sees no mirror images because --input says so."""
    scored = trial(protocols=(Options(name="heldout", data={"name": "digits"}),))
    *_, last = run(scored)
    record.finish(record.start(scored, places.study_folder("single")), "finished", result=last)
    code, out, err = facebench("compare", scored.id, scored.id, "--input", "b.flip=none", *HELDOUT, "--json")
    assert code == 0 and json.loads(out)[0]["lines"][0]["difference"] != 0, err
    assert len(ledger.entries()) == 1  # a's figures stand in its record
    for asked, says in (
        (["--input", "b.flip=none"], "is a network that is scored now: say by --protocol"),
        (["--input", "size=99", *HELDOUT], "takes size 16x16 and nothing else, --input says 99"),
        (["--allow-overlap"], "--allow-overlap is of a network that is scored now, and neither"),
    ):
        code, _, err = facebench("compare", scored.id, scored.id, *asked)
        assert code == 2 and says in err and err.count("\n") == 1
    assert len(ledger.entries()) == 1


def test_compare_asks_nothing_of_embeddings(facebench, tmp_path):
    net, rows = made.onnx_file(tmp_path / "net.onnx"), tmp_path / "mine.npy"
    np.save(rows, np.eye(8))
    for given in ((net, rows), (rows, net)):
        code, _, err = facebench("compare", *given, *HELDOUT, *INPUT)
        assert code == 2 and f"--input is of a network, and {rows} holds embeddings" in err and err.count("\n") == 1
    code, _, err = facebench("compare", rows, rows, *HELDOUT, "--allow-overlap")
    assert code == 2 and "--allow-overlap is of a network that is scored now" in err and not ledger.entries()


def test_trials_are_compared_by_a_protocol_that_they_were_not_scored_on(facebench):
    a, b = trial(), trial(seed=1)
    code, out, err = facebench("compare", a.id, b.id, *HELDOUT, "--json")
    assert code == 0 and json.loads(out)[0]["protocol"] == "heldout", err
    assert [(entry["study"], entry["protocol"]) for entry in ledger.entries()] == [("compare", "heldout")] * 2


# --- MLflow ---


class Bytes(nn.Module):
    """A network that takes uint8 and normalises it itself, as MLflow's users hand images in."""

    def __init__(self):
        super().__init__()
        self.network = made.Patches()

    def forward(self, images):
        return self.network((images.float() - 127.5) / 128)


def logged(network, example, **more) -> str:
    """The URI of a PyTorch model without pickle, in the store of this test."""
    import mlflow
    from mlflow.models import infer_signature

    signature = infer_signature(example, np.zeros((2, made.DIM), np.float32))
    kept = mlflow.pytorch.log_model(
        network, name="net", signature=signature, input_example=example, serialization_format="pt2", **more
    )
    return kept.model_uri


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's and torch.export's own
def test_models_of_mlflow(facebench, tmp_path, monkeypatch):
    import mlflow
    import onnx

    from bench import tracking

    tracking.client(tracking.uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri())
    example = np.zeros((2, 3, made.SIZE, made.SIZE), np.float32)
    path = made.onnx_file(tmp_path / "net.onnx")
    with mlflow.start_run() as run:
        said = {"facebench": {"trial": "ab12", "flip": "add", "scorer": "cosine", "crop": None, "colours": "RGB"}}
        ready = logged(Bytes(), example.astype(np.uint8), metadata=said)
        mlflow.onnx.log_model(onnx.load(str(path)), name="onnx", registered_model_name="mine", metadata=said)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # as a user has it, for whom runs/ is the store
    for given, asked in (("models:/mine/1", {"mean": 127.5, "std": 128}), (ready, {})):
        network = any_network.opened(given, {**asked, "flip": "none"})
        np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)
        assert network.kind == "mlflow" and network.name == given and len(network.sha256) == 64
    network = any_network.opened(ready, {})
    assert network.inputs.flip == "add" and network.facts["trial"] == "ab12"
    assert any_network.opened(f"runs:/{run.info.run_id}/onnx", made.SAID).sha256
    for given in ("models:/none/1", "runs:/abc/net"):
        code, _, err = facebench("evaluate", "--model", given, *HELDOUT, *INPUT)
        said = err.splitlines()[-1]  # MLflow told of what was registered above
        assert code == 2 and said.startswith("facebench: MLflow at ") and f"gives no model {given}" in said


@pytest.mark.parametrize("given", ["models:/mine/1", "runs:/abc/net"])
def test_no_store_is_made_where_a_model_is_looked_up(facebench, given):
    code, _, err = facebench("evaluate", "--model", given, *HELDOUT)
    assert code == 2 and err.count("\n") == 1
    assert f"there is no MLflow store at {places.runs() / 'mlflow.db'} to look {given} up in" in err
    assert not places.runs().exists()


@needs_data
@pytest.mark.slow
def test_an_untrained_network_on_real_faces(facebench):
    images = "images=[lfw_view2_aligned112.zip, lfw_rest_aligned112.zip]"
    lists = ["--data", DATA, "--set", "pairs=protocols/lfw_pairs.txt", "--set", images]
    code, out, err = facebench("evaluate", "--model", "timm:test_resnet", "--input", "size=32", *lists, "--json")
    assert code == 0, err
    assert 0.5 < json.loads(out)["metrics"]["lfw/accuracy"] < 0.75
