"""Who made which release score whom, when and why: `promotions.jsonl`, beside `current.json`."""

import dataclasses
import getpass
import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.manifest import ReleaseError
from models.objects import OBJECTS, join
from models.release import POINTER, Pointer, write_pointer
from testudo.errors import CommandError, Failed

RECORD = "promotions.jsonl"
ROLLBACK = "rollback"
TRIES = 10  # of several that write at the same time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One change of `current.json`; `before` and `after` are what it said, None for nothing."""

    what: str  # the command that made it
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    override: str = ""  # why, although the release was found to be worse
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    at: str = ""
    by: str = ""


def change_pointer(
    root: str,
    pointer: Pointer,
    *,
    replacing: Pointer | None,
    what: str,
    override: str = "",
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write `current.json` as `write_pointer` does, and then record that.

    Raises what it raises; Failed where the pointer is written and cannot be recorded.
    """
    change = Change(
        what=what,
        before=dataclasses.asdict(replacing) if replacing else None,
        after=dataclasses.asdict(pointer),
        override=override,
        figures=figures or {},
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=_who(),
    )
    write_pointer(root, pointer, replacing=replacing)
    if pointer == replacing:
        return
    try:
        _append(root, json.dumps(dataclasses.asdict(change)).encode() + b"\n")
    except OSError as error:
        raise Failed(f"{POINTER} is changed, and that is not recorded: {error}") from error


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except OSError:  # a user without a name, as in containers
        return f"{os.getuid()}@{socket.gethostname()}"


def _append(root: str, line: bytes) -> None:
    path = join(root, RECORD)
    for _ in range(TRIES):
        before = _read(path)
        if OBJECTS.exchange(path, before, (before or b"") + line):
            return
    raise OSError(f"{path} is written by others all the time")


def _read(path: str) -> bytes | None:
    try:
        return OBJECTS.read(path)
    except FileNotFoundError:
        return None


def read_changes(root: str) -> list[Change]:
    """All that were recorded, the oldest first. Raises ReleaseError for what is no record."""
    path = join(root, RECORD)
    try:
        return [Change(**json.loads(line)) for line in (_read(path) or b"").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseError(f"cannot read {path}: {error}") from error


def pointer_before(root: str, pointer: Pointer) -> Pointer:
    """What `current.json` said before the last change that was not taken back already.

    Raises CommandError where nothing is left to take back, or the pointer is not what the
    record says: somebody has changed it by other means.
    """
    standing: list[Change] = []
    for change in read_changes(root):
        if change.what == ROLLBACK:
            standing = standing[:-1]
        else:
            standing.append(change)
    if not standing or standing[-1].before is None:
        raise CommandError(f"{join(root, RECORD)} has no change to take back")
    last = standing[-1]
    if last.after != dataclasses.asdict(pointer):
        raise CommandError(
            f"{join(root, POINTER)} was changed by other means since {last.at} ({last.what} by "
            f"{last.by}), which is not recorded: choose with `testudo release use`"
        )
    assert last.before is not None  # noqa: S101 - for mypy
    return Pointer(**last.before)
