"""From the bytes of a picture's file to its pixels, whoever made the file."""

import io
import warnings

import numpy as np

from bench.images import Unreadable

# The decoders that a stranger's bytes may reach: those of `bench.files.IMAGE_SUFFIXES` (no PostScript, no FITS ...).
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")


def decode(name: str, content: bytes) -> np.ndarray | Unreadable:
    """(H, W, 3) uint8, or why `content` shows nothing. A picture of more than `PIL.Image.MAX_IMAGE_PIXELS` is unreadable."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what surrounds the pixels (EXIF, palettes)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:  # its own words name a place in the memory
        return Unreadable(name, f"it begins like no picture of a known kind ({', '.join(FORMATS)})")
    except Exception as error:  # a decoder raises nearly anything on garbage
        return Unreadable(name, str(error) or type(error).__name__)
