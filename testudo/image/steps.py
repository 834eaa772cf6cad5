"""The Dockerfile's own steps, done in a folder, where there is no container engine.

Each stage is a folder, and a path of the image is a path below it. A fresh
virtual environment stands for the Python of the base image; commands see no
other packages, and of this machine's environment only the way to package
registries. What only the base images hold is not there, and is said.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from testudo.errors import CommandError
from testudo.image.context import Context, lay
from testudo.image.dockerfile import Instruction, bases, instructions
from testudo.image.stages import Stage

Report = Callable[[str], None]

PYTHON_BASE = "PYTHON_BASE"  # the argument of the base that a virtual environment stands for
LAST_STAGE = "image"  # the folder of the stage without a name
LINE_CHARS = 100


class Image(NamedTuple):
    """What the steps made: what launcher and workers would find in the image."""

    root: Path
    python: Path
    environment: dict[str, str]  # all of it: a process of the image sees nothing else
    not_performed: list[str]

    def launch_command(self, flags: Sequence[str]) -> list[str]:
        """What Google's launcher runs, with `environment`."""
        return [str(self.python), self.environment["FLEX_TEMPLATE_PYTHON_PY_FILE"], *flags]


def perform(
    dockerfile: Path, context: Path, folder: Path, report: Report, *, variant: str = "cpu"
) -> Image:
    """Do the steps anew in `folder`, which is emptied first, and return what they made.

    Raises CommandError for what cannot be done this way, Failed for a command.
    """
    text = dockerfile.read_text(encoding="utf-8")
    tags = {f"${{{base.argument}}}": base.tag for base in bases(text)}
    steps = _Steps(Context(context), folder.resolve(), tags, {"VARIANT": variant})
    planned = list(instructions(text))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for step in planned:
        report(f"{step.line:3} {step}"[:LINE_CHARS])
        steps.do(step)
    made = steps.stage
    return Image(made.root, made.python, made.variables(), steps.not_performed)


class _Steps:
    """The stages so far; `tags` are the bases' by how FROM names them."""

    def __init__(
        self, context: Context, folder: Path, tags: dict[str, str], arguments: dict[str, str]
    ) -> None:
        self._context, self._folder = context, folder
        self._log = folder / "steps.log"
        self._tags, self._arguments = tags, arguments
        self._stages: dict[str, Stage | None] = {}  # None: only a base image holds it
        self._current: Stage | None = None
        self.not_performed: list[str] = []

    @property
    def stage(self) -> Stage:
        if self._current is None:
            raise CommandError("a step stands in no stage that can be made here")
        return self._current

    def do(self, step: Instruction) -> None:
        getattr(self, f"_{step.name.lower()}")(step)

    def _from(self, step: Instruction) -> None:
        source, name = step.words[0], step.words[-1] if len(step.words) > 1 else LAST_STAGE
        self._current = Stage(self._folder / name)
        if source == f"${{{PYTHON_BASE}}}":
            self.stage.make_python(self._tags[source].partition("-")[0], self._log)
        elif source in self._tags:
            self.not_performed.append(f"FROM {source} AS {name}: only the base image holds it")
            self._current = None
        elif before := self._stages.get(source):
            shutil.copytree(before.root, self.stage.root, symlinks=True)
            self.stage.environment.update(before.environment)
        else:
            raise CommandError(f"line {step.line}: there is no stage {source} to begin from")
        self._stages[name] = self._current

    def _arg(self, step: Instruction) -> None:
        if self._current is not None:  # the ones above are the bases
            name, value = step.assigned({})
            self._current.arguments[name] = self._arguments.get(name, value)

    def _env(self, step: Instruction) -> None:
        name, value = step.assigned(self.stage.arguments)
        self.stage.environment[name] = value

    def _workdir(self, step: Instruction) -> None:
        self.stage.folder = step.value

    def _copy(self, step: Instruction) -> None:
        *sources, target = (step.filled(word, self.stage.arguments) for word in step.words)
        for source in sources:
            if "from" not in step.flags:
                found, ignored = self._context.path(source), self._context.ignored
            elif held := self._stages[step.flags["from"]]:
                found, ignored = held.path(source), set()
            else:
                self.not_performed.append(f"COPY {source}: only the base image holds it")
                continue
            into = "" if found.is_dir() or not target.endswith("/") else found.name
            path = self.stage.path(target) / into
            lay(found, path, ignored=ignored, linked="from" in step.flags)

    def _run(self, step: Instruction) -> None:
        if not step.value.startswith("["):
            raise CommandError(f"line {step.line}: RUN is no list, and would need a shell")
        if mount := step.flags.get("mount"):
            kind = dict(option.split("=", 1) for option in mount.split(","))
            if kind.keys() != {"type", "target"} or kind["type"] != "cache":
                raise CommandError(f"line {step.line}: --mount={mount} is not understood")
            self.stage.mount_cache(kind["target"])
        self.stage.run([self.stage.word(word) for word in step.words], self._log)

    def _label(self, step: Instruction) -> None:
        """Of the image alone; nothing here reads it."""

    _entrypoint = _label
