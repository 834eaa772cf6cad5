"""Image and text functions that training and serving share; packing of features."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from builders import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    YELLOW,
    encoded,
    grain,
    jpeg,
    png,
    quadrants,
    rejection,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from models.bare_images import IMAGE_FORMATS
from models.facts import ImageFacts
from models.failures import Reason, Rejected
from models.features import (
    FeatureSpec,
    ImageLimits,
    decode_image,
    normalise_text,
    pack_features,
    unpack_features,
)
from models.orientation import EXIF_ORIENTATION

SIZE_PX = 32
NEAR = 12  # what JPEG and resizing may change of a plain colour, of 255

Colour = tuple[int, int, int]


def decoded(data: bytes) -> np.ndarray:
    return decode_image(data, size_px=SIZE_PX)[0]


def corners(pixels: np.ndarray) -> list[list[int]]:
    """The colours inside the four quarters: top left, top right, bottom left, bottom right."""
    low, high = SIZE_PX // 4, SIZE_PX * 3 // 4
    return [pixels[y, x].astype(int).tolist() for y in (low, high) for x in (low, high)]


def assert_plain(pixels: np.ndarray, colour: Colour, near: int = 0) -> None:
    assert np.abs(pixels.astype(int) - colour).max() <= near


def assert_corners(pixels: np.ndarray, *colours: Colour) -> None:
    assert np.abs(np.array(corners(pixels)) - colours).max() <= NEAR


def with_chunk(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("format_name", IMAGE_FORMATS)
def test_every_format_becomes_the_same_square(format_name: str) -> None:
    """Any size becomes uint8 RGB of the encoder's size; the facts describe the file."""
    data = encoded(quadrants(200, 100), format_name)
    pixels, facts = decode_image(data, size_px=SIZE_PX)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (SIZE_PX, SIZE_PX, 3))
    assert_corners(pixels, RED, GREEN, BLUE, YELLOW)
    assert facts == ImageFacts(format_name, 200, 100, len(data))


@pytest.mark.parametrize(
    ("orientation", "colours"),
    [
        (1, (RED, GREEN, BLUE, YELLOW)),
        (2, (GREEN, RED, YELLOW, BLUE)),
        (3, (YELLOW, BLUE, GREEN, RED)),
        (4, (BLUE, YELLOW, RED, GREEN)),
        (5, (RED, BLUE, GREEN, YELLOW)),
        (6, (BLUE, RED, YELLOW, GREEN)),
        (7, (YELLOW, GREEN, BLUE, RED)),
        (8, (GREEN, YELLOW, RED, BLUE)),
        (0, (RED, GREEN, BLUE, YELLOW)),
        (9, (RED, GREEN, BLUE, YELLOW)),
    ],
)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_the_picture_upright(
    format_name: str, orientation: int, colours: tuple[Colour, ...]
) -> None:
    """Each of the eight orientations; a number that is none leaves the picture alone."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = encoded(quadrants(96, 64), format_name, exif=exif)
    pixels, facts = decode_image(data, size_px=SIZE_PX)
    assert_corners(pixels, *colours)
    assert (facts.width_px, facts.height_px) == (96, 64)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow says it too
@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00", b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"x" * 40]
)
def test_corrupt_exif_does_not_cost_the_picture(exif: bytes) -> None:
    """A picture with unreadable metadata is taken as it stands."""
    assert_corners(decoded(encoded(quadrants(), "JPEG", exif=exif)), RED, GREEN, BLUE, YELLOW)


def test_what_is_transparent_shows_white() -> None:
    """Clear pixels are white, half-clear ones half white, whatever colour hides in them."""
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 0, 128), (0, 32, 64, 64))
    pixels = decoded(encoded(image, "PNG"))
    assert_plain(pixels[:14], WHITE)
    assert_plain(pixels[18:], (127, 127, 127), near=1)


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("CMYK", (40, 40), (0, 255, 255, 0)), (255, 0, 0)),
        (Image.new("L", (40, 40), 100), (100, 100, 100)),
    ],
    ids=["cmyk", "grey"],
)
def test_jpegs_of_other_colour_spaces_become_rgb(image: Image.Image, colour: Colour) -> None:
    """Printers' CMYK and greyscale JPEGs are read like any other."""
    assert_plain(decoded(encoded(image, "JPEG")), colour, near=3)


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("L", (40, 40), 100), (100, 100, 100)),
        (Image.new("1", (40, 40), 1), WHITE),
        (Image.new("LA", (40, 40), (100, 255)), (100, 100, 100)),
        (Image.new("LA", (40, 40), (100, 0)), WHITE),
        (Image.new("RGB", (40, 40), GREEN).quantize(4), GREEN),
        (Image.fromarray(np.full((40, 40), 0x80FF, np.uint16)), (128, 128, 128)),
        (Image.fromarray(np.full((40, 40), 0x0180, np.uint16)), (1, 1, 1)),
        (Image.fromarray(np.full((40, 40), 0xFFFF, np.uint16)), WHITE),
    ],
    ids=[
        "grey",
        "1-bit",
        "grey+alpha",
        "clear",
        "palette",
        "16-bit",
        "16-bit dark",
        "16-bit white",
    ],
)
def test_pngs_of_other_modes_become_rgb(image: Image.Image, colour: Colour) -> None:
    """Grey, palette, 1 and 16 bits; 16 bits are scaled to 8, not clipped."""
    assert_plain(decoded(encoded(image, "PNG")), colour)


