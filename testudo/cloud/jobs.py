"""The Dataflow jobs of one environment, through Google's own clients."""

import re
import time
from collections.abc import Callable, Iterator

from google.cloud.dataflow_v1beta3 import (
    FlexTemplatesServiceClient,
    GetJobRequest,
    Job,
    JobMessage,
    JobMessageImportance,
    JobState,
    JobsV1Beta3Client,
    JobView,
    LaunchFlexTemplateParameter,
    LaunchFlexTemplateRequest,
    ListJobMessagesRequest,
    ListJobsRequest,
    MessagesV1Beta3Client,
    UpdateJobRequest,
)
from google.cloud.dataflow_v1beta3.types import RuntimeUpdatableParams
from google.protobuf.field_mask_pb2 import FieldMask

from testudo.clients import control_client
from testudo.environment import Environment

FIRST_PAUSE_S, PAUSE_GROWTH, LONGEST_PAUSE_S = 0.2, 1.2, 5.0
ENDED = {
    JobState.JOB_STATE_DONE,
    JobState.JOB_STATE_FAILED,
    JobState.JOB_STATE_CANCELLED,
    JobState.JOB_STATE_UPDATED,
    JobState.JOB_STATE_DRAINED,
}
Report = Callable[[str], None]


def job_name(environment: Environment, now_s: float) -> str:
    """A name of its own for every launch: two jobs may run side by side for a while."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_s))
    return f"testudo-{environment.name}-{stamp}"


def state_of(job: Job) -> str:
    """The state in a word: `running`, `drained`."""
    return str(JobState(job.current_state).name).removeprefix("JOB_STATE_").lower()


class Jobs:
    """Lists, launches, changes and awaits them; Google's errors pass through."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._place = {"project_id": environment.project, "location": environment.region}
        self._name = re.compile(rf"testudo-{environment.name}-\d{{8}}-\d{{6}}")
        self._jobs = control_client(JobsV1Beta3Client)
        self._templates = control_client(FlexTemplatesServiceClient)
        self._messages = control_client(MessagesV1Beta3Client)

    def listed(self, *, active: bool = True) -> list[Job]:
        """The jobs of this environment, newest first, each whole."""
        which = ListJobsRequest.Filter.ACTIVE if active else ListJobsRequest.Filter.ALL
        found = self._jobs.list_jobs(ListJobsRequest(**self._place, filter=which))
        return [self.get(job.id) for job in found if self._name.fullmatch(job.name)]

    def get(self, job_id: str) -> Job:
        return self._jobs.get_job(
            GetJobRequest(**self._place, job_id=job_id, view=JobView.JOB_VIEW_ALL)
        )

    def launch(self, parameter: LaunchFlexTemplateParameter) -> Job:
        request = LaunchFlexTemplateRequest(**self._place, launch_parameter=parameter)
        return self._templates.launch_flex_template(request).job

    def validate(self, parameter: LaunchFlexTemplateParameter) -> None:
        """Let Dataflow check a launch, and create nothing; raises as `launch` does."""
        request = LaunchFlexTemplateRequest(
            **self._place, launch_parameter=parameter, validate_only=True
        )
        self._templates.launch_flex_template(request)

    def stop(self, job_id: str, state: JobState) -> None:
        """Ask a job to become JOB_STATE_DRAINED or JOB_STATE_CANCELLED."""
        job = Job(requested_state=state)
        self._jobs.update_job(UpdateJobRequest(**self._place, job_id=job_id, job=job))

    def resize(self, job_id: str) -> None:
        """Give a running job the environment's limits of workers; it stays the same job."""
        limits = RuntimeUpdatableParams(
            min_num_workers=self._environment.least_workers,
            max_num_workers=self._environment.max_num_workers,
            worker_utilization_hint=self._environment.utilization_hint,
        )
        fields = ("min_num_workers", "max_num_workers", "worker_utilization_hint")
        mask = FieldMask(paths=[f"runtime_updatable_params.{field}" for field in fields])
        job = Job(runtime_updatable_params=limits)
        request = UpdateJobRequest(**self._place, job_id=job_id, job=job, update_mask=mask)
        self._jobs.update_job(request)

    def messages(
        self, job_id: str, least: JobMessageImportance = JobMessageImportance.JOB_MESSAGE_BASIC
    ) -> Iterator[JobMessage]:
        """What Dataflow says of the job, oldest first."""
        request = ListJobMessagesRequest(**self._place, job_id=job_id, minimum_importance=least)
        yield from self._messages.list_job_messages(request)

    def errors(self, job_id: str) -> list[str]:
        found = self.messages(job_id, JobMessageImportance.JOB_MESSAGE_ERROR)
        return [message.message_text for message in found]

    def wait(self, job_id: str, until: set[JobState], report: Report) -> Job:
        """Poll until the job is in one of the states, or has ended."""
        pause_s, seen = FIRST_PAUSE_S, ""
        try:
            while True:
                job = self.get(job_id)
                if (state := state_of(job)) != seen:
                    report(f"{job.name} ({job_id}): {state}")
                    seen = state
                if job.current_state in until | ENDED:
                    return job
                time.sleep(pause_s)
                pause_s = min(PAUSE_GROWTH * pause_s, LONGEST_PAUSE_S)
        except KeyboardInterrupt:
            report(f"{job_id} goes on, {seen}; it is only watched no more")
            raise
