"""Pictures that readers show differently, and what a browser shows in their four quarters."""

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from builders import BLUE, GREEN, RED, WHITE, YELLOW, encoded, quadrants
from PIL import Image, ImageOps

from loadtest.traffic.poison_files import PNG_START, chunk

Colour = tuple[int, int, int]
QUARTERS = (RED, GREEN, BLUE, YELLOW)
SIZE_PX = (96, 64)
NEAR = 12  # of 255


class Odd(NamedTuple):
    """One picture; `corners` are top left, top right, bottom left, bottom right."""

    name: str
    data: bytes
    corners: Sequence[Colour]


def png_of(
    left: Sequence[int], right: Sequence[int], *before: bytes, bits: int, colours: int
) -> bytes:
    """A PNG of 32x32, one sample a channel left and another right, and chunks before its pixels."""
    samples = [*left] * 16 + [*right] * 16
    packed = "".join(f"{sample:0{bits}b}" for sample in samples)
    row = b"\0" + int(packed, 2).to_bytes(len(packed) // 8)
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 32, 32, bits, colours, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(row * 32))
    return PNG_START + header + b"".join(before) + pixels + chunk(b"IEND", b"")


def clear(*samples: int) -> bytes:
    """The chunk that makes a grey or a colour transparent."""
    return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


def halves(left: int | Colour, right: int | Colour) -> tuple[Colour, ...]:
    one, other = ((v, v, v) if isinstance(v, int) else v for v in (left, right))
    return (one, other, one, other)


def clear_greys() -> list[Odd]:
    """Each depth, with the left or the right half transparent, or no half."""
    found = []
    for bits, left, right in ((1, 0, 1), (2, 1, 2), (4, 3, 9), (8, 40, 200), (16, 0x1234, 0x1299)):
        most = (1 << bits) - 1
        one, other = (round(v * 255 / most) for v in (left, right))
        for what, sample, corners in (
            ("left", left, halves(255, other)),
            ("right", right, halves(one, 255)),
            ("neither", 0, halves(one, other)),
            ("left, with bits beyond", left | (0x100 if bits < 16 else 0), halves(255, other)),
        ):
            if bits == 1 and what == "neither":
                continue  # there is no third grey
            data = png_of([left], [right], clear(sample), bits=bits, colours=0)
            found.append(Odd(f"grey of {bits} bits, clear {what}", data, corners))
    return found


def clear_colours() -> list[Odd]:
    """Of 8 and 16 bits; the halves differ in their lowest bits alone."""
    found = []
    eight, sixteen = (
        ((10, 20, 30), (10, 20, 31)),
        ((0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9A00)),
    )
    shown = {8: (10, 20, 30), 16: (0x12, 0x56, 0x9A)}
    for bits, (left, right) in ((8, eight), (16, sixteen)):
        for what, colour, corners in (
            ("left", left, halves(WHITE, shown[bits])),
            ("right", right, halves(shown[bits], WHITE)),
        ):
            data = png_of(left, right, clear(*colour), bits=bits, colours=2)
            found.append(Odd(f"RGB of {bits} bits, clear {what}", data, corners))
    palette = chunk(b"PLTE", bytes((*RED, *GREEN)))
    half = (255 + RED[0]) // 2, (255 + RED[1]) // 2, (255 + RED[2]) // 2
    for bits in (1, 2, 4, 8):
        data = png_of([0], [1], palette, chunk(b"tRNS", b"\x80"), bits=bits, colours=3)
        found.append(Odd(f"palette of {bits} bits, half clear", data, halves(half, GREEN)))
    return found


def wrong_clear_colours() -> list[Odd]:
    """Chunks of transparency that readers pass over."""
    palette = chunk(b"PLTE", bytes((*RED, *GREEN)))
    grey = png_of([40], [200], bits=8, colours=0)
    return [
        Odd(
            "grey, a transparency cut short",
            png_of([40], [200], chunk(b"tRNS", b"\0"), bits=8, colours=0),
            halves(40, 200),
        ),
        Odd(
            "RGB, a transparency cut short",
            png_of(RED, GREEN, chunk(b"tRNS", b"\0\0"), bits=8, colours=2),
            halves(RED, GREEN),
        ),
        Odd(
            "palette, a transparency of too many colours",
            png_of([0], [1], palette, chunk(b"tRNS", bytes(260)), bits=8, colours=3),
            halves(RED, GREEN),
        ),
        Odd(
            "palette, its transparency before it",
            png_of([0], [1], chunk(b"tRNS", b"\0"), palette, bits=8, colours=3),
            halves(RED, GREEN),
        ),
        Odd("transparency behind the pixels", grey[:-12] + clear(40) + grey[-12:], halves(40, 200)),
        Odd(
            "two transparent greys: the first counts",
            png_of([40], [200], clear(40), clear(200), bits=8, colours=0),
            halves(255, 200),
        ),
        Odd(
            "alpha, and a transparent colour",
            png_of((*RED, 255), (*GREEN, 0), clear(*RED), bits=8, colours=6),
            halves(RED, WHITE),
        ),
    ]  # fmt: skip


