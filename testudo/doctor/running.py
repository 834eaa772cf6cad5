"""Runs all checks at the same time, each within its bound; none stops another."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from testudo.doctor.findings import (
    EXPECTED,
    Check,
    Finding,
    Subject,
    Verdict,
    failed,
    finding_of,
    not_checked,
)


class Result(NamedTuple):
    """`took_s` is the check's own time, in seconds; of one that was given up, its bound."""

    check: str
    finding: Finding
    took_s: float


Report = Callable[[Result], None]


def examine(
    subject: Subject, first: Check, others: Sequence[Check], report: Report
) -> list[Result]:
    """Every check's result, in their order; each is reported as soon as it is there.

    Without credentials, which `first` looks at, no service is asked.
    """
    results = _run([first], subject, report)
    if results[0].finding.verdict is not Verdict.FAILED:
        return [*results, *_run(others, subject, report)]
    skipped = not_checked(
        "no credentials", "Without them no service answers.", f"See {first.name}, above."
    )
    for check in others:
        results.append(Result(check.name, skipped, 0.0))
        report(results[-1])
    return results


def _run(checks: Sequence[Check], subject: Subject, report: Report) -> list[Result]:
    running = [_Running(check, subject, report) for check in checks]
    return [each.result() for each in running]


class _Running:
    """One check in a thread, which is left alone when its time is up: it ends with the process."""

    def __init__(self, check: Check, subject: Subject, report: Report) -> None:
        self._check, self._subject, self._report = check, subject, report
        self._allowed_s = check.allowed_s(subject)
        self._lock = threading.Lock()
        self._result: Result | None = None
        self._started_s = time.monotonic()
        self._thread = threading.Thread(target=self._look, name=check.name, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            finding = self._check.look(self._subject)
        except EXPECTED as error:
            finding = finding_of(error, self._subject, self._check.role)
        self._end(finding)

    def _end(self, finding: Finding) -> Result:
        """The first end counts: a check that answers after its time is not heard."""
        with self._lock:
            if self._result is None:
                took_s = time.monotonic() - self._started_s
                self._result = Result(self._check.name, finding, took_s)
                self._report(self._result)
            return self._result

    def result(self) -> Result:
        left_s = self._started_s + self._allowed_s - time.monotonic()
        self._thread.join(max(left_s, 0.0))
        if self._result is not None:
            return self._result
        if self._thread.is_alive():
            return self._end(
                failed(
                    f"no answer within {self._allowed_s:g} s",
                    "A service hangs, or is very slow from here; nothing more is known.",
                    "Run it again, with a longer --timeout_s.",
                )
            )
        return self._end(
            failed(
                "the check ended with an error of its own, printed above",
                "This is a bug of testudo; nothing is known of the project.",
                "Report it, with that error.",
            )
        )
