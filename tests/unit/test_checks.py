"""Start checks: which tables take the rows that the pipeline writes."""

from pathlib import Path

import pytest
from google.cloud.bigquery import SchemaField

from beam_pipeline.checks import release_problems, schema_problems
from beam_pipeline.tables import OUTCOMES, table_schema
from models.release import Pointer, write_pointer

WANTED = [
    SchemaField("item_id", "STRING"),
    SchemaField("scores", "RECORD", "REPEATED", fields=[SchemaField("score", "FLOAT", "REQUIRED")]),
]
SCORES = SchemaField(
    "scores", "STRUCT", "REPEATED", fields=[SchemaField("score", "FLOAT64", "NULLABLE")]
)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_table_of_our_own_schema_is_right(name: str) -> None:
    """Whatever we create passes our own check."""
    assert schema_problems(table_schema(name), table_schema(name)) == []


def test_a_table_may_be_wider_and_name_its_types_as_sql_does() -> None:
    """Columns of others, less strict modes and other capitals take every row of ours."""
    found = [SchemaField("note", "STRING"), SCORES, SchemaField("ITEM_ID", "STRING", "NULLABLE")]
    assert schema_problems(WANTED, found) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([SCORES], "has no column item_id"),
        (
            [SchemaField("item_id", "INT64"), SCORES],
            "has column item_id as INTEGER, must be STRING",
        ),
        (
            [SchemaField("item_id", "STRING", "REPEATED"), SCORES],
            "has column item_id as REPEATED, must be NULLABLE",
        ),
        (
            [SchemaField("item_id", "STRING", "REQUIRED"), SCORES],
            "has column item_id as REQUIRED, must be NULLABLE",
        ),
        (
            [
                SchemaField("item_id", "STRING"),
                SchemaField("scores", "RECORD", "REPEATED", fields=[SchemaField("x", "STRING")]),
            ],
            "has no column scores.score",
        ),
        (
            [SchemaField("item_id", "STRING"), SCORES, SchemaField("note", "STRING", "REQUIRED")],
            "has column note as REQUIRED, which no row has",
        ),
    ],
)
def test_a_table_that_would_refuse_rows_is_told_by_its_column(
    found: list[SchemaField], problem: str
) -> None:
    """At every depth."""
    assert schema_problems(WANTED, found) == [problem]


@pytest.mark.parametrize(("tenants", "warnings"), [(9, 0), (10, 1)])
def test_many_releases_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tenants: int, warnings: int
) -> None:
    """Each stays loaded in every worker process: beyond ten the memory is told."""
    chosen = {f"tenant-{number}": f"release-{number}" for number in range(tenants)}
    write_pointer(str(tmp_path), Pointer("release", tenants=chosen))
    assert len(release_problems(str(tmp_path), 1)) == tenants + 1  # none of them is there
    assert ["660 MB" in one for one in caplog.messages] == [True] * warnings
