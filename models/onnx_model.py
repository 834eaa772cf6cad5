"""Run an ONNX file with onnxruntime: named arrays in, named arrays out, on one core.

A session is safe to call from any number of threads. With one thread an operator it starts
none of its own, so it works in a fork of the process that loaded it too.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FeatureSpec
from models.model_inputs import FREE, taken_inputs

# Rows of one run. The session keeps the memory of its largest: of EfficientNet-Lite0 for 8
# pictures 175 MB, for 64 all that a call may take (1.1 GB); 8 are also the fastest a picture.
MAX_ROWS = 8
DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(string)": "str"}


class OnnxModel:
    """One ONNX file, callable from any number of threads."""

    can_be_forked = True

    def __init__(self, path: Path) -> None:
        """Raises ValueError when `path` is not an ONNX file that onnxruntime runs.

        Weights that lie in a file beside it are not found in a release: it has one file.
        """
        # From 1.29 it reports its use to Microsoft, keeps files in the user's cache and starts
        # a thread for that. setup.py asks for an older one; this is for whoever has another.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime  # a third of a second, that LiteRT alone does not need
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; it warns of what nobody here can change
        refused = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoModel,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
        )
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except refused as error:
            raise ValueError(f"{path.name} is not an ONNX file to serve: {error}") from error
        self.inputs, self.batch = _specs(self._session.get_inputs())
        self.outputs, _ = _specs(self._session.get_outputs())

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run arrays of shape (n, *shape), n >= 1, the same n for all.

        Takes every input that `inputs` names, and ignores others. Returns new
        arrays (n, *shape). Raises KeyError when an input is missing, ValueError
        when dtype or shape is not the file's.
        """
        arrays = taken_inputs(self.inputs, inputs)
        count = len(next(iter(arrays.values())))
        names = list(self.outputs)
        parts = [
            self._session.run(
                names, {name: one[start : start + MAX_ROWS] for name, one in arrays.items()}
            )
            for start in range(0, count, MAX_ROWS)
        ]
        return {
            name: np.concatenate(columns) if len(columns) > 1 else columns[0]
            for name, columns in zip(names, zip(*parts, strict=True), strict=True)
        }


def _specs(tensors: Sequence[Any]) -> tuple[Mapping[str, FeatureSpec], Mapping[str, int | None]]:
    """What the file says of its tensors without the batch dimension; and that, None for none."""
    specs, batch = {}, {}
    for one in tensors:
        lengths = [length if isinstance(length, int) else FREE for length in one.shape]
        dtype = DTYPES.get(one.type, one.type.removeprefix("tensor(").removesuffix(")"))
        specs[one.name] = FeatureSpec(one.name, dtype, tuple(lengths[1:]))
        batch[one.name] = lengths[0] if lengths else None
    return specs, batch
