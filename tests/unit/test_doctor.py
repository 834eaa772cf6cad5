"""`testudo doctor`: every verdict of every check, by HTTP on the stand-in for the control planes.

Each row sets the stand-in up, runs one check, and names the verdict with words of what was
found and of what to do.
"""

import dataclasses
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from control_plane import control_plane, reset, set_switch
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud.dataflow_v1beta3 import Job
from pubsub_server import serving
from waiting import eventually, nothing

from testudo.cli import main
from testudo.clients import ENDPOINT
from testudo.cloud.metadata import metadata
from testudo.cloud.templates import Template
from testudo.commands.stand_ins import LEADING
from testudo.control.server import Body, ControlServer, Request, route
from testudo.doctor.access import resources_finding, roles_finding
from testudo.doctor.checks import CHECKS, CREDENTIALS
from testudo.doctor.findings import Finding, Subject, Verdict
from testudo.doctor.running import Result, examine
from testudo.environment_file import environment_from
from testudo.local.stack import _write_credentials
from testudo.provisioning.plan import Step
from testudo.provisioning.provider import Change
from testudo.provisioning.resources import SERVICES, Kind, Resource
from testudo.rest import call

NOBODY = "http://127.0.0.1:9"  # nobody answers there
REGION = "europe-west1"
DIGEST = f"sha256:{'1' * 64}"
SHARED = f"https://www.googleapis.com/compute/v1/projects/host/regions/{REGION}/subnetworks/shared"
CREDENTIALS_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
NUMBERS = itertools.count(1)
OK, WARNING, FAILED, NOT_CHECKED = Verdict


@pytest.fixture(scope="module")
def server() -> Iterator[ControlServer]:
    with control_plane() as running:
        yield running


