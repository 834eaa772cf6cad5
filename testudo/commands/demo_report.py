"""What `testudo demo` shows at its end: counts, accuracy and latency, asked in SQL."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.cloud import bigquery
from rich.console import Console

from beam_pipeline.tables import question_of, statements
from testudo.commands.engines import Engine
from testudo.commands.query import as_table
from testudo.messages import SampleMessage

PUBLISHED = "published"
PUBLISHED_SCHEMA = [
    bigquery.SchemaField("item_id", "STRING"),
    bigquery.SchemaField("tenant_id", "STRING"),
    bigquery.SchemaField("breakage", "STRING"),
    bigquery.SchemaField(
        "labels",
        "RECORD",
        mode="REPEATED",
        fields=[bigquery.SchemaField("model", "STRING"), bigquery.SchemaField("label", "STRING")],
    ),
]

IN_AND_OUT = """-- Items in and outcomes out, compared id by id.
SELECT
  COUNT(*) AS published,
  COUNTIF(p.item_id IS NOT NULL) AS predicted,
  COUNTIF(d.item_id IS NOT NULL) AS dead_lettered,
  COUNTIF(p.item_id IS NOT NULL AND d.item_id IS NOT NULL) AS both_of_them,
  COUNTIF(p.item_id IS NULL AND d.item_id IS NULL) AS lost
FROM `{dataset}.published` AS i
LEFT JOIN (SELECT DISTINCT item_id FROM `{dataset}.predictions`) AS p USING (item_id)
LEFT JOIN (SELECT DISTINCT item_id FROM `{dataset}.dead_letters`) AS d USING (item_id)
"""
ACCURACY = """-- Accuracy against the known labels.
SELECT
  t.model,
  COUNT(*) AS items,
  AVG(CASE WHEN t.label = b.label THEN 1.0 ELSE 0.0 END) AS accuracy
FROM (
  SELECT i.item_id, l.model, l.label FROM `{dataset}.published` AS i, UNNEST(i.labels) AS l
) AS t
JOIN (
  SELECT p.item_id, s.model, s.label
  FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY p.tenant_id, p.item_id, s.model ORDER BY s.score DESC, s.label
  ) = 1
) AS b ON t.item_id = b.item_id AND t.model = b.model
GROUP BY t.model
ORDER BY t.model
"""
OUTCOMES = """-- Items that have an outcome.
SELECT COUNT(DISTINCT item_id) AS items FROM (
  SELECT item_id FROM `{dataset}.predictions` UNION ALL SELECT item_id FROM `{dataset}.dead_letters`
)
"""


def published_row(sample: SampleMessage) -> dict[str, Any]:
    return {
        "item_id": sample.item_id,
        "tenant_id": sample.tenant_id,
        "breakage": sample.breakage,
        "labels": [{"model": name, "label": label} for name, label in sample.truth.items()],
    }


def load_published(client: bigquery.Client, table: str, samples: Iterable[SampleMessage]) -> None:
    """Put what was published, with the known labels, into a table of its own."""
    client.delete_table(table, not_found_ok=True)
    client.create_table(bigquery.Table(table, PUBLISHED_SCHEMA))
    errors = client.insert_rows_json(table, [published_row(sample) for sample in samples])
    if errors:
        raise RuntimeError(f"{table} refused rows: {errors[:3]}")


def write_published(path: Path, samples: Iterable[SampleMessage]) -> None:
    path.write_text("".join(json.dumps(published_row(sample)) + "\n" for sample in samples))


def write_messages(path: Path, samples: Iterable[SampleMessage]) -> None:
    """A line a message, as Pub/Sub's REST API writes it: its attributes name a broken one too."""
    lines = (
        {"attributes": dict(sample.attributes), "data": base64.b64encode(sample.data).decode()}
        for sample in samples
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def count_outcomes(engine: Engine) -> int:
    return int(engine.ask(OUTCOMES).rows[0][0])


def print_report(console: Console, engine: Engine) -> None:
    questions = statements("queries")
    report = [questions["categories"], ACCURACY, questions["latency"], questions["outcomes"]]
    for sql in [*report, IN_AND_OUT]:
        console.print(f"\n[bold]{question_of(sql)}[/bold]")
        console.print(as_table(engine.ask(sql)))
