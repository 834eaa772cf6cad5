"""How measured processes are started and recognised; the error of one that ended badly."""

from testudo.errors import Failed

MODELS = "models.model_process"  # the module that a models' process runs
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
_LAST_LINES = 15


class MeasuringError(Failed):
    """A measured process ended badly; says which, and its last words."""


def last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_LAST_LINES:])
