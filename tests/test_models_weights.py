"""Networks by timm's names, with the weights of a file that holds nothing else."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from bench import any_network
from bench.errors import RequestError
from bench.networks.network import Network


def weights(path, change=lambda state: state):
    import timm

    torch.manual_seed(3)
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    torch.save(change(state), path)
    return state


def opened(path, **more) -> Network:
    return any_network.opened("timm:test_resnet", {"size": 32, "weights": str(path), **more})


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
        any_network.opened(str(tmp_path / "w.safetensors"), {})
