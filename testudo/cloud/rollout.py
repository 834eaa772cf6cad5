"""Bring a version to life: launch, replace in place or in parallel, and keep a record of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.cloud.dataflow_v1beta3 import Job, JobState, LaunchFlexTemplateParameter

from models.manifest import ReleaseError
from models.release import read_pointer
from testudo.cloud.deployments import Deployment, record, recorded
from testudo.cloud.jobs import Jobs, job_name
from testudo.cloud.launching import as_dict, launch_parameter
from testudo.cloud.templates import Template
from testudo.cloud.updating import Choice, Way
from testudo.environment import Environment

LAUNCHED = "launch"
RUNNING = {JobState.JOB_STATE_RUNNING}
Report = Callable[[str], None]


class RolloutFailed(Exception):
    """The new job does not run; the text says what Dataflow said, and what runs now."""


class Version(NamedTuple):
    """What is to run: a template and the pipeline's own flags."""

    template: Template
    parameters: Mapping[str, str]


@dataclasses.dataclass(kw_only=True)
class Rollout:
    """Rolls versions out into one environment. Google's errors pass through."""

    environment: Environment
    jobs: Jobs
    report: Report
    overlap_s: float = 120.0  # how long a parallel job must have run before the old one drains

    def launch(self, version: Version) -> Job:
        """Launch a job where none runs. Raises RolloutFailed."""
        return self._start(version, job_name(self.environment, time.time()), LAUNCHED, None)

    def replace(self, running: Job, version: Version, choice: Choice) -> Job:
        """Bring the running job to the version in the way chosen. Raises RolloutFailed."""
        if choice.way == Way.RESIZE:
            self.jobs.resize(running.id)
            if deployed := recorded(self.environment, running.id):
                request = as_dict(self._request(version, running.name))
                record(self.environment, dataclasses.replace(deployed, request=request))
            return self.jobs.get(running.id)
        if choice.way == Way.IN_PLACE:
            return self._start(version, running.name, choice.way, running)
        name = job_name(self.environment, time.time())
        job = self._start(version, name, choice.way, running)
        self.jobs.stop(running.id, JobState.JOB_STATE_DRAINED)
        self.jobs.wait(running.id, {JobState.JOB_STATE_DRAINED}, self.report)
        return job

    def _start(self, version: Version, name: str, way: str, replaces: Job | None) -> Job:
        """Launch, see it run, and keep a record of it."""
        pointer = self._pointer()
        request = self._request(version, name, update=way == Way.IN_PLACE)
        launched = self.jobs.launch(request)
        job = self.jobs.wait(launched.id, RUNNING, self.report)
        if job.current_state not in RUNNING:
            raise RolloutFailed(self._why(job, replaces))
        if replaces and way == Way.PARALLEL:
            self._overlap(job, replaces)
        deployment = Deployment(
            job_id=job.id,
            job_name=name,
            launched_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            version=version.template.version,
            image=version.template.image,
            way=str(way),
            replaces=replaces.id if replaces else "",
            request=as_dict(self._request(version, name)),
            pointer_before=pointer,
        )
        record(self.environment, deployment)
        return job

    def _request(
        self, version: Version, name: str, *, update: bool = False
    ) -> LaunchFlexTemplateParameter:
        return launch_parameter(
            self.environment, version.template, version.parameters, job_name=name, update=update
        )

    def _overlap(self, job: Job, running: Job) -> None:
        """Let both work for a while; the new one must live through it."""
        self.report(f"Both jobs run for {self.overlap_s:g} s, then {running.name} drains")
        time.sleep(self.overlap_s)
        after = self.jobs.get(job.id)
        if after.current_state in RUNNING and not self.jobs.errors(job.id):
            return
        why = self._why(after, running)
        if after.current_state in RUNNING:
            # Not cancelled: it has acknowledged messages that have no outcome yet.
            self.jobs.stop(after.id, JobState.JOB_STATE_DRAINED)
            why += f"\n{after.name} drains."
        raise RolloutFailed(why)

    def _why(self, job: Job, replaces: Job | None) -> str:
        said = "\n".join(self.jobs.errors(job.id)) or "Dataflow gave no reason"
        goes_on = f"\n{replaces.name} ({replaces.id}) goes on as before." if replaces else ""
        return f"{job.name} ({job.id}) does not run as it should:\n{said}{goes_on}"

    def _pointer(self) -> dict[str, Any]:
        """What current.json says now, for a rollback; empty when it cannot be read."""
        try:
            return dataclasses.asdict(read_pointer(self.environment.releases))
        except ReleaseError:
            return {}
