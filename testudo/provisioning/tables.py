"""Datasets, tables and views, through BigQuery's client (which BIGQUERY_EMULATOR_HOST leads)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from testudo.provisioning.provider import Change, Provider, fixed, needs_role
from testudo.provisioning.resources import Fields, Resource

ROLE = needs_role("roles/bigquery.dataOwner")
RELAXED = ("NULLABLE", "REPEATED")


def read_dataset(resource: Resource) -> Fields | None:
    with _client(resource) as client:
        try:
            found: Fields = client.get_dataset(_id(resource)).to_api_repr()
        except NotFound:
            return None
        return found


def create_dataset(resource: Resource) -> None:
    with _client(resource) as client:
        client.create_dataset(_dataset(resource))


def change_dataset(resource: Resource, fields: Sequence[str]) -> None:
    with _client(resource) as client:
        client.update_dataset(_dataset(resource), fields)


def _dataset(resource: Resource) -> bigquery.Dataset:
    project, dataset = _id(resource).split(".")
    reference = {"projectId": project, "datasetId": dataset}
    return bigquery.Dataset.from_api_repr({"datasetReference": reference, **resource.fields})


def read_table(resource: Resource) -> Fields | None:
    with _client(resource) as client:
        try:
            found: dict[str, Any] = client.get_table(_id(resource)).to_api_repr()
        except NotFound:
            return None
        if "schema" in resource.fields:
            found["schema"] = {"fields": _plain(found.get("schema", {}).get("fields", []))}
        return found


def create_table(resource: Resource) -> None:
    with _client(resource) as client:
        client.create_table(_table(resource))


def change_table(resource: Resource, fields: Sequence[str]) -> None:
    with _client(resource) as client:
        client.update_table(_table(resource), fields)


def _table(resource: Resource) -> bigquery.Table:
    project, dataset, table = _id(resource).split(".")
    reference = {"projectId": project, "datasetId": dataset, "tableId": table}
    return bigquery.Table.from_api_repr({"tableReference": reference, **resource.fields})


def stuck_table(change: Change) -> str:
    """BigQuery adds columns and makes them nullable; it takes none away and changes no type."""
    if change.field == "timePartitioning":
        return "a table's partitions stay: copy it to one that is partitioned as desired"
    if change.field != "schema":
        return ""
    desired = {field["name"]: field for field in change.new}
    found = {field["name"]: field for field in change.old}
    odd = [
        *(f"{name} is there and not desired" for name in found if name not in desired),
        *(
            f"{name} would be new, and must be NULLABLE then"
            for name, field in desired.items()
            if name not in found and field["mode"] not in RELAXED
        ),
        *(
            f"{name} cannot become {field['mode']} {field['type']}"
            for name, field in desired.items()
            if name in found and not _becomes(found[name], field)
        ),
    ]
    return "; ".join(odd)


def _becomes(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    relaxed = old["mode"] == new["mode"] or (old["mode"], new["mode"]) == ("REQUIRED", "NULLABLE")
    return bool(old["type"] == new["type"] and relaxed)


def _plain(fields: Sequence[Mapping[str, Any]]) -> list[Fields]:
    """Columns as the client itself writes them: one name a type, every mode said."""
    return [bigquery.SchemaField.from_api_repr(dict(field)).to_api_repr() for field in fields]


def _id(resource: Resource) -> str:
    """PROJECT.DATASET or PROJECT.DATASET.TABLE."""
    return ".".join(resource.name.split("/")[1::2])


@contextmanager
def _client(resource: Resource) -> Iterator[bigquery.Client]:
    with bigquery.Client(project=resource.name.split("/")[1]) as client:
        yield client


DATASETS = Provider(
    read_dataset,
    create_dataset,
    change_dataset,
    ROLE,
    fixed({"location": "a dataset stays where it is: name another dataset"}),
)
TABLES = Provider(read_table, create_table, change_table, ROLE, stuck_table)
VIEWS = Provider(read_table, create_table, change_table, ROLE)
