"""The kit's files: dataclasses, written as JSON and checked by their types when they are read."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from testudo.errors import CommandError

T = TypeVar("T")
MOST_FAULTS = 5  # of one file that are reported
MOST_WORDS = 200  # of one fault

Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class BadRecord(CommandError):
    """What is wrong with a file, with its name."""


def _unbounded(value: object) -> object:
    return math.inf if value is None else value


# JSON has no infinity: what has no bound is null in a file.
Bound = Annotated[float, BeforeValidator(_unbounded)]


_adapter_of: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def as_json(record: object) -> str:
    text: bytes = _adapter_of(type(record)).dump_json(record, indent=1)
    return f"{text.decode()}\n"


def write_record(record: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(record), encoding="utf-8")


def read_record(kind: type[T], path: Path) -> T:
    """Fields that the record has not are passed over. Raises BadRecord."""
    try:
        record: T = _adapter_of(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise BadRecord(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise BadRecord(f"{path}: {_faults(error)}") from None
    return record


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        return f"is not JSON: {found[0]['msg']}"
    lines = [f"/{'/'.join(map(str, fault['loc']))}: {fault['msg']}"[:MOST_WORDS] for fault in found]
    more = len(lines) - MOST_FAULTS
    return "\n  ".join([*lines[:MOST_FAULTS], *[f"and {more} more"] * (more > 0)])
