"""The exchange with a model's process, which may stop, die or talk nonsense at any moment."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgpack
import psutil
import pytest
from builders import encoded, grain
from PIL import Image
from streaming import eventually

from models.failures import Failure, Reason, Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import Answer, CallLimits
from models.manifest import MANIFEST
from models.model_process import Setup, unpack_answers
from models.release import fetch_release

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux does")

GOOD = [encoded(grain(40, 40, seed=number), "PNG") for number in range(3)]
LARGE = [encoded(grain(400, 400, seed=number), "PNG") for number in range(4)]  # 480 KB each
CALLS = CallLimits(decode_s=2, call_s=1)
SETUP = Setup(Stage.IMAGE, CALLS, ImageLimits())


@pytest.fixture(scope="module")
def many() -> list[bytes]:
    """Items of a small request, of which the first takes a while, and a large answer.

    A pipe holds 200 KB; each refusal has a hundred bytes.
    """
    slow = encoded(Image.new("RGB", (2_000, 2_000)), "PNG")
    return [slow, *[b"<svg/>"] * 3_500, *GOOD]


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = next(trained.glob("first-*")).name
    return fetch_release(str(trained), first, tmp_path_factory.mktemp("cache"))[1]


@pytest.fixture
def process(folder: Path) -> Iterator[ModelProcess]:
    """A process that has loaded the release, and may stand still for four seconds."""
    made = ModelProcess(SETUP, spare_s=2, batch_size=10_000)
    assert made.load(folder) is None
    yield made
    made.close()


@pytest.fixture
def patient(folder: Path) -> Iterator[ModelProcess]:
    """A process that may stand still for ten seconds."""
    made = ModelProcess(SETUP, spare_s=8, batch_size=10_000)
    assert made.load(folder) is None
    yield made
    made.close()


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[bytes]:
    process = ModelProcess(SETUP)
    answers = process.answers(folder, GOOD)
    process.close()
    return features(answers)


def features(answers: list[Answer]) -> list[bytes]:
    return [one.result.features for one in answers]


def reasons(answers: list[Answer]) -> list[str]:
    return [one.result.reason if isinstance(one.result, Failure) else "" for one in answers]


@contextlib.contextmanager
def in_the_midst(act: Callable[[], None], after_s: float = 0.05) -> Iterator[None]:
    """Have this thread call `act` in the midst of what it does or waits for in the block."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        act()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stop(process: ModelProcess) -> None:
    send(process, signal.SIGSTOP, psutil.STATUS_STOPPED)


def kill(process: ModelProcess) -> None:
    send(process, signal.SIGKILL, psutil.STATUS_ZOMBIE)


def send(process: ModelProcess, number: signal.Signals, status: str) -> None:
    """Returns when the signal has done its work: until then it may write what it has."""
    child = psutil.Process(process.pid)
    child.send_signal(number)
    with contextlib.suppress(psutil.NoSuchProcess):
        eventually(child.status, lambda found: found == status)


@pytest.mark.parametrize("items", [GOOD, LARGE], ids=["small", "larger than the pipe"])
def test_a_stopped_process_is_killed_and_the_items_answered(
    process: ModelProcess, folder: Path, items: list[bytes]
) -> None:
    """Whether the request fits into the pipe or not: its time is over, and another answers."""
    expected, stopped = process.answers(folder, items), process.pid
    stop(process)
    assert features(process.answers(folder, items)) == features(expected)
    assert process.pid != stopped
    assert not psutil.pid_exists(stopped)


@pytest.mark.parametrize("end", [stop, kill])
def test_a_process_that_ends_during_a_call_costs_no_item(
    patient: ModelProcess,
    folder: Path,
    expected: list[bytes],
    many: list[bytes],
    end: Callable[[ModelProcess], None],
) -> None:
    """Killed or stopped wherever it is: another process answers."""
    with in_the_midst(lambda: end(patient)):
        answers = patient.answers(folder, many)
    assert features(answers[-3:]) == expected
    assert len(answers) == len(many)


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_an_interrupted_caller_does_not_disturb_the_process(
    patient: ModelProcess,
    folder: Path,
    expected: list[bytes],
    many: list[bytes],
    error: type[BaseException],
) -> None:
    """Whatever it raises meanwhile: the next one gets its own answers, of the same process."""
    interrupted = patient.pid

    def interrupt() -> None:
        raise error

    with in_the_midst(interrupt), pytest.raises(error):
        patient.answers(folder, many)
    assert features(patient.answers(folder, GOOD)) == expected
    assert patient.pid == interrupted


def test_a_stopped_process_can_be_closed(process: ModelProcess) -> None:
    """It holds nothing that its end would wait for."""
    stopped = process.pid
    stop(process)
    process.close()
    assert process.pid == 0
    assert not psutil.pid_exists(stopped)


