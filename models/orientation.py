"""How a picture is to be turned, by what its file says of it: in EXIF, or else in XMP.

Both are searched in place, at a cost that their sender cannot raise: no entry
but the one is followed, no XML is parsed, and of a text that unpacks only the
first MAX_TEXT_BYTES are unpacked.
"""

import re
import struct
import zlib

EXIF_ORIENTATION = 0x0112
# As much as a segment of a JPEG holds. What is looked for stands at a block's start.
MAX_TEXT_BYTES = 65_536

_EXIF_START = re.compile(rb"Exif\0.", re.DOTALL)  # browsers do not look at the sixth byte
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "L"}  # EXIF's types of whole numbers
_ENTRY_BYTES = 12
_RIGHT = range(1, 9)
# As an attribute or as an element.
_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")
# ImageMagick's profiles begin with their name and their length, a line each.
_PROFILE = re.compile(rb"\s*\w+\s+\d+\s+([0-9A-Fa-f\s]*)")


def exif_orientation(exif: bytes) -> int | None:
    """The orientation (1-8) in an EXIF block; None where there is none to be found."""
    start = _EXIF_START.match(exif)
    tiff = exif[start.end() :] if start else exif
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return None
    try:
        (place,) = struct.unpack_from(f"{order}L", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, place)
        for entry in range(place + 2, place + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, count = struct.unpack_from(f"{order}HHL", tiff, entry)
            if tag == EXIF_ORIENTATION and kind in _INTEGERS and count == 1:
                (value,) = struct.unpack_from(f"{order}{_INTEGERS[kind]}", tiff, entry + 8)
                if value in _RIGHT:
                    return int(value)
    except struct.error:
        pass  # a picture with broken metadata is still a picture
    return None


def xmp_orientation(xmp: bytes) -> int | None:
    """The orientation (1-8) in an XMP packet; None where there is none to be found."""
    found = _XMP.search(xmp, 0, MAX_TEXT_BYTES)
    return int(found[1]) if found else None


def profile_orientation(profile: bytes) -> int | None:
    """The orientation in a raw profile: EXIF or XMP as hexadecimal text; None as above."""
    found = _PROFILE.match(profile)
    if found is None:
        return None
    digits = b"".join(found[1].split()).decode()
    block = bytes.fromhex(digits[: len(digits) // 2 * 2])
    return exif_orientation(block) or xmp_orientation(block)


def unpacked(data: bytes) -> bytes:
    """The first MAX_TEXT_BYTES of what zlib packed; b"" where it is broken."""
    try:
        return zlib.decompressobj().decompress(data[:MAX_TEXT_BYTES], MAX_TEXT_BYTES)
    except zlib.error:
        return b""
