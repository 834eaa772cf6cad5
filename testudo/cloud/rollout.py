"""Bring a version to life: launch, replace in place or in parallel, go back, and stop."""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

from google.cloud.dataflow_v1beta3 import Job, JobState, LaunchFlexTemplateParameter

from models.manifest import ReleaseError
from models.release import Pointer, read_pointer, write_pointer
from testudo.cloud.deployments import Deployment, record, recorded
from testudo.cloud.graphs import running_graph
from testudo.cloud.jobs import Jobs, job_name, state_of
from testudo.cloud.launching import as_dict, launch_parameter
from testudo.cloud.preflight import quota_problems
from testudo.cloud.templates import read_template
from testudo.cloud.updating import Choice, Way, choose
from testudo.cloud.versions import Version
from testudo.environment import Environment
from testudo.errors import CommandError, Failed

LAUNCHED = "launch"
OVERLAP_S = 120.0
RUNNING = {JobState.JOB_STATE_RUNNING}
Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """Rolls versions out into one environment; `report` is given each step in a line.

    With `dry_run` it says what it would do, and does nothing. With `parallel` a new job starts
    beside the old one even where an update in place would do. Both work for `overlap_s` then.

    Google's errors pass through. What may not be done raises CommandError; a new job that does
    not run raises Failed, which says what Dataflow said and what runs now.
    """

    environment: Environment
    jobs: Jobs
    report: Report
    dry_run: bool = False
    parallel: bool = False
    overlap_s: float = OVERLAP_S

    def running(self) -> Job:
        """The newest active job."""
        active = self.jobs.listed()
        if not active:
            raise CommandError(f"{self.environment.name} has no job; `testudo launch` starts one")
        return active[0]

    def launch(self, version: Version) -> Job | None:
        """Launch a job where none runs; None when nothing was to be done."""
        if active := self.jobs.listed():
            names = ", ".join(f"{job.name} ({state_of(job)})" for job in active)
            raise CommandError(
                f"{self.environment.name} has a job already: {names}; `testudo update` replaces it"
            )
        self._check_quotas()
        if self.dry_run:
            template = version.template
            self.report(f"Would launch {template.version} ({template.image})")
            return None
        return self._start(version, job_name(self.environment, time.time()), LAUNCHED, None)

    def replace(self, running: Job, version: Version) -> Job | None:
        """Say which way the job gets to the version and why, and go it.

        None when nothing was to be done.
        """
        choice = self._choice(running, version)
        self.report(f"{running.name} ({running.id}) -> {version.template.version}: {choice.way}")
        for reason in choice.reasons:
            self.report(f"  {reason}")
        if choice.way == Way.PARALLEL:
            self._check_quotas()  # for a while there are two fleets
        if self.dry_run or choice.way == Way.NOTHING:
            return None
        if choice.way == Way.RESIZE:
            return self._resize(running, version)
        if choice.way == Way.IN_PLACE:
            return self._start(version, running.name, choice.way, running)
        name = job_name(self.environment, time.time())
        job = self._start(version, name, choice.way, running)
        self.stop(running.id, JobState.JOB_STATE_DRAINED)
        return job

    def roll_back(self, *, keep_release: bool) -> Job | None:
        """Back to the image, the flags and, unless it is kept, the release that ran before."""
        running = self.running()
        current = recorded(self.environment, running.id)
        if current is None:
            raise CommandError(
                f"{running.id} was not launched by testudo: nothing says what ran before"
            )
        before = recorded(self.environment, current.replaces) if current.replaces else None
        if before is None:
            raise CommandError(
                f"{current.job_name} replaced no job: there is nothing to go back to"
            )
        template = read_template(self.environment, before.version)
        if not keep_release:
            self._point_back(current)
        return self.replace(running, Version(template, dict(before.request.get("parameters", {}))))

    def stop(self, job_id: str, state: JobState, *, wait: bool = True) -> bool:
        """Drain or cancel a job. False when it was waited for and ended otherwise."""
        self.jobs.stop(job_id, state)
        return not wait or self.jobs.wait(job_id, {state}, self.report).current_state == state

    def _check_quotas(self) -> None:
        if problems := quota_problems(self.environment):
            raise CommandError("\n".join(problems))

    def _choice(self, running: Job, version: Version) -> Choice:
        if self.parallel:
            return Choice(Way.PARALLEL, ["--parallel asks for it"])
        return choose(
            running,
            running_graph(running),
            recorded(self.environment, running.id),
            version.template,
            as_dict(self._request(version, running.name)),
        )

    def _resize(self, running: Job, version: Version) -> Job:
        self.jobs.resize(running.id)
        if deployed := recorded(self.environment, running.id):
            request = as_dict(self._request(version, running.name))
            record(self.environment, dataclasses.replace(deployed, request=request))
        return self.jobs.get(running.id)

    def _start(self, version: Version, name: str, way: str, replaces: Job | None) -> Job:
        """Launch, see it run, and keep a record of it."""
        pointer = self._pointer()
        launched = self.jobs.launch(self._request(version, name, update=way == Way.IN_PLACE))
        job = self.jobs.wait(launched.id, RUNNING, self.report)
        if job.current_state not in RUNNING:
            raise Failed(self._why(job, replaces))
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
        raise Failed(why)

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

    def _point_back(self, current: Deployment) -> None:
        """Let current.json say what it said before this deployment."""
        if not current.pointer_before:
            self.report("What current.json said before is not known: it stays as it is")
            return
        pointer = Pointer(**current.pointer_before)
        found = read_pointer(self.environment.releases)
        if found == pointer:
            return
        before, after = (json.dumps(dataclasses.asdict(each)) for each in (found, pointer))
        self.report(f"current.json: from {before} back to {after}")
        if not self.dry_run:
            write_pointer(self.environment.releases, pointer, replacing=found)
