"""The papers' own networks: sizes, counts, initialisations and formulas as published."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import backbones
from backbones._local import LocalConv2d
from backbones._residual import Residual

NARROW = {"widths": (4, 6, 8, 8)}


def on_meta(name, size, dim=512, channels=3, **options):
    """The network without storage: enough to count and to see the sizes of maps."""
    with torch.device("meta"):
        return backbones.create(name, dim, channels, size, **options)


def map_sizes(network, kind, image):
    """The (H, W) of every output of the layers of a kind, in the order of the forward pass."""
    seen = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda module, given, output: seen.append(tuple(output.shape[2:])))
    network(image)
    return seen


# --- counts


@pytest.mark.parametrize(
    ("name", "size", "millions", "convolutions"),
    [
        ("sphere20", (112, 96), 22.67, 20),
        ("sphere64", (112, 96), 48.19, 64),
        ("sphere64_released", (112, 96), 47.89, 62),
        # insightface's published ones; a shortcut in each stage and the stem are convolutions too
        ("iresnet18", (112, 112), 24.03, 1 + 2 * 8 + 4),
        ("iresnet34", (112, 112), 34.14, 1 + 2 * 16 + 4),
        ("iresnet50", (112, 112), 43.59, 1 + 2 * 24 + 4),
        ("iresnet100", (112, 112), 65.16, 1 + 2 * 49 + 4),
    ],
)
def test_parameters_and_convolutions_are_as_published(name, size, millions, convolutions):
    network = on_meta(name, size)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == convolutions


@pytest.mark.parametrize(("name", "blocks"), [("sphere20", (1, 2, 4, 1)), ("sphere64_released", (3, 7, 16, 3))])
def test_a_sphere_net_holds_what_its_description_says(name, blocks):
    expected = 512 * 7 * 6 * 512 + 512
    for inputs, width, count in zip((3, 64, 128, 256), (64, 128, 256, 512), blocks, strict=True):
        expected += 9 * inputs * width + 2 * width  # bias and PReLU
        expected += count * 2 * (9 * width * width + width)  # no bias
    assert sum(p.numel() for p in on_meta(name, (112, 96)).parameters()) == expected


def test_the_released_centerface_holds_what_its_description_says():
    expected = (27 * 32 + 9 * 32 * 64) + 2 * (32 + 64) + 10240 * 512 + 512
    for width, count in zip((64, 128, 256, 512), (1, 2, 5, 3), strict=True):
        expected += count * 2 * (9 * width * width + width)
    for width in (64, 128, 256):
        expected += 9 * width * 2 * width + 2 * 2 * width
    network = on_meta("centerface", (112, 96))
    assert sum(p.numel() for p in network.parameters()) == expected
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 27


def test_centerface_papers_local_weights_are_one_set_a_region():
    network = on_meta("centerface_paper", (112, 96))
    regions = [len(module.weight) for module in network.modules() if isinstance(module, LocalConv2d)]
    assert regions == [2 * 2, 4 * 3, 7 * 6]  # of 4x4, 2x2 and 1x1 places on a map of 7x6
    assert network.embedding.in_features == (128 + 256) * 7 * 6


# --- sizes


def test_the_maps_of_the_released_centerface_are_the_originals():
    network = on_meta("centerface", (112, 96))
    image = torch.zeros(1, 3, 112, 96, device="meta")
    assert map_sizes(network, nn.MaxPool2d, image) == [(54, 46), (26, 22), (12, 10), (5, 4)]
    assert network.embedding.in_features == 10240


@pytest.mark.parametrize(("variant", "last"), [("paper", (4, 4)), ("released", (3, 3))])
def test_lenetpps_poolings_round_as_caffe_does(variant, last):
    network = on_meta("lenetpp", (28, 28), 2, 1, variant=variant)
    image = torch.zeros(1, 1, 28, 28, device="meta")
    assert map_sizes(network, nn.MaxPool2d, image) == [(14, 14), (7, 7), last]
    assert [m.weight.shape for m in network.modules() if isinstance(m, nn.Conv2d)] == [
        (32, 1, 5, 5), (32, 32, 5, 5), (64, 32, 5, 5), (64, 64, 5, 5), (128, 64, 5, 5), (128, 128, 5, 5)
    ]  # fmt: skip


SMALLEST = [
    ("lenetpp", 8, {"widths": (4, 6, 8)}),
    ("lenetpp", 8, {"widths": (4, 6, 8), "variant": "released"}),
    ("sphere20", 16, NARROW),
    ("centerface", 33, NARROW),
    ("centerface_paper", 16, {"widths": (4, 6)}),
    ("iresnet18", 16, NARROW),
]


@pytest.mark.parametrize(("name", "smallest", "options"), SMALLEST)
def test_every_size_from_the_smallest_is_taken(name, smallest, options):
    for height in range(smallest, smallest + 18):
        width = 2 * smallest + 17 - height
        network = on_meta(name, (height, width), 8, **options)
        assert network(torch.zeros(2, 3, height, width, device="meta")).shape == (2, 8)


@pytest.mark.parametrize(("name", "smallest", "options"), SMALLEST)
@pytest.mark.parametrize("narrow", [False, True])
def test_a_smaller_size_is_refused_with_the_smallest(name, smallest, options, narrow):
    size = (64, smallest - 1) if narrow else (smallest - 1, 64)
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest} pixels, got {size[0]}x{size[1]}"):
        backbones.create(name, 8, 3, size, **options)


# --- initialisation


def assert_xavier(weight, fan_in):
    bound = math.sqrt(3 / fan_in)
    assert 0.97 * bound < weight.abs().max() <= bound  # PyTorch's default reaches only a third of the variance
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("name", ["sphere20", "centerface"])
def test_caffes_fillers_in_the_residual_nets(name):
    torch.manual_seed(0)
    network = backbones.create(name, 16, 3, (40, 40), widths=(16, 16, 24, 32))
    blocks = [module for module in network.modules() if isinstance(module, Residual)]
    inside = {conv for block in blocks for conv in block.modules() if isinstance(conv, nn.Conv2d)}
    outside = {module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)} - inside
    assert len(inside) == 2 * len(blocks) and len(outside) >= 5
    for layer in inside:
        assert layer.bias is None and layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert layer.weight.abs().max() > 0.025  # normal, not uniform
    for layer in outside:
        assert_xavier(layer.weight, layer.weight[0].numel())
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "options"), [("lenetpp", {"widths": (8, 12, 16)}), ("centerface_paper", {"widths": (16, 12)})]
)
def test_caffes_xavier_everywhere_else(name, options):
    torch.manual_seed(0)
    network = backbones.create(name, 16, 3, (40, 40), **options)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert_xavier(layer.weight, layer.weight[0].numel())
            assert not layer.bias.any()
        elif isinstance(layer, LocalConv2d):
            assert_xavier(layer.weight, layer.weight.shape[1])
            assert not layer.bias.any()


@pytest.mark.parametrize(("name", "smallest", "options"), SMALLEST)
def test_prelu_has_a_slope_for_each_channel_and_starts_at_a_quarter(name, smallest, options):
    network = backbones.create(name, 5, 3, (smallest, smallest), **options)
    slopes = [module.weight for module in network.modules() if isinstance(module, nn.PReLU)]
    assert len(slopes) >= 6 and min(len(slope) for slope in slopes) > 1
    assert all((slope == 0.25).all() for slope in slopes)


def test_iresnets_convolutions_start_from_a_tenth_and_its_last_scale_stays_one():
    torch.manual_seed(0)
    network = backbones.create("iresnet18", 16, 3, (32, 32), widths=(16, 16, 24, 32))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None and module.weight.std().item() == pytest.approx(0.1, rel=0.15)
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["norm.weight"]
    assert (network.norm.weight == 1).all()


# --- formulas


def prelu(x, slope):
    return torch.where(x > 0, x, x * slope[:, None, None])


def test_a_residual_block_is_the_formula():
    block = Residual(3).double()
    first, second = block.body[0].weight * 20, block.body[2].weight * 20  # larger, so that the body counts
    slopes = torch.tensor([0.1, -0.2, 0.7]).double()
    with torch.no_grad():
        block.body[0].weight.copy_(first)
        block.body[2].weight.copy_(second)
        block.body[1].weight.copy_(slopes)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    inner = prelu(F.conv2d(x, first, padding=1), slopes)
    expected = x + prelu(F.conv2d(inner, second, padding=1), torch.full((3,), 0.25).double())
    torch.testing.assert_close(block(x), expected)


def bn(x, layer):
    """Batch norm in eval."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scaled = (x - layer.running_mean.view(shape)) / (layer.running_var.view(shape) + 1e-5).sqrt()
    return scaled * layer.weight.view(shape) + layer.bias.view(shape)


