"""`testudo chaos`: everything that goes wrong, on the local stack, and what became of each item.

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
from pathlib import Path

import psutil
from rich.console import Console

from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import add_home_argument
from beam_pipeline.local.missing import ToolsMissing
from beam_pipeline.local.processes import StackError
from loadtest.chaos_run import Chaos
from loadtest.chaos_traffic import TRAPPED_TENANT
from loadtest.streaming import own_stack
from models.loaded import left_behind
from models.manifest import ReleaseError
from models.release import Pointer, copy_releases, read_pointer, write_pointer


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
    try:
        with tempfile.TemporaryDirectory(prefix="testudo-chaos-") as scratch:
            releases = releases_with_traps(console, arguments.releases, Path(scratch))
            with own_stack(arguments.home, lambda line: console.print(f"  {line}")) as stack:
                chaos = Chaos(console, arguments, stack, releases)
                good = chaos.run()
            left = [*chaos.left(), *processes_of(str(stack.home)), *left_folders()]
    except (ReleaseError, ToolsMissing, StackError) as error:
        raise CommandError(str(error)) from error
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
            [sys.executable, "-m", "loadtest.traps", str(root), pointer.default],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise CommandError(f"the release with traps could not be made:\n{done.stderr}")
    traps = done.stdout.split()[-1]
    trapped = Pointer(pointer.default, tenants={TRAPPED_TENANT: traps})
    write_pointer(str(root), trapped, replacing=pointer)
    return root


def processes_of(home: str) -> list[str]:
    """Processes that still work on a home that is gone."""
    return [
        f"{one.info['name']} ({one.pid})"
        for one in psutil.process_iter(["cmdline", "name"])
        if any(home in argument for argument in one.info["cmdline"] or ())
    ]


def left_folders() -> list[str]:
    """Copies of releases whose worker is gone."""
    return [str(one) for one in left_behind()]
