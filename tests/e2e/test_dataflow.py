"""Launch, update, drain and rollback on the stand-in for Dataflow, through Google's own clients.

The request that is looked at is the one that Beam makes in the template's own entry;
see testudo/control/launcher.py.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api
from google.cloud.dataflow_v1beta3 import Job, JobState, LaunchFlexTemplateParameter

from models.objects import OBJECTS
from models.release import Pointer, copy_releases, find_pointer, read_pointer, write_pointer
from testudo.cli import main
from testudo.cloud.container_spec import write_spec
from testudo.cloud.graphs import reviewed_graph, running_graph
from testudo.cloud.jobs import Jobs
from testudo.cloud.launching import launch_parameter
from testudo.cloud.templates import read_template
from testudo.environment import Environment
from testudo.environment_file import read_environment
from testudo.local.resources import prepare_stack
from testudo.local.stack import LocalStack
from testudo.rest import call

ENVIRONMENTS = """
[defaults]
project = "testudo-local"
bucket = "testudo"
image_buckets = ["testudo-images"]
dataset_location = "US"
network = "mine"
subnetwork = "regions/europe-west1/subnetworks/workers"
kms_key = "projects/testudo-local/locations/europe-west1/keyRings/ring/cryptoKeys/key"
num_workers = 2
max_num_workers = 4
threads = 6
labels = {team = "listings"}
flags = {image_batch_size = 2}
"""
NAMES = ("request", "planned", "way", "parallel", "broken", "refused", "ended")
GONE = "Legacy/Step"


class Ran(NamedTuple):
    code: int
    printed: str
    errors: str


class Cloud(NamedTuple):
    """Runs `testudo COMMAND ENVIRONMENT ...` on a file of environments."""

    environments: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, command: str, name: str, *flags: str) -> Ran:
        code = main([command, name, f"--environments={self.environments}", *flags])
        return Ran(code, *self.capsys.readouterr())

    def environment(self, name: str) -> Environment:
        return read_environment(name, self.environments)

    def active(self, name: str) -> list[Job]:
        return Jobs(self.environment(name)).listed()

    def image(self, version: str) -> str:
        return image_of(self.environment(NAMES[0]), version)


def image_of(environment: Environment, version: str) -> str:
    """An image for v1 whose digest is all ones, for v2 all twos."""
    return f"{environment.image}@sha256:{version[1:] * 64}"


@pytest.fixture(scope="module")
def environments(
    stack: LocalStack, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A file of environments on the local stack, where all is that jobs need, v1 and v2 too."""
    folder = tmp_path_factory.mktemp("dataflow")
    path = folder / "environments.toml"
    path.write_text(ENVIRONMENTS + "".join(f"[{name}]\n" for name in NAMES))
    prepare_stack()
    releases = shutil.copytree(trained, folder / "releases")
    first, second = (
        next(one.name for one in releases.iterdir() if one.name.startswith(task))
        for task in ("first-", "second-")
    )
    for release in (second, first):
        pointer = Pointer(default=release)
        write_pointer(str(releases), pointer, replacing=find_pointer(str(releases)))
        copy_releases(str(releases), "gs://testudo/releases")
    request = read_environment(NAMES[0], path)
    for version in ("v1", "v2"):
        write_spec(request, version, image_of(request, version))
    body = {"accountId": "testudo-worker"}
    call("iam", "POST", f"/v1/projects/{stack.project}/serviceAccounts", body=body)
    set_access(stack.project, on=True)
    return path


def set_access(project: str, *, on: bool) -> None:
    """Private Google Access of the workers' subnetwork."""
    where = f"projects/{project}/regions/europe-west1/subnetworks/workers"
    fields = {"privateIpGoogleAccess": on}
    call("testudo", "PUT", "/testudo/subnetworks", body={"path": where, "subnetwork": fields})


@pytest.fixture
def cloud(environments: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cloud]:
    yield Cloud(environments, capsys)
    call("testudo", "PUT", "/testudo/refused", body={"permissions": []})
    quotas = {"N2_CPUS": {"limit": 24, "usage": 0}}
    call("testudo", "PUT", "/testudo/quotas", body=quotas)


def staged(job: Job) -> beam_api.Pipeline:
    """The graph that Beam staged for a job."""
    return beam_api.Pipeline.FromString(OBJECTS.read(_pipeline_url(job)))


