"""What the pages ask of the tables, a page of rows at a time."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from testudo.view.filters import Filters
from testudo.view.sql import COMPARED, DEAD_LETTERS, OPTIONS, PREDICTIONS, PULSE, SPAN, STORY

PAGE_ROWS = 24
OPTIONS_KEPT = timedelta(minutes=1)

Row = Mapping[str, Any]


class Answer(Protocol):
    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def rows(self) -> Sequence[Sequence[Any]]: ...


class Engine(Protocol):
    """BigQuery, or the files of a run: testudo.commands.engines has both."""

    def ask(self, sql: str, given: Mapping[str, Any]) -> Answer: ...


class Page(NamedTuple):
    rows: list[Row]
    next: tuple[datetime, str] | None  # where the page after it begins, if there is one


class Questions:
    """Asks one question at a time, whoever wants to know."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._options: dict[str, tuple[datetime, list[Row]]] = {}  # by period

    def ask(self, sql: str, given: Mapping[str, Any]) -> list[Row]:
        with self._turn:
            answer = self._engine.ask(sql, given)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    def predictions(self, filters: Filters, now: datetime) -> Page:
        return page_of(self.ask(PREDICTIONS, _given(filters, now)), "processed_at")

    def dead_letters(self, filters: Filters, now: datetime) -> Page:
        return page_of(self.ask(DEAD_LETTERS, _given(filters, now)), "failed_at")

    def compared(self, filters: Filters, now: datetime) -> Page:
        return page_of(self.ask(COMPARED, _given(filters, now)), "processed_at")

    def options(self, filters: Filters, now: datetime) -> list[Row]:
        """Kind, model, name and items of what filters can be set to, the commonest first.

        As they were a minute ago, perhaps: a page that is read again and again needs no others.
        """
        asked_at, rows = self._options.get(filters.period, (None, []))
        if asked_at is None or now - asked_at > OPTIONS_KEPT:
            rows = self.ask(OPTIONS, {"since": filters.since(now)})
            self._options[filters.period] = now, rows
        return rows

    def span(self, since: datetime) -> tuple[datetime, datetime] | None:
        """The times of the first and the last outcome."""
        (row,) = self.ask(SPAN, {"since": since})
        return (row["first_at"], row["last_at"]) if row["first_at"] else None

    def pulse(self, since: datetime, step_s: int) -> list[Row]:
        return self.ask(PULSE, {"since": since, "step_ms": 1000 * step_s})

    def story(self, tenant: str, item: str) -> list[Row]:
        """All that became of one item, as it happened."""
        return self.ask(STORY, {"tenant_id": tenant, "item_id": item})


def page_of(rows: list[Row], time: str) -> Page:
    """A question asks for one row more than a page has."""
    if len(rows) <= PAGE_ROWS:
        return Page(rows, None)
    last = rows[PAGE_ROWS - 1]
    return Page(rows[:PAGE_ROWS], (last[time], last["place"]))


def _given(filters: Filters, now: datetime) -> dict[str, Any]:
    """Every parameter that a page's question may have."""
    model, colon, label = filters.label.partition(":")
    return {
        "since": filters.since(now),
        "until": filters.until,
        "after": filters.after,
        "tenant": filters.tenant,
        "item": filters.item,
        "release": filters.release,
        "other": filters.other,
        "model": model if colon else "",
        "label": label if colon else model,
        "narrow": "yes" if label or model or (filters.least, filters.most) != (0, 100) else "",
        "least": filters.least / 100,
        "most": filters.most / 100,
        "reason": filters.reason,
        "differing": filters.differing,
    }
