"""Section: ROC, DET, CMC and rank-1 against distractors: the mean over runs, in a band from lowest to highest."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from reports import _figures, _plots, _rows
from reports import _markup as html
from reports._rows import Row
from reports._study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Curves"
ORDER = 40
Curve = dict[str, list[float]]
_CAPTION = (
    "Lines: mean over a row's runs. Bands: from the lowest to the highest run, which is the range seen and no "
    "confidence interval. Dotted grey: the untrained network."
)


def render(records: Study) -> Markup:
    """One figure a protocol, with a panel for each kind of curve that it kept."""
    rows = [row for row in _rows.rows(records) if row.role in ("tuned", "untrained") and row.done("finished")]
    kept = {id(row): [record.curves() for record in row.done("finished")] for row in rows}
    parts = []
    for protocol in _rows.protocols(records):
        lines = [(row, [curves[protocol] for curves in kept[id(row)] if curves.get(protocol)]) for row in rows]
        parts += _figure(records, protocol, [(row, runs) for row, runs in lines if runs])
    if not parts and any(map(_figures.closed, _rows.protocols(records))):
        return Markup("")  # a closed-set test has no curves
    if not parts:
        return html.paragraph("No curves yet: no confirmation run has kept any.")
    return html.join([html.paragraph(_CAPTION, kind="note"), *parts])


def _figure(study: Study, protocol: str, lines: list[tuple[Row, list[dict[str, Curve]]]]) -> list[Markup]:
    known = {kind for _, runs in lines for run in runs for kind in run}
    kinds = [kind for kind, (curve, _) in _PANELS.items() if curve in known]
    if not kinds:
        return []
    figure, axes = _plots.panels(-(-len(kinds) // 2), min(len(kinds), 2), height=3.0, width=10.6)
    flat = [ax for line in axes for ax in line]
    for ax in flat[len(kinds) :]:
        ax.set_visible(False)
    styles = _styles(study, [row for row, _ in lines])
    for kind, ax in zip(kinds, flat, strict=False):
        curve, draw = _PANELS[kind]
        for row, runs in lines:
            found = [run[curve] for run in runs if curve in run]
            if found:
                draw(
                    ax,
                    found,
                    {"label": _rows.label(study, row.name, row.backbone), **styles[row.role, row.backbone, row.label]},
                )
        if not ax.has_data():
            ax.text(0.5, 0.5, "nothing to draw: no error", transform=ax.transAxes, ha="center", color=_plots.GREY)
    _plots.legend(figure, flat[: len(kinds)])
    title = _figures.protocol_title(protocol)
    name = f"curves-{protocol}"
    return [html.heading(title), html.figure(_plots.svg(figure, name, f"Curves of every loss on {title}"))]


def _styles(study: Study, rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The reference first, then by name: a loss looks the same in every figure of a report."""
    tuned = sorted(
        {(row.backbone, row.label) for row in _rows.rows(study, "tuned")}, key=lambda k: (k[1] != study.reference, k)
    )
    grey = {"color": _plots.GREY, "linestyle": ":", "marker": None}
    return {
        (row.role, row.backbone, row.label): (
            grey if row.role == "untrained" else _plots.style(tuned.index((row.backbone, row.label)))
        )
        for row in rows
    }


def _at(curve: Curve, x: str, y: str, grid: np.ndarray) -> np.ndarray:
    """The highest y reached at or before each grid point, 0 before the first: a step, nothing is interpolated."""
    xs, ys = np.asarray(curve[x], float), np.asarray(curve[y], float)
    order = np.argsort(xs, kind="stable")
    best = np.concatenate([[0.0], np.maximum.accumulate(ys[order])])
    return best[np.searchsorted(xs[order], grid, side="right")]


def _band(ax: "Axes", x: np.ndarray, runs: np.ndarray, look: Mapping[str, Any]) -> None:
    """The mean of (runs, points) as a line in the band of its lowest and highest."""
    ax.plot(x, runs.mean(axis=0), **look)
    if len(runs) > 1:
        ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=str(look["color"]), alpha=0.18, linewidth=0)


def _rates(found: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """A grid of the FARs that every run was measured at (some protocols end below 1), and each run's TAR, in percent."""
    positive = [far for curve in found for far in curve["far"] if far > 0]
    last = min(max(curve["far"], default=1.0) for curve in found) or 1.0
    grid = np.geomspace(min(positive, default=1e-3), last, 160)
    return grid, 100 * np.array([_at(curve, "far", "tar", grid * (1 + 1e-9)) for curve in found])


def _roc(ax: "Axes", found: Sequence[Curve], look: Mapping[str, Any]) -> None:
    _band(ax, *_rates(found), {**look, "marker": None})
    ax.set(xscale="log", ylim=(0, 102), xlabel="false accept rate", ylabel="true accept rate, %")
    _plots.title(ax, "ROC")


def _det(ax: "Axes", found: Sequence[Curve], look: Mapping[str, Any]) -> None:
    grid, rates = _rates(found)
    seen = (rates < 100).all(axis=0)  # a logarithmic axis has no place for a rate of 0
    if seen.any():
        _band(ax, grid[seen], 100 - rates[:, seen], {**look, "marker": None})
    ax.set(xscale="log", yscale="log", xlabel="false accept rate", ylabel="false reject rate, %")
    _plots.title(ax, "DET")
    _plots.log_ticks(ax.yaxis)


def _cmc(ax: "Axes", found: Sequence[Curve], look: Mapping[str, Any]) -> None:
    ranks = np.unique(np.concatenate([np.asarray(curve["rank"], float) for curve in found]))
    _band(ax, ranks, 100 * np.array([_at(curve, "rank", "rate", ranks) for curve in found]), {**look, "marker": None})
    ax.set(xscale="log", xlabel="rank", ylabel="identified within the rank, %")
    _plots.log_ticks(ax.xaxis)
    _plots.title(ax, "CMC")


def _distractors(ax: "Axes", found: Sequence[Curve], look: Mapping[str, Any]) -> None:
    shared = sorted(set.intersection(*[set(curve["distractors"]) for curve in found]))
    rates = [dict(zip(curve["distractors"], curve["rank1"], strict=True)) for curve in found]
    _band(ax, np.array(shared), 100 * np.array([[rate[n] for n in shared] for rate in rates]), look)
    ax.set(xscale="log", xlabel="distractors in the gallery", ylabel="rank-1, %")
    _plots.title(ax, "Rank-1 against distractors")


_PANELS = {
    "roc": ("roc", _roc),
    "det": ("roc", _det),
    "cmc": ("cmc", _cmc),
    "distractors": ("distractors", _distractors),
}
