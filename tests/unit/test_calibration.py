"""From runs of a machine that is known to the last second, the costs that it was made of."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.capacity.calibrating import calibrate
from loadtest.capacity.calibration import BadCalibration, Calibration, capacity, predict
from loadtest.capacity.images import Picture, PictureCost, cost_of
from loadtest.capacity.regression import fit_shares
from loadtest.records import BadRecord
from loadtest.results import Latency, ProcessUse, Result, Second, Sent, Settings

SMALL, LARGE = "640x480 JPEG", "1280x960 JPEG"
PICTURES = {SMALL: PictureCost(0.0016, 23_000), LARGE: PictureCost(0.0030, 95_000)}
# Role -> cores at rest, seconds an item, seconds a megabyte (image-models: a second of decoding).
COSTS = {
    "worker": (0.05, 0.004, 0.01),
    "image-models": (0.01, 0.002, 1.2),
    "text-models": (0.01, 0.0005, 0.0),
    "score-models": (0.01, 0.0005, 0.0),
    "engine": (0.10, 0.002, 0.01),
    "pubsub": (0.05, 0.001, 0.02),
    "bigquery": (0.10, 0.001, 0.0),
}
FLOOR_S, SLOPE_S = 0.2, 0.3


def work(role: str, images: str) -> float:
    return PICTURES[images].decode_s if role == "image-models" else PICTURES[images].bytes / 1e6


def item_s(role: str, images: str) -> float:
    _, fixed, factor = COSTS[role]
    return fixed + factor * work(role, images)


def most(images: str, cores: float) -> float:
    """The rate that all cores together hold, of one process or of several.

    Bundles are largest then: what they cost is spread over as many items, whoever makes them.
    """
    idle = sum(one[0] for one in COSTS.values())
    return (cores - idle) / sum(item_s(role, images) for role in COSTS)


def latency(p50_s: float) -> Latency:
    return Latency(
        items=1,
        mean_s=p50_s,
        p50_s=p50_s,
        p90_s=p50_s * 1.5,
        p95_s=p50_s * 2,
        p99_s=p50_s * 3,
        p999_s=p50_s * 4,
        max_s=p50_s * 4,
    )


def measured(
    rate: float, images: str = SMALL, *, noise: float = 0.0, number: int = 0, held: float = 1e9
) -> Result:
    """A run of 60 s at a rate: done is what 1.9 of 2 cores hold, and not more than `held`."""
    done = min(rate, most(images, 1.9), held)
    messages = round(rate * 60)
    seconds = messages / done
    off = 1 + noise * math.sin(number * 7.0)
    used = {
        role: ProcessUse(
            processes=1,
            cpu_s=(one[0] * seconds + item_s(role, images) * messages) * off,
            busiest_share=0.5,
            peak_bytes=300_000_000,
        )
        for role, one in COSTS.items()
    }
    used["worker-1"] = used.pop("worker")
    waits = FLOOR_S + SLOPE_S / max(1 - rate / most(images, 1.9), 0.02)
    return Result(
        name=f"at {rate:.0f}",
        started_at="2026-11-24T00:00:00Z",
        settings=Settings(
            profile="steady",
            seed=1,
            duration_s=60,
            rate=rate,
            customers=1,
            processes=1,
            cores=2,
            images=images,
        ),
        sent=Sent(
            messages=messages,
            refused=0,
            seconds=60,
            lag_p50_s=0,
            lag_p99_s=0,
            lag_max_s=0,
            cpu_s=0,
            kept_up=True,
        ),
        items=messages,
        outcomes={"predicted": messages},
        lost=0,
        unexpected=0,
        copies_removed=0,
        latency=latency(waits),
        histogram="",
        stages={},
        tenants={},
        processes=used,
        seconds=[],
        throughput=done,
        poll_every_s=0.25,
        saturated="",
        problems=[],
    )


def made(*runs: Result, noise: float = 0.0) -> Calibration:
    runs = runs or tuple(
        measured(rate, noise=noise, number=number)
        for number, rate in enumerate((10, 30, 60, 90, 105, 200))
    )
    return calibrate(runs, PICTURES, release="listings-0", machine="made up")


def test_a_line_is_found_again_and_nothing_costs_less_than_nothing() -> None:
    """Exact values give exact coefficients; a falling line becomes a flat one."""
    assert fit_shares([[1, 1, 1], [1, 2, 3]], [5, 7, 9]).coefficients == pytest.approx((3, 2))
    falling = fit_shares([[1, 1, 1], [1, 2, 3]], [9, 8, 7])
    assert falling.coefficients[1] == 0


def test_the_interval_holds_what_further_runs_give() -> None:
    """Over many noisy calibrations about 95 of 100 further values lie within the spread."""
    chance = np.random.default_rng(3)
    seconds, items = np.full(8, 60.0), np.linspace(500, 6000, 8)
    within = []
    for _ in range(300):
        noisy = (0.2 * seconds + 0.01 * items) * chance.normal(1, 0.08, 8)
        (idle, cost), spread = fit_shares([seconds, items], noisy)
        further = (0.2 * 60 + 0.01 * 3000) * chance.normal(1, 0.08)
        within.append(abs((idle * 60 + cost * 3000) / further - 1) <= spread)
    assert 0.90 <= np.mean(within) <= 0.99


def test_costs_are_found_again_from_one_size() -> None:
    """Cores at rest and seconds an item, of each role; decoding is taken from the kernel."""
    calibration = made()
    for role, (idle, _, _) in COSTS.items():
        found = calibration.roles[role]
        assert found.idle_share == pytest.approx(idle, rel=1e-6)
        assert calibration.item_s(role, Picture.named(SMALL)) == pytest.approx(item_s(role, SMALL))
    assert calibration.roles["image-models"].work_factor == 1.0
    assert calibration.limits.machine_share.mid == pytest.approx(0.95, abs=0.001)


def test_two_processes_are_predicted_from_runs_of_one() -> None:
    """Where all cores are busy, a second process only shares them with the first."""
    calibration = made()
    predicted = predict(calibration, processes=2, cores=2, picture=Picture.named(SMALL), rate=50)
    assert predicted.bottleneck == "all cores"
    assert predicted.throughput == pytest.approx(most(SMALL, 1.9))
    assert predicted.low < predicted.throughput < predicted.high
    waits = FLOOR_S + SLOPE_S / (1 - 50 / most(SMALL, 1.9))
    assert predicted.latency["p50"].mid == pytest.approx(waits)
    assert predicted.latency["p95"].mid == pytest.approx(2 * waits)


def test_another_size_is_predicted_from_runs_of_two() -> None:
    """With runs of two sizes every role's share of a picture is told apart."""
    runs = [measured(rate) for rate in (10, 40, 80, 200)]
    calibration = made(*runs, *(measured(rate, LARGE) for rate in (20, 60, 200)))
    for role in COSTS:
        assert calibration.item_s(role, Picture.named(LARGE)) == pytest.approx(item_s(role, LARGE))
    predicted = predict(calibration, processes=1, cores=2, picture=Picture.named(LARGE))
    # What bundles cost an item is taken from the other size, whose bundles are filled faster.
    assert predicted.throughput == pytest.approx(most(LARGE, 1.9), rel=0.05)