def _pipeline_url(job: Job) -> str:
    return str(job.environment.sdk_pipeline_options["options"]["pipelineUrl"])


def state(job: Job) -> str:
    return str(JobState(job.current_state).name)


def test_the_request_says_all_that_the_environment_wants(cloud: Cloud) -> None:
    """What Beam sends to Dataflow: streaming, runner v2, image, workers, network, labels, graph."""
    ran = cloud.run("launch", "request", "--template=v1", "--set=text_batch_size=30")
    assert ran.code == 0, ran.errors
    (job,) = cloud.active("request")
    assert job.id == ran.printed.strip()
    assert state(job) == "JOB_STATE_RUNNING"
    assert job.type_.name == "JOB_TYPE_STREAMING"
    environment = job.environment
    assert {"use_runner_v2", "use_unified_worker", "enable_streaming_engine"} <= set(
        environment.experiments
    )
    assert environment.service_account_email == (
        "testudo-worker@testudo-local.iam.gserviceaccount.com"
    )
    assert set(environment.service_options) == {
        "min_num_workers=2",
        "worker_utilization_hint=0.8",
    }
    labels = {"team": "listings", "testudo": "request", "testudo-version": "v1"}
    assert dict(job.labels) == labels
    (pool,) = environment.worker_pools
    assert (pool.num_workers, pool.autoscaling_settings.max_num_workers) == (2, 4)
    assert (pool.machine_type, pool.disk_size_gb) == ("n2-standard-4", 50)
    assert pool.num_threads_per_worker == 6
    assert pool.ip_configuration.name == "WORKER_IP_PRIVATE"
    assert (pool.network, pool.subnetwork) == ("mine", "regions/europe-west1/subnetworks/workers")
    assert environment.service_kms_key_name == cloud.environment("request").kms_key
    (container,) = pool.sdk_harness_container_images
    assert container.container_image == cloud.image("v1")
    assert container.use_single_core_per_container
    options = environment.sdk_pipeline_options["options"]
    assert (options["text_batch_size"], options["image_batch_size"]) == (30, 2)
    assert not options["save_main_session"]


def test_the_request_has_the_limits_of_a_plan(cloud: Cloud, tmp_path: Path) -> None:
    """What `testudo loadtest plan` wrote wins; a wrong plan launches nothing."""
    path = tmp_path / "plan.toml"
    path.write_text('machine_type = "n2-standard-2"\nmin_num_workers = 1\nmax_num_workers = 7')
    ran = cloud.run("launch", "planned", "--template=v1", f"--plan={path}")
    assert ran.code == 0, ran.errors
    (job,) = cloud.active("planned")
    assert "min_num_workers=1" in job.environment.service_options
    (pool,) = job.environment.worker_pools
    assert pool.machine_type == "n2-standard-2"
    assert (pool.num_workers, pool.autoscaling_settings.max_num_workers) == (2, 7)
    path.write_text("max_num_workers = 1\nproject = 3")
    refused = cloud.run("update", "planned", "--template=v1", f"--plan={path}")
    assert refused.code == 2
    assert f"--plan: {path}: project: no such value" in refused.errors


def test_the_graph_that_is_sent_is_the_reviewed_one(cloud: Cloud) -> None:
    """Steps and state as in templates/graph.json; ids by our attribute; hints on every stage."""
    (job,) = cloud.active("request")
    graph = running_graph(job)
    assert graph == json.loads(reviewed_graph())
    assert graph["Read/Pull/Read"]["state"] == ["ids by idempotency_key"]
    components = staged(job).components
    hints = {
        components.environments[one.environment_id].resource_hints.get(
            "beam:resources:min_ram_bytes:v1"
        )
        for one in components.transforms.values()
        if one.environment_id
    }
    assert hints == {b"8000000000"}
    packages = [one.name for one in job.environment.worker_pools[0].packages]
    assert not any("extra" in one or one.endswith((".whl", ".tar.gz")) for one in packages)


def test_status_and_logs_show_the_job(cloud: Cloud) -> None:
    """Job, version and image by name; what the service said, with its time."""
    ran = cloud.run("status", "request", "--format=json")
    assert ran.code == 0
    shown = json.loads(ran.printed)
    assert [(one["state"], one["version"]) for one in shown["jobs"]] == [("running", "v1")]
    assert [one["way"] for one in shown["deployments"]] == ["launch"]
    assert cloud.run("status", "request").printed.count("v1") == 2
    assert "Worker pool is starting." in cloud.run("logs", "request").printed
    assert cloud.run("logs", "request", "--severity=ERROR").printed == ""


