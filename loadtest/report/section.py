"""What a page consists of: sections with a verdict, numbers in tables, and charts."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Judged(enum.Enum):
    """A verdict's tone; each has a sign of its own, so that colour says nothing alone."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


class Verdict(NamedTuple):
    judged: Judged
    head: str  # a few words
    words: str  # sentences


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of ready text. The first column heads its row, the others are numbers or words."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()  # columns that are words: they stand to the left


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart, and in one sentence what it shows."""

    title: str
    says: str  # screen readers have it too
    chart: Any  # of altair
    height_px: int = 240

    def spec(self) -> Mapping[str, Any]:
        """The Vega-Lite specification, which takes its container's width."""
        sized = self.chart.properties(
            width="container", height=self.height_px, description=self.says
        )
        made: Mapping[str, Any] = sized.to_dict()
        return made


@dataclass(frozen=True, kw_only=True)
class Section:
    anchor: str
    title: str
    verdict: Verdict
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    copied: str = ""  # text that a button copies
    points: Sequence[str] = field(default=())  # a list of sentences, under `points_title`
    points_title: str = ""
