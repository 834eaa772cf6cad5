"""What the pages ask of the tables: constants with parameters, and a bounded number of rows."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from beam_pipeline.tables import statements
from testudo.view.filters import Filters

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


# One row an item: the latest of the period, and of the release where one is named, in the order of
# view latest_predictions. `decisions` is shown where a row has it: it takes no more than its name
# among these columns.
PREDICTIONS = """
SELECT
  tenant_id, item_id, release, attempt, publish_time, processed_at, payload_uri, scores,
  CONCAT(tenant_id, '/', item_id) AS place
FROM (
  SELECT
    tenant_id, item_id, message_id, release, attempt, event_time, publish_time, processed_at,
    payload_uri, scores
  FROM `{dataset}.predictions`
  WHERE processed_at >= @since
    AND (@tenant = '' OR tenant_id = @tenant)
    AND (@item = '' OR item_id = @item)
    AND (@release = '' OR release = @release)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, item_id
    ORDER BY
      COALESCE(event_time, publish_time) DESC,
      publish_time DESC,
      LENGTH(message_id) DESC,
      message_id DESC,
      processed_at DESC
  ) = 1
) AS p
WHERE
  (
    processed_at < @until
    OR processed_at = @until AND CONCAT(tenant_id, '/', item_id) > @after
  )
  AND (@narrow = '' OR EXISTS (
    SELECT 1 FROM UNNEST(p.scores) AS s
    WHERE (@model = '' OR s.model = @model)
      AND (@label = '' OR s.label = @label)
      AND s.score >= @least
      AND s.score <= @most
      AND NOT EXISTS (
        SELECT 1 FROM UNNEST(p.scores) AS o
        WHERE o.model = s.model
          AND (o.score > s.score OR o.score = s.score AND o.label < s.label)
      )
  ))
ORDER BY processed_at DESC, place
LIMIT 25
"""

DEAD_LETTERS = """
SELECT
  tenant_id, item_id, release, attempt, publish_time, failed_at, payload_uri, stage, reason,
  detail, failures, place
FROM (
  SELECT
    *,
    COALESCE(NULLIF(message_id, ''), payload_uri, '') AS place
  FROM `{dataset}.dead_letters`
  WHERE failed_at >= @since
    AND (@tenant = '' OR tenant_id = @tenant)
    AND (@item = '' OR item_id = @item)
    AND (@release = '' OR release = @release)
    AND (@reason = '' OR reason = @reason)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY COALESCE(NULLIF(message_id, ''), payload_uri) ORDER BY failed_at DESC
  ) = 1
) AS d
WHERE failed_at < @until OR failed_at = @until AND place > @after
ORDER BY failed_at DESC, place
LIMIT 25
"""

# What filters can be set to: each kind's commonest names.
OPTIONS = """
SELECT kind, model, name, items
FROM (
  SELECT 'tenant' AS kind, '' AS model, tenant_id AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` WHERE processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'release' AS kind, '' AS model, release AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` WHERE processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'label' AS kind, s.model AS model, s.label AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` AS p, UNNEST(p.scores) AS s
  WHERE p.processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'reason' AS kind, '' AS model, reason AS name, COUNT(*) AS items
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'failing tenant' AS kind, '' AS model, tenant_id AS name, COUNT(*) AS items
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since GROUP BY 1, 2, 3
)
WHERE name <> ''
ORDER BY items DESC, kind, model, name
LIMIT 400
"""

SPAN = """
SELECT MIN(at) AS first_at, MAX(at) AS last_at
FROM (
  SELECT processed_at AS at FROM `{dataset}.predictions` WHERE processed_at >= @since
  UNION ALL
  SELECT failed_at AS at FROM `{dataset}.dead_letters` WHERE failed_at >= @since
)
"""

# A row a step of so many seconds, and one of all of them, whose `step` is null.
PULSE = """
SELECT
  step,
  COUNTIF(latency_ms IS NOT NULL) AS predicted,
  COUNTIF(latency_ms IS NULL) AS dead_letters,
  APPROX_QUANTILES(latency_ms, 100)[OFFSET(50)] / 1000 AS p50_s,
  APPROX_QUANTILES(latency_ms, 100)[OFFSET(95)] / 1000 AS p95_s
FROM (
  SELECT
    DIV(UNIX_MILLIS(processed_at), @step_ms) AS step,
    TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND) AS latency_ms
  FROM `{dataset}.predictions` WHERE processed_at >= @since
  UNION ALL
  SELECT DIV(UNIX_MILLIS(failed_at), @step_ms) AS step, CAST(NULL AS INT64) AS latency_ms
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since
)
GROUP BY ROLLUP (step)
ORDER BY step
LIMIT 200
"""

# Items that both releases scored, each with its latest prediction by either.
COMPARED = """
WITH scored AS (
  SELECT tenant_id, item_id, release, processed_at, payload_uri, scores
  FROM `{dataset}.predictions`
  WHERE processed_at >= @since
    AND release IN (@release, @other)
    AND (@tenant = '' OR tenant_id = @tenant)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, item_id, release
    ORDER BY
      COALESCE(event_time, publish_time) DESC,
      publish_time DESC,
      LENGTH(message_id) DESC,
      message_id DESC,
      processed_at DESC
  ) = 1
),
likeliest AS (
  SELECT p.tenant_id, p.item_id, p.release, s.model, s.label
  FROM scored AS p, UNNEST(p.scores) AS s
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY p.tenant_id, p.item_id, p.release, s.model ORDER BY s.score DESC, s.label
  ) = 1
),
compared AS (
  SELECT a.tenant_id, a.item_id, COUNTIF(a.label <> b.label) AS differing
  FROM likeliest AS a
  JOIN likeliest AS b
    ON b.tenant_id = a.tenant_id AND b.item_id = a.item_id AND b.model = a.model
  WHERE a.release = @release AND b.release = @other
  GROUP BY 1, 2
)
SELECT
  c.tenant_id, c.item_id, c.differing, a.processed_at, a.payload_uri, a.scores,
  b.scores AS other_scores, CONCAT(c.tenant_id, '/', c.item_id) AS place
FROM compared AS c
JOIN scored AS a ON a.tenant_id = c.tenant_id AND a.item_id = c.item_id AND a.release = @release
JOIN scored AS b ON b.tenant_id = c.tenant_id AND b.item_id = c.item_id AND b.release = @other
WHERE (@differing = '' OR c.differing > 0)
  AND (
    a.processed_at < @until
    OR a.processed_at = @until AND CONCAT(c.tenant_id, '/', c.item_id) > @after
  )
ORDER BY a.processed_at DESC, place
LIMIT 25
"""

STORY = statements("queries")["item"]


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
