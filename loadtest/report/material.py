"""What a report is made of: the results, knees, proofs, fairness and plans below some folders.

Everything is read and checked before a page is made; the format of each file
stands in formats.json.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from loadtest.capacity.plan_record import Plan
from loadtest.report.plan_values import plan_of
from loadtest.results import RESULT, Result
from testudo.errors import CommandError

KNEE, PROOF, FAIRNESS, PLAN = "knee.json", "proof.json", "fairness.json", "plan.json"
# A folder that holds one of these, or a calibration, holds runs below that are parts of it.
MADE_OF_RUNS = (KNEE, PROOF, FAIRNESS)
CALIBRATION = "calibration.json"
FORMATS = Path(__file__).with_name("formats.json")
PARTS = "parts"
# What the library lets through, of its own and of base64 (a ValueError), zlib and its C part.
UNREADABLE = (
    HdrCookieException,
    HdrLengthException,
    ValueError,
    IndexError,
    RuntimeError,
    zlib.error,
)
MOST_FAULTS = 5  # of one file that are told
MOST_WORDS = 200  # of one fault


class BadMaterial(CommandError):
    """All that is wrong with the folders and files, one line each."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """`parts` are the runs that a calibration, knee, proof or fairness was made of."""

    runs: Sequence[Result] = ()
    parts: Sequence[Result] = ()
    knees: Sequence[Mapping[str, Any]] = ()
    proofs: Sequence[Mapping[str, Any]] = ()
    fairness: Sequence[Mapping[str, Any]] = ()
    plans: Sequence[Plan] = ()

    def goal_p95_s(self) -> float | None:
        """The goal that all knees and plans agree on; None where they do not, or there is none."""
        goals = {one["goal_p95_s"] for one in self.knees} | {one.slo_p95_s for one in self.plans}
        return goals.pop() if len(goals) == 1 else None


def read_material(folders: Iterable[Path], plans: Iterable[Path] = ()) -> Material:
    """Read all that lies in the folders and below them, and the plans besides.

    Raises BadMaterial with everything that is missing or wrong.
    """
    found: dict[Path, bool] = {}  # whether it is a part, in order, and each once
    problems = []
    for folder in folders:
        files = {path.resolve(): part for path, part in _files(folder)}
        if not files:
            problems.append(_nothing_in(folder))
        # A run whose own folder is named is no part.
        found |= {path: part and found.get(path, True) for path, part in files.items()}
    found |= {plan.resolve(): False for plan in plans}

    read: dict[str, list[Any]] = {kind: [] for kind in (RESULT, PARTS, *MADE_OF_RUNS, PLAN)}
    for path, part in found.items():
        kind = path.name if path.name in read else PLAN  # a plan may have any name
        try:
            read[PARTS if part else kind].append(_read(path, kind))
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {_reason(error)}")
    if problems:
        raise BadMaterial("\n".join(problems))
    return Material(
        runs=sorted(read[RESULT], key=_start),
        parts=sorted(read[PARTS], key=_start),
        knees=read[KNEE],
        proofs=read[PROOF],
        fairness=read[FAIRNESS],
        plans=read[PLAN],
    )


def histogram_of(result: Result) -> HdrHistogram:
    """The latencies in microseconds. Raises ValueError where they are not HdrHistogram's V2."""
    try:
        return HdrHistogram.decode(result.histogram.encode())
    except UNREADABLE as error:
        raise ValueError("/histogram: is not an HdrHistogram (V2, base64)") from error


def _files(folder: Path, *, below: bool = False) -> Iterator[tuple[Path, bool]]:
    """What is to be read in a folder and below it, and whether it is a part of something."""
    for name in (RESULT, *MADE_OF_RUNS, PLAN):
        if (folder / name).is_file():
            yield folder / name, below and name == RESULT
    below = below or any((folder / name).is_file() for name in (*MADE_OF_RUNS, CALIBRATION))
    if folder.is_dir():
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if not inner.is_symlink():  # which may lead round in a circle
                yield from _files(inner, below=below)


def _nothing_in(folder: Path) -> str:
    if not folder.exists():
        return f"{folder}: does not exist"
    if not folder.is_dir():
        return f"{folder}: is not a folder"
    names = ", ".join((RESULT, *MADE_OF_RUNS))
    return f"{folder}: holds none of {names} and {PLAN}, nor does a folder below it"


def _read(path: Path, kind: str) -> Result | Plan | Mapping[str, Any]:
    """Raises OSError or ValueError that says what is wrong, one line a fault."""
    # JSON knows no infinity; Python writes it: no bound, which is null in the formats.
    values = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    faults = [
        f"/{'/'.join(map(str, fault.instance_path))}: {_short(fault.message)}"
        for fault in _validator(kind).iter_errors(values)
    ]
    if faults:
        more = len(faults) - MOST_FAULTS
        raise ValueError("\n  ".join([*faults[:MOST_FAULTS], *[f"and {more} more"] * (more > 0)]))
    if kind == PLAN:
        return plan_of(values)
    if kind != RESULT:
        return values
    result = Result.load(path.parent)
    histogram_of(result)
    return result


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"is not JSON: {error}"
    return str(error)


def _short(text: str) -> str:
    return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 3] + "..."


def _start(result: Result) -> tuple[str, str]:
    return result.started_at, result.name


@cache
def _validator(kind: str) -> Any:
    formats = json.loads(FORMATS.read_text(encoding="utf-8"))
    return jsonschema_rs.validator_for({**formats, "$ref": f"#/$defs/{kind}"})
