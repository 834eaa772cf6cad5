"""Checks of the project itself: credentials, services, quotas."""

import os
from typing import Any

from testudo.clients import ENDPOINT
from testudo.cloud.preflight import needed_quotas
from testudo.doctor.asking import ask, ask_pages
from testudo.doctor.findings import LOGIN, Finding, Subject, failed, ok, warning
from testudo.provisioning.resources import SERVICES

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CPUS = "CPUS"


def credentials(_subject: Subject) -> Finding:
    """Whether there are any, and Google still takes them."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import Request

    if os.environ.get(ENDPOINT):
        return ok("the local stack asks for none", "What follows is of its stand-ins.")
    try:
        found, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        return failed(str(error), "This machine has no credentials for Google Cloud.", LOGIN)
    found.refresh(Request())
    return ok(_who(found), "Google takes them; what follows is what this account sees and may.")


def _who(found: Any) -> str:
    email = getattr(found, "service_account_email", "") or getattr(found, "account", "")
    return f"credentials of {email or 'a user account'}"


def services(subject: Subject) -> Finding:
    """Whether all that Testudo uses are enabled."""
    project = subject.environment.project
    enabled = {
        str(service.get("name", "")).rpartition("/")[2]
        for service in ask_pages(
            "serviceusage",
            f"/v1/projects/{project}/services",
            "services",
            {"filter": "state:ENABLED", "pageSize": "200"},
        )
    }
    needed = [f"{service}.googleapis.com" for service in SERVICES]
    absent = [service for service in needed if service not in enabled]
    if absent:
        return failed(
            f"not enabled: {', '.join(absent)}",
            "Provisioning, launching or the job itself fails at the first that it needs.",
            f"gcloud services enable {' '.join(absent)} --project={project}",
        )
    return ok(f"all {len(needed)} are enabled", "Every service that Testudo asks can be asked.")


def _quotas_page(project: str) -> str:
    return f"https://console.cloud.google.com/iam-admin/quotas?project={project}"


def quotas(subject: Subject) -> Finding:
    """Whether the region has room for the largest fleet, beside what runs there."""
    environment = subject.environment
    region = ask(
        "compute", f"/compute/v1/projects/{environment.project}/regions/{environment.region}"
    )
    left = {
        str(quota["metric"]): float(quota["limit"]) - float(quota["usage"])
        for quota in region.get("quotas", [])
    }
    needed = needed_quotas(environment)
    fleet = f"{environment.max_num_workers} workers of {environment.machine_type}"
    short = [
        f"{metric}: {need:.0f} needed, {left[metric]:.0f} left"
        for metric, need in needed.items()
        if metric in left and left[metric] < need
    ]
    if short:
        return failed(
            f"{'; '.join(short)}, in {environment.region}",
            f"{fleet} do not fit beside what runs there: `testudo launch` refuses.",
            f"Ask for more, or lower max_num_workers: {_quotas_page(environment.project)}",
        )
    unknown = [metric for metric in needed if metric not in left]
    if not any(metric.endswith(CPUS) for metric in needed):
        unknown.append(f"the CPUs of {environment.machine_type}")
    if unknown:
        return warning(
            f"{environment.region} lists no quota for {', '.join(unknown)}",
            f"Whether {fleet} fit is not known: newer families have their quotas elsewhere.",
            f"Look there: {_quotas_page(environment.project)}",
        )
    rooms = "; ".join(
        f"{metric}: {need:.0f} of {left[metric]:.0f}" for metric, need in needed.items()
    )
    return ok(f"{rooms} left, in {environment.region}", f"{fleet} fit.")
