"""Traces: a schedule as a Parquet file, which plays back exactly."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loadtest.traffic.kinds import BROKEN, POISON
from loadtest.traffic.schedule import Kind, Schedule
from testudo.errors import CommandError

VERSION = 1  # of the file's columns and header
_HEADER = b"testudo.trace"
_COLUMNS = pa.schema(
    [
        ("due_s", pa.float64()),
        ("tenant", pa.int32()),
        ("kind", pa.int16()),
        ("original", pa.int32()),
    ]
)


class BadTrace(CommandError):
    """What is wrong with a trace, with the file's name."""


def save_trace(schedule: Schedule, path: Path) -> None:
    """Write a row a message; tenants' names, kinds and the rest stand in the header."""
    header = {
        "version": VERSION,
        "profile": schedule.profile,
        "seed": schedule.seed,
        "duration_s": schedule.duration_s,
        "tenants": schedule.tenants,
        "wild": schedule.wild,
        "kinds": [dataclasses.asdict(kind) for kind in schedule.kinds],
    }
    columns = [getattr(schedule, name) for name in _COLUMNS.names]
    table = pa.table(columns, schema=_COLUMNS.with_metadata({_HEADER: json.dumps(header)}))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def load_trace(path: Path) -> Schedule:
    """The schedule that was saved, to the bit. Raises BadTrace."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadTrace(f"{path}: not a Parquet file that can be read: {error}") from error
    header = _header(path, table.schema)
    if not table.schema.remove_metadata().equals(_COLUMNS):
        wanted = ", ".join(f"{field.name} {field.type}" for field in _COLUMNS)
        raise BadTrace(f"{path}: a trace has the columns {wanted}")
    if any(column.null_count for column in table.columns):
        raise BadTrace(f"{path}: a row lacks a value")
    try:
        schedule = Schedule(
            **{name: table[name].to_numpy() for name in _COLUMNS.names},
            tenants=tuple(map(str, header["tenants"])),
            kinds=tuple(Kind(**kind) for kind in header["kinds"]),
            profile=str(header["profile"]),
            seed=int(header["seed"]),
            duration_s=float(header["duration_s"]),
            wild=tuple(map(str, header.get("wild", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadTrace(f"{path}: its header is damaged: {error!r}") from error
    if problems := _problems(schedule):
        raise BadTrace("\n".join(f"{path}: {problem}" for problem in problems))
    return schedule


def _header(path: Path, schema: pa.Schema) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads((schema.metadata or {})[_HEADER])
        version = header["version"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadTrace(f"{path}: a Parquet file, but not a trace") from error
    if version != VERSION:
        raise BadTrace(f"{path}: a trace of version {version}; this Testudo reads {VERSION}")
    return header


def _problems(schedule: Schedule) -> list[str]:
    """What would send nonsense."""
    due_s, original = schedule.due_s, schedule.original
    numbers = np.arange(len(due_s))
    found = []
    if not len(due_s):
        return ["there is no message in it"]
    if not np.isfinite(due_s).all() or (np.diff(due_s) < 0).any() or due_s[0] < 0:
        found.append("due_s must ascend from 0")
    for name in ("tenant", "kind"):
        column, most = getattr(schedule, name), len(getattr(schedule, f"{name}s"))
        if (column < 0).any() or (column >= most).any():
            found.append(f"{name} must be a number from 0 to {most - 1}")
    known = ("", *BROKEN, *POISON)
    found += [
        f"kind {k.name}: {k.fault} is not known" for k in schedule.kinds if k.fault not in known
    ]
    if (original < 0).any() or (original > numbers).any():
        return [*found, "original must be the number of the same or of an earlier message"]
    columns: dict[str, NDArray[Any]] = {
        "tenant": schedule.tenant,
        "kind": schedule.kind,
        "original": original,
    }
    return found + [
        f"a copy has another {name} than its original"
        for name, column in columns.items()
        if (column[original] != column).any()
    ]
