"""How every command reads its flags: argparse, with what people expect of a command line."""

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from testudo.errors import shown

DASHED = re.compile(r"^--[a-z0-9]+(?:[-_][a-z0-9]+)+(?==|$)")
FLAG = re.compile(r"--[a-z0-9_]+")
CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)$", re.DOTALL)


def closest(word: str, known: Sequence[str]) -> str:
    """; did you mean this? Or nothing, where nothing is close."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


class Parser(argparse.ArgumentParser):
    """Takes `--dry-run` for `--dry_run`, shows an example, and says what a typing error may mean.

    With `passes_on` flags that it does not know are left to whoever reads them next.
    """

    def __init__(self, *, example: str = "", passes_on: bool = False, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)
        self._example = example
        self._passes_on = passes_on

    def format_help(self) -> str:
        example = f"\nexample:\n  {self._example}\n" if self._example else ""
        return super().format_help() + example

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Of a command of commands the innermost is asked first: it knows its own flags."""
        found, unknown = super().parse_known_args(_underscored(args), namespace)
        if unknown and not self._passes_on:
            known = sorted({*FLAG.findall(self.format_help())})
            self.error(
                "\n".join(
                    f"{one} is no flag of this command{closest(one.partition('=')[0], known)}"
                    if one.startswith("-")
                    else f"{one!r} is not expected here"
                    for one in unknown
                )
            )
        return found, unknown

    def error(self, message: str) -> NoReturn:
        choice = CHOICE.search(message)
        if choice:
            known = [one.strip("' ") for one in choice[2].split(",")]
            meant = closest(choice[1], known) or f"; there are {', '.join(known)}"
            message = f"{message[: choice.start()]}{choice[1]!r} is not known{meant}"
        message = "\n".join(map(shown, message.split("\n")))  # it quotes what was typed
        self.exit(2, f"{self.prog}: {message}\n`{self.prog} --help` says more.\n")


def _underscored(args: Sequence[str] | None) -> list[str] | None:
    """The names of flags as they are declared, before a `--` that ends them."""
    if args is None:
        return None
    end = list(args).index("--") if "--" in args else len(args)
    flags = [
        DASHED.sub(lambda name: "--" + name[0][2:].replace("-", "_"), one) for one in args[:end]
    ]
    return [*flags, *args[end:]]