def test_the_interval_is_wider_where_runs_disagree() -> None:
    """Noise of the machine comes out in every answer, and the middle stays near the truth."""
    calm, noisy = made(), made(noise=0.08)
    assert noisy.cost_spread > 2 * calm.cost_spread
    predicted = predict(noisy, processes=2, cores=2, picture=Picture.named(SMALL))
    assert predicted.low < most(SMALL, 1.9) < predicted.high


def test_a_process_of_one_core_holds_a_large_machine_back() -> None:
    """On eight cores one worker's lock is the limit, and is named."""
    most_of_one, name = capacity(made(), processes=1, cores=8, picture=Picture.named(SMALL))
    assert name == "worker, one core"
    assert most_of_one == pytest.approx((0.95 - 0.05) / item_s("worker", SMALL))


def test_a_worker_that_waits_for_its_models_is_the_limit_of_each_process() -> None:
    """Cores were left at the highest rate, and so two processes do twice as much."""
    held = 0.4 * most(SMALL, 1.9)
    calibration = made(*(measured(rate, held=held) for rate in (10, 20, 30, 200)))
    predicted = [
        predict(calibration, processes=count, cores=8, picture=Picture.named(SMALL))
        for count in (1, 2)
    ]
    assert [one.bottleneck for one in predicted] == ["worker and models in turn"] * 2
    assert [one.throughput for one in predicted] == pytest.approx([held, 2 * held])


