"""SQL of views and queries: filled with the name of a dataset, and nothing else."""

import pytest

from beam_pipeline.tables import TABLES, fill, question_of, statements, table_schema


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
    for kind in ("views", "queries"):
        assert statements(kind)
        for sql in statements(kind).values():
            assert sql.startswith("-- ")
            assert len(question_of(sql)) > 10


def test_tables_have_the_column_that_they_are_partitioned_by() -> None:
    """A required TIMESTAMP each."""
    for table, column in TABLES.items():
        (field,) = [one for one in table_schema(table) if one.name == column]
        assert (field.field_type, field.mode) == ("TIMESTAMP", "REQUIRED")
