"""Measures of answers on held-out items: intervals, calibration, a confusion matrix."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Z_95 = 1.959964  # standard deviations that 95 % of a normal distribution lie within
BINS = 10
MAX_DRAWN = 40  # labels; a picture of more is read by nobody
CELL_PX = 26
MARGIN_PX = 170
LETTER_PX = 12
MAX_LETTERS = 22  # of a label's name

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count`, 0 to 1."""
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, Z_95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = Z_95 / (1 + z2) * math.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def paired_difference(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """How much larger the share of True is after than before, of the same items, bool (n,).

    With its 95 % interval of Agresti and Min, which holds for few items too: only those that
    changed count, half of one more in each direction.
    """
    count = len(before) + 2
    gained, lost = (float(one.sum()) + 0.5 for one in (after & ~before, before & ~after))
    middle = (gained - lost) / count
    half = Z_95 / count * math.sqrt(gained + lost - (gained - lost) ** 2 / count)
    share = float(after.mean() - before.mean()) if len(before) else 0.0
    return round(share, 4), round(max(-1.0, middle - half), 4), round(min(1.0, middle + half), 4)


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean of numbers (n,) with its 95 % interval; of one it is boundless."""
    if len(values) <= 1:
        return 0.0, -math.inf, math.inf
    middle, half = float(values.mean()), Z_95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return round(middle, 4), round(middle - half, 4), round(middle + half, 4)


def squared_errors(scores: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Brier's score of each item, 0 (sure and right) to 2 (sure and wrong), (n,).

    Of scores (n, labels); an answer of -1 is a label that they do not have.
    """
    wanted = np.zeros_like(scores)
    known = np.flatnonzero(answers >= 0)
    wanted[known, answers[known]] = 1
    found: np.ndarray = ((scores - wanted) ** 2).sum(axis=1)
    return found


def calibration_error(scores: np.ndarray, answers: np.ndarray) -> float:
    """Expected calibration error of scores (n, labels): how far the highest score is, on
    average over BINS of it, from the share of right answers."""
    highest = scores.max(axis=1)
    right = scores.argmax(axis=1) == answers
    numbers = np.minimum((highest * BINS).astype(int), BINS - 1)
    gaps = [
        abs(highest[numbers == one].mean() - right[numbers == one].mean()) * (numbers == one).mean()
        for one in np.unique(numbers)
    ]
    return round(float(sum(gaps)), 4)


def confusion(answers: np.ndarray, found: np.ndarray, labels: int) -> np.ndarray:
    """How often an item of each label (row) was given each label (column)."""
    counts = np.bincount(answers * labels + found, minlength=labels**2)
    return counts.reshape(labels, labels)


def draw_confusion(labels: Sequence[str], counts: np.ndarray) -> Image.Image:
    """Rows are what items are, columns what they were given; the darker, the larger the share.

    Of many labels the MAX_DRAWN commonest are shown.
    """
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MAX_DRAWN])
    counts = counts[np.ix_(shown, shown)]
    side = MARGIN_PX + CELL_PX * len(shown) + CELL_PX
    image = Image.new("RGB", (side, side), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LETTER_PX)
    totals = np.maximum(counts.sum(axis=1), 1)
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            share = count / totals[row]
            corner = (MARGIN_PX + column * CELL_PX, MARGIN_PX + row * CELL_PX)
            end = (corner[0] + CELL_PX - 1, corner[1] + CELL_PX - 1)
            tone = 255 - round(205 * share)
            hue = (tone, 255 - round(110 * share), 255) if row == column else (255, tone, tone)
            draw.rectangle((*corner, *end), fill=hue, outline="#dddddd")
            if count:
                middle = (corner[0] + CELL_PX / 2, corner[1] + CELL_PX / 2)
                draw.text(middle, str(count), "black", font, "mm")
    _name_cells(image, [labels[number] for number in shown], font)
    return image


def _name_cells(image: Image.Image, labels: Sequence[str], font: _Font) -> None:
    """Names of rows end at the cells; those of columns begin there and read upwards."""
    image.paste(_names(labels, font, "rm", MARGIN_PX - 10), (0, MARGIN_PX))
    image.paste(_names(labels, font, "lm", 10).rotate(90, expand=True), (MARGIN_PX, 0))
    said = "rows: what it is\ncolumns:\nwhat it was given"
    ImageDraw.Draw(image).text((8, 8), said, "black", font)


def _names(labels: Sequence[str], font: _Font, anchor: str, start_px: int) -> Image.Image:
    names = Image.new("RGB", (MARGIN_PX, CELL_PX * len(labels)), "white")
    for number, label in enumerate(labels):
        at = (start_px, CELL_PX * (number + 0.5))
        ImageDraw.Draw(names).text(at, label[:MAX_LETTERS], "black", font, anchor)
    return names
