"""Many embeddings as one: the images of a template by way of its media (a still, or all frames of one video)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

_NUMBERS = 1 << 20  # taken at a time: 8 MB of float64


@dataclass(frozen=True, eq=False)
class Layout:
    """Which embeddings make which template.

    Attributes:
        order: (N,) rows, those of one medium of one template together.
        media: (M + 1,) where each medium begins in `order`, and the end.
        templates: (T + 1,) where each template begins in `media`, and the end.
    """

    order: np.ndarray
    media: np.ndarray
    templates: np.ndarray

    @classmethod
    def of(cls, template: np.ndarray, medium: np.ndarray, templates: int) -> "Layout":
        """From the template 0..T-1 (none without an image) and the medium of each image, (N,) each.

        The media of a template stand in the order of their numbers, the images of a medium in their own.
        """
        order = np.lexsort((medium, template))
        of, medium = template[order], medium[order]
        new = np.concatenate([[True], (of[1:] != of[:-1]) | (medium[1:] != medium[:-1])])
        media = np.concatenate([np.flatnonzero(new), [len(order)]])
        return cls(order, media, np.searchsorted(of[media[:-1]], np.arange(templates + 1)))

    def parts(self, width: int) -> Iterator[tuple[int, int]]:
        """Runs of templates (start, stop) that hold about 8 MB of `width` float64 numbers an image."""
        ends, start = self.media[self.templates], 0
        while start < len(ends) - 1:
            room = ends[start] + _NUMBERS // width
            stop = max(start + 1, int(np.searchsorted(ends, room, side="right")) - 1)
            yield start, stop
            start = stop


def aggregate(
    embeddings: Callable[[np.ndarray], np.ndarray], layout: Layout, weights: np.ndarray | None = None
) -> np.ndarray:
    """One embedding a template: the mean over its media of the mean of w x over the images of each.

        t = sum_m mean_{i in m} w_i x_i  /  sum_m mean_{i in m} w_i

    Each template is summed on its own and in one order, so it does not depend on how many are made at a time.

    Args:
        embeddings: gives the (n, D) float64 x of (n,) rows.
        weights: (N,) w, not negative; without them 1.

    Returns:
        (T, D) float64.
    """
    width = embeddings(layout.order[:1]).shape[1]
    found = np.empty((len(layout.templates) - 1, width))
    for start, stop in layout.parts(width):
        media = layout.media[layout.templates[start] : layout.templates[stop] + 1]
        rows = layout.order[media[0] : media[-1]]
        each = np.ones((len(rows), 1)) if weights is None else weights[rows].astype(np.float64)[:, None]
        begin, size = media[:-1] - media[0], np.diff(media)[:, None]
        first = layout.templates[start:stop] - layout.templates[start]
        sums, total = (
            np.add.reduceat(np.add.reduceat(x, begin, axis=0) / size, first, axis=0)
            for x in (embeddings(rows) * each, each)
        )
        found[start:stop] = sums / np.where(total > 0, total, 1.0)
    return found