def test_a_second_job_is_refused(cloud: Cloud) -> None:
    """One job an environment, whatever the name; `update` is named."""
    with_job = cloud.run("launch", "request", "--template=v2")
    assert with_job.code == 2
    assert "has a job already" in with_job.errors
    assert "testudo update" in with_job.errors


def test_the_gentlest_way_is_taken_and_rollback_returns(cloud: Cloud, trained: Path) -> None:
    """Nothing, other limits, in place, and back: image by image, release by release."""
    before = cloud.environment("way")
    assert cloud.run("launch", "way", "--template=v1").code == 0
    (first,) = cloud.active("way")
    assert "nothing to do" in cloud.run("update", "way", "--template=v1").errors

    text = cloud.environments.read_text()
    cloud.environments.write_text(text.replace("[way]", "[way]\nmax_num_workers = 5"))
    resized = cloud.run("update", "way", "--template=v1")
    assert (resized.code, resized.printed.strip()) == (0, first.id)
    (job,) = cloud.active("way")
    assert (job.id, job.runtime_updatable_params.max_num_workers) == (first.id, 5)

    dry = cloud.run("update", "way", "--template=v2", "--dry_run")
    assert "in place" in dry.errors
    assert cloud.active("way")[0].id == first.id
    pointer = read_pointer(before.releases)
    assert cloud.run("update", "way", "--template=v2").code == 0
    (second,) = cloud.active("way")
    assert (second.name, second.replace_job_id) == (first.name, first.id)
    assert state(Jobs(before).get(first.id)) == "JOB_STATE_UPDATED"
    image = second.environment.worker_pools[0].worker_harness_container_image
    assert image == cloud.image("v2")

    (other,) = {one.name for one in trained.glob("second-*")}
    write_pointer(before.releases, Pointer(default=other), replacing=pointer)
    back = cloud.run("rollback", "way")
    assert back.code == 0, back.errors
    (third,) = cloud.active("way")
    image = third.environment.worker_pools[0].worker_harness_container_image
    assert image == cloud.image("v1")
    assert read_pointer(before.releases) == pointer


def leave_a_step_behind(job: Job) -> None:
    """Let the running job have a step that the code of today has not."""
    pipeline = staged(job)
    old = beam_api.PTransform(unique_name=GONE)
    old.spec.urn = "beam:transform:flatten:v1"
    pipeline.components.transforms["old"].CopyFrom(old)
    OBJECTS.write(_pipeline_url(job), pipeline.SerializeToString())


def test_what_dataflow_would_refuse_runs_in_parallel(cloud: Cloud) -> None:
    """A step is gone: the second job starts beside the first, which then drains."""
    assert cloud.run("launch", "parallel", "--template=v1").code == 0
    (first,) = cloud.active("parallel")
    leave_a_step_behind(first)
    ran = cloud.run("update", "parallel", "--template=v2", "--overlap_s=0")
    assert ran.code == 0, ran.errors
    assert "parallel" in ran.errors
    assert f"{GONE}: is gone" in ran.errors
    (second,) = cloud.active("parallel")
    assert second.name != first.name
    jobs = Jobs(cloud.environment("parallel"))
    assert state(jobs.get(first.id)) == "JOB_STATE_DRAINED"
    assert not second.replace_job_id


def test_an_update_that_is_forced_in_place_fails_and_the_old_job_goes_on(cloud: Cloud) -> None:
    """The stand-in refuses as Dataflow does: that is what `update` asks before."""
    environment = cloud.environment("parallel")
    jobs = Jobs(environment)
    (running,) = cloud.active("parallel")
    leave_a_step_behind(running)
    template = read_template(environment, "v1")
    request = launch_parameter(
        environment, template, environment.pipeline_flags, job_name=running.name, update=True
    )
    failed = jobs.wait(jobs.launch(request).id, {JobState.JOB_STATE_RUNNING}, lambda _: None)
    assert state(failed) == "JOB_STATE_FAILED"
    assert GONE in jobs.errors(failed.id)[0]
    assert [one.id for one in cloud.active("parallel")] == [running.id]