def iresnet_in_use(**options):
    """A narrow IResNet in eval and float64, whose batch norms are not the identity."""
    torch.manual_seed(0)
    network = backbones.create("iresnet18", 8, 3, (32, 16), widths=(4, 4, 4, 4), **options).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(value)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


@pytest.mark.parametrize("stride", [1, 2])
def test_an_iresnet_block_is_the_formula(stride):
    block = iresnet_in_use().stages[0][0 if stride == 2 else 1]
    first, conv1, second, act, conv2, third = block.body
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    inner = prelu(bn(F.conv2d(bn(x, first), conv1.weight, padding=1), second), act.weight)
    body = bn(F.conv2d(inner, conv2.weight, stride=stride, padding=1), third)
    shortcut = x if stride == 1 else bn(F.conv2d(x, block.shortcut[0].weight, stride=2), block.shortcut[1])
    torch.testing.assert_close(block(x), body + shortcut)


def test_iresnets_stem_and_head_are_arcfaces():
    network = iresnet_in_use().float()
    image = torch.randn(3, 3, 32, 16)
    conv, norm, act = network.stem
    x = network.stages(prelu(bn(F.conv2d(image, conv.weight, padding=1), norm), act.weight))
    assert x.shape == (3, 4, 2, 1)
    before, _, dropout = network.flatten
    x = F.linear(bn(x, before).flatten(1), network.embedding.weight, network.embedding.bias)
    torch.testing.assert_close(network(image), bn(x, network.norm))
    assert dropout.p == 0.4 and iresnet_in_use(dropout=0).flatten[2].p == 0


