"""The decision margins of the losses as they are implemented: found by asking the criteria, not their formulas."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

_GIVEN: dict[str, dict[str, Any]] = {
    "softmax": {"bias": False},
    "asoftmax": {"annealing_base": 0.0, "annealing_floor": 0.0},  # the margin alone, no softmax mixed in
}


def margins(
    loss: str, plane: str, levels: np.ndarray, lengths: tuple[float, float] = (1.0, 1.0), **hyper: Any
) -> np.ndarray:
    """(n,) the signed margin between two classes on each line across the diagonal of a plane; < 0: the classes overlap.

    On the line the first class's boundary is where the loss of one sample of that class is ln 2, so that both classes are
    given the same score; the second class's lies mirrored, and the margin is the distance between the two.

    Args:
        loss: `softmax`, `nsl`, `lmcl` or `asoftmax`.
        plane: `cosine` (levels cos_1 + cos_2) or `angle` (levels theta_1 + theta_2, radians, 0 to pi).
        levels: (n,) > 0.
        lengths: ||W_1||, ||W_2||; only softmax looks at them.
        hyper: hyper-parameters of the loss.
    """
    import losses

    criterion = losses.create(loss, 2, 3, **_GIVEN.get(loss, {}), **hyper).double().eval()
    find = {"cosine": _cosine, "angle": _angle}[plane]
    return np.array([find(criterion, float(level), lengths) for level in levels])


def _cosine(criterion: "nn.Module", level: float, lengths: tuple[float, float]) -> float:
    """sqrt(2) (cos_1 - cos_2) at the boundary, the weights being orthogonal."""
    weights = np.eye(3)[:2]
    reach = math.sqrt(2 - level**2) / 2  # a unit vector has cos_1^2 + cos_2^2 <= 1 with two orthogonal weights

    def sample(half: float) -> np.ndarray:
        first, second = level / 2 + half, level / 2 - half
        return np.array([first, second, math.sqrt(max(1 - first**2 - second**2, 0.0))])

    half = _root(lambda value: _excess(criterion, sample(value), weights * np.array(lengths)[:, None]), -reach, reach)
    return math.sqrt(2) * 2 * half


def _angle(criterion: "nn.Module", level: float, lengths: tuple[float, float]) -> float:
    """sqrt(2) (theta_2 - theta_1) at the boundary, for a sample between two weights that are `level` apart."""

    def at(angle: float) -> np.ndarray:
        return np.array([math.cos(angle), math.sin(angle), 0.0])

    weights = np.stack([at(0.0), at(level)]) * np.array(lengths)[:, None]
    first = _root(lambda angle: _excess(criterion, at(angle), weights), 0.0, level)
    return math.sqrt(2) * (level - 2 * first)


def _excess(criterion: "nn.Module", sample: np.ndarray, weights: np.ndarray) -> float:
    """The loss of the sample as one of class 1, less ln 2."""
    import torch

    with torch.no_grad():
        criterion.weight.copy_(torch.from_numpy(weights))  # type: ignore[operator]
        return float(criterion(torch.from_numpy(sample)[None], torch.zeros(1, dtype=torch.int64))) - math.log(2)


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(excess, low, high, xtol=1e-13))
