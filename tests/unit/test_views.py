"""What the views say of rows whose answer is plain; tests/e2e holds both engines against it."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from warehouse import (
    DAY,
    HOUR,
    MONDAY,
    SECOND,
    Row,
    failed,
    files_engine,
    job_cost,
    prediction,
    stamp,
    tagged,
)

from beam_pipeline.tables import statements

PHOTO = {"format": "JPEG", "width_px": 512, "height_px": 512, "size_bytes": 65_536}


def rows_of(folder: Path, sql: str, **tables: list[Row]) -> list[dict[str, Any]]:
    """What the statement answers over these tables, by column."""
    answer = files_engine(folder, tables).ask(sql)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def view(folder: Path, name: str, **tables: list[Row]) -> list[dict[str, Any]]:
    return rows_of(folder, f"SELECT * FROM `{{dataset}}.{name}`", **tables)


# --- Costs -----------------------------------------------------------------------------------


def test_the_costs_of_tenants_add_up_to_those_of_the_jobs(tmp_path: Path) -> None:
    """Over all days and to the cent, whoever was busy how long."""
    predictions = [
        prediction(f"{tenant}-{number}", MONDAY + number * HOUR, tenant_id=tenant, busy_ms=busy_ms)
        for tenant, busy_ms in (("acme", 7.0), ("bolt", 0.31), ("cedar", 113.7))
        for number in range(40)
    ]
    costs = [
        job_cost((MONDAY + number * DAY).date(), job_id=job, vcpu_s=100_000 / (number + 3))
        for number in range(4)
        for job in ("job-1", "job-2")
    ]
    found = view(tmp_path, "tenant_costs", predictions=predictions, job_costs=costs)
    paid_usd = sum(row["cost_usd"] for row in costs)
    assert paid_usd > 1
    assert sum(row["cost_usd"] for row in found) == pytest.approx(paid_usd, abs=0.001)


def test_a_day_is_shared_by_busy_seconds(tmp_path: Path) -> None:
    """Three quarters of the day's busy time pay three quarters of its cost, idle time included."""
    predictions = [
        prediction("1", tenant_id="acme", busy_ms=30.0),
        prediction("2", tenant_id="bolt", busy_ms=10.0),
    ]
    cost = job_cost(MONDAY.date())
    found = view(tmp_path, "tenant_costs", predictions=predictions, job_costs=[cost])
    shares = {row["tenant_id"]: row["cost_usd"] / cost["cost_usd"] for row in found}
    assert shares == pytest.approx({"acme": 0.75, "bolt": 0.25})
    assert found[0]["day_busy_share"] == pytest.approx(0.040 / 3600)


def test_a_day_without_items_is_a_row_of_its_own(tmp_path: Path) -> None:
    """A job that waits costs too, and nobody's items did it."""
    cost = job_cost((MONDAY + DAY).date())
    found = view(tmp_path, "tenant_costs", predictions=[prediction("1")], job_costs=[cost])
    assert {(row["tenant_id"], row["items"], row["cost_usd"]) for row in found} == {
        ("acme", 1, None),  # its day was never priced: no number is no zero
        ("(no items)", 0, cost["cost_usd"]),
    }


def test_items_that_took_no_time_do_not_lose_the_cost(tmp_path: Path) -> None:
    """Where nothing was busy there is nothing to share by: the cost is a row of its own."""
    cost = job_cost(MONDAY.date())
    idle = [prediction("1", busy_ms=0.0)]
    found = view(tmp_path, "tenant_costs", predictions=idle, job_costs=[cost])
    costs = {row["tenant_id"]: row["cost_usd"] for row in found}
    assert costs == {"acme": None, "(no items)": cost["cost_usd"]}


def test_the_latest_reading_of_a_job_and_day_counts(tmp_path: Path) -> None:
    """`testudo costs` may be run as often as one likes."""
    day = MONDAY.date()
    readings = [job_cost(day, vcpu_s=100, hour=1), job_cost(day, vcpu_s=300, hour=9)]
    found = view(tmp_path, "job_days", job_costs=[*readings, job_cost(day, job_id="job-2")])
    assert {row["job_id"]: row["vcpu_s"] for row in found} == {"job-1": 300, "job-2": 3600}


