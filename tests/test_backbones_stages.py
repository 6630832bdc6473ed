"""Supervision of several layers: embeddings of intermediate stages while training, the network's own in eval."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import backbones

SIZE = (32, 32)
SPHERE = {"widths": (4, 6, 8, 8)}


def make(name, *stages, dim=5, **options):
    torch.manual_seed(0)
    network = backbones.create(name, dim, 3, SIZE, **options)
    return backbones.supervised(network, stages, dim, 3, SIZE)


def images(count=3, size=SIZE):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("cnn4", ("stages.2", "stages.4")),
        ("sphere20", ("stages.1",)),
        ("centerface_paper", ("stages.3", "local.0", "local")),
        ("test_resnet", ("model.layer2", "model.layer3")),
        ("test_vit", ("model.blocks.0",)),
        ("test_mambaout", ("model.stages.0",)),
    ],
)
def test_training_adds_an_embedding_a_stage_and_eval_does_not(name, stages):
    network = make(name, *stages)
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            embeddings = network.train()(images())
            assert embeddings.shape == (3, 5 * (1 + len(stages))) and embeddings.dtype == torch.float32
            alone = network.eval()(images())
            assert alone.shape == (3, 5) and torch.equal(alone, network.network(images()))


def test_each_embedding_is_a_linear_layer_of_the_stages_average():
    network = make("sphere20", "stages.2", "stages.0", "embedding", **SPHERE)
    inner = network.network
    maps = [images()]
    for stage in inner.stages:
        maps.append(stage(maps[-1]))
    last = inner.embedding(maps[4].flatten(1))
    features = [maps[3].mean((2, 3)), maps[1].mean((2, 3)), last]
    early = [F.linear(x, head.weight, head.bias) for x, head in zip(features, network.heads, strict=True)]
    torch.testing.assert_close(network(images()), torch.cat([last, *early], 1))


def test_a_transformers_tokens_are_averaged():
    network = make("test_vit", "model.blocks.0")
    seen = []
    network.network.model.blocks[0].register_forward_hook(lambda module, given, output: seen.append(output))
    embeddings = network(images())
    assert seen[0].ndim == 3
    torch.testing.assert_close(embeddings[:, 5:], network.heads[0](seen[0].mean(1)))


def test_maps_with_the_channels_last_are_averaged_over_their_places():
    network = make("test_mambaout", "model.stages.1")
    seen = []
    network.network.model.stages[1].register_forward_hook(lambda module, given, output: seen.append(output))
    embeddings = network(images())
    assert seen[0].shape[1:3] == (4, 4) and network.heads[0].in_features == seen[0].shape[3]
    torch.testing.assert_close(embeddings[:, 5:], network.heads[0](seen[0].mean((1, 2))))


def test_the_whole_network_is_trained_and_a_stage_only_by_what_lies_before_it():
    network = make("sphere20", "stages.1", **SPHERE)
    network(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    network.zero_grad()
    network(images())[:, 5:].square().sum().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    before = {name for name in trained if name.startswith(("network.stages.0.", "network.stages.1."))}
    assert before and trained == before | {"heads.0.weight", "heads.0.bias"}


def test_a_state_goes_into_another_copy():
    first, second = make("cnn4", "stages.2"), make("cnn4", "stages.2")
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.1)
    second.load_state_dict(first.state_dict())
    assert {"heads.0.weight", "network.stages.0.0.weight"} < set(first.state_dict())
    assert torch.equal(first.eval()(images()), second.eval()(images()))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_is_the_same_network_with_stages_of_its_own(copied):
    network = make("sphere20", "stages.1", **SPHERE)
    before = network(images())
    twin = copied(network)
    assert torch.equal(twin(images()), before)
    with torch.no_grad():
        twin.network.stages[1][0][0].bias.add_(1)
    assert torch.equal(network(images()), before) and not torch.equal(twin(images())[:, 5:], before[:, 5:])


def test_no_hook_outlives_a_forward_pass_not_even_a_failed_one():
    network = make("sphere20", "stages.1", **SPHERE)
    network(images())
    with pytest.raises(RuntimeError):
        network(images(size=(64, 64)))
    assert not any(module._forward_hooks for module in network.modules())


def test_wrapping_changes_neither_weights_nor_statistics_nor_modes():
    inner = backbones.create("cnn4", 5, 3, SIZE)
    inner.stages[0].eval()
    before = copy.deepcopy(inner.state_dict())
    modes = [module.training for module in inner.modules()]
    backbones.supervised(inner, ["stages.2"], 5, 3, SIZE)
    assert all(torch.equal(value, before[name]) for name, value in inner.state_dict().items())
    assert [module.training for module in inner.modules()] == modes


def test_without_stages_it_is_the_network():
    inner = backbones.create("cnn4", 5, 3, SIZE)
    assert backbones.supervised(inner, (), 5, 3, SIZE) is inner


class Odd(nn.Module):
    """A layer that gives two tensors, one that gives a vector a batch, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.pair = nn.LSTM(4, 4)
        self.flat = nn.Flatten(0)
        self.idle = nn.Linear(4, 4)

    def forward(self, x):
        self.flat(x)
        return self.pair(x.mean((1, 2)))[0]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["pairs"], "no layer 'pairs' in this network; closest: pair; there is: pair, flat, idle$"),
        ([""], "no layer '' in this network; there is: pair, flat, idle$"),
        (["pair", "pair"], "each layer can be supervised once, got pair, pair"),
        (["pair"], "layer 'pair' must give a tensor of 2, 3 or 4 dimensions to be supervised, got tuple"),
        (["flat"], "layer 'flat' must give a tensor of 2, 3 or 4 dimensions to be supervised, got 1 dimensions"),
        (["idle"], "layer 'idle' takes no part in the network's forward pass; name another one"),
    ],
)
def test_a_layer_that_cannot_be_supervised_is_answered(stages, message):
    network = Odd()
    with pytest.raises(ValueError, match=message):
        backbones.supervised(network, stages, 4, 3, (4, 4))
    assert network.training and not any(module._forward_hooks for module in network.modules())


def test_the_layers_offered_are_those_near_the_top():
    with pytest.raises(ValueError, match=r"closest: stages\.\d.*; there is: stages, stages\.0, .*, norm$") as error:
        make("cnn4", "stage.2")
    assert "stages.0.0" not in str(error.value).partition("there is")[2]
