"""The stand-in for Dataflow: takes jobs and plays their states; nothing is computed.

A template is launched as Google's launcher does it: the launch entry runs in a
process of its own with the flags that follow from the request, and writes the
job that it would submit as an object; that job is then created. So what is
checked against this stand-in is the request that Beam itself makes.

A job moves on when it is read: from pending to running, from draining to
drained. A replacement that lacks a step of the job that it replaces fails, as
Dataflow fails it, and the old job goes on.
"""

import itertools
import json
import time
from http import HTTPStatus

from google.cloud.dataflow_v1beta3 import Job, JobMessageImportance, JobState
from google.protobuf.json_format import ParseError

from models.objects import OBJECTS
from testudo.control.launcher import Key, Launcher, launch_problems
from testudo.control.messages import MessagesService, as_json, now
from testudo.control.server import ApiError, Body, Request, Route, route

JOBS = "/v1b3/projects/{project}/locations/{location}/jobs"
ACTIVE = {
    JobState.JOB_STATE_QUEUED,
    JobState.JOB_STATE_PENDING,
    JobState.JOB_STATE_RUNNING,
    JobState.JOB_STATE_DRAINING,
    JobState.JOB_STATE_CANCELLING,
}
# What a state becomes once somebody has seen a job in it.
NEXT = {
    JobState.JOB_STATE_PENDING: JobState.JOB_STATE_RUNNING,
    JobState.JOB_STATE_DRAINING: JobState.JOB_STATE_DRAINED,
    JobState.JOB_STATE_CANCELLING: JobState.JOB_STATE_CANCELLED,
}
ASKED = {
    JobState.JOB_STATE_DRAINED: JobState.JOB_STATE_DRAINING,
    JobState.JOB_STATE_CANCELLED: JobState.JOB_STATE_CANCELLING,
}


