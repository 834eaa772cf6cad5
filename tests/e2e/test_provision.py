"""`testudo provision` on the real emulators, and on the stand-in for the control planes."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound
from google.cloud import bigquery, pubsub_v1, storage
from google.protobuf.field_mask_pb2 import FieldMask

from testudo.cli import main
from testudo.commands.stand_ins import STAND_INS_FOR
from testudo.local.stack import LocalStack
from testudo.provisioning.policies import add_member, has, read_policy, write_policy
from testudo.provisioning.resources import Kind, Resource
from testudo.rest import call

EVERYTHING = """
[full]
project = "{project}"
image_buckets = ["{project}-testudo-images", "others"]
delivery_attempts = 20
retention_days = 3
subnetwork = "regions/europe-west1/subnetworks/workers"
subnetwork_range = "10.64.0.0/20"
"""
NOTHING_TO_DO = "0 to create, 0 to change"
DRIFTED_DEADLINE_S = 99
WRITERS = 8


class Ran(NamedTuple):
    code: int
    printed: str
    errors: str

    @property
    def last(self) -> str:
        return self.printed.rstrip("\n").rpartition("\n")[2]


Provision = Callable[..., Ran]


@pytest.fixture
def provision(
    stack: LocalStack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Provision]:
    """Runs `testudo provision full` for a project; permissions that it refused are given back."""

    def run(project: str, *flags: str) -> Ran:
        monkeypatch.setenv(STAND_INS_FOR, project)
        path = tmp_path / "environments.toml"
        path.write_text(EVERYTHING.format(project=project))
        code = main(["provision", "full", f"--environments={path}", *flags])
        return Ran(code, *capsys.readouterr())

    yield run
    refuse()


def refuse(*permissions: str) -> None:
    call("testudo", "PUT", "/testudo/refused", body={"permissions": permissions})


def subscription_of(project: str) -> Any:
    with pubsub_v1.SubscriberClient() as client:
        path = client.subscription_path(project, "items-testudo")
        return client.get_subscription(subscription=path)


def test_everything_is_made_from_nothing_and_what_drifted_is_mended(provision: Provision) -> None:
    """One project, as it lives: made, found as desired, changed by hand, brought back."""
    project = "provision-all"
    first = provision(project)
    assert (first.code, first.errors) == (0, "")
    assert_made(project)
    second = provision(project)
    assert second.code == 0
    assert second.printed.startswith(NOTHING_TO_DO)
    for drift in (drift_subscription, drift_bucket, drift_view, drift_alert):
        drift(project)
    assert_shown(provision(project, "--dry_run"))
    assert provision(project).code == 0
    assert_mended(project)
    assert provision(project).printed.startswith(NOTHING_TO_DO)


def assert_made(project: str) -> None:
    """As desired, in each service, as the service's own client sees it."""
    subscription = subscription_of(project)
    assert subscription.topic == f"projects/{project}/topics/items"
    assert subscription.message_retention_duration.days == 3
    assert not subscription.retain_acked_messages
    assert not subscription.expiration_policy.ttl
    assert subscription.dead_letter_policy.max_delivery_attempts == 20
    with bigquery.Client(project=project) as client:
        table = client.get_table(f"{project}.testudo.predictions")
        assert table.time_partitioning.field == "processed_at"
        assert table.clustering_fields == ["tenant_id", "item_id"]
        assert list(client.query_and_wait("SELECT * FROM `testudo.latest_predictions`")) == []
    with storage.Client(project=project) as client:
        rules = list(client.get_bucket(f"{project}-testudo").lifecycle_rules)
        assert rules[0]["condition"] == {"age": 30, "matchesPrefix": ["payloads/", "dead-letters/"]}
        assert client.lookup_bucket("others") is None
    worker = f"serviceAccount:testudo-worker@{project}.iam.gserviceaccount.com"
    assert has(read_policy(Kind.BUCKET, "others"), "roles/storage.objectViewer", worker)
    path = f"/compute/v1/projects/{project}/regions/europe-west1/subnetworks/workers"
    assert call("compute", "GET", path)["privateIpGoogleAccess"]
    policies = call("monitoring", "GET", f"/v3/projects/{project}/alertPolicies")["alertPolicies"]
    assert len(policies) == 11


