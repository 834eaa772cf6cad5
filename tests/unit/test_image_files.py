"""Image files are walked before they are decoded: what is kept of them, and at what cost."""

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from builders import encoded, grain, jpeg, quadrants, rejection
from PIL import Image
from rigs.hostile import files

from loadtest.traffic import poison_files
from models.bare_images import MAX_PARTS
from models.failures import Reason
from models.features import MAX_SIDE_PX, ImageLimits, decode_image
from models.image_files import MAX_SCANNED_PIXELS, bare_image
from models.orientation import EXIF_ORIENTATION, exif_orientation

SIZE_PX = 32
BIG = {"exif": b"Exif\0\0MM\0*" + b"x" * 40_000}


def pixels(data: bytes) -> np.ndarray:
    return decode_image(data, size_px=SIZE_PX)[0]


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("format_name", "mode", "how"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True, "restart_marker_rows": 1}),
        ("JPEG", "RGB", {"keep_rgb": True}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("GIF", "P", {"interlace": 1}),
        ("GIF", "L", {}),
    ],
)
def test_what_is_kept_decodes_to_the_same_pixels(
    format_name: str, mode: str, how: dict[str, bool]
) -> None:
    """Whatever is dropped, the first picture is as it was, and as large as the file says."""
    data = encoded(grain(70, 50).convert(mode), format_name, **how)
    bare = bare_image(data)
    assert (bare.format, bare.width_px, bare.height_px) == (format_name, 70, 50)
    np.testing.assert_array_equal(by_pillow(bare.data), by_pillow(data))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_metadata_does_not_reach_the_decoder(format_name: str) -> None:
    """EXIF, profiles, texts and what stands behind the picture are gone."""
    plain = encoded(quadrants(), format_name)
    full = encoded(quadrants(), format_name, icc_profile=b"y" * 90_000, **BIG) + b"z" * 9_000
    bare = bare_image(full)
    assert len(bare.data) <= len(plain)
    np.testing.assert_array_equal(pixels(full), pixels(plain))


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\0JFIF\0", b"Adobe", b"JFIF\0", b"x" * 99], ids=range(6)
)
def test_no_segment_of_a_jpeg_is_kept_for_what_it_is_not(body: bytes) -> None:
    """JFIF's and Adobe's are known by marker and name; every other application's are dropped."""
    plain = jpeg(16, 16)
    for marker in (*range(0xE1, 0xEE), 0xEF, 0xFE):
        added = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
        assert bare_image(plain[:2] + added + plain[2:]).data == bare_image(plain).data


def test_of_a_gif_only_colours_and_the_clear_index_are_kept() -> None:
    """No comment, and no disposal, for which a decoder would allocate its area."""
    image = quadrants().quantize(4)
    how = {"transparency": image.getpixel((0, 0)), "disposal": 2, "comment": b"c" * 5_000}
    bare = bare_image(encoded(image, "GIF", **how))
    assert b"ccc" not in bare.data
    with Image.open(io.BytesIO(bare.data)) as kept:
        assert kept.info["transparency"] == how["transparency"]
        assert kept.disposal_method == 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(3, "H"), (4, "L"), (1, "B")])
