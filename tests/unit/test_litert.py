"""LiteRT models: what a file says of itself, and which are refused."""

from pathlib import Path

import pytest
from litert_files import adding_file

from models.features import FeatureSpec
from models.litert import LiteRTModel


@pytest.fixture
def model(tmp_path: Path) -> LiteRTModel:
    return LiteRTModel(adding_file(tmp_path / "adding.tflite"))


def test_the_file_says_what_it_takes_and_gives(model: LiteRTModel) -> None:
    """A release is checked against names, dtypes and shapes without the batch."""
    assert model.inputs == {
        "left": FeatureSpec("left", "float32", (3,)),
        "right": FeatureSpec("right", "float32", (3,)),
    }
    assert model.outputs == {"total": FeatureSpec("total", "float32", (3,))}


@pytest.mark.parametrize("signatures", [0, 2])
def test_a_file_without_exactly_one_signature_is_refused(tmp_path: Path, signatures: int) -> None:
    """Without one signature nobody knows which tensor is meant by a name."""
    with pytest.raises(ValueError, match=f"has {signatures} signatures"):
        LiteRTModel(adding_file(tmp_path / "adding.tflite", signatures=signatures))


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged file is refused when it is opened."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.tflite"):
        LiteRTModel(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a path with nothing there."""
    with pytest.raises(ValueError, match="missing.tflite"):
        LiteRTModel(tmp_path / "missing.tflite")
