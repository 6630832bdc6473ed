"""Anybody's network, in every form, and what it wants of images."""

import hashlib
import sys
from dataclasses import replace

import made_up_networks as made
import numpy as np
import pytest
from made_up_networks import IMAGES

from bench import any_network
from bench.errors import RequestError
from bench.networks import onnx_file
from bench.networks.inputs import settled
from bench.networks.network import Network


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
    network = replace(any_network.opened(str(path), made.SAID), batch=3)  # the last batch is not full
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
    network = any_network.opened(str(make(tmp_path)), made.SAID)
    assert (network.batch, network.exactly) == (4, True)
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)


def test_colours_layout_range_and_mirror_images(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", shape=("n", 8, 8, 3), layout="nhwc")
    said = {"mean": "0.5,0.4,0.3", "std": 0.25, "range": 1, "colour": "bgr"}
    network = any_network.opened(str(path), said)
    assert network.inputs.layout == "nhwc" and network.inputs.size == (8, 8)
    x = (IMAGES[..., ::-1].astype(np.float64) / 255 - [0.5, 0.4, 0.3]) / 0.25
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(x, mean=0, std=1), rtol=1e-4, atol=1e-4)
    mirrored = made.expected(x[:, :, ::-1], mean=0, std=1)
    both = any_network.opened(str(path), said | {"flip": "concat"}).embed(IMAGES)
    np.testing.assert_allclose(both[:, made.DIM :], mirrored, rtol=1e-4, atol=1e-4)
    added = any_network.opened(str(path), said | {"flip": "add"}).embed(IMAGES)
    np.testing.assert_allclose(added, both[:, : made.DIM] + both[:, made.DIM :], rtol=1e-4, atol=1e-4)


def test_a_model_says_what_it_wants_and_options_go_before_it(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", metadata={"mean": 100, "std": [50], "colour": "bgr", "flip": "add"})
    inputs = any_network.opened(str(path), {"colour": "rgb"}).inputs
    assert (inputs.mean, inputs.std, inputs.colour, inputs.flip) == ((100.0,), (50.0,), "rgb", "add")
    origin = {"size": "model", "mean": "model", "colour": "option", "range": "assumed"}
    assert origin.items() <= inputs.origin.items()


def test_a_network_of_one_channel_is_of_grey_images_whether_it_says_so_or_not(tmp_path):
    path, said = made.onnx_file(tmp_path / "net.onnx", shape=("n", 1, 8, 8), channels=1), {"mean": 127.5, "std": 128}
    network = any_network.opened(str(path), said)
    assert network.inputs.colour == "grey" and network.inputs.origin["colour"] == "model"
    grey = IMAGES[..., :1]
    np.testing.assert_allclose(network.embed(grey), made.expected(grey, made.Patches(1)), rtol=1e-4, atol=1e-4)
    with pytest.raises(RequestError, match="takes colour grey and nothing else, --input says rgb"):
        any_network.opened(str(path), {**said, "colour": "rgb"})


def test_a_model_that_takes_bytes_normalises_them_itself(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", kind="UINT8", scale=1 / 128)
    np.testing.assert_allclose(
        any_network.opened(str(path), {}).embed(IMAGES), made.expected(IMAGES, mean=0), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(RequestError, match="takes mean 0.0 and nothing else, --input says 127.5"):
        any_network.opened(str(path), {"mean": 127.5})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "does not say its size and mean and std: give --input size=112 --input mean=127.5 --input"),
        ({**made.SAID, "colours": "rgb"}, "--input has no 'colours' for net; it has: size, mean"),
        ({**made.SAID, "size": "big"}, "--input size is a number of pixels, or height x width like 112x96, got 'big'"),
        ({**made.SAID, "size": float("inf")}, "--input size is a number of pixels, .*, got inf"),
        ({**made.SAID, "size": [8, float("inf")]}, "--input size is a number of pixels, .*, got .8, inf."),
        ({**made.SAID, "crop": float("inf")}, "--input crop is a whole number of pixels, got inf"),
        ({**made.SAID, "mean": 10**400}, "--input mean is a number, or three"),
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
        any_network.opened(given, made.SAID)


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
        ({"metadata": {"crop": float("inf")}}, {}, "--input crop is a whole number of pixels"),
    ],
)
def test_an_onnx_file_that_is_asked_something_else(tmp_path, options, asked, says):
    path = made.onnx_file(tmp_path / "net.onnx", **options)
    said = {} if "metadata" in options else {"mean": 127.5, "std": 128}
    with pytest.raises(RequestError, match=says):
        any_network.opened(str(path), said | asked)


