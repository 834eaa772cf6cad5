"""Google's own clients, for the cloud or for the stand-in of the local stack.

Pub/Sub, BigQuery and Cloud Storage have variables of their own that lead their
clients to an emulator. The control planes (Dataflow, Compute Engine, Resource
Manager, IAM, Monitoring, Logging) have none; `TESTUDO_CONTROL_ENDPOINT` is theirs.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from google.auth.credentials import AnonymousCredentials

ENDPOINT = "TESTUDO_CONTROL_ENDPOINT"  # as http://localhost:8080
Client = TypeVar("Client")


def local_credentials() -> AnonymousCredentials:
    """What the stand-in takes; it asks nobody who they are."""
    return AnonymousCredentials()


def control_client(kind: Callable[..., Client]) -> Client:
    """A client of one of Google's generated libraries, for instance JobsV1Beta3Client."""
    endpoint = os.environ.get(ENDPOINT)
    if not endpoint:
        return kind()
    options: dict[str, Any] = {"api_endpoint": endpoint}
    return kind(transport="rest", client_options=options, credentials=local_credentials())
