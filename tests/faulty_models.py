"""A models' process whose kernel does what its items say, for tests of who pays for what.

Its releases hold a manifest and nothing else, so that no test of these waits for training.
What the processes do is a line each in a file: `load <folder>`, `answer <items> <one by one>`.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import model_process
from models.branches import BRANCHES, Branch
from models.facts import Encoded
from models.failures import Stage
from models.kernels import Answer, _Kernel, time_limit
from models.model_process import Server, Setup
from models.release import save_release

STEPS, BATCH = "steps", "batch"
LOAD_ALLOWED_S = 10.0  # no test waits for two minutes for a load that hangs


class FaultyKernel(_Kernel):
    """Looks at each item on its own (STEPS), or at all of them in one call (BATCH)."""

    stage = Stage.IMAGE
    how = STEPS

    def _load(self, folder: Path) -> None:
        note(f"load {folder.name}")
        if folder.name.startswith("crash"):
            os.abort()
        if folder.name.startswith("hang"):
            time.sleep(1_000_000)

    def __call__(self, batch: Sequence[bytes]) -> list[Answer]:
        if self.how == BATCH:
            return self._call(lambda part: [self._look(data) for data in part], batch, len(batch))
        answers = []
        for number, data in enumerate(batch):
            self.at(number, 1)
            with time_limit(self._calls.decode_s):
                answers.append(Answer(self._look(data), 0))
        return answers

    def _look(self, data: bytes) -> Encoded:
        if data == b"abort":
            os.abort()
        if data == b"hang":
            time.sleep(1_000_000)
        if data == b"once" and not Path(os.environ["FAULTY_ONCE"]).exists():
            Path(os.environ["FAULTY_ONCE"]).touch()
            os.abort()
        return Encoded(data, {"pid": os.getpid()}, {})


class FaultyServer(Server):
    def handle(self, verb: str, values: Sequence[Any]) -> None:
        if verb == "answer":
            note(f"answer {len(values[0])} {values[1]}")
            if b"deaf" in values[0]:  # where no alarm is set
                time.sleep(1_000_000)
        super().handle(verb, values)


def note(line: str) -> None:
    with open(os.environ["FAULTY_LOG"], "a") as file:
        file.write(f"{line}\n")


def command(how: str) -> list[str]:
    return [sys.executable, __file__, how]


def save(root: Path, name: str, **facts: Any) -> str:
    """A release that loads; those whose names begin with `crash` or `hang` do not."""
    bundle = root.parent / f"bundle-{name}"
    bundle.mkdir()
    (bundle / "part").write_text(name)
    return save_release(
        bundle,
        str(root),
        task=name,
        image_size_px=8,
        features={},
        scorers=(),
        evaluation=facts,
    ).release


if __name__ == "__main__":
    FaultyKernel.how = sys.argv[1]
    BRANCHES[Stage.IMAGE] = Branch(FaultyKernel, (), has_facts=True)
    model_process.Server = FaultyServer  # type: ignore[misc]
    model_process.LOAD_ALLOWED_S = LOAD_ALLOWED_S  # type: ignore[misc]
    setup = Setup.from_json(sys.argv[2])
    sys.exit(model_process.main(int(sys.argv[3]), int(sys.argv[4]), setup))
