"""What a build of the image may copy: the build context, less what .dockerignore leaves out."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from testudo.errors import CommandError

IGNORE_FILE = ".dockerignore"
EVERYTHING, ANYWHERE = "*", "**/"


class Context:
    """A folder to copy from, with .dockerignore obeyed; `ignored` names are left out anywhere.

    The file must ignore everything first, then name what is kept (!name), then
    names that are ignored anywhere (**/name); other lines raise CommandError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / IGNORE_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rules = [line.strip() for line in lines if line.strip() and line[0] != "#"]
        if not rules or rules[0] != EVERYTHING:
            raise CommandError(f"{path}: does not begin by ignoring everything (*)")
        self._kept = {rule[1:] for rule in rules[1:] if rule[0] == "!"}
        self.ignored = {rule.removeprefix(ANYWHERE) for rule in rules[1:] if rule[0] != "!"}
        odd = [rule for rule in rules[1:] if not rule.startswith(("!", ANYWHERE))]
        if odd or any("/" in rule or "*" in rule for rule in self._kept | self.ignored):
            raise CommandError(f"{path}: only *, !NAME and **/NAME are understood")

    def path(self, name: str) -> Path:
        """A file or folder of the context. Raises CommandError for what is not in it."""
        source = self._folder / name
        if name.partition("/")[0] not in self._kept or not source.exists():
            raise CommandError(f"COPY {name}: is not there, or is ignored by {IGNORE_FILE}")
        return source


def lay(source: Path, target: Path, *, ignored: Iterable[str] = (), linked: bool = False) -> None:
    """Lay a file, or a folder's content, over what is at `target`, as COPY does.

    With `linked` both share the files' content, which neither may then change.
    """
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        (os.link if linked else shutil.copy2)(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for each in source.iterdir():
        if each.name not in ignored:
            lay(each, target / each.name, ignored=ignored, linked=linked)
