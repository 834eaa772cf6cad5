"""Image files before anything decodes them: their format, their size, and what to decode.

A decoder believes what a file says of itself, and its readers of metadata are
where small files cost gigabytes: one EXIF block can name the same bytes 65,535
times. Here each file is walked at a bounded cost, and only what its first
picture needs is passed on. No reader of EXIF, ICC, XMP, texts or further
frames ever sees what a sender wrote.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from transforms.records import Reason, Rejected

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Chunks, segments or blocks of one file. A GIF of 20 MB has 80,000 of the usual length.
MAX_PARTS = 100_000
# A progressive JPEG's scans each go over all its pixels again: 20 scans of 50 million.
MAX_SCANNED_PIXELS = 1_000_000_000

EXIF_ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "L"}  # EXIF's types of whole numbers
_ENTRY_BYTES = 12

# In a JPEG, FF before anything but 00 (an escaped FF) and RST0-7 starts a segment.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD})  # DHT, DAC, DQT, DNL, DRI
_FRAMES = frozenset(range(0xC0, 0xD0)) - _TABLES - {0xC8}  # SOF0-15
_KEPT_SEGMENTS = _FRAMES | _TABLES | {_SOS, _EOI}
_COLOURS = {_APP0: b"JFIF\0", _APP14: b"Adobe"}  # they say what the components mean
_EXIF = b"Exif\0\0"

_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IEND"})
_EXTENSION, _PICTURE, _TRAILER, _GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9


class BareImage(NamedTuple):
    """A file's first picture as a file of its own, without metadata."""

    format: str  # of IMAGE_FORMATS
    width_px: int
    height_px: int
    data: bytes
    exif: bytes = b""  # a WebP's stays in its data


def bare_image(data: bytes) -> BareImage:
    """Find the format by the first bytes, and keep what the first picture needs.

    The size is the header's; whether there are pixels behind it is not looked at.
    Raises Rejected: IMAGE_FORMAT_REFUSED; IMAGE_UNREADABLE for a broken header;
    IMAGE_TOO_LARGE for more parts or scans than any camera or program writes.
    """
    for start, walk in _WALKS.items():
        if data.startswith(start):
            try:
                return walk(data)
            except (IndexError, struct.error) as error:
                raise _broken("cut off before its first pixel") from error
    raise _refused(data)


def exif_orientation(exif: bytes) -> int | None:
    """The orientation (1-8) in an EXIF block; None where there is none to be found."""
    tiff = exif.removeprefix(_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == EXIF_ORIENTATION and kind in _INTEGERS:
                return int(struct.unpack_from(f"{order}{_INTEGERS[kind]}", tiff, place + 8)[0])
    except struct.error:
        pass  # a picture with broken metadata is still a picture
    return None


def _refused(data: bytes) -> Rejected:
    return Rejected(
        Reason.IMAGE_FORMAT_REFUSED,
        f"not one of {', '.join(IMAGE_FORMATS)}; first bytes {data[:8].hex()}",
    )


def _broken(what: str) -> Rejected:
    return Rejected(Reason.IMAGE_UNREADABLE, what)


def _count(parts: int) -> int:
    """One part more. Raises Rejected: IMAGE_TOO_LARGE."""
    if parts == MAX_PARTS:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"more than {MAX_PARTS} parts")
    return parts + 1


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """A JPEG's segments as (marker, start and end of the body); a scan's pixels are of its body.

    Ends at the end of the image, its marker included, or where the file ends.
    """
    place, parts = 2, 0
    while found := _MARKER.search(data, place):
        parts = _count(parts)
        marker, start = found[1][0], found.end()
        if marker == _EOI:
            yield marker, start, start
            return
        (length,) = struct.unpack_from(">H", data, start)
        place = start + length
        if marker == _SOI or not length or place > len(data):
            raise _broken("a segment that is none")
        if marker == _SOS:
            following = _MARKER.search(data, place)
            place = following.start() if following else len(data)
        yield marker, start, place


