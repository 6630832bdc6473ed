"""The HTML building blocks of the sections; whatever comes from a study is escaped."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from reports._notes import Notes

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Column:
    """A table's column: `number` (to the right, one line), `short` (text, one line), `text` (wraps) or `wide`."""

    title: str
    kind: str = "number"


@dataclass(frozen=True)
class Item:
    """A table's cell: what is shown, and the number it is sorted by (None sorts last)."""

    html: str
    sort: float | str | None = None

    @property
    def known(self) -> bool:
        """Whether there is something to sort by: NaN is nothing."""
        return isinstance(self.sort, str) or (self.sort is not None and math.isfinite(self.sort))


Shown = Item | str  # a table's cell: an Item where it can be sorted by
LONG = 40  # rows of a table that scrolls by itself, under its own headings


class Footnotes:
    """Numbered notes under a table."""

    def __init__(self) -> None:
        self._notes = Notes()

    def marks(self, texts: Sequence[str], *, alike: bool = False) -> Markup:
        """The numbers of these notes, new ones being added (see `Notes.numbers`); nothing for no note."""
        numbers = self._notes.numbers(texts, alike=alike)
        return Markup(" <sup>{}</sup>").format(", ".join(map(str, numbers))) if numbers else Markup("")

    def html(self) -> Markup:
        if not (texts := self._notes.texts()):
            return Markup("")
        return Markup('<ol class="notes">{}</ol>').format(join(Markup("<li>{}</li>").format(text) for text in texts))


@lru_cache(maxsize=1)
def environment() -> "Environment":
    """The templates of this package, with autoescape on and undefined names as errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def join(parts: Iterable[Any], between: str = "") -> Markup:
    return Markup(escape(between)).join(parts)


def paragraph(*sentences: Any, kind: str = "") -> Markup:
    """A paragraph of sentences; `kind` is a class of the style sheet (`note`, `alert`)."""
    attribute = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup("<p{}>{}</p>").format(attribute, join(sentences, " "))


def heading(text: str) -> Markup:
    return Markup("<h3>{}</h3>").format(text)


def small(text: Any) -> Markup:
    return Markup('<span class="small">{}</span>').format(text)


def strong(text: Any) -> Markup:
    return Markup("<strong>{}</strong>").format(text)


def code(text: Any) -> Markup:
    return Markup("<code>{}</code>").format(text)


def identifier(text: Any) -> Markup:
    """A hash or an id, never broken over two lines."""
    return Markup('<code class="whole">{}</code>').format(text)


def bullets(items: Iterable[Any], kind: str = "") -> Markup:
    inner = join(Markup("<li>{}</li>").format(item) for item in items)
    return Markup('<ul class="{}">{}</ul>').format(kind, inner) if inner else Markup("")


def table(
    columns: Sequence[Column],
    bodies: Sequence[Sequence[Sequence[Shown]]],
    *,
    caption: str = "",
    foot: Sequence[Sequence[str]] = (),
    sortable: bool = False,
    filterable: bool = False,
) -> Markup:
    """A table: `bodies` are blocks of rows with a rule between them; sorting by a click stays within a block.

    A sortable table of many rows can be filtered too; `filterable`: one of few rows as well.
    """
    cells = [[[c if isinstance(c, Item) else Item(c) for c in row] for row in body] for body in bodies if body]
    shown: dict[str, Any] = {"columns": columns, "bodies": cells, "caption": caption, "foot": foot}
    shown |= {"sortable": sortable, "filterable": filterable}
    template = environment().get_template("table.html.j2")
    return Markup(template.render(**shown, long=sum(map(len, cells)) > LONG))


def figure(picture: Markup, caption: str = "") -> Markup:
    under = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup("<figure>{}{}</figure>").format(picture, under)


def whisker(mean: float, low: float, high: float, span: tuple[float, float], line: float = math.nan) -> Markup:
    """A dot with its interval on the axis `span`, 120 x 16 px; `line` draws a dashed line (the reference, or zero).

    An end beyond the axis has no cap; a dot beyond it becomes an arrowhead at the edge.
    """

    def x(value: float) -> str:
        share = (value - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5
        return f"{6 + 108 * min(max(share, 0.0), 1.0):.1f}"

    parts = [Markup('<svg class="whisker" viewBox="0 0 120 16" aria-hidden="true">')]
    if math.isfinite(line):
        parts.append(Markup('<line class="level" x1="{0}" x2="{0}" y1="0" y2="16"/>').format(x(line)))
    if math.isfinite(low) and math.isfinite(high) and low <= span[1] and high >= span[0]:
        caps = join(Markup("M{} 5v6").format(x(end)) for end in (low, high) if span[0] <= end <= span[1])
        parts.append(Markup('<path d="M{} 8H{}{}"/>').format(x(low), x(high), caps))
    if span[0] <= mean <= span[1]:
        parts.append(Markup('<circle cx="{}" cy="8" r="3.2"/>').format(x(mean)))
    else:
        parts.append(
            Markup('<path class="beyond" d="{}"/>').format("M1 8l6-4v8z" if mean < span[0] else "M119 8l-6-4v8z")
        )
    return join([*parts, Markup("</svg>")])


def span(values: Iterable[float]) -> tuple[float, float]:
    """The common axis of a column of whiskers; (0, 1) where nothing is finite."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)
