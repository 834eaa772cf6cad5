"""The same resources as Terraform files (JSON syntax), for teams that keep their project so.

Written from the list that `testudo provision` works through; a test holds the
two together, field by field. What holds data cannot be destroyed by Terraform.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from testudo.environment import Environment
from testudo.provisioning.resources import Kind, Resource
from testudo.provisioning.terraform_blocks import BLOCKS, Block, subnetwork_data

FILE = "main.tf.json"
PROVIDER = {"source": "hashicorp/google", "version": ">= 6.0, < 8.0"}
PROJECT_NUMBER = "${data.google_project.this.number}"
KEPT = {Kind.TOPIC, Kind.SUBSCRIPTION, Kind.DATASET, Kind.TABLE, Kind.BUCKET, Kind.REPOSITORY}


def write_terraform(environment: Environment, resources: Sequence[Resource], folder: Path) -> Path:
    """Write the folder's one file, over what it held. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    text = json.dumps(terraform(environment, resources), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def terraform(environment: Environment, resources: Sequence[Resource]) -> Block:
    """The whole file's content: each resource under its type and a name of words."""
    blocks: dict[str, dict[str, Block]] = {}
    addresses = {resource.name: f"{type_of(resource)}.{_label(resource)}" for resource in resources}
    services = [addresses[resource.name] for resource in resources if resource.kind is Kind.SERVICE]
    for resource in resources:
        if is_anothers(resource):
            continue
        if resource.kind is Kind.GRANT:
            block = _grant(resource, environment.project)
        else:
            block = {**_literal(BLOCKS[resource.kind][1](resource)), "project": environment.project}
        needs = [addresses[need] for need in resource.needs if need in addresses]
        if resource.kind is not Kind.SERVICE:
            block["depends_on"] = needs or services
        if resource.kind in KEPT:
            block["lifecycle"] = {"prevent_destroy": True}
        blocks.setdefault(type_of(resource), {})[_label(resource)] = block
    return {
        "terraform": {"required_version": ">= 1.5", "required_providers": {"google": PROVIDER}},
        "provider": {"google": {"project": environment.project, "region": environment.region}},
        "data": {
            "google_project": {"this": {"project_id": environment.project}},
            **_subnetworks(resources),
        },
        "resource": blocks,
    }


def is_anothers(resource: Resource) -> bool:
    """Whether it is a subnetwork that Terraform cannot own, as nobody said what it is like."""
    return resource.kind is Kind.SUBNETWORK and "ipCidrRange" not in resource.fields


def _subnetworks(resources: Sequence[Resource]) -> Block:
    """Those of others, which Terraform reads: its plan fails where they are not as desired."""
    found = {
        _label(resource): subnetwork_data(resource) for resource in filter(is_anothers, resources)
    }
    return {"google_compute_subnetwork": found} if found else {}


def type_of(resource: Resource) -> str:
    if resource.kind is Kind.GRANT:
        return GRANTS[resource.fields["kind"]][0]
    return BLOCKS[resource.kind][0]


def _label(resource: Resource) -> str:
    """Unique in the type: a grant by who, what and where, all else by its own name."""
    name = resource.name.rpartition("/")[2]
    if resource.kind is Kind.GRANT:
        member = (
            resource.fields["member"].split(":")[1].split("@")[0].replace("{project_number}", "")
        )
        name = f"{member}_{resource.fields['role']}_{resource.fields['on'].rpartition('/')[2]}"
    words = re.sub(r"\W+", "_", name.removesuffix(".googleapis.com").split("@")[0])
    return words if words[0].isalpha() else f"n_{words}"


def _literal(value: Any) -> Any:
    """Text as it stands: what Terraform would take for a template of its own is escaped."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {name: _literal(inner) for name, inner in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _grant(resource: Resource, project: str) -> Block:
    fields = resource.fields
    return {
        "role": fields["role"],
        "member": fields["member"].format(project_number=PROJECT_NUMBER),
        **GRANTS[fields["kind"]][1](fields["on"], project),
    }


def _of_table(name: str, project: str) -> Block:
    names = name.split("/")
    return {"project": project, "dataset_id": names[3], "table_id": names[5]}


def _of_repository(name: str, project: str) -> Block:
    names = name.split("/")
    return {"project": project, "location": names[3], "repository": names[5]}


def _by_last_word(argument: str) -> Callable[[str, str], Block]:
    return lambda name, project: {"project": project, argument: name.rpartition("/")[2]}


GRANTS: Mapping[str, tuple[str, Callable[[str, str], Block]]] = {
    "project": ("google_project_iam_member", lambda _, project: {"project": project}),
    Kind.ACCOUNT: (
        "google_service_account_iam_member",
        lambda name, _: {"service_account_id": name},
    ),
    Kind.TOPIC: ("google_pubsub_topic_iam_member", _by_last_word("topic")),
    Kind.SUBSCRIPTION: ("google_pubsub_subscription_iam_member", _by_last_word("subscription")),
    Kind.TABLE: ("google_bigquery_table_iam_member", _of_table),
    Kind.BUCKET: ("google_storage_bucket_iam_member", lambda name, _: {"bucket": name}),
    Kind.REPOSITORY: ("google_artifact_registry_repository_iam_member", _of_repository),
}