def _bare_jpeg(data: bytes) -> BareImage:
    """Frame header, tables and scans, up to the end of the image."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:2]]
    width_px = height_px = scans = 0
    exif, colours = b"", dict(_COLOURS)
    for marker, start, end in _segments(data):
        if marker == _APP1 and not exif and data.startswith(_EXIF, start + 2):
            exif = data[start + 2 : end]
        if marker in _FRAMES:
            height_px, width_px = struct.unpack_from(">HH", data, start + 3)
        if marker == _SOS:
            scans += 1
            if scans > 1 and scans * width_px * height_px > MAX_SCANNED_PIXELS:
                raise Rejected(
                    Reason.IMAGE_TOO_LARGE, f"{scans} scans of {width_px}x{height_px} pixels"
                )
        if marker in colours and data.startswith(colours[marker], start + 2):
            del colours[marker]
        elif marker not in _KEPT_SEGMENTS:
            continue
        kept.append(view[start - 2 : end])
    if not scans:
        raise _broken("no picture in it")
    return BareImage("JPEG", width_px, height_px, b"".join(kept), exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """A PNG's chunks as (kind, start and end of the whole chunk); the last may be cut off."""
    place, parts = 8, 0
    while place + 8 <= len(data):
        parts = _count(parts)
        length, kind = struct.unpack_from(">L4s", data, place)
        yield kind, place, place + 12 + length
        place += 12 + length


def _bare_png(data: bytes) -> BareImage:
    """Header, palette, transparency and the first run of pixels."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:8]]
    width_px, height_px = struct.unpack_from(">LL", data, 16)
    exif = b""
    pixels_begun = pixels_over = False
    for kind, start, end in _chunks(data):
        if kind == b"IDAT":
            pixels_begun = True
        else:
            pixels_over = pixels_begun
        if kind in _KEPT_CHUNKS or (kind == b"IDAT" and not pixels_over):
            kept.append(view[start:end])
        elif kind == b"eXIf" and not exif:
            exif = data[start + 8 : end - 4]
        if kind == b"IEND":
            break
    return BareImage("PNG", width_px, height_px, b"".join(kept), exif)


def _bare_gif(data: bytes) -> BareImage:
    """Screen, colours, the index that is transparent, and the first picture."""
    width_px, height_px, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + ((6 << (flags & 7)) if flags & 0x80 else 0)
    screen, clear = data[:place], b""
    parts = 0
    while data[place] != _PICTURE:
        parts = _count(parts)
        if data[place] == _TRAILER:
            raise _broken("no picture in it")
        if data[place] != _EXTENSION:
            place += 1  # between blocks every reader passes over what it does not know
            continue
        is_control = data[place + 1] == _GRAPHIC_CONTROL
        place += 2
        while size := data[place]:
            parts = _count(parts)
            if is_control and data[place + 1] & 1:
                clear = b"!\xf9\x04\x01\0\0" + data[place + 4 : place + 5] + b"\0"
            place += 1 + size
        place += 1
    x, y, picture_width_px, picture_height_px = struct.unpack_from("<HHHH", data, place + 1)
    return BareImage(
        "GIF",
        max(width_px, x + picture_width_px),
        max(height_px, y + picture_height_px),
        screen + clear + data[place:],
    )


def _bare_webp(data: bytes) -> BareImage:
    """The file as it is: libwebp reads metadata as bytes, and one frame at a time.

    But it takes memory for the whole canvas before anybody can ask for its size.
    """
    if data[8:12] != b"WEBP":
        raise _refused(data)
    kind = data[12:16]
    if kind == b"VP8X":
        width_px = 1 + int.from_bytes(data[24:27], "little")
        height_px = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<L", data, 21)
        width_px, height_px = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width_px, height_px = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise _broken("no picture in it")
    return BareImage("WEBP", width_px, height_px, data)


_WALKS: Mapping[bytes, Callable[[bytes], BareImage]] = {
    b"\xff\xd8\xff": _bare_jpeg,
    b"\x89PNG\r\n\x1a\n": _bare_png,
    b"RIFF": _bare_webp,
    b"GIF87a": _bare_gif,
    b"GIF89a": _bare_gif,
}