def test_other_programs_on_the_machine_do_not_look_like_a_worker_that_waits() -> None:
    """All cores were busy, some with others' work: the run is predicted as it was measured."""
    held = 0.6 * most(SMALL, 1.9)
    second = Second(
        second=0,
        due=1,
        outcomes=1,
        waiting=1,
        p50_s=1.0,
        p95_s=1.0,
        cpu_shares={"worker-1": 1.1, "other": 0.8},
    )
    limited = replace(measured(200, held=held), seconds=[second])
    calibration = made(*(measured(rate, held=held) for rate in (10, 30, 40)), limited)
    predicted = predict(calibration, processes=1, cores=2, picture=Picture.named(SMALL))
    assert predicted.bottleneck == "all cores"
    assert predicted.throughput == pytest.approx(held)


def test_more_than_the_machine_can_do_has_no_latency() -> None:
    """Beyond the capacity the backlog grows as long as it lasts."""
    predicted = predict(made(), processes=1, cores=2, picture=Picture.named(SMALL), rate=500)
    assert predicted.latency["p95"].mid == math.inf


def test_a_size_between_the_measured_is_on_their_line() -> None:
    """Decode time and bytes grow with the pixels; an unmeasured format is refused."""
    between = cost_of(Picture(960, 720, "JPEG"), PICTURES)
    assert PICTURES[SMALL].decode_s < between.decode_s < PICTURES[LARGE].decode_s
    with pytest.raises(ValueError, match="only JPEG were measured"):
        cost_of(Picture(64, 64, "PNG"), PICTURES)


def test_runs_that_prove_nothing_are_refused_together() -> None:
    """Too few, invalid, of several processes, of pictures that nobody timed: all are told."""
    runs = [measured(10), measured(10)]
    values = [
        replace(runs[0], name="a", lost=3),
        replace(runs[1], name="b", settings=replace(runs[1].settings, processes=2)),
        replace(runs[1], name="c", settings=replace(runs[1].settings, images="a mix")),
    ]
    with pytest.raises(BadCalibration) as error:
        calibrate(values, PICTURES, release="r", machine="m")
    assert str(error.value).splitlines() == [
        "3 runs; 4 are needed",
        "a: proves nothing: 3 items lost, 0 with another outcome, 0 messages refused",
        "b: is of 2 processes, must be of 1",
        "c: its pictures, 'a mix', were not timed",
        "all runs are of one rate; two or more are needed",
    ]


def test_a_file_gives_the_calibration_again(tmp_path: Path) -> None:
    """Saved and loaded it is equal; anything else is refused with the file's name."""
    path = tmp_path / "calibration.json"
    made().save(path)
    assert Calibration.load(path).roles == made().roles
    text = json.loads(path.read_text())
    for broken in ("{", "[]", "{}", json.dumps({**text, "form": 9}), json.dumps({"form": 1})):
        path.write_text(broken)
        with pytest.raises(BadRecord, match=r"calibration\.json: "):
            Calibration.load(path)
    with pytest.raises(BadRecord, match="No such file"):
        Calibration.load(tmp_path / "none.json")
