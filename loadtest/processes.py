"""How `testudo run` is started and recognised; the error of a process that ended badly."""

import sys

RUN = (sys.executable, "-m", "testudo.cli", "run")
IS_RUNNING = b"Running;"  # what `testudo run` says when its job is built
MODELS = "models.model_process"  # the module that a models' process runs
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
_LAST_LINES = 15


class MeasuringError(Exception):
    """A measured process ended badly; says which, and its last words."""


def last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_LAST_LINES:])
