"""A process that polls for a run's rows until it is asked to stop, and then saves them.

    python -m loadtest.measuring.watcher --prefix=P --project=P --dataset=D --output=FILE

A process of its own, since the sender's and the job's must not delay its polls. It prints
each poll in a line of JSON on standard output. It stops at SIGTERM, when its standard
input ends, which its parent holds open, and when its time is up.
"""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from google.cloud.bigquery import Client

from beam_pipeline.io.threads import Background
from loadtest.measuring.sightings import Poller, Sightings
from loadtest.processes import MeasuringError, last_lines
from testudo.environment import Environment

POLL_EVERY_S = 0.5
LEAST_REST_S = 0.25  # between polls, however long they take: they load what they ask
START_ALLOWED_S = SWEEP_ALLOWED_S = 180.0


class Wanted(NamedTuple):
    """What a watcher's process is asked to find."""

    prefix: str
    project: str
    dataset: str
    output: Path
    poll_every_s: float = POLL_EVERY_S
    dead_letters: int = 1  # 0: none are expected, and they are asked for now and then
    limit_s: float = 86_400.0

    def flags(self) -> list[str]:
        values = self._replace(dead_letters=int(self.dead_letters))._asdict()
        return [f"--{name}={value}" for name, value in values.items()]


class Watcher:
    """The process, as its parent has it: running within the block, and ended with it.

    `seen_s` has the time of the first poll that returned an item, by the rest of its id
    after the prefix.
    """

    def __init__(
        self,
        place: Environment,
        prefix: str,
        folder: Path,
        *,
        poll_every_s: float = POLL_EVERY_S,
        dead_letters: bool = True,
    ) -> None:
        self.seen_s: dict[str, float] = {}
        self._output = folder / "sightings.parquet"
        self._log = folder / "watcher.log"
        self._ready = threading.Event()
        self._wanted = Wanted(
            prefix, place.project, place.dataset, self._output.resolve(), poll_every_s, dead_letters
        )

    def __enter__(self) -> Self:
        """Raises MeasuringError where it cannot poll."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "loadtest.measuring.watcher", *self._wanted.flags()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,  # a terminal's Ctrl-C ends it through its parent
            )
        self._reader = Background(self._read, "watcher")
        self._reader.start()
        if not self._ready.wait(START_ALLOWED_S):
            self._end()
            raise MeasuringError(f"the watcher did not begin in {START_ALLOWED_S:.0f} s")
        self.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def check(self) -> None:
        """Raises MeasuringError with its last words where it has ended by itself."""
        if self._process.poll() is not None:
            raise MeasuringError(f"the watcher ended:\n{last_lines(self._log.read_text())}")
        self._reader.check()

    def finish(self) -> Sightings:
        """Have it read all rows and end. Raises MeasuringError."""
        self.check()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            code = self._process.wait(SWEEP_ALLOWED_S)
        except subprocess.TimeoutExpired as error:
            raise MeasuringError(f"rows could not be read in {SWEEP_ALLOWED_S:.0f} s") from error
        if code:
            raise MeasuringError(f"the watcher ended:\n{last_lines(self._log.read_text())}")
        sightings = Sightings.load(self._output)
        self._output.unlink()  # items.parquet has all of it
        return sightings

    def _read(self) -> None:
        try:
            for line in self._process.stdout or ():
                poll = json.loads(line)
                self.seen_s.update(dict.fromkeys(poll["fresh"], poll["at_s"]))
                self._ready.set()
        finally:
            self._ready.set()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def watch(wanted: Wanted, ended: threading.Event) -> None:
    """Poll, and print each, until the end; then save all rows."""
    deadline_s = time.monotonic() + wanted.limit_s
    with Client(project=wanted.project) as client:
        dataset = f"{wanted.project}.{wanted.dataset}"
        poller = Poller(client, dataset, wanted.prefix, dead_letters=bool(wanted.dead_letters))
        while True:
            poll = poller.poll()
            print(json.dumps(poll._asdict()), flush=True)
            rest_s = max(wanted.poll_every_s - poll.took_s, LEAST_REST_S)
            if ended.wait(rest_s) or time.monotonic() > deadline_s:
                break
        poller.sweep().save(wanted.output)


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("prefix", "project", "dataset"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--output", type=Path, required=True)
    for name in ("poll_every_s", "limit_s"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--dead_letters", type=int, required=True)
    wanted = Wanted(**vars(parser.parse_args()))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threading.Thread(target=_wait_for_end, args=(ended,), name="input", daemon=True).start()
    watch(wanted, ended)
    return 0


def _wait_for_end(ended: threading.Event) -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        ended.set()


if __name__ == "__main__":
    sys.exit(main())
