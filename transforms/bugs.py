"""The count of bugs, in the job's metrics. Apart, so that models can fail without Beam."""

from typing import TypeVar

from apache_beam.metrics import Metrics

from models.failures import Failure, Reason

BUGS = Metrics.counter("testudo", "bugs")

T = TypeVar("T")


def counted(answer: T) -> T:
    """The answer as it is; a failure that is a bug is counted."""
    if isinstance(answer, Failure) and answer.reason == Reason.BUG:
        BUGS.inc()
    return answer
