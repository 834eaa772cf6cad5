"""What a run left, put together: items, shares of processes, the result and its file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from loadtest.measuring.comparison import compare
from loadtest.measuring.items import COPY, LOST, items_table, latencies_of, load_items
from loadtest.measuring.shares import Shares
from loadtest.measuring.sightings import ROWS, Sightings
from loadtest.measuring.summary import Measured, summarise
from loadtest.measuring.trial import pictures_of
from loadtest.measuring.usage import SAMPLES, role_of
from loadtest.records import BadRecord
from loadtest.results import ITEMS, Result, Sent, Settings
from loadtest.traffic.schedule import Kind, Schedule

START_S, PREFIX = 1000.0, "load-x-"
GOOD = Kind(name="photo", width_px=640, height_px=480, format="JPEG")
BROKEN = Kind(name="broken", fault="cut_json", expected="not_json")
SETTINGS = Settings(
    profile="test", seed=1, duration_s=4.0, rate=1.0, customers=2, processes=1, cores=2, images=""
)
SENT = Sent(
    messages=5,
    refused=0,
    seconds=4.0,
    lag_p50_s=0.001,
    lag_p99_s=0.002,
    lag_max_s=0.002,
    cpu_s=0.1,
    kept_up=True,
)


def schedule(kinds: tuple[int, ...] = (0, 0, 1, 0, 0)) -> Schedule:
    """Five messages, a second apart; the fourth is a copy of the first."""
    return Schedule(
        due_s=np.arange(5.0),
        tenant=np.array([0, 1, 0, 0, 1], np.int32),
        kind=np.array(kinds, np.int16),
        original=np.array([0, 1, 2, 0, 4], np.int32),
        tenants=("tenant-0001", "tenant-0002"),
        kinds=(GOOD, BROKEN),
        profile="test",
        seed=1,
        duration_s=5.0,
    )


def row(number: int, outcome: str = "predicted", *, seen_s: float, message: str = "m") -> tuple:
    """A row of BigQuery that was scored 0.5 s before it was seen, and parsed 0.5 s before that."""
    times = seen_s - 1.0, seen_s - 0.5
    spent = (1.0, 2.0, 3.0, 4.0, 5.0) if outcome == "predicted" else (None,) * 5
    return (f"{PREFIX}{number}", message, "tenant-0001", outcome, *times, *spent, seen_s)


ALL_SEEN = (
    row(0, seen_s=1002.0),
    row(0, seen_s=1002.0, message="copy"),
    row(1, seen_s=1003.5),
    row(2, "not_json", seen_s=1005.0),
    row(4, seen_s=1008.0),
)


def items_of(rows: tuple[tuple, ...]) -> pa.Table:
    values = zip(*rows, strict=True)
    columns = [pa.array(one, kind) for one, kind in zip(values, ROWS.types, strict=True)]
    table = pa.Table.from_arrays(columns, schema=ROWS)
    due_s = np.arange(5.0) + START_S
    sent = pa.table({"index": [4, 3, 2, 1, 0], "sent_s": due_s[::-1], "acked_s": due_s[::-1]})
    return items_table(
        schedule(),
        sent,
        Sightings(rows=table, poll_every_s=0.5, late=0),
        prefix=PREFIX,
        start_s=START_S,
    )


def result_of(rows: tuple[tuple, ...] = ALL_SEEN, **changes: object) -> Result:
    run = Measured(
        name="test",
        settings=SETTINGS,
        sent=SENT,
        items=items_of(rows),
        samples=None,
        start_s=START_S,
        poll_every_s=0.5,
        asked_poll_every_s=0.5,
        late=0,
    )
    return summarise(dataclasses.replace(run, **changes))


def test_each_message_has_a_row() -> None:
    """Items have their outcome, a copy is called one, and times stand with the right message."""
    items = items_of(ALL_SEEN)
    assert items["outcome"].to_pylist() == ["predicted", "predicted", "not_json", COPY, "predicted"]
    assert items["sent_s"].to_pylist() == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]
    assert items["rows"].to_pylist()[:3] == [2, 1, 1]
    assert latencies_of(items).tolist() == pytest.approx([2.0, 2.5, 3.0, 4.0])


def test_rows_of_unknown_ids_count_nowhere() -> None:
    """A row whose id is no number of the schedule is no item's."""
    stranger = (f"{PREFIX}other", *row(0, seen_s=1001.0)[1:])
    items, known = items_of((*ALL_SEEN, stranger)), items_of(ALL_SEEN)
    for column in ("outcome", "rows", "outcomes"):
        assert items[column].equals(known[column])


def test_result_counts_what_came_out() -> None:
    """Items in are outcomes out, copies are removed, and stages have their times."""
    result = result_of()
    assert result.valid
    assert result.items == sum(result.outcomes.values()) == 4
    assert result.outcomes == {"predicted": 3, "not_json": 1}
    assert result.copies_removed == 1
    assert result.latency.max_s == pytest.approx(4.0)
    assert result.stages["image"].p50_s == pytest.approx(0.006)
    assert result.stages["store"].p50_s == pytest.approx(0.5)
    assert result.tenants["tenant-0002"].items == 2
    assert [one.due for one in result.seconds[:5]] == [1, 1, 1, 1, 1]
    assert result.seconds[-1].waiting == 0


