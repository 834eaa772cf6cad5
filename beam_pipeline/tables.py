"""The BigQuery side as data: schemas, views and named queries of templates/bigquery."""

import json
import re
from importlib import resources

from google.cloud.bigquery import SchemaField

# Table -> the time that it is partitioned by. The job writes the outcomes, `testudo replay` the
# replays.
OUTCOMES = {"predictions": "processed_at", "dead_letters": "failed_at"}
TABLES = {**OUTCOMES, "replays": "replayed_at"}
DATASET = re.compile(r"([a-z][a-z0-9-]{4,28}[a-z0-9]\.)?\w{1,1024}")


def table_schema(name: str) -> list[SchemaField]:
    text = _folder().joinpath(f"{name}.json").read_text(encoding="utf-8")
    return [SchemaField.from_api_repr(field) for field in json.loads(text)]


def statements(kind: str) -> dict[str, str]:
    """The SQL of all `views` or `queries`, by name."""
    return {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in sorted(_folder().joinpath(kind).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    }


def fill(sql: str, dataset: str) -> str:
    """Put the dataset's name in. Raises ValueError for anything but a plain name."""
    if not DATASET.fullmatch(dataset):
        raise ValueError(f"{dataset!r} is not DATASET or PROJECT.DATASET")
    return sql.replace("{dataset}", dataset)


def question_of(sql: str) -> str:
    """What a query answers: its first line, a comment."""
    return sql.splitlines()[0].removeprefix("--").strip()


def _folder() -> resources.abc.Traversable:
    return resources.files("templates").joinpath("bigquery")
