"""Rows: what a prediction, a dead letter and an archived item look like where they are stored."""

import json

import pyarrow as pa
from builders import dead_letter, envelope, failure, scored, text_part

from models.facts import Score
from models.failures import Reason, Stage
from transforms.outcomes import (
    ARCHIVE_SCHEMA,
    archive_row,
    day_of,
    dead_letter_row,
    json_line,
    prediction_line,
    prediction_row,
    rfc3339,
)

IDENTITY = {
    "item_id": "item-1",
    "tenant_id": "acme",
    "message_id": "message-1",
    "release": "listings-0123456789ab",
    "event_time": "2026-02-02T02:40:00.000000+00:00",
    "publish_time": "2026-02-02T02:40:01.000000+00:00",
    "received_at": "2026-02-02T02:40:02.000000+00:00",
    "attempt": 1,
    "payload_uri": f"gs://bucket/testudo/payloads/dt=2026-02-02/{1:032x}.bin#0-100",
    "fields": None,
}
FIELDS = '{"price":3,"used":true}'


def test_a_prediction_line() -> None:
    """Identity, scores in order, facts of both sides, and milliseconds of each step."""
    assert prediction_line(scored()) == {
        **IDENTITY,
        "processed_at": "2026-02-02T02:40:03.000000+00:00",
        "scores": [
            {"model": "category", "label": "mug", "score": 0.75, "chosen": None, "value": None},
            {"model": "category", "label": "lamp", "score": 0.25, "chosen": None, "value": None},
        ],
        "decisions": None,
        "image": {"format": "JPEG", "width_px": 640, "height_px": 480, "size_bytes": 72_000},
        "text": {"length_chars": 9},
        "spent": {"fetch_ms": 1, "decode_ms": 2, "encode_ms": 3, "text_ms": 4, "score_ms": 5},
    }


def test_what_a_release_decides_stands_in_the_row() -> None:
    """As the text of a JSON object, alike in a line of files and a row of BigQuery."""
    decided = scored()._replace(decisions_json='{"action":"review"}')
    assert prediction_line(decided)["decisions"] == '{"action":"review"}'
    assert prediction_row(decided)["decisions"] == '{"action":"review"}'


def test_a_prediction_row_has_features_too() -> None:
    """As the bytes that the scorers read; null where the item has no such side."""
    row = prediction_row(scored(features={"image": b"", "text": b"words"}))
    assert (row.pop("image_features"), row.pop("text_features")) == (None, b"words")
    assert row == prediction_line(scored())


def test_the_row_of_an_item_without_an_image() -> None:
    """An absent side is null, and took no time."""
    row = prediction_row(scored(facts={"text": text_part().facts}, spent_us={"text": 4_000}))
    assert row["image"] is None
    assert row["spent"] == {
        "fetch_ms": 0,
        "decode_ms": 0,
        "encode_ms": 0,
        "text_ms": 4,
        "score_ms": 5,
    }


def test_a_dead_letter_row() -> None:
    """The first failure stands in columns of its own, all of them in `failures`."""
    row = dead_letter_row(
        dead_letter(failure(Stage.IMAGE, Reason.IMAGE_NOT_FOUND), failure(Stage.TEXT))
    )
    assert row == {
        **IDENTITY,
        "failed_at": "2026-02-02T02:40:03.000000+00:00",
        "stage": "image",
        "reason": "image_not_found",
        "detail": "of image",
        "failures": [
            {"stage": "image", "reason": "image_not_found", "detail": "of image"},
            {"stage": "text", "reason": "model_failed", "detail": "of text"},
        ],
        "attributes": "{}",
    }


def test_rows_have_the_senders_own_fields() -> None:
    """As JSON in one column, of a prediction and of a dead letter; null where there are none."""
    its = envelope(fields_json=FIELDS)
    dead = dead_letter(failure(Stage.IMAGE))._replace(envelope=its)
    assert prediction_row(scored(envelope=its))["fields"] == FIELDS
    assert dead_letter_row(dead)["fields"] == FIELDS
    assert prediction_row(scored())["fields"] is None


def test_rows_are_one_line_of_json_each() -> None:
    """Line breaks in a detail are escaped, other alphabets are not."""
    line = json_line({"detail": "a\nb\u2028\u00e4", "image": None})
    assert line == '{"detail":"a\\nb\u2028\u00e4","image":null}'
    assert json.loads(line)["detail"] == "a\nb\u2028\u00e4"
    assert json.loads(json_line(prediction_row(scored())))["text_features"] == "d29yZHM="
    line = json_line({"id": "\ud800"})  # which a table refuses, and whose line is kept in UTF-8
    assert json.loads(line.encode()) == {"id": "\ud800"}


def test_an_archive_row_fits_its_schema() -> None:
    """Features as the bytes that the scorers read, times to the microsecond."""
    table = pa.Table.from_pylist([archive_row(scored())], schema=ARCHIVE_SCHEMA)
    (row,) = table.to_pylist()
    assert (row["image_features"], row["text_features"]) == (b"embedding", b"words")
    assert row["event_time"].isoformat() == "2026-02-02T02:40:00+00:00"
    assert row["scores"][0] == Score("category", "mug", 0.75)._asdict()
    several = [Score("tags", "new", 0.5, chosen=True), Score("price", None, None, value=1e9 + 0.5)]
    made = archive_row(scored()._replace(scores=several))
    (row,) = pa.Table.from_pylist([made], schema=ARCHIVE_SCHEMA).to_pylist()
    assert row["scores"] == [one._asdict() for one in several]
    assert row["release"] == "listings-0123456789ab"


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    """From the year 1 to 9999, with no rounding through floating point."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000000+00:00"
    assert rfc3339(253_402_300_799_999_999) == "9999-12-31T23:59:59.999999+00:00"
    assert rfc3339(-62_135_596_800_000_000) == "0001-01-01T00:00:00.000000+00:00"
    assert day_of(-1) == "1969-12-31"
