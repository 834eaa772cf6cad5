"""What a question may be asked with: values that go to the engine beside its SQL, never into it."""

import argparse
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from testudo.errors import CommandError

USED = re.compile(r"@(\w+)")
AGE = re.compile(r"([0-9]{1,6})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Parameter(NamedTuple):
    kind: str  # of BigQuery
    default: Any
    flag: str


PARAMETERS = {
    "since": Parameter("TIMESTAMP", datetime(1970, 1, 1, tzinfo=UTC), "since"),
    "until": Parameter("TIMESTAMP", datetime(9999, 1, 1, tzinfo=UTC), "until"),
    "item_id": Parameter("STRING", "", "item"),
    "tenant_id": Parameter("STRING", "", "tenant"),
}
KINDS = {str: "STRING", int: "INT64", float: "FLOAT64", datetime: "TIMESTAMP"}
NEEDED = {"item_id"}  # where a question uses it


def flag_of(parameter: str) -> str:
    return f"--{PARAMETERS[parameter].flag}"


def used(sql: str) -> list[str]:
    """The parameters of a statement. A name that is none of ours is the engine's to refuse."""
    return [name for name in PARAMETERS if name in USED.findall(sql)]


def values_for(sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of the statement with its value: what was given, or the default.

    What is given may have names that no flag has: those of `testudo view`.
    """
    defaults = {name: PARAMETERS[name].default for name in used(sql)}
    names = set(USED.findall(sql))
    return defaults | {name: value for name, value in given.items() if name in names}


def kind_of(value: Any) -> str:
    """BigQuery's type of a parameter with this value."""
    return KINDS[type(value)]


def add_parameter_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("asked of")
    group.add_argument(
        "--since", type=moment, help="outcomes from this time on, as 2026-11-24 or 2h (ago)"
    )
    group.add_argument(
        "--until", type=moment, help="outcomes before this time, as 2026-11-24T18:00"
    )
    group.add_argument("--item", metavar="ITEM_ID", help="of question `item`")
    group.add_argument(
        "--tenant", metavar="TENANT_ID", help="of question `item`: the item's tenant"
    )


def given_for(name: str, sql: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the person gave. Raises CommandError for what the question does not take or lacks."""
    given = {
        parameter: getattr(arguments, one.flag)
        for parameter, one in PARAMETERS.items()
        if getattr(arguments, one.flag) is not None
    }
    takes = used(sql)
    problems = [f"{flag_of(one)}: {name} does not take it" for one in given if one not in takes]
    problems += [
        f"{flag_of(one)}: {name} needs it" for one in takes if one in NEEDED and one not in given
    ]
    if problems:
        raise CommandError("\n".join(problems))
    return given


def moment(text: str) -> datetime:
    try:
        return read_time(text, datetime.now(UTC))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def read_time(text: str, now: datetime) -> datetime:
    """A moment: RFC 3339, a day, or an age such as 30m, 2h or 3d; UTC where no zone is named."""
    try:
        if age := AGE.fullmatch(text):
            return now - timedelta(**{UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text.upper())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a time such as 2026-11-24, 2026-11-24T10:00:00Z or 2h (ago)"
        ) from error
