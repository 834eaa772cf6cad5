"""The sections of knees, proofs and fairness."""

from collections.abc import Mapping, Sequence
from typing import Any

from loadtest.report import trial_charts
from loadtest.report.quantities import change, counted, number, rate, seconds, share
from loadtest.report.section import Judged, Section, Table, Verdict

Values = Mapping[str, Any]
FAIR_TIMES = 1.5  # the others' p95 with a wild tenant, at most so many times that without it
FIGURES = {
    "throughput": ("Throughput", "throughput, items/s", number),
    "p95_s": ("Latency", "p95 of latency, s", seconds),
}


def knee_section(values: Values, anchor: str) -> Section:
    probes = values["probes"]
    return Section(
        anchor=anchor,
        title=f"Knee: {values['images']}, {_processes(values['processes'])}",
        verdict=_knee_verdict(values),
        paragraphs=[
            "The knee is the highest rate at which 95 of 100 items are queryable within the goal, "
            "and nothing piles up. A probe whose sender was late proves nothing, and counts "
            "neither way."
        ],
        tables=[
            Table(
                caption=f"Probes, in the order in which they were made: {len(probes)}",
                columns=["", "offered", "achieved", "p95", "goal", "at its limit"],
                words=["goal", "at its limit"],
                rows=[
                    [
                        str(index),
                        rate(one["rate"]),
                        rate(one["achieved"]),
                        seconds(one["p95_s"]),
                        "; ".join([trial_charts.judged(one), *one["problems"]]),
                        one.get("saturated") or "nothing",
                    ]
                    for index, one in enumerate(probes, start=1)
                ],
            )
        ],
        figures=[trial_charts.knee(values)] if probes else [],
    )


def _knee_verdict(values: Values) -> Verdict:
    goal = f"a p95 of {values['goal_p95_s']:g} s"
    early = f" The search ended early: {values['stopped']}." if values.get("stopped") else ""
    if values["knee"] is None:
        words = f"No rate was found at which {goal} begins to fail.{early}"
        return Verdict(Judged.OPEN, "No knee found", words)
    words = f"{_processes(values['processes'])} with {values['images']}: holds {goal}"
    if values["low"] is not None and values["high"] is not None:
        words += (
            f"; the {share(values['confidence'])} interval goes from {number(values['low'])} to "
            f"{number(values['high'])}"
        )
    return Verdict(
        Judged.GOOD,
        f"Knee at {rate(values['knee'])}",
        f"{words}. Beyond it, at its limit: {values['saturated'] or 'nothing'}.{early}",
    )


def _processes(count: float) -> str:
    return f"{number(count)} process{'es' * (count != 1)}"


def proof_section(values: Values, anchor: str) -> Section:
    rows = values["rows"]
    return Section(
        anchor=anchor,
        title="Proof of the predictions",
        verdict=_proof_verdict(rows),
        paragraphs=[
            f"Predicted from the calibration of {values['calibrated_on']}, for configurations that "
            "it had not seen; then measured."
        ],
        tables=[
            Table(
                caption="Predicted and measured",
                columns=["", "what", "predicted", "interval", "measured", "error", "allowed", ""],
                words=["what", ""],
                rows=[_proof_row(row, field) for row in rows for field in FIGURES],
            )
        ],
        figures=[
            trial_charts.foretold(rows, field, title, unit)
            for field, (title, unit, _) in FIGURES.items()
            if rows
        ],
    )


def _proof_row(row: Values, field: str) -> list[str]:
    one, form = row[field], FIGURES[field][2]
    what = FIGURES[field][1].split(",")[0]
    return [
        row["what"],
        what + (f" at {rate(one['rate'])}" if "rate" in one else ""),
        form(one["predicted"]),
        f"{form(one.get('low'))} to {form(one.get('high'))}",
        form(one["measured"]),
        change(one["error"]),
        f"±{share(one['within'])}",
        "holds" if _holds(one) else "fails",
    ]


def _holds(one: Values) -> bool:
    return bool(abs(one["error"]) <= one["within"])


def _proof_verdict(rows: Sequence[Values]) -> Verdict:
    judged = [_holds(row[field]) for row in rows for field in FIGURES]
    if not judged:
        return Verdict(Judged.OPEN, "No predictions", "The proof has no rows.")
    worst = {
        field: max((abs(row[field]["error"]) for row in rows), default=0.0) for field in FIGURES
    }
    words = (
        f"The largest error of throughput is {share(worst['throughput'], 1)}, of p95 "
        f"{share(worst['p95_s'], 1)}."
    )
    head = f"{sum(judged)} of {len(judged)} predictions hold"
    return Verdict(Judged.GOOD if all(judged) else Judged.BAD, head, words)


def fairness_section(values: Values, anchor: str) -> Section:
    return Section(
        anchor=anchor,
        title="Fairness",
        verdict=_fairness_verdict(values),
        paragraphs=[
            f"The tenant {values['wild']} sends far more than its share. The items of the others "
            "are the same in each run."
        ],
        tables=[
            Table(
                caption="Latency of the others, and of the wild tenant",
                columns=["", "others: items", "p50", "p95", "p99", "max", "wild: items", "p95"],
                rows=[_fairness_row(one) for one in values["runs"]],
            )
        ],
        figures=[trial_charts.fairness(values)],
    )


def _fairness_row(run: Values) -> list[str]:
    others, wild = run["others"], run["wild"]
    return [
        run["name"],
        f"{others['items']:,.0f}",
        *(seconds(others[name]) for name in ("p50_s", "p95_s", "p99_s", "max_s")),
        f"{wild['items']:,.0f}" if wild else "",
        seconds(wild["p95_s"]) if wild else "",
    ]


def _fairness_verdict(values: Values) -> Verdict:
    first, last = values["runs"][0], values["runs"][-1]
    told = ", ".join(f"{seconds(one['others']['p95_s'])} {one['name']}" for one in values["runs"])
    words = f"The others' p95: {told}."
    if first is last:
        return Verdict(Judged.OPEN, counted(1, "run"), words)
    times = last["others"]["p95_s"] / max(1e-9, first["others"]["p95_s"])
    fair = times <= FAIR_TIMES
    head = f"The others' p95 is {number(times)} times that {first['name']}"
    return Verdict(Judged.GOOD if fair else Judged.BAD, head, words)
