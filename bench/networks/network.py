"""Anybody's network: what it wants of images, how it is called, and the embeddings that come of it, checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import mirror, scorers
from bench.errors import RequestError
from bench.networks.inputs import Inputs
from bench.scorers import Scorer

BATCH = 64  # images at once: what is held beside the embeddings does not grow with the protocol


@dataclass(frozen=True)
class Background:
    """What is known of a network's training, when it is scored by a protocol.

    Attributes:
        overlap: whether training and test share people, as `bench.overlap.compare` says it.
        scorer: how the network's embeddings are compared; None: by cosine.
    """

    overlap: dict[str, str]
    scorer: Scorer | None = None


UNKNOWN = Background({"verdict": "unknown", "detail": "what the network was trained on is not known here"})


def compared(said: Mapping[str, Any]) -> Callable[[Any, Sequence[bytes], bool], Background]:
    """`Network.background` of a file that names its scorer; one that is fitted on training images is not in the file."""
    name, options = said.get("scorer", "cosine"), said.get("scorer_options", {})
    if not isinstance(name, str) or not isinstance(options, dict):
        raise RequestError(f"the scorer of a model is a name with options, got {name!r} with {options!r}")
    scorer = None if scorers.needs_fit(name, options) else scorers.fit(name, options)
    return lambda protocol, hashes, allow: Background(UNKNOWN.overlap, scorer)


@dataclass(frozen=True)
class Network:
    """A network that was opened.

    Attributes:
        name: what messages and the ledger call it.
        kind: `onnx`, `torchscript`, `torch.export`, `timm`, `safetensors`, `mlflow` or `trial`.
        sha256: of its file; of a trial, of its weights; None: there is no file, it is untrained.
        inputs: what it wants of images.
        run: (b, *inputs.shape) float32 -> what it gives, as one array.
        facts: what else belongs in the result (device, parameters, ...).
        batch: how many images it is given at once.
        exactly: it takes that many and no fewer.
        background: (protocol, hashes of its images' pixels, whether an overlap is allowed) -> what is known of its training.
    """

    name: str
    kind: str
    sha256: str | None
    inputs: Inputs
    run: Callable[[np.ndarray], Any]
    facts: dict[str, Any] = field(default_factory=dict)
    batch: int = BATCH
    exactly: bool = False
    background: Callable[[Any, Sequence[bytes], bool], Background] = lambda protocol, hashes, allow: UNKNOWN

    def embed(self, images: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """(N, H, W, C) uint8 -> (N, D) float32, or (N, 2 D) where the mirror image's embedding is appended.

        Raises:
            RequestError: the network refuses the images, gives no (images, dimensions), another number of dimensions than
                before, or numbers that are not finite.
        """
        rows: np.ndarray | None = None
        for start in range(0, len(images), self.batch):
            x = self.inputs.ready(np.asarray(images[start : start + self.batch]))
            made = self._rows(x)
            if self.inputs.flip != "none":
                made = mirror.joined(made, self._rows(self.inputs.mirrored(x)), self.inputs.flip)
            if rows is None:
                rows = np.empty((len(images), made.shape[1]), np.float32)
            if made.shape[1] != rows.shape[1]:
                raise RequestError(
                    f"{self.name} gives {made.shape[1]} dimensions for images {start} and on and gave {rows.shape[1]} for "
                    "those before: an embedding has one number of dimensions"
                )
            rows[start : start + len(made)] = made
            if progress:
                progress(start + len(made), len(images))
        return np.empty((0, 0), np.float32) if rows is None else rows

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """(b, *shape) -> (b, D) float32."""
        count = len(x)
        if self.exactly and count < self.batch:
            x = np.concatenate([x, np.repeat(x[-1:], self.batch - count, axis=0)])
        made = np.asarray(self.run(x))
        if made.ndim > 2 and made.shape[2:] == (1,) * (made.ndim - 2):
            made = made.reshape(made.shape[:2])  # a pool's places
        if made.ndim != 2 or len(made) != len(x) or not made.shape[1] or made.dtype.kind not in "fiu":
            raise RequestError(
                f"{self.name} gives an array {made.shape} of {made.dtype} for {len(x)} images: expected numbers "
                f"({len(x)}, dimensions)"
            )
        made = made[:count].astype(np.float32)
        if not np.isfinite(made).all():
            raise RequestError(
                f"{self.name} gives numbers that are not finite: check --input mean, std, range and colour, or the file"
            )
        return made

    def plain(self) -> dict[str, Any]:
        """As it stands in a result."""
        inputs = {**self.inputs.plain(), "said_by": dict(sorted(self.inputs.origin.items()))}
        return {"name": self.name, "kind": self.kind, "sha256": self.sha256, "inputs": inputs, **self.facts}