# Is the models' process, and has a bad answer for a batch or for one item of it.
TALKS_NONSENSE = """
import os, socket, sys, time
from models import model_process
from models.model_process import Setup, pack_answers
class Server(model_process.Server):
    def handle(self, verb, values):
        if verb == "answer" and (len(values[0]) > 1 or b"culprit" in values[0]):
            answers = self._answers(*values)
            if sys.argv[1] == "length":
                self._connection._socket.sendall((2**62).to_bytes(8))
            elif sys.argv[1] == "silence":
                self._connection._socket.shutdown(socket.SHUT_WR)
                time.sleep(1_000_000)
            elif sys.argv[1] == "half":
                data = pack_answers(answers)
                self._connection._socket.sendall(len(data).to_bytes(8) + data[: len(data) // 2])
                os.abort()
            else:
                self._connection.send(eval(sys.argv[1]))
        else:
            super().handle(verb, values)
model_process.Server = Server
model_process.main(int(sys.argv[3]), int(sys.argv[4]), Setup.from_json(sys.argv[2]))
"""


@pytest.mark.parametrize(
    "nonsense", ["b'nonsense'", "pack_answers(answers * 2)", "length", "silence", "half"]
)
def test_nonsense_in_an_answer_is_no_crash_of_the_stage(
    folder: Path, expected: list[bytes], nonsense: str
) -> None:
    """It ends the process: the others get their results, and who gets it alone too a failure."""
    command = [sys.executable, "-c", TALKS_NONSENSE, nonsense]
    process = ModelProcess(SETUP, command=command)
    answers = process.answers(folder, [*GOOD, b"culprit"])
    process.close()
    assert features(answers[:3]) == expected
    assert reasons(answers) == ["", "", "", Reason.CRASHED]


GOOD_ANSWER = (False, (b"features", {"format": "JPEG"}, {"decode": 1}), 0)


@pytest.mark.parametrize(
    ("packed", "count"),
    [
        (7, 1),
        (None, 1),
        ([], 1),
        ([GOOD_ANSWER], 2),
        ([GOOD_ANSWER], 0),
        ([7], 1),
        ([(False, None, 0)], 1),
        ([(False, ("text", {"format": "JPEG"}, {"decode": 1}), 0)], 1),
        ([(False, (b"features", ["JPEG"], {}), 0)], 1),
        ([(False, (b"features", None, 0), 0)], 1),
        ([(True, ("image", "no such reason", ""), 0)], 1),
        ([(True, ("image",), 0)], 1),
    ],
)
def test_an_answer_is_read_for_what_it_says(packed: object, count: int) -> None:
    """What no process of ours packs raises, and becomes no result."""
    with pytest.raises((TypeError, ValueError)):
        unpack_answers(Stage.IMAGE, msgpack.packb(packed), count)


# --- how the process starts, and ends ------------------------------------------------------


def test_a_folder_of_the_users_does_not_shadow_the_models(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `models` where the user stands, or `transforms`, is not taken for ours."""
    for name in ("models", "transforms"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    process = ModelProcess(SETUP)
    failure = process.load(folder)
    process.close()
    assert failure is None


def test_a_worker_that_hears_no_alarm_still_has_its_items_cut(folder: Path) -> None:
    """What a worker does with the alarm's signal is not what it does to its models' process."""
    costly = encoded(Image.new("RGB", (7_000, 7_000)), "PNG")
    process = ModelProcess(Setup(Stage.IMAGE, CallLimits(decode_s=0.2), ImageLimits()))
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        answers = process.answers(folder, [costly])
    finally:
        process.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.signal(signal.SIGALRM, before)
    assert reasons(answers) == [Reason.TIMED_OUT]
    assert "SIGALRM" in answers[0].result.detail


WORKER = """
import sys
from pathlib import Path
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.model_process import Setup
from models.failures import Stage
ModelProcess(Setup(Stage.IMAGE, CallLimits(), ImageLimits())).load(Path(sys.argv[1]))
"""


def test_the_process_ends_with_its_worker_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """kill -9 of the worker: it does not finish what nobody waits for, here for two minutes."""
    os.mkfifo(tmp_path / MANIFEST)  # a disk that does not answer
    with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)]) as worker:
        end = eventually(lambda: open_to_write(tmp_path / MANIFEST), lambda end: end is not None)
        children = psutil.Process(worker.pid).children(recursive=True)
        assert len(children) == 2  # the first, and the one that loads
        worker.kill()
    eventually(lambda: any(map(lives, children)), lambda living: not living)
    os.close(end)


def open_to_write(path: Path) -> int | None:
    """The writing end of a pipe that somebody waits to read."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
