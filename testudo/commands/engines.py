"""What runs the named queries: BigQuery, or DuckDB over the files of a files-mode run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import duckdb
from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter, SchemaField

from beam_pipeline.tables import TABLES, fill, statements, table_schema
from testudo.commands.dialect import SCHEMA, to_duckdb
from testudo.commands.parameters import kind_of, values_for
from testudo.commands.rewrites import MACROS

DUCK_TYPES = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "BYTES": "BLOB",
    "BOOLEAN": "BOOLEAN",
}
NOTHING_GIVEN: Mapping[str, Any] = {}


class Answer(NamedTuple):
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Engine(Protocol):
    """Runs a BigQuery statement in which {dataset} stands for the dataset.

    `given` holds values of its parameters, as @since; the others have their default.
    """

    def ask(self, sql: str, given: Mapping[str, Any] = NOTHING_GIVEN) -> Answer: ...


class BigQueryEngine:
    def __init__(self, client: Client, dataset: str) -> None:
        self.client = client
        self._dataset = dataset

    def ask(self, sql: str, given: Mapping[str, Any] = NOTHING_GIVEN) -> Answer:
        parameters = [
            ScalarQueryParameter(name, kind_of(value), value)
            for name, value in values_for(sql, given).items()
        ]
        settings = QueryJobConfig(query_parameters=parameters)
        result = self.client.query_and_wait(fill(sql, self._dataset), job_config=settings)
        return Answer(
            [field.name for field in result.schema], [tuple(row.values()) for row in result]
        )


class FilesEngine:
    """The same tables and views over `predictions-*.jsonl` and `dead_letters-*.jsonl`.

    What a statement says must have BigQuery's meaning here: else SqlError.

    `tables` adds further JSON Lines files as tables, by name.
    """

    def __init__(self, output: Path, tables: Mapping[str, Path] | None = None) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("CREATE SCHEMA files")
        self._connection.execute(MACROS)
        for name in TABLES:
            columns = {field.name: duck_type(field) for field in table_schema(name)}
            listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            self._connection.execute(f"CREATE TABLE files.{name} ({listed})")
            for path in sorted(output.glob(f"{name}-*.jsonl")):
                rows = self._connection.read_json(
                    str(path), format="newline_delimited", columns=columns
                )
                rows.insert_into(f"files.{name}")
        for name, path in (tables or {}).items():
            rows = self._connection.read_json(str(path), format="newline_delimited")
            rows.create(f"files.{name}")
        for name, sql in statements("views").items():
            self._connection.execute(f"CREATE VIEW files.{name} AS {to_duckdb(fill(sql, SCHEMA))}")
        self._connection.execute("SET enable_external_access = false")  # tables are all there is

    def ask(self, sql: str, given: Mapping[str, Any] = NOTHING_GIVEN) -> Answer:
        cursor = self._connection.execute(to_duckdb(fill(sql, SCHEMA)), values_for(sql, given))
        return Answer([column[0] for column in cursor.description or ()], cursor.fetchall())


def duck_type(field: SchemaField) -> str:
    if field.field_type == "RECORD":
        parts = ", ".join(f"{part.name} {duck_type(part)}" for part in field.fields)
        kind = f"STRUCT({parts})"
    else:
        kind = DUCK_TYPES[field.field_type]
    return kind + ("[]" if field.mode == "REPEATED" else "")
