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

from models.bare_images import BareImage, broken, count_part, refused
from models.failures import Reason, Rejected
from models.orientation import exif_orientation, xmp_orientation
from models.png_files import PNG_START, bare_png

# A progressive JPEG's scans each go over all its pixels again: 20 scans of 50 million.
MAX_SCANNED_PIXELS = 1_000_000_000

# In a JPEG, FF before anything but 00 (an escaped FF) and RST0-7 starts a segment.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD})  # DHT, DAC, DQT, DNL, DRI
_FRAMES = frozenset(range(0xC0, 0xD0)) - _TABLES - {0xC8}  # SOF0-15
_KEPT_SEGMENTS = _FRAMES | _TABLES | {_SOS, _EOI}
_END = b"\xff\xd9"
_COLOURS = {_APP0: b"JFIF\0", _APP14: b"Adobe"}  # they say what the components mean
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # SOF0 and SOF1: one scan may be the whole picture
_FRAME_HEADER_BYTES = 8  # and three a component
_EXIF, _XMP = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"

_EXTENSION, _PICTURE, _TRAILER, _GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_CLEAR = b"!\xf9\x04\x01\0\0"  # the index that is transparent follows

_ANIMATED, _ALPHA = 0x02, 0x10  # of the flags of a WebP
_LOSSLESS, _KEY_FRAME = b"\x2f", b"\x9d\x01\x2a"  # how pixels begin, before they say a size


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
                raise broken("cut off before its first pixel") from error
    raise refused(data)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """A JPEG's segments as (marker, start and end of the body); a scan's pixels are of its body.

    Ends at the end of the image, its marker included, or where the file ends.
    """
    place, parts = 2, 0
    while found := _MARKER.search(data, place):
        parts = count_part(parts)
        marker, start = found[1][0], found.end()
        if marker == _EOI:
            yield marker, start, start
            return
        (length,) = struct.unpack_from(">H", data, start)
        place = start + length
        if marker == _SOI or not length or place > len(data):
            raise broken("a segment that is none")
        if marker == _SOS:
            following = _MARKER.search(data, place)
            place = following.start() if following else len(data)
        yield marker, start, place


def _bare_jpeg(data: bytes) -> BareImage:
    """Frame header, tables and scans, up to the end of the image or of its only scan."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:2]]
    width_px = height_px = scans = 0
    whole = -1  # components of a scan that is the picture; none is in a progressive one
    exif = xmp = b""
    for marker, start, end in _segments(data):
        if marker == _APP1:
            if not exif and data.startswith(_EXIF, start + 2):
                exif = data[start + 2 : end]
            elif not xmp and data.startswith(_XMP, start + 2):
                xmp = data[start + 2 : end]
        elif marker in _FRAMES:
            if end - start < _FRAME_HEADER_BYTES:
                raise broken("a frame header that is none")
            height_px, width_px, components = struct.unpack_from(">HHB", data, start + 3)
            whole = components if marker in _SEQUENTIAL else -1
        elif marker == _SOS:
            scans += 1
            _judge_scans(scans, width_px, height_px)
        says_colours = marker in _COLOURS and data.startswith(_COLOURS[marker], start + 2)
        if says_colours or marker in _KEPT_SEGMENTS:
            kept.append(view[start - 2 : end])
        if marker == _SOS and data[start + 2] == whole:
            # Of what follows nothing is of this picture: phones leave out the end, and append.
            kept.append(_END if end < len(data) else b"")
            break
    if not scans:
        raise broken("no picture in it")
    orientation = exif_orientation(exif) or xmp_orientation(xmp)
    return BareImage("JPEG", width_px, height_px, b"".join(kept), orientation)


def _judge_scans(scans: int, width_px: int, height_px: int) -> None:
    """Raises Rejected: IMAGE_TOO_LARGE."""
    if scans > 1 and scans * width_px * height_px > MAX_SCANNED_PIXELS:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"{scans} scans of {width_px}x{height_px} pixels")


def _bare_gif(data: bytes) -> BareImage:
    """Screen, colours, the index that is transparent, and the first picture."""
    width_px, height_px, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + ((6 << (flags & 7)) if flags & 0x80 else 0)
    screen, clear = data[:place], b""
    parts = 0
    while data[place] != _PICTURE:
        parts = count_part(parts)
        if data[place] == _TRAILER:
            raise broken("no picture in it")
        if data[place] != _EXTENSION:
            place += 1  # between blocks every reader passes over what it does not know
            continue
        is_control = data[place + 1] == _GRAPHIC_CONTROL
        place += 2
        while size := data[place]:
            parts = count_part(parts)
            if is_control:  # the last one counts
                clear = _CLEAR + data[place + 4 : place + 5] + b"\0" if data[place + 1] & 1 else b""
            place += 1 + size
        place += 1
    left_px, top_px, own_width_px, own_height_px = struct.unpack_from("<HHHH", data, place + 1)
    width_px = max(width_px, left_px + own_width_px)
    height_px = max(height_px, top_px + own_height_px)
    if (own_width_px, own_height_px) == (width_px, height_px):
        return BareImage("GIF", width_px, height_px, screen + clear + data[place:])
    # Pillow would fill the rest with a colour; a picture that has a screen of its own has none.
    sides = struct.pack("<HH", own_width_px, own_height_px)
    alone = b"".join((screen[:6], sides, screen[10:], clear, b",\0\0\0\0", data[place + 5 :]))
    return BareImage("GIF", width_px, height_px, alone, place_px=(left_px, top_px))


def _bare_webp(data: bytes) -> BareImage:
    """The file as it is: libwebp reads metadata as bytes, and one frame at a time.

    But it takes memory for the whole canvas before anybody can ask for its size; and
    what an animation leaves free of it is black unless the file says that it has alpha.
    """
    if data[8:12] != b"WEBP":
        raise refused(data)
    kind = data[12:16]
    if kind == b"VP8X":
        width_px = 1 + int.from_bytes(data[24:27], "little")
        height_px = 1 + int.from_bytes(data[27:30], "little")
        if data[20] & _ANIMATED:
            data = data[:20] + bytes([data[20] | _ALPHA]) + data[21:]
    elif kind == b"VP8L" and data.startswith(_LOSSLESS, 20):
        (bits,) = struct.unpack_from("<L", data, 21)
        width_px, height_px = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and data.startswith(_KEY_FRAME, 23):
        width_px, height_px = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise broken(f"no picture where its first chunk, {kind.decode('latin-1')!a}, has it")
    return BareImage("WEBP", width_px, height_px, data)


_WALKS: Mapping[bytes, Callable[[bytes], BareImage]] = {
    b"\xff\xd8\xff": _bare_jpeg,
    PNG_START: bare_png,
    b"RIFF": _bare_webp,
    b"GIF87a": _bare_gif,
    b"GIF89a": _bare_gif,
}
