"""The Dockerfile as data: its instructions, and the bases with their digests.

Reads the part of the language that templates/Dockerfile is written in, and
refuses the rest, so that whoever reads an image from it reads all of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from testudo.errors import CommandError

FILE = Path("templates/Dockerfile")
KNOWN = {"ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "WORKDIR"}
BASE = re.compile(
    r"ARG (?P<argument>[A-Z]+_BASE)="
    r"(?P<registry>[a-z0-9.-]+(:[0-9]+)?)/(?P<name>[a-z0-9._/-]+):(?P<tag>[\w.-]+)"
    r"@sha256:(?P<digest>[0-9a-f]{64})"
)
UNPINNED = "0" * 64


class Instruction(NamedTuple):
    line: int
    name: str
    flags: dict[str, str]  # --mount, --from
    value: str

    def __str__(self) -> str:
        flags = [f"--{name}={value}" for name, value in self.flags.items() if name == "from"]
        return " ".join([self.name, *flags, self.value])

    @property
    def words(self) -> list[str]:
        """The elements of a list as JSON has it; other values split at blanks."""
        if not self.value.startswith("["):
            return self.value.split()
        words = json.loads(self.value)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise CommandError(f"line {self.line}: {self.name} is no list of texts")
        return words

    def assigned(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Name and value of ENV or ARG, which here give one each."""
        name, equals, value = self.value.partition("=")
        if not equals or re.search(r"\s", self.value):
            raise CommandError(f"line {self.line}: {self.name} is not of the form NAME=VALUE")
        return name, self.filled(value, values)

    def filled(self, text: str, values: Mapping[str, str]) -> str:
        """The text with each ${NAME} replaced by its value."""

        def value_of(found: re.Match[str]) -> str:
            if found[1] not in values:
                raise CommandError(f"line {self.line}: there is no argument {found[1]}")
            return values[found[1]]

        return re.sub(r"\$\{(\w+)\}", value_of, text)


class Base(NamedTuple):
    """An image that ours is made from, as the registry knows it."""

    argument: str
    registry: str
    name: str
    tag: str
    digest: str

    @property
    def is_pinned(self) -> bool:
        return self.digest != UNPINNED

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}:{self.tag}"


def instructions(text: str) -> Iterator[Instruction]:
    """Each instruction in order. Raises CommandError at one that is not among KNOWN."""
    started, parts = 0, []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        started = started or number
        parts.append(bare.removesuffix("\\").strip())
        if not bare.endswith("\\"):
            yield _instruction(started, " ".join(parts))
            started, parts = 0, []
    if parts:
        raise CommandError(f"line {started}: the instruction has no end")


def _instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.partition(" ")
    if name not in KNOWN:
        raise CommandError(f"line {line}: {name} is not understood here")
    flags = {}
    while found := re.match(r"--(\w+)=(\S+)\s+", rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    return Instruction(line, name, flags, rest.strip())


def bases(text: str) -> list[Base]:
    """The bases, by the arguments that name them. Raises CommandError where there are none."""
    lines = (line.strip() for line in text.splitlines())
    found = [BASE.fullmatch(line) for line in lines if line.startswith("ARG ") and "_BASE" in line]
    if not found or not all(found):
        raise CommandError(
            "the bases are not of the form ARG NAME_BASE=REGISTRY/NAME:TAG@sha256:DIGEST"
        )
    named = (base.groupdict() for base in found if base)
    return [Base(**{field: base[field] for field in Base._fields}) for base in named]


def pinned(text: str, digests: Mapping[str, str]) -> str:
    """The text with the digest of each base, by its argument, put in the place of the old one."""

    def with_digest(found: re.Match[str]) -> str:
        return found[0].removesuffix(found["digest"]) + digests[found["argument"]]

    return BASE.sub(with_digest, text)
