"""ONNX models: any batch size, named inputs and outputs, threads, forks; nothing reported.

The files under test are written by hand (tests/onnx_files.py), so that no test waits for
TensorFlow or needs PyTorch.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_files import adding_file, encoder_file

from models.features import FeatureSpec
from models.onnx_model import MAX_ROWS, OnnxModel

REPOSITORY = Path(__file__).parents[2]
LONGEST_S = 60


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    return OnnxModel(adding_file(tmp_path / "adding.onnx"))


def batch(size: int, start: float = 0.0) -> dict[str, np.ndarray]:
    left = np.arange(size * 3, dtype=np.float32).reshape(size, 3) + np.float32(start)
    return {"left": left, "right": np.full((size, 3), 100, np.float32)}


def test_the_file_says_what_it_takes_and_gives(model: OnnxModel, tmp_path: Path) -> None:
    """Names, types and shapes without the batch dimension, which is free."""
    numbers = FeatureSpec("left", "float32", (3,))
    assert model.inputs["left"] == numbers
    assert list(model.inputs) == ["left", "right"]
    assert model.outputs == {"total": FeatureSpec("total", "float32", (3,))}
    assert model.batch == {"left": -1, "right": -1}
    fixed = OnnxModel(encoder_file(tmp_path / "fixed.onnx", batch=4))
    assert fixed.inputs["image"] == FeatureSpec("image", "uint8", (32, 32, 3))
    assert fixed.batch == {"image": 4}


@pytest.mark.parametrize("sizes", [(1, 16, 3, 1), (MAX_ROWS, MAX_ROWS + 1, 64)])
def test_any_batch_size_is_one_answer_a_row(model: OnnxModel, sizes: tuple[int, ...]) -> None:
    """In order, whatever came before; what one run does not hold is run in parts."""
    for size in sizes:
        inputs = batch(size, start=size)
        np.testing.assert_array_equal(model(inputs)["total"], inputs["left"] + 100)


def test_a_result_outlives_the_next_call(model: OnnxModel) -> None:
    """Outputs are arrays of their own, not memory that the next call overwrites."""
    first = model(batch(2))["total"]
    model(batch(2, start=50))
    np.testing.assert_array_equal(first, batch(2)["left"] + 100)


def test_inputs_that_it_does_not_name_are_ignored(model: OnnxModel) -> None:
    """All scorers of a release get the same features, and take what they need."""
    assert model({**batch(2), "other": np.zeros((7, 7))})["total"].shape == (2, 3)


def test_arrays_need_not_be_contiguous(model: OnnxModel) -> None:
    """A view with strides is read by its values."""
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    result = model({"left": wide[:, ::2], "right": wide[:, 1::2]})["total"]
    np.testing.assert_array_equal(result, wide[:, ::2] + wide[:, 1::2])


def test_threads_do_not_disturb_each_other(model: OnnxModel) -> None:
    """Eight threads with batches of different sizes each get their own sums."""

    def run(number: int) -> bool:
        inputs = batch(1 + number % 16, start=number)
        return np.array_equal(model(inputs)["total"], inputs["left"] + 100)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(400)))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"left": np.zeros((2, 3), np.float64)}, "left is float64"),
        ({"left": np.zeros((2, 4), np.float32)}, r"left is float32 \(4,\), not float32 \(3,\)"),
        ({"left": np.zeros((1, 3), np.float32)}, "one batch size"),
        (batch(0), "at least one row"),
    ],
)
def test_wrong_arrays_are_refused(
    model: OnnxModel, wrong: dict[str, np.ndarray], error: str
) -> None:
    """A type, shape or batch size that does not fit is named, not computed with."""
    with pytest.raises(ValueError, match=error):
        model({**batch(2), **wrong})


def test_a_missing_input_is_named(model: OnnxModel) -> None:
    """A feature that a scorer needs and a release lacks is not filled in."""
    with pytest.raises(KeyError, match="right"):
        model({"left": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty or damaged: when it is opened, by name."""
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.onnx is not an ONNX file to serve"):
        OnnxModel(path)


def test_weights_in_another_file_are_not_searched_for(tmp_path: Path) -> None:
    """A release has the one file: without its weights it is refused, and not run without them."""
    whole = onnx.load(encoder_file(tmp_path / "whole.onnx"))
    (tmp_path / "apart").mkdir()
    onnx.save(
        whole,
        tmp_path / "apart" / "encoder.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    (tmp_path / "apart" / "weights").unlink()
    with pytest.raises(ValueError, match="encoder.onnx"):
        OnnxModel(tmp_path / "apart" / "encoder.onnx")


def test_it_answers_in_a_fork_and_starts_no_thread(tmp_path: Path) -> None:
    """As models' processes use it: loaded and called in one, then forked, and forked again."""
    encoder_file(tmp_path / "encoder.onnx")
    done = run_alone(
        f"""
import os, sys
import numpy as np
from models.onnx_model import OnnxModel
before = len(os.listdir("/proc/self/task"))
model = OnnxModel(Path({str(tmp_path / "encoder.onnx")!r}))
pictures = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
expected = model({{"image": pictures}})["embedding"]
assert len(os.listdir("/proc/self/task")) == before
for _ in range(2):
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status))
assert np.array_equal(model({{"image": pictures}})["embedding"], expected)
sys.stdout.write("answered")
""",
        tmp_path,
    )
    assert done.stdout == "answered", done.stderr


def test_onnxruntime_writes_no_files_and_reports_nothing(tmp_path: Path) -> None:
    """From 1.29 it would, in the user's cache, and send them: not asked for, and turned off too."""
    encoder_file(tmp_path / "encoder.onnx")
    home = tmp_path / "home"
    home.mkdir()
    done = run_alone(
        f"""
import os
from models.onnx_model import OnnxModel
OnnxModel(Path({str(tmp_path / "encoder.onnx")!r}))
print(os.environ["ORT_DISABLE_TELEMETRY"])
""",
        home,
    )
    assert done.stdout == "1\n", done.stderr
    assert list(home.iterdir()) == []


def test_the_system_alarm_cuts_a_call(tmp_path: Path) -> None:
    """A time limit ends the process in the middle of a run, as it does with any native code."""
    encoder_file(tmp_path / "encoder.onnx", size_px=512)
    done = run_alone(
        f"""
import numpy as np
from models.kernels import time_limit
from models.onnx_model import OnnxModel
model = OnnxModel(Path({str(tmp_path / "encoder.onnx")!r}))
pictures = np.zeros((8, 512, 512, 3), np.uint8)
with time_limit(0.2):
    while True:
        model({{"image": pictures}})
""",
        tmp_path,
    )
    assert done.returncode == -signal.SIGALRM


def run_alone(source: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The lines in a process of their own, which is not the tests' with all its threads."""
    return subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path\n{source}"],
        cwd=REPOSITORY,
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
