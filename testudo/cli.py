"""The `testudo` command: one subcommand a module, each imported only when it is called."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from testudo.local.proxies import names_a_proxy, past_proxies

Commands = Mapping[str, tuple[str, str]]  # name -> module, and what it does
COMMANDS: Commands = {
    "run": ("testudo.commands.run", "run the pipeline: on the local stack, files, Dataflow"),
    "train": ("testudo.commands.train", "train the models and save them as a release"),
    "publish": ("testudo.commands.publish", "publish messages to Pub/Sub"),
    "query": ("testudo.commands.query", "ask BigQuery the common questions"),
    "costs": ("testudo.commands.costs", "price what the jobs of an environment used"),
    "access": ("testudo.commands.access", "say who sees which tenant's rows in BigQuery"),
    "replay": ("testudo.commands.replay", "publish dead letters again, from their payloads"),
    "provision": (
        "testudo.commands.provision",
        "make topics, tables, buckets, roles and alerts of an environment, after a plan",
    ),
    "release": ("testudo.commands.release", "bring a release to an environment"),
    "launch": ("testudo.commands.launch", "launch a job on Dataflow from a template"),
    "status": ("testudo.commands.status", "show an environment's jobs and deployments"),
    "update": ("testudo.commands.update", "bring the running job to another version"),
    "rollback": ("testudo.commands.rollback", "go back to the version that ran before"),
    "deploy": ("testudo.commands.deploy", "launch or update, try it, go back if it fails"),
    "drain": ("testudo.commands.drain", "end a job when it has finished what it has read"),
    "cancel": ("testudo.commands.cancel", "end a job at once"),
    "logs": ("testudo.commands.logs", "show what a job and its workers say"),
    "template": ("testudo.commands.template", "the Flex Template: bases, metadata, spec"),
    "local": ("testudo.commands.local", "start, end and look at the local stack"),
    "smoke": (
        "testudo.commands.smoke",
        "send some items through an environment, and judge what came out",
    ),
    "demo": ("testudo.commands.demo", "the whole system on this machine, in one go"),
    "loadtest": ("loadtest.commands", "artificial load, what it measures, and limits from it"),
    "plan": ("loadtest.commands.plan", "say which limits to set for a number of customers"),
    "chaos": ("rigs.chaos", "break everything for some minutes, and count what is lost"),
    "fuzz": ("rigs.fuzz", "look for inputs that the parser or the decoder cannot take"),
    "bench": ("rigs.bench", "measure the graph against a plain loop"),
}
PASSES_FLAGS_ON = "testudo.commands.run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0, 1 when the job failed, 2 for wrong usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if names_a_proxy(os.environ):
        os.environ.update(past_proxies(os.environ))
    parser = argparse.ArgumentParser(
        prog="testudo", description="Scores items of image and text on a stream."
    )
    parser.add_argument("--version", action="version", version=f"testudo {version('testudo')}")
    return _run(parser, COMMANDS, argv)


def _run(parser: argparse.ArgumentParser, commands: Commands, argv: Sequence[str]) -> int:
    """Run the subcommand that `argv` begins with; a module with COMMANDS has some of its own."""
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, what) in commands.items():
        subparsers.add_parser(name, help=what, description=what, add_help=False)
    name = parser.parse_args(argv[:1]).command

    module_name, what = commands[name]
    _quieten(module_name)
    module = importlib.import_module(module_name)
    command = argparse.ArgumentParser(
        prog=f"{parser.prog} {name}",
        description=what[0].upper() + what[1:] + ".",
        allow_abbrev=False,
    )
    if hasattr(module, "COMMANDS"):
        return _run(command, module.COMMANDS, argv[1:])
    module.add_arguments(command)
    from testudo.errors import CommandError, shown
    from testudo.local.watch import PartEnded, Watching

    try:
        with Watching():
            if module_name == PASSES_FLAGS_ON:
                code: int = module.main(*command.parse_known_args(argv[1:]))
            else:
                code = module.main(command.parse_args(argv[1:]))
    except PartEnded as ended:
        print(f"{command.prog}: {ended}", file=sys.stderr)
        return 1
    except CommandError as error:
        lines = "\n".join(map(shown, str(error).split("\n")))  # it may quote rows or objects
        print(f"{command.prog}: {lines}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{command.prog}: interrupted", file=sys.stderr)
        return 130
    return code


def _quieten(module_name: str) -> None:
    """Warnings and worse only, but for the job itself; TensorFlow's start-up notes never."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(
        level=logging.INFO if module_name == PASSES_FLAGS_ON else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    sys.exit(main())
