"""What an environment has in BigQuery: dataset, tables, views, as templates/bigquery has them."""

from typing import Any

from beam_pipeline.tables import NAMED, TABLES, clustering_of, fill, statements, table_schema
from testudo.environment import Environment
from testudo.provisioning.resources import Fields, Kind, Resource, labels_of


def warehouse(environment: Environment) -> list[Resource]:
    """Tables keep their rows: what expires, and when, is for who owns the data to set."""
    dataset = f"projects/{environment.project}/datasets/{environment.dataset}"
    fields: dict[str, Any] = {
        "location": environment.dataset_location,
        "description": f"Testudo {environment.name}: outcomes of the items",
        "labels": labels_of(environment),
    }
    tables = [
        Resource(Kind.TABLE, f"{dataset}/tables/{name}", _table(name, partition), (dataset,))
        for name, partition in TABLES.items()
    ]
    views = [
        Resource(
            Kind.VIEW,
            f"{dataset}/tables/{name}",
            _view(environment, sql),
            (dataset, *(f"{dataset}/tables/{read}" for read in sorted(set(NAMED.findall(sql))))),
        )
        for name, sql in statements("views").items()
    ]
    return [Resource(Kind.DATASET, dataset, fields), *tables, *views]


def _table(name: str, partition: str) -> Fields:
    return {
        "schema": {"fields": [field.to_api_repr() for field in table_schema(name)]},
        "timePartitioning": {"type": "DAY", "field": partition},
        "clustering": {"fields": clustering_of(name)},
    }


def _view(environment: Environment, sql: str) -> Fields:
    return {"view": {"query": fill(sql, environment.dataset), "useLegacySql": False}}
