"""Throughput and latency over time, as the places of bars and lines in a drawing."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from testudo.view.questions import Questions, Row

WIDTH, HEIGHT = 600, 120  # of a drawing, in its own units
GAP = 0.2  # of a bar's place
STEP_S = 30
WINDOW = timedelta(minutes=30)
MAX_STEPS = 60
RECENT_S = 60  # whose throughput is the live one


class Step(NamedTuple):
    """Some seconds: outcomes a second, and what latency they had."""

    at: datetime
    predicted: int
    dead_letters: int
    p50_s: float | None
    p95_s: float | None
    left: float
    width: float
    predicted_height: float
    dead_height: float
    p50_y: float | None
    p95_y: float | None


class Pulse(NamedTuple):
    steps: Sequence[Step]
    step_s: int
    rate: float  # outcomes a second: of the last minute, or of a whole run
    total: Row  # of all steps
    last_at: datetime
    most_rate: float  # where the drawing's top is
    most_s: float

    @property
    def seconds(self) -> int:
        return len(self.steps) * self.step_s

    def line(self, which: str) -> str:
        """The points of a line through the steps that have a latency, as `x,y x,y`."""
        return " ".join(
            f"{step.left + step.width / 2:.1f},{y:.1f}"
            for step in self.steps
            if (y := getattr(step, which)) is not None
        )


def read_pulse(questions: Questions, since: datetime, now: datetime, *, live: bool) -> Pulse | None:
    """Of the last half hour, or (not `live`) of everything that there is; None without outcomes."""
    since = max(since, now - WINDOW) if live else since
    span = questions.span(since)
    if span is None:
        return None
    first, last = (since, now) if live else span
    step_s = STEP_S if live else max(1, math.ceil((last - first).total_seconds() / MAX_STEPS))
    rows = questions.pulse(since, step_s)
    (total,) = (row for row in rows if row["step"] is None)
    by_step = {row["step"]: row for row in rows if row["step"] is not None}
    numbers = range(int(first.timestamp()) // step_s, int(last.timestamp()) // step_s + 1)
    steps = drawn([(number, by_step.get(number, {})) for number in numbers], step_s)
    recent = steps[-max(1, RECENT_S // step_s) - 1 : -1] if live else steps
    outcomes = sum(step.predicted + step.dead_letters for step in recent)
    most = max(step.predicted + step.dead_letters for step in steps)
    slowest = max((step.p95_s or 0.0 for step in steps), default=0.0)
    seconds = max(1, len(recent) * step_s)
    return Pulse(steps, step_s, outcomes / seconds, total, span[1], most / step_s, slowest)


def drawn(rows: Sequence[tuple[int, Any]], step_s: int) -> list[Step]:
    """Each step's place; the highest bar and the slowest p95 reach the top."""
    most = max((row.get("predicted", 0) + row.get("dead_letters", 0) for _, row in rows), default=0)
    slowest = max((row.get("p95_s") or 0.0 for _, row in rows), default=0.0)
    room = WIDTH / max(1, len(rows))

    def height(count: float) -> float:
        return HEIGHT * count / most if most else 0.0

    def place(latency_s: float | None) -> float | None:
        return None if latency_s is None else HEIGHT * (1 - latency_s / (slowest or 1.0))

    return [
        Step(
            datetime.fromtimestamp(number * step_s, UTC),
            row.get("predicted", 0),
            row.get("dead_letters", 0),
            row.get("p50_s"),
            row.get("p95_s"),
            room * (index + GAP / 2),
            room * (1 - GAP),
            height(row.get("predicted", 0)),
            height(row.get("dead_letters", 0)),
            place(row.get("p50_s")),
            place(row.get("p95_s")),
        )
        for index, (number, row) in enumerate(rows)
    ]
