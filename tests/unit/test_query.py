"""`testudo query` over files: forms of the answer, and what a question may be asked of."""

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from warehouse import DAY, MONDAY, failed, files_engine, prediction

from beam_pipeline.tables import question_of, statements
from testudo.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A files-mode run with two items, one of them failed before it was scored."""
    rows = {
        "predictions": [prediction("a", MONDAY + DAY), prediction("b", MONDAY, tenant_id="bolt")],
        "dead_letters": [failed("a", MONDAY, detail="x")],
    }
    files_engine(tmp_path, rows)
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["query", *words]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["query", *words]) == 2
    return capsys.readouterr().err


def test_the_story_of_an_item_is_told_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failures and predictions, each with its time."""
    told = json.loads(asked(capsys, "item", f"--output={folder}", "--item=a", "--format=json"))
    assert [(row["what"], row["detail"]) for row in told] == [
        ("failed: image_unreadable", "is no image"),
        ("predicted", "category mug 0.9"),
    ]


def test_an_item_of_another_tenant_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids are unique within a tenant only."""
    words = ("item", f"--output={folder}", "--item=b", "--format=json")
    assert len(json.loads(asked(capsys, *words, "--tenant=bolt"))) == 1
    assert json.loads(asked(capsys, *words, "--tenant=acme")) == []


def test_an_answer_can_be_csv(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A heading, and a line a row."""
    lines = csv.reader(StringIO(asked(capsys, "tenants", f"--output={folder}", "--format=csv")))
    heading, *rows = lines
    assert heading[:3] == ["tenant_id", "items", "dead_letters"]
    assert [row[:3] for row in rows] == [["acme", "1", "0"], ["bolt", "1", "0"]]


def test_a_question_is_asked_of_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Days are UTC."""
    words = ("outcomes", f"--output={folder}", "--format=json")
    later = json.loads(asked(capsys, *words, "--since=2026-11-03"))
    assert later == [{"outcome": "predicted", "items": 1}]
    earlier = json.loads(asked(capsys, *words, "--until=2026-11-03"))
    assert {row["outcome"]: row["items"] for row in earlier}["predicted"] == 1


def test_what_a_question_does_not_take_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it at once, with the flag's name."""
    words = ("releases", f"--output={folder}", "--since=2026-11-03", "--item=a")
    assert refused(capsys, *words).splitlines() == [
        "testudo query: --since: releases does not take it",
        "--item: releases does not take it",
    ]
    assert "--item: item needs it" in refused(capsys, "item", f"--output={folder}")


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the flag's name."""
    with pytest.raises(SystemExit):
        main(["query", "outcomes", "--since=yesterday"])
    assert "--since" in capsys.readouterr().err


def test_help_lists_the_questions(capsys: pytest.CaptureFixture[str]) -> None:
    """So does the command without a question."""
    with pytest.raises(SystemExit):
        main(["query", "--help"])
    shown = capsys.readouterr().out
    for name, sql in statements("queries").items():
        assert f"  {name} " in shown
        assert question_of(sql) in shown
        assert question_of(sql) in asked(capsys)


def test_an_age_is_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `testudo replay` takes it."""
    files_engine(folder, {"predictions": [prediction("now", datetime.now(UTC))]})
    words = ("outcomes", f"--output={folder}", "--format=json")
    assert json.loads(asked(capsys, *words, "--since=2h"))[0]["items"] == 1
    assert json.loads(asked(capsys, *words, "--until=3d"))[0]["items"] == 0


def test_a_run_without_messages_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves files without rows, and nothing was predicted."""
    files_engine(tmp_path, {})
    answer = json.loads(asked(capsys, "outcomes", f"--output={tmp_path}", "--format=json"))
    assert answer == [{"outcome": "predicted", "items": 0}]


def test_what_is_no_run_is_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was predicted there because nothing ran there: one line each."""
    (tmp_path / "a file").write_text("")
    (tmp_path / "empty").mkdir()
    told = {
        str(tmp_path / "missing"): "there is no folder",
        str(tmp_path / "a file"): "is a file",
        str(tmp_path / "empty"): "is not of a run over files",
        "gs://bucket/out": "is not a folder here",
    }
    for output, problem in told.items():
        line = refused(capsys, "outcomes", f"--output={output}")
        assert line.startswith("testudo query: --output: ")
        assert problem in line
        assert line.count("\n") == 1


@pytest.mark.parametrize(
    "names",
    [
        ["predictions-00000-of-00001.jsonl"],
        ["predictions-00000-of-00002.jsonl", "dead_letters-00000-of-00001.jsonl"],
        ["predictions-0.jsonl", "dead_letters-00000-of-00001.jsonl"],
        [
            "predictions-00000-of-00001.jsonl",
            "predictions-00000-of-00002.jsonl",
            "predictions-00001-of-00002.jsonl",
            "dead_letters-00000-of-00001.jsonl",
        ],
    ],
)
def test_results_of_half_a_run_or_two_are_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    """Their counts would be those of no run."""
    for name in names:
        (tmp_path / name).write_text("")
    line = refused(capsys, "outcomes", f"--output={tmp_path}")
    assert "the run did not end, or there were several" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1", "SELECT 1; SELECT 2", "-- only a comment", "SELECT 'open", "",
        "SELECT * FROM {other}.x", "SELECT 1/0", "SELECT nothing", "SELECT FORMAT('%d', 1)",
        "SELECT @nothing", "DROP TABLE {dataset}.predictions",
    ],
)  # fmt: skip
def test_sql_that_cannot_be_asked_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    """With code 2, and no traceback."""
    line = refused(capsys, f"--output={folder}", f"--sql={sql}")
    assert line.startswith("testudo query: ")
    assert line.count("\n") == 1


def test_a_dataset_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked for."""
    line = refused(capsys, "outcomes", "--project=my-project", "--dataset=bad name")
    assert line == "testudo query: --dataset: 'bad name' is not DATASET or PROJECT.DATASET\n"


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "-- only a comment", "SELECT 'open"])
def test_bigquery_too_is_asked_one_statement(capsys: pytest.CaptureFixture[str], sql: str) -> None:
    """What is none is told of without a request."""
    line = refused(capsys, "--project=my-project", f"--sql={sql}")
    assert line.startswith("testudo query: --sql: ")
    assert line.count("\n") == 1
