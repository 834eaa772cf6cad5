"""The sections of what is made of several runs: knees, proofs, fairness, comparisons."""

from collections.abc import Callable, Sequence

from loadtest.capacity.proof import Figure, Proof, Row
from loadtest.measuring.comparison import Change, Comparison
from loadtest.measuring.fairness import Fairness, Shares
from loadtest.measuring.probing import Knee
from loadtest.report import trial_charts
from loadtest.report.quantities import change, counted, number, rate, seconds, share
from loadtest.report.section import Judged, Section, Table, Verdict

FAIR_TIMES = 1.5  # the others' p95 with a wild tenant, at most so many times that without it


def knee_section(knee: Knee, anchor: str) -> Section:
    return Section(
        anchor=anchor,
        title=f"Knee: {knee.images}, {_processes(knee.processes)}",
        verdict=_knee_verdict(knee),
        paragraphs=[
            "The knee is the highest rate at which 95 of 100 items are queryable within the goal, "
            "and nothing piles up. A probe whose sender was late proves nothing, and counts "
            "neither way."
        ],
        tables=[
            Table(
                caption=f"Probes, in the order in which they were made: {len(knee.probes)}",
                columns=["", "offered", "achieved", "p95", "goal", "at its limit"],
                words=["goal", "at its limit"],
                rows=[
                    [
                        str(index),
                        rate(probe.rate),
                        rate(probe.achieved),
                        seconds(probe.p95_s),
                        "; ".join([trial_charts.judged(probe), *probe.problems]),
                        probe.saturated or "nothing",
                    ]
                    for index, probe in enumerate(knee.probes, start=1)
                ],
            )
        ],
        figures=[trial_charts.knee(knee)] if knee.probes else [],
    )


def _knee_verdict(knee: Knee) -> Verdict:
    goal = f"a p95 of {knee.goal_p95_s:g} s"
    early = f" The search ended early: {knee.stopped}." if knee.stopped else ""
    if knee.knee is None:
        words = f"No rate was found at which {goal} begins to fail.{early}"
        return Verdict(Judged.OPEN, "No knee found", words)
    words = f"{_processes(knee.processes)} with {knee.images}: holds {goal}"
    if knee.low is not None and knee.high is not None:
        words += (
            f"; the {share(knee.confidence)} interval goes from {number(knee.low)} to "
            f"{number(knee.high)}"
        )
    return Verdict(
        Judged.GOOD,
        f"Knee at {rate(knee.knee)}",
        f"{words}. Beyond it, at its limit: {knee.saturated or 'nothing'}.{early}",
    )


def _processes(count: float) -> str:
    return f"{number(count)} process{'es' * (count != 1)}"


def proof_section(proof: Proof, anchor: str) -> Section:
    return Section(
        anchor=anchor,
        title="Proof of the predictions",
        verdict=_proof_verdict(proof),
        paragraphs=[
            f"Predicted from the calibration of {proof.calibrated_on}, for configurations that "
            "it had not seen; then measured."
        ],
        tables=[proof_table(proof)],
        figures=[
            trial_charts.predicted(
                "Throughput", "throughput, items/s", {r.what: r.throughput for r in proof.rows}
            ),
            trial_charts.predicted(
                "Latency", "p95 of latency, s", {r.what: r.p95_s for r in proof.rows}
            ),
        ]
        if proof.rows
        else [],
    )


def proof_table(proof: Proof) -> Table:
    return Table(
        caption="Predicted and measured",
        columns=["", "what", "predicted", "interval", "measured", "error", "allowed", "verdict"],
        words=["what", "verdict"],
        rows=[cells for row in proof.rows for cells in _proof_rows(row)],
    )


def _proof_rows(row: Row) -> list[list[str]]:
    return [
        [row.what, *_proof_cells("throughput", row.throughput, number)],
        [row.what, *_proof_cells("p95 of latency", row.p95_s, seconds)],
    ]


