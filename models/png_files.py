"""PNG files before anything decodes them: the chunks of one picture, and what they mean.

What Pillow's reader takes otherwise than a browser is put right on the way: a
transparent colour is given in its terms, and an animation that does not show
its still picture begins with its first frame.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from models.bare_images import BareImage, broken, count_part
from models.orientation import (
    MAX_TEXT_BYTES,
    exif_orientation,
    profile_orientation,
    unpacked,
    xmp_orientation,
)

PNG_START = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13
_GREY, _RGB, _PALETTE = 0, 2, 3  # types of colour
_MAX_COLOURS = 256

_GAMMA_UNIT = 100_000
_GAMMA_OF_SCREENS, _NEAR = 1 / 2.2, 0.05  # nobody sees what is so near
_COLOUR_SPACES = frozenset({b"sRGB", b"iCCP", b"cICP"})  # each overrides a gamma

_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_XMP = b"XML:com.adobe.xmp"
_PROFILES = tuple(b"Raw profile type " + name for name in (b"exif", b"APP1", b"xmp"))
_KEYWORDS = (*_PROFILES, _XMP)
_MAX_KEYWORD_BYTES = 80


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int  # length and checksum included; the last one of a file may be cut off


class _Header(NamedTuple):
    width_px: int
    height_px: int
    bits: int
    colours: int


class _Frame(NamedTuple):
    """The first of an animation, where it is not the still picture."""

    header: bytes
    place_px: tuple[int, int]
    pixels: Sequence[bytes]


def bare_png(data: bytes) -> BareImage:
    """Header, palette, transparency and the first run of pixels.

    Raises Rejected: IMAGE_UNREADABLE where the first chunk is no header.
    """
    header, chunks, view = _header(data), list(_chunks(data)), memoryview(data)
    before = list(itertools.takewhile(lambda one: one.kind != b"IDAT", chunks))
    behind = chunks[len(before) :]
    first = {one.kind: one for one in reversed(before)}
    frame = _first_frame(data, header, first, behind)
    kept: list[bytes | memoryview] = [PNG_START]
    if frame:
        kept.append(frame.header)
    kept += [
        view[one.start : one.end]
        for one in before
        if one.kind == b"PLTE" or (one.kind == b"IHDR" and not frame)
    ]
    clear_chunk, clear = _clear_colour(data, header, first)
    kept.append(clear_chunk)
    pixels = itertools.takewhile(lambda one: one.kind == b"IDAT", behind)
    kept += frame.pixels if frame else [view[one.start : one.end] for one in pixels]
    kept += [view[one.start : one.end] for one in behind if one.kind == b"IEND"]
    return BareImage(
        "PNG",
        header.width_px,
        header.height_px,
        b"".join(kept),
        orientation=_orientation(data, chunks),
        place_px=frame.place_px if frame else None,
        clear=clear,
        gamma=_gamma(data, first),
    )


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """A PNG's chunks, up to its end."""
    place, parts = len(PNG_START), 0
    while place + 8 <= len(data):
        parts = count_part(parts)
        length, kind = struct.unpack_from(">L4s", data, place)
        yield _Chunk(kind, place, place + 12 + length)
        if kind == b"IEND":
            return
        place += 12 + length


def _body(data: bytes, chunk: _Chunk | None) -> bytes:
    return data[chunk.start + 8 : chunk.end - 4] if chunk else b""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def _header(data: bytes) -> _Header:
    """A size is read from the header alone: whatever else comes first says none."""
    length, kind = struct.unpack_from(">L4s", data, len(PNG_START))
    if kind != b"IHDR":
        raise broken(f"its first chunk is {kind.decode('latin-1')!a}, not IHDR")
    if length != _HEADER_BYTES:
        raise broken(f"a header of {length} bytes")
    return _Header(*struct.unpack_from(">LLBB", data, len(PNG_START) + 8))


