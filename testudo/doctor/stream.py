"""Checks of what runs: the job, two messages without a key, and how large its bundles are."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beam_pipeline.tables import fill
from testudo.doctor.asking import ask
from testudo.doctor.findings import Finding, Subject, failed, not_checked, ok, warning
from testudo.environment import Environment

if TYPE_CHECKING:
    from google.cloud.dataflow_v1beta3 import Job

TENANT = "doctor"
SENT = 2
POLL_S = 2.0
MARGIN_S = 60.0  # for publishing and the last query
RUNNING = "running"
# RunInference's batches never span bundles: they are what a bundle holds, up to the most that a
# batch takes.
BATCH_SIZE = "inference_request_batch_size"
NAMESPACES = ("testudo_text", "testudo_image")
SMALL_ITEMS = 2.0  # a bundle; the dear shape of the tables in README and docs/cost.md
OUTCOMES = """
SELECT item_id FROM `{dataset}.predictions`
WHERE processed_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)
  AND tenant_id = @tenant AND STARTS_WITH(item_id, @prefix)
UNION DISTINCT
SELECT item_id FROM `{dataset}.dead_letters`
WHERE failed_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)
  AND tenant_id = @tenant AND STARTS_WITH(item_id, @prefix)
"""


def _active(environment: Environment) -> "list[Job]":
    from testudo.cloud.jobs import Jobs  # with Google's client, most of a second

    return Jobs(environment).listed()


def _state(job: "Job") -> str:
    from testudo.cloud.jobs import state_of

    return state_of(job)


def _running(environment: Environment) -> "list[Job]":
    return [job for job in _active(environment) if _state(job) == RUNNING]


def _no_job(subject: Subject, what: str) -> Finding:
    return not_checked(
        "no job of this environment runs",
        f"{what} shows only on a running job.",
        f"testudo launch {subject.environment.name} --template VERSION, then run this again",
    )


def job(subject: Subject) -> Finding:
    """Whether one job runs, with the service options that the launch asked for."""
    environment = subject.environment
    found = _active(environment)
    if not found:
        return _no_job(subject, "What Dataflow makes of the request")
    if len(found) > 1:
        names = ", ".join(f"{one.name} ({_state(one)})" for one in found)
        return warning(
            f"{len(found)} jobs are active: {names}",
            "Both read the subscription, and both are paid; after a parallel update the old one "
            "ends when it has drained.",
            f"testudo status {environment.name}",
        )
    (one,) = found
    if _state(one) != RUNNING:
        return warning(
            f"{one.name} is {_state(one)}",
            "It does not score yet, or no more. Minutes in `queued` or `pending` are normal at a "
            "start; a launcher without a way to Google's services stays there.",
            f"testudo logs {environment.name}",
        )
    return _options(environment, one)


def _options(environment: Environment, one: "Job") -> Finding:
    given = {str(option) for option in one.environment.service_options}
    desired = [
        f"min_num_workers={environment.least_workers}",
        f"worker_utilization_hint={environment.utilization_hint}",
    ]
    started_s = (one.current_state_time - one.create_time).total_seconds()
    resized = bool(one.runtime_updatable_params.min_num_workers)  # then these say what holds
    absent = [] if resized else [option for option in desired if option not in given]
    if absent:
        kept = ", ".join(sorted(given)) or "none"
        return warning(
            f"{one.name} runs without {', '.join(absent)}; its options are {kept}",
            "The launcher did not keep every option, or the environment has changed since.",
            f"testudo update {environment.name} --template VERSION, which sets them on the job",
        )
    return ok(
        f"{one.name} runs; {started_s:.0f} s from the launch to its present state",
        "It has the limits of workers that the environment names.",
    )


def messages(subject: Subject) -> Finding:
    """Whether two messages without `idempotency_key` both come out."""
    if not subject.send_messages:
        return not_checked(
            "nothing was sent: this check would make two rows",
            "Whether Dataflow takes messages that lack the attribute it de-duplicates by is known "
            "only by trying.",
            f"testudo doctor {subject.environment.name} --send_messages",
        )
    if not subject.stand_in and not _running(subject.environment):
        return _no_job(subject, "What becomes of messages")
    prefix = f"doctor-{uuid.uuid4().hex[:12]}-"
    _publish(subject.environment, [f"{prefix}{number}" for number in range(SENT)])
    return messages_finding(subject, _come_out(subject, prefix))


def messages_finding(subject: Subject, come_out: int) -> Finding:
    name, waited = subject.environment.name, f"within {subject.wait_s:g} s"
    if come_out == SENT:
        return ok(
            "two messages without idempotency_key: both came out",
            "Senders may leave the attribute out; their messages are then not de-duplicated.",
        )
    if come_out:
        return failed(
            f"two messages without idempotency_key: one came out {waited}",
            "Messages without the attribute are taken for copies of each other: all but one "
            "in ten minutes are lost.",
            "Let every sender set idempotency_key, as `testudo publish` does: docs/use.md#messages",
        )
    return failed(
        f"two messages without idempotency_key: none came out {waited}",
        "The job does not work, or what lacks the attribute is dropped or blocks the read.",
        f"testudo smoke {name}, whose messages have it, then testudo logs {name} --severity ERROR",
    )


def messages_allowed_s(subject: Subject) -> float:
    return subject.wait_s + MARGIN_S if subject.send_messages else subject.timeout_s


def _publish(environment: Environment, item_ids: Sequence[str]) -> None:
    from google.pubsub_v1 import PubsubMessage

    from beam_pipeline.io.publishing import Publisher

    publisher = Publisher(environment.topic_path)
    try:
        publisher.publish([PubsubMessage(data=_item(item_id)) for item_id in item_ids])
    finally:
        publisher.close()


def _item(item_id: str) -> bytes:
    """A text alone: it has an outcome whatever the release makes of it."""
    item = {"item_id": item_id, "tenant_id": TENANT, "text": "a message of testudo doctor"}
    return json.dumps(item).encode()


def _come_out(subject: Subject, prefix: str) -> int:
    """How many of the items have an outcome when all have one, or time is up."""
    from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter

    environment = subject.environment
    dataset = f"{environment.project}.{environment.dataset}"
    parameters = [
        ScalarQueryParameter("tenant", "STRING", TENANT),
        ScalarQueryParameter("prefix", "STRING", prefix),
    ]
    settings = QueryJobConfig(query_parameters=parameters)
    deadline_s = time.monotonic() + subject.wait_s
    with Client(project=environment.project) as client:
        while True:
            rows: Any = client.query_and_wait(fill(OUTCOMES, dataset), job_config=settings)
            count = len({row[0] for row in rows})
            left_s = deadline_s - time.monotonic()
            if count == SENT or left_s <= 0:
                return count
            time.sleep(min(POLL_S, left_s))


def bundles(subject: Subject) -> Finding:
    """How many items a bundle of the running job holds."""
    environment = subject.environment
    running = _running(environment)
    if not running:
        return _no_job(subject, "How large bundles are")
    place = f"projects/{environment.project}/locations/{environment.region}"
    path = f"/v1b3/{place}/jobs/{running[0].id}/metrics"
    return bundles_finding(subject, ask("dataflow", path).get("metrics", []))


def bundles_finding(subject: Subject, metrics: Sequence[Mapping[str, Any]]) -> Finding:
    """Of a job's metrics, as Dataflow's REST interface gives them."""
    sizes = {namespace: mean for namespace in NAMESPACES if (mean := _mean(metrics, namespace))}
    name = subject.environment.name
    if not sizes:
        return not_checked(
            f"the job has no metric {BATCH_SIZE} yet",
            "No item has reached a model.",
            f"testudo smoke {name}, then run this again",
        )
    found = ", ".join(f"{mean:.1f} in {namespace}" for namespace, mean in sizes.items())
    if max(sizes.values()) <= SMALL_ITEMS:
        return warning(
            f"items a batch, and so at most a bundle: {found}",
            "Bundles hold one or two items: each item costs several times more CPU than in "
            "bundles of a hundred. Costs and rates of README for such bundles hold.",
            "Plan with these figures: docs/cost.md#a-million-items, docs/capacity.md#plan",
        )
    return ok(
        f"items a batch, and so at least a bundle: {found}",
        "Bundles hold several items: each costs less than in bundles of one or two.",
    )


def _mean(metrics: Sequence[Mapping[str, Any]], namespace: str) -> float:
    """Of the distribution over all steps; 0 where there is none. Tentative values are copies."""
    total, count = 0.0, 0.0
    for metric in metrics:
        name = metric.get("name", {})
        context = name.get("context", {})
        wanted = name.get("name") == BATCH_SIZE and context.get("namespace") == namespace
        if wanted and context.get("tentative") != "true":
            values = metric.get("distribution") or {}
            total += float(values.get("sum", 0))
            count += float(values.get("count", 0))
    return total / count if count else 0.0
