"""`testudo release evaluate`, `compare` and `promote`: releases on labelled items.

The items go through the models' processes, as in a job, on this machine.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from models.features import ImageLimits
from models.kernels import CallLimits
from models.manifest import ReleaseError
from models.release import Pointer, fetch_release, find_pointer
from models.training.manifest_labels import IN_WORDS, kinds_of
from models.training.manifest_lines import LabelledItem
from models.training.quality import MEASURES_IN_WORDS
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
from testudo.scoring import Figures, evaluate, timed
from testudo.serving import Processes, load_everywhere, refuse, serving_processes

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
    """The measure of each scorer, time and size of one release."""
    with _judging(arguments) as judge:
        (figures,) = judge.timed(judge.figures(arguments.release))
    _print_figures(figures, arguments.format)


def show_comparison(arguments: argparse.Namespace) -> None:
    """Two releases on the same items; what is surely better, worse, or within chance."""
    with _judging(arguments) as judge:
        both = (judge.figures(one) for one in (arguments.current, arguments.candidate))
        current, candidate = judge.timed(*both)
    _print_comparison(compare(current, candidate), arguments.format)


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
        candidate = judge.figures(release)
        if before:
            current = _usable(judge, before.default)
        if isinstance(current, str):
            (candidate,) = judge.timed(candidate)
        else:
            current, candidate = judge.timed(current, candidate)
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


def _usable(judge: "_Judge", release: str) -> Figures | str:
    """Of the release in use, or why it cannot be used: then anything else is better."""
    try:
        return judge.figures(release)
    except (Failed, ReleaseError) as error:
        return f"there is nothing to compare with: {error}"


@contextmanager
def _judging(arguments: argparse.Namespace) -> Iterator["_Judge"]:
    root, items = place_of(arguments), items_of(arguments)
    with (
        tempfile.TemporaryDirectory() as cache,
        serving_processes(CallLimits(), ImageLimits()) as processes,
    ):
        yield _Judge(root, Path(cache), processes, items, arguments.manifest.parent)


class _Judge(NamedTuple):
    """Has the same items scored by releases under `root`, in the same processes."""

    root: str
    cache: Path
    processes: Processes
    items: list[LabelledItem]
    pictures: Path

    def figures(self, release: str) -> Figures:
        """Of one release, without its time.

        Raises Failed for a release that cannot be loaded, ReleaseError for one that is not
        there, CommandError where nothing of the items is what it scores, or of another kind.
        """
        manifest, folder = fetch_release(self.root, release, self.cache)
        names = [one.name for one in manifest.scorers]
        kinds = kinds_of([item.labels for item in self.items])
        if not set(names) & kinds.keys():
            raise CommandError(
                f"--manifest: its labels are {', '.join(kinds)}; "
                f"{release} scores {', '.join(names)}"
            )
        other = [one for one in manifest.scorers if kinds.get(one.name, one.kind) is not one.kind]
        if other:
            raise CommandError(
                "\n".join(
                    f"--manifest: label {one.name!r} is {IN_WORDS[kinds[one.name]]}, and "
                    f"{IN_WORDS[one.kind]} to {release}"
                    for one in other
                )
            )
        refuse(release, load_everywhere(self.processes, folder))
        return evaluate(self.processes, folder, manifest, self.items, self.pictures)

    def timed(self, *releases: Figures) -> list[Figures]:
        return timed(self.processes, releases, self.items, self.pictures)


def _print_figures(figures: Figures, how: str) -> None:
    if how == "json":
        print(json.dumps(figures.to_json(), indent=1))
        return
    rows = [
        (
            name,
            MEASURES_IN_WORDS[one.measure],
            one.shown(value),
            f"{one.shown(low)}-{one.shown(high)}",
            ", ".join(f"{what.replace('_', ' ')} {it:.3f}" for what, it in one.details().items()),
        )
        for name, one in figures.scorers.items()
        for value, (low, high) in [one.quality]
    ]
    print(f"{figures.manifest.release} on {figures.items} items")
    print(aligned(("scorer", "measure", "", "95 % interval", "besides"), rows))
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
