"""Constant load of one kind of picture: costs are fitted on it, predictions held against it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from loadtest.capacity.calibrating import calibrate
from loadtest.capacity.calibration import Calibration
from loadtest.capacity.images import Picture, kernel_costs
from loadtest.measuring.live import following
from loadtest.measuring.rig import Rig
from loadtest.processes import MeasuringError
from loadtest.results import Result
from loadtest.traffic.kinds import Kind
from loadtest.traffic.profile import Part, Profile, read_profile
from loadtest.traffic.schedule import make_schedule
from models.release import read_pointer
from testudo.local.jobs import DATAFLOW, LAPTOP

REFERENCE, SECOND = Picture(640, 480, "JPEG"), Picture(1280, 960, "JPEG")
# Sizes and formats whose decoding is timed, so that a profile's mix can be priced.
TIMED = (
    Picture(320, 240, "JPEG"),
    REFERENCE,
    SECOND,
    Picture(320, 240, "PNG"),
    Picture(640, 480, "PNG"),
    Picture(320, 240, "WEBP"),
    Picture(640, 480, "WEBP"),
)
OVERLOAD = 1.6  # times what is expected: the rest waits, so that all that can be busy is
OVERLOAD_S = 20.0  # at least: a shorter run is mostly its beginning and its end
POLLS_APART_S = 2.0  # a poll costs the stand-in a quarter of a second of CPU
TRIES = 2  # of a run that proves nothing: another process may have had the cores
# Items a second, by how bundles are made; its run shows what the next ones should be.
FIRST_GUESS = {LAPTOP: 150.0, DATAFLOW: 50.0}
SHARES = (0.25, 0.45, 0.6, 0.75)  # of the throughput found
SECOND_SHARES = (0.15, 0.3)  # of the same: it is four times as large
CALIBRATION_RUNS = 2 + len(SHARES) + len(SECOND_SHARES)


def steady_profile(picture: Picture) -> Profile:
    """The packaged profile `steady` with this picture in every item."""
    kind = Kind(
        name=picture.name,
        width_px=picture.width_px,
        height_px=picture.height_px,
        format=picture.format,
    )
    return dataclasses.replace(read_profile("steady"), mix=(Part(kind=kind, share=1.0),))


@dataclasses.dataclass(kw_only=True)
class Bench:
    """Steady runs on one rig, a folder each, reported in a line each."""

    rig: Rig
    folder: Path
    seconds: float
    seed: int
    console: Console
    total: int  # runs, of which `done` are done: for the progress
    done: int = 0

    def report(self, line: str) -> None:
        """As it is, without markup: it may quote a log."""
        self.console.print(line, markup=False, highlight=False)

    def measure(self, picture: Picture, rate: float, name: str) -> Result:
        """One run at so many messages a second. Raises MeasuringError where it proves nothing."""
        self.done += 1
        for turn in range(TRIES):
            result = self._run(picture, rate, name, self.seed + turn, self.seconds)
            if result.valid:
                return result
        raise MeasuringError(f"{name} proves nothing: {'; '.join(result.problems)}")

    def most(self, picture: Picture, expected: float, name: str) -> Result:
        """A run at more than can be done, which shows how much can; its latencies mean nothing.

        Raises MeasuringError where an item has not the outcome that it should have.
        """
        seconds = max(self.seconds, OVERLOAD_S)
        self.done += 1
        result = self._run(picture, OVERLOAD * expected, name, self.seed, seconds)
        if not result.complete:
            raise MeasuringError(f"{name} proves nothing: {'; '.join(result.problems)}")
        return result

    def _run(self, picture: Picture, rate: float, name: str, seed: int, seconds: float) -> Result:
        schedule = make_schedule(steady_profile(picture), duration_s=seconds, seed=seed, rate=rate)
        what = f"{self.done} of {self.total}: {picture.name} at {rate:.0f}/s"
        with following(self.console, what) as follow:
            result = self.rig.measure(
                schedule,
                name=name,
                folder=self.folder / name,
                follow=follow,
                poll_every_s=POLLS_APART_S,
            )
        words = [f"{result.throughput:.0f}/s", f"p95 {result.latency.p95_s:.2f} s"]
        words += [text for text in (result.saturated, *result.problems) if text]
        self.report(f"  {what}: {'; '.join(words)}")
        return result


def calibration_of(bench: Bench, releases: Path, machine: str, bundles: str) -> Calibration:
    """Run everything and fit. Raises MeasuringError or BadCalibration."""
    release = read_pointer(str(releases)).default
    bench.report(f"Decoding {len(TIMED)} sizes and formats, timed alone")
    pictures = kernel_costs(releases / release, TIMED)
    bench.report(f"{REFERENCE.name}: a run to see how much can be done, then the others")
    guess = bench.most(REFERENCE, FIRST_GUESS[bundles] / OVERLOAD, "first").throughput
    results = [bench.most(REFERENCE, guess, "most")]
    results += _at_shares(bench, REFERENCE, SHARES, results[0].throughput, "reference")
    results += _at_shares(bench, SECOND, SECOND_SHARES, results[0].throughput, "second")
    return calibrate(results, pictures, release=release, machine=machine, bundles=bundles)


def _at_shares(
    bench: Bench, picture: Picture, shares: Sequence[float], most: float, name: str
) -> list[Result]:
    return [
        bench.measure(picture, share * most, f"{name}-{share * 100:.0f}-percent")
        for share in shares
    ]
