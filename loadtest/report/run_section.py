"""The section of a run: what it found, and whether that proves something; and of all runs."""

from collections.abc import Iterator, Mapping, Sequence

from loadtest.report import latency_charts, usage_charts
from loadtest.report.latency_charts import by_stage
from loadtest.report.quantities import counted, number, rate, seconds, share, size
from loadtest.report.section import Figure, Judged, Section, Table, Verdict
from loadtest.results import Latency, Result

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")
MOST_LINES = 8  # of the last runs: there are no more colours that can be distinguished
FEW_TENANTS = 15  # of the slowest, in the table


def run_section(result: Result, number_: int, goal_s: float | None) -> Section:
    settings = result.settings
    return Section(
        anchor=f"run-{number_}",
        title=f"Run: {result.name}",
        verdict=verdict(result, goal_s),
        paragraphs=[
            f"Profile {settings.profile}, seed {settings.seed}, "
            f"{counted(settings.customers, 'customer')}, {rate(settings.rate)} for "
            f"{seconds(settings.duration_s)}, {settings.images}; {_job(result)}; "
            f"begun {result.started_at}. Latencies are exact to {seconds(result.poll_every_s)}, "
            "and never too short.",
            *([f"At its limit: {result.saturated}."] if "; " in result.saturated else []),
        ],
        tables=[
            latency_table(result),
            _outcomes(result),
            process_table(result),
            tenant_table(result),
        ],
        figures=[*_figures(result, goal_s)],
    )


def _figures(result: Result, goal_s: float | None) -> Iterator[Figure]:
    """Those that there is something to draw for."""
    if result.seconds and result.latency.items:
        yield latency_charts.over_time(result, goal_s)
        yield latency_charts.percentiles([result], goal_s)
    if result.seconds:
        yield usage_charts.rates(result)
        yield usage_charts.waiting(result)
    if any(second.cpu_shares for second in result.seconds):
        yield usage_charts.cpu(result)
    if result.processes:
        yield usage_charts.memory(result)
    if result.latency.items:
        yield latency_charts.stages(result)
        yield latency_charts.tenants(result, goal_s)


def verdict(result: Result, goal_s: float | None) -> Verdict:
    p95 = seconds(result.latency.p95_s)
    words = [_counts(result)]
    if goal_s is not None:
        met = result.latency.p95_s <= goal_s
        words.append(f"p95 is {p95}: {'within' if met else 'over'} the goal of {goal_s:g} s.")
    else:
        words.append(f"p95 is {p95}.")
    first, *_ = result.saturated.split("; ")  # all of it stands in the section
    words.append(f"At its limit: {first or 'nothing'}.")
    if result.problems:
        reasons = "; ".join(result.problems)
        return Verdict(
            Judged.BAD, "Proves nothing", " ".join([f"It is not valid: {reasons}.", *words])
        )
    if goal_s is None:
        return Verdict(Judged.GOOD, "Valid", " ".join(words))
    if result.latency.p95_s <= goal_s:
        return Verdict(Judged.GOOD, "Valid, holds the goal", " ".join(words))
    return Verdict(Judged.BAD, "Valid, misses the goal", " ".join(words))


def _counts(result: Result) -> str:
    outcomes = sum(result.outcomes.values())
    counts = f"{counted(result.items, 'item')} in, {counted(outcomes, 'outcome')} out"
    if result.items == outcomes and not result.lost:
        return f"{counts}: none is missing."
    return f"{counts}: {result.lost:,} lost."


def _job(result: Result) -> str:
    settings = result.settings
    if not settings.processes:
        return "a job in the cloud"
    return (
        f"{settings.processes} process{'es' * (settings.processes > 1)} on "
        f"{counted(settings.cores, 'core')}"
    )


def latency_table(result: Result) -> Table:
    return Table(
        caption="Latency, of all items and by stage",
        columns=["", "items", *PERCENTILES],
        rows=_latencies({"all items": result.latency, **by_stage(result)}),
    )


