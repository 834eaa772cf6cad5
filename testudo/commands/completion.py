"""`testudo completion`: what a shell needs to complete commands and flags."""

import argparse
import importlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import shtab

from beam_pipeline.options import own_parser
from testudo.parser import Parser

EXAMPLE = "testudo completion bash"
_DESCRIPTION = """\
Prints a script of completions. bash reads it at its next start from
~/.local/share/bash-completion/completions/testudo, zsh from a file _testudo in a
folder of $fpath. For this shell alone:

  eval "$(testudo completion bash)"
"""

Modules = Mapping[str, tuple[str, str]]  # as in testudo.cli


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh"), help="bash or zsh")


def main(arguments: argparse.Namespace) -> int:
    from testudo.cli import GROUPS  # which imports this module by its name alone

    commands = dict(chain.from_iterable(group.items() for group in GROUPS.values()))
    print(shtab.complete(whole_parser(commands), shell=arguments.shell))
    return 0


def whole_parser(commands: Modules, prog: str = "testudo") -> Parser:
    """One parser of all commands, where the command itself reads one after the other."""
    parser = Parser(prog=prog)
    children = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, (module_name, what) in commands.items():
        module = importlib.import_module(module_name)
        nested: Modules = getattr(module, "COMMANDS", {})
        if nested:
            inner = whole_parser(nested, f"{prog} {name}")
            child = children.add_parser(name, help=what, parents=[inner], add_help=False)
        else:
            child = children.add_parser(name, help=what)
            module.add_arguments(child)
            if name == "run":
                _add_flags(child)
        for action in _file_actions(child):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return parser


def _add_flags(child: argparse.ArgumentParser) -> None:
    """Those of the job, which `testudo run` hands on."""
    known = {flag for action in child._actions for flag in action.option_strings}
    for action in own_parser()._actions:
        if not known & set(action.option_strings):
            child._add_action(action)


def _file_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.type is Path)
