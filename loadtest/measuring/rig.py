"""The local stack with a job that is warm: what trials are run on, one after the other."""

import contextlib
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from loadtest.measuring.live import Progress
from loadtest.measuring.trial import Trial, settings_of
from loadtest.measuring.usage import STAGES, WORKER, Usage, find_roles, role_of
from loadtest.measuring.watcher import POLL_EVERY_S, Watcher
from loadtest.processes import ONE_THREAD, MeasuringError, last_lines
from loadtest.results import Result
from loadtest.stack import own_stack
from loadtest.traffic.schedule import Schedule
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL
from testudo.local.jobs import LocalJob
from testudo.messages import sample_messages

WARM_UP = 40  # items a process
ROUNDS = 5  # of warm-up: chance may leave a process without items in the first
START_ALLOWED_S = WARM_ALLOWED_S = END_ALLOWED_S = 300.0  # a machine with other work is slow
POLL_S = 0.25
JOB_LOG = "job.log"
NICEST = 19


class Rig:
    """A stack of its own and `testudo run` on it, within the block; all ends with it.

    Entering returns when every process of the job has loaded its models, and nothing
    waits. `home` has the servers' programs, `flags` go to `testudo run`, `report` gets
    each step in a line. With `overflow` a second job scores what quotas sent to the overflow
    topic; the others go first on this machine, where the cloud has more machines. Raises
    Failed: MeasuringError with the job's last words, StackError, ToolsMissing.
    """

    def __init__(
        self,
        home: Path,
        releases: str,
        *,
        processes: int = 1,
        flags: Sequence[str] = (),
        overflow: bool = False,
        report: Callable[[str], None],
    ) -> None:
        self.processes = processes
        self._home = home
        self._releases = releases
        self._flags = flags
        self._overflow = overflow
        self._report = report
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self.stack = exits.enter_context(own_stack(self._home, self._report))
            self.place = LOCAL
            self._log = self.stack.home / "logs" / JOB_LOG
            began_s = time.monotonic()
            self._job = self._started(exits, self._log, self._flags)
            self._job.wait_until_running(START_ALLOWED_S)
            self._warm_up()
            if self._overflow:
                log = self.stack.home / "logs" / "overflow.log"
                self._started(exits, log, ["--lane=overflow"], nice=NICEST)
            self._report(f"The job is warm after {time.monotonic() - began_s:.0f} s")
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def measure(
        self,
        schedule: Schedule,
        *,
        name: str,
        folder: Path,
        follow: Callable[[Progress], None] | None = None,
        poll_every_s: float = POLL_EVERY_S,
    ) -> Result:
        """One trial, whose files go to `folder`; at rest again when it returns.

        Raises MeasuringError.
        """
        trial = Trial(
            name=name,
            place=self.place,
            schedule=schedule,
            folder=folder,
            settings=settings_of(schedule, processes=self.processes, flags=self._flags),
            usage=Usage(self.stack),
            follow=follow,
            check=self.check,
            poll_every_s=poll_every_s,
        )
        try:
            return trial.run()
        finally:
            with contextlib.suppress(OSError):
                (folder / JOB_LOG).write_bytes(self._log.read_bytes())

    def check(self) -> None:
        """Raises MeasuringError where the job has ended by itself."""
        if self._job.ended():
            raise MeasuringError(f"the job ended by itself; {self._last_words()}")

    def _started(
        self, exits: ExitStack, path: Path, own: Sequence[str], *, nice: int = 0
    ) -> LocalJob:
        flags = [f"--home={self.stack.home}", f"--local_releases={self._releases}", *own]
        if self.processes > 1:
            flags.append(f"--processes={self.processes}")
        # A terminal's Ctrl-C ends it through this block, once.
        job = LocalJob(flags, path, variables=ONE_THREAD, own_group=True, nice=nice)
        exits.callback(_end, job)
        return job

    def _warm_up(self) -> None:
        for _ in range(ROUNDS):
            self._send_warm_up(WARM_UP * self.processes)
            if self._all_loaded():
                return
        raise MeasuringError(f"a process of the job has no models yet; {self._last_words()}")

    def _send_warm_up(self, count: int) -> None:
        """Send items, and wait for all outcomes."""
        prefix = f"warm-{uuid.uuid4().hex[:10]}-"
        items = sample_messages(count, seed=1, bucket="", broken_share=0, prefix=prefix)
        folder = self.stack.home / "logs"
        with Watcher(self.place, prefix, folder, dead_letters=False) as watcher:
            outgoing = [Outgoing(item.data, dict(item.attributes)) for item in items]
            publish(self.place.topic_path, outgoing)
            deadline_s = time.monotonic() + WARM_ALLOWED_S
            while len(watcher.seen_s) < count:
                self.check()
                watcher.check()
                if time.monotonic() > deadline_s:
                    raise MeasuringError(
                        f"{len(watcher.seen_s)} of {count} items to warm up have an outcome after "
                        f"{WARM_ALLOWED_S:.0f} s; {self._last_words()}"
                    )
                time.sleep(POLL_S)

    def _all_loaded(self) -> bool:
        """Whether each worker has a process of models for every stage."""
        job = psutil.Process(self._job.process.pid)  # with one process, itself the worker
        roles = find_roles(job, {}, {job: role_of(job.cmdline(), job.name())})
        workers = [process for process, role in roles.items() if role.startswith(WORKER)]
        wanted = {f"{stage}-models" for stage in STAGES}
        loaded = [
            worker for worker in workers if wanted <= {roles.get(it) for it in worker.children()}
        ]
        return len(loaded) == self.processes

    def _last_words(self) -> str:
        return f"its log:\n{last_lines(self._log.read_text(errors='replace'))}"


def _end(job: LocalJob) -> None:
    """Nothing is in flight: ask twice, so that it stops at once."""
    job.ask_to_end()
    with contextlib.suppress(subprocess.TimeoutExpired):
        job.process.wait(POLL_S)
    job.stop(END_ALLOWED_S)
