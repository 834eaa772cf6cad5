"""What is wrong with training data, and how it is told: one list, with lines, without repeats."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.failures import TestudoError

MAX_PROBLEMS = 20  # listed in one refusal; the others are counted
MAX_LINES_A_KIND = 3  # of problems of one kind; more are one problem, with a count
MAX_VALUE = 300  # characters of a value that are shown; paths are shorter, base64 is longer


class ManifestRefused(TestudoError):
    """Training data with mistakes: every one of them, with its line."""

    def __init__(self, manifest: Path, problems: Sequence[str]) -> None:
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        super().__init__(f"{manifest.name} cannot be trained on:\n  " + "\n  ".join(shown))
        self.problems = tuple(problems)


class Problem(NamedTuple):
    """One thing wrong with one line; those of a kind are told together when they are many."""

    line: int
    text: str
    kind: str


def summarised(problems: Sequence[Problem]) -> list[str]:
    """A text each, or one of a kind that has more than MAX_LINES_A_KIND; in the lines' order."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    texts = []
    for problem in problems:
        alike = kinds[problem.kind]
        if len(alike) <= MAX_LINES_A_KIND:
            texts.append(f"line {problem.line}: {problem.text}")
        elif alike[0] is problem:
            lines = ", ".join(str(one.line) for one in alike[:MAX_LINES_A_KIND])
            differ = any(one.text != problem.text for one in alike)
            such_as = f"such as line {problem.line}: " if differ else ""
            texts.append(f"{len(alike)} lines ({lines}, ...): {such_as}{problem.text}")
    return texts


def shown(value: str) -> str:
    """A value as it is written, but for what no terminal prints, and cut where it is no path."""
    escaped = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in value
    )
    return escaped if len(escaped) <= MAX_VALUE else f"{escaped[:40]}... ({len(value)} characters)"
