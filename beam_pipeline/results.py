"""What a run over files leaves under its --output, and whether all of it is there."""

import re
from pathlib import Path

from beam_pipeline.tables import OUTCOMES
from models.objects import CLOUD

SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.jsonl")
# Beginnings of the names: rows, what a killed run had not yet renamed to rows, features, payloads.
WRITTEN = (
    *(f"{kind}-" for kind in OUTCOMES),
    *(f"beam-temp-{kind}-" for kind in OUTCOMES),
    "archive/",
    "payloads/",
)


def results_problem(output: str) -> str:
    """Why there are no whole results of one run in this folder; empty where there are.

    Each kind of rows is in files `KIND-NNNNN-of-NNNNN.jsonl`, one at least.
    """
    if output.startswith(CLOUD):
        return f"{output} is not a folder here; copy its *.jsonl to one (gcloud storage cp)"
    folder = Path(output)
    if not folder.exists():
        return f"there is no folder {output}"
    if not folder.is_dir():
        return f"{output} is a file, not the folder of a run"
    found = {kind: _shards(folder, kind) for kind in OUTCOMES}
    if not any(found.values()):
        return f"{output} is not of a run over files: it has no predictions-*.jsonl"
    for kind, shards in found.items():
        if shards != _whole(shards):
            return (
                f"{output} has not all {kind}-*.jsonl of one run, and no others: "
                "the run did not end, or there were several"
            )
    return ""


def _shards(folder: Path, kind: str) -> set[str]:
    return {path.name.removeprefix(kind) for path in folder.glob(f"{kind}-*.jsonl")}


def _whole(shards: set[str]) -> set[str]:
    """The names that there are when a run has ended that wrote one of these."""
    numbers = {int(match[2]) for match in map(SHARD.fullmatch, shards) if match}
    most = max(numbers, default=1)
    return {f"-{one:05}-of-{most:05}.jsonl" for one in range(most)}
