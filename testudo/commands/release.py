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
    write_pointer,
)
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.release_build import add_build_arguments, build
from testudo.environment import Environment
from testudo.errors import CommandError

EXAMPLE = "testudo release push staging --canary_share 0.05"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="release_command", required=True, metavar="COMMAND")
    push = commands.add_parser("push", help="copy a release to the environment, and use it")
    add_environment_arguments(push)
    push.add_argument("--release", help="its name; without it, the default of --releases")
    push.add_argument(
        "--releases",
        type=Path,
        default=Path(".testudo/releases"),
        help="folder that it is in (%(default)s)",
    )
    push.add_argument("--no_use", action="store_true", help="only copy: current.json stays")
    _add_users(push)
    use = commands.add_parser("use", help="name a release of the environment in current.json")
    add_environment_arguments(use)
    use.add_argument("release", help="its name")
    _add_users(use)
    add_build_arguments(commands.add_parser("build", help="make a release of files that you have"))
    show = commands.add_parser("show", help="show current.json")
    add_environment_arguments(show)


def _add_users(parser: argparse.ArgumentParser) -> None:
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument(
        "--canary_share",
        type=float,
        metavar="SHARE",
        help="for this share of the items (0 to 1) instead of for all",
    )
    whom.add_argument("--tenant", help="for this tenant instead of for all")


def main(arguments: argparse.Namespace) -> int:
    run: dict[str, Callable[[Environment, argparse.Namespace], None]] = {
        "push": _push,
        "use": _use,
        "show": _show,
    }
    try:
        if arguments.release_command == "build":
            build(arguments)
            return 0
        environment = environment_of(arguments)
        run[arguments.release_command](environment, arguments)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    return 0


def _push(environment: Environment, arguments: argparse.Namespace) -> None:
    source = str(arguments.releases)
    release = arguments.release or read_pointer(source).default
    copy_release(source, environment.releases, release)
    print(f"{release} is in {environment.releases}")
    if not arguments.no_use:
        arguments.release = release
        _use(environment, arguments)


def _use(environment: Environment, arguments: argparse.Namespace) -> None:
    """Raises ReleaseError for a release that is not there: nobody could be scored by it.

    Raises PointerChanged when somebody else chooses in the same moment.
    """
    read_manifest(environment.releases, arguments.release)
    before = find_pointer(environment.releases)
    pointer = pointed(
        before or Pointer(default=arguments.release),  # in a new environment, for all
        arguments.release,
        canary_share=arguments.canary_share,
        tenant=arguments.tenant,
    )
    write_pointer(environment.releases, pointer, replacing=before)
    _show(environment, arguments)


def pointed(
    pointer: Pointer, release: str, *, canary_share: float | None, tenant: str | None
) -> Pointer:
    """The pointer with the release as canary, as a tenant's, or as everyone's without a canary."""
    if canary_share is not None:
        return dataclasses.replace(pointer, canary=release, canary_share=canary_share)
    if tenant is not None:
        return dataclasses.replace(pointer, tenants={**pointer.tenants, tenant: release})
    return dataclasses.replace(pointer, default=release, canary="", canary_share=0.0)


def _show(environment: Environment, _arguments: argparse.Namespace) -> None:
    pointer = read_pointer(environment.releases)
    print(f"everyone: {pointer.default}")
    if pointer.canary:
        print(f"{pointer.canary_share:.0%} of the items: {pointer.canary}")
    for tenant, release in sorted(pointer.tenants.items()):
        print(f"tenant {tenant}: {release}")