def in_words(result: Result) -> str:
    """What came out, and how exact that is."""
    rows = [*result.outcomes.items(), ("lost", result.lost)]
    outcomes = ", ".join(f"{count:,} {what}" for what, count in rows if count)
    return (
        f"{result.sent.messages:,} messages of {result.items:,} items at "
        f"{result.settings.rate:.1f}/s: {outcomes}; {result.copies_removed:,} copies removed; "
        f"{result.throughput:.1f} outcomes/s. A poll every {result.poll_every_s:.2f} s, "
        f"generator late by {result.sent.lag_p99_s * 1000:.0f} ms (p99).\n"
        f"At its limit: {result.saturated or 'nothing'}."
    )


def _latencies(named: Mapping[str, Latency]) -> list[list[str]]:
    return [
        [name, f"{latency.items:,}"]
        + [
            seconds(t)
            for t in (
                latency.p50_s,
                latency.p90_s,
                latency.p95_s,
                latency.p99_s,
                latency.p999_s,
                latency.max_s,
            )
        ]
        for name, latency in named.items()
    ]


def _outcomes(result: Result) -> Table:
    total = max(1, sum(result.outcomes.values()))
    rows = [
        [name, f"{count:,}", share(count / total, 2)]
        for name, count in sorted(result.outcomes.items(), key=_count, reverse=True)
    ]
    rows += [
        ["lost", f"{result.lost:,}", ""],
        ["with another outcome than expected", f"{result.unexpected:,}", ""],
        ["copies removed", f"{result.copies_removed:,}", ""],
        ["refused by Pub/Sub", f"{result.sent.refused:,}", ""],
        ["sender behind its schedule, p99", seconds(result.sent.lag_p99_s), ""],
    ]
    return Table(caption="Outcomes", columns=["", "items", "share"], rows=rows)


def _count(one: tuple[str, int]) -> int:
    return one[1]


def process_table(result: Result) -> Table:
    items = max(1, result.items)
    return Table(
        caption="Processes, by role",
        columns=["", "processes", "CPU", "CPU an item", "busiest core", "peak memory"],
        rows=[
            [
                role,
                str(use.processes),
                seconds(use.cpu_s),
                seconds(use.cpu_s / items),
                share(use.busiest_share),
                size(use.peak_bytes),
            ]
            for role, use in result.processes.items()
        ],
    )


def tenant_table(result: Result) -> Table:
    slowest = sorted(result.tenants.items(), key=_p95, reverse=True)[:FEW_TENANTS]
    total = max(1, sum(tenant.items for tenant in result.tenants.values()))
    return Table(
        caption=f"Tenants: the {len(slowest)} slowest of {len(result.tenants):,}",
        columns=["", "share", "items", *PERCENTILES],
        rows=[
            [row[0], share(one.items / total, 1), *row[1:]]
            for (_, one), row in zip(slowest, _latencies(dict(slowest)), strict=True)
        ],
    )


def _p95(one: tuple[str, Latency]) -> float:
    return one[1].p95_s


def all_runs(runs: Sequence[Result], parts: Sequence[Result], goal_s: float | None) -> Section:
    """Every run in a row, those that a knee or a proof was made of too."""
    valid = sum(run.valid for run in (*runs, *parts))
    count = len(runs) + len(parts)
    drawn = [result for result in runs if result.latency.items]
    judged = Judged.GOOD if valid == count else Judged.OPEN
    return Section(
        anchor="runs",
        title="All runs",
        verdict=Verdict(judged, f"{valid} of {count} valid", ""),
        paragraphs=[
            "Only a valid run proves something: its items all came out, and its sender "
            "kept its schedule."
        ],
        tables=[
            Table(
                caption="Runs, in the order of their beginning",
                columns=[
                    "",
                    "offered",
                    "achieved",
                    "images",
                    "processes",
                    "p50",
                    "p95",
                    "p99",
                    "at its limit",
                    "valid",
                ],
                words=["images", "at its limit", "valid"],
                rows=[_run_row(run) for run in (*runs, *parts)],
            )
        ],
        figures=[latency_charts.percentiles(drawn[-MOST_LINES:], goal_s)] if len(drawn) > 1 else [],
    )


def _run_row(result: Result) -> list[str]:
    settings = result.settings
    return [
        result.name,
        rate(settings.rate),
        rate(result.throughput),
        settings.images,
        number(settings.processes) if settings.processes else "cloud",
        seconds(result.latency.p50_s),
        seconds(result.latency.p95_s),
        seconds(result.latency.p99_s),
        result.saturated or "nothing",
        "yes" if result.valid else "no: " + "; ".join(result.problems),
    ]