def test_a_palette_with_a_clear_colour_shows_white_there() -> None:
    """GIF and palette PNG mark one colour as transparent."""
    image = quadrants().quantize(4)
    clear = image.getpixel((0, 0))
    for format_name in ("GIF", "PNG"):
        pixels = decoded(encoded(image, format_name, transparency=clear))
        assert_corners(pixels, WHITE, GREEN, BLUE, YELLOW)


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(format_name: str) -> None:
    """What moves is judged by how it begins."""
    frames = [Image.new("RGB", (40, 40), colour) for colour in (BLUE, GREEN, RED)]
    data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:])
    assert_plain(decoded(data), BLUE, near=NEAR)


def test_a_jpeg_with_more_pictures_behind_it_is_a_jpeg() -> None:
    """Phones append depth maps and previews; the facts keep to the documented formats."""
    data = encoded(quadrants(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    pixels, facts = decode_image(data, size_px=SIZE_PX)
    assert facts.format == "JPEG"
    assert_corners(pixels, RED, GREEN, BLUE, YELLOW)


def test_a_large_jpeg_is_decoded_small_to_the_same_picture() -> None:
    """Decoding at a reduced scale gives nearly the pixels of a full decode."""
    smooth = grain(12, 9).resize((1200, 900), Image.Resampling.BICUBIC)
    full = np.asarray(smooth.resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR), int)
    assert np.abs(decoded(encoded(smooth, "JPEG", quality=95)) - full).mean() < 4


def test_a_file_that_is_too_long_is_refused_unread() -> None:
    """The limit is met exactly."""
    data = jpeg(64, 64)
    assert decode_image(data, size_px=8, limits=ImageLimits(max_bytes=len(data)))
    for wrong in (data, b"x" * len(data)):
        limits = ImageLimits(max_bytes=len(data) - 1)
        rejected = rejection(lambda: decode_image(wrong, size_px=8, limits=limits))  # noqa: B023
        assert rejected.reason == Reason.IMAGE_TOO_LARGE


def test_too_many_pixels_are_refused_from_the_header() -> None:
    """A 60-byte PNG that claims 30000x30000, with no pixels behind it, is too large, not broken."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    body = struct.pack(">I", 2) + b"IDATxx" + struct.pack(">I", zlib.crc32(b"IDATxx"))
    rejected = rejection(lambda: decoded(b"\x89PNG\r\n\x1a\n" + chunk + body))
    assert rejected.reason == Reason.IMAGE_TOO_LARGE
    assert "30000x30000" in rejected.detail


@pytest.mark.parametrize("format_name", IMAGE_FORMATS)
def test_a_picture_of_just_the_allowed_pixels_is_taken(format_name: str) -> None:
    """The limit is met exactly, in every format."""
    data = encoded(quadrants(20, 10), format_name)
    assert decode_image(data, size_px=8, limits=ImageLimits(max_pixels=200))
    rejected = rejection(lambda: decode_image(data, size_px=8, limits=ImageLimits(max_pixels=199)))
    assert rejected.reason == Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize("format_name", IMAGE_FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_a_truncated_file_is_unreadable(format_name: str, share: float) -> None:
    """Part a picture is never scored as if it were whole."""
    data = encoded(grain(120, 120), format_name)
    rejected = rejection(lambda: decoded(data[: int(len(data) * share)]))
    assert rejected.reason == Reason.IMAGE_UNREADABLE


def test_a_truncated_png_with_exif_at_its_end_is_unreadable() -> None:
    """Looking for EXIF reads the pixels, and must not swallow that they are broken."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    data = encoded(grain(120, 120), "PNG")
    cut = with_chunk(data[: len(data) // 2], b"tEXt", b"a\x00b")
    assert rejection(lambda: decoded(cut)).reason == Reason.IMAGE_UNREADABLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a text",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7",
        encoded(quadrants(), "BMP"),
        encoded(quadrants(), "TIFF"),
    ],
    ids=["empty", "text", "svg", "pdf", "bmp", "tiff"],
)
def test_other_files_are_refused_by_their_format(data: bytes) -> None:
    """Only the four formats of the web are opened, by content and not by name."""
    assert rejection(lambda: decoded(data)).reason == Reason.IMAGE_FORMAT_REFUSED


@given(
    st.sampled_from([(jpeg, "JPEG"), (png, "PNG")]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_gives_a_picture_or_a_reason(
    made: tuple[Callable[[int, int], bytes], str], damage: list[tuple[float, int]]
) -> None:
    """Whatever bytes are changed, nothing is raised that the stage would call a bug."""
    data = bytearray(made[0](24, 24))
    for place, value in damage:
        data[int(place * (len(data) - 1))] = value
    try:
        pixels = decoded(bytes(data))
    except Rejected as rejected:
        assert rejected.reason in {
            Reason.IMAGE_FORMAT_REFUSED,
            Reason.IMAGE_TOO_LARGE,
            Reason.IMAGE_UNREADABLE,
        }
    else:
        assert pixels.shape == (SIZE_PX, SIZE_PX, 3)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Two \t\n words\u00a0", "two words"),
        ("Stra\u00dfe", "strasse"),
        ("\uff21\uff22\uff23 \u2460", "abc 1"),
        ("Cafe\u0301", "caf\u00e9"),
        ("\ufb01ne", "fine"),
        (" \u3000 ", ""),
        ("", ""),
    ],
)
def test_spellings_that_read_the_same_become_one(text: str, normal: str) -> None:
    """Case, width, ligatures, composed letters and white space make no difference."""
    assert normalise_text(text) == normal


SPECS = (FeatureSpec("a", "float16", (3,)), FeatureSpec("b", "int32", (2, 2)))


@given(
    st.integers(1, 5).flatmap(
        lambda rows: st.tuples(
            hnp.arrays(np.float16, (rows, 3), elements=st.floats(-100, 100, width=16)),
            hnp.arrays(np.int32, (rows, 2, 2)),
        )
    )
)
def test_packed_features_come_back_as_they_were(arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """An item's bytes are exactly its numbers, whatever batch it was packed in."""
    packed = pack_features(SPECS, {"a": arrays[0], "b": arrays[1]})
    assert {len(one) for one in packed} == {3 * 2 + 4 * 4}
    unpacked = unpack_features(SPECS, packed)
    np.testing.assert_array_equal(unpacked["a"], arrays[0])
    np.testing.assert_array_equal(unpacked["b"], arrays[1])
    alone = pack_features(SPECS, {"a": arrays[0][:1], "b": arrays[1][:1]})
    assert alone == packed[:1]


def test_an_absent_side_unpacks_to_zeros() -> None:
    """Empty bytes among full ones give zeros in their row only."""
    (full,) = pack_features(SPECS, {"a": np.ones((1, 3)), "b": np.ones((1, 2, 2))})
    unpacked = unpack_features(SPECS, [full, b"", full])
    assert unpacked["a"].tolist() == [[1] * 3, [0] * 3, [1] * 3]
    assert unpacked["b"][1].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e9])
def test_numbers_that_the_dtype_cannot_hold_are_refused(number: float) -> None:
    """A value beyond float16 would cross as infinity and poison every score."""
    arrays = {"a": np.array([[0, number, 0]]), "b": np.zeros((1, 2, 2))}
    rejected = rejection(lambda: pack_features(SPECS, arrays))
    assert rejected.reason == Reason.MODEL_OUTPUT_INVALID
    assert rejected.detail.startswith("a ")


def test_a_model_with_another_shape_is_told_from_its_numbers() -> None:
    """A release whose manifest does not fit its model fails by name."""
    with pytest.raises(ValueError, match="a has shape"):
        pack_features(SPECS, {"a": np.zeros((1, 4)), "b": np.zeros((1, 2, 2))})
