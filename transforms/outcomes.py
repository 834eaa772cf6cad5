"""Outcomes: what a scored item or a dead letter looks like where it is stored.

Pure functions from records to rows; the rows' BigQuery schemas stand in
templates/bigquery, and a test holds the two against each other. Features are bytes in
a row of BigQuery; of files, they are in the archive, and lines have none.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from models.branches import BRANCHES
from transforms.records import DeadLetter, Envelope, Scored

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]

ARCHIVE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("tenant_id", pa.string()),
        ("message_id", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("processed_at", pa.timestamp("us", tz="UTC")),
        ("release", pa.string()),
        *((f"{branch}_features", pa.binary()) for branch in BRANCHES),
        (
            "scores",
            pa.list_(
                pa.struct(
                    [
                        ("model", pa.string()),
                        ("label", pa.string()),
                        ("score", pa.float32()),
                        ("chosen", pa.bool_()),
                        ("value", pa.float64()),
                    ]
                )
            ),
        ),
        ("payload_uri", pa.string()),
    ]
)


def rfc3339(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")


def day_of(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).date().isoformat()


def prediction_row(scored: Scored) -> Row:
    """The row of table predictions for one scored item."""
    features = scored.joined.features
    return prediction_line(scored) | {
        f"{branch}_features": features.get(branch) or None for branch in BRANCHES
    }


def prediction_line(scored: Scored) -> Row:
    """The same without features."""
    joined = scored.joined
    return {
        **_identity(joined.envelope),
        "processed_at": rfc3339(scored.processed_us),
        "scores": [score._asdict() for score in scored.scores],
        "decisions": scored.decisions_json or None,
        **{
            name: json.loads(joined.facts[name]) if name in joined.facts else None
            for name, branch in BRANCHES.items()
            if branch.has_facts
        },
        "spent": {
            f"{step}_ms": joined.spent_us.get(step, 0) / 1000
            for branch in BRANCHES.values()
            for step in branch.steps
        }
        | {"score_ms": scored.spent_us / 1000},
    }


def dead_letter_row(dead_letter: DeadLetter) -> Row:
    """The row of table dead_letters; `stage`, `reason` and `detail` are the first failure's."""
    first = dead_letter.failures[0]
    return {
        **_identity(dead_letter.envelope),
        "failed_at": rfc3339(dead_letter.failed_us),
        "stage": first.stage,
        "reason": first.reason,
        "detail": first.detail,
        "failures": [failure._asdict() for failure in dead_letter.failures],
        "attributes": dead_letter.envelope.attributes_json,
    }


def archive_row(scored: Scored) -> Row:
    """The row of files mode's archive: the features and scores to retrain and watch drift with."""
    joined, envelope = scored.joined, scored.joined.envelope
    return {
        "item_id": envelope.item_id,
        "tenant_id": envelope.tenant_id,
        "message_id": envelope.message_id,
        "event_time": envelope.event_time_us,
        "processed_at": scored.processed_us,
        "release": envelope.release,
        **{f"{branch}_features": joined.features[branch] for branch in BRANCHES},
        "scores": [score._asdict() for score in scored.scores],
        "payload_uri": envelope.payload_uri,
    }


def json_line(row: Mapping[str, Any]) -> str:
    """Bytes in base64, as BigQuery writes them; a lone surrogate, no UTF-8, as its escape."""
    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_in_base64)
    return line.encode("utf-8", "backslashreplace").decode()


def _in_base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} in a row")
    return base64.b64encode(value).decode()


def _identity(envelope: Envelope) -> Row:
    return {
        "item_id": envelope.item_id,
        "tenant_id": envelope.tenant_id,
        "message_id": envelope.message_id,
        "release": envelope.release,
        "event_time": rfc3339(envelope.event_time_us),
        "publish_time": rfc3339(envelope.publish_time_us),
        "received_at": rfc3339(envelope.received_us),
        "attempt": envelope.attempt,
        "payload_uri": envelope.payload_uri,
        "fields": envelope.fields_json or None,
    }
