"""`testudo replay`: dead letters, listed or published again from their stored payloads."""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from google.api_core.exceptions import GoogleAPIError
from google.cloud.bigquery import Client
from google.cloud.storage import Client as StorageClient
from rich.console import Console

from testudo.commands.dead_letters import Choice, StoredDeadLetter, choose, find_in_table
from testudo.commands.engines import Answer
from testudo.commands.environments import data_environment_of
from testudo.commands.progress import tracked
from testudo.commands.query import as_table
from testudo.commands.rejected_rows import find_rejected_rows
from testudo.commands.replay_flags import Plan, add_arguments, read_plan
from testudo.commands.resend import Resender, Sent, replay_all
from testudo.environment import Environment
from testudo.errors import CommandError, shown

EXAMPLE = "testudo replay --reason image_unreachable --since 2h --dry_run"
__all__ = ["add_arguments", "main"]

# Why a dead letter is not replayed, in the words of the summary.
LEFT_OUT = {
    "replayed": "replayed before",
    "predicted": "predicted since",
    "superseded": "superseded",
    "over_limit": "over limit",
}
ERRORS_SHOWN = 10


def main(arguments: argparse.Namespace) -> int:
    """Returns 1 when a dead letter could not be replayed."""
    plan = read_plan(arguments, now=datetime.now(UTC))
    environment = data_environment_of(arguments)
    if environment.bucket and not plan.output:
        plan = plan._replace(output=environment.root)
    console = Console()
    client = Client(project=environment.project)
    try:
        found = _find(client, environment, plan)
    except GoogleAPIError as error:
        raise CommandError(f"the dead letters could not be read: {error}") from error
    choice = choose(found, again=arguments.again, limit=plan.limit)
    if arguments.dry_run or not choice.dead_letters:
        if choice.dead_letters:
            console.print(as_table(listed(choice.dead_letters)))
        _print_summary(console, choice, [], plan)
        return 0
    resender = Resender(
        environment.topic_path, client, f"{environment.project}.{environment.dataset}.replays"
    )
    replays = replay_all(choice.dead_letters, resender, rate=plan.rate)
    total = len(choice.dead_letters)
    try:
        with tracked(replays, "Replaying", total=total, console=console) as shown:
            for _ in shown:
                pass  # only the progress is of interest here
    finally:
        resender.close()
        failed = _print_errors(console, resender.done)
        _print_summary(console, choice, resender.done, plan)
    return 1 if failed else 0


def _find(client: Client, environment: Environment, plan: Plan) -> list[StoredDeadLetter]:
    found = find_in_table(client, environment.dataset, plan.filters)
    if plan.output:
        storage = StorageClient(project=environment.project)
        found += find_rejected_rows(client, environment.dataset, storage, plan.output, plan.filters)
    return found


def _print_errors(console: Console, sent: Sequence[Sent]) -> int:
    """Returns how many replays failed."""
    failed = [replay for replay in sent if replay.error]
    for replay in failed[:ERRORS_SHOWN]:
        name = replay.dead_letter.item_id or replay.dead_letter.dead_letter_id
        line = shown(f"{name} was not replayed: {replay.error}")
        console.print(line, style="red", markup=False, emoji=False)
    return len(failed)


def listed(dead_letters: Iterable[StoredDeadLetter]) -> Answer:
    columns = ("tenant", "item", "stage", "reason", "attempt", "failed at (UTC)", "detail")
    return Answer(
        columns,
        [
            (
                each.tenant_id,
                each.item_id,
                each.stage,
                each.reason,
                each.attempt,
                f"{each.failed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                each.detail,
            )
            for each in dead_letters
        ],
    )


def summary(choice: Choice, sent: Sequence[Sent]) -> Answer:
    """A row a reason: how many were found, what became of them, and why others stayed.

    Columns in which nothing would stand are left out.
    """
    counts = {
        "to replay": Counter(dead_letter.reason for dead_letter in choice.dead_letters),
        "replayed": Counter(replay.dead_letter.reason for replay in sent if not replay.error),
        "failed": Counter(replay.dead_letter.reason for replay in sent if replay.error),
    }
    for state, name in LEFT_OUT.items():
        left_out = {reason: n for (reason, why), n in choice.left_out.items() if why == state}
        counts[name] = Counter(left_out)
    found = counts["to replay"] + sum((counts[name] for name in LEFT_OUT.values()), Counter())
    shown = [name for name, by_reason in counts.items() if by_reason]
    rows = [
        (reason, found[reason], *(counts[name][reason] for name in shown))
        for reason in sorted(found)
    ]
    return Answer(("reason", "found", *shown), rows)


def _print_summary(console: Console, choice: Choice, sent: Sequence[Sent], plan: Plan) -> None:
    table = summary(choice, sent)
    if table.rows:
        console.print(as_table(table))
    done = sum(not replay.error for replay in sent)
    console.print(f"{len(choice.dead_letters)} to replay, {done} replayed.", highlight=False)
    if not plan.output:
        console.print("Rows that BigQuery refused were not searched: name --output gs://...")
