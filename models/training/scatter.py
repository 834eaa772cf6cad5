"""A picture of numbers: what items are, from left to right, and what they were given, upwards."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE_PX = 420
MARGIN_PX = 60
DOT_PX = 2
MAX_DRAWN = 5_000
LETTER_PX = 12


def draw_scatter(answers: np.ndarray, found: np.ndarray) -> Image.Image:
    """A dot an item, both (n,), n >= 1; on the diagonal an item was given what it is.

    The axes have the range of the answers; what is beyond it lies on the edge.
    """
    image = Image.new("RGB", (SIDE_PX + 2 * MARGIN_PX,) * 2, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LETTER_PX)
    low, high = float(answers.min()), float(answers.max())
    first, last = MARGIN_PX, MARGIN_PX + SIDE_PX
    draw.rectangle((first, first, last, last), outline="#dddddd")
    draw.line((first, last, last, first), fill="#bbbbbb")
    span = max(high - low, 1e-9)
    places = [np.clip((one[:MAX_DRAWN] - low) / span, 0, 1) * SIDE_PX for one in (answers, found)]
    for right, up in zip(*places, strict=True):
        x, y = first + right, last - up
        draw.ellipse((x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX), fill="#3267c8")
    draw.text((first, last + 8), f"{low:.4g}", "black", font)
    draw.text((last, last + 8), f"{high:.4g}", "black", font, "ra")
    said = "to the right: what it is\nupwards: what it was given"
    draw.text((8, 8), said, "black", font)
    return image
