"""Rows that BigQuery refused for good, read back from Cloud Storage as dead letters."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from google.cloud.bigquery import ArrayQueryParameter, Client, QueryJobConfig
from google.cloud.storage import Client as StorageClient

from beam_pipeline.tables import fill
from testudo.commands.dead_letters import FIRST_TIME, Filters, Order, StoredDeadLetter, order_of
from testudo.errors import CommandError

REJECTED_ROWS = "dead-letters/rejected-rows"
IDS_A_QUERY = 5_000
FIRST = order_of(FIRST_TIME, FIRST_TIME, "")  # before every message

REPLAYS = """
SELECT COALESCE(NULLIF(message_id, ''), payload_uri) AS dead_letter_id, COUNT(*) AS replays
FROM `{dataset}.replays`
WHERE COALESCE(NULLIF(message_id, ''), payload_uri) IN UNNEST(@ids)
GROUP BY 1
"""
OUTCOMES = """
SELECT
  'predicted' AS state, tenant_id, item_id,
  COALESCE(event_time, publish_time) AS event_time, publish_time, COALESCE(message_id, '')
FROM `{dataset}.latest_predictions` WHERE item_id IN UNNEST(@ids)
UNION ALL
SELECT DISTINCT
  'superseded' AS state, tenant_id, item_id,
  COALESCE(event_time, publish_time) AS event_time, publish_time, COALESCE(message_id, '')
FROM `{dataset}.dead_letters` WHERE item_id IN UNNEST(@ids)
"""


def find_rejected_rows(
    client: Client, dataset: str, storage: StorageClient, output: str, filters: Filters
) -> list[StoredDeadLetter]:
    """The rows below `output` that a table refused, each with its state of now.

    Raises CommandError for a line that is no such row.
    """
    found = {}
    for name, line in rejected_lines(storage, output, filters):
        try:
            dead_letter = dead_letter_from_rejected(line)
        except (ValueError, KeyError) as error:
            raise CommandError(f"{name} has a line that is no refused row: {error}") from error
        if filters.take(dead_letter):
            found[dead_letter.dead_letter_id] = dead_letter
    return _with_states(client, dataset, list(found.values()))


def rejected_lines(
    storage: StorageClient, output: str, filters: Filters
) -> Iterator[tuple[str, str]]:
    """The lines of all objects, each with its object's name; earlier days are not read."""
    bucket, _, folder = output.removeprefix("gs://").partition("/")
    prefix = "/".join(part for part in (folder.strip("/"), REJECTED_ROWS, "dt=") if part)
    for blob in storage.list_blobs(bucket, prefix=prefix):
        day = blob.name.removeprefix(prefix).split("/")[0]
        # The day is that of the write: a row may have failed on the day before, never after.
        if blob.name.endswith(".jsonl") and day >= filters.since.date().isoformat():
            for line in blob.download_as_bytes().decode().split("\n"):
                if line:
                    yield f"gs://{bucket}/{blob.name}", line


def dead_letter_from_rejected(line: str) -> StoredDeadLetter:
    """A line as `beam_pipeline.io.writers.rejected_row` makes it: of either table's row."""
    kept = json.loads(line)
    row = kept["row"]
    own = [(failure["stage"], failure["reason"]) for failure in row.get("failures") or ()]
    failed_at = datetime.fromisoformat(kept["failed_at"])
    published = row.get("publish_time") or kept["failed_at"]
    return StoredDeadLetter(
        dead_letter_id=kept["message_id"] or kept["payload_uri"] or "",
        message_id=kept["message_id"] or "",
        item_id=kept["item_id"] or "",
        tenant_id=kept["tenant_id"] or "",
        release=kept["release"] or "",
        payload_uri=kept["payload_uri"] or "",
        event_time=datetime.fromisoformat(row.get("event_time") or published),
        publish_time=datetime.fromisoformat(published),
        failed_at=failed_at,
        stage=kept["stage"],
        reason=kept["reason"],
        detail=kept["detail"],
        failures=((kept["stage"], kept["reason"]), *own),
        attempt=row.get("attempt") or 1,
        attributes=row.get("attributes") or "",
    )


def _with_states(
    client: Client, dataset: str, dead_letters: Sequence[StoredDeadLetter]
) -> list[StoredDeadLetter]:
    """What view dead_letter_states says of its rows, for those that are none of them."""
    ids = [dead_letter.dead_letter_id for dead_letter in dead_letters]
    items = sorted({dead_letter.item_id for dead_letter in dead_letters if dead_letter.item_id})
    replays = dict(_ask_of(client, fill(REPLAYS, dataset), ids))
    last: dict[tuple[str, str, str], Order] = {}
    for state, tenant_id, item_id, *place in _ask_of(client, fill(OUTCOMES, dataset), items):
        of = (state, tenant_id, item_id)
        last[of] = max(last.get(of, FIRST), order_of(*place))

    def state_of(dead_letter: StoredDeadLetter) -> str:
        if last.get(("predicted", *dead_letter.item), FIRST) >= dead_letter.order:
            return "predicted"
        if last.get(("superseded", *dead_letter.item), FIRST) > dead_letter.order:
            return "superseded"
        return "replayed" if dead_letter.dead_letter_id in replays else "open"

    return [
        dead_letter._replace(
            state=state_of(dead_letter), replays=replays.get(dead_letter.dead_letter_id, 0)
        )
        for dead_letter in dead_letters
    ]


def _ask_of(client: Client, sql: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(ids), IDS_A_QUERY):
        part = ArrayQueryParameter("ids", "STRING", ids[start : start + IDS_A_QUERY])
        rows = client.query_and_wait(sql, job_config=QueryJobConfig(query_parameters=[part]))
        yield from (tuple(row.values()) for row in rows)
