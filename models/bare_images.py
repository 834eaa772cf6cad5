"""What is kept of an image file, and how a file is refused before anything decodes it."""

from typing import NamedTuple

from models.failures import Reason, Rejected

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Chunks, segments or blocks of one file. A GIF of 20 MB has 80,000 of the usual length.
MAX_PARTS = 100_000

# What people send under a picture's name. In a box named "ftyp" the brands tell, these first.
_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC",
    b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC",
    b"crx ": "Canon raw", b"qt  ": "QuickTime",
}  # fmt: skip
_IN_RIFF = {b"WAVE": "WAVE", b"AVI ": "AVI"}
_OTHERS = {
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF", b"BM": "BMP",
    b"\0\0\1\0": "ICO", b"8BPS": "Photoshop", b"%PDF": "PDF", b"%!PS": "PostScript",
    b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL", b"\x1f\x8b": "gzip", b"PK\3\4": "ZIP", b"<svg": "SVG",
    b"<?xml": "XML", b"<!DOCTYPE html": "HTML", b"<html": "HTML", b"data:": "a data: URI",
}  # fmt: skip


class BareImage(NamedTuple):
    """A file's first picture as a file of its own, without metadata."""

    format: str  # of IMAGE_FORMATS
    width_px: int  # of the whole that a viewer shows, before it is turned
    height_px: int
    data: bytes
    orientation: int | None = None  # 1-8; a WebP's stays in its data
    place_px: tuple[int, int] | None = None  # left and top, where it does not fill the whole
    clear: tuple[int, ...] | None = None  # the transparent colour of a PNG of 16 bits
    gamma: float | None = None  # a PNG's, where it differs from what screens show


def refused(data: bytes) -> Rejected:
    """Of a format that is not taken: its name, or its first bytes where it has none."""
    taken = f"not one of {', '.join(IMAGE_FORMATS)}"
    name = _name(data)
    detail = f"{name}, {taken}" if name else f"{taken}; first bytes {data[:8].hex()}"
    return Rejected(Reason.IMAGE_FORMAT_REFUSED, detail)


def _name(data: bytes) -> str | None:
    if not data:
        return "empty"
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[place : place + 4] for place in range(16, 40, 4))}
        return next((name for brand, name in _BRANDS.items() if brand in brands), "MP4")
    if data.startswith(b"RIFF"):
        return _IN_RIFF.get(data[8:12])
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), None)


def broken(what: str) -> Rejected:
    return Rejected(Reason.IMAGE_UNREADABLE, what)


def count_part(parts: int) -> int:
    """One part more. Raises Rejected: IMAGE_TOO_LARGE."""
    if parts == MAX_PARTS:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"more than {MAX_PARTS} parts")
    return parts + 1
