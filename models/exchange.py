"""One request and its answer at a time, with a process that may stop, die or talk nonsense.

An exchange has a deadline, and within it the process must go on from call to call:
one that stands still for too long is killed, whatever it does then. Whatever else ends
an exchange before its answer is whole ends the process too, since the next request
would get this one's answer.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import msgpack

from models.progress import Place, Progress, shared_file

DYING_S = 2.0  # from the end of its socket to its own
END_ALLOWED_S = 5.0  # when it is killed
TELL_ALLOWED_S = 30.0  # for its parent to say how: one that is late is ended, with all it forked
MAX_ANSWER_BYTES = 2**28  # more is no answer, but a length that nobody wrote
LENGTH_BYTES = 8
PART_BYTES = 2**20
LOOK_S = 0.5  # whether a process that says nothing goes on


class ProcessEnded(Exception):
    """The process ended during a call, or was ended for what it did; says how, and where it was."""

    def __init__(self, how: str, *, cut: bool = False, place: Place = Place(0, 0, 0)) -> None:
        super().__init__(how)
        self.cut = cut  # because its time was over
        self.place = place


class _Late(Exception):
    """The process took too long; says what for."""


class Ends:
    """The worker's ends of a process's socket and memory, and the process's ends to give away."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # A default timeout, which Beam sets for its HTTP clients, would make both not block.
        theirs.setblocking(True)
        ours.setblocking(False)
        self.socket = ours
        number = shared_file()
        self.theirs = [theirs.detach(), os.dup(number)]
        self.progress = Progress(number)

    def given(self) -> None:
        """The process has its ends now; or there is none to have them."""
        while self.theirs:
            os.close(self.theirs.pop())

    def close(self) -> None:
        self.given()
        self.socket.close()
        self.progress.close()


class Child(ABC):
    """A process that answers requests over a socket.

    Requests of several threads take turns.
    """

    pid: int

    def __init__(self, ends: Ends) -> None:
        self._killed = False
        self._ends = ends
        self._turn = threading.RLock()

    @property
    def usable(self) -> bool:
        """For another request: what ends an exchange before its answer ends the process."""
        return not self._killed

    @abstractmethod
    def _kill(self) -> None:
        """End the process at once; nothing, where it has ended."""

    @abstractmethod
    def _wait(self, allowed_s: float) -> int | None:
        """Its exit code; None when it is still there after a while, or nobody knows."""

    def ask(
        self,
        request: object,
        *,
        allowed_s: float,
        stalled_s: float | None = None,
        numbers: Sequence[int] = (),
    ) -> bytes:
        """The answer to a request, sent, waited for and received in `allowed_s`.

        The process must not stand still for `stalled_s`. It gets copies of the open files
        `numbers`. Raises ProcessEnded. With any error the process has ended.
        """
        data = msgpack.packb(request)
        with self._turn:
            return self._exchange(data, allowed_s, stalled_s or allowed_s, numbers)

    def kill(self) -> None:
        """End the process; whoever waits for its answer gets ProcessEnded. From any thread."""
        self._killed = True
        self._kill()

    def end(self) -> None:
        """Kill it, whatever it does, and close the connection; it holds nothing to save."""
        self.kill()
        with self._turn:
            self._wait(END_ALLOWED_S)
            self._close()

    def _exchange(
        self, data: bytes, allowed_s: float, stalled_s: float, numbers: Sequence[int]
    ) -> bytes:
        if self._killed:
            raise ProcessEnded("it had ended before")
        whole = False
        watch = _Watch(self._ends, allowed_s, stalled_s)
        try:
            watch.send(len(data).to_bytes(LENGTH_BYTES) + data)
            if numbers:
                socket.send_fds(self._ends.socket, [b"!"], list(numbers))
            answer = watch.receive()
            whole = True
        except _Late as late:
            place = self._ends.progress.place()
            raise ProcessEnded(str(late), cut=True, place=place) from late
        except (EOFError, OSError) as error:
            raise self._ended(error) from error
        finally:
            if not whole:
                self.end()
        return answer

    def _close(self) -> None:
        self._ends.close()

    def _ended(self, error: Exception) -> ProcessEnded:
        place = self._ends.progress.place()
        code = self._wait(DYING_S)
        if code is None:  # it lives, and does not speak as agreed
            return ProcessEnded(f"{type(error).__name__}: {error}", place=place)
        return ProcessEnded(_name(code), cut=code == -signal.SIGALRM, place=place)