def _proof_cells(what: str, figure: Figure, form: Callable[[float | None], str]) -> list[str]:
    return [
        what + (f" at {rate(figure.rate)}" if figure.rate is not None else ""),
        form(figure.predicted),
        f"{form(figure.low)} to {form(figure.high)}",
        form(figure.measured),
        change(figure.error),
        f"±{share(figure.within)}",
        "holds" if figure.holds else "fails",
    ]


def _proof_verdict(proof: Proof) -> Verdict:
    if not proof.rows:
        return Verdict(Judged.OPEN, "No predictions", "The proof has no rows.")
    judged = [figure.holds for row in proof.rows for figure in row.figures]
    throughput = max(abs(row.throughput.error) for row in proof.rows)
    p95 = max(abs(row.p95_s.error) for row in proof.rows)
    words = f"The largest error of throughput is {share(throughput, 1)}, of p95 {share(p95, 1)}."
    head = f"{sum(judged)} of {len(judged)} predictions hold"
    return Verdict(Judged.GOOD if all(judged) else Judged.BAD, head, words)


def fairness_section(fairness: Fairness, anchor: str) -> Section:
    return Section(
        anchor=anchor,
        title="Fairness",
        verdict=_fairness_verdict(fairness.runs),
        paragraphs=[
            f"{', '.join(fairness.wild)} sends far more than its share for a while. The items of "
            "the others are the same in each run."
        ],
        tables=[
            Table(
                caption="Latency of the others, and of the wild tenant",
                columns=["", "others: items", "p50", "p95", "p99", "max", "wild: items", "p95"],
                rows=[_fairness_row(run) for run in fairness.runs],
            )
        ],
        figures=[trial_charts.fairness(fairness)],
    )


def _fairness_row(run: Shares) -> list[str]:
    others, wild = run.others, run.wild
    return [
        run.name,
        f"{others.items:,}",
        *(seconds(value) for value in (others.p50_s, others.p95_s, others.p99_s, others.max_s)),
        f"{wild.items:,}" if wild else "",
        seconds(wild.p95_s) if wild else "",
    ]


def _fairness_verdict(runs: Sequence[Shares]) -> Verdict:
    first, last = runs[0], runs[-1]
    each = ", ".join(f"{seconds(run.others.p95_s)} in {run.name}" for run in runs)
    words = f"The others' p95: {each}."
    if first is last:
        return Verdict(Judged.OPEN, counted(1, "run"), words)
    times = last.others.p95_s / max(1e-9, first.others.p95_s)
    head = f"The others' p95 in {last.name} is {number(times)} times that in {first.name}"
    return Verdict(Judged.GOOD if times <= FAIR_TIMES else Judged.BAD, head, words)


def comparison_section(found: Comparison, anchor: str) -> Section:
    before, after = found.names
    low, middle, high = found.p95_change_s
    judged = Judged.OPEN if found.warnings else Judged.GOOD
    if found.beyond_noise:
        judged = Judged.BAD if middle > 0 else judged
        head = f"p95 changed by {middle:+.3f} s, more than noise"
    else:
        head = "No difference of p95 beyond noise"
    return Section(
        anchor=anchor,
        title=f"{after} against {before}",
        verdict=Verdict(
            judged,
            head,
            f"p95 changed by {middle:+.3f} s; 95 % of what chance makes of these runs lies in "
            f"{low:+.3f} to {high:+.3f} s.",
        ),
        points=list(dict.fromkeys(found.warnings)),
        points_title="Read with care",
        tables=[
            _changes("Latency by percentile, s", found.names, found.percentiles, digits=3),
            _changes("Figures", found.names, found.figures, digits=2),
            _changes("p95 of the tenants that lost most, s", found.names, found.tenants, digits=3),
        ],
    )


def _changes(
    caption: str, names: tuple[str, str], changes: Sequence[Change], *, digits: int
) -> Table:
    return Table(
        caption=caption,
        columns=["", *names, "change"],
        rows=[
            [
                figure.what,
                f"{figure.before:,.{digits}f}",
                f"{figure.after:,.{digits}f}",
                "" if figure.percent is None else f"{figure.percent:+.1f} %",
            ]
            for figure in changes
        ],
    )
