"""A batch of embeddings and a criterion for it, shared by the tests of losses."""

import torch

import losses

CLASSES, DIM, BATCH = 7, 5, 12


def batch(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(BATCH, DIM, generator=generator, dtype=dtype)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    return embeddings, labels


def crowded(seed=0, classes=3, spread=0.8):
    """Few classes about centres that are not far apart: every kind of pair and triplet occurs."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (BATCH,), generator=generator)
    centers = torch.randn(classes, DIM, generator=generator, dtype=torch.float64)
    return centers[y] + spread * torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64), y


def make(name, seed=0, **hyper):
    torch.manual_seed(seed)
    return losses.create(name, CLASSES, DIM, **hyper)


def classifies(name):
    """Whether the loss has class weights."""
    return hasattr(make(name), "weight")


def value_and_gradients(criterion, x, y):
    """The loss of a call, its gradient at the embeddings, and those at the criterion's own parameters."""
    x = x.detach().clone().requires_grad_()
    criterion.zero_grad(set_to_none=True)
    loss = criterion(x, y)
    loss.backward()
    return loss.detach(), x.grad, {name: p.grad for name, p in criterion.named_parameters()}


def slope(criterion, x, y, step=1e-6):
    """The gradient by central differences."""
    found = torch.zeros_like(x)
    for i in range(len(x)):
        for k in range(x.shape[1]):
            there, back = x.clone(), x.clone()
            there[i, k] += step
            back[i, k] -= step
            found[i, k] = (criterion(there, y) - criterion(back, y)).item() / (2 * step)
    return found
