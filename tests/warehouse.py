"""Rows of the tables, as tests of views and questions make them, and their way to an engine."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from beam_pipeline.tables import OUTCOMES
from testudo.cloud.costs import JobDay, Usage, cost_row
from testudo.cloud.prices import read_prices
from testudo.commands.engines import FilesEngine

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
REGION = "us-central1"

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def identity(item_id: str, published: datetime, **changes: Any) -> Row:
    """`changes` of other columns are left to the caller."""
    row = {
        "item_id": item_id,
        "tenant_id": "acme",
        "message_id": f"message-{item_id}-{stamp(published)}",
        "release": "one-1",
        "event_time": stamp(published),
        "publish_time": stamp(published),
        "received_at": stamp(published),
        "attempt": 1,
        "payload_uri": "gs://b/payloads/1#0-9",
        "fields": None,
    }
    return row | {name: value for name, value in changes.items() if name in row}


def prediction(
    item_id: str,
    published: datetime = MONDAY,
    *,
    latency_s: float = 1.0,
    label: str = "mug",
    score: float = 0.9,
    busy_ms: float = 10.0,
    image: Row | None = None,
    text_chars: int | None = 100,
    scores: Sequence[Row] | None = None,
    **changes: Any,
) -> Row:
    """`busy_ms` are the model's: half of it the encoder's, half the scorers'.

    `scores` are in place of those of two labels.
    """
    shares = {label: score, "lamp" if label == "mug" else "mug": 1 - score}
    return {
        **identity(item_id, published, **changes),
        "processed_at": stamp(published + timedelta(seconds=latency_s)),
        "scores": scores
        or [{"model": "category", "label": one, "score": share} for one, share in shares.items()],
        "image": image,
        "text": None if text_chars is None else {"length_chars": text_chars},
        "spent": {"fetch_ms": 3.0, "decode_ms": 0.0, "encode_ms": busy_ms / 2, "text_ms": 0.0}
        | {"score_ms": busy_ms / 2},
    }


def tagged(
    item_id: str, *chosen: str, price: float, release: str = "one-1", day: int = 0, **changes: Any
) -> Row:
    """Of a release that gives tags, of which some are chosen, and a price beside the category."""
    scores = [
        {"model": "category", "label": "mug", "score": 0.9, "chosen": None, "value": None},
        *(
            {"model": "tags", "label": one, "score": 0.4, "chosen": one in chosen, "value": None}
            for one in ("new", "red")
        ),
        {"model": "price", "label": None, "score": None, "chosen": None, "value": price},
    ]
    return prediction(item_id, MONDAY + day * DAY, release=release, scores=scores, **changes)


def failed(item_id: str, published: datetime = MONDAY, **changes: Any) -> Row:
    reason = changes.get("reason", "image_unreadable")
    return {
        **identity(item_id, published, **changes),
        "failed_at": stamp(published + timedelta(seconds=1)),
        "stage": "image",
        "reason": reason,
        "detail": "is no image",
        "failures": [{"stage": "image", "reason": reason, "detail": "is no image"}],
        "attributes": "{}",
    }


def job_cost(day: date, *, job_id: str = "job-1", vcpu_s: float = 3600.0, hour: int = 23) -> Row:
    """A job of `vcpu_s` on a machine with 4 GB a core, read at an hour of the day."""
    read_at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    usage = Usage(vcpu_s=vcpu_s, memory_gb_s=4 * vcpu_s, streaming_gb=0.5)
    job = JobDay(job_id, "testudo-one", REGION, day)
    return cost_row(job, read_at, usage, read_prices(REGION))


def files_engine(folder: Path, tables: Tables) -> FilesEngine:
    """Over a folder that is made to look as a run in files mode leaves it."""
    outcomes: Tables = dict.fromkeys(OUTCOMES, ())
    for name, rows in {**outcomes, **tables}.items():
        lines = [json.dumps(row) for row in rows]
        path = folder / f"{name}-00000-of-00001.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
    return FilesEngine(folder)


def everything() -> dict[str, list[Row]]:
    """Ten days of three tenants and two releases: failures, copies, ties, costs and a drift."""
    photo = {"format": "JPEG", "width_px": 640, "height_px": 480, "size_bytes": 70_000}
    predictions, dead_letters = [], []
    for number in range(400):
        published = MONDAY + number * timedelta(minutes=36)
        kind: Row = {
            "tenant_id": ("acme", "bolt", "cedar")[number % 3],
            "release": "one-1" if number % 5 else "two-2",
            "label": "mug" if number % 4 or number > 300 else "lamp",
            "score": 0.6 + (number % 4) / 10,
            "latency_s": 0.5 + (number % 7) / 10,
            "busy_ms": 5.0 + number % 11,
            "image": photo if number % 6 else None,
        }
        if number % 20 == 19:
            dead_letters.append(failed(f"item-{number}", published, tenant_id=kind["tenant_id"]))
        else:
            predictions.append(prediction(f"item-{number}", published, **kind))
        if number % 50 == 1:  # the other release scored it too
            kind |= {"release": "two-2", "latency_s": 2.5}
            predictions.append(prediction(f"item-{number}", published, **kind))
        if number % 40 == 7:  # versions that were published together, the newer processed first
            kind |= {"release": "one-1", "latency_s": 0.1, "label": "lamp"}
            predictions.append(prediction(f"item-{number}", published, message_id="10", **kind))
            kind |= {"latency_s": 3.0}
            predictions.append(prediction(f"item-{number}", published, message_id="9", **kind))
        if number % 40 == 23:
            broken = f"item-{number}"
            its = {"tenant_id": kind["tenant_id"], "message_id": "z" * 99 + str(number)}
            dead_letters.append(failed(broken, published, **its))
            dead_letters.append(failed(broken, published - HOUR, **its | {"message_id": "8"}))
    for day in (0, 1, 9):  # releases that give several labels and a number
        own: Row = {"tenant_id": "cedar", "day": day}
        predictions.append(tagged(f"tagged-{day}", "red", "new", price=12.5 * day, **own))
        own |= {"release": "two-2", "latency_s": 2.5}
        predictions.append(tagged(f"tagged-{day}", "red", price=-3.0, **own))
    days = [MONDAY.date() + number * DAY for number in range(10)]
    costs = [job_cost(day, vcpu_s=7200.0 + 60 * day.day) for day in days]
    costs += [job_cost(days[0], vcpu_s=1.0, hour=1), job_cost(days[3], job_id="job-2")]
    return {"predictions": predictions, "dead_letters": dead_letters, "job_costs": costs}