def _clear_colour(
    data: bytes, header: _Header, first: Mapping[bytes, _Chunk]
) -> tuple[bytes, tuple[int, ...] | None]:
    """The chunk of transparency as Pillow takes it; of 16 bits, the colour instead.

    Pillow compares a transparent grey with samples that it has spread to 8 bits, and
    16 bits with what it has cut to 8. Chunks that browsers pass over are left out.
    """
    chunk, palette = first.get(b"tRNS"), first.get(b"PLTE")
    body = _body(data, chunk)
    if header.colours == _PALETTE:
        follows = chunk and palette and chunk.start > palette.start
        return (_chunk(b"tRNS", body) if follows and len(body) <= _MAX_COLOURS else b""), None
    samples = {_GREY: 1, _RGB: 3}.get(header.colours)
    if samples is None or len(body) < 2 * samples:
        return b"", None
    colour = struct.unpack_from(f">{samples}H", body)
    most = (1 << header.bits) - 1
    if header.bits > 8:  # noqa: PLR2004 - what Pillow keeps of a sample
        return b"", colour
    spread = [(one & most) * 255 // most for one in colour]
    return _chunk(b"tRNS", struct.pack(f">{samples}H", *spread)), None


def _gamma(data: bytes, first: Mapping[bytes, _Chunk]) -> float | None:
    body = _body(data, first.get(b"gAMA"))
    if len(body) < 4 or _COLOUR_SPACES & first.keys():  # noqa: PLR2004 - its bytes
        return None
    gamma = int.from_bytes(body[:4]) / _GAMMA_UNIT
    is_odd = gamma > 0 and abs(gamma / _GAMMA_OF_SCREENS - 1) > _NEAR
    return gamma if is_odd else None


def _first_frame(
    data: bytes, header: _Header, first: Mapping[bytes, _Chunk], behind: Sequence[_Chunk]
) -> _Frame | None:
    """None where the still picture is shown: it has a frame's control, or nothing moves."""
    if b"fcTL" in first or not any(_body(data, first.get(b"acTL"))[:4]):
        return None
    controls = [place for place, one in enumerate(behind) if one.kind == b"fcTL"]
    if not controls:
        return None
    width_px, height_px, left_px, top_px = struct.unpack_from(
        ">LLLL", data, behind[controls[0]].start + 12
    )
    if left_px + width_px > header.width_px or top_px + height_px > header.height_px:
        return None
    following = itertools.takewhile(lambda one: one.kind == b"fdAT", behind[controls[0] + 1 :])
    pixels = [_chunk(b"IDAT", _body(data, one)[4:]) for one in following]
    if not pixels:
        return None
    return _Frame(
        _chunk(b"IHDR", struct.pack(">LL", width_px, height_px) + data[24:29]),
        (left_px, top_px),
        pixels,
    )


def _orientation(data: bytes, chunks: Sequence[_Chunk]) -> int | None:
    """Of EXIF, or of ImageMagick's profiles, or of XMP, wherever in the file they are."""
    exif = next((one for one in chunks if one.kind == b"eXIf"), None)
    texts: dict[bytes, _Chunk] = {}
    for one in chunks:
        if one.kind in _TEXTS and data.startswith(_KEYWORDS, one.start + 8):
            keyword = data[one.start + 8 : one.start + 8 + _MAX_KEYWORD_BYTES].partition(b"\0")[0]
            texts.setdefault(keyword, one)
    profiles = [texts[keyword] for keyword in _PROFILES if keyword in texts]
    return (
        exif_orientation(_body(data, exif))
        or next(filter(None, (profile_orientation(_text(data, one)) for one in profiles)), None)
        or (xmp_orientation(_text(data, texts[_XMP])) if _XMP in texts else None)
    )


def _text(data: bytes, chunk: _Chunk) -> bytes:
    """The first MAX_TEXT_BYTES of a text, unpacked."""
    body = data[chunk.start + 8 : min(chunk.end - 4, chunk.start + 8 + MAX_TEXT_BYTES)]
    rest = body.partition(b"\0")[2]
    if chunk.kind == b"tEXt":
        return rest
    if chunk.kind == b"zTXt":
        return unpacked(rest[1:])
    text = rest[2:].split(b"\0", 2)[-1]  # behind a language and a keyword in it
    return unpacked(text) if rest[:1] == b"\1" else text
