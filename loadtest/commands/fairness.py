"""`testudo loadtest fairness`: what a wild tenant does to the others, and what quotas do about it.

Three runs of the same traffic: without the wild tenant; with it; with it, and quotas. The
items of the others are the same to the byte in all three.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from loadtest.commands.calibrate import REFERENCE
from loadtest.commands.steady import (
    add_run_arguments,
    check_run_arguments,
    reporter,
    steady_profile,
)
from loadtest.measuring.items import is_item
from loadtest.measuring.latencies import latency_of
from loadtest.measuring.rig import Rig
from loadtest.processes import MeasuringError
from loadtest.results import ITEMS, Latency, Result
from loadtest.traffic.demand import Wild
from loadtest.traffic.profile import Profile
from loadtest.traffic.schedule import make_schedule, tenant_name
from testudo.commands.place import OVERFLOW_TOPIC
from testudo.errors import CommandError
from testudo.local.missing import ToolsMissing
from testudo.local.processes import StackError
from testudo.local.servers import PROJECT

FILE = "fairness.json"
CUSTOMERS = 10
WILD = 1  # the number of the wild tenant
FROM, FOR = 0.2, 0.4  # when it goes wild and for how long, as shares of the run
ALONE, WITHOUT, WITH = "without the wild tenant", "with it", "with it, and quotas"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=float, default=15.0, help="of all customers, messages a second (%(default)g)"
    )
    parser.add_argument(
        "--wild_rate",
        type=float,
        default=200.0,
        help=f"of one of {CUSTOMERS} customers while it is wild: more than can be scored "
        "(%(default)g)",
    )
    parser.add_argument(
        "--overflow_after_s",
        type=float,
        default=1.0,
        help="of waiting, from which on the quotas are kept (%(default)g)",
    )
    parser.add_argument(
        "--tenant_share",
        type=float,
        default=0.1,
        help="of the messages that a tenant may have then (%(default)g)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".testudo/loadtest/fairness"),
        help=f"folder of {FILE} and of the runs (%(default)s)",
    )
    add_run_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when every item of the three runs had its outcome, 1 when not."""
    check_run_arguments(arguments)
    if not 0 < arguments.rate < arguments.wild_rate:
        raise CommandError(
            f"--rate and --wild_rate: are {arguments.rate:g} and {arguments.wild_rate:g}; the "
            "second must be more than the first, and that more than 0"
        )
    report = reporter(Console(stderr=True))
    try:
        results = _results(arguments, report)
    except (MeasuringError, StackError, ToolsMissing) as error:
        raise CommandError(str(error)) from error
    found = {
        "wild": tenant_name(WILD - 1),
        "runs": [_row(arguments.out, name, result) for name, result in results.items()],
    }
    (arguments.out / FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    Console().print(as_table(found))
    return 0 if all(one.complete for one in results.values()) else 1


def _results(arguments: argparse.Namespace, report: Callable[[str], None]) -> dict[str, Result]:
    calm, wild = profiles(arguments.rate, arguments.wild_rate, arguments.seconds)
    quotas = [
        f"--overflow_topic=projects/{PROJECT}/topics/{OVERFLOW_TOPIC}",
        f"--overflow_after_s={arguments.overflow_after_s:g}",
        f"--tenant_share={arguments.tenant_share:g}",
    ]

    def measured(rig: Rig, profile: Profile, name: str) -> Result:
        report(f"{name[0].upper()}{name[1:]}")
        schedule = make_schedule(profile, duration_s=arguments.seconds, seed=arguments.seed)
        folder = arguments.out / name.replace(",", "").replace(" ", "-")
        result = rig.measure(schedule, name=name, folder=folder)
        report(f"  {result.items} items; {'; '.join(result.problems) or 'all have their outcome'}")
        return result

    releases = str(arguments.releases)
    with Rig(arguments.home, releases, report=report) as rig:
        found = {ALONE: measured(rig, calm, ALONE), WITHOUT: measured(rig, wild, WITHOUT)}
    with Rig(arguments.home, releases, flags=quotas, overflow=True, report=report) as rig:
        return found | {WITH: measured(rig, wild, WITH)}


def profiles(rate: float, wild_rate: float, seconds: float) -> tuple[Profile, Profile]:
    """Without the wild tenant, and with it."""
    each = rate / CUSTOMERS
    calm = dataclasses.replace(
        steady_profile(REFERENCE), name="calm", customers=CUSTOMERS, rate_a_customer=each
    )
    gone = Wild(tenant=WILD, from_s=FROM * seconds, length_s=FOR * seconds, factor=wild_rate / each)
    return calm, dataclasses.replace(calm, name="wild", wild=(gone,))


def _row(out: Path, name: str, result: Result) -> dict[str, Any]:
    """The latencies of the others, and of the wild tenant where there was one."""
    folder = name.replace(",", "").replace(" ", "-")
    others, wild = latencies(out / folder, tenant_name(WILD - 1))
    return {
        "name": name,
        "others": dataclasses.asdict(others),
        "wild": dataclasses.asdict(wild) if name != ALONE else None,
        "result": folder,
        "lost": result.lost,
    }


def latencies(folder: Path, wild: str) -> tuple[Latency, Latency]:
    """Of all tenants but one, and of that one."""
    table = pq.read_table(folder / ITEMS)
    its = table.filter(is_item(table))
    taken_s = pc.subtract(its["seen_s"], its["due_s"]).to_numpy()
    of_wild = np.array(its["tenant"].to_pylist()) == wild
    return latency_of(taken_s[~of_wild]), latency_of(taken_s[of_wild])


def as_table(found: Mapping[str, Any]) -> Table:
    table = Table(title="Latency of the other tenants, and of the wild one", title_justify="left")
    headings = ("run", "others: items", "p50 s", "p95 s", "max s", "wild: items", "p95 s", "lost")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for row in found["runs"]:
        others, wild = row["others"], row["wild"] or {}
        table.add_row(
            row["name"],
            str(others["items"]),
            *(f"{others[one]:.2f}" for one in ("p50_s", "p95_s", "max_s")),
            str(wild.get("items", "")),
            f"{wild['p95_s']:.2f}" if wild else "",
            str(row["lost"]),
        )
    return table