def test_the_orientation_is_found_among_other_entries(order: str, kind: int, code: str) -> None:
    """In both byte orders, and in every type of whole number."""
    entries = struct.pack(f"{order}HHLL", 0x010F, 7, 2**31, 2**31)
    entries += struct.pack(f"{order}HHL{code}", EXIF_ORIENTATION, kind, 1, 6).ljust(12, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    block = start + struct.pack(f"{order}LH", 8, 2) + entries
    assert exif_orientation(block) == 6
    assert exif_orientation(b"Exif\0\0" + block) == 6


@pytest.mark.parametrize(
    "block",
    [
        b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II+\0" + bytes(40),
        b"MM\0*\0\0\0\x08\xff\xff" + bytes(600), poison_files.exif_bomb(1_000_000)[:-5],
    ],
    ids=range(7),
)  # fmt: skip
def test_an_exif_block_without_orientation_is_no_error(block: bytes) -> None:
    """Cut off, pointing nowhere, or with an entry for every tag but this one."""
    assert exif_orientation(block) in {None, 8}


def parts(count: int) -> dict[str, bytes]:
    """A JPEG, PNG and GIF of so many parts, by the counting of the walk."""
    comment, chunk, data = b"\xff\xfe\0\x02", poison_files.chunk(b"teSt", b""), jpeg(8, 8)
    of_jpeg = len(list(_markers(data))) - 1  # the end is not looked at
    return {
        "jpeg": data[:2] + comment * (count - of_jpeg) + data[2:],
        "png": poison_files.png(8, 8, chunk * (count - 3)),
        "gif": files.gif(before=b"!\xfe" + b"\x01x" * (count - 1) + b"\0"),
    }


def _markers(data: bytes) -> list[int]:
    return [place for place in range(2, len(data) - 1) if data[place] == 0xFF and data[place + 1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jpeg", "png", "gif"])
def test_the_number_of_parts_is_limited(name: str) -> None:
    """The limit is met exactly; beyond it, reading alone would take seconds."""
    assert pixels(parts(MAX_PARTS)[name]).shape == (SIZE_PX, SIZE_PX, 3)
    rejected = rejection(lambda: pixels(parts(MAX_PARTS + 1)[name]))
    assert rejected.reason == Reason.IMAGE_TOO_LARGE
    assert "parts" in rejected.detail


def test_the_scans_of_a_jpeg_are_limited_by_its_pixels() -> None:
    """A small progressive picture may have many scans, a large one as many as a camera writes."""
    many = poison_files.jpeg_with_many_scans()
    rejected = rejection(lambda: pixels(many))
    assert rejected.reason == Reason.IMAGE_TOO_LARGE
    assert f"{MAX_SCANNED_PIXELS // 16_000_000 + 1} scans" in rejected.detail
    small = encoded(grain(64, 64), "JPEG", progressive=True)
    last = small[small.rindex(b"\xff\xda") : -2]
    assert pixels(small[:-2] + last * 300 + b"\xff\xd9").shape == (SIZE_PX, SIZE_PX, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_the_length_of_a_side_is_limited(turned: bool) -> None:
    """A line of 65,535 pixels is a picture; a longer one costs far more than its pixels."""
    for longest, ok in ((MAX_SIDE_PX, True), (MAX_SIDE_PX + 1, False)):
        data = poison_files.png(longest, 1) if turned else poison_files.png(1, longest)
        if ok:
            assert pixels(data).shape == (SIZE_PX, SIZE_PX, 3)
        else:
            assert rejection(lambda: pixels(data)).reason == Reason.IMAGE_TOO_LARGE  # noqa: B023


@pytest.mark.parametrize(
    "make",
    [
        partial(files.webp_canvas, 20_000, 20_000),
        lambda: encoded(Image.new("RGB", (300, 200)), "WEBP"),
        lambda: encoded(Image.new("RGB", (300, 200)), "WEBP", lossless=True),
        lambda: encoded(Image.new("RGBA", (300, 200)), "WEBP"),
    ],
    ids=["animated", "lossy", "lossless", "with alpha"],
)
def test_a_webps_size_is_known_before_libwebp_takes_memory_for_it(
    make: Callable[[], bytes],
) -> None:
    """All three kinds of WebP say their size in their first chunk."""
    limits = ImageLimits(max_pixels=300 * 200 - 1)
    data = make()
    bare = bare_image(data)
    assert (bare.width_px, bare.height_px) in {(20_000, 20_000), (300, 200)}
    # Nothing behind the first chunk is there to be read.
    rejected = rejection(lambda: decode_image(data[:30], size_px=SIZE_PX, limits=limits))
    assert rejected.reason == Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xd8\0\x04ab", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a" + bytes(7),
        b"GIF89a" + bytes(7) + b";", b"GIF89a" + bytes(7) + b"!", b"RIFF\0\0\0\0WEBP",
        b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8 " + bytes(9), b"RIFF\0\0\0\0WEBPJUNK",
    ],
    ids=range(14),
)  # fmt: skip
def test_a_file_that_ends_in_its_header_is_unreadable(data: bytes) -> None:
    """By its first bytes it is of an accepted format, so that it is not refused as another."""
    assert rejection(lambda: pixels(data)).reason == Reason.IMAGE_UNREADABLE


WITHOUT_MEMORY = """
import resource
from loadtest.traffic.poison_files import png
from models.features import decode_image
from models.failures import Rejected
data = png(6_000, 6_000)
decode_image(png(8, 8), size_px=32)
with open("/proc/self/statm") as file:
    used_bytes = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used_bytes + 50_000_000, resource.RLIM_INFINITY))
try:
    decode_image(data, size_px=32)
except Rejected as rejected:
    print(rejected.reason, rejected.detail, sep=": ")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_a_picture_that_needs_more_memory_than_there_is_is_too_large() -> None:
    """In a process whose memory is limited, as a worker's is."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True)
    assert done.stdout == "image_too_large: needs more memory than a call may take\n", done.stderr
