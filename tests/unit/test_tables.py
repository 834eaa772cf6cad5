"""SQL of views and queries: filled with the name of a dataset, and nothing else."""

import pytest

from beam_pipeline.tables import (
    NAMED,
    TABLES,
    TENANTS_TABLES,
    clustering_of,
    fill,
    question_of,
    statements,
    table_schema,
)


@pytest.mark.parametrize("dataset", ["testudo", "my-project.testudo", "A_1"])
def test_a_dataset_is_put_in(dataset: str) -> None:
    """With or without its project, at every place that names it."""
    assert fill("`{dataset}.a` JOIN `{dataset}.b`", dataset) == f"`{dataset}.a` JOIN `{dataset}.b`"


@pytest.mark.parametrize(
    "dataset",
    ["", "a.b.c", "x`; DROP TABLE y", "my project.a", "a\n", "My-Project.a", "{dataset}", "a-b"],
)
def test_anything_else_is_refused(dataset: str) -> None:
    """A name goes into SQL as text, so it must be a name."""
    with pytest.raises(ValueError, match="is not DATASET or"):
        fill("SELECT * FROM `{dataset}.a`", dataset)


def test_every_statement_says_what_it_answers() -> None:
    """The first line of each is a comment for people."""
    for kind in ("views", "queries", "access"):
        assert statements(kind)
        for sql in statements(kind).values():
            assert sql.startswith("-- ")
            assert len(question_of(sql)) > 10


def test_tables_have_the_column_that_they_are_partitioned_by() -> None:
    """A required time or day each."""
    for table, column in TABLES.items():
        (field,) = [one for one in table_schema(table) if one.name == column]
        assert field.field_type in {"TIMESTAMP", "DATE"}
        assert field.mode == "REQUIRED"


def test_tables_have_the_columns_that_they_are_clustered_by() -> None:
    """And row access is set on just those that have tenants."""
    for table in TABLES:
        columns = {one.name for one in table_schema(table)}
        assert set(clustering_of(table)) <= columns
        assert ("tenant_id" in columns) == (table in TENANTS_TABLES)


def test_a_view_stands_after_those_that_it_reads() -> None:
    """So that they can be created one after the other; and each table that one names is there."""
    there = set(TABLES)
    for name, sql in statements("views").items():
        assert set(NAMED.findall(sql)) <= there, name
        there.add(name)
    for name, sql in statements("queries").items():
        assert set(NAMED.findall(sql)) <= there, name
