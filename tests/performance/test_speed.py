"""Benchmarks (`make bench`): each group holds ours and a limit or a usual way, measured in one run; read the ratios.

The machines are shared and noisy: seconds mean little, the ratio inside a group means something, and no test asserts one.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import losses
from bench import augment, datasets, protocols
from bench.pixels import fit, pixels

BATCH, DIM, CLASSES = 256, 512, 10_000


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


# --- the head: forward and backward, against its three matrix products ---------------------------------


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(BATCH, DIM, generator=generator, requires_grad=True)
    return embeddings, torch.randint(0, CLASSES, (BATCH,), generator=generator)


@pytest.mark.benchmark(group="head: 256 x 512, 10,000 classes, forward + backward")
def test_limit_three_matrix_products(benchmark, batch):
    embeddings, weight, logits = batch[0].detach(), torch.randn(CLASSES, DIM), torch.empty(BATCH, CLASSES)

    def products():
        torch.mm(embeddings, weight.T, out=logits)
        return logits @ weight, logits.T @ embeddings

    benchmark(products)


@pytest.mark.benchmark(group="head: 256 x 512, 10,000 classes, forward + backward")
@pytest.mark.parametrize("name", losses.names())
def test_loss(benchmark, batch, name):
    embeddings, labels = batch
    criterion = losses.create(name, CLASSES, DIM)

    def step():
        criterion.zero_grad(set_to_none=True)
        criterion(embeddings, labels).backward()

    benchmark(step)


@pytest.mark.benchmark(group="centre term: 256 x 512, 10,000 classes")
@pytest.mark.parametrize("way", ["gather (ours)", "distance matrix (usual)"])
def test_center_term(benchmark, batch, way):
    embeddings, labels = batch
    centers = torch.randn(CLASSES, DIM)

    def gather():
        return (embeddings - centers[labels]).square().sum(1).mean() / 2

    def matrix():
        distances = torch.cdist(embeddings, centers).square()
        return distances.gather(1, labels[:, None]).mean() / 2

    benchmark(gather if way.startswith("gather") else matrix)


# --- protocols, against their dot products -------------------------------------------------------------


@pytest.fixture(scope="module")
def lfw():
    lists, _ = datasets.protocol({"name": "faces"}, "lfw")
    protocol = protocols.create("lfw", root=lists)
    return protocol, np.random.default_rng(0).normal(size=(len(protocol.images), 512)).astype(np.float32)


@pytest.mark.benchmark(group="lfw: 6,000 pairs x 512")
def test_limit_dot_products(benchmark, lfw):
    protocol, embeddings = lfw
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    benchmark(lambda: np.einsum("ij,ij->i", unit[protocol.pairs.first], unit[protocol.pairs.second]))


@pytest.mark.benchmark(group="lfw: 6,000 pairs x 512")
def test_lfw(benchmark, lfw):
    protocol, embeddings = lfw
    benchmark(protocol.score, embeddings)


@pytest.fixture(scope="module")
def megaface():
    lists, _ = datasets.protocol({"name": "faces", "distractors": 10_000}, "megaface")
    protocol = protocols.create("megaface", root=lists)
    return protocol, np.random.default_rng(0).normal(size=(len(protocol.images), 512)).astype(np.float32)


@pytest.mark.benchmark(group="megaface: 800 probes x 10,000 distractors x 512")
def test_limit_one_matrix_product(benchmark, megaface):
    _, embeddings = megaface
    probes, gallery = torch.from_numpy(embeddings[:800]), torch.from_numpy(embeddings[-10_000:])
    out = torch.empty(800, 1024)

    def product():
        for start in range(0, 9_216, 1024):
            torch.mm(probes, gallery[start : start + 1024].T, out=out)

    benchmark.pedantic(product, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="megaface: 800 probes x 10,000 distractors x 512")
def test_megaface(benchmark, megaface):
    protocol, embeddings = megaface
    benchmark.pedantic(protocol.score, args=(embeddings,), rounds=5, warmup_rounds=1)


# --- images ------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="a batch of 128 at 64 px")
@pytest.mark.parametrize("way", ["normalise alone (limit)", "augmented"])
def test_augmentation(benchmark, way):
    images = np.random.default_rng(0).integers(0, 256, (128, 64, 64, 3), np.uint8)
    options, random = augment.check({}), np.random.default_rng(0)
    if way == "augmented":
        benchmark(augment.augmented, images, options, random)
    else:
        benchmark(augment.normalise, images)


@pytest.mark.benchmark(group="256 made-up faces at 32 px")
@pytest.mark.parametrize("way", ["drawn", "from the cache"])
def test_faces(benchmark, way):
    faces = datasets.load("faces", identities=16, per_identity=16, size=32)
    if way == "drawn":
        benchmark.pedantic(lambda: [fit(i, 32, None, 3) for i in faces.source.images(faces.names)], rounds=3)
    else:
        pixels(faces.source, faces.names, 32)
        benchmark(lambda: np.array(pixels(faces.source, faces.names, 32).array))


# --- the start ---------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("arguments", [["-c", "pass"], ["-c", "from bench.cli import main; main()", "--help"]])
def test_start(benchmark, arguments):
    command = [sys.executable, *arguments]
    benchmark.pedantic(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), rounds=10)


@pytest.mark.benchmark(group="normalised softmax, 256 x 512, 10,000 classes, forward")
@pytest.mark.parametrize("way", ["ours", "written out"])
def test_cosine_softmax(benchmark, batch, way):
    embeddings, labels = batch
    criterion = losses.create("nsl", CLASSES, DIM)

    def written_out():
        cosine = F.linear(F.normalize(embeddings), F.normalize(criterion.weight))
        return F.cross_entropy(30 * cosine, labels)

    benchmark(written_out if way == "written out" else lambda: criterion(embeddings, labels))
