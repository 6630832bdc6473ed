"""A batch of embeddings and a criterion for it, shared by the tests of losses."""

import torch

import losses

CLASSES, DIM, BATCH = 7, 5, 12


def batch(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(BATCH, DIM, generator=generator, dtype=dtype)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    return embeddings, labels


def make(name, seed=0, **hyper):
    torch.manual_seed(seed)
    return losses.create(name, CLASSES, DIM, **hyper)


def weight_of(criterion):
    return dict(criterion.named_parameters())[next(n for n, _ in criterion.named_parameters() if n.endswith("weight"))]