def test_a_launch_that_fails_in_the_launcher_says_why(cloud: Cloud) -> None:
    """The entry refuses a table that is not there: its words are the job's error."""
    environment = cloud.environment("broken")
    flags = {**environment.pipeline_flags, "predictions_table": "testudo-local:testudo.nothing"}
    request = launch_parameter(
        environment, read_template(environment, "v1"), flags, job_name="testudo-broken-1"
    )
    jobs = Jobs(environment)
    job = jobs.wait(jobs.launch(request).id, {JobState.JOB_STATE_RUNNING}, lambda _: None)
    assert state(job) == "JOB_STATE_FAILED"
    assert "there is no table testudo-local:testudo.nothing" in jobs.errors(job.id)[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--template=v9"], ["--template: there is no version v9", "testudo template build"]),
        (["--template=v1", "--set=nonsense=1"], ["--set: 'nonsense=1' is no FLAG=VALUE"]),
        (["--template=v1", "--set=text_batch_size=x"], ["--text_batch_size: 'x' does not match"]),
        (
            ["--template=v1", "--set=predictions_table=testudo-local:testudo.nothing"],
            ["--predictions_table: there is no table testudo-local:testudo.nothing"],
        ),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_created(
    cloud: Cloud, flags: list[str], said: list[str]
) -> None:
    """Each by its flag, and no job of the environment exists afterwards."""
    ran = cloud.run("launch", "refused", *flags)
    assert ran.code == 2
    for one in said:
        assert one in ran.errors
    assert not cloud.active("refused")


def test_missing_permissions_and_quotas_are_explained(cloud: Cloud) -> None:
    """The permission with its role; the quota with what is needed and what is left."""
    call("testudo", "PUT", "/testudo/refused", body={"permissions": ["dataflow.jobs.create"]})
    ran = cloud.run("launch", "refused", "--template=v1")
    assert ran.code == 2
    assert "may not dataflow.jobs.create; give it roles/dataflow.developer" in ran.errors
    call("testudo", "PUT", "/testudo/refused", body={"permissions": []})
    call("testudo", "PUT", "/testudo/quotas", body={"N2_CPUS": {"limit": 24, "usage": 12}})
    ran = cloud.run("launch", "refused", "--template=v1")
    assert ran.code == 2
    assert "4 workers of n2-standard-4 take 16 of the quota N2_CPUS" in ran.errors
    assert "12 left" in ran.errors
    assert not cloud.active("refused")


def test_a_network_without_a_way_to_google_is_explained(cloud: Cloud, stack: LocalStack) -> None:
    """Before anything is created: such a job would stay queued, and fail after minutes."""
    set_access(stack.project, on=False)
    ran = cloud.run("launch", "refused", "--template=v1")
    set_access(stack.project, on=True)
    assert ran.code == 2
    assert "subnetworks/workers has no Private Google Access" in ran.errors
    assert not cloud.active("refused")


def test_the_service_refuses_what_it_would_refuse(cloud: Cloud) -> None:
    """An unknown parameter is an error of the launch itself, as with Google."""
    environment = cloud.environment("refused")
    request = LaunchFlexTemplateParameter(
        job_name="testudo-refused-1",
        container_spec_gcs_path=f"{environment.templates}/v1/template.json",
        parameters={**environment.pipeline_flags, "streaming": "true"},
    )
    with pytest.raises(Exception, match="streaming: Unrecognized parameter"):
        Jobs(environment).launch(request)


def test_drain_ends_a_job_and_cancel_wants_to_be_told(cloud: Cloud) -> None:
    """Drained: 0. Cancelled: only by who says that what is in flight may be lost."""
    assert cloud.run("drain", "ended").code == 2
    assert cloud.run("launch", "ended", "--template=v1").code == 0
    (job,) = cloud.active("ended")
    refused = cloud.run("cancel", "ended")
    assert refused.code == 2
    assert "--lose_in_flight" in refused.errors
    assert cloud.run("drain", "ended").code == 0
    jobs = Jobs(cloud.environment("ended"))
    assert state(jobs.get(job.id)) == "JOB_STATE_DRAINED"
    assert cloud.run("drain", "ended", f"--job={job.id}").code == 2
    assert cloud.run("launch", "ended", "--template=v1").code == 0
    assert cloud.run("cancel", "ended", "--lose_in_flight").code == 0
    assert cloud.run("status", "ended").code == 3
