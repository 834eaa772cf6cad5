"""A stage of the image as a folder: its paths, its variables, commands run in it."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from testudo.errors import Failed

PREFIX = "usr/local"  # of the base image's Python
SYSTEM_PATH = "/usr/bin:/bin"  # for `rm` and the like
# The way to package registries, which a container gets from its host too.
NETWORK = re.compile(
    r"(PIP|UV)_.*(CERT|INDEX|LINKS|TIMEOUT).*|SSL_CERT_\w+|\w+_proxy", re.IGNORECASE
)
COMMAND_ALLOWED_S = 1800.0
SHOWN_LINES = 20


@dataclasses.dataclass
class Stage:
    """A stage while it is made: its folder, its ENV, its arguments, where it stands."""

    root: Path
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str = "/"

    @property
    def python(self) -> Path:
        return self.root / PREFIX / "bin" / "python"

    def path(self, name: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / os.path.normpath(os.path.join(self.folder, name)).lstrip("/")

    def word(self, text: str) -> str:
        """A word of a command, or a value, with a path of the image brought here."""
        return str(self.path(text)) if text.startswith("/") else text

    def variables(self) -> dict[str, str]:
        """All that a command of the stage sees of any environment."""
        kept = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
        own = {name: self.word(value) for name, value in self.environment.items()}
        path = f"{self.python.parent}:{SYSTEM_PATH}"
        return {"HOME": str(self.path("/root")), "LANG": "C.UTF-8", "PATH": path, **kept, **own}

    def mount_cache(self, target: str) -> None:
        """A cache of the build is the same cache of this machine's user."""
        inside = self.path(target)
        outside = Path.home() / inside.relative_to(self.path("/root"))
        outside.mkdir(parents=True, exist_ok=True)
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.unlink(missing_ok=True)
        inside.symlink_to(outside)

    def make_python(self, version: str, log: Path) -> None:
        """A virtual environment with pip, where the base image has its Python.

        Raises Failed, also where this machine has no Python of the version.
        """
        mine = f"{sys.version_info.major}.{sys.version_info.minor}"
        wanted = sys.executable if version == mine else version
        beside = Path(sys.executable).with_name("uv")
        uv = str(beside) if beside.exists() else "uv"
        place = str(self.python.parents[1])
        flags = ["--quiet", "--seed", "--no-project", "--no-python-downloads", "--python", wanted]
        # With this process's variables: they say where uv keeps what it has fetched.
        _run([uv, "venv", *flags, place], self.root.parent, dict(os.environ), log)

    def run(self, command: Sequence[str], log: Path) -> None:
        """Run a command; what it prints is added to `log`. Raises Failed."""
        folder = self.path(".")
        folder.mkdir(parents=True, exist_ok=True)
        # Found here: a child's PATH is not searched for its own program.
        program = self.python.parent / command[0]
        found = [str(program), *command[1:]] if program.exists() else list(command)
        _run(found, folder, self.variables(), log)


def _run(command: list[str], folder: Path, variables: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as output:
        start = output.tell()
        code = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_ALLOWED_S,
        ).returncode
    if code:
        with log.open("rb") as printed:
            printed.seek(start)
            last = printed.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
        raise Failed("\n".join([f"{' '.join(command)}: exit code {code}", *last]))