@pytest.mark.parametrize(
    ("said", "threads"), [("4", 4), ("4,2", 4), (" 3 , 1", 3), ("", 0), ("many", 0), (",2", 0), (None, 0)]
)
def test_onnxruntime_takes_as_many_threads_as_openmp(tmp_path, monkeypatch, said, threads):
    import onnxruntime

    monkeypatch.delenv("OMP_NUM_THREADS") if said is None else monkeypatch.setenv("OMP_NUM_THREADS", said)
    given, session = [], onnxruntime.InferenceSession

    def make(path, options, **more):
        given.append(options.intra_op_num_threads)
        options.intra_op_num_threads = 1  # this machine is shared
        return session(path, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", make)
    any_network.opened(str(made.onnx_file(tmp_path / "net.onnx")), made.SAID)
    assert given == [threads]


def test_the_output_that_is_asked_for_is_taken(tmp_path):
    path = made.onnx_file(tmp_path / "net.onnx", outputs=2)
    network = any_network.opened(str(path), {**made.SAID, "output": "out1"})
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    path = made.onnx_file(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RequestError, match=r"an ONNX file needs onnxruntime, .*: pip install 'facebench\[models\]'"):
        any_network.opened(str(path), made.SAID)


def test_weights_that_lie_beside_the_file_are_told_too(tmp_path):
    import onnx

    model = onnx.load(str(made.onnx_file(tmp_path / "net.onnx")))
    onnx.save(model, str(tmp_path / "ext.onnx"), save_as_external_data=True, location="ext.bin", size_threshold=0)
    network = any_network.opened(str(tmp_path / "ext.onnx"), made.SAID)
    np.testing.assert_allclose(network.embed(IMAGES), made.expected(IMAGES), rtol=1e-4, atol=1e-4)
    assert network.facts["weights_sha256"] == {
        "ext.bin": hashlib.sha256((tmp_path / "ext.bin").read_bytes()).hexdigest()
    }


@pytest.mark.parametrize("place", ["../secret", "{absolute}", "link", "folder", "gone"])
def test_weights_are_read_below_the_models_folder_alone(tmp_path, place):
    """A location is followed where the tensor says that it lies apart, to a file beside the model and nowhere else."""
    import onnx

    folder, secret = tmp_path / "model", tmp_path / "secret"
    (folder / "folder").mkdir(parents=True)
    secret.write_text("nobody's business")
    (folder / "link").symlink_to(secret)
    path = made.onnx_file(folder / "net.onnx")
    model = onnx.load(str(path))
    unused = model.graph.initializer.add(name="unused", data_type=onnx.TensorProto.FLOAT, dims=[1], raw_data=bytes(4))
    unused.external_data.add(key="location", value=place.format(absolute=secret))
    onnx.save(model, str(path))
    assert "weights_sha256" not in any_network.opened(str(path), made.SAID).facts
    unused.data_location = onnx.TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        RequestError, match="net.onnx keeps weights in .*: expected a file below the model's own folder"
    ):
        onnx_file._weights(path)  # onnxruntime, asked first, has a word of its own for it


def test_a_model_and_its_weights_may_be_links_into_a_folder_of_downloads(tmp_path):
    import onnx

    model = onnx.load(str(made.onnx_file(tmp_path / "net.onnx")))
    onnx.save(model, str(tmp_path / "ext.onnx"), save_as_external_data=True, location="ext.bin", size_threshold=0)
    (tmp_path / "shown").mkdir()
    for name in ("ext.onnx", "ext.bin"):
        (tmp_path / "shown" / name).symlink_to(tmp_path / name)
    assert "ext.bin" in any_network.opened(str(tmp_path / "shown" / "ext.onnx"), made.SAID).facts["weights_sha256"]
