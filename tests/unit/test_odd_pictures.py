"""What a viewer shows of pictures that readers trip over, and the way up that their texts tell."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from builders import BLUE, GREEN, RED, YELLOW, encoded, quadrants, rejection
from odd_pictures import NEAR, QUARTERS, Colour, Odd, odd_pictures, riff, segment
from rigs.hostile import files

from loadtest.traffic.poison_files import HTML, SVG, chunk, png_that_claims
from models.bare_images import IMAGE_FORMATS
from models.failures import Reason
from models.features import decode_image
from models.orientation import (
    EXIF_ORIENTATION,
    MAX_TEXT_BYTES,
    profile_orientation,
    unpacked,
    xmp_orientation,
)

SIZE_PX = 32
TURNED = (BLUE, RED, YELLOW, GREEN)  # by orientation 6


def corners(data: bytes) -> np.ndarray:
    """The colours inside the four quarters: top left, top right, bottom left, bottom right."""
    pixels, _ = decode_image(data, size_px=SIZE_PX)
    low, high = SIZE_PX // 4, SIZE_PX * 3 // 4
    return np.array([pixels[y, x] for y in (low, high) for x in (low, high)], int)


def assert_shows(data: bytes, colours: tuple[Colour, ...] | list[Colour]) -> None:
    assert np.abs(corners(data) - colours).max() <= NEAR


@pytest.mark.parametrize("odd", odd_pictures(), ids=lambda odd: odd.name)
def test_a_picture_is_as_a_viewer_shows_it(odd: Odd) -> None:
    """In each quarter; tests/e2e/test_browser_pictures.py asks a browser for the same."""
    assert np.abs(corners(odd.data) - odd.corners).max() <= (3 if "PNG" in odd.name else NEAR)


def xmp(orientation: object = 6, *, element: bool = False, quote: str = '"') -> bytes:
    """A packet as macOS writes it, the orientation as an attribute or as an element."""
    said = f" tiff:Orientation={quote}{orientation}{quote}/>"
    if element:
        said = f">\n<tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{said}</rdf:RDF></x:xmpmeta>'
    ).encode()


def exif(orientation: int = 6, *, kind: int = 3, count: int = 1) -> bytes:
    entry = struct.pack("<HHLL", EXIF_ORIENTATION, kind, count, orientation)
    return b"II*\0" + struct.pack("<LH", 8, 1) + entry + bytes(4)


def profile(name: str, block: bytes) -> bytes:
    """A raw profile as ImageMagick writes it, in lines of 72 digits."""
    digits = block.hex()
    lines = [digits[place : place + 72] for place in range(0, len(digits), 72)]
    return "\n".join(["", name, f"{len(block):8d}", *lines, ""]).encode()


def png_with(*chunks: bytes, behind: bool = False) -> bytes:
    data = encoded(quadrants(96, 64), "PNG")
    place = -12 if behind else 33
    return data[:place] + b"".join(chunks) + data[place:]


def jpeg_with(*bodies: bytes, size_px: tuple[int, int] = (96, 64)) -> bytes:
    data = encoded(quadrants(*size_px), "JPEG", quality=95)
    return data[:2] + b"".join(segment(0xE1, body) for body in bodies) + data[2:]


def webp_with(*chunks: bytes, flags: int) -> bytes:
    pixels = encoded(quadrants(96, 64), "WEBP", lossless=True)[12:]
    size = (95).to_bytes(3, "little") + (63).to_bytes(3, "little")
    body = riff(b"VP8X", bytes((flags, 0, 0, 0)) + size) + pixels + b"".join(chunks)
    return riff(b"RIFF", b"WEBP" + body)


def international(text: bytes, *, packed: bool = False, language: bytes = b"") -> bytes:
    """A PNG's chunk of text in any language."""
    body = zlib.compress(text) if packed else text
    start = b"XML:com.adobe.xmp\0" + bytes([packed]) + b"\0" + language + b"\0\0"
    return chunk(b"iTXt", start + body)


def packed_text(keyword: bytes, text: bytes) -> bytes:
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text))


