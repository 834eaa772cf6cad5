"""What the tables of docs/reference.md say beyond the code: causes, remedies, units, purposes.

rigs.reference compares each table with the code that it describes.
"""

from collections.abc import Mapping

# Name in the namespace `testudo`: kind, unit, meaning.
OWN_METRICS: Mapping[str, tuple[str, str, str]] = {
    "messages": (
        "counter",
        "messages",
        "Messages parsed, valid or not.",
    ),
    "overflowed_messages": (
        "counter",
        "messages",
        "Messages of tenants over their share, sent to the overflow topic "
        "([quotas](operate.md#quotas-of-tenants)). They are not in `messages`.",
    ),
    "payload_kept_bytes": (
        "counter",
        "bytes",
        "Message data written under `payloads/`.",
    ),
    "dead_letters": (
        "counter",
        "items",
        "Items that left parse, join or scoring as a dead letter. Why is in the table "
        "`dead_letters`.",
    ),
    "canary_items": (
        "counter",
        "items",
        "Items whose release was the canary when they were parsed.",
    ),
    "canary_dead_letters": (
        "counter",
        "items",
        "Of those, the ones that left as a dead letter.",
    ),
    "release_pointer_failures": (
        "counter",
        "reads",
        "`current.json` could not be read again, or names a release that cannot be loaded or does "
        "not reproduce its golden items; what was in use stayed in use.",
    ),
    "join_halves_missing": (
        "counter",
        "items",
        "Items that lost a part (`half_missing`). Alert on any.",
    ),
    "rows_inserted": (
        "counter",
        "rows",
        "Rows of predictions and dead letters that BigQuery took.",
    ),
    "rows_written": (
        "counter",
        "rows",
        "Rows of predictions and dead letters in the results of a run over files.",
    ),
    "append_requests": (
        "counter",
        "requests",
        "Requests that these rows went in, those that were sent again included.",
    ),
    "cumulativeThrottlingSeconds": (
        "counter",
        "seconds",
        "What bundles waited while appends paused after a failure. Dataflow's autoscaling knows it "
        "by this name, and does not take it for work.",
    ),
    "release_evictions": (
        "counter",
        "releases",
        "Releases in use that made room for another, since a worker's memory was at its end.",
    ),
    "bugs": (
        "counter",
        "failures",
        "Errors that the code does not know (`bug`). Alert on any.",
    ),
}

# Name in the namespaces of RunInference: kind, unit, meaning.
BEAM_METRICS: Mapping[str, tuple[str, str, str]] = {
    "num_inferences": (
        "counter",
        "items",
        "Items that a stage's models answered for.",
    ),
    "failed_batches_counter": (
        "counter",
        "batches",
        "Batches that raised as a whole; here a failing item becomes a dead letter instead.",
    ),
    "inference_request_batch_size": (
        "distribution",
        "items",
        "Items of a batch.",
    ),
    "inference_request_batch_byte_size": (
        "distribution",
        "bytes",
        "Bytes of a batch, as Beam estimates them.",
    ),
    "inference_batch_latency_micro_secs": (
        "distribution",
        "microseconds",
        "Time of a batch in the stage, its model's process included.",
    ),
    "load_model_latency_milli_secs": (
        "distribution",
        "milliseconds",
        "Time to load what serves a stage; releases are loaded later, when an item needs one.",
    ),
    "model_byte_size": (
        "distribution",
        "bytes",
        "Memory that loading took, as Beam measures it.",
    ),
}

