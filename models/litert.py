"""Run a LiteRT file: named arrays in, named arrays out, on one core.

Each thread that calls gets an interpreter of its own, because an interpreter is
not thread-safe; the file is mapped and shared, the working memory is not.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from models.features import FeatureSpec
from models.model_inputs import taken_inputs


class LiteRTModel:
    """One signature of a LiteRT file, callable from any number of threads.

    The batch size may change from call to call. Resizing the interpreter to it
    is all but free under XNNPACK: sizes 1 to 16 in turn cost 0.83 ms an image,
    the same as one size all the time, where padding to the next power of two on
    an interpreter for each size cost 1.03 ms and three times the memory.
    """

    can_be_forked = True

    def __init__(self, path: Path) -> None:
        """Raises ValueError when `path` is not a LiteRT file with one signature."""
        self._path = path
        self._threads = threading.local()
        interpreter = self._open()
        signatures = interpreter.get_signature_list()
        if len(signatures) != 1:
            raise ValueError(f"{path.name} has {len(signatures)} signatures, not one")
        runner = self._threads.runner = interpreter.get_signature_runner()
        self.inputs: Mapping[str, FeatureSpec] = _specs(runner.get_input_details())
        self.outputs: Mapping[str, FeatureSpec] = _specs(runner.get_output_details())
        self.batch: Mapping[str, int | None] = {
            name: next(iter(one["shape_signature"].tolist()), None)
            for name, one in runner.get_input_details().items()
        }

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run arrays of shape (n, *shape), n >= 1, the same n for all.

        Takes every input that `inputs` names, and ignores others. Returns new
        arrays (n, *shape). Raises KeyError when an input is missing, ValueError
        when dtype or shape is not the file's.
        """
        result: dict[str, np.ndarray] = self._runner()(**taken_inputs(self.inputs, inputs))
        return result

    def _runner(self) -> Any:
        """This thread's interpreter, made when the thread first calls."""
        runner = getattr(self._threads, "runner", None)
        if runner is None:
            runner = self._threads.runner = self._open().get_signature_runner()
        return runner

    def _open(self) -> Interpreter:
        try:
            return Interpreter(model_path=str(self._path), num_threads=1)
        except ValueError as error:
            raise ValueError(f"{self._path.name} is not a LiteRT file: {error}") from error


def _specs(details: Mapping[str, Mapping[str, Any]]) -> dict[str, FeatureSpec]:
    """What the file says of its tensors, without the batch dimension."""
    return {
        name: FeatureSpec(
            name,
            np.dtype(one["dtype"]).name,
            tuple(int(length) for length in one["shape_signature"][1:]),
        )
        for name, one in sorted(details.items())
    }