def test_lost_and_unexpected_items_make_a_result_invalid() -> None:
    """A missing row, another reason than the kind's, and two outcomes are each told."""
    lost = result_of(ALL_SEEN[:4])
    assert (lost.lost, lost.outcomes) == (1, {"predicted": 2, "not_json": 1})
    assert LOST not in lost.outcomes
    assert lost.problems == ["1 items have no outcome"]
    other = result_of((*ALL_SEEN[:3], row(2, "bug", seen_s=1005.0), ALL_SEEN[4]))
    assert other.unexpected == 1
    assert "broken: bug, not not_json" in other.problems[0]
    both = result_of((*ALL_SEEN, row(1, "bug", seen_s=1006.0)))
    assert both.unexpected == 1


def test_a_late_generator_and_rare_looks_make_a_result_invalid() -> None:
    """What was not measured well is no proof, whatever the numbers are."""
    late = dataclasses.replace(SENT, kept_up=False, lag_p99_s=0.2)
    assert "200 ms late" in result_of(sent=late).problems[0]
    assert "generator" in result_of(sent=late).saturated
    assert "every 2.5 s" in result_of(poll_every_s=2.5).problems[0]
    refused = dataclasses.replace(SENT, kept_up=False, refused=3)
    assert result_of(sent=refused, failure="full").problems == [
        "Pub/Sub did not take 3 messages: full"
    ]


def test_result_loads_again(tmp_path: Path) -> None:
    """A result that was saved is the same when it is loaded."""
    result = result_of()
    result.save(tmp_path)
    assert Result.load(tmp_path) == result


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    """Files that hold something else are refused by name."""
    (tmp_path / "result.json").write_text(json.dumps({"name": 1, "settings": {}}))
    with pytest.raises(BadRecord, match=r"result\.json"):
        Result.load(tmp_path)
    (tmp_path / ITEMS).write_text("no Parquet")
    with pytest.raises(ValueError, match=r"items\.parquet"):
        load_items(tmp_path / ITEMS)


def test_shares_are_differences_of_cpu_time() -> None:
    """A process's use is what it added within the run; one that came later adds from its start."""
    samples = pa.table(
        {
            "at_s": [1000.0, 1002.0, 1004.0, 1002.0, 1004.0],
            "role": ["worker-1", "worker-1", "worker-1", "sender", "sender"],
            "pid": [1, 1, 1, 2, 2],
            "cpu_s": [50.0, 51.0, 53.0, 7.0, 7.5],
            "rss_bytes": [10, 30, 20, 5, 5],
        },
        schema=SAMPLES,
    )
    shares = Shares(samples, 1000.0, 4)
    uses = shares.uses()
    assert shares.by_second("worker-1").tolist() == pytest.approx([0.5, 0.5, 1.0, 1.0])
    assert (uses["worker-1"].cpu_s, uses["worker-1"].peak_bytes) == (pytest.approx(3.0), 30)
    assert uses["sender"].cpu_s == pytest.approx(0.5)
    assert shares.busy_cores().sum() == pytest.approx(3.5)


def test_roles_are_read_from_command_lines() -> None:
    """Each process of a job is known by how it was started; others have no role."""
    run = ["python", "-m", "testudo.cli", "run"]
    assert role_of([*run, "--home=h"], "python") == "worker-1"
    assert role_of([*run, "--processes=1"], "python") == "worker-1"
    assert role_of([*run, "--processes=2"], "python") == "rig"
    assert role_of([*run, "--process_number=2"], "python") == "worker-2"
    models = ["python", "-m", "models.model_process", "5", '["image", {}, {}]']
    assert role_of(models, "python") == "image-models"
    assert role_of(["/tools/prism", "--job_port=1"], "prism") == "engine"
    assert role_of(["bash"], "bash") == ""


def test_a_result_does_not_differ_from_itself() -> None:
    """No change, no noise beyond chance, no warning."""
    result = result_of()
    found = compare(result, result, items_of(ALL_SEEN), items_of(ALL_SEEN))
    assert not found.beyond_noise
    assert found.warnings == []
    assert {one.percent for one in found.percentiles} == {0.0}


def test_a_clear_difference_is_beyond_noise() -> None:
    """A run whose every item took a second longer is told as different, with both settings."""
    before = pa.table(
        {
            "index": np.arange(400),
            "original": np.arange(400, dtype=np.int32),
            "outcome": ["predicted"] * 400,
            "due_s": np.arange(400.0),
            "seen_s": np.arange(400.0) + np.random.default_rng(1).exponential(0.2, 400),
        }
    )
    after = before.set_column(4, "seen_s", pa.array(before["seen_s"].to_numpy() + 1.0))
    other = result_of(settings=dataclasses.replace(SETTINGS, processes=2))
    found = compare(result_of(), other, before, after)
    assert found.beyond_noise
    assert found.p95_change_s[1] == pytest.approx(1.0)
    assert found.warnings == ["the runs differ in processes: 1 and 2"]
    assert not compare(result_of(), result_of(), before, before).beyond_noise


def test_pictures_in_words() -> None:
    """The sizes of the good items' pictures; broken items do not count."""
    assert pictures_of(schedule()) == "640x480 JPEG"
    assert pictures_of(schedule(kinds=(1, 1, 1, 1, 1))) == ""
