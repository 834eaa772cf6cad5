"""The flags of `testudo replay`: which dead letters, and how fast."""

import argparse
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeVar

from beam_pipeline.tables import DATASET
from models.failures import Reason, Stage
from testudo.commands.dead_letters import FIRST_TIME, LAST_TIME, Filters
from testudo.commands.environments import add_data_arguments
from testudo.commands.parameters import read_time
from testudo.errors import CommandError

RATE = 50.0  # messages a second: beside the live ones, which a replay should not hold up

T = TypeVar("T")


class Plan(NamedTuple):
    """What the flags ask for, once they are known to make sense."""

    filters: Filters
    rate: float
    limit: int | None
    output: str  # empty: the table only


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_argument_group(
        "which dead letters (each but --since and --until may be given more than once)"
    )
    which.add_argument("--reason", action="append", help="one of docs/reference.md, of any failure")
    which.add_argument("--stage", action="append", help=f"one of {', '.join(Stage)}")
    which.add_argument("--tenant", action="append", help="tenant_id")
    which.add_argument("--item", action="append", help="item_id")
    which.add_argument("--release", action="append", help="the release that was to score them")
    which.add_argument("--since", metavar="TIME", help="failed then or later: RFC 3339, or 2h, 3d")
    which.add_argument("--until", metavar="TIME", help="failed before then")
    parser.add_argument("--limit", metavar="N", help="replay N at most, the oldest first")
    parser.add_argument("--again", action="store_true", help="also those that were replayed before")
    parser.add_argument("--dry_run", action="store_true", help="list them, publish nothing")
    parser.add_argument(
        "--rate", default=str(RATE), help="messages a second; 0 is at once (%(default)s)"
    )
    parser.add_argument(
        "--output",
        metavar="gs://...",
        help="that of the job: there are the rows that BigQuery refused (known for an "
        "environment; without it a project's are left out)",
    )
    add_data_arguments(parser)


def read_plan(arguments: argparse.Namespace, *, now: datetime) -> Plan:
    """Raises CommandError with everything that is wrong with the flags, a line each."""
    problems: list[str] = []

    def checked(flag: str, read: Callable[[str], T], text: str | None, default: T) -> T:
        try:
            return default if text is None else read(text)
        except ValueError as error:
            problems.append(f"{flag}: {error}")
            return default

    for flag, given, allowed in (
        ("--reason", arguments.reason, list(Reason)),
        ("--stage", arguments.stage, list(Stage)),
    ):
        unknown = [value for value in given or () if value not in allowed]
        problems += [f"{flag}: {value!r} is not one of {', '.join(allowed)}" for value in unknown]
    lists = ("tenant", "item", "release")
    problems += [f"--{name}: is empty" for name in lists if "" in (getattr(arguments, name) or ())]
    since = checked("--since", lambda text: read_time(text, now), arguments.since, FIRST_TIME)
    until = checked("--until", lambda text: read_time(text, now), arguments.until, LAST_TIME)
    if since >= until:
        problems.append("--since: is not before --until")
    rate = checked("--rate", _read_rate, arguments.rate, RATE)
    limit = checked("--limit", _read_limit, arguments.limit, None)
    output = arguments.output or ""
    if output and not re.fullmatch(r"gs://[^/]+(/.*)?", output):
        problems.append(f"--output: {output!r} is not gs://BUCKET or gs://BUCKET/FOLDER")
    if arguments.dataset is not None and not DATASET.fullmatch(arguments.dataset):
        problems.append(f"--dataset: {arguments.dataset!r} is not DATASET or PROJECT.DATASET")
    if problems:
        raise CommandError("\n".join(problems))
    filters = Filters(
        reasons=tuple(arguments.reason or ()),
        stages=tuple(arguments.stage or ()),
        tenants=tuple(arguments.tenant or ()),
        releases=tuple(arguments.release or ()),
        items=tuple(arguments.item or ()),
        since=since,
        until=until,
    )
    return Plan(filters, rate, limit, output)


def _read_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(f"{text!r} is not a number from 0 up")
    return rate


def _read_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{text!r} is not a whole number from 1 up")
    return int(text)
