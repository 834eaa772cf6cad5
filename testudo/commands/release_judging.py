"""`testudo release evaluate`, `compare` and `promote`: releases on labelled items.

The items go through the models' processes, as in a job, on this machine.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.features import ImageLimits
from models.kernels import CallLimits
from models.manifest import ReleaseError
from models.release import Pointer, fetch_release, find_pointer
from testudo.columns import aligned
from testudo.commands.release_places import (
    add_item_arguments,
    add_place_arguments,
    items_of,
    place_of,
)
from testudo.comparison import MEGABYTE, Comparison, compare
from testudo.errors import CommandError, Failed, shown
from testudo.promotions import change_pointer
from testudo.scoring import Figures, evaluate
from testudo.serving import load_everywhere, refuse, serving_processes

FORMATS = ("table", "json")
MAX_DEAD_LETTERS = 5  # of those that are shown


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("release", metavar="RELEASE", help="its name")
    _add_common(parser)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("current", metavar="RELEASE", help="the one to compare with")
    parser.add_argument("candidate", metavar="CANDIDATE", help="the one to judge")
    _add_common(parser)


def add_promote_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("release", metavar="RELEASE", help="its name")
    _add_common(parser)
    parser.add_argument(
        "--override",
        default="",
        metavar="REASON",
        help="promote it although it is worse; the reason is recorded",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_item_arguments(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="(%(default)s)")


def show_evaluation(arguments: argparse.Namespace) -> None:
    """Accuracy by scorer, calibration, time and size of one release."""
    with _judging(arguments) as judge:
        figures = judge(arguments.release)
    _print_figures(figures, arguments.format)


def show_comparison(arguments: argparse.Namespace) -> None:
    """Two releases on the same items; what is surely better, worse, or within chance."""
    with _judging(arguments) as judge:
        comparison = compare(judge(arguments.current), judge(arguments.candidate))
    _print_comparison(comparison, arguments.format)


def promote(arguments: argparse.Namespace) -> None:
    """Make a release the default, unless it is worse than the one that is.

    Raises Failed for one that is worse, after the table, where no reason is given; for one that
    cannot be loaded or gives other answers than its golden items say, whatever the reason.
    """
    root, release = place_of(arguments), arguments.release
    before = find_pointer(root)
    if before and before.default == release:
        raise CommandError(f"{release} is the default of {root} already")
    current: Figures | str = f"{root} has no default to compare with"
    with _judging(arguments) as judge:
        candidate = judge(release)
        if before:
            current = _usable(judge, before.default)
    refusals: Sequence[str] = ()
    if isinstance(current, str):
        print("\n".join(map(shown, current.split("\n"))), file=sys.stderr)
        _print_figures(candidate, arguments.format)
    else:
        comparison = compare(current, candidate)
        _print_comparison(comparison, arguments.format)
        refusals = comparison.refusals
    if refusals and not arguments.override:
        raise Failed(
            f"{release} is worse, and nothing was changed. "
            '--override "reason" promotes it all the same, and is recorded'
        )
    pointer = before or Pointer(release)
    change_pointer(
        root,
        dataclasses.replace(pointer, default=release, canary="", canary_share=0.0),
        replacing=before,
        what="promote",
        override=arguments.override if refusals else "",
        figures={
            "current": None if isinstance(current, str) else current.to_json(),
            "candidate": candidate.to_json(),
            "refusals": list(refusals),
        },
    )
    print(f"{release} is the default of {root} now", file=sys.stderr)


def _usable(judge: Callable[[str], Figures], release: str) -> Figures | str:
    """Of the release in use, or why it cannot be used: then anything else is better."""
    try:
        return judge(release)
    except (Failed, ReleaseError) as error:
        return f"there is nothing to compare with: {error}"


@contextmanager
def _judging(arguments: argparse.Namespace) -> Iterator[Callable[[str], Figures]]:
    """Gives figures of a release on the items, of each by the same processes.

    Which raises Failed for a release that cannot be loaded, ReleaseError for one that is not
    there, CommandError where nothing of the items is what it scores.
    """
    root, items = place_of(arguments), items_of(arguments)
    with (
        tempfile.TemporaryDirectory() as cache,
        serving_processes(CallLimits(), ImageLimits()) as processes,
    ):

        def judge(release: str) -> Figures:
            manifest, folder = fetch_release(root, release, Path(cache))
            names = [one.name for one in manifest.scorers]
            if not set(names) & items[0].labels.keys():
                labels = ", ".join(items[0].labels)
                raise CommandError(
                    f"--manifest: its labels are {labels}; {release} scores {', '.join(names)}"
                )
            refuse(release, load_everywhere(processes, folder))
            return evaluate(processes, folder, manifest, items, arguments.manifest.parent)

        yield judge


def _print_figures(figures: Figures, how: str) -> None:
    if how == "json":
        print(json.dumps(figures.to_json(), indent=1))
        return
    rows = [
        (
            name,
            f"{one.accuracy:.3f}",
            f"{one.interval[0]:.3f}-{one.interval[1]:.3f}",
            f"{one.calibration_error:.3f}",
        )
        for name, one in figures.scorers.items()
    ]
    print(f"{figures.manifest.release} on {figures.items} items")
    print(aligned(("scorer", "accuracy", "95 % interval", "calibration error"), rows))
    print(f"{figures.item_ms:.2f} ms an item, {figures.size_bytes / MEGABYTE:.1f} MB")
    for name, failure in list(figures.dead_letters.items())[:MAX_DEAD_LETTERS]:
        print(shown(f"dead letter {name!r}: {failure.reason}: {failure.detail}"))
    if len(figures.dead_letters) > MAX_DEAD_LETTERS:
        print(f"and {len(figures.dead_letters) - MAX_DEAD_LETTERS} more dead letters")


def _print_comparison(comparison: Comparison, how: str) -> None:
    if how == "json":
        print(json.dumps(comparison.to_json(), indent=1))
        return
    print(f"on {comparison.items} items; differences with 95 % intervals, item by item")
    heads = ("", comparison.current, comparison.candidate, "difference", "")
    print(aligned(heads, comparison.rows))
    for line in comparison.refusals:
        print(shown(line))
    print(f"{comparison.candidate}, all in all: {comparison.verdict}")
