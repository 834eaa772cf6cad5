"""What a report is made of: the results, knees, proofs and plans below some folders.

Everything is read and checked before a page is made.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from loadtest.capacity.plan import Plan
from loadtest.capacity.proof import Proof
from loadtest.measuring.comparison import Comparison, compare
from loadtest.measuring.fairness import Fairness, fairness_of, same_traffic
from loadtest.measuring.items import load_items
from loadtest.measuring.latencies import decode_histogram
from loadtest.measuring.probing import KNEE, Knee
from loadtest.records import BadRecord, read_record
from loadtest.results import ITEMS, RESULT, Result
from testudo.errors import CommandError

PROOF, PLAN, CALIBRATION = "proof.json", "plan.json", "calibration.json"
# By the name of the file; a plan that is named itself may have any name.
KINDS: dict[str, type[Any]] = {RESULT: Result, KNEE: Knee, PROOF: Proof, PLAN: Plan}
# The runs below a folder with one of these are parts of it.
MADE_OF_RUNS = (KNEE, PROOF, CALIBRATION)


class BadMaterial(CommandError):
    """All that is wrong with the folders and files, one line each."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """`parts` are the runs that a calibration, knee or proof was made of."""

    runs: Sequence[Result] = ()
    parts: Sequence[Result] = ()
    knees: Sequence[Knee] = ()
    proofs: Sequence[Proof] = ()
    plans: Sequence[Plan] = ()
    comparisons: Sequence[Comparison] = ()
    fairness: Sequence[Fairness] = ()

    def goal_p95_s(self) -> float | None:
        """The goal that all knees and plans agree on; None where they do not, or there is none."""
        goals = {knee.goal_p95_s for knee in self.knees} | {plan.slo_p95_s for plan in self.plans}
        return goals.pop() if len(goals) == 1 else None


def read_material(folders: Sequence[Path], plans: Iterable[Path] = ()) -> Material:
    """Read all that lies in the folders and below them, and the plans besides.

    Runs whose own folders are named are compared with the first of them. Raises BadMaterial
    with everything that is missing or wrong.
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

    read: dict[Path, Any] = {}
    for path in found:
        try:
            read[path] = _read(path)
        except BadRecord as error:
            problems.append(str(error))
    runs = {path: record for path, record in read.items() if isinstance(record, Result)}
    whole = {path: run for path, run in runs.items() if not found[path]}
    named = [path for folder in folders if (path := folder.resolve() / RESULT) in runs]
    comparisons, fairness = _compared(named, runs, problems), _fairness(whole, problems)
    if problems:
        raise BadMaterial("\n".join(problems))

    def of(kind: type[Any]) -> list[Any]:
        return [record for record in read.values() if isinstance(record, kind)]

    return Material(
        runs=sorted(whole.values(), key=_start),
        parts=sorted((run for path, run in runs.items() if found[path]), key=_start),
        knees=of(Knee),
        proofs=of(Proof),
        plans=of(Plan),
        comparisons=comparisons,
        fairness=fairness,
    )


def _files(folder: Path, *, below: bool = False) -> Iterator[tuple[Path, bool]]:
    """What is to be read in a folder and below it, and whether it is a part of something."""
    for name in KINDS:
        if (folder / name).is_file():
            yield folder / name, below and name == RESULT
    below = below or any((folder / name).is_file() for name in MADE_OF_RUNS)
    if folder.is_dir():
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if not inner.is_symlink():  # which may lead round in a circle
                yield from _files(inner, below=below)


def _nothing_in(folder: Path) -> str:
    if not folder.exists():
        return f"{folder}: does not exist"
    if not folder.is_dir():
        return f"{folder}: is not a folder"
    *names, last = KINDS
    return f"{folder}: holds none of {', '.join(names)} and {last}, nor does a folder below it"


def _read(path: Path) -> Any:
    """Raises BadRecord that says what is wrong, one line a fault."""
    record = read_record(KINDS.get(path.name, Plan), path)
    if isinstance(record, Result):
        try:
            decode_histogram(record.histogram)
        except ValueError as error:
            raise BadRecord(f"{path}: {error}") from error
    return record


def _compared(
    named: Sequence[Path], runs: dict[Path, Result], problems: list[str]
) -> list[Comparison]:
    """Each of the named runs with the first, where there are two or more."""
    loaded = _with_items(named if len(named) > 1 else (), runs, problems)
    return [compare(*pair, *tables) for pair, tables in _pairs(loaded)]


def _pairs(
    loaded: Sequence[tuple[Result, pa.Table]],
) -> Iterator[tuple[tuple[Result, Result], tuple[pa.Table, pa.Table]]]:
    for result, items in loaded[1:]:
        yield (loaded[0][0], result), (loaded[0][1], items)


def _fairness(runs: dict[Path, Result], problems: list[str]) -> list[Fairness]:
    """For each traffic in which a tenant goes wild, the runs of it."""
    alike: defaultdict[Any, list[Path]] = defaultdict(list)
    for path in sorted(runs, key=lambda path: _start(runs[path])):
        alike[same_traffic(runs[path])].append(path)
    wild = [paths for paths in alike.values() if any(runs[path].settings.wild for path in paths)]
    found = [fairness_of(_with_items(paths, runs, problems)) for paths in wild]
    return [fairness for fairness in found if fairness is not None]


def _with_items(
    paths: Sequence[Path], runs: dict[Path, Result], problems: list[str]
) -> list[tuple[Result, pa.Table]]:
    loaded = []
    for path in paths:
        try:
            loaded.append((runs[path], load_items(path.parent / ITEMS)))
        except OSError as error:
            problems.append(f"{path.parent / ITEMS}: cannot be read: {error.strerror}")
        except ValueError as error:
            problems.append(str(error))
    return loaded


def _start(result: Result) -> tuple[str, str]:
    return result.started_at, result.name
