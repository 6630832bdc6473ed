"""A protocol on less than its images: what is missing stands in its specification, and every figure says so.

A figure that is marked enters no ranking (`Scores.marks`), and another specification has another hash: so a partial
figure never stands in a column beside a whole one.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists
from bench.scores import Scores

Spec = dict[str, Any]
SPREAD = ("_se", "_sd", "_low", "_high")  # how the names end that say another figure's spread


def kept(protocol: str, images: Sequence[str], missing: Collection[str]) -> np.ndarray:
    """(N,) bool: the images that are not missing.

    Raises:
        RequestError: a missing image is none of the protocol's, or nothing is left.
    """
    lost = set(missing)
    if strange := sorted(lost - set(images)):
        raise RequestError(f"{protocol} cannot do without {strange[0]!r}: it is none of its {len(images):,} images")
    keep = np.array([name not in lost for name in images], bool)
    if not keep.any():
        raise RequestError(f"all {len(images):,} images of {protocol} are missing: nothing is left to be scored")
    return keep


def chosen(names: Sequence[str], keep: np.ndarray) -> tuple[str, ...]:
    """The names that are kept, in their order."""
    return tuple(name for name, left in zip(names, keep, strict=True) if left)


def lacking(spec: Spec, what: str, missing: Collection[str] | int, of: int) -> Spec:
    """The specification of a protocol that lacks these of its `of` things (`what`: images, pairs ...), or so many."""
    count = missing if isinstance(missing, int) else len(missing)
    if not count:
        return spec
    entry = {"what": what, "count": count, "of": of}
    if not isinstance(missing, int):
        entry["sha256"] = _lists.sha256(sorted(missing))
    return {**spec, "missing": [*spec.get("missing", ()), entry]}


def words(spec: Spec) -> str | None:
    """What is missing, in words; None where nothing is."""
    parts = [f"{entry['count']:,} of {entry['of']:,} {entry['what']} are missing" for entry in spec.get("missing", ())]
    return f"partial: {', '.join(parts)}" if parts else None


def marked(answer: Scores, spec: Spec) -> Scores:
    """The answer, each figure marked where the specification lacks something."""
    if said := words(spec):
        for figure in answer.metrics:
            if figure.endswith(SPREAD):
                continue
            before = answer.marks.get(figure)
            answer.marks[figure] = f"{said}; {before}" if before else said
        for what in {entry["what"] for entry in spec["missing"]}:
            lost = sum(entry["count"] for entry in spec["missing"] if entry["what"] == what)
            answer.counts[f"missing_{what}"] = lost
    return answer
