"""`python -m rigs limits`: how much one process of the generator can send.

To a topic without a subscription, for which the emulator would keep everything. Rates rise
until the generator falls behind. The highest that it held is one of this machine, whose
cores the emulator shares; messages a CPU second are the generator's own.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from google.cloud import pubsub_v1
from rich.console import Console
from rich.table import Table

from loadtest.results import Sent
from loadtest.stack import own_stack
from loadtest.traffic.kinds import Kind
from loadtest.traffic.payloads import Payloads
from loadtest.traffic.profile import Part, Profile
from loadtest.traffic.schedule import make_schedule
from loadtest.traffic.sender import send
from loadtest.traffic.trace import save_trace
from testudo.commands.environments import add_home_argument

TOPIC = "generator-limits"
GROWTH = 1.4  # of the rate, from probe to probe
LONGEST_S = 600.0
MOST_PROBES = 12  # the last asks for 40 times the first rate


class Case(NamedTuple):
    """Messages of one kind, and the rate that is wanted of a core."""

    kind: Kind
    wanted: float


CASES = (
    Case(Kind(name="text only"), 2500.0),
    Case(Kind(name="inline 640x480 JPEG", width_px=640, height_px=480, format="JPEG"), 500.0),
    Case(Kind(name="inline 960x720 JPEG", width_px=960, height_px=720, format="JPEG"), 500.0),
)


class Probe(NamedTuple):
    """One rate, tried."""

    rate: float
    sent: Sent

    @property
    def messages_per_cpu_s(self) -> float:
        return self.sent.messages / self.sent.cpu_s


def probes(topic: str, kind: Kind, first_rate: float, duration_s: float) -> Iterator[Probe]:
    """Rising rates, until one at which the generator did not keep up."""
    profile = Profile(
        name="limits", customers=30, rate_a_customer=1.0, mix=(Part(kind=kind, share=1.0),)
    )
    with tempfile.TemporaryDirectory(prefix="testudo-limits-") as name:
        trace = Path(name) / "trace.parquet"
        for number in range(MOST_PROBES):
            rate = first_rate * GROWTH**number
            save_trace(make_schedule(profile, duration_s=duration_s, seed=1, rate=rate), trace)
            sent = send(topic, trace, prefix=f"{number}-", report=lambda _: None).sent
            yield Probe(rate, sent)
            if not sent.kept_up:
                return


@contextmanager
def own_topic(home: Path, report: Callable[[str], None]) -> Iterator[str]:
    """A topic without subscriptions, of an emulator that ends with the block."""
    with own_stack(home, report) as stack, pubsub_v1.PublisherClient() as client:
        topic = client.topic_path(stack.project, TOPIC)
        client.create_topic(name=topic)
        yield topic


def row(case: Case, tried: list[Probe]) -> tuple[str, ...]:
    """The first probe's cost, which had the wanted rate, and the highest that was held."""
    size_bytes = Payloads.draw([case.kind]).mean_bytes(0)
    held = [one for one in tried if one.sent.kept_up]
    best = held[-1] if held else tried[0]
    return (
        case.kind.name,
        f"{size_bytes / 1000:.1f}",
        f"{tried[0].messages_per_cpu_s:,.0f}",
        f"{best.rate:,.0f}" if held else f"less than {tried[0].rate:,.0f}",
        f"{best.messages_per_cpu_s:,.0f}",
        f"{best.rate * size_bytes / 1e6:.0f}",
        f"{best.sent.lag_p99_s * 1000:.1f}",
    )


def measure(home: Path, duration_s: float, console: Console) -> Table:
    headings = (
        "messages", "KB", "a CPU-s at\nwanted rate", "highest\na second", "a CPU-s\nat that",
        "MB/s", "lag p99\nms",
    )  # fmt: skip
    table = Table(*headings, caption="One process of the generator; its emulator's CPU apart.")
    with own_topic(home, console.print) as topic:
        for case in CASES:
            tried = []
            for probe in probes(topic, case.kind, case.wanted, duration_s):
                tried.append(probe)
                console.print(
                    f"{case.kind.name}, {probe.rate:,.0f} a second: "
                    f"{probe.messages_per_cpu_s:,.0f} a CPU second, lag p99 "
                    f"{probe.sent.lag_p99_s * 1000:.1f} ms, {probe.sent.refused} refused"
                )
            table.add_row(*row(case, tried))
    return table


def _probe_s(text: str) -> float:
    if not 1 <= float(text) <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"1 to {LONGEST_S:g} seconds are allowed")
    return float(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--probe_s", type=_probe_s, default=5.0, help="length of each rate's trial (%(default)g)"
    )
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    Console().print(measure(arguments.home, arguments.probe_s, Console(stderr=True)))
    return 0
