"""One request and its answer at a time, with a process that may stop, die or talk nonsense.

A request has a deadline, which a timer keeps by killing the process: whatever waits for
it then, to send or to receive, ends. Whatever else ends an exchange before its answer
is whole ends the process too, since the next request would get this one's answer.
"""

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from types import TracebackType

DYING_S = 2.0  # from the end of its socket to its own
END_ALLOWED_S = 5.0  # when it is killed
MAX_ANSWER_BYTES = 2**28  # more is no answer, but a length that nobody wrote


class ProcessEnded(Exception):
    """The process ended during a call, or was ended for what it did; says how."""

    def __init__(self, how: str, *, cut: bool = False) -> None:
        super().__init__(how)
        self.cut = cut  # because its time was over


class Child:
    """A process, started with the number of its socket as the last argument.

    Not to be used from several threads at a time, but for `end`.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.usable = True  # for another request
        # Not socket.socketpair: its ends keep the default timeout that Beam sets for
        # its HTTP clients, and the process's first read would fail at once.
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                process_group=0,  # Ctrl-C is the worker's to handle
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: bytes, allowed_s: float) -> bytes:
        """The answer to a request, sent, waited for and received in `allowed_s`.

        Raises ProcessEnded. With any error, of the caller's too, the process has ended.
        """
        self.usable = False  # until its answer is whole
        deadline = _Deadline(self._process, allowed_s)
        try:
            with deadline:
                self._connection.send_bytes(request)
                answer = self._connection.recv_bytes(MAX_ANSWER_BYTES)
            self.usable = not deadline.missed
        except TimeoutError:
            raise  # the caller's: a pipe has none
        except (EOFError, OSError) as error:
            if deadline.missed:
                raise ProcessEnded(f"no answer in {allowed_s:g} s", cut=True) from error
            raise self._ended(error) from error
        finally:
            if not self.usable:
                self.end()
        return answer

    def end(self) -> None:
        """Kill it, whatever it does, and close the connection; it holds nothing to save."""
        self.usable = False
        self._process.kill()
        self._wait(END_ALLOWED_S)
        self._connection.close()

    def _ended(self, error: Exception) -> ProcessEnded:
        code = self._wait(DYING_S)
        if code is None:  # it lives, and does not speak as agreed
            return ProcessEnded(f"{type(error).__name__}: {error}")
        return ProcessEnded(_name(code), cut=code == -signal.SIGALRM)

    def _wait(self, allowed_s: float) -> int | None:
        """Its exit code; None when it is still there after a while, as one that the disk holds."""
        try:
            return self._process.wait(allowed_s)
        except subprocess.TimeoutExpired:
            return None


class _Deadline:
    """Kills a process that is still at it, within the block, when its time is over."""

    def __init__(self, process: "subprocess.Popen[bytes]", allowed_s: float) -> None:
        self.missed = False
        self._process = process
        self._met = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(allowed_s, self._kill)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._met = True

    def _kill(self) -> None:
        with self._lock:
            if not self._met:
                self.missed = True
                self._process.kill()


def _name(code: int) -> str:
    """What an exit code says: the signal's name, where it was one."""
    if code >= 0:
        return f"exit code {code}"
    if -code in set(signal.Signals):
        return signal.Signals(-code).name
    return f"signal {-code}"
