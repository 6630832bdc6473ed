"""Anybody's network, in every form: `facebench evaluate --model` and `compare`."""

import hashlib
import json
import sys
from dataclasses import replace

import made_up_networks as made
import numpy as np
import pytest
import torch
from real_faces import DATA, needs_data
from torch import nn

from bench import ledger, networks, places, record, show
from bench.errors import RequestError
from bench.networks.inputs import settled
from bench.networks.network import Network
from bench.plain import Options, Result, Trial
from bench.trial import run

IMAGES = np.random.default_rng(1).integers(0, 256, (7, made.SIZE, made.SIZE, 3), np.uint8)
HELDOUT = ["--protocol", "heldout", "--set", "data.name=digits"]
INPUT = ["--input", f"size={made.SIZE}", "--input", "mean=127.5", "--input", "std=128"]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (made.script, "net.ts"),
        (made.onnx_file, "net.onnx"),
        pytest.param(made.program, "net.pt2", marks=pytest.mark.slow),  # torch.export takes seconds
    ],
)
def test_every_form_of_a_network_gives_its_embeddings(tmp_path, make, name):
    path = make(tmp_path / name)
    network = replace(networks.opened(str(path), made.SAID), batch=3)  # the last batch is not full
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.plain()["inputs"]["said_by"]["mean"] == "option"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: made.onnx_file(folder / "net.onnx", shape=(4, 3, 8, 8)),
        pytest.param(lambda folder: made.program(folder / "net.pt2", 4), marks=pytest.mark.slow),
    ],
)
def test_a_fixed_batch_is_filled_up(tmp_path, make):
    network = networks.opened(str(make(tmp_path)), made.SAID)
    assert (network.batch, network.exactly) == (4, True)
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)


def test_colours_layout_range_and_mirror_images(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", shape=("n", 8, 8, 3), layout="nhwc")
    said = {"mean": "0.5,0.4,0.3", "std": 0.25, "range": 1, "colour": "bgr"}
    network = networks.opened(str(path), said)
    assert network.inputs.layout == "nhwc" and network.inputs.size == (8, 8)
    x = (IMAGES[..., ::-1].astype(np.float64) / 255 - [0.5, 0.4, 0.3]) / 0.25
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(x, mean=0, std=1), rtol=1e-4, atol=1e-4)
    mirrored = made.expected(x[:, :, ::-1], mean=0, std=1)
    both = networks.opened(str(path), said | {"flip": "concat"}).embed(IMAGES)
    np.testing.assert_allclose(both[:, made.DIM :], mirrored, rtol=1e-4, atol=1e-4)
    added = networks.opened(str(path), said | {"flip": "add"}).embed(IMAGES)
    np.testing.assert_allclose(added, both[:, : made.DIM] + both[:, made.DIM :], rtol=1e-4, atol=1e-4)


def test_a_model_says_what_it_wants_and_options_go_before_it(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", metadata={"mean": 100, "std": [50], "colour": "bgr", "flip": "add"})
    inputs = networks.opened(str(path), {"colour": "rgb"}).inputs
    assert (inputs.mean, inputs.std, inputs.colour, inputs.flip) == ((100.0,), (50.0,), "rgb", "add")
    origin = {"size": "model", "mean": "model", "colour": "option", "range": "assumed"}
    assert origin.items() <= inputs.origin.items()


def test_a_model_that_takes_bytes_normalises_them_itself(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", kind="UINT8", scale=1 / 128)
    np.testing.assert_allclose(
        networks.opened(str(path), {}).embed(IMAGES), made.expected(IMAGES, mean=0), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(RequestError, match="takes mean 0.0 and nothing else, --input says 127.5"):
        networks.opened(str(path), {"mean": 127.5})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "does not say its size and mean and std: give --input size=112 --input mean=127.5 --input"),
        ({**made.SAID, "colours": "rgb"}, "--input has no 'colours' for net; it has: size, mean"),
        ({**made.SAID, "size": "big"}, "--input size is a number of pixels, or height x width like 112x96, got 'big'"),
        ({**made.SAID, "std": 0}, "--input std is a number above 0"),
        ({**made.SAID, "mean": [1, 2]}, "--input mean of net is one number or 3 .rgb., got 2"),
        ({**made.SAID, "mean": "nan"}, "--input mean is a number, or three"),
        ({**made.SAID, "colour": "cmyk"}, "--input colour is one of rgb, bgr, grey, got 'cmyk'"),
        ({**made.SAID, "flip": True}, "--input flip is one of concat, add, none, got True"),
        ({**made.SAID, "size": [112, 96], "patch": [0, 0, 0.5]}, "a square: it goes with a square size, got 112x96"),
    ],
)
def test_wrong_inputs_are_refused(asked, says):
    with pytest.raises(RequestError, match=says):
        settled("net", asked)


