"""The `testudo` command: one subcommand a module, each imported only when it is called."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

COMMANDS = {
    "run": ("beam_pipeline.commands.run", "run the pipeline: on the local stack, files, Dataflow"),
    "train": ("models.train", "train the models and save them as a release"),
    "publish": ("beam_pipeline.commands.publish", "publish messages to Pub/Sub"),
    "query": ("beam_pipeline.commands.query", "ask BigQuery the common questions"),
    "replay": ("beam_pipeline.commands.replay", "publish dead letters again, from their payloads"),
    "local": ("beam_pipeline.local.commands", "start, end and look at the local stack"),
    "demo": ("beam_pipeline.commands.demo", "the whole system on this machine, in one go"),
    "chaos": ("loadtest.chaos", "break everything for some minutes, and count what is lost"),
    "fuzz": ("loadtest.fuzz", "look for inputs that the parser or the decoder cannot take"),
    "bench": ("loadtest.bench", "measure the graph against a plain loop"),
}
PASSES_FLAGS_ON = "run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0, 1 when the job failed, 2 for wrong usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="testudo", description="Scores items of image and text on a stream."
    )
    parser.add_argument("--version", action="version", version=f"testudo {version('testudo')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, what) in COMMANDS.items():
        subparsers.add_parser(name, help=what, description=what, add_help=False)
    name = parser.parse_args(argv[:1]).command

    module_name, what = COMMANDS[name]
    _quieten(name)
    module = importlib.import_module(module_name)
    command = argparse.ArgumentParser(
        prog=f"testudo {name}", description=what[0].upper() + what[1:] + ".", allow_abbrev=False
    )
    module.add_arguments(command)
    from beam_pipeline.commands.failure import CommandError, shown

    try:
        if name == PASSES_FLAGS_ON:
            code: int = module.main(*command.parse_known_args(argv[1:]))
        else:
            code = module.main(command.parse_args(argv[1:]))
    except CommandError as error:
        lines = "\n".join(map(shown, str(error).split("\n")))  # it may quote rows or objects
        print(f"testudo {name}: {lines}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"testudo {name}: interrupted", file=sys.stderr)
        return 130
    return code


def _quieten(name: str) -> None:
    """Warnings and worse only, but for the job itself; TensorFlow's start-up notes never."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(
        level=logging.INFO if name == "run" else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    sys.exit(main())
