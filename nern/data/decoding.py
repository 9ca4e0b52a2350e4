"""Encoded images to pixels, by Pillow: what torchvision's image folders use too.

Most images are 8-bit gray or RGB. Others become so: 16 bits are scaled to 8 (65,535 becomes 255), and so are TIFF's 12
(4,095); palettes and CMYK are converted, transparency is dropped as by torchvision. Photographs are turned as their
EXIF data say. Integers of 32 bits or with a sign, and floats, are refused, since no file states their range.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose
from PIL.TiffImagePlugin import TiffImageFile

from nern.errors import NernError

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000")
"""Whatever a file is called. Pillow knows more, and would let Ghostscript run the PostScript of an EPS file."""
_GRAY = ("1", "L", "LA")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_AS_32_BITS = ("PNG", "PPM")
"""Formats of at most 16 bits, which Pillow may open as 32."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
"""Of TIFF: tags, and the photometric interpretation in which gray runs from white to black."""
_ORIENTATION = 0x0112
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""By EXIF's orientation."""


def decode(content: bytes, channels: int, where: str) -> Image.Image:
    """An image in mode L (1 channel) or RGB (3 channels).

    Raises:
        NernError: the bytes are no image or one without a known range, or it is in color and the task takes gray.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
            flat = _of_8_bits(image, where)
            if channels == 1 and not _is_gray(flat):
                raise NernError(
                    f"{where}: the image is in color (mode {image.mode}), but the task's mean and std have one "
                    "channel: give three numbers"
                )
            flat = flat.convert("L" if channels == 1 else "RGB")
            return flat if turn is None else flat.transpose(turn)
    except (NernError, MemoryError):
        raise
    except Exception as error:  # of a damaged file, Pillow's decoders: anything
        unknown = isinstance(error, UnidentifiedImageError)
        said = " ".join(str(error).split()) or type(error).__name__
        reason = f"no image format among {', '.join(FORMATS)}" if unknown else said
        raise NernError(f"{where}: cannot be decoded ({reason}); replace the image or remove it") from None


def _of_8_bits(image: Image.Image, where: str) -> Image.Image:
    """The image with channels of 8 bits or of one bit."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits = tags.get(_BITS, (16,))[0]
    signed = 2 in tags.get(_SAMPLE_FORMAT, ()) and bits < 32
    if not signed and (image.mode in _DEEP or (image.mode == "I" and image.format in _AS_32_BITS)):
        deep, largest = np.asarray(image).astype(np.int64), 2**bits - 1
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            deep = largest - deep  # Pillow does that for images of 8 bits alone
        return Image.fromarray(((deep * 255 + largest // 2) // largest).astype(np.uint8))
    if image.mode in ("I", "F") or signed:
        kind = "floats" if image.mode == "F" else "integers with a sign" if signed else "integers of 32 bits"
        raise NernError(f"{where}: the image is of {kind}, whose range is not known; save it with 8 or 16 bits")
    return image.convert("RGB") if image.mode in ("P", "PA") else image


def _is_gray(image: Image.Image) -> bool:
    """Whether no pixel has a color: Pillow opens PNGs of 16-bit gray and alpha, and palettes of grays, as color."""
    if image.mode in _GRAY:
        return True
    red, green, blue = (band.tobytes() for band in image.convert("RGB").split())
    return red == green == blue


def check_channels(channels: int, where: str) -> None:
    """Encoded images are gray or in color; NernError for any other number of channels."""
    if channels not in (1, 3):
        raise NernError(f"{where}: images are read with 1 or 3 channels, but the task's mean has {channels} numbers")


def pixels(image: Image.Image) -> Pixels:
    """The image as uint8 [C, H, W]."""
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
