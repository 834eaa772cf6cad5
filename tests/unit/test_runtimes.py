"""Every runtime of a release's models: the same calls, named inputs and outputs, any threads.

What one of them alone does stands in the tests of that one.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import litert_files
import numpy as np
import onnx_files
import pytest

from models.onnx_model import MAX_ROWS
from models.runtimes import RUNTIMES, Model

MAKERS = {".tflite": litert_files.adding_file, ".onnx": onnx_files.adding_file}


@pytest.fixture(params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """Adds `left` and `right`, both float32 (n, 3), to `total`."""
    return RUNTIMES[request.param](MAKERS[request.param](tmp_path / f"adding{request.param}"))


def batch(size: int, start: float = 0.0) -> dict[str, np.ndarray]:
    left = np.arange(size * 3, dtype=np.float32).reshape(size, 3) + np.float32(start)
    return {"left": left, "right": np.full((size, 3), 100, np.float32)}


@pytest.mark.parametrize("sizes", [(1, 16, 3, 1), (MAX_ROWS, MAX_ROWS + 1, 64)])
def test_any_batch_size_is_one_answer_a_row(model: Model, sizes: tuple[int, ...]) -> None:
    """In order, whatever came before; what one run does not hold is run in parts."""
    for size in sizes:
        inputs = batch(size, start=size)
        np.testing.assert_array_equal(model(inputs)["total"], inputs["left"] + 100)


def test_a_result_outlives_the_next_call(model: Model) -> None:
    """Outputs are arrays of their own, not memory that the next call overwrites."""
    first = model(batch(2))["total"]
    model(batch(2, start=50))
    np.testing.assert_array_equal(first, batch(2)["left"] + 100)


def test_inputs_that_it_does_not_name_are_ignored(model: Model) -> None:
    """All scorers of a release get the same features, and take what they need."""
    assert model({**batch(2), "other": np.zeros((7, 7))})["total"].shape == (2, 3)


def test_arrays_need_not_be_contiguous(model: Model) -> None:
    """A view with strides is read by its values."""
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    result = model({"left": wide[:, ::2], "right": wide[:, 1::2]})["total"]
    np.testing.assert_array_equal(result, wide[:, ::2] + wide[:, 1::2])


def test_threads_do_not_disturb_each_other(model: Model) -> None:
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
def test_wrong_arrays_are_refused(model: Model, wrong: dict[str, np.ndarray], error: str) -> None:
    """A type, shape or batch size that does not fit is named, not computed with."""
    with pytest.raises(ValueError, match=error):
        model({**batch(2), **wrong})


def test_a_missing_input_is_named(model: Model) -> None:
    """A feature that a scorer needs and a release lacks is not filled in."""
    with pytest.raises(KeyError, match="right"):
        model({"left": np.zeros((1, 3), np.float32)})
