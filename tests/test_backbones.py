"""Backbones: images in, float32 embeddings out, whatever the name."""

import pytest
import torch

import backbones

NARROW = {"widths": (4, 6, 8, 8)}
FAMILY = {
    "cnn4": {},
    "test_resnet": {},
    "test_byobnet": {},
    "test_vit": {},
    "test_maxvit": {},
    "resnet18": {},
    "lenetpp": {"widths": (4, 6, 8)},
    "sphere20": NARROW,
    "sphere64": NARROW,
    "sphere64_released": NARROW,
    "centerface": NARROW,
    "centerface_paper": {"widths": (4, 6)},
    "iresnet18": NARROW,
    "iresnet34": NARROW,
    "iresnet50": NARROW,
    "iresnet100": NARROW,
}


def side(name: str) -> int:
    return 33 if name == "centerface" else 32


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_embeddings(name, channels):
    size = (side(name), side(name))
    network = backbones.create(name, embedding_dim=12, in_chans=channels, image_size=size, **FAMILY[name])
    embeddings = network(torch.randn(2, channels, *size))
    assert embeddings.shape == (2, 12) and embeddings.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, channels, *size)).dtype == torch.float32


@pytest.mark.parametrize("name", FAMILY)
def test_the_seed_decides_the_weights(name):
    def weights(seed):
        torch.manual_seed(seed)
        return backbones.create(name, 8, 3, (side(name), side(name)), **FAMILY[name]).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (112, 112)])
def test_cnn4_takes_any_size_from_16(size):
    assert backbones.create("cnn4", 8, 1, size, widths=(4, 4, 8, 8))(torch.randn(2, 1, *size)).shape == (2, 8)


def test_cnn4_has_the_stages_that_are_asked_for():
    def parameters(**options):
        return sum(p.numel() for p in backbones.create("cnn4", 8, 3, (32, 32), **options).parameters())

    # conv 3x3 + batch norm (2) + PReLU (1) a channel; a residual block is two of them; then 2x2x8 -> 8
    widths, blocks = (4, 6, 8, 8), (0, 1, 0, 2)
    expected = 0
    for inputs, width, count in zip((3, *widths[:3]), widths, blocks, strict=True):
        expected += 9 * inputs * width + 3 * width + count * 2 * (9 * width * width + 3 * width)
    assert parameters(widths=widths, blocks=blocks) == expected + 2 * 2 * 8 * 8


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("resnt18", (32, 32), {}, "no 'resnt18' in backbones; closest: .*resnet18.*; there is: .*cnn4.*sphere20"),
        ("cnn4", (12, 32), {}, "needs at least 16x16, got 12x32"),
        ("cnn4", (32, 32), {"widths": (4, 4)}, "widths and blocks must be four numbers each"),
        ("cnn4", (32, 32), {"depth": 3}, "backbone 'cnn4' does not take these options: .*depth"),
        ("sphere20", (32, 32), {"depth": 3}, "backbone 'sphere20' does not take these options: .*depth"),
        ("sphere20", (32, 32), {"blocks": (1, 1, 1, 1)}, "backbone 'sphere20' does not take these options: .*blocks"),
        ("sphere20", (32, 32), {"widths": (8, 8)}, "widths must be four positive numbers, got \\(8, 8\\)"),
        ("iresnet18", (32, 32), {"widths": (8, 8, 8, 0)}, "widths must be four positive numbers"),
        ("iresnet18", (32, 32), {"zero_init": True}, "backbone 'iresnet18' does not take these options: .*zero_init"),
        ("centerface", (48, 48), {"widths": (1, 8, 8, 8)}, "widths must be four numbers from 2"),
        ("centerface_paper", (32, 32), {"widths": (8,)}, "has two widths"),
        ("lenetpp", (28, 28), {"widths": (8, 8)}, "widths must be three positive numbers"),
        ("lenetpp", (28, 28), {"variant": "caffe"}, "variant of lenetpp must be one of paper, released, got 'caffe'"),
        ("test_maxvit", (7, 7), {}, "timm model 'test_maxvit' cannot be made for 7x7 images: "),
        ("resnet18", (32, 32), {"depth": 3}, "timm model 'resnet18' cannot be made for 32x32 images: .*depth"),
    ],
)
def test_a_wrong_backbone_is_answered(name, size, options, message):
    with pytest.raises(ValueError, match=message):
        backbones.create(name, 8, 3, size, **options)


def test_pretrained_is_passed_through(monkeypatch):
    asked = {}

    def create_model(name, **options):
        asked.update(options)
        return torch.nn.Flatten()

    monkeypatch.setattr("timm.create_model", create_model)
    backbones.create("resnet18", 8, 3, (8, 8))
    assert asked["pretrained"] is False
    backbones.create("resnet18", 8, 3, (8, 8), pretrained=True)
    assert asked["pretrained"] is True


def test_the_names_are_ours_then_timms():
    names = backbones.names()
    ours = backbones.own()
    assert names[: len(ours)] == ours and "resnet50" in names and len(names) > 500
    assert {"cnn4", "lenetpp", "sphere64_released", "centerface_paper", "iresnet100"} < set(ours) <= set(FAMILY)
