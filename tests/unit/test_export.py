"""`testudo export`: what BigQuery is asked to write, and what is written here."""

import pyarrow as pa
import pytest

from testudo.cli import main
from testudo.commands import export
from testudo.errors import CommandError
from transforms.outcomes import ARCHIVE_SCHEMA


def test_bigquery_writes_many_files_of_a_new_name() -> None:
    """Below the day's folder, as Parquet; values of a person are parameters."""
    folder = "gs://bucket/exports/dt=2026-11-24"
    first, second = (export.export_statement("my-project.testudo", folder) for _ in range(2))
    assert first.startswith("EXPORT DATA OPTIONS (uri = 'gs://bucket/exports/dt=2026-11-24/")
    assert "-*.parquet', format = 'PARQUET'" in first
    assert "FROM `my-project.testudo.predictions`" in first
    assert first != second


@pytest.mark.parametrize("folder", ["gs://b/o'clock", "gs://b/a\\", "gs://b/*", "gs://b/a\nb"])
def test_a_folder_that_no_statement_can_hold_is_refused(folder: str) -> None:
    with pytest.raises(CommandError, match="--to"):
        export.export_statement("testudo", folder)


def test_the_columns_are_those_of_the_archive() -> None:
    """Who reads files mode's Parquet reads an export too."""
    named = export.ROWS.partition("SELECT")[2].partition("FROM")[0].replace("\n", " ")
    assert [one.strip() for one in named.split(",")] == ARCHIVE_SCHEMA.names


def test_batches_are_put_together_into_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a file has enough rows; the last has what is left, and an empty batch makes none."""
    monkeypatch.setattr(export, "FILE_ROWS", 4)
    batches = [pa.record_batch({"a": list(range(size))}) for size in (3, 0, 2, 1)]
    assert [table.num_rows for table in export._tables(batches)] == [5, 1]
    assert list(export._tables([])) == []


@pytest.mark.parametrize("wrong", ["yesterday", "2026-13-01", ""])
def test_a_day_that_is_none_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", f"--day={wrong}", "--to=out"])
    assert "is not a day such as 2026-11-24" in capsys.readouterr().err