XMP_START, EXIF_START = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
UPRIGHT: dict[str, Callable[[], bytes]] = {
    "PNG, XMP": lambda: png_with(international(xmp())),
    "PNG, XMP as an element": lambda: png_with(international(xmp(element=True))),
    "PNG, XMP in single quotes": lambda: png_with(international(xmp(quote="'"))),
    "PNG, XMP packed": lambda: png_with(international(xmp(), packed=True)),
    "PNG, XMP with a language": lambda: png_with(international(xmp(), language=b"x-default")),
    "PNG, XMP behind the pixels": lambda: png_with(international(xmp()), behind=True),
    "PNG, XMP as plain text": lambda: png_with(
        chunk(b"tEXt", b"XML:com.adobe.xmp\0" + xmp())
    ),
    "PNG, XMP and EXIF of neither": lambda: png_with(
        chunk(b"eXIf", exif(0)), international(xmp())
    ),
    "PNG, EXIF before XMP": lambda: png_with(
        international(xmp(3)), chunk(b"eXIf", exif(6))
    ),
    "PNG, profile of EXIF": lambda: png_with(
        packed_text(b"Raw profile type exif", profile("exif", EXIF_START + exif()))
    ),
    "PNG, profile of EXIF, not packed": lambda: png_with(
        chunk(b"tEXt", b"Raw profile type exif\0" + profile("exif", EXIF_START + exif()))
    ),
    "PNG, profile of EXIF without its start": lambda: png_with(
        packed_text(b"Raw profile type exif", profile("exif", exif()))
    ),
    "PNG, profile APP1": lambda: png_with(
        packed_text(b"Raw profile type APP1", profile("generic", EXIF_START + exif()))
    ),
    "PNG, profile APP1 of XMP": lambda: png_with(
        packed_text(b"Raw profile type APP1", profile("generic", XMP_START + xmp()))
    ),
    "PNG, profile of XMP": lambda: png_with(
        packed_text(b"Raw profile type xmp", profile("xmp", xmp()))
    ),
    "PNG, profile of EXIF before XMP": lambda: png_with(
        international(xmp(3)),
        packed_text(b"Raw profile type exif", profile("exif", EXIF_START + exif())),
    ),
    "JPEG, XMP": lambda: jpeg_with(XMP_START + xmp()),
    "JPEG, XMP as an element": lambda: jpeg_with(XMP_START + xmp(element=True)),
    "JPEG, large and decoded small": lambda: jpeg_with(XMP_START + xmp(), size_px=(1200, 800)),
    "JPEG, large, EXIF": lambda: jpeg_with(EXIF_START + exif(), size_px=(1200, 800)),
    "JPEG, EXIF behind XMP": lambda: jpeg_with(XMP_START + xmp(1), EXIF_START + exif()),
    "JPEG, EXIF before XMP": lambda: jpeg_with(EXIF_START + exif(), XMP_START + xmp(3)),
    "JPEG, EXIF of neither, then XMP": lambda: jpeg_with(EXIF_START + exif(9), XMP_START + xmp()),
    "JPEG, EXIF with another sixth byte": lambda: jpeg_with(b"Exif\0\xff" + exif()),
    "WebP, XMP": lambda: webp_with(riff(b"XMP ", xmp()), flags=0x04),
    "WebP, EXIF before XMP": lambda: webp_with(
        riff(b"EXIF", exif()), riff(b"XMP ", xmp(3)), flags=0x0C
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UPRIGHT)
def test_a_picture_is_turned_by_whatever_tells_its_way_up(name: str) -> None:
    """XMP and raw profiles as EXIF does; EXIF counts first where two differ."""
    assert_shows(UPRIGHT[name](), TURNED)


@pytest.mark.parametrize(
    "block",
    [
        exif(0), exif(9), exif(262), exif(6, kind=2), exif(6, kind=8), exif(6, count=2),
        exif(6, count=0), exif(65_542, kind=4),
    ],
    ids=["0", "9", "262", "a text", "signed", "two numbers", "no number", "65542"],
)  # fmt: skip
def test_an_exif_orientation_that_is_none_is_passed_over(block: bytes) -> None:
    """By its value, its type or its count; as viewers do."""
    assert_shows(jpeg_with(EXIF_START + block), QUARTERS)
    assert_shows(png_with(chunk(b"eXIf", block)), QUARTERS)


@pytest.mark.parametrize(
    "text",
    [
        xmp(0), xmp(9), xmp(66), xmp("top"), b"tiff:Orientation", b"tiff:Orientation=6", b"",
        b"exif:Orientation='6'", b"tiff:Orientation='6", bytes(MAX_TEXT_BYTES) + xmp(),
    ],
    ids=range(10),
)  # fmt: skip
def test_xmp_without_an_orientation_is_no_error(text: bytes) -> None:
    """Numbers that are none, cut off, or further behind than anybody writes it."""
    assert xmp_orientation(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\nexif\n", b"\nexif\n  12\n", b"\nexif\n 12\nzz", b"\nexif\n 12\n4949",
        b"\nexif\n 12\n49492", b"exif" * 20_000, b"\n" * 60_000, b"\nexif\n" + b"1" * 60_000,
    ],
    ids=range(9),
)  # fmt: skip
def test_a_broken_profile_is_no_error(text: bytes) -> None:
    """Empty, cut off, no digits, or endless in any part."""
    assert profile_orientation(text) is None


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"x" * 90)[:-6] + b"\xff" * 9])
def test_a_text_that_does_not_unpack_does_not_cost_the_picture(packed: bytes) -> None:
    """The picture is taken as it stands."""
    start = b"XML:com.adobe.xmp\0\1\0\0\0"
    assert_shows(png_with(chunk(b"iTXt", start + packed)), QUARTERS)
    assert_shows(png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + packed)), QUARTERS)


