"""The BigQuery side as data: schemas, views and named queries of templates/bigquery."""

import json
import re
from graphlib import TopologicalSorter
from importlib import resources

from google.cloud.bigquery import SchemaField

# Table -> the column that it is partitioned by. The job writes the outcomes, `testudo replay` the
# replays, `testudo costs` the job costs.
OUTCOMES = {"predictions": "processed_at", "dead_letters": "failed_at"}
TABLES = {**OUTCOMES, "replays": "replayed_at", "job_costs": "day"}
TENANTS_TABLES = (*OUTCOMES, "replays")  # have the column tenant_id; row access is set on them
DATASET = re.compile(r"([a-z][a-z0-9-]{4,28}[a-z0-9]\.)?\w{1,1024}")
NAMED = re.compile(r"`\{dataset\}\.(\w+)`")


def table_schema(name: str) -> list[SchemaField]:
    text = _folder().joinpath(f"{name}.json").read_text(encoding="utf-8")
    return [SchemaField.from_api_repr(field) for field in json.loads(text)]


def clustering_of(table: str) -> list[str]:
    return ["tenant_id", "item_id"] if table in TENANTS_TABLES else ["job_id"]


def statements(kind: str) -> dict[str, str]:
    """The SQL of all `views`, `queries` or `access`, by name.

    A view stands after those that it reads, so that they can be created in this order.
    """
    found = {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in sorted(_folder().joinpath(kind).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    }
    if kind != "views":
        return found
    reads = {
        name: [one for one in NAMED.findall(sql) if one in found] for name, sql in found.items()
    }
    return {name: found[name] for name in TopologicalSorter(reads).static_order()}


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
