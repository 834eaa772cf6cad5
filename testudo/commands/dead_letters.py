"""Dead letters as they are stored: found by filters, and chosen to be replayed."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from google.cloud.bigquery import ArrayQueryParameter, Client, QueryJobConfig, ScalarQueryParameter

from beam_pipeline.tables import fill

FIRST_TIME, LAST_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

FIND = """
SELECT
  dead_letter_id, message_id, item_id, tenant_id, release, payload_uri, event_time, publish_time,
  failed_at, stage, reason, detail, failures, attempt, attributes, replays, state
FROM `{dataset}.dead_letter_states`
WHERE failed_at >= @since AND failed_at < @until
  AND (ARRAY_LENGTH(@tenants) = 0 OR tenant_id IN UNNEST(@tenants))
  AND (ARRAY_LENGTH(@items) = 0 OR item_id IN UNNEST(@items))
  AND (ARRAY_LENGTH(@releases) = 0 OR release IN UNNEST(@releases))
  AND (ARRAY_LENGTH(@stages) = 0
    OR EXISTS (SELECT 1 FROM UNNEST(failures) AS f WHERE f.stage IN UNNEST(@stages)))
  AND (ARRAY_LENGTH(@reasons) = 0
    OR EXISTS (SELECT 1 FROM UNNEST(failures) AS f WHERE f.reason IN UNNEST(@reasons)))
"""


Order = tuple[datetime, datetime, int, str]


def order_of(event_time: datetime, publish_time: datetime, message_id: str) -> Order:
    """A message's place among those of its item, the newest last: as view latest_predictions."""
    return (event_time, publish_time, len(message_id), message_id)


class StoredDeadLetter(NamedTuple):
    """One dead letter as it is stored, and what became of it since (`state`)."""

    dead_letter_id: str  # the message's id; payload_uri where it has none
    message_id: str
    item_id: str
    tenant_id: str
    release: str
    payload_uri: str
    event_time: datetime
    publish_time: datetime
    failed_at: datetime
    stage: str
    reason: str
    detail: str
    failures: tuple[tuple[str, str], ...]  # stage and reason of each
    attempt: int
    attributes: str  # JSON, cut at 300 characters; empty where the row has none
    replays: int = 0
    state: str = "open"

    @property
    def next_attempt(self) -> int:
        return self.attempt + self.replays + 1

    @property
    def order(self) -> Order:
        return order_of(self.event_time, self.publish_time, self.message_id)

    @property
    def item(self) -> tuple[str, str]:
        """What later messages replace; a message that is no item stands for itself."""
        named = self.item_id and self.tenant_id
        return (self.tenant_id, self.item_id) if named else ("", self.dead_letter_id)


TEXTS = tuple(name for name, kind in StoredDeadLetter.__annotations__.items() if kind is str)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filters:
    """Which dead letters are meant: one of each list, where the list is not empty."""

    reasons: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    since: datetime = FIRST_TIME
    until: datetime = LAST_TIME

    def take(self, dead_letter: StoredDeadLetter) -> bool:
        """What FIND's WHERE says, for those that stand in no table."""
        return (
            self.since <= dead_letter.failed_at < self.until
            and _among(self.tenants, dead_letter.tenant_id)
            and _among(self.items, dead_letter.item_id)
            and _among(self.releases, dead_letter.release)
            and _among(self.stages, *(stage for stage, _ in dead_letter.failures))
            and _among(self.reasons, *(reason for _, reason in dead_letter.failures))
        )


def _among(wanted: Sequence[str], *found: str) -> bool:
    return not wanted or not set(wanted).isdisjoint(found)


def find_in_table(client: Client, dataset: str, filters: Filters) -> list[StoredDeadLetter]:
    lists = ("reasons", "stages", "tenants", "releases", "items")
    config = QueryJobConfig(
        query_parameters=[
            *(ArrayQueryParameter(name, "STRING", getattr(filters, name)) for name in lists),
            ScalarQueryParameter("since", "TIMESTAMP", filters.since),
            ScalarQueryParameter("until", "TIMESTAMP", filters.until),
        ]
    )
    rows = client.query_and_wait(fill(FIND, dataset), job_config=config)
    return [dead_letter_from_row(dict(row)) for row in rows]


def dead_letter_from_row(row: dict[str, Any]) -> StoredDeadLetter:
    """A row of FIND; a text that is null there is empty here."""
    failures = tuple((failure["stage"], failure["reason"]) for failure in row["failures"])
    publish_time = row["publish_time"] or row["failed_at"]
    return StoredDeadLetter(
        **row
        | {name: row[name] or "" for name in TEXTS}
        | {
            "failures": failures or ((row["stage"], row["reason"]),),
            "event_time": row["event_time"] or publish_time,
            "publish_time": publish_time,
            "attempt": row["attempt"] or 1,
        }
    )


class Choice(NamedTuple):
    """Those to replay, oldest message first; how many of each reason stay, and why."""

    dead_letters: list[StoredDeadLetter]
    left_out: Counter[tuple[str, str]]  # by reason and state


def choose(found: Iterable[StoredDeadLetter], *, again: bool, limit: int | None = None) -> Choice:
    """Leave out what has a prediction by now, was replayed before, or would undo a later message.

    With `again`, what was replayed before comes too; of several of one item only
    the latest, in the order that `latest_predictions` goes by.
    """
    dead_letters: dict[str, StoredDeadLetter] = {}
    for dead_letter in found:
        dead_letters.setdefault(dead_letter.dead_letter_id, dead_letter)
    in_order = sorted(dead_letters.values(), key=lambda each: (each.order, each.dead_letter_id))
    latest = {dead_letter.item: dead_letter for dead_letter in in_order}
    chosen: list[StoredDeadLetter] = []
    left_out = Counter[tuple[str, str]]()
    for dead_letter in in_order:
        state = dead_letter.state
        if state != "predicted" and latest[dead_letter.item] is not dead_letter:
            state = "superseded"
        elif again and state in ("replayed", "superseded"):
            state = "open"
        if state == "open" and (limit is None or len(chosen) < limit):
            chosen.append(dead_letter)
        else:
            left_out[dead_letter.reason, "over_limit" if state == "open" else state] += 1
    return Choice(chosen, left_out)
