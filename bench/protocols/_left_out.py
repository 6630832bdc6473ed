"""A protocol's figures once more without the images that training may have seen: decontaminated beside raw.

    lfw/accuracy                  on all images, as ever
    lfw-decontaminated/accuracy   the same protocol without the images that are left out

The second one is marked with what was left out, so it enters no ranking by itself.
"""

import csv
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists, _partial
from bench.protocols._around import Around
from bench.scorers import Scorer
from bench.scores import Scores

SUFFIX = "-decontaminated"


@dataclass(frozen=True, eq=False)
class LeftOut(Around):
    """A protocol with a list of images that training may have seen.

    Attributes:
        images_out: the images that the second figures do without.
    """

    OPTION = "left_out"
    images_out: tuple[str, ...]

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """The protocol's own figures, and those without the images that are left out.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        answer = self.whole.score(embeddings, scorer)
        what = f"{len(self.images_out):,} of {len(self.images):,} images left out, listed as seen in training"
        beside(answer, self.whole, embeddings, self.images_out, what, scorer)
        return answer

    def without(self, missing: Collection[str]) -> "LeftOut":
        """See `bench.protocols.Comparisons`."""
        whole = self.whole.without(missing)
        left = set(whole.images)
        return replace(self, whole=whole, images_out=tuple(name for name in self.images_out if name in left))


def beside(
    answer: Scores,
    protocol: Any,
    embeddings: np.ndarray,
    left_out: Collection[str],
    what: str,
    scorer: Scorer | None = None,
) -> None:
    """Enter the figures without these images beside the raw ones, `lfw/accuracy` as `lfw-decontaminated/accuracy`.

    Args:
        answer: of `protocol.score(embeddings, scorer)`.
        left_out: some of the protocol's images; where there are none, the figures are the raw ones and say so.
        what: what was left out, for the mark; the same for every run whose figures are to stand in one column.
    """
    answer.counts["left_out_images"] = len(left_out)
    part, gone = answer, _partial.words(protocol.spec) or ""
    if left_out:
        row = {name: place for place, name in enumerate(protocol.images)}
        try:
            reduced = protocol.without(left_out)
            part = reduced.score(np.asarray(embeddings)[[row[name] for name in reduced.images]], scorer)
        except RequestError as error:
            answer.undefined[renamed(protocol.primary)] = f"decontaminated: {what}: {error}"
            return
        gone = _partial.words(reduced.spec) or ""
    lacks = _partial.words(protocol.spec)  # of the protocol itself, before anything was left out
    said = f"decontaminated: {what}" + (f"; {lacks}" if lacks else "")
    for key, value in list(part.metrics.items()):
        answer.metrics[renamed(key)] = value
        if not key.endswith(_partial.SPREAD):
            own = part.marks.get(key, "").removeprefix(gone).removeprefix("; ")
            answer.marks[renamed(key)] = f"{said}; {own}" if own else said
    answer.clusters.update({renamed(key): found for key, found in list(part.clusters.items())})
    answer.undefined.update({renamed(key): reason for key, reason in list(part.undefined.items())})


def renamed(key: str) -> str:
    """`lfw/accuracy` -> `lfw-decontaminated/accuracy`."""
    protocol, _, figure = key.partition("/")
    return f"{protocol}{SUFFIX}/{figure}"


def left_out(whole: Any, root: _lists.Root, wanted: str) -> LeftOut:
    """The protocol `whole` with the images in a file: one a line, or a csv whose first column they are.

    (`contaminated.csv` of `facebench data overlap` is one.) Images that are not the protocol's are passed over.

    Raises:
        RequestError: no such file, or none of its images is the protocol's while it names some.
    """
    if not isinstance(wanted, str) or not wanted:
        raise RequestError(f"leave_out is a file of images, one a line or the first column of a csv, got {wanted!r}")
    text = _lists.read(root, wanted)
    names = [fields[0].strip() for fields in csv.reader(_lists.lines(text)) if fields]
    known = set(whole.images)
    found = tuple(name for name in dict.fromkeys(names) if name in known)
    if not found and len(names) > 1:
        raise RequestError(
            f"{wanted} names none of the {len(whole.images):,} images of {whole.name}: expected names such as "
            f"{whole.images[0]!r}, one a line, got {names[1]!r}"
        )
    return LeftOut(whole, _lists.sha256(text), found)
