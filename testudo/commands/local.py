"""`testudo local`: the laptop stack from the command line."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from testudo.local.detached import StackState, read_state, start_detached, stop_detached
from testudo.local.health import ANEW, troubles
from testudo.local.home import DEFAULT_HOME
from testudo.proxies import past_proxies

EXAMPLE = "testudo local up"
_DESCRIPTION = """\
Prism, the Pub/Sub emulator and stand-ins for BigQuery and Cloud Storage, on
this machine only. No cloud account is needed, and none is touched.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `testudo local` to their parser."""
    parser.description = _DESCRIPTION
    commands = parser.add_subparsers(dest="local_command", required=True, metavar="COMMAND")
    up = _add(
        commands,
        "up",
        "start the stack and leave it running",
        "Installs what is missing the first time (a minute or two), starts the "
        "servers, and returns when all of them answer.",
    )
    up.add_argument(
        "--keep_data",
        action="store_true",
        help="keep tables and objects for the next `up --keep_data` (Pub/Sub keeps nothing)",
    )
    _add(commands, "down", "end the stack", "Ends the servers and deletes their data, unless kept.")
    _add(
        commands,
        "status",
        "show each server",
        "Shows each server's ports, process, memory and log file. Exits with 1 when one is dead "
        "or does not answer, with 3 when no stack runs.",
    )
    _add(
        commands,
        "env",
        "print the environment as export lines",
        'For a shell: eval "$(testudo local env)". Google\'s own clients then use the stack.',
    )


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=description)
    parser.add_argument(
        "--home",
        type=Path,
        default=DEFAULT_HOME,
        help="folder of the stack's tools, logs, data and state (default: %(default)s)",
    )
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Run one subcommand; returns the exit code: 0, 1 for a failure, 3 when no stack runs."""
    home: Path = arguments.home
    if arguments.local_command == "up":
        return _up(home, keep_data=arguments.keep_data)
    if arguments.local_command == "down":
        _say("The stack is down." if stop_detached(home) else "No stack was running.")
        return 0
    state = read_state(home)
    if state is None:
        _say("No stack runs; `testudo local up` starts one.")
        return 3
    if arguments.local_command == "status":
        return 1 if _print_servers(state) else 0
    print(_exports(state), flush=True)
    return 0


def _up(home: Path, *, keep_data: bool) -> int:
    state = read_state(home)
    if state is not None:
        _say(f"The stack is up already (process {state.pid}).")
    else:
        state = start_detached(home, _say, keep_data=keep_data)
    if _print_servers(state):
        _say(ANEW)
        return 1
    print(_exports(state), flush=True)
    return 0


def _exports(state: StackState) -> str:
    environment = {**state.environment, **past_proxies(os.environ)}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def _print_servers(state: StackState) -> bool:
    """Returns whether something is wrong with one of them."""
    wrong = troubles(state.servers)
    table = Table("server", "ports on 127.0.0.1", "pid", "state", "memory", box=None)
    table.add_column("log", overflow="fold")
    for each in state.servers:
        table.add_row(
            each.name,
            ", ".join(map(str, each.ports)),
            str(each.pid),
            wrong.get(each.name, "up"),
            f"{each.memory_bytes / 2**20:.0f} MB",
            os.path.relpath(each.log),
        )
    Console(stderr=True).print(table)
    return bool(wrong)


def _say(line: str) -> None:
    """For the user; on standard error, so that `eval` reads export lines only."""
    print(line, file=sys.stderr, flush=True)
