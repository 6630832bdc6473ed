"""Section: the figure that ranks against what its network cost to train, and to keep; which rows nothing beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from reports import _comparisons, _figures, _plots, _rows, _words
from reports import _markup as html
from reports._study import Study
from reports.statistics import PILOT, level_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Accuracy against cost"
ORDER = 66
_COSTS = {"train_seconds": ("training of one run, s", _words.duration), "parameters": ("parameters", _words.millions)}
_TITLES = {"train_seconds": "Training time", "parameters": "Parameters"}
_CAPTION = (
    "Full marks, on the line: the Pareto front, the rows that no other beats in one of figure and cost without "
    "losing in the other (equal rows stay together). Hollow: behind it. Bars: the 95 % interval of the row's own figure over "
    "{units} and test identities, and the standard deviation of its cost over its runs."
)
_TOLD = (
    "The front follows from the means, and means differ by chance too: the last column is the verdict against each row that "
    "costs less, under a Holm over all pairs. A row that is a tie with a cheaper one has not been shown to earn its cost."
)


@dataclass(frozen=True)
class Point:
    """A tuned row: its figure with its interval, and one cost; whether more of the figure is better."""

    backbone: str
    loss: str
    figure: float
    interval: tuple[float, float]
    cost: float
    spread: float
    higher: bool

    def beats(self, other: "Point") -> bool:
        """No worse in both, and better in one."""
        gain = (self.figure - other.figure) * (1 if self.higher else -1)
        return gain >= 0 and self.cost <= other.cost and (gain > 0 or self.cost < other.cost)


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats, the cheapest first."""
    return sorted((p for p in points if not any(q.beats(p) for q in points)), key=lambda p: (p.cost, p.figure))


def render(records: Study) -> Markup:
    """A panel for each cost by which the rows differ, and a table for each."""
    metric = _rows.primary(records)
    found = {kind: points(records, metric, kind) for kind in _COSTS} if metric else {}
    if not any(len(seen) > 1 for seen in found.values()):
        return html.paragraph("Fewer than two rows have a test figure and a known cost: there is no front.")
    shown = {kind: seen for kind, seen in found.items() if len({p.cost for p in seen}) > 1}
    same = [
        f"All rows have the same {_TITLES[kind].lower()} ({_COSTS[kind][1](seen[0].cost)}): no front over that."
        for kind, seen in found.items()
        if seen and kind not in shown
    ]
    parts = [_picture(records, metric, shown)] if shown else []
    parts += [_table(records, metric, kind, seen) for kind, seen in shown.items()]
    return html.join([*parts, html.paragraph(*[_TOLD] * bool(shown), *same, kind="note")])


def points(study: Study, metric: str, kind: str) -> list[Point]:
    """The tuned rows whose figure may be ranked and whose cost is known."""
    found = []
    for row in _rows.rows(study, "tuned"):
        cell = _rows.cell(study, row, metric)
        costs = [float(r.cost[kind]) for r in row.done("finished") if isinstance(r.cost.get(kind), int | float)]
        if cell.sample is not None and not cell.marks and costs:
            spread = float(np.std(costs, ddof=1)) if len(costs) > 1 else 0.0
            figure, interval = cell.sample.mean, level_interval(cell.sample)
            higher = _figures.higher_is_better(metric)
            found.append(Point(row.backbone, row.label, figure, interval, float(np.mean(costs)), spread, higher))
    return found


def _picture(study: Study, metric: str, shown: dict[str, list[Point]]) -> Markup:
    rows = list(dict.fromkeys((p.backbone, p.loss) for seen in shown.values() for p in seen))
    width = min(10.2, 4.4 * len(shown) + 1.8)  # the legend stands to the right
    figure, (axes,) = _plots.panels(1, len(shown), height=3.2, width=width, sharey=True)
    for ax, (kind, seen) in zip(axes, shown.items(), strict=True):
        _panel(ax, seen, rows)
        ax.set_xlabel(_COSTS[kind][0])
        if max(p.cost for p in seen) > 4 * min(p.cost for p in seen) > 0:
            ax.set_xscale("log")
    axes[0].set_ylabel(f"{_figures.full_title(metric)}, %")
    _plots.legend(figure, axes)
    drawn = _plots.svg(figure, "pareto", "The primary figure against training time and parameters")
    return html.figure(drawn, _CAPTION.format(units=_words.units(_rows.unit(study))))


def _panel(ax: "Axes", seen: Sequence[Point], rows: Sequence[tuple[str, str]]) -> None:
    best = front(seen)
    ax.plot(
        [p.cost for p in best], [100 * p.figure for p in best], color=_plots.GREY, linewidth=1, drawstyle="steps-post"
    )
    several = len({backbone for backbone, _ in rows}) > 1
    for p in seen:
        look = _plots.style(rows.index((p.backbone, p.loss))) | {"linestyle": "none"}
        low, high = (100 * abs(edge - p.figure) for edge in p.interval)
        bars = [[low], [high]] if np.isfinite([low, high]).all() else None
        fill = look["color"] if p in best else "none"
        name = f"{p.loss} ({p.backbone})" if several else p.loss
        ax.errorbar(
            [p.cost],
            [100 * p.figure],
            yerr=bars,
            xerr=[p.spread],
            label=name,
            markerfacecolor=fill,
            elinewidth=0.9,
            **look,
        )


def _table(study: Study, metric: str, kind: str, seen: Sequence[Point]) -> Markup:
    best, verdicts, text = front(seen), _comparisons.pairs(study, metric), _COSTS[kind][1]
    body: list[list[html.Shown]] = []
    for p in sorted(seen, key=lambda p: (p.cost, -p.figure if p.higher else p.figure)):
        behind = [_name(study, q) for q in best if q.beats(p)]
        cheaper = [q for q in seen if q.cost < p.cost]
        body.append(
            [
                html.Item(_name(study, p), _name(study, p)),
                html.Item(text(p.cost), p.cost),
                html.Item(_words.percent(p.figure), p.figure),
                f"behind {_words.listing(behind)}" if behind else "on it",
                _against(study, p, cheaper, verdicts),
            ]
        )
    columns = [
        html.Column("Loss", "short"),
        html.Column(_TITLES[kind]),
        html.Column(f"{_figures.full_title(metric)}, %"),
    ]
    columns += [html.Column("Front", "text"), html.Column("Against what costs less", "text")]
    return html.table(columns, [body], sortable=True)


def _against(
    study: Study, p: Point, cheaper: Sequence[Point], verdicts: dict[tuple[_comparisons.Key, _comparisons.Key], str]
) -> str:
    """`better than a; tie with b`, or that nothing costs less."""
    if not cheaper:
        return "nothing costs less"
    said = {"better": "better than", "tie": "tie with", "worse": "worse than", PILOT: f"{PILOT}:"}
    groups: dict[str, list[str]] = {}
    for q in cheaper:
        verdict = verdicts.get(((p.backbone, p.loss), (q.backbone, q.loss)), "")
        groups.setdefault(said.get(verdict, "not compared with"), []).append(_name(study, q))
    order = [*said.values(), "not compared with"]
    return "; ".join(f"{words} {_words.listing(groups[words])}" for words in order if words in groups)


def _name(study: Study, p: Point) -> str:
    return _rows.label(study, p.loss, p.backbone)