def depths() -> list[Odd]:
    """Alpha of 16 bits, and 12 bits in 16, which every viewer shows dark."""
    significant = chunk(b"sBIT", b"\x0c")
    return [
        Odd(
            "grey with alpha, 16 bits",
            png_of((0x4000, 0), (0xC000, 0xFFFF), bits=16, colours=4),
            halves(255, 0xC0),
        ),
        Odd(
            "RGB with alpha, 16 bits",
            png_of((0x4000, 0, 0, 0), (0xC000, 0, 0, 0xFFFF), bits=16, colours=6),
            halves(WHITE, (0xC0, 0, 0)),
        ),
        Odd(
            "12 bits in 16",
            png_of([0], [4095], significant, bits=16, colours=0),
            halves(0, 0x0F),
        ),
    ]


def gammas() -> list[Odd]:
    """A gamma that is not the screens' counts, unless a colour space is named."""

    def made(gamma: int, *more: bytes) -> bytes:
        named = chunk(b"gAMA", struct.pack(">L", gamma))
        return png_of((128, 64, 32), (200, 100, 128), named, *more, bits=8, colours=2)

    plain = halves((128, 64, 32), (200, 100, 128))
    linear = halves((188, 137, 99), (229, 168, 188))
    return [
        Odd("a gamma of 1/2.2", made(45_455), plain),
        Odd("a gamma of 1, which is linear", made(100_000), linear),
        Odd("a gamma of 1/1.8", made(55_556), halves((147, 82, 44), (210, 120, 147))),
        Odd("a gamma and sRGB", made(100_000, chunk(b"sRGB", b"\0")), plain),
    ]


def apng_without_still(width_px: int, height_px: int, left_px: int, top_px: int) -> bytes:
    """Quarters as the still picture, which the animation leaves out; its only frame is blue."""
    still = encoded(quadrants(*SIZE_PX), "PNG")
    frame = encoded(Image.new("RGB", (width_px, height_px), BLUE), "PNG")
    place = struct.pack(">LLLLL", 0, width_px, height_px, left_px, top_px)
    return b"".join(
        (
            still[:33], chunk(b"acTL", struct.pack(">LL", 1, 1)), still[33:-12],
            chunk(b"fcTL", place + struct.pack(">HHBB", 1, 10, 0, 0)),
            chunk(b"fdAT", struct.pack(">L", 1) + frame[frame.index(b"IDAT") + 4 : -16]),
            still[-12:],
        )
    )  # fmt: skip


def gif(
    picture: Image.Image,
    *before: bytes,
    screen_px: tuple[int, int],
    at_px: tuple[int, int] = (0, 0),
) -> bytes:
    """A picture somewhere on a screen, with blocks before it."""
    data = encoded(picture.quantize(4), "GIF", interlace=0)
    colours_end = 13 + (6 << (data[10] & 7))
    start = data.index(b",", colours_end)
    screen = data[:6] + struct.pack("<HH", *screen_px) + data[10:colours_end]
    place = b"," + struct.pack("<HHHH", *at_px, *picture.size)
    return screen + b"".join(before) + place + data[start + 9 :]


def control(index: int | None) -> bytes:
    """A GIF's block that makes an index transparent, or none."""
    return b"!\xf9\x04" + bytes((index is not None, 0, 0, index or 0)) + b"\0"