def test_of_a_text_only_the_start_is_unpacked() -> None:
    """50 MB in 50 KB cost what any text costs; what stands at their start is still read."""
    bomb = xmp() + bytes(50_000_000)
    assert len(unpacked(zlib.compress(bomb))) == MAX_TEXT_BYTES
    assert_shows(png_with(international(bomb, packed=True)), TURNED)
    digits = profile("exif", EXIF_START + exif()) + b"0" * 50_000_000
    assert_shows(png_with(packed_text(b"Raw profile type exif", digits)), TURNED)


def test_a_png_without_a_header_is_unreadable_by_its_first_chunks_name() -> None:
    """Xcode writes a chunk of its own first; no size is read from it."""
    rejected = rejection(lambda: corners(files.png_of_xcode()))
    assert rejected.reason == Reason.IMAGE_UNREADABLE
    assert rejected.detail == "its first chunk is 'CgBI', not IHDR"
    short = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\xff" * 12)
    assert rejection(lambda: corners(short)).detail == "a header of 12 bytes"


@pytest.mark.parametrize(
    "data",
    [
        riff(b"RIFF", b"WEBP" + riff(b"VP8 ", b"\xff" * 30)),
        riff(b"RIFF", b"WEBP" + riff(b"VP8L", b"\xff" * 30)),
        b"\xff\xd8\xff\xc0\0\x05\xff\xff\xff\xff\xff\xff\xda\0\x02\xff\xd9",
    ],
    ids=["WebP, lossy", "WebP, lossless", "JPEG"],
)
def test_no_size_is_read_from_what_says_none(data: bytes) -> None:
    """Pixels that do not begin as such, and a frame header that is too short for a size."""
    assert rejection(lambda: corners(data)).reason == Reason.IMAGE_UNREADABLE


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(40), "AVIF"),
        (files.avif_start(), "AVIF"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "MP4"),
        (b"", "empty"),
        (b"\x1f\x8b\x08\0" + bytes(20), "gzip"),
        (encoded(quadrants(), "TIFF"), "TIFF"),
        (encoded(quadrants(), "BMP"), "BMP"),
        (SVG[SVG.index(b"<svg") :], "SVG"),
        (HTML, "HTML"),
        (files.PDF, "PDF"),
        (files.PSD, "Photoshop"),
        (files.JPEG_2000, "JPEG 2000"),
        (files.wave(), "WAVE"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_refused_by_its_name(data: bytes, name: str) -> None:
    """So that a person sees what was sent, and what is taken."""
    rejected = rejection(lambda: corners(data))
    assert rejected.reason == Reason.IMAGE_FORMAT_REFUSED
    assert rejected.detail == f"{name}, not one of {', '.join(IMAGE_FORMATS)}"


def test_an_unknown_file_is_refused_by_its_first_bytes() -> None:
    """What has no name here."""
    detail = rejection(lambda: corners(b"what is this?")).detail
    assert detail == "not one of JPEG, PNG, WEBP, GIF; first bytes 7768617420697320"


def test_what_is_too_large_names_the_limit_and_its_flag() -> None:
    """An honest panorama: whoever reads the message knows what would allow it."""
    panorama = png_that_claims(8000, 7000)
    assert rejection(lambda: corners(panorama)).detail == (
        "8000x7000 pixels, allowed are 50000000 (--max_image_pixels)"
    )
    assert "(--max_image_bytes)" in rejection(lambda: corners(bytes(20_000_001))).detail
