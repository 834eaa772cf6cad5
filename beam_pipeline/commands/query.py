"""`testudo query`: the common questions by name, in BigQuery or over a folder of files."""

import argparse
from pathlib import Path

import duckdb
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.bigquery import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

from beam_pipeline.commands.engines import Answer, BigQueryEngine, Engine, FilesEngine
from beam_pipeline.commands.failure import CommandError, shown
from beam_pipeline.commands.place import add_place_arguments, place_from
from beam_pipeline.tables import question_of, statements


def as_table(answer: Answer) -> Table:
    table = Table()
    for index, column in enumerate(answer.columns):
        numeric = any(isinstance(row[index], int | float) for row in answer.rows)
        table.add_column(
            Text(shown(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in answer.rows:
        cells = (f"{one:,.3f}" if isinstance(one, float) else shown(str(one)) for one in row)
        # Texts, not strings: what a sender wrote must not become markup of this terminal.
        table.add_row(*map(Text, cells))
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a question by name; without it they are listed")
    parser.add_argument("--sql", help="a BigQuery statement of your own, {dataset} in it")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="ask a files-mode run instead"
    )
    add_place_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    questions = statements("queries")
    console = Console()
    if not (arguments.name or arguments.sql):
        for name, sql in questions.items():
            console.print(f"[bold]{name:12}[/bold] {question_of(sql)}")
        return 0
    if arguments.name and arguments.name not in questions:
        raise CommandError(f"there is no question {arguments.name!r}, but {', '.join(questions)}")
    engine: Engine
    if arguments.output:
        engine = FilesEngine(arguments.output)
    else:
        place = place_from(arguments)
        engine = BigQueryEngine(Client(project=place.project), place.dataset)
    try:
        answer = engine.ask(arguments.sql or questions[arguments.name])
    except (GoogleAPICallError, duckdb.Error) as error:
        raise CommandError(f"the query was refused: {error}") from error
    if arguments.name:
        console.print(f"[bold]{question_of(questions[arguments.name])}[/bold]")
    console.print(as_table(answer))
    return 0
