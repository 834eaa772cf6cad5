"""Image files that are broken, posing or costly on purpose; each call gives the same bytes."""

import functools
import io
import struct
import zlib
from typing import Any

from PIL import Image

SIZE_PX = 48
BIG_SIDE_PX = 40_000  # squared, many times the pixels that are allowed
PNG_START = b"\x89PNG\r\n\x1a\n"
SVG = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><text>&b;</text></svg>"""
HTML = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"


def picture(width_px: int = SIZE_PX, height_px: int = SIZE_PX) -> Image.Image:
    """Two gradients and their product: no format packs it to nothing."""
    image = Image.new("RGB", (width_px, height_px))
    image.putdata(
        [
            (x * 255 // width_px, y * 255 // height_px, x * y % 256)
            for y in range(height_px)
            for x in range(width_px)
        ]
    )
    return image


@functools.cache
def saved(format_name: str, mode: str = "RGB", **how: Any) -> bytes:
    """The picture in a format that Pillow writes."""
    file = io.BytesIO()
    picture().convert(mode).save(file, format_name, **how)
    return file.getvalue()


def cut(format_name: str) -> bytes:
    data = saved(format_name)
    return data[: len(data) * 2 // 3]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def png_header(width_px: int, height_px: int, bits: int = 8, colours: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">LLBBBBB", width_px, height_px, bits, colours, 0, 0, 0))


def png(width_px: int, height_px: int, *before_pixels: bytes, bits: int = 8) -> bytes:
    """A black PNG, with more chunks between header and pixels; grey where it has 16 bits."""
    colours, size_bytes = (2, 3) if bits == 8 else (0, 2)  # noqa: PLR2004 - of a PNG's two depths
    rows = bytes(1 + width_px * size_bytes) * height_px
    header = png_header(width_px, height_px, bits, colours)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return PNG_START + header + b"".join(before_pixels) + pixels + chunk(b"IEND", b"")


def png_that_claims(width_px: int, height_px: int) -> bytes:
    return PNG_START + png_header(width_px, height_px) + chunk(b"IDAT", b"none")


def exif_bomb(size_bytes: int) -> bytes:
    """An EXIF block whose every entry is nearly the whole block: the square of its size."""
    entries = min((size_bytes - 26) // 12, 0xFFFF)
    body = b"".join(
        struct.pack(">HHLL", number, 7, size_bytes - 16, 8) for number in range(entries)
    )
    block = b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + body + bytes(4)
    return block.ljust(size_bytes, b"\0")


@functools.cache
def jpeg_with_many_scans() -> bytes:
    """Progressive, 4000x4000; its last scan is there 200 times."""
    file = io.BytesIO()
    Image.new("L", (4000, 4000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * 200 + b"\xff\xd9"
