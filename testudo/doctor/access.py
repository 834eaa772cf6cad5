"""Checks of what the caller may, and of what is in the project, roles of accounts included."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from google.api_core.exceptions import NotFound

from testudo.clients import ENDPOINT
from testudo.cloud.preflight import ACT_AS, PERMISSIONS
from testudo.doctor.asking import allowed
from testudo.doctor.findings import Finding, Subject, failed, not_checked, ok, warning
from testudo.environment import Environment
from testudo.provisioning.gaps import covered
from testudo.provisioning.grants import OUTCOMES
from testudo.provisioning.inventory import inventory
from testudo.provisioning.plan import Action, Providers, Step, make_step
from testudo.provisioning.providers import providers
from testudo.provisioning.resources import Kind, Resource

SHOWN = 4  # of many alike
USER = "roles/storage.objectUser"


class Asked(NamedTuple):
    """Permissions on one resource, each with the least role that has it."""

    service: str
    path: str  # of the question
    on: str  # as a person calls the resource
    roles: Mapping[str, str]


def asked_of(environment: Environment) -> list[Asked]:
    """All that launching, updating, publishing and querying take of whoever does it."""
    project = environment.project
    repository = (
        f"projects/{project}/locations/{environment.region}/repositories/{environment.repository}"
    )
    of_project = {
        **PERMISSIONS,
        "compute.regions.get": "roles/compute.viewer",
        "logging.logEntries.list": "roles/logging.viewer",
        "bigquery.jobs.create": "roles/bigquery.jobUser",
    }
    of_bucket = {f"storage.objects.{verb}": USER for verb in ("create", "delete", "get", "list")}
    of_table = dict.fromkeys(
        ("bigquery.tables.get", "bigquery.tables.getData"), "roles/bigquery.dataViewer"
    )
    return [
        _of("cloudresourcemanager", f"/v3/projects/{project}", f"project {project}", of_project),
        _of(
            "iam",
            f"/v1/projects/{project}/serviceAccounts/{environment.worker_email}",
            f"account {environment.worker_email}",
            {ACT_AS: "roles/iam.serviceAccountUser"},
        ),
        Asked(
            "storage",
            f"/storage/v1/b/{environment.bucket}/iam/testPermissions",
            f"bucket {environment.bucket}",
            of_bucket,
        ),
        _of(
            "pubsub",
            f"/v1/{environment.topic_path}",
            f"topic {environment.topic}",
            {"pubsub.topics.publish": "roles/pubsub.publisher"},
        ),
        _of(
            "pubsub",
            f"/v1/{environment.subscription_path}",
            f"subscription {environment.subscription}",
            {"pubsub.subscriptions.get": "roles/pubsub.viewer"},
        ),
        *(
            _of(
                "bigquery",
                f"/bigquery/v2/projects/{project}/datasets/{environment.dataset}/tables/{table}",
                f"table {table}",
                of_table,
            )
            for table in OUTCOMES
        ),
        _of(
            "artifactregistry",
            f"/v1/{repository}",
            f"repository {environment.repository}",
            {"artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader"},
        ),
    ]


def _of(service: str, path: str, on: str, roles: Mapping[str, str]) -> Asked:
    return Asked(service, f"{path}:testIamPermissions", on, roles)


def permissions(subject: Subject) -> Finding:
    """Whether the account that runs this may launch, publish and query."""
    environment = subject.environment
    absent, lacking = [], []
    questions = asked_of(environment)
    for asked in questions:
        try:
            has = allowed(asked.service, asked.path, list(asked.roles))
        except NotFound:
            absent.append(asked.on)
            continue
        roles = {role for permission, role in asked.roles.items() if permission not in has}
        lacking += [f"{role} on {asked.on}" for role in sorted(roles)]
    if lacking:
        return failed(
            f"this account lacks {', '.join(lacking)}",
            "What needs it is refused: launching, updating, publishing or querying. Pub/Sub says "
            "the same of a topic or subscription that is not there.",
            f"Let somebody give the roles: see Least privilege in docs/security.md; "
            f"`testudo provision {environment.name}` gives them to {environment.launcher_email}.",
        )
    if absent:
        return failed(
            f"there is no {', no '.join(absent)}",
            "The job needs it.",
            f"testudo provision {environment.name}",
        )
    count = sum(len(asked.roles) for asked in questions)
    return ok(
        f"all {count} permissions, on {len(questions)} resources",
        "This account may launch, update, publish and query.",
    )


def resources(subject: Subject) -> Finding:
    """Whether what provisioning makes is there, as desired; roles and services have their own."""
    kinds = [kind for kind in Kind if kind not in (Kind.GRANT, Kind.SERVICE)]
    return resources_finding(subject.environment, steps_of(subject.environment, kinds))


def roles(subject: Subject) -> Finding:
    """Whether the accounts of worker and launcher have the roles that provisioning gives."""
    return roles_finding(subject.environment, steps_of(subject.environment, [Kind.GRANT]))


def steps_of(
    environment: Environment, kinds: Sequence[Kind], found: Providers | None = None
) -> list[Step]:
    """The plan of `testudo provision`, of these kinds: it reads, and nothing is carried out.

    One after the other: threads of a pool would be waited for at the end, however long they hang.
    """
    known = found or providers(environment.project)
    listed: Sequence[Resource] = [each for each in inventory(environment) if each.kind in kinds]
    if os.environ.get(ENDPOINT):
        listed = covered(listed)
    return [make_step(each, known[each.kind]) for each in listed]


def resources_finding(environment: Environment, steps: Sequence[Step]) -> Finding:
    wrong = _titles(steps, Action.CREATE, "not there") + _titles(
        steps, Action.STUCK, "cannot be changed in place"
    )
    differing = _titles(steps, Action.CHANGE, "not as desired")
    unread = [f"{_title(step.resource)}: {step.error}" for step in steps if step.error]
    do = f"testudo provision {environment.name} --dry_run"
    if wrong:
        return failed("; ".join(wrong + differing), "The job or an operator misses it.", do)
    if unread:
        return not_checked(_some(unread), "This account may not read it, or nobody answered.", do)
    if differing:
        return warning("; ".join(differing), "Somebody changed it, or this version wants more.", do)
    return ok(f"all {len(steps)} are as desired", "`testudo provision` has nothing to do.")


def roles_finding(environment: Environment, steps: Sequence[Step]) -> Finding:
    absent = [_role(step.resource) for step in steps if step.action is Action.CREATE]
    unread = [f"{_role(step.resource)}: {step.error}" for step in steps if step.error]
    if absent:
        return warning(
            f"not bound where provisioning binds it: {_some(absent)}",
            "The job fails where it needs the role, unless a group or folder gives it.",
            f"testudo provision {environment.name}",
        )
    if unread:
        return not_checked(
            _some(unread),
            "This account may not read policies, or nobody answered.",
            f"testudo provision {environment.name} --dry_run, as whoever provisions",
        )
    return ok(f"all {len(steps)} roles are bound", "Worker and launcher have what they need.")


def _title(resource: Resource) -> str:
    """Without the path of a name."""
    return f"{resource.kind} {resource.name.rpartition('/')[2]}"


def _role(grant: Resource) -> str:
    """Without the paths of account and resource."""
    email, on = str(grant.fields["member"]).rpartition(":")[2], str(grant.fields["on"])
    return f"{grant.fields['role']} of {email.partition('@')[0]} on {on.rpartition('/')[2]}"


def _titles(steps: Sequence[Step], action: Action, what: str) -> list[str]:
    found = [_title(step.resource) for step in steps if step.action is action]
    return [f"{what}: {_some(found)}"] if found else []


def _some(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
