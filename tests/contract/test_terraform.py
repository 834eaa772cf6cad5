"""Terraform is written from the list that `testudo provision` works through, field by field."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from testudo.environment import Environment
from testudo.environment_file import environment_from, read_environment
from testudo.provisioning.inventory import inventory
from testudo.provisioning.resources import Kind, Resource
from testudo.provisioning.terraform import is_anothers, terraform, write_terraform

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENTS = REPOSITORY / "templates/environments.toml"
# What Terraform says of its own doings, and no service knows.
TERRAFORMS_OWN = {
    "depends_on", "deletion_protection", "disable_on_destroy", "force_destroy", "lifecycle",
}  # fmt: skip
# The arguments that make up a resource's name, by the type's first of them.
NAMED_BY = {
    "google_project_service": "projects/{project}/services/{service}",
    "google_service_account":
        "projects/{project}/serviceAccounts/{account_id}@{project}.iam.gserviceaccount.com",
    "google_compute_subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "google_pubsub_topic": "projects/{project}/topics/{name}",
    "google_pubsub_subscription": "projects/{project}/subscriptions/{name}",
    "google_bigquery_dataset": "projects/{project}/datasets/{dataset_id}",
    "google_bigquery_table": "projects/{project}/datasets/{dataset_id}/tables/{table_id}",
    "google_storage_bucket": "{name}",
    "google_artifact_registry_repository":
        "projects/{project}/locations/{location}/repositories/{repository_id}",
}  # fmt: skip
# The resource that a role is on, likewise.
ROLE_ON = {
    "google_project_iam_member": "projects/{project}",
    "google_service_account_iam_member": "{service_account_id}",
    "google_pubsub_topic_iam_member": "projects/{project}/topics/{topic}",
    "google_pubsub_subscription_iam_member": "projects/{project}/subscriptions/{subscription}",
    "google_bigquery_table_iam_member":
        "projects/{project}/datasets/{dataset_id}/tables/{table_id}",
    "google_storage_bucket_iam_member": "{bucket}",
    "google_artifact_registry_repository_iam_member":
        "projects/{project}/locations/{location}/repositories/{repository}",
}  # fmt: skip
PLACES = (
    "region",
    "project",
    "dataset_id",
    "table_id",
    "location",
    "account_id",
    "repository_id",
    "service",
)
FULL = {
    "delivery_attempts": 20,
    "notification_channels": ["projects/my-project/notificationChannels/1"],
    "image_buckets": ["my-project-testudo-images", "others"],
    "labels": {"team": "a"},
    "subnetwork": "regions/europe-west1/subnetworks/workers",
    "subnetwork_range": "10.64.0.0/20",
    "flags": {"overflow_topic": "projects/my-project/topics/items-overflow"},
}


def made(**values: Any) -> Environment:
    return environment_from("production", {"project": "my-project", **values}, "this test")


def blocks(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, named in content["resource"].items():
        for block in named.values():
            yield kind, block


def leaves(value: Any) -> Iterator[str]:
    """Every number, word and text in a value, as text; JSON in a text is looked into."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str) and value.startswith(("{", "[")):
        yield from leaves(json.loads(value))
    else:
        yield str(value).replace("$${", "${").replace("%%{", "%{")


def in_terraform(kind: str, block: Mapping[str, Any]) -> tuple[str, Counter[str]]:
    """The name of the resource that a block stands for, and all that it says of it."""
    own = TERRAFORMS_OWN | set(PLACES) | {"name"}
    said = {name: value for name, value in block.items() if name not in own}
    if kind == "google_bigquery_dataset":
        said["location"] = block["location"]
    if kind == "google_storage_bucket":
        said["location"] = block["location"]
    if kind in NAMED_BY:
        return NAMED_BY[kind].format(**block), Counter(leaves(said))
    if kind in ROLE_ON:
        member = block["member"].replace("${data.google_project.this.number}", "{project_number}")
        return f"{block['role']} of {member} on {ROLE_ON[kind].format(**block)}", Counter()
    if kind == "google_monitoring_alert_policy":
        key = block["user_labels"]["testudo_alert"]
        return f"projects/{block['project']}/alertPolicies/{key}", Counter(leaves(said))
    environment = block["dashboard_json"].split('"displayName": "Testudo ')[1].split('"')[0]
    return f"projects/{block['project']}/dashboards/{environment}", Counter(leaves(said))


def in_plan(resource: Resource) -> tuple[str, Counter[str]]:
    fields = dict(resource.fields)
    if resource.kind is Kind.GRANT:
        return resource.name, Counter()
    if resource.kind is Kind.SERVICE:
        fields.pop("state")  # to be there is to be enabled
    if resource.kind is Kind.SUBSCRIPTION:
        fields["expirationPolicy"] = ""  # never
    return resource.name, Counter(leaves(fields))


PRODUCTION = terraform(
    read_environment("production", ENVIRONMENTS),
    inventory(read_environment("production", ENVIRONMENTS)),
)


def compared(environment: Environment) -> None:
    resources = inventory(environment)
    written = dict(in_terraform(*one) for one in blocks(terraform(environment, resources)))
    planned = dict(in_plan(one) for one in resources if not is_anothers(one))
    assert written.keys() == planned.keys()
    for name, fields in planned.items():
        assert written[name] == fields, name


@pytest.mark.parametrize("values", [{}, FULL], ids=["plain", "with everything"])
def test_terraform_and_plan_agree(values: dict[str, Any]) -> None:
    """Each resource of one stands in the other, with each value of each field."""
    compared(made(**values))


@pytest.mark.parametrize(
    "drift",
    [{"retention_days": 3}, {"seek_days": 0}, {"payload_days": 5}, {"labels": {"a": "b"}}, FULL],
)
def test_a_value_that_differs_would_be_found(drift: dict[str, Any]) -> None:
    """The comparison itself: Terraform's of one environment is not the plan of another."""
    one, other = made(), made(**drift)
    written = dict(in_terraform(*each) for each in blocks(terraform(one, inventory(one))))
    assert written != dict(map(in_plan, inventory(other)))


SHARED = "https://www.googleapis.com/compute/v1/projects/host/regions/europe-west1/subnetworks/a"


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "projects/my-project/regions/europe-west1/subnetworks/default"),
        ({"network": "mine"}, "projects/my-project/regions/europe-west1/subnetworks/mine"),
        ({"subnetwork": SHARED}, "projects/host/regions/europe-west1/subnetworks/a"),
    ],
)
def test_a_subnetwork_of_others_is_read_and_judged(values: dict[str, Any], path: str) -> None:
    """Terraform's plan fails where it has no Private Google Access."""
    environment = made(**values)
    found = terraform(environment, inventory(environment))["data"]["google_compute_subnetwork"]
    (block,) = found.values()
    assert "projects/{project}/regions/{region}/subnetworks/{name}".format(**block) == path
    (needed,) = block["lifecycle"]["postcondition"]
    assert needed["condition"] == "${self.private_ip_google_access}"


def test_the_written_file_is_what_was_compared(tmp_path: Path) -> None:
    """`testudo provision production --terraform FOLDER` writes one file, whole and readable."""
    environment = read_environment("production", ENVIRONMENTS)
    path = write_terraform(environment, inventory(environment), tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == PRODUCTION


def test_what_holds_data_is_not_destroyed() -> None:
    """A plan of Terraform's that would delete a topic, table, bucket or image fails."""
    holding = ("pubsub_topic", "pubsub_subscription", "bigquery_dataset", "storage_bucket")
    for kind, block in blocks(PRODUCTION):
        table = kind == "google_bigquery_table" and "view" not in block
        if table or kind.removeprefix("google_") in (*holding, "artifact_registry_repository"):
            assert block["lifecycle"] == {"prevent_destroy": True}, block


def test_each_block_waits_for_what_it_stands_on() -> None:
    """What it depends on is in the file; a role waits for its account, if that is ours."""
    content = PRODUCTION
    there = {f"{kind}.{name}" for kind, named in content["resource"].items() for name in named}
    for kind, block in blocks(content):
        assert set(block.get("depends_on", [])) <= there
        if kind in ROLE_ON:
            assert any(one.startswith("google_service_account.") for one in block["depends_on"])
