"""Facts that models find out about items: they cross the graph's edges with them."""

from typing import NamedTuple


class ImageFacts(NamedTuple):
    format: str
    width_px: int
    height_px: int
    size_bytes: int


class TextFacts(NamedTuple):
    length_chars: int


class Score(NamedTuple):
    model: str
    label: str
    score: float
