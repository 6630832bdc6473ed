"""The camera: supersampled light in, a blurred, noisy, compressed 8-bit picture out."""

from types import SimpleNamespace

import numpy as np

from bench.datasets._face_field import Field

# quantisation of luminance in ITU-T T.81 (JPEG), table K.1
_TABLE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], np.float32)  # fmt: skip
_K = np.arange(8)
_COSINES = 0.5 * np.cos((2 * _K[None] + 1) * _K[:, None] * np.pi / 16)
_DCT = np.where(_K[:, None] == 0, 8**-0.5, _COSINES).astype(np.float32)


def shrink(canvas: Field, factor: int) -> Field:
    """(B, C, H * factor, W * factor) -> (B, C, H, W), each the mean of a square."""
    rows = canvas[:, :, ::factor].copy()
    for offset in range(1, factor):
        rows += canvas[:, :, offset::factor]
    columns = rows[..., ::factor].copy()
    for offset in range(1, factor):
        columns += rows[..., offset::factor]
    return columns * (1 / factor**2)


def develop(light: Field, noise: Field, shot: SimpleNamespace) -> np.ndarray:
    """Linear light (B, 3, H, W) -> (B, H, W, 3) uint8: colour cast, tone curve, blur, noise, compression.

    `noise` is standard normal, of the shape of `light`. Blur is measured in 32nds of the picture's side.
    """
    light = light * shot.cast
    light = light / (0.82 + 0.18 * light)  # bright parts are compressed, not cut
    picture = np.sqrt(np.clip(light, 0, 1))
    picture = blurred(picture, shot.blur * (light.shape[-1] / 32))
    picture += shot.noise[:, None] * noise
    picture = compressed(picture * 255, shot.compression)
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8).transpose(0, 2, 3, 1)


def blurred(picture: Field, radius: Field) -> Field:
    """Smoothed with a standard deviation of `radius` (B, 1, 1) pixels; the edges are repeated.

    Filters (w, 1 - 2w, w) of spacing 1, 2, 4 ... (wavelets' "a trous" scheme), as many as keep w <= 1/4 in that image:
    P of them have a variance of 2w (4^P - 1) / 3.
    """
    variance = radius * radius
    passes = 1 + sum(6 * variance > 4.0**p - 1 for p in range(1, 12))
    weight = 1.5 * variance / (4.0**passes - 1).astype(np.float32)
    picture = picture.copy()
    for number in range(int(passes.max())):
        rows = np.flatnonzero(passes > number)
        part, share = picture[rows], weight[rows][:, None]
        for axis in (2, 3):
            part += share * _second_difference(part, axis, 2**number)
        picture[rows] = part
    return picture


def _second_difference(picture: Field, axis: int, spacing: int) -> Field:
    """Neighbour before + neighbour behind - 2 x itself."""
    x = np.moveaxis(picture, axis, 0)
    padded = np.concatenate([x[:1]] * spacing + [x] + [x[-1:]] * spacing)
    return np.moveaxis(padded[2 * spacing :] + padded[: -2 * spacing] - 2 * x, 0, axis)


def compressed(picture: Field, strength: Field) -> Field:
    """JPEG's loss: 8 x 8 cosine transform, rounding in steps of `strength` (B, 1, 1) x the table, and back."""
    batch, channels, height, width = picture.shape
    pad = ((0, 0), (0, 0), (0, -height % 8), (0, -width % 8))
    blocks = np.pad(picture - 128, pad, mode="edge")
    blocks = blocks.reshape(batch, channels, blocks.shape[2] // 8, 8, -1, 8)
    step = np.maximum(strength[:, :, :, None, None, None] * _TABLE[None, None, None, :, None, :], 0.5)
    step = step.reshape(batch, 1, 1, 8, 1, 8)
    coefficients = _along(_along(blocks, _DCT, 3), _DCT, 5)
    coefficients = np.rint(coefficients / step) * step
    back = _along(_along(coefficients, _DCT.T, 3), _DCT.T, 5)
    return back.reshape(batch, channels, height + pad[2][1], width + pad[3][1])[:, :, :height, :width] + 128


def _along(blocks: Field, matrix: np.ndarray, axis: int) -> Field:
    """`matrix` (8, 8) applied along an axis of 8, by additions in a fixed order (a BLAS product fixes none)."""
    x = np.moveaxis(blocks, axis, 0)
    out = np.empty_like(x)
    for k in range(8):
        total = matrix[k, 0] * x[0]
        for n in range(1, 8):
            total += matrix[k, n] * x[n]
        out[k] = total
    return np.moveaxis(out, 0, axis)
