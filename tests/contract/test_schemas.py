"""BigQuery schemas against the rows that are written: names, nesting, types, nulls."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from builders import dead_letter, failure, letter, scored
from google.cloud.bigquery import SchemaField

from beam_pipeline.io.writers import rejected_row
from beam_pipeline.tables import OUTCOMES, TABLES, table_schema
from models.facts import Score
from models.failures import Failure, Reason, Stage
from testudo.cloud.costs import JobDay, Usage, cost_row
from testudo.cloud.prices import read_prices
from testudo.commands.resend import Sent, replay_row
from transforms.outcomes import dead_letter_row, prediction_row
from transforms.parsing import reject

from builders import ARRIVAL, message  # isort: skip

TYPES = {
    "STRING": str, "INTEGER": int, "FLOAT": (int, float), "BYTES": bytes, "BOOLEAN": bool,
}  # fmt: skip

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REPLAYED = Sent(letter(), "message-2", NOW)
COSTS = cost_row(
    JobDay("job-1", "testudo", "us-central1", NOW.date()), NOW, Usage(), read_prices("us-central1")
)
SCORES = [
    Score("category", "mug", 0.75),
    Score("tags", "new", 0.5, chosen=True),
    Score("price", None, None, value=12.5),
]
FULL = {
    "predictions": prediction_row(
        scored()._replace(decisions_json='{"action":"review"}', scores=SCORES)
    ),
    "dead_letters": dead_letter_row(dead_letter(failure(Stage.IMAGE), failure(Stage.TEXT))),
    "replays": replay_row(REPLAYED),
    "job_costs": COSTS,
}
BARE = {
    "predictions": prediction_row(
        scored(facts={}, features={"image": b"", "text": b""}, spent_us={})
    ),
    "dead_letters": dead_letter_row(
        reject(message(b"{"), ARRIVAL, Failure(Stage.PARSE, Reason.NOT_JSON, ""))
    ),
    "replays": replay_row(REPLAYED._replace(dead_letter=letter(item_id="", tenant_id=""))),
    "job_costs": COSTS,
}


def assert_fits(value: Any, field: SchemaField, path: str) -> None:
    """The value is one that BigQuery takes for the field, down to the last leaf."""
    if field.mode == "REPEATED":
        assert isinstance(value, list), path
        for one in value:
            assert_fits_once(one, field, f"{path}[]")
    elif value is None:
        assert field.mode == "NULLABLE", path
    else:
        assert_fits_once(value, field, path)


def assert_fits_once(value: Any, field: SchemaField, path: str) -> None:
    if field.field_type == "RECORD":
        assert_row(value, field.fields, path)
    elif field.field_type == "TIMESTAMP":
        assert datetime.fromisoformat(value).tzinfo is not None, path
    elif field.field_type == "DATE":
        assert date.fromisoformat(value), path
    else:
        assert isinstance(value, TYPES[field.field_type]), path
        assert isinstance(value, bool) == (field.field_type == "BOOLEAN"), path


def assert_row(row: dict[str, Any], fields: Sequence[SchemaField], path: str) -> None:
    assert [field.name for field in fields] == list(row) or {f.name for f in fields} == set(row)
    for field in fields:
        assert_fits(row[field.name], field, f"{path}.{field.name}")


@pytest.mark.parametrize("table", TABLES)
def test_a_full_row_is_its_schema(table: str) -> None:
    """Each column is written, each key has a column, with the type of its value."""
    assert_row(FULL[table], table_schema(table), table)


@pytest.mark.parametrize("table", TABLES)
def test_a_bare_row_is_taken_too(table: str) -> None:
    """What may be absent is nullable: sides, texts, ids of a message that is no item."""
    assert_row(BARE[table], table_schema(table), table)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described(table: str) -> None:
    """Who queries a table reads there what a column means."""
    pending = list(table_schema(table))
    while pending:
        field = pending.pop()
        assert field.description, field.name
        assert field.description.endswith("."), field.name
        pending += field.fields


@pytest.mark.parametrize("table", OUTCOMES)
def test_the_row_that_a_table_refused_is_kept_whole(table: str) -> None:
    """With a reason of the closed set and the ids to find it by."""
    kept = rejected_row((table, FULL[table], [{"reason": "invalid"}]))
    assert kept["row"] == FULL[table]
    assert (kept["stage"], kept["reason"]) == (Stage.SINK, Reason.ROW_REJECTED)
    assert kept["item_id"] == "item-1"
    assert "invalid" in kept["detail"]