# --- Latency ---------------------------------------------------------------------------------


def test_latency_is_by_hour_tenant_and_stage(tmp_path: Path) -> None:
    """`all` is publish to prediction; a step that an item did not go through is left out."""
    predictions = [prediction(str(number), latency_s=number / 100) for number in range(1, 101)]
    predictions += [prediction("later", MONDAY + HOUR, tenant_id="bolt", latency_s=2)]
    found = {
        (row["hour"].hour, row["tenant_id"], row["stage"]): row
        for row in view(tmp_path, "latency_by_hour", predictions=predictions)
    }
    whole = found[0, "acme", "all"]
    assert whole["items"] == 100
    assert (whole["p50_ms"], whole["p95_ms"], whole["p99_ms"]) == pytest.approx(
        (500, 950, 990), abs=20
    )
    assert found[0, "acme", "encode"]["p99_ms"] == 5
    assert found[1, "bolt", "all"]["p50_ms"] == 2000
    assert {stage for _, _, stage in found} == {"all", "queue", "fetch", "encode", "score"}


def test_an_item_predicted_twice_counts_once_in_latency(tmp_path: Path) -> None:
    """The latest delivery's time is the item's."""
    twice = [prediction("1", latency_s=1), prediction("1", MONDAY + HOUR, latency_s=3)]
    found = view(tmp_path, "latency_by_hour", predictions=twice)
    assert [(row["items"], row["p50_ms"]) for row in found if row["stage"] == "all"] == [(1, 3000)]


# --- Order -----------------------------------------------------------------------------------

# Each pair is two messages of one item: event time, publish time and message id of the older, and
# of the newer.
NOON = MONDAY + 12 * HOUR
ORDER = {
    "event time": ((NOON, NOON + HOUR, "20"), (NOON + SECOND, NOON, "10")),
    "publish time": ((NOON, NOON, "20"), (NOON, NOON + SECOND, "10")),
    "no event time": ((None, NOON, "20"), (None, NOON + SECOND, "10")),
    "one without event time": ((NOON, NOON + HOUR, "20"), (None, NOON + SECOND, "10")),
    "longer id": ((NOON, NOON, "9"), (NOON, NOON, "10")),
    "larger id": ((NOON, NOON, "10"), (NOON, NOON, "11")),
}
Place = tuple[datetime | None, datetime, str]
in_order = pytest.mark.parametrize(("older", "newer"), [*ORDER.values()], ids=[*ORDER])


def at(place: Place) -> Row:
    """A message's place in the order, as the columns say it."""
    event_time, publish_time, message_id = place
    return {
        "event_time": event_time and stamp(event_time),
        "publish_time": stamp(publish_time),
        "message_id": message_id,
    }


@in_order
@pytest.mark.parametrize("name", ["latest_predictions", "release_predictions"])
def test_the_newer_message_is_the_latest_whichever_was_processed_first(
    tmp_path: Path, name: str, older: Place, newer: Place
) -> None:
    """By event time, publish time, and then the message id; never by the time of processing."""
    predictions = [
        prediction("1", latency_s=1, label="mug", **at(newer)),
        prediction("1", latency_s=9, label="lamp", **at(older)),
    ]
    (row,) = view(tmp_path, name, predictions=predictions)
    assert row["message_id"] == newer[2]
    labels = view(tmp_path, "likeliest_labels", predictions=predictions)
    assert [one["label"] for one in labels] == ["mug"]


@in_order
def test_a_dead_letter_is_open_until_something_newer_comes(
    tmp_path: Path, older: Place, newer: Place
) -> None:
    """A prediction of an older message is no answer to it, though processed later."""
    for broken, whole, state in ((newer, older, "open"), (older, newer, "predicted")):
        (row,) = view(
            tmp_path,
            "dead_letter_states",
            predictions=[prediction("1", latency_s=9, **at(whole))],
            dead_letters=[failed("1", **at(broken))],
        )
        assert row["state"] == state


