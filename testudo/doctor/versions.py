"""Checks of the version to launch: its image, and what Dataflow says of the request."""

import re
import time

from google.api_core.exceptions import BadRequest, NotFound

from testudo.cloud.deployments import history
from testudo.cloud.templates import Template, read_template
from testudo.doctor.asking import ask
from testudo.doctor.findings import Finding, Subject, failed, not_checked, ok, words
from testudo.environment import Environment

ARTIFACT_REGISTRY = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/"
    r"(?P<image>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})"
)
BYTES_A_GB = 1e9


def template_of(environment: Environment, version: str) -> Template | None:
    """The template of the version, or of the newest deployment's where none is named."""
    if not version:
        deployments = history(environment)
        if not deployments:
            return None
        version = deployments[0].version
    return read_template(environment, version)


def _no_version(subject: Subject) -> Finding:
    return not_checked(
        "no version is named, and none was ever launched",
        "Image and launch are those of a version of the template.",
        f"testudo doctor {subject.environment.name} --template VERSION",
    )


def image(subject: Subject) -> Finding:
    """Whether the image that workers and launcher pull is in its repository."""
    template = subject.template()
    if template is None:
        return _no_version(subject)
    named = ARTIFACT_REGISTRY.fullmatch(template.image)
    if not named:
        return not_checked(
            f"{template.image} is not in Artifact Registry",
            "Workers pull it from elsewhere, with what that registry wants.",
            f"docker manifest inspect {template.image}",
        )
    parent = (
        f"projects/{named['project']}/locations/{named['location']}/repositories/"
        f"{named['repository']}"
    )
    name = named["image"].replace("/", "%2F")
    try:
        found = ask("artifactregistry", f"/v1/{parent}/dockerImages/{name}@{named['digest']}")
    except NotFound:
        return failed(
            f"there is no {template.image}",
            f"The launcher of {template.version} cannot start, and the job fails after minutes.",
            "docker push IMAGE, then testudo template build "
            f"{subject.environment.name} --version NEW --image IMAGE@DIGEST",
        )
    size_gb = int(found.get("imageSizeBytes", 0)) / BYTES_A_GB
    return ok(
        f"{template.version}: {named['image']}@{named['digest'][:19]}..., {size_gb:.1f} GB",
        "It is there, and this account may read it; `roles` has what the worker may.",
    )


def launch(subject: Subject) -> Finding:
    """Whether Dataflow would take the launch: its own validation, which starts nothing."""
    template = subject.template()
    if template is None:
        return _no_version(subject)
    from testudo.cloud.jobs import Jobs, job_name  # with Google's client, most of a second
    from testudo.cloud.launching import launch_parameter

    environment = subject.environment
    parameters = environment.pipeline_flags
    request = launch_parameter(
        environment, template, parameters, job_name=job_name(environment, time.time())
    )
    try:
        Jobs(environment).validate(request)
    except BadRequest as error:
        return failed(
            f"Dataflow would refuse {template.version}: {words(error)}",
            "`testudo launch` would be refused, too.",
            f"testudo launch {environment.name} --template {template.version} --dry_run",
        )
    return ok(
        f"Dataflow would take {template.version} with {len(parameters)} parameters",
        "Template and request are valid; no job and no machine was made, so neither the launcher "
        "nor a pull of the image was tried.",
    )
