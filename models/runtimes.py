"""Which runtime runs a model file of a release: decided here, by what the file is.

    <stem>.tflite   LiteRT
    <stem>.onnx     onnxruntime
    <stem>/         a SavedModel, TensorFlow

`encoder` is the stem of the encoder, `scorers/<name>` that of a scorer: the manifest names
neither the runtime nor the file, so that one from before there was a choice says as much.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from models.features import FeatureSpec
from models.litert import LiteRTModel
from models.manifest import ReleaseError
from models.onnx_model import OnnxModel
from models.saved_model import SavedModel


class Model(Protocol):
    """A loaded model file. Specs leave the batch dimension out; -1 is a length left open."""

    inputs: Mapping[str, FeatureSpec]
    outputs: Mapping[str, FeatureSpec]
    batch: Mapping[str, int | None]  # of each input: -1 for any number, None for no dimension
    can_be_forked: bool  # works in a fork of the process that loaded it

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run arrays (n, *shape), n >= 1; returns new arrays (n, *shape)."""


RUNTIMES: Mapping[str, Callable[[Path], Model]] = {
    ".tflite": LiteRTModel,
    ".onnx": OnnxModel,
    "": SavedModel,  # a folder
}
KINDS = "a .tflite file, an .onnx file or the folder of a SavedModel"


def suffix_of(path: Path) -> str | None:
    """That of RUNTIMES by which a file or folder is run; None for what none of them runs."""
    if path.is_dir():
        return ""
    return path.suffix if path.suffix and path.suffix in RUNTIMES and path.is_file() else None


def find_model(folder: Path, stem: str) -> Path:
    """The one file or folder of a release for `stem`. Raises ReleaseError for none, or more."""
    paths = [folder / f"{stem}{suffix}" for suffix in RUNTIMES]
    found = [path for path in paths if suffix_of(path) is not None]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "nothing"
        raise ReleaseError(f"{stem}: found {names}, and a model is {KINDS}")
    return found[0]


def open_model(path: Path) -> Model:
    """Load it by its runtime. Raises ValueError, with the file's name, for what it cannot run."""
    suffix = suffix_of(path)
    if suffix is None:
        raise ValueError(f"{path.name} is not {KINDS}")
    return RUNTIMES[suffix](path)