@in_order
def test_of_two_dead_letters_the_older_is_superseded(
    tmp_path: Path, older: Place, newer: Place
) -> None:
    """Whichever failed first."""
    dead_letters = [failed("1", **at(newer)), failed("1", **at(older))]
    found = view(tmp_path, "dead_letter_states", dead_letters=dead_letters)
    assert {row["message_id"]: row["state"] for row in found} == {
        newer[2]: "open",
        older[2]: "superseded",
    }


def test_a_message_that_was_delivered_twice_is_one_row(tmp_path: Path) -> None:
    """Of the same message the outcome of the last delivery counts: it may have come for that."""
    twice = [prediction("1", latency_s=latency_s, label=label) for latency_s, label in
             ((1, "mug"), (9, "lamp"), (3, "mug"))]  # fmt: skip
    failures = [failed("2"), failed("2")]
    folder = {"predictions": twice, "dead_letters": failures}
    (row,) = view(tmp_path, "latest_predictions", **folder)
    assert row["processed_at"] == MONDAY + 9 * SECOND
    assert [one["state"] for one in view(tmp_path, "dead_letter_states", **folder)] == ["open"]


def test_a_message_that_failed_and_was_scored_is_predicted(tmp_path: Path) -> None:
    """Two deliveries of one message, one of which met a fault."""
    (row,) = view(
        tmp_path,
        "dead_letter_states",
        predictions=[prediction("1")],
        dead_letters=[failed("1")],
    )
    assert row["state"] == "predicted"


def test_messages_without_a_tenant_supersede_nothing(tmp_path: Path) -> None:
    """Whose item it is, is not known: each stands for itself."""
    dead_letters = [failed("1", MONDAY + number * HOUR, tenant_id="") for number in range(2)]
    found = view(tmp_path, "dead_letter_states", dead_letters=dead_letters)
    assert [row["state"] for row in found] == ["open", "open"]


def test_an_open_dead_letter_counts_beside_the_older_prediction(tmp_path: Path) -> None:
    """Both messages have their outcome in the questions outcomes and tenants."""
    tables = {
        "predictions": [prediction("1", **at(ORDER["longer id"][0]))],
        "dead_letters": [failed("1", **at(ORDER["longer id"][1]))],
    }
    engine = files_engine(tmp_path, tables)
    questions = statements("queries")
    assert sorted(engine.ask(questions["outcomes"]).rows) == [
        ("image_unreadable", 1),
        ("predicted", 1),
    ]
    ((tenant_id, items, dead_letters, *_),) = engine.ask(questions["tenants"]).rows
    assert (tenant_id, items, dead_letters) == ("acme", 1, 1)


def test_of_labels_with_one_score_the_first_by_name_is_shown(tmp_path: Path) -> None:
    """In every view and question alike, however the scorer sorted them."""
    predictions = [prediction(one, score=0.5, label=one) for one in ("mug", "lamp")]
    engine = files_engine(tmp_path, {"predictions": predictions})
    likeliest = "SELECT DISTINCT label FROM `{dataset}.likeliest_labels`"
    assert engine.ask(likeliest).rows == [("lamp",)]
    questions = statements("queries")
    assert engine.ask(questions["categories"]).rows == [("acme", "category", 2, "lamp 2")]
    for item_id in ("mug", "lamp"):
        ((*_, detail, _),) = engine.ask(questions["item"], {"item_id": item_id}).rows
        assert detail == "category lamp 0.5"


# --- Releases --------------------------------------------------------------------------------


def test_releases_stand_beside_each_other(tmp_path: Path) -> None:
    """Each with its items, dead letters, latency and time an item."""
    found = view(
        tmp_path,
        "release_comparison",
        predictions=[
            *(prediction(str(number), latency_s=1, busy_ms=10) for number in range(3)),
            *(
                prediction(str(number), release="two-2", latency_s=2, busy_ms=20)
                for number in range(4)
            ),
            prediction("0", latency_s=1, busy_ms=10),  # delivered twice
        ],
        dead_letters=[failed("9"), failed("10", release="", reason="not_json")],
    )
    by_release = {row.pop("release"): row for row in found}
    assert {name: (row["items"], row["dead_letters"]) for name, row in by_release.items()} == {
        "one-1": (3, 1),
        "two-2": (4, 0),
        "(none)": (0, 1),
    }
    assert by_release["one-1"]["dead_letter_rate"] == 0.25
    assert (by_release["two-2"]["p95_s"], by_release["two-2"]["mean_busy_ms"]) == (2.0, 20.0)
    assert by_release["(none)"]["p50_s"] is None


