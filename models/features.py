"""From raw text and image bytes to the arrays that models read.

Training and the pipeline call the same two functions, so that a model is
served exactly what it was trained on: `decode_image` for pictures, and
`normalise_text` followed by the release's tensorflow-transform graph for texts.
"""

import dataclasses
import re
import struct
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.bare_images import BareImage
from models.facts import ImageFacts
from models.failures import Reason, Rejected
from models.image_files import bare_image
from models.orientation import exif_orientation, xmp_orientation
from models.pixels import to_square, upright

MAX_SIDE_PX = 65_535  # the longest that JPEG and GIF have
OUT_OF_MEMORY = "needs more memory than a call may take"
MAX_MARKS = 30  # on one letter; Unicode's stream-safe format allows as many

# Pillow only warns at its own limit; ours is judged from the header instead,
# before a pixel is allocated, and differs by pipeline, not by process.
Image.MAX_IMAGE_PIXELS = None

# What these decompose to begins with a mark, though they are none themselves.
_MARKS_IN_DISGUISE = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")

# What Pillow's decoders are known to raise on broken files.
DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclasses.dataclass(frozen=True)
class ImageLimits:
    """What one image may cost; both are judged before any pixel is decoded."""

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """One named array of fixed shape per item (the batch dimension left out)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


def decode_image(
    data: bytes, *, size_px: int, limits: ImageLimits = ImageLimits()
) -> tuple[np.ndarray, ImageFacts]:
    """Decode one still image to the square that the encoder was trained on.

    Returns uint8 RGB (size_px, size_px, 3), 0-255, not normalised; turned
    upright by EXIF or else XMP, what is transparent laid on white, 16 bits
    brought down to 8, a PNG's gamma applied and colour profiles not, aspect
    ratio not kept, first frame of an animation. The facts describe the file,
    before any of that.
    Raises Rejected: IMAGE_TOO_LARGE, judged from length and header before any
    pixel is allocated, or when memory ends; IMAGE_FORMAT_REFUSED; IMAGE_UNREADABLE.
    """
    if len(data) > limits.max_bytes:
        raise Rejected(
            Reason.IMAGE_TOO_LARGE,
            f"{len(data)} bytes, allowed are {limits.max_bytes} (--max_image_bytes)",
        )
    try:
        bare = bare_image(data)
        _judge_size(bare.width_px, bare.height_px, limits)
        facts = ImageFacts(bare.format, bare.width_px, bare.height_px, len(data))
        with Image.open(BytesIO(bare.data), formats=(bare.format,)) as image:
            _judge_size(*image.size, limits)  # a file may give two sizes
            square = to_square(image, bare, size_px)
            square = upright(square, _orientation(bare, image))
        return np.asarray(square), facts
    except MemoryError as error:
        raise Rejected(Reason.IMAGE_TOO_LARGE, OUT_OF_MEMORY) from error
    except UnidentifiedImageError as error:
        raise Rejected(Reason.IMAGE_UNREADABLE, "its header is broken") from error
    except DECODER_ERRORS as error:
        raise Rejected(Reason.IMAGE_UNREADABLE, f"{type(error).__name__}: {error}") from error


def _orientation(bare: BareImage, image: Image.Image) -> int | None:
    """The walk's, or a WebP's, whose metadata Pillow gives as bytes."""
    return (
        bare.orientation
        or exif_orientation(image.info.get("exif", b""))
        or xmp_orientation(image.info.get("xmp", b""))
    )


def _judge_size(width_px: int, height_px: int, limits: ImageLimits) -> None:
    """Raises Rejected: IMAGE_TOO_LARGE."""
    if width_px * height_px > limits.max_pixels:
        raise Rejected(
            Reason.IMAGE_TOO_LARGE,
            f"{width_px}x{height_px} pixels, allowed are {limits.max_pixels} (--max_image_pixels)",
        )
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise Rejected(
            Reason.IMAGE_TOO_LARGE,
            f"{width_px}x{height_px} pixels, allowed are {MAX_SIDE_PX} a side",
        )


def normalise_text(text: str) -> str:
    """One spelling for what readers take as one: NFKC, case-folded, single spaces.

    Of the marks on one letter the first MAX_MARKS count: sorting them, as NFKC
    does, takes the square of their number.
    """
    text = unicodedata.normalize("NFKC", _with_few_marks(text))
    return re.sub(r"\s+", " ", text).strip().casefold()


def _with_few_marks(text: str) -> str:
    if text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        is_mark = unicodedata.combining(character) or character in _MARKS_IN_DISGUISE
        marks = marks + 1 if is_mark else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def pack_features(specs: Sequence[FeatureSpec], arrays: Mapping[str, np.ndarray]) -> list[bytes]:
    """Turn named arrays of shape (batch, *spec.shape) into one bytes an item.

    An item's bytes are its arrays in the order of `specs`, C order, cast to
    each spec's dtype. Raises ValueError when a shape does not fit its spec, and
    Rejected, MODEL_OUTPUT_INVALID, when a number is not finite in that dtype.
    """
    columns = []
    for spec in specs:
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(arrays[spec.name], dtype=spec.dtype)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Rejected(Reason.MODEL_OUTPUT_INVALID, f"{spec.name} is not finite")
        if array.shape[1:] != spec.shape:
            raise ValueError(f"{spec.name} has shape {array.shape[1:]}, not {spec.shape}")
        columns.append(array.reshape(len(array), -1).view(np.uint8))
    return [row.tobytes() for row in np.concatenate(columns, axis=1)]


# What models read, by the dtype in which features travel: half the bytes.
WIDE = {"float16": "float32", "int16": "int32"}


def widened(array: np.ndarray) -> np.ndarray:
    return array.astype(WIDE.get(array.dtype.name, array.dtype), copy=False)


def unpack_features(specs: Sequence[FeatureSpec], packed: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Undo `pack_features`; an item packed as b"" (it has no such side) gives zeros."""
    size_bytes = sum(spec.size_bytes for spec in specs)
    blank = bytes(size_bytes)
    rows = np.frombuffer(b"".join(one or blank for one in packed), dtype=np.uint8)
    rows = rows.reshape(len(packed), size_bytes)
    arrays, start = {}, 0
    for spec in specs:
        column = np.ascontiguousarray(rows[:, start : start + spec.size_bytes])
        arrays[spec.name] = column.view(spec.dtype).reshape(len(packed), *spec.shape)
        start += spec.size_bytes
    return arrays
