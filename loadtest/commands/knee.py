"""`testudo loadtest knee`: the highest rate at which a latency goal holds."""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadtest.commands.flags import Flags, add_rig_arguments, add_traffic_arguments
from loadtest.measuring.live import following
from loadtest.measuring.probing import KNEE, Judged, Knee, judge, knee_of
from loadtest.measuring.rig import Rig
from loadtest.measuring.search import Search
from loadtest.records import write_record
from loadtest.traffic.profile import BadProfile, Profile, read_profile
from loadtest.traffic.schedule import make_schedule

EXAMPLE = "testudo loadtest knee --slo_p95 5"
TRIES = 2  # of a probe that proves nothing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slo_p95",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="the goal: 95 %% of the items take no longer (%(default)g)",
    )
    for name, default, what in (
        ("probe_s", 15.0, "how long each rate is offered"),
        ("start_rate", 20.0, "of the first probe, messages a second"),
        ("limit_rate", 2000.0, "no probe goes above it"),
        ("budget_s", 300.0, "begin no probe after this time"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (%(default)g)")
    parser.add_argument("--name", help="of the folder of results (the time, without)")
    add_traffic_arguments(parser, profile="steady")
    add_rig_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when a knee was found."""
    profile = _checked(arguments)
    folder = arguments.out / (arguments.name or f"knee-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    console = Console(stderr=True)
    releases = str(arguments.releases)
    with Rig(arguments.home, releases, processes=arguments.processes, report=console.print) as rig:
        found = _Probing(console, rig, profile, arguments, folder).run()
    print(_verdict(found))
    print(f"All probes: {folder}")
    return 0 if found.knee else 1


def _checked(arguments: argparse.Namespace) -> Profile:
    """Raises CommandError with everything that is wrong with the flags."""
    flags = Flags(arguments)
    flags.at_least(1, "processes", "customers")
    flags.at_least(0, "seed")
    flags.release_in_use()
    flags.above_0("slo_p95", "probe_s", "start_rate", "limit_rate", "budget_s")
    if arguments.start_rate > arguments.limit_rate:
        flags.problems.append("--start_rate: is above --limit_rate")
    profile = flags.read("profile", lambda: read_profile(arguments.profile), BadProfile)
    if flags.problems or profile is None:
        raise flags.error()
    return profile


class _Probing:
    """Probes on one rig, one after the other, each from rest."""

    def __init__(
        self,
        console: Console,
        rig: Rig,
        profile: Profile,
        arguments: argparse.Namespace,
        folder: Path,
    ) -> None:
        self._console = console
        self._rig = rig
        self._profile = profile
        self._arguments = arguments
        self._folder = folder
        self._probes: list[Judged] = []

    def run(self, clock: Callable[[], float] = time.monotonic) -> Knee:
        """Search until there is enough, time is up, or a probe proves nothing twice.

        knee.json is written after each probe.
        """
        search = Search(self._arguments.start_rate, self._arguments.limit_rate)
        deadline_s, stopped = clock() + self._arguments.budget_s, ""
        while (rate := search.next_rate()) is not None and not stopped:
            if self._probes and clock() > deadline_s:
                stopped = f"time was up after {self._arguments.budget_s:g} s"
                break
            probe = self._probe(rate)
            if probe.holds is None:
                stopped = f"{TRIES} probes of {rate:.0f}/s prove nothing: {probe.problems[0]}"
            else:
                search.add(probe.rate, holds=probe.holds)
            self._save(stopped)
        return self._save(stopped)

    def _save(self, stopped: str) -> Knee:
        found = knee_of(self._probes, self._arguments.slo_p95, self._settings, stopped=stopped)
        write_record(found, self._folder / KNEE)
        return found

    def _probe(self, rate: float) -> Judged:
        for _ in range(TRIES):
            number = len(self._probes) + 1
            schedule = make_schedule(
                self._profile,
                duration_s=self._arguments.probe_s,
                seed=self._arguments.seed + number,
                rate=rate,
                customers=self._arguments.customers,
            )
            name = f"probe-{number:02d}"
            with following(self._console, f"{rate:.0f}/s") as follow:
                result = self._rig.measure(
                    schedule, name=name, folder=self._folder / name, follow=follow
                )
            self._settings = result.settings
            probe = judge(result, self._arguments.slo_p95)
            self._probes.append(probe)
            self._console.print(_line(probe))
            if probe.holds is not None:
                break
        return probe


def _line(probe: Judged) -> str:
    verdict = {True: "holds", False: "fails", None: "proves nothing"}[probe.holds]
    why = "; ".join([*probe.problems, *filter(None, [probe.saturated])])
    return f"{probe.rate:7.1f}/s: p95 {probe.p95_s:6.2f} s, {verdict}" + (
        f" ({why})" if why else ""
    )


def _verdict(found: Knee) -> str:
    goal = f"p95 within {found.goal_p95_s:g} s"
    stopped = f" The search ended early: {found.stopped}." if found.stopped else ""
    if not found.knee:
        return f"No knee was found for {goal}.{stopped}"
    return (
        f"{goal} holds up to {found.knee:.0f} messages a second "
        f"(95 % interval {found.low:.0f} to {found.high:.0f}), {found.processes} "
        f"processes, {found.images}. At its limit then: {found.saturated or 'unknown'}.{stopped}"
    )
