"""Schedules and traces: reproducible, as the profile asks, and saved to the bit."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.traffic.demand import Wild
from loadtest.traffic.profile import BadProfile, Copies, Profile, read_profile
from loadtest.traffic.schedule import Schedule, make_schedule
from loadtest.traffic.trace import BadTrace, load_trace, save_trace

COLUMNS = ("due_s", "tenant", "kind", "original")
MANY = 100_000


def made(name: str = "marketplace", **changes: Any) -> Schedule:
    how: dict[str, Any] = {"duration_s": 600.0, "seed": 1, "rate": 50.0}
    return make_schedule(read_profile(name), **{**how, **changes})


def same(one: Schedule, other: Schedule) -> bool:
    """To the bit, and with the same types."""
    columns = all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in COLUMNS
    )
    rest = [field.name for field in dataclasses.fields(Schedule) if field.name not in COLUMNS]
    return columns and all(getattr(one, name) == getattr(other, name) for name in rest)


def test_the_same_seed_gives_the_same_schedule() -> None:
    """And another seed another one."""
    assert same(made("wild"), made("wild"))
    assert not np.array_equal(made().due_s[:10], made(seed=2).due_s[:10])


def test_messages_are_due_in_order_within_the_duration() -> None:
    """And every number points at something that is there."""
    schedule = made()
    assert (np.diff(schedule.due_s) >= 0).all()
    assert 0 <= schedule.due_s[0] <= schedule.due_s[-1] <= 600
    assert schedule.tenants[0] == "tenant-0001"
    assert schedule.tenant.max() < len(schedule.tenants) == 100
    assert schedule.kind.max() < len(schedule.kinds)


def test_arrivals_follow_what_is_offered() -> None:
    """Counts of each hour of two days are Poisson's around the integral of `offered`."""
    profile = read_profile("marketplace").compressed(60)
    duration_s, step_s = 2 * 1440.0, 60.0
    offered = profile.offered(step_s, duration_s, customers=1000, seed=3) * step_s
    schedule = make_schedule(profile, duration_s=duration_s, customers=1000, seed=3)
    counts = np.histogram(schedule.due_s, len(offered), (0, duration_s))[0]
    deviations = (counts - offered) / np.sqrt(offered)
    assert np.abs(deviations).max() < 5
    assert 0.5 < deviations.var() < 2


@pytest.mark.parametrize("name", ["steady", "wild", "growth"])
def test_a_rate_scales_all_demand(name: str) -> None:
    """The mean number a second is the one that was asked for."""
    schedule = made(name, rate=MANY / 600)
    assert abs(len(schedule.due_s) - MANY) < 5 * MANY**0.5


def test_tenants_send_by_size() -> None:
    """The second of Zipf's customers sends half of the first."""
    profile = dataclasses.replace(read_profile("marketplace"), bursts=None, day=(1.0,) * 24)
    schedule = make_schedule(profile, duration_s=600.0, seed=1, rate=MANY / 600)
    counts = np.bincount(schedule.tenant)
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.05)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.1)


def test_kinds_come_at_their_shares() -> None:
    """Within five standard deviations of the binomial, faults included."""
    profile = read_profile("marketplace")
    schedule = made(rate=MANY / 600)
    kinds = schedule.kind[~schedule.is_copy]
    counts = np.bincount(kinds, minlength=len(schedule.kinds))
    shares = np.array(profile.kinds[1])
    deviations = np.sqrt(len(kinds) * shares * (1 - shares))
    assert (np.abs(counts - len(kinds) * shares) < 5 * deviations).all()


def test_copies_are_of_an_earlier_message_of_their_tenant() -> None:
    """Of the same kind, at the share that was asked for, and never of a copy."""
    profile = dataclasses.replace(
        read_profile("marketplace"), copies=Copies(share=0.2, after_s=3.0)
    )
    schedule = make_schedule(profile, duration_s=600.0, seed=1, rate=MANY / 600)
    copies = np.flatnonzero(schedule.is_copy)
    originals = schedule.original[copies]
    assert abs(len(copies) / len(schedule.due_s) - 0.2) < 0.01
    assert (originals < copies).all()
    assert not schedule.is_copy[originals].any()
    assert (schedule.tenant[originals] == schedule.tenant[copies]).all()
    assert (schedule.kind[originals] == schedule.kind[copies]).all()
    delay_s = schedule.due_s[copies] - schedule.due_s[originals]
    assert delay_s.mean() > 3.0


