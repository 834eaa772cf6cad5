"""The command line: what people type by mistake is told with what they may have meant."""

import importlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType

import pytest

from testudo import cli
from testudo.cli import COMMANDS
from testudo.parser import Parser

# What no command takes; each as somebody would type it.
MISTAKES = (
    ["--nonsense"],
    ["--hlep"],
    ["--environmnets=a"],
    ["-x"],
    ["--=a"],
    ["one", "two", "three"],
    ["--relase", "listings"],
    ["\u2014\u2014help"],  # of a text program that makes dashes of hyphens
    ["--\ud800"],
)


def leaves(commands: Mapping[str, tuple[str, str]], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every command and its module; those of a command of commands too."""
    for name, (module_name, _) in commands.items():
        inner = getattr(importlib.import_module(module_name), "COMMANDS", None)
        if inner:
            yield from leaves(inner, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", module_name


LEAVES = dict(leaves(COMMANDS))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What is said of a mistake, which ends the command with code 2."""
    try:
        code = cli.main(argv)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["quer"], "testudo: argument COMMAND: 'quer' is not known; did you mean query?"),
        (["release", "psh"], "testudo release: argument COMMAND: 'psh' is not known; did you"),
        (["view", "--prot=8080"], "--prot=8080 is no flag of this command; did you mean --port?"),
        (["query", "outcomes", "--tenant_id=a"], "did you mean --tenant?"),
        (["query", "--format=xml"], "'xml' is not known; there are table, json, csv"),
        (["query", "outcomes", "yesterday"], "'yesterday' is not expected here"),
        (["release", "push", "staging", "--relase=a"], "testudo release push: --relase=a is no"),
        (["export", "--day=2026-11-24"], "the following arguments are required: --to"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    """In one line, by the command that reads the flag; its help is named, not printed."""
    told = refused(capsys, *argv)
    assert said in told
    assert re.search(r"`testudo[a-z ]* --help` says more\.\n$", told)
    assert len(told.splitlines()) == 2


def test_all_mistakes_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Who has typed three flags wrong reads it once."""
    told = refused(capsys, "view", "--prot=1", "--outptu=a", "staging", "else")
    assert [one in told for one in ("--port", "--output", "'else'")] == [True] * 3


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_refuses_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """With code 2 and no traceback, whatever it is. (`run` leaves unknown flags to Beam's.)"""
    if name == "run":
        return
    for mistake in MISTAKES:
        assert refused(capsys, *name.split(), *mistake)


@pytest.mark.parametrize(("name", "module_name"), LEAVES.items())
def test_every_command_shows_an_example_that_it_takes(name: str, module_name: str) -> None:
    """Of its own, at the end of its help."""
    module: ModuleType = importlib.import_module(module_name)
    program, *argv = shlex.split(module.EXAMPLE)
    own = argv[: len(name.split())]
    parser = Parser(passes_on=name == "run")
    module.add_arguments(parser)
    assert (program, own) == ("testudo", name.split())
    parser.parse_known_args(argv[len(own) :])


def test_dashes_in_names_of_flags_are_as_good() -> None:
    """In names alone, not in values, and not after the `--` that ends flags."""
    parser = Parser()
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("--to_day")
    parser.add_argument("words", nargs="*")
    typed = ["--dry-run", "--to-day=a-b--c-d", "w-w", "--", "--not-a-flag"]
    assert vars(parser.parse_args(typed)) == {
        "dry_run": True,
        "to_day": "a-b--c-d",
        "words": ["w-w", "--not-a-flag"],
    }


def test_an_interruption_is_one_line_also_while_a_command_is_imported() -> None:
    """Importing is most of the time of a short command."""
    text = (
        "import sys, signal, importlib\n"
        "from testudo import cli\n"
        "take = importlib.import_module\n"
        "def slow(name):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return take(name)\n"
        "importlib.import_module = slow\n"
        "sys.exit(cli.main(['view']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGINT, "testudo view: interrupted\n")