def test_a_dry_run_changes_nothing(provision: Provision) -> None:
    """It shows the same plan each time, and says by its exit code that there is something to do."""
    project = "provision-dry"
    first = provision(project, "--dry_run")
    assert first.code == 3
    assert "0 to create" not in first.last
    assert "+ create subscription" in first.printed
    with pytest.raises(NotFound):
        subscription_of(project)
    with storage.Client(project=project) as client:
        assert client.lookup_bucket(f"{project}-testudo") is None
    assert provision(project, "--dry_run") == first


def drift_subscription(project: str) -> None:
    with pubsub_v1.SubscriberClient() as client:
        found = subscription_of(project)
        found.ack_deadline_seconds = DRIFTED_DEADLINE_S
        mask = FieldMask(paths=["ack_deadline_seconds"])
        client.update_subscription(request={"subscription": found, "update_mask": mask})


def drift_bucket(project: str) -> None:
    with storage.Client(project=project) as client:
        bucket = client.get_bucket(f"{project}-testudo")
        bucket.lifecycle_rules = []
        bucket.labels = {"theirs": "1"}
        bucket.patch()


def drift_view(project: str) -> None:
    with bigquery.Client(project=project) as client:
        view = client.get_table(f"{project}.testudo.outcomes_by_hour")
        view.view_query = "SELECT 1 AS one"
        client.update_table(view, ["view_query"])


def drift_alert(project: str) -> None:
    places = f"/v3/projects/{project}/alertPolicies"
    policies = call("monitoring", "GET", places)["alertPolicies"]
    (found,) = (one for one in policies if one["userLabels"]["testudo_alert"] == "latency")
    query = {"updateMask": "enabled"}
    call("monitoring", "PATCH", f"/v3/{found['name']}", query=query, body={"enabled": False})


def assert_shown(ran: Ran) -> None:
    """Old and new value of each field."""
    assert ran.code == 3
    assert f"    ackDeadlineSeconds: {DRIFTED_DEADLINE_S} -> 60\n" in ran.printed
    assert '    view.query: "SELECT 1 AS one" -> ' in ran.printed
    assert "    enabled: false -> true\n" in ran.printed
    assert "    lifecycle" in ran.printed
    assert ran.last.startswith("0 to create, 4 to change")


def assert_mended(project: str) -> None:
    """Each field is as desired again; what others have set beside it stays."""
    assert subscription_of(project).ack_deadline_seconds == 60
    with storage.Client(project=project) as client:
        bucket = client.get_bucket(f"{project}-testudo")
        assert len(list(bucket.lifecycle_rules)) == 2  # payloads and temporary files
        assert bucket.labels["theirs"] == "1"


def test_what_cannot_be_changed_is_said_with_what_to_do(provision: Provision) -> None:
    """A table with a column of another type is left alone; the exit code tells."""
    project = "provision-stuck"
    with bigquery.Client(project=project) as client:
        client.create_dataset(bigquery.Dataset.from_api_repr(
            {"datasetReference": {"projectId": project, "datasetId": "testudo"}, "location": "EU"}
        ))  # fmt: skip
        wrong = [bigquery.SchemaField("item_id", "INTEGER")]
        client.create_table(bigquery.Table(f"{project}.testudo.predictions", schema=wrong))
    ran = provision(project, "--dry_run")
    assert ran.code == 1
    assert "item_id cannot become REQUIRED STRING" in ran.printed


def test_a_refused_permission_is_told_with_its_role(provision: Provision) -> None:
    """All that does not need it is made; the next run makes the rest."""
    project = "provision-refused"
    refuse("iam.serviceAccounts.create", "monitoring.dashboards.create")
    ran = provision(project)
    assert ran.code == 1
    lines = ran.errors.splitlines()
    refused = [one for one in lines if "not tried" not in one]
    assert len(refused) == 3
    assert all("; who provisions needs roles/" in one for one in refused)
    assert sum("needs roles/iam.serviceAccountAdmin" in one for one in refused) == 2
    assert any("roles/storage.objectUser" in one for one in lines if "not tried" in one)
    assert subscription_of(project)
    refuse()
    again = provision(project)
    assert (again.code, again.errors) == (0, "")
    assert provision(project).printed.startswith(NOTHING_TO_DO)