@pytest.mark.parametrize("name", ["sphere20", "centerface"])
def test_nothing_follows_the_linear_layer(name):
    torch.manual_seed(0)
    network = backbones.create(name, 8, 3, (40, 40), **NARROW)
    image = torch.randn(4, 3, 40, 40)
    embeddings = network(image)
    assert torch.equal(embeddings, network.embedding(network.stages(image).flatten(1)))
    assert (embeddings < 0).any()


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_only_the_released_lenetpp_has_a_prelu_after_the_feature(variant):
    torch.manual_seed(0)
    network = backbones.create("lenetpp", 6, 1, (28, 28), variant=variant, widths=(4, 4, 4))
    seen = []
    network.embedding.register_forward_hook(lambda module, given, output: seen.append(output))
    features = network(torch.randn(8, 1, 28, 28))
    assert (features < 0).any()
    torch.testing.assert_close(features, F.leaky_relu(seen[0], 0.25) if variant == "released" else seen[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(8, 1, 28, 28)).dtype == torch.float32


def test_centerface_paper_reads_the_fourth_pooling_and_the_third_local_convolution():
    network = backbones.create("centerface_paper", 8, 3, (70, 50), widths=(4, 6)).double()
    image = torch.randn(2, 3, 70, 50, dtype=torch.float64)
    pooled = network.stages(image)
    assert pooled.shape == (2, 4, 5, 4)
    both = torch.cat([pooled.flatten(1), network.local(pooled).flatten(1)], 1)
    expected = F.linear(both, network.embedding.weight, network.embedding.bias)
    torch.testing.assert_close(network(image), expected.float())