def test_sizes_are_read_as_people_write_them():
    for said, size in ((112, (112, 112)), ("112x96", (112, 96)), ([112, 96], (112, 96)), (112.0, (112, 112))):
        assert settled("net", {**made.SAID, "size": said}).size == size


# --- networks that do not do ---


def network(run, flip="none", batch=3) -> Network:
    return Network("net", "test", None, settled("net", {**made.SAID, "flip": flip}), run, batch=batch)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda x: np.zeros((len(x), 4, 4, 4)), r"net gives an array .3, 4, 4, 4. of float64 for 3 images: expected"),
        (lambda x: np.zeros(4), "expected numbers .3, dimensions."),
        (lambda x: np.zeros((2, 4)), "for 3 images"),
        (lambda x: np.full((len(x), 4), np.nan), "numbers that are not finite: check --input mean, std"),
        (
            lambda x: np.zeros((len(x), 4 + len(x))),
            "gives 5 dimensions for images 6 and on and gave 7 for those before",
        ),
        (lambda x: np.full((len(x), 4), "a"), "expected numbers"),
    ],
)
def test_a_network_that_gives_something_else(run, says):
    with pytest.raises(RequestError, match=says):
        network(run).embed(IMAGES)


def test_the_pass_holds_one_batch_of_images(tmp_path):
    seen = []
    network(lambda x: seen.append(x.shape) or np.zeros((len(x), 2, 1, 1))).embed(IMAGES)
    assert seen == [(3, 3, 8, 8), (3, 3, 8, 8), (1, 3, 8, 8)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.onnx", "no file of a network at"),
        ("text.onnx", "cannot be opened as an ONNX model"),
        ("text.pt", "cannot be opened as TorchScript"),
        pytest.param("text.pt2", "cannot be opened as a torch.export program", marks=pytest.mark.slow),
        ("text.safetensors", "cannot be read as weights"),
        ("text.txt", "is no file of a network: expected .onnx, .ts"),
        ("timm:resnt18", "no 'resnt18' in backbones; closest: resnet18"),
        ("timm:cnn4", "'cnn4' is none of timm's: give a trial's id"),
        ("0123", "'0123' is neither a file nor the id of a trial"),
    ],
)
def test_no_such_network(tmp_path, name, says):
    for suffix in ("onnx", "pt", "pt2", "safetensors", "txt"):
        (tmp_path / f"text.{suffix}").write_text("not a model")
    given = name if ":" in name or name.isdigit() else str(tmp_path / name)
    with pytest.raises(RequestError, match=says):
        networks.opened(given, made.SAID)


@pytest.mark.parametrize(
    ("options", "asked", "says"),
    [
        ({"shape": ("n", 3, 8, 8)}, {"size": 9}, "net.onnx takes size 8x8 and nothing else, --input says 9"),
        ({"shape": ("n", 3, 8, 8)}, {"colour": "grey"}, "takes images of 3 channels, and --input colour=grey has 1"),
        ({"outputs": 2}, {}, "gives 2 outputs .out0, out1.: say which by --input output=NAME"),
        ({"outputs": 2}, {"output": "out3"}, "has no output 'out3'; it has: out0, out1"),
        ({"shape": ("n", 192)}, {}, "takes an input of shape .n, 192.: expected .batch, channels, height, width."),
        ({"shape": ("n", 4, 8, 6)}, {}, "expected images of 1 or 3 channels"),
        ({"metadata": {"mean": "x"}}, {}, "--input mean is a number"),
    ],
)
def test_an_onnx_file_that_is_asked_something_else(tmp_path, options, asked, says):
    path = made.onnx_file(tmp_path / "net.onnx", **options)
    said = {} if "metadata" in options else {"mean": 127.5, "std": 128}
    with pytest.raises(RequestError, match=says):
        networks.opened(str(path), said | asked)