def placed() -> list[Odd]:
    """First frames that do not fill the picture: the rest is transparent, whatever its colour."""
    quarter = Image.new("RGB", (48, 32), BLUE)
    index = quadrants(*SIZE_PX).quantize(4).getpixel((0, 0))
    assert isinstance(index, int)
    corner, whole = (WHITE, WHITE, WHITE, BLUE), quadrants(*SIZE_PX)
    return [
        Odd("GIF, a quarter", gif(quarter, screen_px=SIZE_PX, at_px=(48, 32)), corner),
        Odd(
            "GIF, a quarter, another index transparent",
            gif(quarter, control(3), screen_px=SIZE_PX, at_px=(48, 32)),
            corner,
        ),
        Odd("GIF, beyond its screen", gif(quarter, screen_px=(60, 40), at_px=(48, 32)), corner),
        Odd("GIF, larger than its screen", gif(whole, screen_px=(48, 32)), QUARTERS),
        Odd("GIF, a screen of nothing", gif(whole, screen_px=(0, 0)), QUARTERS),
        Odd(
            "GIF, a transparent index that is taken back",
            gif(whole, control(index), control(None), screen_px=SIZE_PX),
            QUARTERS,
        ),
        Odd("WebP, a quarter", webp_quarter(flags=0x12), corner),
        Odd("WebP, a quarter, and no alpha by its flags", webp_quarter(flags=0x02), corner),
        Odd("APNG without its still picture", apng_without_still(*SIZE_PX, 0, 0), (BLUE,) * 4),
        Odd("APNG, a quarter", apng_without_still(48, 32, 48, 32), corner),
    ]


def riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<L", len(body)) + body + bytes(len(body) % 2)


def _three(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def webp_quarter(flags: int) -> bytes:
    """An animation whose first frame is a blue quarter of a canvas."""
    pixels = encoded(Image.new("RGB", (48, 32), BLUE), "WEBP", lossless=True)[12:]
    # A frame's place is given in steps of two.
    frame = _three(24, 16, 47, 31, 100) + b"\x02" + pixels
    canvas = bytes((flags, 0, 0, 0)) + _three(SIZE_PX[0] - 1, SIZE_PX[1] - 1)
    body = riff(b"VP8X", canvas) + riff(b"ANIM", b"\0\0\xff\xff\0\0") + riff(b"ANMF", frame) * 2
    return riff(b"RIFF", b"WEBP" + body)


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG's."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def jpeg_of(*first: bytes, mode: str = "RGB", **how: bool) -> bytes:
    """Quarters, with other segments than JFIF's or Adobe's at the start."""
    data = encoded(quadrants(*SIZE_PX).convert(mode), "JPEG", quality=95, **how)
    length = int.from_bytes(data[4:6])
    return data[:2] + b"".join(first) + data[4 + length :]


def ycck() -> bytes:
    """As printing programs write: the complement as YCbCr, and black."""
    complement = ImageOps.invert(quadrants(*SIZE_PX))
    bands = [*complement.convert("YCbCr").split(), Image.new("L", SIZE_PX, 255)]
    turned = [band.point([255 - value for value in range(256)]) for band in bands]
    data = encoded(Image.merge("CMYK", turned), "JPEG", quality=95)
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\2" + data[place + 1 :]


def jpegs() -> list[Odd]:
    """What the components mean is told by markers; what stands behind the picture is not of it."""
    whole = jpeg_of(adobe(1))
    noise = np.random.default_rng(7).bytes(30_000)
    wrong = jpeg_of(adobe(0), adobe(1))
    return [
        Odd("JPEG of RGB", jpeg_of(adobe(0), keep_rgb=True), QUARTERS),
        Odd("JPEG of RGB, told by its components' names alone", jpeg_of(keep_rgb=True), QUARTERS),
        Odd("JPEG of two Adobe markers: the last counts", wrong, QUARTERS),
        Odd("JPEG of YCCK", ycck(), QUARTERS),
        Odd(
            "JPEG without its end, with noise behind it",
            whole[:-2] + b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data" + noise + b"SEFT",
            QUARTERS,
        ),
        Odd("JPEG without its end, with another behind it", whole[:-2] + whole + noise, QUARTERS),
        Odd(
            "JPEG without its end, with tables behind it",
            whole[:-2] + b"\xff\xc4\0\x13" + noise,
            QUARTERS,
        ),
    ]


def odd_pictures() -> list[Odd]:
    """Pictures of which we show what a browser shows."""
    return [
        *clear_greys(), *clear_colours(), *wrong_clear_colours(), *depths(), *gammas(),
        *placed(), *jpegs(),
    ]  # fmt: skip
