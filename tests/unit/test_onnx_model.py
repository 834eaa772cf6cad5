"""ONNX models: what a file says of itself, refusals, forks; nothing reported.

The files under test are written by hand (tests/onnx_files.py), so that no test waits for
TensorFlow or needs PyTorch.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx_files import adding_file, encoder_file

from models.features import FeatureSpec
from models.onnx_model import OnnxModel

REPOSITORY = Path(__file__).parents[2]
LONGEST_S = 60


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    return OnnxModel(adding_file(tmp_path / "adding.onnx"))


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
