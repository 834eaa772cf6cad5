"""Environments: everything that differs between staging and production, in one file.

`templates/environments.toml` holds a table for each, over the table `defaults`.
Resources, Terraform files, launches and updates are all derived from it.
"""

import dataclasses
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from beam_pipeline.config import BUCKET, FLAGS
from testudo.errors import CommandError

FILE = Path("templates/environments.toml")
DEFAULTS = "defaults"
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
# What a resource of Pub/Sub, BigQuery, IAM or Compute Engine may be called.
FORMS = {
    "project": PROJECT,
    "region": re.compile(r"[a-z]+-[a-z]+[0-9]{1,2}"),
    "topic": re.compile(r"[A-Za-z][\w.~+%-]{2,254}"),
    "subscription": re.compile(r"[A-Za-z][\w.~+%-]{2,254}"),
    "dataset": re.compile(r"\w{1,1024}", re.ASCII),
    "bucket": re.compile(BUCKET),
    "worker_account": re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    "launcher_account": re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    "machine_type": re.compile(r"[a-z][a-z0-9-]+"),
}
PROCESSES = ("cores", "one")
MOST_ATTEMPTS = 100  # Pub/Sub's
DELIVERY_ATTEMPTS = range(5, MOST_ATTEMPTS + 1)
LEAST_AND_MOST = {
    "num_workers": (1, 4000),
    "min_num_workers": (0, 4000),
    "max_num_workers": (1, 4000),
    "min_ram_gb": (1, 1000),
    "disk_size_gb": (25, 65536),
    "threads": (1, 500),
    "utilization_hint": (0.1, 0.9),
    "retention_days": (1, 31),
    "payload_days": (1, 3650),
    "latency_goal_s": (0.1, 3600),
}


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
    retention_days: int = 7  # of messages, acknowledged ones too
    payload_days: int = 30  # of payloads and dead letters in the bucket
    delivery_attempts: int = 0  # then Pub/Sub dead-letters; 0: never, see docs/decisions/0015

    repository: str = "testudo"  # of Artifact Registry, in the region
    worker_account: str = "testudo-worker"
    launcher_account: str = "testudo-launcher"
    subnetwork: str = ""  # regions/REGION/subnetworks/NAME; the default network's without it
    use_public_ips: bool = False

    machine_type: str = "n2-standard-4"
    num_workers: int = 1  # at the start
    min_num_workers: int = 0  # that autoscaling keeps; 0: num_workers
    max_num_workers: int = 10
    utilization_hint: float = 0.8
    processes: str = "cores"  # SDK processes a worker: `cores` or `one`
    threads: int = 12  # of each process
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


def read_environment(name: str, path: Path = FILE) -> Environment:
    """One environment of the file. Raises CommandError with all that is wrong with it."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; name it with --environments") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
    names = [one for one in tables if one != DEFAULTS]
    if name not in names:
        raise CommandError(f"{path} has no environment {name!r}, but {', '.join(names)}")
    return environment_from(name, {**tables.get(DEFAULTS, {}), **tables[name]}, str(path))


def environment_from(name: str, values: Mapping[str, Any], source: str) -> Environment:
    """Check the values and freeze them. Raises CommandError with all problems."""
    fields = {one.name: one for one in dataclasses.fields(Environment) if one.name != "name"}
    problems = [] if NAME.fullmatch(name) else [f"{name!r} does not match {NAME.pattern}"]
    known = {one: value for one, value in values.items() if one in fields}
    problems += values_problems(values, fields)
    if "project" not in known:
        problems.append("project: is missing")
    if problems:
        raise CommandError("\n".join(f"{source}: [{name}] {one}" for one in problems))
    frozen: dict[str, Any] = {
        one: tuple(value) if isinstance(value, list) else value for one, value in known.items()
    }
    frozen["bucket"] = frozen.get("bucket") or f"{frozen['project']}-testudo"
    environment = Environment(name=name, **frozen)
    if problems := size_problems(environment):
        raise CommandError("\n".join(f"{source}: [{name}] {one}" for one in problems))
    return environment


def values_problems(values: Mapping[str, Any], allowed: Collection[str]) -> list[str]:
    """What is wrong with each value alone; `allowed` are the names that may be there."""
    fields = {one.name: one for one in dataclasses.fields(Environment)}
    problems = [f"{one}: no such value" for one in values if one not in allowed]
    for one, value in values.items():
        if one in allowed:
            problems += [f"{one}: {problem}" for problem in _value_problems(fields[one], value)]
    return problems


def size_problems(environment: Environment) -> list[str]:
    """What is wrong with the numbers of workers beside each other."""
    problems = []
    if environment.num_workers > environment.max_num_workers:
        problems.append("num_workers: is more than max_num_workers")
    if environment.min_num_workers > environment.num_workers:
        problems.append("min_num_workers: is more than num_workers")
    return problems


def _value_problems(field: dataclasses.Field[Any], value: Any) -> list[str]:
    kind = _kind(field)
    if not _is_of(kind, value):
        return [f"{value!r} is no {kind.__name__}"]
    problems: list[str] = []
    if field.name in FORMS and not FORMS[field.name].fullmatch(value):
        problems.append(f"{value!r} does not match {FORMS[field.name].pattern}")
    if field.name == "processes" and value not in PROCESSES:
        problems.append(f"{value!r} is none of {', '.join(PROCESSES)}")
    if field.name in LEAST_AND_MOST:
        least, most = LEAST_AND_MOST[field.name]
        problems += [] if least <= value <= most else [f"is {value}, must be {least} to {most}"]
    if field.name == "delivery_attempts" and value and value not in DELIVERY_ATTEMPTS:
        problems.append(f"is {value}, must be 0 or {DELIVERY_ATTEMPTS[0]} to {MOST_ATTEMPTS}")
    if field.name == "flags":
        problems += [f"{one}: no such flag of the pipeline" for one in set(value) - set(FLAGS)]
    if isinstance(value, list):
        problems += [f"{one!r} is no text" for one in value if not isinstance(one, str)]
    return problems


def _is_of(kind: type, value: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {tuple: (list,), float: (int, float)}.get(kind, (kind,)))


def _kind(field: dataclasses.Field[Any]) -> type:
    if field.name in ("labels", "flags"):
        return dict
    return str if field.default is dataclasses.MISSING else type(field.default)
