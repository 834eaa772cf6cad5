"""docs/hostile-inputs.md and the table of hostile kinds say the same."""

import re
from pathlib import Path

from rigs.hostile.table import HOSTILE

from loadtest.traffic.poison import SCORED
from models.bare_images import MAX_PARTS
from models.failures import Reason
from models.features import MAX_MARKS, MAX_SIDE_PX, ImageLimits
from models.image_files import MAX_SCANNED_PIXELS

DOCUMENT = Path(__file__).parents[2] / "docs/hostile-inputs.md"
FEWEST_KINDS = 45


def test_the_table_of_the_document_is_the_table_of_the_code() -> None:
    """Kind by kind, in the same order: what it is, and what becomes of it."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| `(\w+)` \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == [(kind.name, kind.what, kind.outcome) for kind in HOSTILE.values()]
    assert len(rows) >= FEWEST_KINDS


def test_kinds_are_named_and_described_in_one_line() -> None:
    """A name in snake case, and words that stand in a table's cell."""
    for name, kind in HOSTILE.items():
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)
        assert kind.name == name
        assert kind.what
        assert not {"|", "\n"} & set(kind.what), name
        assert kind.outcome in {SCORED, *Reason}


def test_the_limits_that_the_document_names_are_the_codes() -> None:
    """Each number of its table of bounds, as the code has it."""
    text = DOCUMENT.read_text().replace(",", "")
    limits = ImageLimits()
    for number in (
        limits.max_bytes, limits.max_pixels, MAX_SIDE_PX, MAX_PARTS, MAX_SCANNED_PIXELS, MAX_MARKS,
    ):  # fmt: skip
        assert re.search(rf"\b{number}\b", text), number
