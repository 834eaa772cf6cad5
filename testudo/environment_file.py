"""Environments of the cloud, from a file.

`templates/environments.toml` holds a table for each, over the table `defaults`.
"""

import dataclasses
import ipaddress
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from beam_pipeline.config import BUCKET, FLAGS
from testudo.environment import Environment
from testudo.errors import CommandError
from testudo.subnetworks import ADDRESS, NETWORK, is_shared, subnetwork_of

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
    "network": NETWORK,
    "subnetwork": ADDRESS,
    "subnetwork_range": re.compile(r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}"),
    "kms_key": re.compile(
        r"projects/[^/]+/locations/(?P<location>[a-z0-9-]+)/keyRings/[^/]+/cryptoKeys/[^/]+"
    ),
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
    "seek_days": (0, 31),
    "payload_days": (1, 3650),
    "latency_goal_s": (0.1, 3600),
}


def read_environment(name: str, path: Path = FILE) -> Environment:
    """One environment of the file. Raises CommandError with all that is wrong with it."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; name it with --environments") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
    names = [table for table in tables if table != DEFAULTS]
    if name not in names:
        raise CommandError(f"{path} has no environment {name!r}, but {', '.join(names)}")
    return environment_from(name, {**tables.get(DEFAULTS, {}), **tables[name]}, str(path))


def environment_from(name: str, values: Mapping[str, Any], source: str) -> Environment:
    """Check the values and freeze them. Raises CommandError with all problems."""
    fields = {each.name: each for each in dataclasses.fields(Environment) if each.name != "name"}
    problems = [] if NAME.fullmatch(name) else [f"{name!r} does not match {NAME.pattern}"]
    known = {field: value for field, value in values.items() if field in fields}
    problems += values_problems(values, fields)
    if "project" not in known:
        problems.append("project: is missing")
    if problems:
        raise CommandError("\n".join(f"{source}: [{name}] {problem}" for problem in problems))
    frozen: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value for field, value in known.items()
    }
    frozen["bucket"] = frozen.get("bucket") or f"{frozen['project']}-testudo"
    environment = Environment(name=name, **frozen)
    if problems := size_problems(environment) + network_problems(environment):
        raise CommandError("\n".join(f"{source}: [{name}] {problem}" for problem in problems))
    return environment


def values_problems(values: Mapping[str, Any], allowed: Collection[str]) -> list[str]:
    """What is wrong with each value alone; `allowed` are the names that may be there."""
    fields = {field.name: field for field in dataclasses.fields(Environment)}
    problems = [f"{name}: no such value" for name in values if name not in allowed]
    for name, value in values.items():
        if name in allowed:
            problems += [f"{name}: {problem}" for problem in _value_problems(fields[name], value)]
    return problems


def size_problems(environment: Environment) -> list[str]:
    """What is wrong with the numbers of workers beside each other."""
    problems = []
    if environment.num_workers > environment.max_num_workers:
        problems.append("num_workers: is more than max_num_workers")
    if environment.min_num_workers > environment.num_workers:
        problems.append("min_num_workers: is more than num_workers")
    return problems


def network_problems(environment: Environment) -> list[str]:
    """What is wrong with network, subnetwork and key beside the region and each other."""
    problems = []
    region = environment.region
    if subnetwork_of(environment).region != region:
        problems.append(f"subnetwork: is not in {region}, where workers are")
    if environment.subnetwork_range:
        problems += _range_problems(environment)
    key = FORMS["kms_key"].fullmatch(environment.kms_key)
    if key and key["location"] != region:
        problems.append(f"kms_key: is not in {region}: Dataflow takes keys of its region alone")
    return problems


def _range_problems(environment: Environment) -> list[str]:
    try:
        ipaddress.IPv4Network(environment.subnetwork_range)
    except ValueError as error:
        return [f"subnetwork_range: {error}"]
    if not environment.subnetwork:
        return ["subnetwork_range: name the subnetwork that has it"]
    if is_shared(environment):
        return ["subnetwork_range: a subnetwork of a host project is made by its owners"]
    return []


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
        problems += [f"{flag}: no such flag of the pipeline" for flag in set(value) - set(FLAGS)]
    if isinstance(value, list):
        problems += [f"{item!r} is no text" for item in value if not isinstance(item, str)]
    return problems


def _is_of(kind: type, value: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {tuple: (list,), float: (int, float)}.get(kind, (kind,)))


def _kind(field: dataclasses.Field[Any]) -> type:
    if field.name in ("labels", "flags"):
        return dict
    return str if field.default is dataclasses.MISSING else type(field.default)
