"""`testudo query`: the common questions by name, in BigQuery or over a folder of files."""

import argparse
import csv
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

from beam_pipeline.results import results_problem
from beam_pipeline.tables import DATASET, question_of, statements
from testudo.commands.dialect import SqlError, check_statement
from testudo.commands.engines import Answer, BigQueryEngine, Engine, FilesEngine
from testudo.commands.environments import add_data_arguments, data_environment_of
from testudo.commands.parameters import add_parameter_arguments, given_for
from testudo.commands.refused import LOGIN
from testudo.errors import CommandError, shown

EXAMPLE = "testudo query outcomes --tenant acme"


def as_table(answer: Answer) -> Table:
    table = Table()
    for index, column in enumerate(answer.columns):
        numeric = any(isinstance(row[index], int | float) for row in answer.rows)
        table.add_column(
            Text(shown(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in answer.rows:
        # Texts, not strings: what a sender wrote must not become markup of this terminal.
        table.add_row(*(Text(cell(*pair)) for pair in zip(answer.columns, row, strict=True)))
    return table


def cell(column: str, value: Any) -> str:
    """As people read it: seconds of UTC, three digits, four of a dollar, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:,.4f}" if column.endswith("_usd") else f"{value:,.3f}"
    return shown(str(value))


def write_csv(answer: Answer) -> None:
    """A heading and a line a row, with what a sender wrote escaped as in a table."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(
        [shown("" if value is None else str(value)) for value in row] for row in answer.rows
    )


def write_json(answer: Answer) -> None:
    """A list with an object a row, in ASCII; times and days as text."""
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    print(json.dumps(rows, indent=1, default=str))


def write_table(answer: Answer) -> None:
    Console().print(as_table(answer))


FORMATS = {"table": write_table, "json": write_json, "csv": write_csv}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "questions:\n" + "\n".join(
        f"  {name:15} {question_of(sql)}" for name, sql in statements("queries").items()
    )
    parser.add_argument("name", nargs="?", help="a question by name; without it they are listed")
    parser.add_argument("--sql", help="a BigQuery statement of your own, {dataset} in it")
    parser.add_argument("--output", metavar="FOLDER", help="ask a files-mode run instead")
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")
    add_parameter_arguments(parser)
    add_data_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    questions = statements("queries")
    console = Console()
    if not arguments.name and arguments.sql is None:
        for name, sql in questions.items():
            console.print(f"[bold]{name:15}[/bold] {question_of(sql)}", soft_wrap=True)
        return 0
    if arguments.name and arguments.name not in questions:
        raise CommandError(f"there is no question {arguments.name!r}, but {', '.join(questions)}")
    sql = questions[arguments.name] if arguments.sql is None else arguments.sql
    given = given_for(arguments.name or "this statement", sql, arguments)
    try:
        check_statement(sql)
        answer = _engine(arguments).ask(sql, given)
    except SqlError as error:
        raise CommandError(f"--sql: {error}") from error
    except GoogleAuthError as error:
        raise CommandError(f"{_first_part(error)}\n{LOGIN}") from error
    except (GoogleAPIError, duckdb.Error) as error:
        raise CommandError(f"the query was refused: {_first_part(error)}") from error
    if arguments.name and arguments.format == "table":
        console.print(f"[bold]{question_of(sql)}[/bold]")
    FORMATS[arguments.format](answer)
    return 0


def _engine(arguments: argparse.Namespace) -> Engine:
    """Raises CommandError where there is nothing to ask."""
    if arguments.output is not None:
        if problem := results_problem(arguments.output):
            raise CommandError(f"--output: {problem}")
        return FilesEngine(Path(arguments.output))
    if arguments.dataset is not None and not DATASET.fullmatch(arguments.dataset):
        raise CommandError(f"--dataset: {arguments.dataset!r} is not DATASET or PROJECT.DATASET")
    environment = data_environment_of(arguments)
    return BigQueryEngine(Client(project=environment.project), environment.dataset)


def _first_part(error: Exception) -> str:
    """What an engine says, in one line, without its drawing of the place and its job's id."""
    return " ".join(str(error).split("\n\n")[0].split())
