"""A team's own functions: one Python file that a release carries, called item by item.

    prepare_text(text: str) -> str                              before it is normalised
    prepare_image(image: PIL.Image.Image) -> PIL.Image.Image    of the decoded square
    decide(scores, fields) -> dict                              after the scorers

Each may be absent. Training and the models' processes call them through this module, and
nobody else calls them, so that a model is served what it was trained on. The file is code
that the team trusts, as the models beside it; what it does with an item is not.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
from PIL import Image

from models.facts import Score
from models.failures import Failure, Reason, Rejected, Stage, TestudoError, attempt
from models.manifest import FUNCTIONS, Manifest

PREPARE_TEXT, PREPARE_IMAGE, DECIDE = NAMES = ("prepare_text", "prepare_image", "decide")
MAX_DECISIONS_BYTES = 10_000


class FunctionsRefused(TestudoError):
    """A file that cannot be imported, or has none of the functions."""


class Functions:
    """The functions of one file; without a path there are none, and nothing is changed.

    Whatever a function raises, and what it gives and must not, is raised as Rejected:
    FUNCTION_FAILED, with the function's name, the error's type, the beginning of its text
    and the line of the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Import the file. Raises FunctionsRefused; OSError when it cannot be read."""
        self.source = b"" if path is None else path.read_bytes()
        self._found = {} if path is None else _functions_in(path, self.source)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the functions that there are."""
        return tuple(self._found)

    def prepare_text(self, text: str) -> str:
        """The text that the text transform reads. No text, "", is not given to the function."""
        if not text or PREPARE_TEXT not in self._found:
            return text
        prepared = self._call(PREPARE_TEXT, text)
        if not isinstance(prepared, str):
            raise _refused(PREPARE_TEXT, f"gave {type(prepared).__name__}, not a str")
        return prepared

    def prepare_image(self, pixels: np.ndarray) -> np.ndarray:
        """The square that the encoder reads, of the decoded one: both uint8 RGB (s, s, 3), 0-255.

        What the function gives is converted to RGB and resized to the square.
        """
        if PREPARE_IMAGE not in self._found:
            return pixels
        image = self._call(PREPARE_IMAGE, Image.fromarray(pixels))
        if not isinstance(image, Image.Image):
            raise _refused(PREPARE_IMAGE, f"gave {type(image).__name__}, not a PIL image")
        return _checked(PREPARE_IMAGE, _to_square, image, len(pixels))

    def decide(self, scores: Sequence[Score], fields_json: str) -> str:
        """What the function makes of an item, as a JSON object; "" where there is no function.

        `fields_json` is what the sender said of the item beside text and image: a JSON
        object, or "" for nothing, which the function gets as {}.
        """
        if DECIDE not in self._found:
            return ""
        by_scorer: dict[str, Any] = {}  # probabilities by label, or a number
        for one in scores:
            if one.label is None:
                by_scorer[one.model] = one.value
            else:
                by_scorer.setdefault(one.model, {})[one.label] = one.score
        decisions = self._call(DECIDE, by_scorer, json.loads(fields_json or "{}"))
        if not isinstance(decisions, dict):
            raise _refused(DECIDE, f"gave {type(decisions).__name__}, not a dict")
        encoded = _checked(DECIDE, _to_json, decisions)
        if len(encoded) > MAX_DECISIONS_BYTES:
            size = f"{len(encoded):,} bytes of JSON, allowed are {MAX_DECISIONS_BYTES:,}"
            raise _refused(DECIDE, f"gave {size}")
        return encoded.decode()

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(name, self._found[name], *arguments)


NO_FUNCTIONS = Functions()


def functions_of(manifest: Manifest, folder: Path) -> Functions:
    """Those of the release in `folder`: of a file that its manifest has a digest of."""
    return Functions(folder / FUNCTIONS) if FUNCTIONS in manifest.files else NO_FUNCTIONS


def _functions_in(path: Path, source: bytes) -> dict[str, Callable[..., Any]]:
    # The stage is the caller's to say: of this failure only the words are read.
    module = attempt(Stage.SCORE, Reason.RELEASE_UNAVAILABLE, _imported, path, source)
    if isinstance(module, Failure):
        raise FunctionsRefused(f"{path.name} cannot be imported: {module.detail}")
    found = {name: getattr(module, name) for name in NAMES if hasattr(module, name)}
    if not found:
        raise FunctionsRefused(f"{path.name} has none of the functions {', '.join(NAMES)}")
    if odd := [name for name, one in found.items() if not callable(one)]:
        raise FunctionsRefused(f"{path.name}: {odd[0]} is not a function")
    return found


def _imported(path: Path, source: bytes) -> ModuleType:
    name = f"functions_{hashlib.sha256(source).hexdigest()[:16]}"  # two releases do not mix
    loader = _Source(name, str(path), source)
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # noqa: S101 - for mypy: a loader is given
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses of the file look for it
    loader.exec_module(module)
    return module


class _Source(SourceFileLoader):
    """Imports these bytes: no compiled copy, which has no digest, is read or left beside them."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self._source, self.path)
        return code


def _checked(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Raises Rejected for whatever the call raises."""
    result = attempt(Stage.SCORE, Reason.FUNCTION_FAILED, call, *arguments)
    if isinstance(result, Failure):
        raise _refused(name, result.detail)
    return result


def _refused(name: str, why: str) -> Rejected:
    return Rejected(Reason.FUNCTION_FAILED, f"{name}: {why}")


def _to_square(image: Image.Image, size_px: int) -> np.ndarray:
    image = image.convert("RGB")
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _to_json(decisions: Mapping[str, Any]) -> bytes:
    """Raises ValueError or TypeError for what JSON cannot hold, infinity and nan among it."""
    text = json.dumps(
        decisions, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
    )
    return text.encode()


def _plain(value: object) -> Any:
    """A number of numpy's as Python's: models' users have many of them."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that JSON can hold")