# Name: unit, meaning. As far as alerts and the dashboard read them.
GOOGLE_METRICS: Mapping[str, tuple[str, str]] = {
    "dataflow.googleapis.com/job/user_counter": (
        "1",
        "The tables above.",
    ),
    "dataflow.googleapis.com/job/system_lag": (
        "s",
        "The longest time that an item is in the job by now.",
    ),
    "dataflow.googleapis.com/job/data_watermark_age": (
        "s",
        "Age up to which all data has been processed.",
    ),
    "dataflow.googleapis.com/job/is_failed": (
        "1",
        "1 when the job failed.",
    ),
    "dataflow.googleapis.com/job/target_worker_instances": (
        "1",
        "Workers that Dataflow wants.",
    ),
    "dataflow.googleapis.com/job/max_worker_instances_limit": (
        "1",
        "Workers that it may have.",
    ),
    "dataflow.googleapis.com/job/current_num_vcpus": (
        "1",
        "vCPUs in use.",
    ),
    "dataflow.googleapis.com/job/aggregated_worker_utilization": (
        "share",
        "CPU of all workers.",
    ),
    "dataflow.googleapis.com/job/memory_capacity": (
        "bytes",
        "Memory given to all workers; what they use of it has no metric of the job.",
    ),
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": (
        "s",
        "Age of the oldest message without an acknowledgement.",
    ),
    "pubsub.googleapis.com/subscription/num_undelivered_messages": (
        "messages",
        "Messages without an acknowledgement.",
    ),
    "pubsub.googleapis.com/topic/send_message_operation_count": (
        "messages",
        "Messages published.",
    ),
}

# Account, role and kind of resource: why.
ROLES: Mapping[tuple[str, str, str], str] = {
    ("worker", "roles/dataflow.worker", "project"): ("takes work, writes logs and metrics"),
    ("worker", "roles/dataflow.viewer", "project"): (
        "the template's launcher runs as this account, and looks for the job that an update "
        "replaces"
    ),
    ("worker", "roles/pubsub.subscriber", "subscription"): (
        "reads messages, of the overflow's subscription too where there is one"
    ),
    ("worker", "roles/pubsub.viewer", "subscription"): ("Dataflow and the start checks look at it"),
    ("worker", "roles/pubsub.publisher", "topic"): (
        "sends what exceeds a tenant's share to the overflow topic; with "
        "[`overflow_topic`](operate.md#quotas-of-tenants) only"
    ),
    ("worker", "roles/pubsub.viewer", "topic"): (
        "Dataflow and the start checks look at it; with `overflow_topic` only"
    ),
    ("worker", "roles/bigquery.dataEditor", "table"): (
        "writes predictions and dead letters, no other table"
    ),
    ("worker", "roles/storage.objectUser", "bucket"): (
        "payloads, archive, rejected rows, staging, temporary objects, releases"
    ),
    ("worker", "roles/storage.objectViewer", "bucket"): ("images, in each image bucket"),
    ("worker", "roles/artifactregistry.reader", "repository"): ("pulls the image"),
    ("launcher", "roles/dataflow.developer", "project"): (
        "launches, updates, drains and cancels jobs"
    ),
    ("launcher", "roles/compute.viewer", "project"): (
        "compares quotas with `max_num_workers` before a launch"
    ),
    ("launcher", "roles/logging.viewer", "project"): ("`testudo logs`"),
    ("launcher", "roles/logging.logWriter", "project"): (
        "Cloud Build runs as this account, and writes its log as it"
    ),
    ("launcher", "roles/bigquery.jobUser", "project"): ("the smoke test asks what came out"),
    ("launcher", "roles/monitoring.viewer", "project"): ("`testudo status`"),
    ("launcher", "roles/iam.serviceAccountUser", "service account"): (
        "starts workers as the worker's account, and as no other"
    ),
    ("launcher", "roles/storage.objectUser", "bucket"): (
        "reads templates and releases, writes staged files and deployments"
    ),
    ("launcher", "roles/storage.objectViewer", "bucket"): (
        "start checks look at the image buckets"
    ),
    ("launcher", "roles/bigquery.dataViewer", "table"): (
        "start checks look at the columns, the smoke test at its own rows"
    ),
    ("launcher", "roles/pubsub.viewer", "subscription"): ("start checks look at it"),
    ("launcher", "roles/pubsub.publisher", "topic"): ("the smoke test publishes"),
    ("launcher", "roles/artifactregistry.writer", "repository"): (
        "pushes the image, and looks up its digest"
    ),
    ("Pub/Sub", "roles/pubsub.publisher", "topic"): (
        "moves messages to the dead-letter topic; with `delivery_attempts` only"
    ),
    ("Pub/Sub", "roles/pubsub.subscriber", "subscription"): (
        "acknowledges them where they came from; with `delivery_attempts` only"
    ),
}
