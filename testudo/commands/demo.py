"""`testudo demo`: the whole system on this machine, in one go, with a report in SQL.

Trains a release if there is none, starts the local stack and the pipeline,
publishes drawn listings, some of them broken on purpose, waits until every one
has its outcome, and asks BigQuery what came out. Where a part of the stack is
missing it says so and runs the same graph over files, with the same report.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from google.cloud import bigquery
from rich.console import Console

from models.release import find_pointer
from testudo.commands.demo_report import (
    PUBLISHED,
    count_outcomes,
    load_published,
    print_report,
    write_messages,
    write_published,
)
from testudo.commands.engines import BigQueryEngine, Engine, FilesEngine
from testudo.commands.environments import add_home_argument
from testudo.commands.progress import poll
from testudo.commands.publish import upload
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL
from testudo.errors import Failed, ToolsMissing
from testudo.local.jobs import LocalJob
from testudo.local.resources import prepare_stack
from testudo.local.stack import LocalStack
from testudo.local.tools import install_tools
from testudo.messages import SampleMessage, sample_messages

EXAMPLE = "testudo demo --files"
SEED = 7  # not the training's: no item of the demo was trained on
RATE = 40.0  # messages a second: below what one process scores, so that latency is not a queue
STOP_ALLOWED_S = 30.0
TESTUDO = (sys.executable, "-m", "testudo.cli")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, default=500, help="messages (%(default)s)")
    parser.add_argument("--rate", type=float, default=RATE, help="of them a second (%(default)s)")
    parser.add_argument("--timeout_s", type=float, default=180.0, help="for outcomes (%(default)s)")
    parser.add_argument("--files", action="store_true", help="run over files, without any server")
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    console = Console()
    started_s = time.monotonic()
    releases = arguments.home / "releases"
    with ThreadPoolExecutor(1) as beside:
        if not arguments.files:  # programs are fetched and built while the release is trained
            installing = beside.submit(install_tools, arguments.home / "tools", console.print)
        _train_if_needed(console, releases)
    if not arguments.files:
        try:
            installing.result()
            with LocalStack(arguments.home, lambda line: console.print(f"  {line}")) as stack:
                os.environ.update(stack.environment)
                lost = _stream(console, arguments, releases)
        except ToolsMissing as error:
            console.print(f"[yellow]{error}[/yellow]\nSo the same graph runs over files instead:")
            arguments.files = True
    if arguments.files:
        lost = _over_files(console, arguments, releases)
    console.print(
        f"\n{'Done' if not lost else 'Failed'} after {time.monotonic() - started_s:.0f} s."
    )
    _print_next_steps(console)
    return 1 if lost else 0


def _train_if_needed(console: Console, releases: Path) -> None:
    pointer = find_pointer(str(releases))
    if pointer is not None:
        console.print(f"[bold]Release[/bold] {pointer.default}, trained before")
        return
    console.print("[bold]Training[/bold] the sample release, which takes some two minutes")
    if subprocess.run([*TESTUDO, "train", f"--releases={releases}"]).returncode:
        raise Failed("the training failed; what it said stands above")


def _stream(console: Console, arguments: argparse.Namespace, releases: Path) -> int:
    """Returns how many items have no outcome."""
    console.print("[bold]Topic, tables, views and buckets[/bold] are made")
    prepare_stack()
    client = bigquery.Client(project=LOCAL.project)
    engine = BigQueryEngine(client, LOCAL.dataset)
    messages = _draw(console, arguments.items, LOCAL.image_bucket)
    load_published(client, f"{LOCAL.project}.{LOCAL.dataset}.{PUBLISHED}", messages)
    upload(LOCAL, messages)
    outgoing = [Outgoing(message.data, dict(message.attributes)) for message in messages]
    log = arguments.home / "logs" / "pipeline.log"
    console.print(f"[bold]Pipeline[/bold] starts; its log is {log}")
    with _pipeline(arguments.home, releases, log) as pipeline, ThreadPoolExecutor() as sender:
        # One first, so that the latency of the others is not the time of the start.
        publish(LOCAL.topic_path, outgoing[:1])
        wait = partial(poll, timeout_s=arguments.timeout_s, console=console)
        wait("First outcome", partial(_count, engine, pipeline), total=1)
        console.print(f"[bold]Publishing[/bold] {len(outgoing) - 1} more at {arguments.rate:g}/s")
        sent = sender.submit(publish, LOCAL.topic_path, outgoing[1:], rate=arguments.rate)
        found = wait("Outcomes", partial(_count, engine, pipeline, sent), total=len(messages))
        sent.result()
    print_report(console, engine)
    return len(messages) - found


def _over_files(console: Console, arguments: argparse.Namespace, releases: Path) -> int:
    """Returns how many items have no outcome."""
    output, log = arguments.home / "demo", arguments.home / "logs" / "pipeline.log"
    shutil.rmtree(output, ignore_errors=True)  # of an earlier demo
    for folder in (output, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    messages = _draw(console, arguments.items, bucket="")
    write_messages(output / "messages.jsonl", messages)
    write_published(output / f"{PUBLISHED}.jsonl", messages)
    console.print(f"[bold]Pipeline[/bold] runs over the file; its log is {log}")
    flags = [
        f"--input_file={output / 'messages.jsonl'}",
        f"--output={output}",
        f"--releases={releases}",
    ]
    with console.status("running"):
        code = LocalJob(flags, log).process.wait()
    if code:
        raise Failed(f"the pipeline failed; its log is {log}")
    engine = FilesEngine(output, {PUBLISHED: output / f"{PUBLISHED}.jsonl"})
    print_report(console, engine)
    return len(messages) - count_outcomes(engine)


def _draw(console: Console, count: int, bucket: str) -> list[SampleMessage]:
    with console.status(f"drawing {count} listings"):
        messages = list(sample_messages(count, seed=SEED, bucket=bucket))
    broken = sum(bool(message.breakage) for message in messages)
    console.print(f"[bold]Drew[/bold] {count} messages, {broken} of them broken on purpose")
    return messages


@contextlib.contextmanager
def _pipeline(home: Path, releases: Path, log: Path) -> Iterator[LocalJob]:
    """A job on the stack, ended as Ctrl-C would end it."""
    job = LocalJob([f"--home={home}", f"--local_releases={releases}"], log)
    try:
        yield job
    finally:
        job.stop(STOP_ALLOWED_S)


def _count(engine: Engine, pipeline: LocalJob, sent: "Future[int] | None" = None) -> int:
    """The outcomes found. Raises what ended the sending, and Failed where the pipeline ended."""
    if sent is not None and sent.done():
        sent.result()
    if pipeline.ended():
        raise Failed(f"the pipeline ended; its log is {pipeline.log}")
    return count_outcomes(engine)


NEXT_STEPS = """
Try next:
  [bold]testudo local up[/bold]               starts the servers to stay; then, in a second terminal, [bold]testudo run[/bold]
  [bold]testudo publish --samples 200[/bold]  more listings; your own with --images a.jpg b.png
  [bold]testudo query outcomes[/bold]         and other questions: [bold]testudo query[/bold] lists them
"""  # noqa: E501 - markup, which takes no room


def _print_next_steps(console: Console) -> None:
    folder = Path(sys.executable).parent
    if str(folder) not in os.environ.get("PATH", "").split(os.pathsep):
        console.print(f"\nThe command testudo is in {os.path.relpath(folder)}.", highlight=False)
    console.print(NEXT_STEPS, highlight=False)
