"""What a person reads instead of a traceback.

`testudo.cli` shows all of these, and nobody else does: the text on standard error after the
command's name, and the exit code, which a class states for those below it.

    TestudoError                     2  models/failures.py
      + ReleaseError                    models/manifest.py
      |   + PointerChanged              models/release.py
      + ManifestRefused                 models/training/manifest_problems.py
      + FunctionsRefused                models/functions.py
      + EncoderRefused                  models/training/encoder_names.py
      + FunctionFailed               1  models/training/rehearsal.py
      + GoldenItemFailed             1  models/training/rehearsal.py
      + TrainingFailed               1  models/training/train.py
      + LineError                       beam_pipeline/io/lines.py
      + ConfigError                     beam_pipeline/config.py
      + CommandError                    nothing was done: what was asked for is wrong or not there
      |   + SqlError                    testudo/commands/dialect.py
      + Failed                       1  it was tried
          + StackError
              + ToolsMissing
    PartEnded (a BaseException)      1  testudo/watch.py

The load kit has some of its own, below CommandError and Failed.
"""

from typing import NamedTuple

from models.failures import TestudoError


class CommandError(TestudoError):
    """What is wrong with what was asked for, and what to do about it; nothing was changed."""


class Failed(TestudoError):
    """What was asked for was tried, and did not come about."""

    exit_code = 1


class StackError(Failed):
    """The local stack cannot run; the text says which server, why, and its log's last lines."""


class Missing(NamedTuple):
    """One tool that is neither there nor to be had on this machine."""

    what: str
    why: str
    how: str


class ToolsMissing(StackError):
    """Tools that the local stack needs; `missing` lists every absent one."""

    def __init__(self, *missing: Missing) -> None:
        super().__init__(
            "\n".join(f"{tool.what} is missing ({tool.why}). {tool.how}" for tool in missing)
        )
        self.missing = missing


def shown(text: str) -> str:
    """The text with everything escaped that a terminal would not simply print.

    Control characters move the cursor or rewrite the screen, and marks of
    direction make a text appear as another.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