def test_a_wild_tenant_changes_nothing_for_the_others() -> None:
    """All others send the same kinds at the same moments with it and without."""
    quiet: Profile = read_profile("marketplace")
    wild = dataclasses.replace(quiet, wild=(Wild(tenant=2, from_s=100, length_s=100, factor=500),))
    rows = []
    for profile in (quiet, wild):
        schedule = make_schedule(profile, duration_s=300.0, seed=1, customers=50)
        others = schedule.tenant != 1
        rows.append((schedule.due_s[others], schedule.tenant[others], schedule.kind[others]))
    assert all(np.array_equal(one, other) for one, other in zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"duration_s": 0.0, "rate": -1.0, "customers": 0},
            "duration.*\n.*rate.*\n.*customers",
        ),
        ({"rate": float("nan")}, "a rate of nan"),
        ({"rate": 1e9}, "20,000,000 are possible"),
        ({"customers": 2, "name": "wild"}, "no tenant 3 among 2"),
    ],
)
def test_what_cannot_be_made_is_refused(changes: dict[str, Any], said: str) -> None:
    """All that is wrong at once, in words."""
    with pytest.raises(BadProfile, match=said):
        made(**changes)


def test_a_trace_plays_back_exactly(tmp_path: Path) -> None:
    """What is loaded is what was saved, types included."""
    schedule = made("wild")
    save_trace(schedule, tmp_path / "new" / "trace.parquet")
    assert same(load_trace(tmp_path / "new" / "trace.parquet"), schedule)


def spoilt(path: Path, header: dict[str, Any] | None = None, **columns: Any) -> Path:
    """A saved trace with another header, or other columns."""
    save_trace(made(rate=1.0), path)
    table = pq.read_table(path)
    saved = json.loads(table.schema.metadata[b"testudo.trace"])
    for name, change in columns.items():
        place = table.schema.get_field_index(name)
        values = change(table[name].to_numpy().copy())
        table = table.set_column(place, name, pa.array(values))
    metadata = {} if header is None else {"testudo.trace": json.dumps({**saved, **header})}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        (None, {}, "but not a trace"),
        ({"version": 2}, {}, "version 2; this Testudo reads 1"),
        ({"kinds": [{"colour": 1}]}, {}, "its header is damaged"),
        ({"kinds": [{"name": "a", "fault": "unheard"}]}, {}, "kind a: unheard is not known"),
        ({}, {"tenant": lambda all_: all_.astype(np.int64)}, "has the columns due_s double"),
        ({}, {"due_s": lambda all_: all_[::-1]}, "due_s must ascend"),
        ({}, {"due_s": lambda all_: all_ * np.nan}, "due_s must ascend"),
        (
            {},
            {"tenant": lambda all_: all_ + np.int32(9999)},
            "tenant must be a number from 0",
        ),
        ({}, {"original": lambda all_: all_ + np.int32(1)}, "of an earlier message"),
        ({}, {"original": lambda all_: all_ * 0}, "a copy has another tenant"),
        ({}, {"kind": lambda all_: pa.array([None, *all_[1:]], pa.int16())}, "a row lacks"),
    ],
)
def test_a_spoilt_trace_is_refused(
    tmp_path: Path, header: dict[str, Any] | None, columns: dict[str, Any], said: str
) -> None:
    """With the file's name, and what is wrong."""
    path = spoilt(tmp_path / "trace.parquet", header, **columns)
    with pytest.raises(BadTrace, match=f"(?s)trace.parquet: .*{said}"):
        load_trace(path)


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    (tmp_path / "trace.parquet").write_bytes(b"due_s,tenant\n")
    for name in ("trace.parquet", "none.parquet"):
        with pytest.raises(BadTrace, match=name):
            load_trace(tmp_path / name)
