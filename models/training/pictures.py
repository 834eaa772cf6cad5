"""Drawings of marketplace products: one shape in one colour on some background.

Everything that varies comes from the random generator that is passed in, so the
same state of it gives the same bytes (of one version of Pillow).
"""

import colorsys
import io
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple, cast

from PIL import Image, ImageDraw

Points = list[tuple[float, float]]
Colour = tuple[int, int, int]

OVERSAMPLING = 2  # drawn larger and scaled down, for smooth edges

# Hue (0-1), saturation and value of each colour; each drawing varies a little.
HUES: Mapping[str, tuple[float, float, float]] = {
    "red": (0.995, 0.85, 0.80),
    "yellow": (0.145, 0.85, 0.95),
    "green": (0.360, 0.75, 0.58),
    "blue": (0.605, 0.85, 0.78),
    "purple": (0.775, 0.65, 0.62),
    "black": (0.600, 0.10, 0.13),
}


class Part(NamedTuple):
    """A filled outline, or a line of that width; in units of half the product's size."""

    points: Points
    paint: str  # "main", or one of PAINTS
    shade: float = 1.0
    width: float = 0.0


PAINTS: Mapping[str, Colour] = {
    "white": (240, 238, 232),
    "wood": (158, 112, 72),
    "metal": (150, 152, 158),
}


def _oval(x: float, y: float, rx: float, ry: float, start: int = 0, end: int = 360) -> Points:
    """Part of an ellipse, in degrees clockwise from the right."""
    steps = [math.radians(start + (end - start) * step / 24) for step in range(25)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in steps]


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _mug(random: Random) -> list[Part]:
    width, taper = random.uniform(0.42, 0.58), random.uniform(0.0, 0.12)
    foot = width - taper
    return [
        Part(_oval(width, 0.05, 0.34, 0.36, -90, 90), "main", 0.85, 0.13),
        Part([(-width, -0.55), (width, -0.55), (foot, 0.62), (-foot, 0.62)], "main"),
        Part(_oval(0, 0.62, foot, 0.10), "main"),
        Part(_oval(0, -0.55, width, 0.13), "main", 1.25),
        Part(_oval(0, -0.54, width * 0.86, 0.09), "main", 0.55),
    ]


def _shirt(random: Random) -> list[Part]:
    sleeve, hem = random.uniform(0.05, 0.35), random.uniform(0.44, 0.52)
    half = [(0.24, -0.72), (0.50, -0.64), (0.95, -0.20 + sleeve), (0.70, 0.02 + sleeve)]
    half += [(0.50, -0.22), (hem, 0.80)]
    outline = half + [(-x, y) for x, y in reversed(half)]
    buttons = [Part(_oval(0, y / 10, 0.03, 0.03), "white") for y in range(-3, 7, 3)]
    return [
        Part(outline, "main"),
        Part(_oval(0, -0.72, 0.24, 0.18, 0, 180), "main", 0.6),
        Part([(0.50, -0.22), (0.49, 0.1)], "main", 0.7, 0.03),
        Part([(-0.50, -0.22), (-0.49, 0.1)], "main", 0.7, 0.03),
        *(buttons if random.random() < 0.5 else []),
    ]


def _chair(random: Random) -> list[Part]:
    back, seat = random.uniform(0.70, 0.90), random.uniform(0.05, 0.20)
    legs = random.choice(("wood", "metal"))
    return [
        Part([(-0.42, seat), (-0.52, 0.90)], legs, 0.9, 0.09),
        Part([(0.42, seat), (0.52, 0.90)], legs, 0.9, 0.09),
        Part([(-0.26, seat), (-0.30, 0.72)], legs, 0.7, 0.07),
        Part([(0.26, seat), (0.30, 0.72)], legs, 0.7, 0.07),
        Part(_box(-0.40, -back, 0.40, seat - 0.15), "main"),
        Part(_box(-0.30, -back + 0.1, 0.30, seat - 0.25), "main", 0.82),
        Part(
            [(-0.42, seat - 0.12), (0.42, seat - 0.12), (0.56, seat + 0.12), (-0.56, seat + 0.12)],
            "main",
            1.15,
        ),
    ]


def _lamp(random: Random) -> list[Part]:
    top, bottom = random.uniform(0.20, 0.36), random.uniform(0.55, 0.72)
    foot = random.choice(("wood", "metal"))
    return [
        Part([(0, 0), (0, 0.80)], foot, 0.9, 0.09),
        Part(_oval(0, 0.82, 0.36, 0.10), foot),
        Part([(-top, -0.85), (top, -0.85), (bottom, 0.08), (-bottom, 0.08)], "main"),
        Part(_oval(0, 0.08, bottom, 0.10), "main", 0.8),
        Part([(-top * 0.5, -0.85), (-bottom * 0.5, 0.10)], "main", 1.2, 0.03),
        Part([(top * 0.5, -0.85), (bottom * 0.5, 0.10)], "main", 0.85, 0.03),
    ]


