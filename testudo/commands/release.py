"""`testudo release`: build one, bring it to an environment, and say who is scored by which."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from models.release import (
    Pointer,
    copy_release,
    find_pointer,
    read_manifest,
    read_pointer,
)
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.release_build import add_build_arguments, build
from testudo.commands.release_judging import (
    add_compare_arguments,
    add_evaluate_arguments,
    add_promote_arguments,
    promote,
    show_comparison,
    show_evaluation,
)
from testudo.commands.release_listing import (
    add_list_arguments,
    add_show_arguments,
    list_releases,
    show,
    show_pointer,
)
from testudo.commands.release_places import add_place_arguments, place_of
from testudo.errors import CommandError
from testudo.local.home import RELEASES
from testudo.promotions import ROLLBACK, change_pointer, pointer_before
from testudo.serving import check_serves

EXAMPLE = "testudo release push staging --canary_share 0.05"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="release_command", required=True, metavar="COMMAND")
    for name, (what, add, _) in SUBCOMMANDS.items():
        add(commands.add_parser(name, help=what, allow_abbrev=False))


def _add_push_arguments(push: argparse.ArgumentParser) -> None:
    add_environment_arguments(push)
    push.add_argument("--release", help="its name; without it, the default of --releases")
    push.add_argument(
        "--releases",
        type=Path,
        default=Path(RELEASES),
        help="folder that it is in (%(default)s)",
    )
    push.add_argument("--no_use", action="store_true", help="only copy: current.json stays")
    _add_users(push)
    _add_unproven(push)


def _add_use_arguments(use: argparse.ArgumentParser) -> None:
    add_place_arguments(use)
    use.add_argument("release", metavar="RELEASE", help="its name")
    _add_users(use)
    _add_unproven(use)


def _add_canary_arguments(canary: argparse.ArgumentParser) -> None:
    add_place_arguments(canary)
    canary.add_argument("release", metavar="RELEASE", help="its name")
    canary.add_argument(
        "--share", type=float, required=True, help="of the items, 0 to 1; 0 ends the canary"
    )
    _add_unproven(canary)


def _add_users(parser: argparse.ArgumentParser) -> None:
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument(
        "--canary_share",
        type=float,
        metavar="SHARE",
        help="for this share of the items (0 to 1) instead of for all",
    )
    whom.add_argument("--tenant", help="for this tenant instead of for all")


def _add_unproven(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unproven",
        action="store_true",
        help="do not load it here before it is named; workers do so in any case",
    )


def main(arguments: argparse.Namespace) -> int:
    _, _, run = SUBCOMMANDS[arguments.release_command]
    try:
        run(arguments)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    return 0


def _push(arguments: argparse.Namespace) -> None:
    root, source = environment_of(arguments).releases, str(arguments.releases)
    release = arguments.release or read_pointer(source).default
    copy_release(source, root, release)
    print(f"{release} is in {root}")
    if not arguments.no_use:
        _name(root, release, arguments)


def _use(arguments: argparse.Namespace) -> None:
    _name(place_of(arguments), arguments.release, arguments)


def _name(root: str, release: str, arguments: argparse.Namespace) -> None:
    """Name it in current.json.

    Raises ReleaseError for a release that is not there, Failed for one that cannot be loaded or
    does not reproduce its golden items: nobody could be scored by it. Raises PointerChanged when
    somebody else chooses in the same moment.
    """
    _prove(root, release, arguments)
    before = find_pointer(root)
    pointer = pointed(
        before or Pointer(default=release),  # in a new environment, for all
        release,
        canary_share=arguments.canary_share,
        tenant=arguments.tenant,
    )
    change_pointer(root, pointer, replacing=before, what=arguments.release_command)
    show_pointer(pointer)


def _prove(root: str, release: str, arguments: argparse.Namespace) -> None:
    if arguments.unproven:
        read_manifest(root, release)
    else:
        check_serves(root, release)


def pointed(
    pointer: Pointer, release: str, *, canary_share: float | None, tenant: str | None
) -> Pointer:
    """The pointer with the release as canary, as a tenant's, or as everyone's without a canary."""
    if canary_share is not None:
        return dataclasses.replace(pointer, canary=release, canary_share=canary_share)
    if tenant is not None:
        return dataclasses.replace(pointer, tenants={**pointer.tenants, tenant: release})
    return dataclasses.replace(pointer, default=release, canary="", canary_share=0.0)


def _canary(arguments: argparse.Namespace) -> None:
    """Score a share of the items by a release, or end that."""
    root, release, share = place_of(arguments), arguments.release, arguments.share
    if not 0 <= share <= 1:
        raise CommandError(f"--share: is {share:g}, must be 0 to 1")
    before = read_pointer(root)
    if share:
        pointer = dataclasses.replace(before, canary=release, canary_share=share)
        _prove(root, release, arguments)
    elif before.canary != release:
        found = f"it is {before.canary}" if before.canary else "there is none"
        raise CommandError(f"{release} is not the canary of {root}: {found}")
    else:
        pointer = dataclasses.replace(before, canary="", canary_share=0.0)
    change_pointer(root, pointer, replacing=before, what="canary")
    show_pointer(pointer)


def _roll_back(arguments: argparse.Namespace) -> None:
    """Let current.json say what it said before its last change that stands."""
    root = place_of(arguments)
    now = read_pointer(root)
    before = pointer_before(root, now)
    change_pointer(root, before, replacing=now, what=ROLLBACK)
    show_pointer(before)


Add = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], None]
SUBCOMMANDS: dict[str, tuple[str, Add, Run]] = {
    "list": ("list the releases that there are", add_list_arguments, list_releases),
    "show": ("show current.json, or what a release is made of", add_show_arguments, show),
    "build": ("make a release of files that you have", add_build_arguments, build),
    "push": ("copy a release to the environment, and use it", _add_push_arguments, _push),
    "use": ("name a release of the environment in current.json", _add_use_arguments, _use),
    "evaluate": ("measure a release on labelled items", add_evaluate_arguments, show_evaluation),
    "compare": ("compare two on the same items", add_compare_arguments, show_comparison),
    "promote": (
        "make a release the default, if it is not worse than the one that is",
        add_promote_arguments,
        promote,
    ),
    "canary": ("score a share of the items by a release", _add_canary_arguments, _canary),
    "rollback": ("undo the last change of current.json", add_place_arguments, _roll_back),
}
