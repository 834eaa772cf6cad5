"""Where the design bends: docs/capacity.md calculates as the code does, from figures that hold."""

from pathlib import Path

import pytest

from loadtest.capacity.bends import (
    BY_URI_BYTES,
    CPU_S,
    INLINE_BYTES,
    JOIN_KEPT_S,
    Bend,
    in_order,
    in_words,
    prefix_digits,
    ramp_min,
)
from transforms.joins import LATENESS_S, WINDOW_S

DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_shows_what_is_calculated() -> None:
    """The table of docs/capacity.md, in the order in which the limits come up."""
    text = (DOCS / "capacity.md").read_text(encoding="utf-8")
    rows = text.split("| items a second |")[1].split("\n\n")[0].splitlines()[2:]
    shown = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert shown == [bend.cells() for bend in in_order()]


def test_figures_are_those_of_the_cost_table_and_the_configuration() -> None:
    """Whoever measures again, or changes a default, changes both."""
    cost = (DOCS / "cost.md").read_text(encoding="utf-8")
    assert f"| items a CPU second | {1 / CPU_S:.0f} |" in cost
    assert f"| message | {INLINE_BYTES:,} B |" in cost
    assert f"| message, by URI | {BY_URI_BYTES} B |" in cost
    assert WINDOW_S + LATENESS_S == JOIN_KEPT_S


def test_a_limit_bends_where_it_is_used_up() -> None:
    """Ten a second each, of a thousand; without a limit nothing bends."""
    assert Bend("writes", 10, 1_000).cells()[-1] == "100"
    assert Bend("cores", 1, float("inf")).cells()[-1] == "by its price"


@pytest.mark.parametrize(
    ("objects_s", "digits", "minutes"),
    [(500, 0, 0), (1_000, 0, 0), (16_000, 1, 80), (40_000, 2, 106)],
)
def test_names_spread_writes_and_writes_grow_slowly(
    objects_s: float, digits: int, minutes: float
) -> None:
    """A digit of sixteen values is sixteen times the writes; each doubling takes 20 minutes."""
    assert prefix_digits(objects_s) == digits
    assert ramp_min(objects_s) == pytest.approx(minutes, abs=1)


@pytest.mark.parametrize(
    ("value", "words"), [(0.34, "0.34"), (4.04, "4.0"), (49.48, "49"), (358_400, "360,000")]
)
def test_numbers_have_two_digits(value: float, words: str) -> None:
    """More would be believed."""
    assert in_words(value) == words
