"""Numbered notes: what is said of several runs, each with counts of its own, is one note with the counts' range."""

import re
from collections.abc import Sequence

_COUNT = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?!\w|[.,]\d)")  # 7, 2,994; not the parts of 1e-03 or 0.1


class Notes:
    """Texts and their numbers, from 1; the same text keeps its number."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], list[list[str]]] = {}  # text around the counts -> the counts each time

    def numbers(self, texts: Sequence[str], *, alike: bool = False) -> list[int]:
        """The numbers of these notes, new ones being added.

        Args:
            texts: the notes.
            alike: texts that differ in counts alone are one note.
        """
        keys = [tuple(_COUNT.split(text)) if alike else (text,) for text in texts]
        for key, text in zip(keys, texts, strict=True):
            self._counts.setdefault(key, []).append(_COUNT.findall(text) if len(key) > 1 else [])
        known = list(self._counts)
        return sorted({known.index(key) + 1 for key in keys})

    def texts(self) -> list[str]:
        """The notes in the order of their numbers: `hangs on 2 to 3 false accepts`."""
        return [
            "".join(part + count for part, count in zip(key, [*map(_span, zip(*counts, strict=True)), ""], strict=True))
            for key, counts in self._counts.items()
        ]


def _span(counts: Sequence[str]) -> str:
    low, high = (pick(counts, key=lambda count: int(count.replace(",", ""))) for pick in (min, max))
    return low if low == high else f"{low} to {high}"
