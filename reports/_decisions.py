"""The four losses of CosFace's Figure 2 between two classes: their boundaries, what is claimed of them, what is measured."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports import _measured, _toy, _words
from reports._toy import Features

if TYPE_CHECKING:
    from losses._boundaries import Boundaries

CLOSE = 1e-6
# Sums of the two cosines, and of the two angles, on which the margins are measured.
LEVELS = {"cosine": np.linspace(0.1, 1.2, 12), "angle": np.radians(np.linspace(5, 90, 18))}
SHOWN = {"cosine": 1.0, "angle": math.pi / 2}  # the one that is written out


@dataclass(frozen=True)
class Panel:
    """One loss between two classes.

    `at` gives its boundaries on lines across the diagonal, `claim` says what the paper claims of the margins.
    """

    loss: str
    title: str
    condition: str
    claim: str
    at: "Callable[[np.ndarray], Boundaries]"
    holds: Callable[[np.ndarray, np.ndarray], bool]  # of levels and measured margins
    hyper: Mapping[str, Any]
    lengths: tuple[float, float] = (1.0, 1.0)
    features: Features | None = None

    @property
    def plane(self) -> str:
        return self.at(np.ones(1)).plane


def four(found: Mapping[str, Features]) -> list[Panel]:
    """The four losses, with the settings of the study's own runs where it has them."""
    from losses import _boundaries as lines

    lengths = _lengths(found.get("softmax"))
    times, margin = (_margin_of(found.get(loss), usual) for loss, usual in (("asoftmax", 4), ("lmcl", 0.35)))
    kept = {name: found.get(name) for name in ("softmax", "nsl", "asoftmax", "lmcl")}
    return [
        Panel("softmax", f"Softmax, ‖W₁‖ / ‖W₂‖ = {_words.value(lengths[0] / lengths[1])}", "‖W₁‖ cos θ₁ ≥ ‖W₂‖ cos θ₂",
              "below 0 where the weights differ in length", lambda at: lines.softmax(*lengths, at),
              lambda _, margins: bool((margins < 0).all()) or lengths[0] == lengths[1], {}, lengths, kept["softmax"]),
        Panel("nsl", "NSL", "cos θ₁ ≥ cos θ₂", "0", lines.nsl, lambda _, margins: bool((abs(margins) <= CLOSE).all()),
              {}, features=kept["nsl"]),
        Panel("asoftmax", f"A-Softmax, m = {times}", "cos(m θ₁) ≥ cos θ₂", "rises with the angle, from 0",
              lambda at: lines.asoftmax(times, at), lambda at, margins: times == 1 or _from_zero(at, margins),
              {"margin": times}, features=kept["asoftmax"]),
        Panel("lmcl", f"LMCL, m = {_words.value(margin)}", "cos θ₁ ≥ cos θ₂ + m", "√2 m everywhere",
              lambda at: lines.lmcl(margin, at),
              lambda _, margins: bool((abs(margins - math.sqrt(2) * margin) <= CLOSE).all()),
              {"margin": margin}, features=kept["lmcl"]),
    ]  # fmt: skip


def _lengths(one: Features | None) -> tuple[float, float]:
    """Those of the two class weights, the longer first; without a run an example."""
    if one is None or one.weight is None:
        return 1.5, 1.0
    first, second = sorted(map(float, _toy.norms(one.weight)), reverse=True)
    return first, second


def _margin_of(one: Features | None, usual: Any) -> Any:
    return usual if one is None else one.trial.loss_options.get("margin", usual)


def _from_zero(levels: np.ndarray, margins: np.ndarray) -> bool:
    """Whether the margins rise with the level, and no slower towards 0 than in proportion to it."""
    return bool((np.diff(margins) > 0).all() and margins[0] / levels[0] <= margins[-1] / levels[-1] * (1 + CLOSE))


class Margin(NamedTuple):
    """A panel's margin at the level that is shown, by formula and measured; the largest difference on any level."""

    formula: float
    measured: float
    off: float
    passed: bool


def measure(panel: Panel) -> Margin:
    """The margins of the implemented loss against the formula, and against the paper's claim."""
    levels = np.append(LEVELS[panel.plane], SHOWN[panel.plane])
    formula = panel.at(levels).margin
    measured = _measured.margins(panel.loss, panel.plane, levels, panel.lengths, **panel.hyper)
    off = float(abs(measured - formula).max())
    passed = off <= CLOSE and panel.holds(levels[:-1], measured[:-1])
    return Margin(float(formula[-1]), float(measured[-1]), off, passed)
