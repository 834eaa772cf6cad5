"""`testudo export`: a day's predictions with their features, as Parquet, for retraining and drift.

In a cloud BigQuery writes the files to Cloud Storage itself, without a row on this machine.
From the local stack, or into a folder of this machine, they are read and written here.
"""

import argparse
import itertools
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter
from rich.console import Console

from beam_pipeline.tables import DATASET, fill
from models.objects import CLOUD, OBJECTS, join
from testudo.commands.environments import add_data_arguments, data_environment_of
from testudo.commands.refused import google_errors
from testudo.environment import LOCAL
from testudo.errors import CommandError

EXAMPLE = "testudo export --day 2026-11-24 --to gs://my-bucket/exports"
FILE_ROWS = 50_000  # of what is written here; BigQuery cuts its own files
DAY = timedelta(days=1)
# The latest row of each item of that day, in the order of view latest_predictions: which itself
# would have BigQuery read, and bill, all days.
ROWS = """
SELECT item_id, tenant_id, message_id, event_time, processed_at, release,
  image_features, text_features, scores, payload_uri
FROM `{dataset}.predictions`
WHERE processed_at >= @since AND processed_at < @until
  AND (@tenant_id = '' OR tenant_id = @tenant_id)
  AND (@release = '' OR release = @release)
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, item_id
  ORDER BY COALESCE(event_time, publish_time) DESC, publish_time DESC, LENGTH(message_id) DESC,
    message_id DESC, processed_at DESC
) = 1
"""
EXPORT = """EXPORT DATA OPTIONS (uri = @uri, format = 'PARQUET', compression = 'ZSTD') AS
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", required=True, type=_day, help="of scoring, in UTC, as 2026-11-24")
    parser.add_argument(
        "--to", required=True, metavar="PREFIX", help="gs://bucket/folder, or a folder here"
    )
    parser.add_argument("--tenant", metavar="TENANT_ID", default="", help="of this tenant only")
    parser.add_argument("--release", default="", help="that this release scored only")
    add_data_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    if arguments.dataset is not None and not DATASET.fullmatch(arguments.dataset):
        raise CommandError(f"--dataset: {arguments.dataset!r} is not DATASET or PROJECT.DATASET")
    environment = data_environment_of(arguments)
    folder = join(arguments.to, f"dt={arguments.day.isoformat()}")
    by_bigquery = environment.project != LOCAL.project and folder.startswith(CLOUD)
    with google_errors("BigQuery or Cloud Storage"), Client(project=environment.project) as client:
        export = Export(client, environment.dataset, arguments.day)
        write = export.by_bigquery if by_bigquery else export.from_here
        count = write(folder, tenant_id=arguments.tenant, release=arguments.release)
    Console().print(f"{count} predictions in {folder}", markup=False, soft_wrap=True)
    return 0


class Export:
    """The predictions of one day; each export adds files of new names."""

    def __init__(self, client: Client, dataset: str, day: date) -> None:
        self._client = client
        self._dataset = dataset
        self._since = datetime(day.year, day.month, day.day, tzinfo=UTC)

    def by_bigquery(self, folder: str, **only: str) -> int:
        """Have BigQuery write the files; returns the number of rows."""
        job = self._client.query(
            export_statement(self._dataset, folder), job_config=self._config(**only)
        )
        job.result()
        statistics = job._properties["statistics"]["query"].get("exportDataStatistics", {})
        return int(statistics.get("rowCount", 0))

    def from_here(self, folder: str, **only: str) -> int:
        """Read the rows and write the files; returns the number of rows."""
        rows = self._client.query_and_wait(
            fill(ROWS, self._dataset), job_config=self._config(**only)
        )
        count = 0
        for table in _tables(rows.to_arrow_iterable(bqstorage_client=None)):
            file = BytesIO()
            pq.write_table(table, file, compression="zstd")
            OBJECTS.write(join(folder, f"{uuid.uuid4().hex}.parquet"), file.getvalue())
            count += table.num_rows
        return count

    def _config(self, **only: str) -> QueryJobConfig:
        times = {"since": self._since, "until": self._since + DAY}
        return QueryJobConfig(
            query_parameters=[
                *(ScalarQueryParameter(name, "TIMESTAMP", at) for name, at in times.items()),
                *(ScalarQueryParameter(name, "STRING", text) for name, text in only.items()),
            ]
        )


def export_statement(dataset: str, folder: str) -> str:
    """What BigQuery is asked to run. Raises CommandError for a folder that no literal can hold."""
    if any(character in folder for character in "'\\\n*"):
        raise CommandError(f"--to: {folder!r} has a character that BigQuery's export does not take")
    uri = f"'{folder}/{uuid.uuid4().hex[:8]}-*.parquet'"  # options take no parameter
    return EXPORT.replace("@uri", uri) + fill(ROWS, dataset)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches together, until they have enough rows for a file."""
    waiting: list[pa.RecordBatch] = []
    for batch in itertools.chain(batches, [None]):
        if batch is not None and batch.num_rows:
            waiting.append(batch)
        if waiting and (batch is None or sum(part.num_rows for part in waiting) >= FILE_ROWS):
            yield pa.Table.from_batches(waiting)
            waiting = []


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-24") from error
