"""docs/use.md and the SQL of templates/bigquery: views, questions, and the order of versions."""

import re
from pathlib import Path

import pytest

from beam_pipeline.tables import TABLES, question_of, statements
from testudo.commands import export
from testudo.commands.parameters import PARAMETERS
from testudo.view import sql as view

REPOSITORY = Path(__file__).parents[2]
PARAMETER = re.compile(r"@(\w+)")


def test_a_view_begins_by_saying_what_one_row_is() -> None:
    """Who opens it in BigQuery's console reads that first, and so does docs/reference.md."""
    for name, sql in statements("views").items():
        assert question_of(sql).startswith("One row a"), name


def test_parameters_are_those_that_flags_give() -> None:
    """No statement has one that nobody could fill; views have none."""
    for name, sql in statements("queries").items():
        assert set(PARAMETER.findall(sql)) <= set(PARAMETERS), name
    for name, sql in statements("views").items():
        assert not PARAMETER.findall(sql), name


def test_one_order_says_what_is_the_latest() -> None:
    """The document's, in every statement that orders an item's messages by it."""
    text = (REPOSITORY / "docs/use.md").read_text(encoding="utf-8")
    section = text.split("\n## Which is the latest\n")[1]
    documented = section.split("```sql\n")[1].split("\n```")[0]
    of_commands = {"export": export.ROWS} | {
        name.lower(): sql for name, sql in vars(view).items() if isinstance(sql, str)
    }
    everything = statements("views") | statements("queries") | of_commands
    ordered = {}
    for name, sql in everything.items():
        line = " ".join(sql.split())
        if name not in of_commands:  # the view's pages list items as they come
            assert not re.search(r"ORDER BY (?:publish_time|processed_at)", line), name
        if orders := re.findall(r"ORDER BY (COALESCE\(event_time.*?message_id DESC)", line):
            ordered[name] = {*orders}
    owners = {"latest_predictions", "release_predictions", "dead_letter_states", "export"}
    owners |= {"predictions", "compared"}
    assert ordered == {name: {documented} for name in owners}


@pytest.mark.parametrize("name", [*TABLES, *statements("views")])
def test_the_page_for_users_names_every_table_and_view(name: str) -> None:
    """In its section Tables, which leads to the reference."""
    section = (REPOSITORY / "docs/use.md").read_text(encoding="utf-8").split("\n## Tables\n")[1]
    section = section.split("\n## ")[0]
    assert f"`{name}`" in section
    assert "reference.md#views" in section