def test_the_output_that_is_asked_for_is_taken(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", outputs=2)
    network = networks.opened(str(path), {**made.SAID, "output": "out1"})
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    path = made.onnx_file(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RequestError, match=r"an ONNX file needs onnxruntime, .*: pip install 'facebench\[models\]'"):
        networks.opened(str(path), made.SAID)


# --- timm's models with weights ---


def weights(path, change=lambda state: state):
    import timm

    torch.manual_seed(3)
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    torch.save(change(state), path)
    return state


def opened(path, **more) -> Network:
    return networks.opened("timm:test_resnet", {"size": 32, "weights": str(path), **more})


def test_a_state_dict_is_filled_in_and_the_classifier_left_out(tmp_path):
    import timm

    state = weights(tmp_path / "w.pt", lambda s: {"state_dict": {f"module.{key}": one for key, one in s.items()}})
    net = timm.create_model("test_resnet", num_classes=10).eval()
    net.load_state_dict(state)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    x = torch.from_numpy((images.astype(np.float32) / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    with torch.no_grad():
        pooled = net.forward_head(net.forward_features(x), pre_logits=True).numpy()
    network = opened(tmp_path / "w.pt")
    np.testing.assert_allclose(network.embed(images), pooled, rtol=1e-4, atol=1e-5)
    assert network.facts["left_out"] == ["fc.weight", "fc.bias"] and network.inputs.origin["mean"] == "model"
    assert network.sha256 == hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: dict(list(s.items())[2:]), r"2 missing \(.*\), 0 unexpected"),
        (lambda s: {**s, "more": torch.zeros(1)}, r"0 missing, 1 unexpected \(more\); give the network that"),
        (lambda s: {key: one.repeat(2) if one.ndim else one for key, one in s.items() if one.ndim < 2}, "missing"),
        (lambda s: {key: torch.zeros(7) if key == "bn1.weight" else one for key, one in s.items()}, "it another"),
        (lambda s: [1, 2], "holds no state dict"),
        (lambda s: nn.Linear(2, 2), "cannot be read as weights .*nothing else is unpickled"),
    ],
)
def test_weights_of_another_network_are_one_sentence(tmp_path, change, says):
    weights(tmp_path / "w.pt", change)
    with pytest.raises(RequestError, match=says) as refused:
        opened(tmp_path / "w.pt")
    assert "\n" not in str(refused.value)


class Trap:
    """A pickle that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_weights_are_never_unpickled(tmp_path):
    torch.save({"fc.weight": Trap(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(RequestError, match="cannot be read as weights"):
        opened(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_safetensors_are_weights_too(tmp_path):
    from safetensors.torch import save_file

    state = weights(tmp_path / "w.pt")
    save_file(state, tmp_path / "w.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(
        opened(tmp_path / "w.pt").embed(images), opened(tmp_path / "w.safetensors").embed(images)
    )
    with pytest.raises(RequestError, match="holds weights alone: say whose by --model timm:NAME --weights"):
        networks.opened(str(tmp_path / "w.safetensors"), {})


# --- the command ---


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
        (["x.npy", "--input", "size=8"], "--weights and --input are of a network: give --model"),
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
    assert code == 2 and "is a model: say by --protocol" in err
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
        network = networks.opened(given, {**asked, "flip": "none"})
        np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)
        assert network.kind == "mlflow" and network.name == given and len(network.sha256) == 64
    network = networks.opened(ready, {})
    assert network.inputs.flip == "add" and network.facts["trial"] == "ab12"
    assert networks.opened(f"runs:/{run.info.run_id}/onnx", made.SAID).sha256
    for given in ("models:/none/1", "runs:/abc/net"):
        code, _, err = facebench("evaluate", "--model", given, *HELDOUT, *INPUT)
        said = err.splitlines()[-1]  # MLflow told of what was registered above
        assert code == 2 and said.startswith("facebench: MLflow at ") and f"gives no model {given}" in said


@needs_data
@pytest.mark.slow
def test_an_untrained_network_on_real_faces(facebench):
    images = "images=[lfw_view2_aligned112.zip, lfw_rest_aligned112.zip]"
    lists = ["--data", DATA, "--set", "pairs=protocols/lfw_pairs.txt", "--set", images]
    code, out, err = facebench("evaluate", "--model", "timm:test_resnet", "--input", "size=32", *lists, "--json")
    assert code == 0, err
    assert 0.5 < json.loads(out)["metrics"]["lfw/accuracy"] < 0.75
