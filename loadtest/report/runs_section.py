"""The section of all runs: a table, and the latencies of some beside each other."""

from collections.abc import Sequence

from loadtest.report.latency_charts import percentiles
from loadtest.report.quantities import number, rate, seconds
from loadtest.report.section import Judged, Section, Table, Verdict
from loadtest.results import Result

MOST_LINES = 8  # of the last runs: there are no more colours that can be distinguished


def all_runs(runs: Sequence[Result], parts: Sequence[Result], goal_s: float | None) -> Section:
    """Every run in a row, those that a knee or a proof was made of too."""
    valid = sum(one.valid for one in (*runs, *parts))
    count = len(runs) + len(parts)
    drawn = [one for one in runs if one.latency.items]
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
                rows=[_row(one) for one in (*runs, *parts)],
            )
        ],
        figures=[percentiles(drawn[-MOST_LINES:], goal_s)] if len(drawn) > 1 else [],
    )


def _row(result: Result) -> list[str]:
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
