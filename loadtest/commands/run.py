"""`testudo loadtest run`: traffic of a profile, or of a trace, and what became of it."""

import argparse
import dataclasses
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadtest.commands.flags import Flags, add_rig_arguments, add_traffic_arguments
from loadtest.measuring.live import following
from loadtest.measuring.rig import Rig
from loadtest.measuring.trial import Trial, settings_of
from loadtest.report.run_section import in_words, latency_table, process_table, tenant_table
from loadtest.report.terminal import rich_table
from loadtest.results import Result
from loadtest.traffic.profile import BadProfile, read_profile
from loadtest.traffic.schedule import Schedule, make_schedule
from loadtest.traffic.sender import LIMIT_USD
from loadtest.traffic.trace import BadTrace, load_trace
from testudo.commands.environments import environment_of
from testudo.commands.refused import google_errors
from testudo.environment import LOCAL, LOCAL_OVERFLOW
from testudo.environment_file import FILE

EXAMPLE = "testudo loadtest run --profile marketplace --customers 30 --duration_s 60"
CLOUD_POLLS_S = 1.0  # each poll of BigQuery itself is a query that is billed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_traffic_arguments(parser, profile="marketplace")
    parser.add_argument("--rate", type=float, help="messages a second; the profile's own without")
    parser.add_argument(
        "--duration_s", type=float, default=60.0, help="of the traffic (%(default)g)"
    )
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="play this recorded trace back, no profile"
    )
    parser.add_argument("--name", help="of the result and its folder (the time, without)")
    parser.add_argument(
        "--slo_p95", type=float, metavar="SECONDS", help="fail if 95 %% of the items take longer"
    )
    add_rig_arguments(parser)
    parser.add_argument(
        "--without_wild", action="store_true", help="leave out what tenants send that go wild"
    )
    quotas = parser.add_argument_group("quotas of the local job, which scores the excess later")
    quotas.add_argument(
        "--tenant_share",
        type=float,
        metavar="SHARE",
        help="of the messages that a tenant may have while messages wait; no quotas without",
    )
    quotas.add_argument(
        "--overflow_after_s",
        type=float,
        default=1.0,
        help="of waiting, from which on the quotas hold (%(default)g)",
    )
    cloud = parser.add_argument_group("on a job that runs already, instead of a local one")
    cloud.add_argument("--environment", help="`local`, or the name of a table of the file")
    cloud.add_argument(
        "--environments", type=Path, default=FILE, help="file of the environments (%(default)s)"
    )
    cloud.add_argument(
        "--limit_usd",
        type=float,
        default=LIMIT_USD,
        help="send nothing if Pub/Sub would bill more than this (%(default)g)",
    )
    cloud.add_argument(
        "--yes", action="store_true", help="send to an environment of the cloud, which bills it"
    )


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when the run is valid and holds the goal."""
    schedule = _schedule(arguments)
    console = Console(stderr=True)
    name = arguments.name or f"{schedule.profile}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = arguments.out / name
    result = _measured(console, arguments, schedule, name, folder)
    show(Console(), result)
    print(f"The run's files: {folder}")
    problems = list(result.problems)
    if arguments.slo_p95 is not None and result.latency.p95_s > arguments.slo_p95:
        problems.append(
            f"p95 is {result.latency.p95_s:.2f} s, and the goal is {arguments.slo_p95:g} s"
        )
    for problem in problems:
        print(f"testudo loadtest run: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _schedule(arguments: argparse.Namespace) -> Schedule:
    """Raises CommandError with everything that is wrong with the flags."""
    flags = Flags(arguments)
    flags.at_least(1, "processes", "customers")
    flags.at_least(0, "seed", "limit_usd")
    flags.above_0("slo_p95", "tenant_share", "overflow_after_s")
    if arguments.environment is None:
        flags.release_in_use()
    elif arguments.tenant_share is not None:
        flags.problems.append("--tenant_share: is of a local job; one that runs has its own flags")
    if arguments.name and Path(arguments.name).name != arguments.name:
        flags.problems.append(f"--name: {arguments.name} is not the name of a folder")
    if arguments.environment not in (None, LOCAL.name) and not arguments.yes:
        flags.problems.append(
            f"--environment: messages to {arguments.environment} and what becomes of them are "
            "billed; say --yes, and see --limit_usd"
        )
    if arguments.trace:
        schedule = flags.read("trace", lambda: load_trace(arguments.trace), BadTrace)
    else:
        schedule = flags.read("profile", lambda: _drawn(arguments), BadProfile)
    if flags.problems or schedule is None:
        raise flags.error()
    return schedule


def _drawn(arguments: argparse.Namespace) -> Schedule:
    """Raises BadProfile."""
    profile = read_profile(arguments.profile)
    if arguments.without_wild:
        profile = dataclasses.replace(profile, wild=())
    return make_schedule(
        profile,
        duration_s=arguments.duration_s,
        seed=arguments.seed,
        rate=arguments.rate,
        customers=arguments.customers,
    )


def _measured(
    console: Console, arguments: argparse.Namespace, schedule: Schedule, name: str, folder: Path
) -> Result:
    with ExitStack() as exits:
        if arguments.environment:
            exits.enter_context(google_errors("Google's services"))
            environment = environment_of(arguments)
            trial = Trial(
                name=name,
                place=environment,
                schedule=schedule,
                folder=folder,
                settings=settings_of(schedule, processes=0),
                follow=exits.enter_context(following(console, name)),
                poll_every_s=CLOUD_POLLS_S,
                limit_usd=arguments.limit_usd,
                region=environment.region,
                report=console.print,
            )
            return trial.run()
        rig = exits.enter_context(
            Rig(
                arguments.home,
                str(arguments.releases),
                processes=arguments.processes,
                flags=_quotas(arguments),
                overflow=arguments.tenant_share is not None,
                report=console.print,
            )
        )
        follow = exits.enter_context(following(console, name))
        return rig.measure(schedule, name=name, folder=folder, follow=follow)


def _quotas(arguments: argparse.Namespace) -> list[str]:
    if arguments.tenant_share is None:
        return []
    return [
        f"--overflow_topic={LOCAL_OVERFLOW.topic_path}",
        f"--overflow_after_s={arguments.overflow_after_s:g}",
        f"--tenant_share={arguments.tenant_share:g}",
    ]


def show(console: Console, result: Result) -> None:
    """Tables of latencies, tenants and processes, outcomes, and what was at its limit."""
    tables = [latency_table(result), tenant_table(result), process_table(result)]
    for table in tables:
        if table.rows:
            console.print(rich_table(table))
    console.print(in_words(result), markup=False)
