"""`testudo try`: one item through a release, and what each step made of it; no server, no Beam."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.failures import Reason
from models.features import ImageLimits
from models.kernels import CallLimits
from models.manifest import ReleaseError
from models.release import read_pointer
from testudo.errors import CommandError, shown
from testudo.local.home import RELEASES
from testudo.reasons import REASONS, in_words
from testudo.trial import Item, Trial, try_item
from transforms.own_fields import as_json
from transforms.parsing import parse_fields

EXAMPLE = 'testudo try --image mug.jpg --text "a red mug"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, metavar="FILE", help="the item's picture")
    parser.add_argument("--text", default="", help="the item's text")
    parser.add_argument(
        "--fields",
        default="{}",
        metavar="JSON",
        help="what the sender says of it besides, for the function decide: '{\"price\": 3}'",
    )
    parser.add_argument("--release", help="its name; without it, the default of --releases")
    parser.add_argument("--releases", default=RELEASES, help="where releases are (%(default)s)")
    parser.add_argument(
        "--functions",
        type=Path,
        metavar="FILE",
        help="Python file to use in place of the functions that the release has",
    )
    parser.add_argument(
        "--save_square",
        type=Path,
        metavar="FILE",
        help="write the square that the encoder reads to this file, as PNG",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Returns 1 for an item that would be a dead letter."""
    if problems := _problems(arguments):
        raise CommandError("\n".join(problems))
    try:
        image = arguments.image.read_bytes() if arguments.image else b""
    except OSError as error:
        raise CommandError(f"--image: {error}") from error
    try:
        release = arguments.release or read_pointer(arguments.releases).default
    except ReleaseError as error:
        raise CommandError(f"--releases: {error}\n`testudo train` makes a release") from error
    try:
        trial = try_item(
            arguments.releases,
            release,
            Item(image, arguments.text, as_json(parse_fields(arguments.fields)[0])),
            functions=arguments.functions,
            square=arguments.save_square is not None,
            calls=CallLimits(),
            limits=ImageLimits(),
        )
    except ReleaseError as error:
        flag = "release" if arguments.release else "releases"
        raise CommandError(f"--{flag}: {error}") from error
    if arguments.save_square and trial.square:
        try:
            arguments.save_square.write_bytes(trial.square)
        except OSError as error:
            raise CommandError(f"--save_square: {error}") from error
    FORMATS[arguments.format](trial)
    return 1 if trial.failures else 0


def _problems(arguments: argparse.Namespace) -> list[str]:
    problems = []
    if not arguments.image and not arguments.text:
        problems.append("an item has a picture, a text or both: give --image or --text")
    for flag in ("image", "functions"):
        path = getattr(arguments, flag)
        if path and not path.is_file():
            problems.append(f"--{flag}: there is no file {path}")
    if arguments.save_square and not arguments.image:
        problems.append("--save_square: an item without --image has no square")
    _, problem = parse_fields(arguments.fields)
    return problems + [f"--fields: {problem}"] * bool(problem)


def _as_json(trial: Trial) -> None:
    failures = [
        {**failure._asdict(), "remedy": in_words(REASONS[Reason(failure.reason)].remedy)}
        for failure in trial.failures
    ]
    print(
        json.dumps(
            {
                "release": trial.release,
                "functions": trial.functions,
                "image": trial.image,
                "text": trial.text,
                "features": trial.features,
                "scores": [score._asdict() for score in trial.scores],
                "decisions": json.loads(trial.decisions_json) if trial.decisions_json else None,
                "spent_ms": trial.spent_ms,
                "dead_letter": failures or None,
            },
            indent=1,
        )
    )


def _as_table(trial: Trial) -> None:
    from rich.console import Console  # a tenth of a second, that --format json does not need

    console = Console(width=None if sys.stdout.isatty() else 100)
    facts: list[tuple[str, Any]] = [("release", trial.release)]
    if trial.functions:
        facts.append(("functions", trial.functions))
    for name, found in (("image", trial.image), ("text", trial.text)):
        facts.append((name, _sentence(found) if found else "none"))
    console.print(_table(facts))
    if trial.features:
        rows = [tuple(one.values()) for one in trial.features]
        console.print(_table(rows, ["features", "type", "numbers", "not zero", "least", "most"]))
    if trial.scores:
        rows = [
            (one.model, one.label or "", f"{one.number:.4f}" + " (chosen)" * bool(one.chosen))
            for one in trial.scores
        ]
        console.print(_table(rows, ["scorer", "label", "score"]))
    if trial.decisions_json:
        console.print("decisions", style="bold")
        # As it is: what a function gave is no markup of this terminal.
        decisions = json.loads(trial.decisions_json)
        for line in json.dumps(decisions, indent=2, ensure_ascii=False).splitlines():
            console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
    if trial.spent_ms:
        rows = [(step, f"{spent:.2f}") for step, spent in trial.spent_ms.items()]
        console.print(_table(rows, ["step", "ms"]))
    for failure in trial.failures:
        explanation = REASONS[Reason(failure.reason)]
        rows = [
            ("dead letter", f"{failure.reason}, stage {failure.stage}"),
            ("detail", failure.detail),
            ("meaning", in_words(explanation.meaning)),
            ("what to do", in_words(explanation.remedy)),
        ]
        console.print(_table(rows))


def _sentence(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _table(rows: list[Any], heads: list[str] | None = None) -> Any:
    from rich.table import Table
    from rich.text import Text

    width = len(rows[0])
    table = Table(*(heads or [""] * width), show_header=bool(heads))
    for column, value in zip(table.columns, rows[0], strict=True):
        column.overflow = "fold"
        is_number = str(value).lstrip("-")[:1].isdigit()
        column.justify = "right" if is_number and heads else "left"
    for row in rows:
        table.add_row(*(Text(shown(str(value))) for value in row))
    return table


FORMATS = {"table": _as_table, "json": _as_json}