def test_what_cannot_be_read_is_told_and_not_made(provision: Provision) -> None:
    """Who may not look at accounts does not make them a second time."""
    refuse("iam.serviceAccounts.get")
    ran = provision("provision-unread", "--dry_run")
    assert ran.code == 1
    assert "? could not be read service account" in ran.printed
    assert "needs roles/iam.serviceAccountAdmin" in ran.errors


def grant(role: str, project: str) -> Resource:
    fields = {"role": role, "kind": "project", "on": f"projects/{project}"}
    return Resource(Kind.GRANT, role, fields)


def test_writers_at_the_same_time_take_nothing_from_each_other(stack: LocalStack) -> None:
    """Each reads again when another was faster; an old etag is refused."""
    project, on = "provision-policy", "projects/provision-policy"
    before = read_policy("project", on)
    roles = [f"roles/role{number}" for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        list(
            threads.map(lambda role: add_member(grant(role, project), "user:a@example.com"), roles)
        )
    after = read_policy("project", on)
    assert sorted(one["role"] for one in after["bindings"]) == roles
    with pytest.raises(Conflict):
        write_policy("project", on, {**before, "bindings": []})
    assert read_policy("project", on) == after


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"conditionz": []}, "conditionz"),
        ({"displayName": "a", "combiner": "MAYBE", "conditions": [{}]}, "MAYBE"),
        ({"displayName": "a", "combiner": "OR"}, "conditions"),
    ],
)
def test_the_stand_in_refuses_a_policy_that_is_none(
    stack: LocalStack, policy: dict[str, Any], why: str
) -> None:
    """As Cloud Monitoring does: fields, values and what must be there."""
    with pytest.raises(BadRequest, match=why):
        call("monitoring", "POST", "/v3/projects/provision-any/alertPolicies", body=policy)


def test_the_stand_in_refuses_a_role_for_an_account_that_is_not_there(stack: LocalStack) -> None:
    """A role before its account fails, as with Google."""
    nobody = "serviceAccount:nobody@provision-any.iam.gserviceaccount.com"
    with pytest.raises(BadRequest, match="does not exist"):
        add_member(grant("roles/viewer", "provision-any"), nobody)


def test_the_stand_in_has_quotas_that_can_be_set(stack: LocalStack) -> None:
    """What a launch asks Compute Engine before it asks for workers."""
    region = "/compute/v1/projects/p/regions/europe-west1"
    desired = {"N2_CPUS": {"limit": 8.0, "usage": 4.0}}
    call("testudo", "PUT", "/testudo/quotas", body=desired)
    quotas = {one["metric"]: one for one in call("compute", "GET", region)["quotas"]}
    call("testudo", "PUT", "/testudo/quotas", body={"N2_CPUS": {"limit": 24.0, "usage": 0.0}})
    assert quotas["N2_CPUS"] == {"metric": "N2_CPUS", "limit": 8.0, "usage": 4.0}
    with pytest.raises(Forbidden):
        refuse("compute.regions.get")
        try:
            call("compute", "GET", region)
        finally:
            refuse()


def test_the_local_stack_is_an_environment_too(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over what its own commands have made; the second time there is nothing to do."""
    local = ["provision", "local", f"--home={stack.home}"]
    assert (main(local), capsys.readouterr().err) == (0, "")
    assert main([*local, "--dry_run"]) == 0
    assert capsys.readouterr().out.startswith(NOTHING_TO_DO)


def test_terraform_asks_no_service(provision: Provision, tmp_path: Path) -> None:
    """The files are written from the environment alone."""
    ran = provision("provision-files", f"--terraform={tmp_path / 'files'}")
    assert ran.code == 0
    written = json.loads((tmp_path / "files/main.tf.json").read_text())
    assert written["provider"]["google"]["project"] == "provision-files"
    with pytest.raises(NotFound):
        subscription_of("provision-files")
