"""The scores of all probes against a chunk of the gallery, in float32: one matrix product, and what of it is above a floor.

Its rounding error has a rigorous bound, so it decides all comparisons but those within that bound of a level.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from bench.errors import RequestError
from bench.metrics.rounding import error_bound

_PIECE = 1 << 17  # what is above the floors is handed on in pieces of about as many scores


class Product(Protocol):
    """Scores of all probes against any chunk of the gallery."""

    @property
    def error(self) -> float:
        """How far a value can lie from the rounded float64 score, for scores of size 1."""
        ...

    def above(self, gallery: np.ndarray, floor: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What scores at least as much as its probe's floor, in pieces.

        Args:
            gallery: (n, W) float32.
            floor: (P,) float32.

        Yields:
            (k,) places in the (P, n) table of scores, row by row, rising; and (k,) float32 values there; k > 0.
        """
        ...


def create(probes: np.ndarray, chunk: int, device: str | None = None) -> Product:
    """The product of (P, W) float64 `probes` with chunks of at most `chunk` rows.

    Args:
        device: where torch computes it (`cuda`, `cuda:1`, `cpu`); without one numpy does, and torch is not imported.

    Raises:
        RequestError: torch is not installed, or has no such device.
    """
    return NumpyProduct(probes, chunk) if device is None else TorchProduct(probes, device)


class NumpyProduct:
    """By numpy's BLAS, into a buffer that all chunks share."""

    def __init__(self, probes: np.ndarray, chunk: int):
        self._probes = probes.astype(np.float32)
        self._products = np.empty(len(probes) * chunk, np.float32)
        self._mask = np.empty(len(probes) * chunk, bool)
        self.error = error_bound(probes.shape[1])

    def above(self, gallery: np.ndarray, floor: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        shape = len(self._probes), len(gallery)
        size = shape[0] * shape[1]
        products, mask = self._products[:size], self._mask[:size]
        table = np.matmul(self._probes, gallery.T, out=products.reshape(shape))
        np.greater_equal(table, floor[:, None], out=mask.reshape(shape))
        step = 1 + size // (1 + np.count_nonzero(mask) // _PIECE)
        for start in range(0, size, step):
            found = np.flatnonzero(mask[start : start + step])
            if len(found):
                found += start
                yield found, products[found]


class TorchProduct:
    """By torch, on any device; what lies below the floors does not leave it."""

    def __init__(self, probes: np.ndarray, device: str):
        try:
            import torch
        except ImportError as error:
            raise RequestError(
                f"device={device!r} needs torch, which is not installed; without a device numpy computes"
            ) from error
        self._torch: Any = torch
        try:
            self._probes = torch.from_numpy(probes.astype(np.float32)).to(device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            reason = str(error).strip().split("\n", 1)[0].rstrip(".")
            raise RequestError(
                f"torch cannot compute on device={device!r} ({reason}): name another, or none"
            ) from error
        self.error = error_bound(probes.shape[1])

    def above(self, gallery: np.ndarray, floor: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        torch, device = self._torch, self._probes.device
        chunk = torch.from_numpy(gallery).to(device)
        lowest = torch.from_numpy(floor).to(device)[:, None]
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")  # the bound is float32's: not TF32's, nor bfloat16's
        try:
            products = self._probes @ chunk.T
        finally:
            torch.set_float32_matmul_precision(before)
        found = torch.nonzero((products >= lowest).flatten())[:, 0]
        values = products.flatten()[found]
        for start in range(0, len(found), _PIECE):
            part = slice(start, start + _PIECE)
            yield found[part].cpu().numpy(), values[part].cpu().numpy()