@pytest.fixture
def cloud(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator["Cloud"]:
    """A project of its own for each test, of which the stand-in knows nothing yet."""
    monkeypatch.setenv(ENDPOINT, server.endpoint)
    yield Cloud(f"my-project-{next(NUMBERS)}", tmp_path)
    monkeypatch.setenv(ENDPOINT, server.endpoint)
    reset()


class Cloud(NamedTuple):
    """What tests do to the stand-in before a check looks at it."""

    project: str
    folder: Path

    def enable(self, *services: str) -> None:
        for service in services:
            path = f"/v1/projects/{self.project}/services/{service}.googleapis.com:enable"
            call("serviceusage", "POST", path, body={})

    def make_worker_account(self) -> None:
        body = {"accountId": "testudo-worker"}
        call("iam", "POST", f"/v1/projects/{self.project}/serviceAccounts", body=body)

    def put_subnetwork(self, name: str = "default", *, project: str = "", **fields: Any) -> None:
        path = f"projects/{project or self.project}/regions/{REGION}/subnetworks/{name}"
        set_switch("subnetworks", {"path": path, "subnetwork": fields or None})

    def put_image(self) -> None:
        parent = f"projects/{self.project}/locations/{REGION}/repositories/testudo"
        image = {"imageSizeBytes": "3200000000"}
        set_switch("images", {f"{parent}/dockerImages/testudo@{DIGEST}": image})

    def start_job(self, *options: str, stamp: str = "20261127-080000", reads: int = 2) -> str:
        """A job moves on each time that it is read: after two it runs."""
        name = f"testudo-staging-{stamp}"
        job = Job(name=name, environment={"service_options": options})
        jobs = f"/v1b3/projects/{self.project}/locations/{REGION}/jobs"
        made = call("dataflow", "POST", jobs, body=json.loads(Job.to_json(job)))
        for _ in range(reads):
            call("dataflow", "GET", f"{jobs}/{made['id']}")
        return str(made["id"])

    def refuse(self, *permissions: str) -> None:
        set_switch("refused", {"permissions": list(permissions)})

    def fail(self, path: str, code: int = 0, **fields: Any) -> None:
        fault = {"path": path, **({"code": code} if code else {}), **fields}
        set_switch("faults", {"faults": [fault]})


LIMITS = ("min_num_workers=1", "worker_utilization_hint=0.8")
SetUp = Callable[[Cloud], object]


def as_it_is(_cloud: Cloud) -> None:
    """The stand-in as it is at the start."""


def subject_of(cloud: Cloud, template: Template | None = None, **values: Any) -> Subject:
    given = {"project": cloud.project, "max_num_workers": 4, **values}
    environment = environment_from("staging", given, "this test")
    return Subject(environment=environment, template=lambda: template)


def template_in(cloud: Cloud, image: str = "", *, parameters: int = -1) -> Template:
    """Version 1.0, whose spec is a file here; of its parameters only the first so many."""
    known = metadata()["parameters"][: parameters if parameters >= 0 else None]
    spec = cloud.folder / "template.json"
    image = image or f"{REGION}-docker.pkg.dev/{cloud.project}/testudo/testudo@{DIGEST}"
    spec.write_text(json.dumps({"image": image, "metadata": {"parameters": known}}))
    return Template("1.0", str(spec), image, {each["name"]: each for each in known}, {})


def found_by(name: str, subject: Subject) -> Finding:
    """What `testudo doctor` reports of one check."""
    (check,) = (one for one in CHECKS if one.name == name)
    results = examine(subject, CREDENTIALS, [check], lambda _: None)
    assert [result.check for result in results] == ["credentials", name]
    return results[1].finding


def assert_is(finding: Finding, verdict: Verdict, found: str, do: str) -> None:
    """All that a person reads is there; with something wrong, a thing to do too."""
    assert finding.verdict is verdict, finding
    assert found in finding.found, finding
    assert finding.means
    assert do in finding.do, finding
    assert bool(finding.do) == (verdict is not OK), finding


@pytest.mark.parametrize(
    ("prepare", "verdict", "found", "do"),
    [
        (lambda cloud: cloud.enable(*SERVICES), OK, "all 11 are enabled", ""),
        (
            lambda cloud: cloud.enable(*(one for one in SERVICES if one[0] not in "cd")),
            FAILED,
            "not enabled: cloudbuild.googleapis.com, cloudresourcemanager.googleapis.com, ",
            "gcloud services enable cloudbuild.googleapis.com ",
        ),
        (
            lambda cloud: cloud.refuse("serviceusage.services.list"),
            NOT_CHECKED,
            "Permission 'serviceusage.services.list' denied",
            "roles/serviceusage.serviceUsageViewer",
        ),
    ],
    ids=["enabled", "some are not", "refused"],
)
def test_services(cloud: Cloud, prepare: SetUp, verdict: Verdict, found: str, do: str) -> None:
    """All pages of the list count."""
    prepare(cloud)
    assert_is(found_by("services", subject_of(cloud)), verdict, found, do)


@pytest.mark.parametrize(
    ("prepare", "values", "verdict", "found", "do"),
    [
        (as_it_is, {}, OK, "N2_CPUS: 16 of 24 left, in europe-west1", ""),
        (
            lambda _: set_switch("quotas", {"N2_CPUS": {"limit": 24, "usage": 12}}),
            {},
            FAILED,
            "N2_CPUS: 16 needed, 12 left",
            "max_num_workers",
        ),
        (as_it_is, {"machine_type": "c4-standard-4"}, WARNING, "no quota for C4_CPUS", "quotas?"),
        (as_it_is, {"machine_type": "f1-micro"}, WARNING, "the CPUs of f1-micro", "quotas?"),
        (
            lambda cloud: cloud.fail("/regions/", 404, status="NOT_FOUND", message="no region"),
            {},
            FAILED,
            "not there: ",
            "testudo provision staging",
        ),
        (
            lambda cloud: cloud.refuse("compute.regions.get"),
            {},
            NOT_CHECKED,
            "compute.regions.get",
            "roles/compute.viewer",
        ),
    ],
    ids=["fits", "too little left", "newer family", "unknown machine", "no region", "refused"],
)
def test_quotas(
    cloud: Cloud, prepare: SetUp, values: dict[str, Any], verdict: Verdict, found: str, do: str
) -> None:
    """What the largest fleet takes, beside what the region has left."""
    prepare(cloud)
    assert_is(found_by("quotas", subject_of(cloud, **values)), verdict, found, do)


@pytest.mark.parametrize(
    ("prepare", "verdict", "found", "do"),
    [
        (as_it_is, FAILED, "there is no account testudo-worker@", "testudo provision staging"),
        (Cloud.make_worker_account, OK, "all 21 permissions, on 8 resources", ""),
        *(
            (
                lambda cloud, permission=permission: (
                    cloud.make_worker_account(),
                    cloud.refuse(permission),
                ),
                FAILED,
                f"this account lacks {role}",
                "docs/security.md",
            )
            for permission, role in {
                "dataflow.jobs.create": "roles/dataflow.developer on project",
                "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser on account",
                "storage.objects.create": "roles/storage.objectUser on bucket",
                "pubsub.topics.publish": "roles/pubsub.publisher on topic items",
                "pubsub.subscriptions.get": "roles/pubsub.viewer on subscription items-testudo",
                "bigquery.tables.getData": "roles/bigquery.dataViewer on table predictions",
                "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader",
            }.items()
        ),
    ],
)
def test_permissions(cloud: Cloud, prepare: SetUp, verdict: Verdict, found: str, do: str) -> None:
    """Of the account that runs this, on each resource, by testIamPermissions."""
    prepare(cloud)
    assert_is(found_by("permissions", subject_of(cloud)), verdict, found, do)


TOPIC = Resource(Kind.TOPIC, "projects/p/topics/items", {})
GRANT = Resource(
    Kind.GRANT,
    "a role",
    {
        "role": "roles/pubsub.subscriber",
        "member": "serviceAccount:worker@p.iam.gserviceaccount.com",
        "on": "projects/p/subscriptions/items",
    },
)
CHANGE = Change("ackDeadlineSeconds", 99, 60)
KEPT = Step(resource=TOPIC, found={})
ABSENT = Step(resource=TOPIC)
DIFFERING = Step(resource=TOPIC, found={}, changes=(CHANGE,))
STUCK = Step(resource=TOPIC, found={}, stuck=((CHANGE, "it stays"),))
UNREAD = Step(resource=TOPIC, error="Forbidden: denied; who provisions needs roles/pubsub.admin")


@pytest.mark.parametrize(
    ("step", "verdict", "found"),
    [
        (KEPT, OK, "all 2 are as desired"),
        (ABSENT, FAILED, "not there: topic items"),
        (STUCK, FAILED, "cannot be changed in place: topic"),
        (DIFFERING, WARNING, "not as desired: topic"),
        (UNREAD, NOT_CHECKED, "needs roles/pubsub.admin"),
    ],
)
def test_resources(cloud: Cloud, step: Step, verdict: Verdict, found: str) -> None:
    """What provisioning would do about one of two resources."""
    finding = resources_finding(subject_of(cloud).environment, [KEPT, step])
    assert_is(
        finding, verdict, found, "" if step is KEPT else "testudo provision staging --dry_run"
    )


@pytest.mark.parametrize(
    ("step", "verdict", "found"),
    [
        (KEPT, OK, "all 2 roles are bound"),
        (
            ABSENT,
            WARNING,
            "not bound where provisioning binds it: roles/pubsub.subscriber of worker on items",
        ),
        (UNREAD, NOT_CHECKED, "needs roles/pubsub.admin"),
    ],
)
def test_roles(cloud: Cloud, step: Step, verdict: Verdict, found: str) -> None:
    """A role that is missing here may come from a group: no failure."""
    bound = KEPT if step is KEPT else dataclasses.replace(step, resource=GRANT)
    finding = roles_finding(subject_of(cloud).environment, [KEPT, bound])
    assert_is(finding, verdict, found, "" if step is KEPT else "testudo provision staging")


PRIVATE = {"privateIpGoogleAccess": True}


@pytest.mark.parametrize(
    ("prepare", "values", "verdict", "found", "do"),
    [
        (as_it_is, {}, OK, "subnetworks/default has Private Google Access and 4092 addresses", ""),
        (
            lambda cloud: cloud.put_subnetwork(privateIpGoogleAccess=False),
            {},
            FAILED,
            "has no Private Google Access",
            "subnets update default --project=my-project-",
        ),
        (Cloud.put_subnetwork, {}, FAILED, "there is no projects/my-project-", "as `subnetwork`"),
        (
            lambda cloud: cloud.put_subnetwork("own", **PRIVATE),
            {"subnetwork": f"regions/{REGION}/subnetworks/own"},
            OK,
            "subnetworks/own has",
            "",
        ),
        (
            lambda cloud: cloud.put_subnetwork("shared", project="host", **PRIVATE),
            {"subnetwork": SHARED},
            OK,
            "projects/host/regions/europe-west1/subnetworks/shared has",
            "",
        ),
        (
            lambda cloud: cloud.refuse("compute.subnetworks.get"),
            {"subnetwork": SHARED},
            NOT_CHECKED,
            "refused: ",
            "Let somebody of host look: gcloud compute networks subnets describe shared ",
        ),
        (
            lambda cloud: cloud.refuse("compute.subnetworks.get"),
            {},
            NOT_CHECKED,
            "refused: ",
            "roles/compute.viewer",
        ),
        (as_it_is, {"use_public_ips": True}, WARNING, "a public address for", "use_public_ips"),
        (
            lambda cloud: cloud.put_subnetwork(ipCidrRange="10.0.0.0/29", **PRIVATE),
            {},
            WARNING,
            "has 4 addresses, 5 machines may want one",
            "expand-ip-range",
        ),
    ],
    ids=[
        "default", "no access", "not there", "own", "shared", "shared and refused", "refused",
        "public", "small",
    ],
)  # fmt: skip
def test_network(
    cloud: Cloud, prepare: SetUp, values: dict[str, Any], verdict: Verdict, found: str, do: str
) -> None:
    """Workers without public addresses need Private Google Access where they start."""
    prepare(cloud)
    assert_is(found_by("network", subject_of(cloud, **values)), verdict, found, do)


def test_inputs_that_no_job_takes(cloud: Cloud) -> None:
    """Flags are checked as at the job's start; tests/e2e/test_doctor.py has what they name."""
    finding = found_by("inputs", subject_of(cloud, flags={"text_batch_size": 0}))
    assert_is(finding, FAILED, "--text_batch_size: is 0, must be 1 or more", "testudo provision")


def test_inputs_that_nobody_answers_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process that looks at them ends before the check's time does, whatever it waits for."""
    for name in ("PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, NOBODY)
    monkeypatch.setenv(CREDENTIALS_FILE, str(_write_credentials(tmp_path)))
    subject = dataclasses.replace(subject_of(cloud), timeout_s=1.0)
    assert_is(found_by("inputs", subject), FAILED, "no answer within 0.9 s", "--timeout_s")


@pytest.mark.parametrize(
    ("prepare", "image", "verdict", "found", "do"),
    [
        (Cloud.put_image, "", OK, "1.0: testudo@sha256:111111111111..., 3.2 GB", ""),
        (as_it_is, "", FAILED, "there is no europe-west1-docker.pkg.dev/", "docker push"),
        (
            as_it_is,
            f"docker.io/me/testudo@{DIGEST}",
            NOT_CHECKED,
            "is not in Artifact",
            "docker man",
        ),
        (
            lambda cloud: cloud.refuse("artifactregistry.dockerimages.get"),
            "",
            NOT_CHECKED,
            "refused",
            "roles/artifactregistry.reader",
        ),
    ],
    ids=["there", "not there", "elsewhere", "refused"],
)
def test_image(
    cloud: Cloud, prepare: SetUp, image: str, verdict: Verdict, found: str, do: str
) -> None:
    """By the digest that the template names."""
    prepare(cloud)
    subject = subject_of(cloud, template_in(cloud, image))
    assert_is(found_by("image", subject), verdict, found, do)


@pytest.mark.parametrize("name", ["image", "launch"])
def test_without_a_version_neither_image_nor_launch_is_checked(cloud: Cloud, name: str) -> None:
    """None was named and none was launched."""
    finding = found_by(name, subject_of(cloud))
    assert_is(finding, NOT_CHECKED, "no version is named", "testudo doctor staging --template")


@pytest.mark.parametrize(
    ("prepare", "parameters", "verdict", "found", "do"),
    [
        (as_it_is, -1, OK, "Dataflow would take 1.0 with 5 parameters", ""),
        (
            as_it_is,
            1,
            FAILED,
            "Dataflow would refuse 1.0: The template parameters are invalid",
            "testudo launch staging --template 1.0 --dry_run",
        ),
        (
            lambda cloud: cloud.fail("flexTemplates", 403, status="PERMISSION_DENIED"),
            -1,
            NOT_CHECKED,
            "refused",
            "roles/dataflow.developer",
        ),
    ],
    ids=["taken", "refused parameters", "refused"],
)
def test_launch(
    cloud: Cloud, prepare: SetUp, parameters: int, verdict: Verdict, found: str, do: str
) -> None:
    """Dataflow validates the very request of `testudo launch`, and has no job afterwards."""
    prepare(cloud)
    subject = subject_of(cloud, template_in(cloud, parameters=parameters))
    assert_is(found_by("launch", subject), verdict, found, do)
    jobs = f"/v1b3/projects/{cloud.project}/locations/{REGION}/jobs"
    assert call("dataflow", "GET", jobs)["jobs"] == []


@pytest.mark.parametrize(
    ("prepare", "verdict", "found", "do"),
    [
        (as_it_is, NOT_CHECKED, "no job of this environment runs", "testudo launch staging"),
        (lambda cloud: cloud.start_job(*LIMITS), OK, "080000 runs; 0 s from the launch", ""),
        (
            lambda cloud: cloud.start_job(LIMITS[1]),
            WARNING,
            "runs without min_num_workers=1; its options are worker_utilization_hint=0.8",
            "testudo update staging",
        ),
        (lambda cloud: cloud.start_job(reads=0), WARNING, "is pending", "testudo logs staging"),
        (
            lambda cloud: (cloud.start_job(), cloud.start_job(stamp="20261127-090000")),
            WARNING,
            "2 jobs are active: ",
            "testudo status staging",
        ),
        (
            lambda cloud: cloud.fail("/jobs", 403, status="PERMISSION_DENIED"),
            NOT_CHECKED,
            "refused",
            "roles/dataflow.viewer",
        ),
    ],
    ids=["none", "runs", "an option was lost", "starts", "two", "refused"],
)
def test_job(cloud: Cloud, prepare: SetUp, verdict: Verdict, found: str, do: str) -> None:
    """Whether the launcher kept every service option is seen on the job alone."""
    prepare(cloud)
    assert_is(found_by("job", subject_of(cloud)), verdict, found, do)


def batches(namespace: str, count: int, total: int, tentative: str = "false") -> Body:
    """A distribution of RunInference, as Dataflow's REST interface has it."""
    context = {"namespace": namespace, "step": "Texts/Encode", "tentative": tentative}
    return {
        "name": {"origin": "user", "name": "inference_request_batch_size", "context": context},
        "distribution": {"count": count, "sum": total, "min": 1, "max": 32},
    }


@pytest.mark.parametrize(
    ("metrics", "verdict", "found", "do"),
    [
        ([], NOT_CHECKED, "no metric inference_request_batch_size yet", "testudo smoke staging"),
        ([batches("testudo_text", 100, 130)], WARNING, "1.3 in testudo_text", "docs/cost.md"),
        (
            [
                batches("testudo_text", 10, 300),
                batches("testudo_image", 40, 300),
                batches("testudo_text", 9, 9, tentative="true"),
            ],
            OK,
            "30.0 in testudo_text, 7.5 in testudo_image",
            "",
        ),
    ],
    ids=["no item yet", "small", "large"],
)
def test_bundles(cloud: Cloud, metrics: list[Body], verdict: Verdict, found: str, do: str) -> None:
    """The mean of committed values; tentative ones would count twice."""
    cloud.start_job()
    set_switch("metrics", {"metrics": metrics})
    assert_is(found_by("bundles", subject_of(cloud)), verdict, found, do)


def test_bundles_are_those_of_a_running_job(cloud: Cloud) -> None:
    """Without one there is no metric to read."""
    assert_is(found_by("bundles", subject_of(cloud)), NOT_CHECKED, "no job", "testudo launch")


def answers(item_ids: list[str]) -> Body:
    """Rows of a query, as BigQuery's REST interface has them."""
    return {
        "kind": "bigquery#queryResponse",
        "schema": {"fields": [{"name": "item_id", "type": "STRING", "mode": "NULLABLE"}]},
        "jobReference": {"projectId": "p", "jobId": "j", "location": "EU"},
        "totalRows": str(len(item_ids)),
        "rows": [{"f": [{"v": item_id}]} for item_id in item_ids],
        "jobComplete": True,
    }


class Sent(NamedTuple):
    finding: Finding
    messages: list[tuple[bytes, dict[str, str]]]


def send(
    cloud: Cloud,
    server: ControlServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    come_out: int = 2,
    refusing: bool = False,
) -> Sent:
    """Run the check where so many of its messages come out."""
    with serving(refusing=refusing) as pubsub:

        def query(_request: Request) -> Body:
            return answers([json.loads(data)["item_id"] for data, _ in pubsub.messages][:come_out])

        queries = route("POST", f"/bigquery/v2/projects/{cloud.project}/queries", query)
        server.routes = [queries, *server.routes]
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.endpoint)
        monkeypatch.setenv(CREDENTIALS_FILE, str(_write_credentials(cloud.folder)))
        subject = dataclasses.replace(subject_of(cloud), send_messages=True, wait_s=0.1)
        return Sent(found_by("messages", subject), pubsub.messages)


@pytest.mark.parametrize(
    ("come_out", "verdict", "found", "do"),
    [
        (2, OK, "both came out", ""),
        (1, FAILED, "one came out within 0.1 s", "set idempotency_key"),
        (0, FAILED, "none came out", "testudo smoke staging"),
    ],
)
def test_messages(
    cloud: Cloud, server: ControlServer, monkeypatch: pytest.MonkeyPatch,
    come_out: int, verdict: Verdict, found: str, do: str,
) -> None:  # fmt: skip
    """Two items of the tenant `doctor`, whose messages have no attribute at all."""
    cloud.start_job()
    sent = send(cloud, server, monkeypatch, come_out=come_out)
    assert_is(sent.finding, verdict, found, do)
    assert [attributes for _, attributes in sent.messages] == [{}, {}]
    assert len({json.loads(data)["item_id"] for data, _ in sent.messages}) == 2


def test_messages_that_may_not_be_published(
    cloud: Cloud, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role is named."""
    cloud.start_job()
    sent = send(cloud, server, monkeypatch, refusing=True)
    assert_is(sent.finding, NOT_CHECKED, "not yours", "roles/pubsub.publisher on the topic")


def test_messages_are_sent_to_a_running_job_alone(
    cloud: Cloud, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would wait in the subscription for whoever starts next."""
    sent = send(cloud, server, monkeypatch)
    assert_is(sent.finding, NOT_CHECKED, "no job of this environment runs", "testudo launch")
    assert sent.messages == []


def test_messages_are_sent_only_when_asked_for(cloud: Cloud) -> None:
    """They make rows, which nothing else here does."""
    finding = found_by("messages", subject_of(cloud))
    assert_is(finding, NOT_CHECKED, "nothing was sent", "--send_messages")


# --- what any check may meet -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "fields", "verdict", "found", "do"),
    [
        (401, {"status": "UNAUTHENTICATED"}, FAILED, "be refreshed", "application-default login"),
        (
            403,
            {"reason": "SERVICE_DISABLED", "service": "compute.googleapis.com"},
            FAILED,
            "compute.googleapis.com is not enabled in my-project-",
            "gcloud services enable compute.googleapis.com --project=my-project-",
        ),
        (403, {"message": "denied"}, NOT_CHECKED, "refused: ", "roles/compute.viewer"),
        (404, {"message": "gone"}, FAILED, "not there: ", "testudo provision staging --dry_run"),
        (400, {"message": "odd"}, FAILED, "the service answered 400", "testudo doctor staging"),
    ],
)
def test_an_error_of_a_service_is_a_verdict(
    cloud: Cloud, code: int, fields: Mapping[str, str], verdict: Verdict, found: str, do: str
) -> None:
    """With what to do about it, whichever check meets it."""
    cloud.fail("/compute/", code, **fields)
    assert_is(found_by("quotas", subject_of(cloud)), verdict, found, do)


def test_a_service_that_is_busy_is_asked_again_for_a_while(cloud: Cloud) -> None:
    """Within the bound of one question; then it is said that it does not answer."""
    cloud.fail("/compute/", 503, status="UNAVAILABLE", message="busy")
    finding = found_by("quotas", subject_of(cloud))
    assert_is(finding, FAILED, "no answer: Timeout of 5.0s exceeded, last exception: 503", "curl")


def test_nobody_answers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is down, or the service refuses connections."""
    monkeypatch.setenv(ENDPOINT, NOBODY)
    assert_is(found_by("permissions", subject_of(cloud)), FAILED, "no answer: ", "curl")


def test_a_service_that_hangs_costs_one_bound(cloud: Cloud) -> None:
    """Checks run at the same time; those of other services are not held up."""
    cloud.fail("/compute/", delay_s=1.5)
    cloud.enable(*SERVICES)
    started_s = time.monotonic()
    reported: list[Result] = []
    subject = dataclasses.replace(subject_of(cloud), timeout_s=0.5)
    results = examine(subject, CREDENTIALS, CHECKS[:2], reported.append)
    assert time.monotonic() - started_s < 1.4
    verdicts = {result.check: result.finding.verdict for result in results}
    assert verdicts == {"credentials": OK, "services": OK, "quotas": FAILED}
    assert results[2].finding.found == "no answer within 0.5 s"
    eventually(lambda: [one for one in threading.enumerate() if one.name == "quotas"], nothing)
    assert len(reported) == len(results)  # what answered after its time is not heard


def test_a_bug_of_a_check_stops_no_other(cloud: Cloud, recwarn: pytest.WarningsRecorder) -> None:
    """It is printed once, and its check has failed."""
    broken = CHECKS[0]._replace(look=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    results = examine(subject_of(cloud), CREDENTIALS, [broken, CHECKS[1]], lambda _: None)
    assert [result.finding.verdict for result in results] == [OK, FAILED, OK]
    assert "an error of its own" in results[1].finding.found
    recwarn.clear()


def test_every_check_knows_the_role_that_it_takes() -> None:
    """A refusal names it."""
    assert all(check.role for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS) == 12


# --- credentials, and the command --------------------------------------------------------------


@pytest.fixture
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without credentials of any kind, in a folder with an environment `staging`."""
    for name in (*LEADING, CREDENTIALS_FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/environments.toml").write_text('[staging]\nproject = "my-project"\n')
    return tmp_path


def service_account(folder: Path, token_uri: str) -> Path:
    """The file of a service account whose tokens are given out at that address."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path = folder / "account.json"
    account = {
        "type": "service_account",
        "project_id": "my-project",
        "client_email": "ci@my-project.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))
    return path


@contextmanager
def token_service(code: int, answer: Body) -> Iterator[str]:
    """What gives out tokens, or does not; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_arguments: Any) -> None:
            """Nothing: a test has no log."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def test_a_machine_without_credentials_asks_no_service(
    no_login: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One check failed, and the others say that they were not made; the exit code is 1."""
    assert main(["doctor", "staging", "--format=json"]) == 1
    printed, progress = capsys.readouterr()
    told = json.loads(printed)
    assert told["environment"] == "staging"
    first, *others = told["checks"]
    assert (first["check"], first["verdict"]) == ("credentials", "failed")
    assert first["do"] == "gcloud auth application-default login"
    assert {row["verdict"] for row in others} == {"not checked"}
    assert [line.split(":")[0] for line in progress.splitlines()] == [
        row["check"] for row in told["checks"]
    ]
    assert {tuple(row) for row in told["checks"]} == {
        ("check", "verdict", "found", "means", "do", "took_s")
    }


def test_a_table_has_a_row_for_each_check(
    no_login: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found, what it means and what to do, and a count of the verdicts."""
    assert main(["doctor", "staging"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f" {check.name} " in printed for check in CHECKS)
    assert "What to do: credentials: gcloud auth application-default login" in printed
    assert printed.endswith("0 ok, 0 warning, 1 failed, 12 not checked")


@pytest.mark.parametrize(
    ("code", "answer", "verdict", "found", "do"),
    [
        (200, {"access_token": "a", "expires_in": 3600}, OK, "credentials of ci@my-project", ""),
        (400, {"error": "invalid_grant"}, FAILED, "invalid_grant", "application-default login"),
    ],
    ids=["taken", "withdrawn"],
)
def test_credentials(
    no_login: Path, monkeypatch: pytest.MonkeyPatch,
    code: int, answer: Body, verdict: Verdict, found: str, do: str,
) -> None:  # fmt: skip
    """Google is asked for a token, as every command would."""

    with token_service(code, answer) as address:
        monkeypatch.setenv(CREDENTIALS_FILE, str(service_account(no_login, address)))
        environment = environment_from("staging", {"project": "my-project"}, "this test")
        subject = Subject(environment=environment, template=lambda: None)
        (result,) = examine(subject, CREDENTIALS, [], lambda _: None)
    assert_is(result.finding, verdict, found, do)


def test_credentials_that_nobody_can_check(no_login: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to Google's accounts is closed: that is no matter of the login."""
    account = service_account(no_login, f"{NOBODY}/token")
    monkeypatch.setenv(CREDENTIALS_FILE, str(account))
    environment = environment_from("staging", {"project": "my-project"}, "this test")
    subject = Subject(environment=environment, template=lambda: None)
    (result,) = examine(subject, CREDENTIALS, [], lambda _: None)
    assert_is(result.finding, FAILED, "no answer: ", "curl")