class DataflowService:
    """Jobs in memory, by project, location and id."""

    def __init__(self, launcher: Launcher) -> None:
        self.jobs: dict[Key, Job] = {}
        self.messages = MessagesService()
        self.metrics: list[Body] = []  # a test's own, of every job
        self._launcher = launcher
        self._numbers = itertools.count(1)

    def routes(self) -> list[Route]:
        one = f"{JOBS}/{{job}}"
        flex = "/v1b3/projects/{project}/locations/{location}/flexTemplates:launch"
        return [
            route("POST", JOBS, self._create),
            route("GET", JOBS, self._list),
            route("GET", one, self._get),
            route("PUT", one, self._update),
            route("GET", f"{one}/metrics", self._metrics),
            route("PUT", "/testudo/metrics", self._set_metrics),
            route("POST", flex, self._launch),
            *self.messages.routes(one),
        ]

    def finish_launch(self, key: Key, job: Job | None, said: str) -> None:
        """The launcher's end: the job that it made, or None and what went wrong."""
        if job is None:
            self.messages.say(key, said, JobMessageImportance.JOB_MESSAGE_ERROR)
            self.jobs[key].current_state = JobState.JOB_STATE_FAILED
            return
        self._accept(key, job)

    def _create(self, request: Request) -> Body:
        job = _parsed(request.body)
        self._refuse_second(request, job.name, job.replace_job_id)
        key = self._reserve(request, job)
        self._accept(key, job)
        return as_json(self.jobs[key])

    def _launch(self, request: Request) -> Body:
        parameter = request.body.get("launchParameter") or {}
        if problems := launch_problems(parameter):
            details = "The template parameters are invalid. Details: " + "; ".join(problems)
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", details)
        replaces = (
            self._running_id(request, parameter["jobName"]) if parameter.get("update") else ""
        )
        self._refuse_second(request, parameter["jobName"], replaces)
        job = Job(name=parameter["jobName"], current_state=JobState.JOB_STATE_QUEUED)
        if request.body.get("validateOnly"):
            return {"job": as_json(job)}
        key = self._reserve(request, job)
        self._launcher.start(key, parameter, self.finish_launch)
        return {"job": as_json(self.jobs[key])}

    def _reserve(self, request: Request, job: Job) -> Key:
        stamp = time.strftime("%Y-%m-%d_%H_%M_%S", time.gmtime())
        key = (request.path["project"], request.path["location"], f"{stamp}-{next(self._numbers)}")
        self._put(key, job, JobState.JOB_STATE_QUEUED)
        return key

    def _put(self, key: Key, job: Job, state: JobState) -> None:
        job.project_id, job.location, job.id = key
        job.current_state = state
        job.create_time = job.current_state_time = now()
        self.jobs[key] = job

    def _accept(self, key: Key, job: Job) -> None:
        """Take a job up, or fail it because it cannot replace the one that it names."""
        self._put(key, job, JobState.JOB_STATE_PENDING)
        self.messages.say(key, "Worker pool is starting.", JobMessageImportance.JOB_MESSAGE_BASIC)
        if not job.replace_job_id:
            return
        replaced = self.jobs[(*key[:2], job.replace_job_id)]
        gone = sorted(_steps(replaced) - _steps(job) - set(dict(job.transform_name_mapping or {})))
        if gone:
            said = (
                f"Workflow failed. Causes: The new job is not compatible with {replaced.id}. "
                f"The original job has not been aborted. The new job is missing steps "
                f"{', '.join(gone)}."
            )
            self.messages.say(key, said, JobMessageImportance.JOB_MESSAGE_ERROR)
            job.current_state = JobState.JOB_STATE_FAILED
            return
        replaced.current_state = JobState.JOB_STATE_UPDATED
        replaced.replaced_by_job_id = job.id

    def _refuse_second(self, request: Request, name: str, replaces: str) -> None:
        active = [job for job in self._in(request) if job.current_state in ACTIVE]
        for job in active:
            if job.name == name and job.id != replaces:
                said = f"There is already an active job named {name}: {job.id}"
                raise ApiError(HTTPStatus.CONFLICT, "ALREADY_EXISTS", said)

    def _running_id(self, request: Request, name: str) -> str:
        for job in self._in(request):
            if job.name == name and job.current_state == JobState.JOB_STATE_RUNNING:
                return str(job.id)
        said = f"There is no running job named {name} to update"
        raise ApiError(HTTPStatus.BAD_REQUEST, "FAILED_PRECONDITION", said)

    def _in(self, request: Request) -> list[Job]:
        place = (request.path["project"], request.path["location"])
        return [job for key, job in self.jobs.items() if key[:2] == place]

    def _found(self, request: Request) -> tuple[Key, Job]:
        key = (request.path["project"], request.path["location"], request.path["job"])
        if key not in self.jobs:
            said = f"The job {key[2]} was not found in {key[1]}"
            raise ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", said)
        return key, self.jobs[key]

    def _list(self, request: Request) -> Body:
        """The summaries, newest first: without labels and environment, as Dataflow's are."""
        jobs = self._in(request)[::-1]
        if name := request.query.get("name"):
            jobs = [job for job in jobs if job.name == name]
        if request.query.get("filter") in ("ACTIVE", "3"):
            jobs = [job for job in jobs if job.current_state in ACTIVE]
        kept = ("id", "name", "projectId", "location", "type", "currentState", "createTime")
        summaries = [{k: v for k, v in as_json(job).items() if k in kept} for job in jobs]
        return {"jobs": summaries}

    def _get(self, request: Request) -> Body:
        _, job = self._found(request)
        answer = as_json(job)
        if job.current_state in NEXT:
            job.current_state = NEXT[job.current_state]
            job.current_state_time = now()
        return answer

    def _update(self, request: Request) -> Body:
        key, job = self._found(request)
        asked = _parsed(request.body)
        mask = request.query.get("updateMask", "")
        if asked.requested_state in ASKED:
            if job.current_state not in ACTIVE:
                said = f"The job is in state {job.current_state.name} already"
                raise ApiError(HTTPStatus.BAD_REQUEST, "FAILED_PRECONDITION", said)
            job.requested_state = asked.requested_state
            job.current_state = ASKED[asked.requested_state]
            self.messages.say(
                key, f"{job.current_state.name}", JobMessageImportance.JOB_MESSAGE_BASIC
            )
        elif mask.replace("runtimeUpdatableParams", "runtime_updatable_params").startswith(
            "runtime_updatable_params"
        ):
            job.runtime_updatable_params = asked.runtime_updatable_params
        else:
            said = "neither a state that can be asked for nor options that can be changed"
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", said)
        return as_json(job)

    def _metrics(self, request: Request) -> Body:
        """What a job with one worker of four cores would have used up since its start."""
        _, job = self._found(request)
        age_s = max(time.time() - job.create_time.timestamp(), 0.0)
        totals = {"TotalVcpuTime": 4 * age_s, "TotalMemoryUsage": 16384 * age_s}
        totals |= {"CurrentVcpuCount": 4, "TotalPdUsage": 50 * age_s}
        return {
            "metrics": [
                {"name": {"origin": "dataflow/v1b3", "name": name}, "scalar": round(total)}
                for name, total in totals.items()
            ]
            + self.metrics
        }

    def _set_metrics(self, request: Request) -> Body:
        self.metrics = request.body["metrics"]
        return {}


def _steps(job: Job) -> set[str]:
    """The names of the leaf steps of the graph that Beam staged for a job."""
    # Imported here: Beam costs 150 MB, and only a replacement needs it.
    from apache_beam.portability.api import beam_runner_api_pb2 as beam_api

    uri = str(job.environment.sdk_pipeline_options["options"]["pipelineUrl"])
    components = beam_api.Pipeline.FromString(OBJECTS.read(uri)).components
    return {step.unique_name for step in components.transforms.values() if not step.subtransforms}


def _parsed(body: Body) -> Job:
    try:
        return Job.from_json(json.dumps(body))
    except ParseError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", str(error)) from error
