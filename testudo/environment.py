"""Environments: everything that differs between staging, production and this machine.

Resources, Terraform files, launches, updates and all that a command reads and writes are
derived from one. `testudo.environment_file` reads those of the cloud; the local stack is LOCAL.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """One place where Testudo runs. Only `project` has no default.

    Flags of the pipeline itself that stand under `flags` are passed on as they are.
    """

    name: str
    project: str
    region: str = "europe-west1"

    topic: str = "items"
    subscription: str = "items-testudo"
    dataset: str = "testudo"
    dataset_location: str = "EU"
    bucket: str = ""  # PROJECT-testudo where it is not named
    image_buckets: tuple[str, ...] = ()
    retention_days: int = 7  # of messages that wait
    seek_days: int = 1  # of all messages, acknowledged ones too, for a seek; 0: none
    payload_days: int = 30  # of payloads and dead letters in the bucket
    delivery_attempts: int = 0  # then Pub/Sub dead-letters; 0: never, see docs/decisions/0015

    repository: str = "testudo"  # of Artifact Registry, in the region
    worker_account: str = "testudo-worker"
    launcher_account: str = "testudo-launcher"
    network: str = ""  # its name, where it is not `default`; a subnetwork says it too
    # regions/REGION/subnetworks/NAME, or its whole address where it is of a Shared VPC.
    subnetwork: str = ""
    subnetwork_range: str = ""  # as 10.64.0.0/20: then provisioning makes the subnetwork
    kms_key: str = ""  # that Dataflow encrypts the job's state and disks with; Google's without it
    use_public_ips: bool = False

    machine_type: str = "n2-standard-4"
    num_workers: int = 1  # at the start
    min_num_workers: int = 0  # that autoscaling keeps; 0: num_workers
    max_num_workers: int = 10
    utilization_hint: float = 0.8
    processes: str = "cores"  # SDK processes a worker: `cores` or `one`
    threads: int = 24  # of each process: a small bundle waits most of a second
    min_ram_gb: int = 8  # resource hint of every stage: one that differs would not be fused
    disk_size_gb: int = 50
    accelerator: str = ""  # as type:nvidia-tesla-t4;count:1;install-nvidia-driver

    latency_goal_s: float = 10.0  # 95 of 100 items; alert and smoke test judge by it
    notification_channels: tuple[str, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def topic_path(self) -> str:
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def subscription_path(self) -> str:
        return f"projects/{self.project}/subscriptions/{self.subscription}"

    @property
    def overflow_topic_path(self) -> str:
        """The topic of this project to which quotas send a tenant's excess; empty without one."""
        path = str(self.flags.get("overflow_topic", ""))
        return path if path.startswith(f"projects/{self.project}/topics/") else ""

    @property
    def overflow_subscription_path(self) -> str:
        """What the overflow's job reads; of use only where there is such a topic."""
        topic = self.overflow_topic_path.rpartition("/")[2]
        return f"projects/{self.project}/subscriptions/{topic}-testudo"

    @property
    def image_bucket(self) -> str:
        """The first of them, where samples' pictures are uploaded; empty without one."""
        return next(iter(self.image_buckets), "")

    @property
    def worker_email(self) -> str:
        return f"{self.worker_account}@{self.project}.iam.gserviceaccount.com"

    @property
    def launcher_email(self) -> str:
        return f"{self.launcher_account}@{self.project}.iam.gserviceaccount.com"

    @property
    def least_workers(self) -> int:
        """What autoscaling never goes below."""
        return self.min_num_workers or self.num_workers

    @property
    def image(self) -> str:
        """The container image, without tag or digest."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.repository}/testudo"

    @property
    def root(self) -> str:
        return f"gs://{self.bucket}"

    @property
    def releases(self) -> str:
        return f"{self.root}/releases"

    @property
    def templates(self) -> str:
        """Where a template's folder lies for each version: template.json, graph.json."""
        return f"{self.root}/templates"

    @property
    def pipeline_flags(self) -> dict[str, str]:
        """The pipeline's own flags, by name without dashes: the template's parameters."""
        named = {
            "input_subscription": self.subscription_path,
            "predictions_table": f"{self.project}:{self.dataset}.predictions",
            "dead_letters_table": f"{self.project}:{self.dataset}.dead_letters",
            "output": self.root,
            "releases": self.releases,
        }
        if self.image_buckets:
            named["image_buckets"] = ",".join(self.image_buckets)
        return named | {name: str(value) for name, value in self.flags.items()}


LOCAL = Environment(
    name="local",
    project="testudo-local",
    bucket="testudo",
    image_buckets=("testudo-images",),
    dataset_location="US",  # the stand-in knows no other
    max_num_workers=2,
)
# Where quotas send what is too much; a job of its own reads it.
LOCAL_OVERFLOW = dataclasses.replace(
    LOCAL, topic="items-overflow", subscription="items-overflow-testudo"
)
