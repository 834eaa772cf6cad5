"""Inputs for the fuzzer: seeds in every format, changed at random, the same for the same number."""

import base64
import binascii
import functools
import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from loadtest.traffic import poison_files
from rigs.hostile import files
from rigs.hostile.table import HOSTILE
from testudo.messages import sample_messages

MAX_SEED_BYTES = 70_000
CHANGES = (1, 1, 2, 3, 8)  # how many, by chance
MAX_RUN_BYTES = 400
WHOLE_SHARE = 0.02  # of the inputs are seeds as they are
MENDED_SHARE = 0.5  # of the changed PNGs get right checksums again, or nothing else is reached
RECOGNISED_SHARE = 0.9  # of the images start as a file of some format does
MAGIC_BYTES = 4
WHOLE_IMAGES = 20  # of the seeds: the first, which are nothing but pictures
BYTES_SHARE = 0.5
BUCKET = "pictures"
FIELDS = ("item_id", "tenant_id", "text", "image", "image_uri", "event_time", "fields", "more")
VALUES = (
    "a-1",
    "",
    " ",
    "eA==",
    "gs://pictures/a.jpg",
    "2026-11-24T08:00:00Z",
    "2026-11-24T08:00:00.123456789+05:30",
    "2016-12-31T23:59:60Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9-12:00",
    "2024-02-29 23:59:59z",
)
# ASCII and its controls; marks, joiners, white space, surrogates; and beyond 16 bits.
_CHARACTERS = (
    *range(0x100),
    *range(0x300, 0x370),
    *range(0x2000, 0x2070),
    0xD800,
    0xDFFF,
    0xFDFA,
    0xFEFF,
    0xFF9E,
    0xFFFF,
    0x1F600,
    0x10FFFF,
)
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TOKENS = tuple(
    token.encode()
    for token in (
        '"', "\\", "{", "}", "[", "]", ",", ":", "null", "true", "-0", "1e999", "NaN", "0.1e-9",
        "18446744073709551616", "\\ud800", "\\udc00", "\\u0000", "\\u001c", "\u00e4", "\u2028",
        "\U0001f600", '"text"', '"image"', '"image_uri"', '"event_time"', '"item_id"',
        '"gs://a-b/..\\n"', '"eA=="', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:60.9Z"',
        "[" * 300, '{"a":' * 300, "\\u0301" * 200, " " * 200,
    )
)  # fmt: skip
MARKERS = (
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xe1", b"\xff\xff",
    b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"fcTL", b"eXIf", b"IEND", b"VP8X", b"VP8 ", b"VP8L",
    b"ALPH", b"ANMF", b"RIFF", b"WEBP", b"!\xf9\x04", b"!\xfe", b",", b";",
)  # fmt: skip
PNG_CHUNK_OVERHEAD = 12


@functools.cache
def message_seeds() -> tuple[bytes, ...]:
    """Sample messages, and every hostile one that is not too long."""
    samples = (one.data for one in sample_messages(20, seed=1, bucket=BUCKET))
    hostile = (
        kind.message(item_id="a-1", bucket=BUCKET).data
        for kind in HOSTILE.values()
        if kind.publishable
    )
    return tuple(data for data in (*samples, *hostile) if len(data) <= MAX_SEED_BYTES)


@functools.cache
def image_seeds() -> tuple[bytes, ...]:
    """Whole pictures of each format in several ways, and the hostile messages' images."""
    whole: list[tuple[str, str, dict[str, Any]]] = [
        ("JPEG", "RGB", {}), ("JPEG", "L", {}), ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}), ("JPEG", "RGB", {"restart_marker_rows": 1}),
        ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {"transparency": 3}),
        ("PNG", "1", {}), ("PNG", "LA", {}), ("PNG", "I;16", {}),
        ("WEBP", "RGB", {}), ("WEBP", "RGBA", {}), ("WEBP", "RGBA", {"lossless": True}),
        ("GIF", "P", {"transparency": 3}), ("GIF", "L", {}), ("GIF", "P", {"interlace": 0}),
    ]  # fmt: skip
    seeds = [poison_files.saved(name, mode, **how) for name, mode, how in whole]
    seeds += [files.png_interlaced(), files.webp_canvas(48, 48, 3), files.gif(8, 8, frames=3)]
    for kind in HOSTILE.values():
        if kind.publishable:
            message = kind.message(item_id="a-1", bucket=BUCKET)
            seeds += message.uploads.values()
            found = re.search(rb'"image": "([^"]+)"', message.data)
            if found and len(found[1]) <= MAX_SEED_BYTES:
                try:
                    seeds.append(base64.b64decode(found[1]))
                except binascii.Error:
                    pass  # one of the kinds whose base64 is broken
    return tuple(data for data in seeds if len(data) <= MAX_SEED_BYTES)


