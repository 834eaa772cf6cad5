"""`testudo release list` and `show`: which releases there are, and what one is made of."""

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from models.manifest import (
    FUNCTIONS,
    GOLDEN,
    MANIFEST,
    Kind,
    Manifest,
    ReleaseError,
    ScorerSpec,
)
from models.objects import OBJECTS
from models.release import Pointer, find_pointer, read_manifest, read_pointer
from models.training.quality import ACCURACY, MEASURES, MEASURES_IN_WORDS
from testudo.columns import aligned
from testudo.commands.release_places import add_place_arguments, place_of
from testudo.errors import CommandError, shown

FORMATS = ("table", "json")
MEGABYTE = 1_000_000
MAX_LABELS = 10  # of a scorer, that `show` prints


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("--release", help="say what this one is made of, instead of current.json")
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")


def list_releases(arguments: argparse.Namespace) -> None:
    """Every release, the newest first. One whose manifest cannot be read is in the list too."""
    root = place_of(arguments)
    pointer = find_pointer(root)
    sizes: Counter[str] = Counter()
    whole = set()
    for path, size_bytes in OBJECTS.sizes(root).items():
        release, _, name = path.partition("/")
        if name:
            sizes[release] += size_bytes
        if name == MANIFEST:
            whole.add(release)
    rows = [_row(root, one, sizes[one], pointer) for one in sorted(whole)]
    rows.sort(key=lambda row: str(row["created_at"]), reverse=True)
    if arguments.format == "json":
        print(json.dumps(rows, indent=1))
    elif not rows:
        print(f"there is no release in {root}")
    else:
        print(
            aligned(
                ("release", "created", "MB", "accuracy", "scores"),
                [
                    (
                        str(row["release"]),
                        str(row["created_at"]),
                        f"{row['size_bytes'] / MEGABYTE:.1f}",
                        str(row["problem"] or _measures(row)),
                        row["scores"],
                    )
                    for row in rows
                ],
            )
        )


def _row(root: str, release: str, size_bytes: int, pointer: Pointer | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "release": release,
        "task": "",
        "created_at": "",
        "size_bytes": size_bytes,
        **{measure: {} for measure in MEASURES.values()},
        "scores": whom(pointer, release),
        "problem": "",
    }
    try:
        manifest = read_manifest(root, release)
    except ReleaseError as error:
        return row | {"problem": str(error)}
    return row | {
        "task": manifest.task,
        "created_at": manifest.created_at,
        **{
            measure: {
                name: views.get("both")
                for name, views in manifest.evaluation.get(measure, {}).items()
            }
            for measure in MEASURES.values()
        },
    }


def _measures(row: dict[str, Any]) -> str:
    """Of all scorers: accuracy is not named, as most have it."""
    return ", ".join(
        f"{name} {one:.4g}" + f" ({MEASURES_IN_WORDS[measure]})" * (measure != ACCURACY)
        for measure in MEASURES.values()
        for name, one in row[measure].items()
        if one is not None
    )


def whom(pointer: Pointer | None, release: str) -> str:
    """Whose items a release scores, in words; empty for nobody's."""
    if pointer is None:
        return ""
    named = ["everyone"] if pointer.default == release else []
    if pointer.canary == release:
        named.append(f"canary {pointer.canary_share:.1%}")
    tenants = sorted(name for name, one in pointer.tenants.items() if one == release)
    return ", ".join(named + [f"tenant {one}" for one in tenants])


def show(arguments: argparse.Namespace) -> None:
    """What current.json says, or what one release is made of."""
    root = place_of(arguments)
    if arguments.release:
        _show_release(root, arguments)
        return
    pointer = read_pointer(root)
    if arguments.format == "json":
        print(json.dumps(dataclasses.asdict(pointer), indent=1))
        return
    show_pointer(pointer)


def show_pointer(pointer: Pointer) -> None:
    print(f"everyone: {pointer.default}")
    if pointer.canary:
        print(f"{pointer.canary_share:.1%} of the items: {pointer.canary}")
    for tenant, release in sorted(pointer.tenants.items()):
        print(f"tenant {tenant}: {release}")


def _show_release(root: str, arguments: argparse.Namespace) -> None:
    try:
        manifest = read_manifest(root, arguments.release)
    except ReleaseError as error:
        raise CommandError(f"--release: {error}") from error
    if arguments.format == "json":
        print(manifest.to_json(), end="")
        return
    for name, value in _facts(manifest, whom(find_pointer(root), arguments.release)):
        print(f"{name + ':' * bool(name):12} {shown(value)}")


def _facts(manifest: Manifest, scores: str) -> list[tuple[str, str]]:
    """What a manifest says, a line each."""
    evaluation = manifest.evaluation
    facts = [
        ("release", manifest.release),
        ("task", manifest.task),
        ("created", manifest.created_at),
        ("scores", scores or "nobody's items"),
        ("pictures", f"{manifest.image_size_px} px square, {evaluation.get('encoder', 'encoder')}"),
    ]
    for branch, specs in manifest.features.items():
        listed = (f"{one.name} {one.dtype} {'x'.join(map(str, one.shape))}" for one in specs)
        facts.append((branch, ", ".join(listed)))
    for scorer in manifest.scorers:
        labels = ", ".join(scorer.labels[:MAX_LABELS]) or "a number"
        more = len(scorer.labels) - MAX_LABELS
        several = f"; several, from {scorer.threshold:.2f} on" * (scorer.kind is Kind.MULTILABEL)
        facts.append((f"{scorer.name}", labels + f" and {more} more" * (more > 0) + several))
        if interval := evaluation.get("intervals", {}).get(scorer.name, {}).get("both"):
            facts.append(("", _measured(scorer, evaluation, interval)))
    if "trained_on" in evaluation:
        counts = f"{evaluation['trained_on']} items, measured on {evaluation['held_out']}"
        facts.append(("trained on", counts))
    facts.append(("functions", FUNCTIONS if FUNCTIONS in manifest.files else "none"))
    facts.append(("golden items", GOLDEN if GOLDEN in manifest.files else "none"))
    return facts + [("file", f"{name}  {one[:12]}") for name, one in sorted(manifest.files.items())]


def _measured(scorer: ScorerSpec, evaluation: Mapping[str, Any], interval: Sequence[float]) -> str:
    measure = MEASURES[scorer.kind]
    value, (low, high) = evaluation[measure][scorer.name]["both"], interval
    shown_value = "-" if value is None else f"{value:.4g}"
    text = f"{MEASURES_IN_WORDS[measure]} {shown_value} ({low:.4g}-{high:.4g})"
    error = evaluation.get("calibration_error", {}).get(scorer.name)
    return text if error is None else f"{text}, calibration error {error:.3f}"
