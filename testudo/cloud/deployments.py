"""Deployments: for each job, what it was launched with and what was there before.

Records lie in the environment's bucket, an object a job, so that a rollback needs
nothing but the bucket.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from google.cloud import storage

from models.objects import OBJECTS, split_uri
from testudo.environment import Environment

FOLDER = "deployments"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployment:
    """One launch: its request, and what current.json said just before it."""

    job_id: str
    job_name: str
    launched_at: str  # RFC 3339
    version: str
    image: str
    way: str
    replaces: str = ""  # the job before, by its id
    request: Mapping[str, Any]
    pointer_before: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _folder(environment: Environment) -> str:
    return f"{environment.root}/{FOLDER}/{environment.name}"


def record(environment: Environment, deployment: Deployment) -> None:
    text = json.dumps(dataclasses.asdict(deployment), indent=1)
    OBJECTS.write(f"{_folder(environment)}/{deployment.job_id}.json", text.encode())


def recorded(environment: Environment, job_id: str) -> Deployment | None:
    """The record of a job; None for one that `testudo` did not launch."""
    try:
        return _read(f"{_folder(environment)}/{job_id}.json")
    except FileNotFoundError:
        return None


def history(environment: Environment) -> list[Deployment]:
    """All deployments of the environment, newest first."""
    bucket, prefix = split_uri(_folder(environment))
    with storage.Client(project=environment.project) as client:
        names = [blob.name for blob in client.list_blobs(bucket, prefix=f"{prefix}/")]
    found = [_read(f"{environment.root}/{name}") for name in names]
    return sorted(found, key=lambda deployment: deployment.launched_at, reverse=True)


def _read(uri: str) -> Deployment:
    """Raises OSError for what cannot be read, or is no record."""
    try:
        return Deployment(**json.loads(OBJECTS.read(uri)))
    except (TypeError, ValueError) as error:
        raise OSError(f"{uri} is not the record of a deployment: {error}") from error
