"""The `testudo` command: one subcommand a module, each imported only when it is called."""

import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain

from models.failures import TestudoError
from testudo.errors import shown
from testudo.parser import Parser
from testudo.proxies import names_a_proxy, past_proxies
from testudo.watch import PartEnded, Watching

Commands = Mapping[str, tuple[str, str]]  # name -> module, and what it does
GROUPS: Mapping[str, Commands] = {
    "use it": {
        "demo": ("testudo.commands.demo", "the whole system on this machine, in one go"),
        "run": ("testudo.commands.run", "run the pipeline: on the local stack, files, Dataflow"),
        "publish": ("testudo.commands.publish", "publish messages to Pub/Sub"),
        "query": ("testudo.commands.query", "ask BigQuery the common questions"),
        "export": ("testudo.commands.export", "write a day of predictions and features as Parquet"),
        "view": ("testudo.commands.view", "see items, scores and dead letters on a local page"),
        "replay": ("testudo.commands.replay", "publish dead letters again, from their payloads"),
        "try": ("testudo.commands.try_item", "one item through a release, and what each step gave"),
        "train": ("testudo.commands.train", "train the models and save them as a release"),
        "release": ("testudo.commands.release", "bring a release to an environment"),
        "local": ("testudo.commands.local", "start, end and show the local stack"),
        "completion": ("testudo.commands.completion", "have bash or zsh complete these"),
    },
    "run it in the cloud": {
        "provision": (
            "testudo.commands.provision",
            "make topics, tables, buckets, roles and alerts of an environment, after a plan",
        ),
        "doctor": (
            "testudo.commands.doctor",
            "check a project from services to bundles, and change nothing",
        ),
        "template": ("testudo.commands.template", "the Flex Template: bases, metadata, spec"),
        "launch": ("testudo.commands.launch", "launch a job on Dataflow from a template"),
        "status": ("testudo.commands.status", "show an environment's jobs and deployments"),
        "logs": ("testudo.commands.logs", "show what a job and its workers say"),
        "smoke": ("testudo.commands.smoke", "send some items through an environment, and judge"),
        "update": ("testudo.commands.update", "bring the running job to another version"),
        "rollback": ("testudo.commands.rollback", "go back to the version that ran before"),
        "deploy": ("testudo.commands.deploy", "launch or update, try it, go back if it fails"),
        "drain": ("testudo.commands.drain", "end a job when it has finished what it has read"),
        "cancel": ("testudo.commands.cancel", "end a job at once"),
        "costs": ("testudo.commands.costs", "price what the jobs of an environment used"),
        "access": ("testudo.commands.access", "say who sees which tenant's rows in BigQuery"),
    },
    "load and limits": {
        "loadtest": ("loadtest.commands", "artificial load, what it measures, limits from it"),
    },
}
COMMANDS: Commands = dict(chain.from_iterable(group.items() for group in GROUPS.values()))
PASSES_FLAGS_ON = "testudo.commands.run"
INTERRUPTED = 130
MAY_USE_FRAMES = ("demo", "run", "try", "train")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code.

    0: done. 1: it was tried, and failed. 2: what was asked for is wrong or not there, and
    nothing was done. 3: there is nothing to show. 130: interrupted. An error has its code from
    `testudo.errors`.
    """
    if argv is None:
        argv = sys.argv[1:]
        _spare_frames(argv)
    if names_a_proxy(os.environ):
        os.environ.update(past_proxies(os.environ))
    parser = Parser(
        prog="testudo",
        description="Scores items of image and text on a stream.",
        example="testudo demo",
    )
    parser.add_argument("--version", action="version", version=f"testudo {version('testudo')}")
    try:
        return run_command(parser, GROUPS, argv)
    except KeyboardInterrupt:  # also while a command's own code is imported
        print(f"testudo {' '.join(argv[:1])}: interrupted", file=sys.stderr)
        return INTERRUPTED


def run_command(parser: Parser, groups: Mapping[str, Commands], argv: Sequence[str]) -> int:
    """Run the subcommand that `argv` begins with; a module with COMMANDS has some of its own."""
    commands = dict(chain.from_iterable(group.items() for group in groups.values()))
    parser.epilog = _listed(groups)
    parser.add_argument("command", metavar="COMMAND", choices=commands, help="see below")
    name = parser.parse_args(argv[:1]).command

    module_name, what = commands[name]
    _quieten(module_name)
    module = importlib.import_module(module_name)
    command = Parser(
        prog=f"{parser.prog} {name}",
        description=what[0].upper() + what[1:] + ".",
        example=getattr(module, "EXAMPLE", ""),
        passes_on=module_name == PASSES_FLAGS_ON,
    )
    if hasattr(module, "COMMANDS"):
        return run_command(command, {"commands": module.COMMANDS}, argv[1:])
    module.add_arguments(command)
    try:
        with Watching():
            if module_name == PASSES_FLAGS_ON:
                code: int = module.main(*command.parse_known_args(argv[1:]))
            else:
                code = module.main(command.parse_args(argv[1:]))
    except (PartEnded, TestudoError) as error:
        lines = "\n".join(map(shown, str(error).split("\n")))  # it may quote rows or objects
        print(f"{command.prog}: {lines}", file=sys.stderr)
        return error.exit_code
    return code


def _listed(groups: Mapping[str, Commands]) -> str:
    """The commands by group, a line each, for the end of a help text."""
    return "\n\n".join(
        f"{title}:\n" + "\n".join(f"  {name:10} {what}" for name, (_, what) in commands.items())
        for title, commands in groups.items()
    )


def _spare_frames(argv: Sequence[str]) -> None:
    """Google's BigQuery client imports pandas for frames, which nobody asks for here: half a
    second. It does without where there is none; people's own functions may want it.
    """
    if argv[:1] and argv[0] not in MAY_USE_FRAMES:
        sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]


def _quieten(module_name: str) -> None:
    """Warnings and worse only, but for the job itself; TensorFlow's start-up notes never."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(
        level=logging.INFO if module_name == PASSES_FLAGS_ON else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    sys.exit(main())
