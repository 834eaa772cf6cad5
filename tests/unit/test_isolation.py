"""Models in processes of their own: whatever an item does to one, the others get their results."""

import itertools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from builders import encoded, grain, jpeg
from conftest import Releases
from PIL import Image
from waiting import eventually

from models import loaded, release_cache
from models.facts import Encoded, ImageFacts
from models.failures import Failure, Reason, Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import CallLimits, ScoreKernel
from models.loaded import LoadedReleases
from models.model_process import Setup
from models.release import fetch_release

GOOD = [encoded(grain(40, 40, seed=number), "PNG") for number in range(3)]


@pytest.fixture(scope="module")
def costly() -> bytes:
    """A picture that is small as a file and takes a good second, and 150 MB, to decode."""
    return encoded(Image.new("RGB", (7_000, 7_000)), "PNG")


@pytest.fixture
def folder(releases: Releases, tmp_path: Path) -> Path:
    return fetch_release(releases.root, releases.first.release, tmp_path / "cache")[1]


def process_with(calls: CallLimits, stage: Stage = Stage.IMAGE) -> ModelProcess:
    return ModelProcess(Setup(stage, calls, ImageLimits()))


@pytest.fixture
def process() -> Iterator[ModelProcess]:
    made = process_with(CallLimits())
    yield made
    made.close()


def reasons(answers: list) -> list[str]:
    return [one.result.reason if isinstance(one.result, Failure) else "" for one in answers]


def test_answers_are_those_of_the_kernel(process: ModelProcess, folder: Path) -> None:
    """In order, with facts of the image, and a failure where there is one."""
    answers = process.answers(folder, [GOOD[0], b"<svg/>", GOOD[1], jpeg(30, 20)])
    assert reasons(answers) == ["", Reason.IMAGE_FORMAT_REFUSED, "", ""]
    seen = answers[3].result
    assert isinstance(seen, Encoded)
    assert seen.facts == ImageFacts("JPEG", 30, 20, len(jpeg(30, 20)))._asdict()
    assert len({answers[place].result.features for place in (0, 2, 3)}) == 3


def test_a_killed_process_costs_no_item(process: ModelProcess, folder: Path) -> None:
    """Killed between two calls, as when the system wants memory: it is started again."""
    before = process.answers(folder, GOOD)
    os.kill(process.pid, signal.SIGKILL)
    after = process.answers(folder, GOOD)
    assert [one.result.features for one in after] == [one.result.features for one in before]


def test_a_default_timeout_of_sockets_is_not_the_models(
    process: ModelProcess, folder: Path
) -> None:
    """Beam sets one as soon as it asks for credentials; the process still waits for work."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)
    try:
        assert process.load(folder) is None
    finally:
        socket.setdefaulttimeout(before)
    pid = process.pid
    assert reasons(process.answers(folder, GOOD)) == ["", "", ""]
    assert process.pid == pid  # another would have been started for one that had ended


def test_a_call_that_takes_too_long_is_cut_alone(folder: Path, costly: bytes) -> None:
    """The slow image is a failure that says so; those of its batch are seen.

    It takes a thousand times as long as a good one, on a busy machine too: of these limits
    one lies between them.
    """
    limits = itertools.cycle((0.2, 0.6, 2.0, 6.0))

    def answers() -> tuple[list, float]:
        decode_s = next(limits)
        process = process_with(CallLimits(decode_s=decode_s))
        try:
            return process.answers(folder, [GOOD[0], costly, GOOD[1]]), decode_s
        finally:
            process.close()

    found, decode_s = eventually(answers, lambda one: reasons(one[0]) == ["", Reason.TIMED_OUT, ""])
    assert f"{decode_s:g} s to decode" in found[1].result.detail


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is limited on Linux")
def test_memory_is_limited(folder: Path, costly: bytes) -> None:
    """An image that needs more than a call may take is refused, and no neighbour is harmed."""
    process = process_with(CallLimits(memory_bytes=64_000_000))
    answers = process.answers(folder, [GOOD[0], costly, GOOD[1]])
    process.close()
    assert reasons(answers) == ["", Reason.IMAGE_TOO_LARGE, ""]


def test_a_release_that_cannot_be_loaded_says_so(process: ModelProcess, tmp_path: Path) -> None:
    """Its items fail for it, one by one; a good release is served by the same process."""
    answers = process.answers(tmp_path, GOOD)
    assert reasons(answers) == [Reason.RELEASE_UNAVAILABLE] * 3


def test_the_process_ends_with_its_worker(process: ModelProcess, folder: Path) -> None:
    """Closed by the worker, or by its end in whatever way: the socket tells."""
    process.answers(folder, GOOD[:1])
    child = psutil.Process(process.pid)
    process.close()
    assert not child.is_running()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="as Linux tells it")
def test_the_process_has_no_way_to_a_service(
    process: ModelProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads what senders wrote: neither credentials nor addresses are in its environment."""
    access = {
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
        "GOOGLE_CLOUD_PROJECT": "testudo-tests",
        "CLOUDSDK_AUTH_ACCESS_TOKEN": "hush-7731",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://user:hush-7731@127.0.0.1:1",
        "DATABASE_PASSWORD": "hush-7731",
    }
    for name, value in access.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process.answers(folder, GOOD[:1])
    lines = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
    found = dict(line.split("=", 1) for line in lines if line)
    assert found.keys().isdisjoint(access)
    assert not any("hush-7731" in value for value in found.values())
    assert found["OMP_NUM_THREADS"] == "1"  # the rest is passed on
    assert found["PATH"] == os.environ["PATH"]


def test_what_cannot_be_used_is_not_asked_for_again_at_once(
    releases: Releases, process: ModelProcess
) -> None:
    """A release that is missing is looked for once in a while, not for each batch."""
    root = Path(releases.root)
    models = LoadedReleases(str(root), Stage.IMAGE, process)
    missing = "first-restored-later"
    assert reasons(models.answers(missing, GOOD)) == [Reason.RELEASE_UNAVAILABLE] * 3
    (root / missing).symlink_to(root / releases.first.release)
    assert reasons(models.answers(missing, GOOD)) == [Reason.RELEASE_UNAVAILABLE] * 3
    models._uses[missing].failed_s -= loaded.UNUSABLE_FOR_S
    eventually(lambda: reasons(models.answers(missing, GOOD)), lambda found: found == [""] * 3)


def test_folders_of_killed_workers_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed worker left is found, to be removed; what a living one uses is not."""
    monkeypatch.setattr(release_cache.tempfile, "tempdir", str(tmp_path))
    child = psutil.Popen(["true"])
    child.wait()
    (tmp_path / f"{release_cache.CACHE}{child.pid}-abc").mkdir()
    (tmp_path / f"{release_cache.CACHE}{os.getppid()}-def").mkdir()
    assert [one.name for one in release_cache.left_behind()] == [
        f"{release_cache.CACHE}{child.pid}-abc"
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_no_prediction(
    releases: Releases, folder: Path, value: float
) -> None:
    """A scorer that computes nan makes a failure with a reason of its own."""
    (spec,) = releases.first.features[Stage.IMAGE]
    kernel = ScoreKernel(releases.first, folder, CallLimits())
    broken = np.full(spec.shape, value, spec.dtype).tobytes()
    whole = np.zeros(spec.shape, spec.dtype).tobytes()
    answers = kernel([({"image": whole}, ""), ({"image": broken}, "")])
    assert reasons(answers) == ["", Reason.MODEL_OUTPUT_INVALID]