def changed_message(chance: random.Random) -> bytes:
    """Part of them changed as bytes, half as fields, which stay JSON."""
    if chance.random() < BYTES_SHARE:
        return _changed(chance, message_seeds(), TOKENS)
    fields: dict[str, Any] = {"item_id": "a-1", "tenant_id": "acme", "text": "a red mug"}
    for _ in range(chance.randint(1, 3)):
        fields[chance.choice(FIELDS)] = _value(chance)
    return json.dumps(fields, ensure_ascii=chance.random() < BYTES_SHARE).encode(
        errors="surrogatepass"
    )


def _value(chance: random.Random) -> Any:
    """A field's value: mostly a text, and then mostly nearly a right one."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice((None, True, -1, 2**70, 1e308, [], {}, [[""]], {"a": {}}))
    if kind == 1:
        return base64.b64encode(chance.randbytes(chance.randint(0, 60))).decode()
    if kind == 2:
        return "".join(chr(chance.choice(_CHARACTERS)) for _ in range(chance.randint(0, 200)))
    text = list(chance.choice(VALUES))
    for _ in range(chance.randint(0, 3)):
        place = chance.randint(0, len(text))
        text[place : place + chance.randint(0, 2)] = chr(chance.choice(_CHARACTERS))
    return "".join(text)


def changed_image(chance: random.Random) -> bytes:
    data = _changed(chance, image_seeds(), MARKERS)
    if chance.random() < RECOGNISED_SHARE:
        start = chance.choice(image_seeds()[:WHOLE_IMAGES])[:MAGIC_BYTES]
        data = start + data[len(start) :] if not _known(data) else data
    return with_checksums(data) if chance.random() < MENDED_SHARE else data


def _known(data: bytes) -> bool:
    return any(data.startswith(seed[:MAGIC_BYTES]) for seed in image_seeds()[:WHOLE_IMAGES])


def _changed(chance: random.Random, seeds: tuple[bytes, ...], words: tuple[bytes, ...]) -> bytes:
    data = bytearray(chance.choice(seeds))
    if chance.random() < WHOLE_SHARE:
        return bytes(data)
    changes: list[Callable[[bytearray, random.Random], None]] = [
        *_CHANGES, partial(_insert_word, words), partial(_overwrite_word, words),
        partial(_splice, seeds),
    ]  # fmt: skip
    for _ in range(chance.choice(CHANGES)):
        chance.choice(changes)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere; half of the time near the start, where headers are."""
    return chance.randint(0, min(len(data), 64) if chance.random() < 0.5 else len(data))


def _flip_bit(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place : place + 1] = chance.randbytes(1)


def _set_number(data: bytearray, chance: random.Random) -> None:
    code, most = chance.choice((("B", 0xFF), ("H", 0xFFFF), ("L", 0xFFFFFFFF)))
    packed = struct.pack(chance.choice("<>") + code, chance.choice(NUMBERS) & most)
    place = _place(data, chance)
    data[place : place + len(packed)] = packed


def _delete(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.randint(1, MAX_RUN_BYTES)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    run = data[place : place + chance.randint(1, MAX_RUN_BYTES)]
    data[place:place] = run * chance.randint(1, 8)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _insert_noise(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = chance.randbytes(chance.randint(1, MAX_RUN_BYTES))


def _insert_word(words: tuple[bytes, ...], data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = chance.choice(words)


def _overwrite_word(words: tuple[bytes, ...], data: bytearray, chance: random.Random) -> None:
    word, place = chance.choice(words), _place(data, chance)
    data[place : place + len(word)] = word


def _splice(seeds: tuple[bytes, ...], data: bytearray, chance: random.Random) -> None:
    other = chance.choice(seeds)
    data[_place(data, chance) :] = other[chance.randint(0, len(other)) :]


_CHANGES = (_flip_bit, _set_byte, _set_number, _delete, _repeat, _cut, _insert_noise)


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksum of each whole chunk put right; anything else as it is."""
    if not data.startswith(poison_files.PNG_START):
        return data
    mended, place = bytearray(data), len(poison_files.PNG_START)
    while place + PNG_CHUNK_OVERHEAD <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4])
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">L", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(mended)