def test_the_share_of_each_label_is_told_by_release(tmp_path: Path) -> None:
    """By the likeliest label of each item, with how sure the scorer was."""
    predictions = [
        prediction(str(number), label="mug" if number else "lamp", score=0.75)
        for number in range(4)
    ]
    found = view(tmp_path, "release_labels", predictions=predictions)
    assert {row["label"]: (row["items"], row["share"]) for row in found} == {
        "lamp": (1, 0.25),
        "mug": (3, 0.75),
    }
    assert found[0]["mean_score"] == found[0]["p90_score"] == 0.75


def test_agreement_is_over_items_that_both_releases_scored(tmp_path: Path) -> None:
    """Three items are common, on two of which the likeliest label is the same."""
    found = view(
        tmp_path,
        "release_agreement",
        predictions=[
            *(prediction(one, score=0.9) for one in "abcx"),
            *(prediction(one, release="two-2", score=0.7) for one in "ab"),
            prediction("c", release="two-2", label="lamp"),
            prediction("y", release="two-2"),
            prediction("a", tenant_id="bolt", release="two-2"),  # another tenant's item a
        ],
    )
    (row,) = found
    assert (row["release"], row["other_release"], row["items"]) == ("one-1", "two-2", 3)
    assert row["agreement"] == pytest.approx(2 / 3)
    assert row["mean_score_difference"] == pytest.approx(0.2)


# --- Several labels, and numbers -------------------------------------------------------------


def test_labels_given_at_once_count_as_a_set(tmp_path: Path) -> None:
    """For shares and agreement; numbers have no labels, and rows of before are as they were."""
    predictions = [
        tagged("a", "red", "new", price=1),
        tagged("b", price=2),
        tagged("a", "new", "red", price=3, release="two-2"),
        tagged("b", "red", price=4, release="two-2"),
        prediction("c"),
    ]
    shares = view(tmp_path, "release_labels", predictions=predictions)
    own = [one for one in shares if one["release"] == "one-1"]
    found = {(one["model"], one["label"]): one["items"] for one in own}
    assert found == {("category", "mug"): 3, ("tags", "new, red"): 1, ("tags", ""): 1}
    agreed = view(tmp_path, "release_agreement", predictions=predictions)
    assert {one["model"]: one["agreement"] for one in agreed} == {"category": 1, "tags": 0.5}


def test_a_question_names_labels_and_means(tmp_path: Path) -> None:
    """Each label that was chosen counts; a number has its mean; an item's story has all."""
    predictions = [tagged("a", "red", "new", price=10), tagged("b", "red", price=20.5)]
    predictions.append(prediction("c", label="lamp"))
    rows = rows_of(tmp_path, statements("queries")["categories"], predictions=predictions)
    assert {one["model"]: (one["items"], one["labels"]) for one in rows} == {
        "category": (3, "mug 2, lamp 1"),
        "price": (2, "mean 15.25"),
        "tags": (2, "red 2, new 1"),
    }
    (story,) = (
        files_engine(tmp_path, {"predictions": predictions[:1]})
        .ask(statements("queries")["item"], {"item_id": "a"})
        .rows
    )
    assert "category mug 0.9, price 10, tags new 0.4, tags red 0.4" in story


