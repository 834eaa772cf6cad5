"""`make chaos`: everything that goes wrong, on the local stack, and what became of each item.

For some minutes it publishes good, copied, hostile and model-breaking messages;
lets BigQuery and Cloud Storage fail behind a proxy; and kills the pipeline, its
engine and its models. Then it lets everything come to rest, counts the outcome of
each message, replays what failed for a fault, and drains the pipeline. What it does
is seeded; when it happens depends on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psutil
from rich.console import Console

from loadtest.stack import own_stack
from models.release import Pointer, copy_releases, read_pointer, write_pointer
from models.release_cache import OWNER, left_behind
from rigs.chaos_run import Chaos
from rigs.chaos_traffic import TRAPPED_TENANT
from testudo.commands.environments import add_home_argument
from testudo.errors import CommandError

END_ALLOWED_S, LOOK_EVERY_S = 30.0, 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0, help="of chaos (%(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (%(default)s)")
    parser.add_argument(
        "--kill_every_s", type=float, default=42.0, help="mean time between kills (%(default)s)"
    )
    parser.add_argument(
        "--rest_s", type=float, default=300.0, help="most time to come to rest (%(default)s)"
    )
    parser.add_argument(
        "--releases",
        type=Path,
        default=Path(".testudo/releases"),
        help="folder of the releases (%(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="save the report as JSON")
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 1 when a message was lost, or something was left behind."""
    wrong = [
        f"--{name}: is {value:g}, must be more than 0"
        for name in ("minutes", "rate", "kill_every_s", "rest_s")
        if not (value := getattr(arguments, name)) > 0
    ]
    if wrong:
        raise CommandError("\n".join(wrong))
    console = Console()
    with tempfile.TemporaryDirectory(prefix="testudo-chaos-") as scratch:
        releases = releases_with_traps(console, arguments.releases, Path(scratch))
        with own_stack(arguments.home, lambda line: console.print(f"  {line}")) as stack:
            chaos = Chaos(console, arguments, stack, releases)
            good = chaos.run()
        left = _at_rest(
            lambda: [
                *chaos.left(),
                *processes_of(str(stack.home)),
                *left_folders(chaos.pids),
            ]
        )
    console.print(f"left behind: {', '.join(left) or 'nothing'}", highlight=False)
    return 0 if good and not left else 1


def releases_with_traps(console: Console, source: Path, scratch: Path) -> Path:
    """A copy of the releases in use, and the one with traps for a tenant of its own."""
    root = scratch / "releases"
    copy_releases(str(source), str(root))
    pointer = read_pointer(str(root))
    with console.status("making a release whose model hangs and crashes on some words"):
        # In a process of its own: TensorFlow stays out of this one, and its notes off the terminal.
        done = subprocess.run(
            [sys.executable, "-m", "rigs.traps", str(root), pointer.default],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise CommandError(f"the release with traps could not be made:\n{done.stderr}")
    traps = done.stdout.split()[-1]
    trapped = Pointer(pointer.default, tenants={TRAPPED_TENANT: traps})
    write_pointer(str(root), trapped, replacing=pointer)
    return root


def _at_rest(look: Callable[[], list[str]]) -> list[str]:
    """What is left behind, once nothing is, or after the time that what ends may take."""
    deadline_s = time.monotonic() + END_ALLOWED_S
    while (left := look()) and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
    return left


def processes_of(home: str) -> list[str]:
    """Processes that still work on a home that is gone: those whose command names it."""
    return [
        f"{one.info['name']} ({one.pid})"
        for one in psutil.process_iter(["cmdline", "name"])
        if any(home in argument for argument in one.info["cmdline"] or ())
    ]


def left_folders(workers: Collection[int]) -> list[str]:
    """Copies of releases of these workers, by their numbers, that are gone.

    Another pipeline on this machine may have left some as well.
    """
    found = [(OWNER.match(one.name), one) for one in left_behind()]
    return [str(one) for owner, one in found if owner and int(owner[1]) in workers]
