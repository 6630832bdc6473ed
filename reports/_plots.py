"""Matplotlib figures as inline SVG: text in the page's own colour, deterministic, no date, nothing fetched."""

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by colour-blind readers; its black is the ink, its yellow is too pale for paper.
# The last four were chosen to stay apart from those and one another under deuteranopia and protanopia.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3FC8", "#7A3B1D", "#405560", "#B0B8A0")
# The same ten on a dark page, in their order: lighter, and further apart for the same readers.
DARK = ("#58B0FF", "#FB5004", "#20DD6C", "#EA92A6", "#F7DC24", "#79FAFF", "#8252EA", "#A05845", "#5C71A0", "#FAFFD3")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#010203"  # stands for `currentColor` until the SVG is written: Matplotlib knows no such colour
GREY = "#808080"
DPI = 220  # of what is drawn with `rasterized=True`
PRINTED = 300  # of a PNG for a paper
_KEPT: ContextVar[Path | None] = ContextVar("kept", default=None)
_STYLE: Any = {
    "svg.hashsalt": "facebench",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def panels(
    rows: int, columns: int, *, height: float = 2.7, width: float = 10.2, compress: bool = False, **options: Any
) -> "tuple[Figure, list[list[Axes]]]":
    """A figure of rows x columns axes in the report's style; `height` of a row and `width` of all in inches.

    `compress` moves panels of a fixed aspect together, where they would stand apart in a figure that is too wide or high.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, compress=compress)
        figure = Figure(figsize=(width, height * rows), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes.tolist()


def style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the index-th line: ten colours, and other dashes when they come again."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[(index + index // len(DASHES)) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def title(ax: "Axes", text: str) -> None:
    ax.set_title(text, loc="left", fontsize=10, fontweight="bold")


def legend(figure: "Figure", axes: "list[Axes]") -> None:
    """One legend for all panels, each label once, to their right."""
    known: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    figure.legend(
        list(known.values()), list(known), loc="outside right upper", frameon=False, fontsize=9.5, labelcolor=INK
    )


def log_ticks(axis: "Axis") -> None:
    """A logarithmic axis with plain labels (`0.0005`), few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = LogLocator(subs=(1, 2, 5) if high < 25 * low else (1, 3) if high < 200 * low else (1,))
    axis.set_major_locator(MaxNLocator(4) if high < 4 * low else decades)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5f}".rstrip("0") if value < 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Figures that are drawn meanwhile are written into a folder too, as `<name>.svg` and `<name>.png`, for papers."""
    before = _KEPT.set(folder)
    try:
        yield
    finally:
        _KEPT.reset(before)


def svg(figure: "Figure", name: str, description: str) -> Markup:
    """The figure as an inline `<svg>`; `name` keeps its ids apart from other figures', `description` is read aloud."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, dpi=DPI, metadata=none)
        if folder := _KEPT.get():
            figure.savefig(folder / f"{_id(name)}.png", dpi=PRINTED, facecolor="white")
            (folder / f"{_id(name)}.svg").write_text(buffer.getvalue().replace(INK, "#000000"), encoding="utf-8")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    name = _id(name)
    text = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1inherit-family", text).replace(
        "inherit-family", "sans-serif"
    )
    text = text.replace(INK, "currentColor")
    if "<image" not in text:  # whose colours no style sheet can change, and what is drawn beside it has the same
        text = re.sub("|".join(COLOURS), _variable, text, flags=re.IGNORECASE)
    label = Markup('<svg role="img" aria-label="{}"').format(description)
    return Markup(text.replace("<svg", str(label), 1))


def _variable(found: re.Match[str]) -> str:
    """A colour as the page's variable, which is another on a dark page; elsewhere (a figure alone) it is itself."""
    return f"var(--colour-{[colour.lower() for colour in COLOURS].index(found[0].lower())}, {found[0]})"


def _id(name: str) -> str:
    """A name as an id may hold it: nothing of a label can be markup."""
    plain = re.sub(r"[^\w-]", "_", name)
    return plain if plain == name else f"{plain}-{zlib.crc32(name.encode()):08x}"