def _bag(random: Random) -> list[Part]:
    top, bottom = random.uniform(0.52, 0.64), random.uniform(0.66, 0.82)
    height = random.uniform(0.35, 0.62)
    return [
        Part(_oval(0, -0.20, 0.34, height, 180, 360), "main", 0.7, 0.09),
        Part([(-top, -0.22), (top, -0.22), (bottom, 0.72), (-bottom, 0.72)], "main"),
        Part(
            [(-top, -0.22), (top, -0.22), (top + 0.03, 0.12), (0, 0.30), (-top - 0.03, 0.12)],
            "main",
            0.82,
        ),
        Part(_oval(0, 0.24, 0.07, 0.07), "metal", 1.2),
    ]


def _clock(random: Random) -> list[Part]:
    rim, hour, minute = random.uniform(0.62, 0.72), random.random() * 360, random.random() * 360
    hands = [
        Part([(0, 0), _oval(0, 0, reach, reach, int(angle))[0]], "main", 0.6, 0.07)
        for angle, reach in ((hour, 0.30), (minute, 0.46))
    ]
    marks = [
        Part(_oval(*_oval(0, 0, 0.54, 0.54, angle)[0], 0.035, 0.035), "main", 0.8)
        for angle in range(0, 360, 30)
    ]
    return [
        Part(_oval(-0.5, -0.72, 0.2, 0.2), "main", 0.9),
        Part(_oval(0.5, -0.72, 0.2, 0.2), "main", 0.9),
        Part(_oval(0, 0, rim + 0.2, rim + 0.2), "main"),
        Part(_oval(0, 0, rim - 0.02, rim - 0.02), "white"),
        *marks,
        *hands,
    ]


PRODUCTS: Mapping[str, Callable[[Random], list[Part]]] = {
    "mug": _mug,
    "shirt": _shirt,
    "chair": _chair,
    "lamp": _lamp,
    "bag": _bag,
    "clock": _clock,
}


def draw_picture(
    product: str, colour: str, random: Random, *, width_px: int, height_px: int
) -> bytes:
    """One JPEG of a product of PRODUCTS in a colour of HUES.

    Size, place, angle, proportions, tint, background, noise and JPEG quality
    vary with `random`; the product is always whole and in the picture.
    """
    width, height = width_px * OVERSAMPLING, height_px * OVERSAMPLING
    image = _background(random, width, height)
    half = min(width, height) * random.uniform(0.27, 0.42)
    x = random.uniform(half * 1.1, width - half * 1.1)
    y = random.uniform(half * 1.1, height - half * 1.1)
    angle = math.radians(random.gauss(0, 9))
    flip = random.choice((-1, 1))
    cos, sin = math.cos(angle) * half, math.sin(angle) * half
    main = _tint(colour, random)
    draw = ImageDraw.Draw(image)
    ground = cast("Colour", image.getpixel((int(x), min(height - 1, int(y + half)))))
    draw.polygon(_oval(x, y + half * 0.85, half * 0.9, half * 0.16), fill=_shaded(ground, 0.75))
    for part in PRODUCTS[product](random):
        points = [
            (x + flip * px * cos - py * sin, y + flip * px * sin + py * cos)
            for px, py in part.points
        ]
        fill = _shaded(main if part.paint == "main" else PAINTS[part.paint], part.shade)
        if part.width:
            draw.line(points, fill=fill, width=max(2, int(part.width * half)), joint="curve")
        else:
            draw.polygon(points, fill=fill)
    image = image.reduce(OVERSAMPLING)
    grain = Image.frombytes("L", image.size, random.randbytes(width_px * height_px))
    image = Image.blend(image, grain.convert("RGB"), random.uniform(0.02, 0.09))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=random.randint(60, 92))
    return file.getvalue()


def _background(random: Random, width: int, height: int) -> Image.Image:
    """A soft pattern of pale, greyish tones, sometimes with a floor."""
    hue, value = random.random(), random.uniform(0.62, 0.97)
    tones = [
        _rgb(hue + random.uniform(-0.1, 0.1), random.uniform(0, 0.16), value + step)
        for step in (random.uniform(-0.10, 0.10) for _ in range(9))
    ]
    wall = Image.new("RGB", (3, 3))
    wall.putdata(tones)
    smooth = wall.resize((width // OVERSAMPLING, height // OVERSAMPLING), Image.Resampling.BICUBIC)
    image = smooth.resize((width, height), Image.Resampling.NEAREST)  # no detail to lose
    if random.random() < 0.5:
        floor = Image.new("RGB", image.size, _rgb(random.random(), 0.15, value * 0.8))
        top = int(height * random.uniform(0.6, 0.85))
        image.paste(floor.crop((0, top, width, height)), (0, top))
    return image


def _tint(colour: str, random: Random) -> Colour:
    hue, saturation, value = HUES[colour]
    return _rgb(
        hue + random.uniform(-0.018, 0.018),
        saturation + random.uniform(-0.12, 0.12),
        value + random.uniform(-0.08, 0.08),
    )


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    unit = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return (round(unit[0] * 255), round(unit[1] * 255), round(unit[2] * 255))


def _shaded(colour: Colour, shade: float) -> Colour:
    red, green, blue = (min(255, round(one * shade + (20 if shade > 1 else 0))) for one in colour)
    return red, green, blue