class Started(Child):
    """A process of a command, which gets the numbers of its files as last arguments."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        ends = Ends()
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, ends.theirs)],
                pass_fds=ends.theirs,
                stdin=subprocess.DEVNULL,
                env=environment,
                process_group=0,  # Ctrl-C is the worker's to handle
            )
        except BaseException:
            ends.close()
            raise
        ends.given()
        super().__init__(ends)
        self.pid = self._process.pid

    def _kill(self) -> None:
        self._process.kill()

    def _wait(self, allowed_s: float) -> int | None:
        """As one that the disk holds is still there."""
        try:
            return self._process.wait(allowed_s)
        except subprocess.TimeoutExpired:
            return None


class Forked(Child):
    """A process that another one forked, and that only this one can be asked about."""

    def __init__(self, parent: Child, *, allowed_s: float) -> None:
        """Raises ProcessEnded when the parent does not answer."""
        ends = Ends()
        try:
            answer = parent.ask(["fork"], allowed_s=allowed_s, numbers=ends.theirs)
            self.pid = int(msgpack.unpackb(answer))
            # A number of its own, which no later process gets, whoever reaps this one.
            self._number = os.pidfd_open(self.pid)
        except BaseException:
            ends.close()
            raise
        ends.given()
        super().__init__(ends)
        self._parent = parent
        self._code: int | None = None

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._number, signal.SIGKILL)

    def _wait(self, allowed_s: float) -> int | None:
        if self._code is None and self._has_ended(allowed_s) and self._parent.usable:
            with contextlib.suppress(ProcessEnded, ValueError):
                answer = self._parent.ask(["ended", self.pid], allowed_s=TELL_ALLOWED_S)
                self._code = int(msgpack.unpackb(answer))
        return self._code

    def _close(self) -> None:
        super()._close()
        number, self._number = self._number, -1  # first: `kill` may come from any thread
        if number >= 0:
            os.close(number)

    def _has_ended(self, allowed_s: float) -> bool:
        if self._number < 0:
            return False
        watch = select.poll()
        watch.register(self._number, select.POLLIN)
        return bool(watch.poll(1000 * allowed_s))


class _Watch:
    """One exchange: sends and receives for as long as it may take, and the process goes on."""

    def __init__(self, ends: Ends, allowed_s: float, stalled_s: float) -> None:
        self._ends = ends
        self._allowed_s = allowed_s
        self._stalled_s = stalled_s
        self._begun_s = self._moved_s = time.monotonic()
        self._place = ends.progress.place()
        self._poll = select.poll()

    def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._wait(select.POLLOUT)
            with contextlib.suppress(BlockingIOError):
                left = left[self._ends.socket.send(left) :]

    def receive(self) -> bytes:
        length = int.from_bytes(self._exactly(LENGTH_BYTES))
        if length > MAX_ANSWER_BYTES:
            raise OSError("bad message length")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait(select.POLLIN)
            with contextlib.suppress(BlockingIOError):
                part = self._ends.socket.recv(min(PART_BYTES, count - len(parts)))
                if not part:
                    raise EOFError("it has closed its socket")
                parts += part
        return bytes(parts)

    def _wait(self, event: int) -> None:
        """Until the socket is ready. Raises _Late."""
        self._poll.register(self._ends.socket, event)
        while True:
            now_s = time.monotonic()
            place = self._ends.progress.place()
            if place != self._place:
                self._place, self._moved_s = place, now_s
            left_s = self._begun_s + self._allowed_s - now_s
            moves_s = self._moved_s + self._stalled_s - now_s
            if left_s <= 0:
                raise _Late(f"no answer in {self._allowed_s:g} s")
            if moves_s <= 0:
                raise _Late(f"it stood still for {self._stalled_s:g} s")
            if self._poll.poll(1000 * min(left_s, moves_s, LOOK_S)):
                self._moved_s = time.monotonic()
                return


def _name(code: int) -> str:
    """What an exit code says: the signal's name, where it was one."""
    if code >= 0:
        return f"exit code {code}"
    if -code in set(signal.Signals):
        return signal.Signals(-code).name
    return f"signal {-code}"
