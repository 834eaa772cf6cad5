"""What a check finds: a verdict, what was seen, what that means, and what to do about it."""

import dataclasses
import enum
import re
from collections.abc import Callable
from typing import NamedTuple

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError, TransportError

from models.failures import TestudoError
from models.objects import ObjectError
from testudo.cloud.templates import Template
from testudo.environment import Environment

ERROR_CHARS = 300
CAUSE = re.compile(r"\(Caused by (.*)\)", re.DOTALL)  # of a connection that was not made
ASKED = re.compile(r"^[A-Z]+ https?://\S+: ")  # the question, before a service's words
NOT_ENABLED = "SERVICE_DISABLED"
LOGIN = "gcloud auth application-default login"
# What a check may end with; anything else is a bug of ours.
EXPECTED = (GoogleAPIError, GoogleAuthError, OSError, TestudoError)


class Verdict(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Finding(NamedTuple):
    """`do` is a command to type, or a sentence with one; empty where nothing is to be done."""

    verdict: Verdict
    found: str
    means: str
    do: str = ""


def ok(found: str, means: str) -> Finding:
    return Finding(Verdict.OK, found, means)


def warning(found: str, means: str, do: str) -> Finding:
    return Finding(Verdict.WARNING, found, means, do)


def failed(found: str, means: str, do: str) -> Finding:
    return Finding(Verdict.FAILED, found, means, do)


def not_checked(found: str, means: str, do: str) -> Finding:
    return Finding(Verdict.NOT_CHECKED, found, means, do)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """What is examined. `template` reads the version to launch, None where no version is known.

    With `send_messages` two messages may be published, whose outcomes are waited for `wait_s`
    seconds; any other check has `timeout_s` seconds. `stand_in` is the local stack, whose pipeline
    is no job of Dataflow's.
    """

    environment: Environment
    template: Callable[[], Template | None]
    send_messages: bool = False
    wait_s: float = 300.0
    timeout_s: float = 60.0
    stand_in: bool = False


class Check(NamedTuple):
    """`look` reads and judges; it may raise EXPECTED. `role` is what it takes to read that."""

    name: str
    look: Callable[[Subject], Finding]
    role: str
    allowed_s: Callable[[Subject], float] = lambda subject: subject.timeout_s


def finding_of(error: Exception, subject: Subject, role: str) -> Finding:
    """What an error of Google's services, or of the way to them, says about a project."""
    environment = subject.environment
    project = environment.project
    if isinstance(error, ObjectError) and isinstance(error.__cause__, GoogleAPICallError):
        error = error.__cause__
    if isinstance(error, Forbidden) and error.reason == NOT_ENABLED:
        service = (error.metadata or {}).get("service") or "the service"
        return failed(
            f"{service} is not enabled in {project}",
            "Nothing that needs this service works.",
            f"gcloud services enable {service} --project={project}",
        )
    if isinstance(error, Forbidden):
        return not_checked(
            f"refused: {words(error)}",
            "This account may not read it, so nothing is known of it.",
            f"Let somebody give this account {role}, and run this again.",
        )
    if isinstance(error, Unauthorized):
        return failed(f"refused: {words(error)}", "Google does not take the login.", LOGIN)
    if isinstance(error, NotFound):
        return failed(
            f"not there: {words(error)}",
            "The job needs it.",
            f"testudo provision {environment.name} --dry_run",
        )
    if isinstance(error, GoogleAPICallError):
        return failed(
            f"the service answered {error.code or ''} {words(error)}".replace("  ", " "),
            "The service does not take the question.",
            f"testudo doctor {environment.name}, again; what stays is named by these words",
        )
    return _without_answer(error)


def _without_answer(error: Exception) -> Finding:
    """Of what is no answer of a service: wrong use, a login that is not taken, no connection."""
    if isinstance(error, TestudoError):
        return failed(str(error), "What was asked for is not there, or is wrong.", "See above.")
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return failed(words(error), "Google does not take the login.", LOGIN)
    return failed(
        f"no answer: {words(error)}",
        "This machine does not reach the service: network, proxy, firewall or name resolution.",
        "curl -sS -o /dev/null -w '%{http_code}' https://dataflow.googleapis.com",
    )


def words(error: Exception) -> str:
    """An error in one line of bounded length."""
    text = error.message if isinstance(error, GoogleAPICallError) else str(error)
    if cause := CAUSE.search(str(text)):
        text = cause[1]
    return " ".join(ASKED.sub("", str(text)).split())[:ERROR_CHARS]