def test_numbers_drift_by_powers_of_two(tmp_path: Path) -> None:
    """With their sign; scores of labels alone have tenths."""
    predictions = [tagged(f"a{n}", price=300, day=0) for n in range(8)]
    predictions += [tagged(f"b{n}", price=-5 if n % 2 else 0, day=7) for n in range(8)]
    bins = view(tmp_path, "drift_bins", predictions=predictions)
    found = {
        (one["day"].day, one["bin"]): one["items"]
        for one in bins
        if one["subject"] == "value of price" and one["items"]
    }
    assert found == {(2, "8"): 8, (9, "minus 2"): 4, (9, "-30"): 4}
    assert {one["subject"] for one in bins if "score of" in one["subject"]} == {
        "score of category mug", "score of tags new", "score of tags red",
    }  # fmt: skip


# --- Drift -----------------------------------------------------------------------------------


def labelled(day: int, mugs: int, lamps: int) -> list[Row]:
    return [
        prediction(f"{day}-{label}-{number}", MONDAY + day * DAY, label=label)
        for label, count in (("mug", mugs), ("lamp", lamps))
        for number in range(count)
    ]


def test_drift_is_the_population_stability_index(tmp_path: Path) -> None:
    """Against the release's first seven days, with half an item added to each bin."""
    predictions = [*labelled(0, 30, 10), *labelled(6, 30, 10), *labelled(7, 10, 30)]
    found = {
        (row["day"], row["subject"]): row
        for row in view(tmp_path, "drift", predictions=predictions)
    }
    row = found[(MONDAY + 7 * DAY).date(), "label of category"]
    shares = [(10.5 / 41, 60.5 / 81), (30.5 / 41, 20.5 / 81)]
    psi = sum((now - before) * math.log(now / before) for now, before in shares)
    assert (row["bins"], row["items"], row["baseline_items"]) == (2, 40, 80)
    assert row["psi"] == pytest.approx(psi)
    assert psi > 0.25
    assert found[MONDAY.date(), "label of category"]["psi"] < 0.01


def test_a_bin_that_a_day_lacks_is_told_too(tmp_path: Path) -> None:
    """A label that is gone, and one that is new, are what drift is."""
    predictions = [*labelled(0, 10, 0), *labelled(8, 0, 10)]
    found = view(tmp_path, "drift_bins", predictions=predictions)
    counts = {
        (row["day"], row["bin"]): (row["items"], row["baseline_items"])
        for row in found
        if row["subject"] == "label of category"
    }
    later = (MONDAY + 8 * DAY).date()
    assert counts == {
        (MONDAY.date(), "mug"): (10, 10),
        (MONDAY.date(), "lamp"): (0, 0),
        (later, "mug"): (0, 10),
        (later, "lamp"): (10, 0),
    }


def test_the_sides_of_items_drift_too(tmp_path: Path) -> None:
    """Format, pixels and length of images, length of texts, in powers of two."""
    predictions = [
        prediction("1", image=PHOTO, text_chars=1000),
        prediction("2", image=None, text_chars=None, score=1.0),
    ]
    found = view(tmp_path, "drift_bins", predictions=predictions)
    bins = {(row["subject"], row["bin"]) for row in found if row["items"]}
    assert bins == {
        ("image format", "JPEG"),
        ("image format", "no image"),
        ("image pixels", "18"),
        ("image bytes", "16"),
        ("text characters", "9"),
        ("label of category", "mug"),
        ("score of category mug", "9"),
        ("score of category lamp", "0"),
    }


# --- Questions -------------------------------------------------------------------------------


def test_a_question_looks_at_the_time_that_it_is_asked_of(tmp_path: Path) -> None:
    """From --since on, before --until."""
    sql = "SELECT item_id FROM `{dataset}.predictions` WHERE processed_at >= @since"
    engine = files_engine(
        tmp_path, {"predictions": [prediction("old"), prediction("new", MONDAY + DAY)]}
    )
    assert engine.ask(sql, {"since": MONDAY + HOUR}).rows == [("new",)]
    assert len(engine.ask(sql).rows) == 2


def test_a_value_is_no_sql(tmp_path: Path) -> None:
    """Values go beside the statement."""
    engine = files_engine(tmp_path, {"predictions": [prediction("1")]})
    sql = "SELECT item_id FROM `{dataset}.predictions` WHERE item_id = @item_id"
    assert engine.ask(sql, {"item_id": "' OR '1' = '1"}).rows == []
