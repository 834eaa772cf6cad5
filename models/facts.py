"""What models find out about items; it crosses the graph's edges with them."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional


class ImageFacts(NamedTuple):
    format: str
    width_px: int
    height_px: int
    size_bytes: int


class Encoded(NamedTuple):
    """What a branch's kernel gives for one item.

    `features` is packed as models.features describes, empty where the item has nothing
    for the branch; `facts` goes to the row's column of the branch's name.
    """

    features: bytes
    facts: Mapping[str, Any] | None
    spent_us: Mapping[str, int]  # by step, those that the kernel itself tells apart


class Score(NamedTuple):
    """What a scorer says of one label, or its number, which has `value` alone.

    `chosen` says of one of several labels at once whether the item has it.
    """

    model: str
    label: Optional[str]
    score: Optional[float]  # the label's probability
    chosen: Optional[bool] = None
    value: Optional[float] = None  # in the unit of the numbers that the scorer was trained on

    @property
    def number(self) -> float:
        """What the model put out."""
        found = self.score if self.value is None else self.value
        assert found is not None  # noqa: S101 - for mypy: one of the two is always there
        return found


class Scores(NamedTuple):
    """What the scorers, and the function `decide` of their release, give for one item."""

    scores: list[Score]
    decisions: str = ""  # a JSON object; empty where the release has no such function
