"""What became of the messages that chaos published, counted one by one, and reported."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.cloud import storage
from rich.console import Console
from rich.table import Table

from loadtest.traffic.poison import SCORED
from models.failures import Reason
from rigs.chaos_traffic import Planned
from testudo.commands.engines import BigQueryEngine
from testudo.environment import LOCAL

REJECTED_ROWS = "dead-letters/rejected-rows/"
OUTCOMES = """
SELECT message_id, 'scored' FROM `{dataset}.predictions`
UNION ALL SELECT message_id, reason FROM `{dataset}.dead_letters`
"""
DUPLICATES = """
SELECT
  (SELECT COUNT(*) FROM `{dataset}.predictions`),
  (SELECT COUNT(*) FROM `{dataset}.latest_predictions`),
  (SELECT COUNT(*) FROM (SELECT DISTINCT tenant_id, item_id FROM `{dataset}.predictions`))
"""
# What a fault may make of a good item, rightly: it ends as a dead letter that can be replayed.
OF_FAULTS = {Reason.ROW_REJECTED, Reason.IMAGE_FETCH_FAILED}
SHOWN = 10


class Findings(NamedTuple):
    """All that was found of the published messages."""

    published: int
    items: int
    outcomes: Mapping[str, int]  # messages by reason, or SCORED
    lost: list[str]  # message ids
    unexpected: Mapping[str, int]  # "kind: expected, not this"
    rows: int  # predictions
    latest: int  # rows of latest_predictions
    predicted_items: int

    @property
    def duplicates_removed(self) -> int:
        return self.rows - self.latest


def outcomes_of(engine: BigQueryEngine, client: storage.Client) -> dict[str, set[str]]:
    """The outcomes of each message, by its id: rows of both tables, and rejected rows."""
    found: dict[str, set[str]] = {}
    for message_id, outcome in engine.ask(OUTCOMES).rows:
        found.setdefault(message_id, set()).add(outcome)
    for blob in client.list_blobs(LOCAL.bucket, prefix=REJECTED_ROWS):
        for line in blob.download_as_bytes().splitlines():
            row = json.loads(line)
            found.setdefault(row["message_id"], set()).add(row["reason"])
    return found


def compare(
    published: Mapping[str, Planned], outcomes: Mapping[str, set[str]], engine: BigQueryEngine
) -> Findings:
    """Hold every published message against its outcomes."""
    counted: Counter[str] = Counter()
    unexpected: Counter[str] = Counter()
    for message_id, planned in published.items():
        its = outcomes.get(message_id, set())
        if not its:
            continue
        # Delivered twice, it may have failed for a fault once and been scored the other time.
        outcome = planned.expected if planned.expected in its else min(its)
        counted[outcome] += 1
        if outcome != planned.expected and not its & OF_FAULTS:
            unexpected[f"{planned.kind}: {outcome}, not {planned.expected}"] += 1
    ((rows, latest, items),) = engine.ask(DUPLICATES).rows
    return Findings(
        published=len(published),
        items=len({one.outgoing.data for one in published.values()}),
        outcomes=dict(counted.most_common()),
        lost=[message_id for message_id in published if not outcomes.get(message_id)],
        unexpected=unexpected,
        rows=rows,
        latest=latest,
        predicted_items=items,
    )


def tell(console: Console, findings: Findings, facts: Mapping[str, Any]) -> None:
    """Print the report; `facts` are further lines."""
    table = Table("", "", box=None, show_header=False)
    table.add_row("messages published", f"{findings.published:,} ({findings.items:,} different)")
    for outcome, count in findings.outcomes.items():
        name = "scored" if outcome == SCORED else f"dead letter {outcome}"
        table.add_row(f"  {name}", f"{count:,}")
    table.add_row("duplicates removed", f"{findings.duplicates_removed:,}")
    for name, value in facts.items():
        table.add_row(name, str(value))
    colour = "red" if findings.lost else "green"
    table.add_row("[bold]lost[/bold]", f"[bold {colour}]{len(findings.lost)}[/bold {colour}]")
    console.print(table)
    for title, some in (("Lost", findings.lost), ("Unexpected", _lines(findings.unexpected))):
        if some:
            console.print(f"{title}: {', '.join(some[:SHOWN])}", highlight=False)


def _lines(counts: Mapping[str, int]) -> list[str]:
    return [f"{name} ({count})" for name, count in counts.items()]


def by_kind(counts: Mapping[Any, int]) -> str:
    """Counts on one line, with their sum."""
    parts = ", ".join(f"{_name(key)} {count}" for key, count in sorted(counts.items()))
    return f"{sum(counts.values()):,}" + (f" ({parts})" if parts else "")


def _name(key: Any) -> str:
    return " ".join(key) if isinstance(key, tuple) else str(key)
