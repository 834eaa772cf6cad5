"""Model files of a release: what is refused, in which words, and which runtime runs what."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnx_files import DIMENSION, encoder_file, scorer_file, write_graph

from models.facts import Score, Scores
from models.failures import Reason, Stage
from models.features import FeatureSpec
from models.kernels import CallLimits, ScoreKernel
from models.manifest import Kind, Manifest, ReleaseError, ScorerSpec
from models.model_checks import (
    encoder_problems,
    how_to_encoder,
    load_scorers,
    offered_inputs,
)
from models.onnx_model import OnnxModel
from models.runtimes import find_model, open_model

SIZE_PX = 32
FEATURES = {
    Stage.IMAGE: (FeatureSpec("embedding", "float16", (6,)),),
    Stage.TEXT: (FeatureSpec("token_ids", "int16", (4,)),),
}


def manifest(*scorers: ScorerSpec) -> Manifest:
    return Manifest("mine-1", "mine", "", SIZE_PX, FEATURES, scorers, {}, {})


def test_a_right_encoder_has_no_problem(tmp_path: Path) -> None:
    """Of the release's width, or of any where none is given yet."""
    model = OnnxModel(encoder_file(tmp_path / "encoder.onnx"))
    assert encoder_problems(model, size_px=SIZE_PX, features=FEATURES[Stage.IMAGE]) == []
    assert encoder_problems(model, size_px=SIZE_PX) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"dtype": "float"},
            ["takes image as float32, not uint8: pixels from 0 to 255; put the cast and the "
             "scaling into the model"],
        ),
        ({"batch": 1}, ["takes image of exactly 1 at once: export it for any number of items"]),
        ({"size_px": 48}, ["takes image as (n, 48, 48, 3), not (n, 32, 32, 3)"]),
        ({"width": 5}, ["gives embedding as (n, 5), not (n, 6)"]),
        ({"gives": "vector"}, ["gives vector, and must give embedding"]),
        (
            {"takes": "input"},
            ["takes input, and must take image",
             "takes input, which it is not given: that is image"],
        ),
        (
            {"dtype": "float", "batch": 4, "size_px": 8},
            ["takes image as float32, not uint8: pixels from 0 to 255; put the cast and the "
             "scaling into the model",
             "takes image as (n, 8, 8, 3), not (n, 32, 32, 3)",
             "takes image of exactly 4 at once: export it for any number of items"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_encoder_is_said_at_once(
    tmp_path: Path, settings: dict[str, object], said: list[str]
) -> None:
    """Each thing by its name, with what was found and what is wanted."""
    model = OnnxModel(encoder_file(tmp_path / "encoder.onnx", **settings))  # type: ignore[arg-type]
    assert encoder_problems(model, size_px=SIZE_PX, features=FEATURES[Stage.IMAGE]) == said


def test_an_encoder_that_only_says_that_it_takes_any_number_is_found_out(tmp_path: Path) -> None:
    """It is tried with two pictures, because its file does not say what is fixed inside."""
    model = OnnxModel(encoder_file(tmp_path / "encoder.onnx", fixed_inside=True))
    (said,) = encoder_problems(model, size_px=SIZE_PX)
    assert said.startswith("fails on zeros for 2 items: ")


def test_a_release_has_one_file_for_a_model(tmp_path: Path) -> None:
    """None, or two of them, name no encoder."""
    with pytest.raises(ReleaseError, match=r"encoder: found nothing, and a model is a \.tflite"):
        find_model(tmp_path, "encoder")
    encoder_file(tmp_path / "encoder.onnx")
    assert find_model(tmp_path, "encoder").name == "encoder.onnx"
    (tmp_path / "encoder").mkdir()
    with pytest.raises(ReleaseError, match=r"found encoder\.onnx and encoder"):
        find_model(tmp_path, "encoder")
    (tmp_path / "encoder.h5").touch()
    with pytest.raises(ValueError, match=r"encoder\.h5 is not a \.tflite file, an \.onnx file"):
        open_model(tmp_path / "encoder.h5")


def test_scorers_are_of_any_runtime_and_take_what_they_name(tmp_path: Path) -> None:
    """A name with a dot in it is a name; what a scorer does not take is not given to it."""
    spec = ScorerSpec("v1.mood", ("good", "bad"), ("embedding", "has_text"))
    scorer_file(tmp_path / "scorers/v1.mood.onnx", labels=2, inputs={"embedding": 6, "has_text": 1})
    models = load_scorers(manifest(spec), tmp_path)
    arrays = {"embedding": np.zeros((3, 6), np.float32), "has_text": np.ones((3, 1), np.float32)}
    scores = models["v1.mood"](arrays)["scores"]
    np.testing.assert_allclose(scores, [[1 / (1 + np.e), np.e / (1 + np.e)]] * 3, rtol=1e-6)


def test_scorers_that_do_not_fit_are_refused_together(tmp_path: Path) -> None:
    """Another width, something that no branch gives, and more labels than the manifest has."""
    wide = ScorerSpec("wide", ("a", "b"), ("embedding",))
    odd = ScorerSpec("odd", ("a", "b"), ("embedding",))
    more = ScorerSpec("more", ("a", "b"), ("embedding",))
    scorer_file(tmp_path / "scorers/wide.onnx", labels=2, inputs={"embedding": 9})
    scorer_file(tmp_path / "scorers/odd.onnx", labels=2, inputs={"price": 1})
    scorer_file(tmp_path / "scorers/more.onnx", labels=3, inputs={"embedding": 6})
    with pytest.raises(ReleaseError) as refused:
        load_scorers(manifest(wide, odd, more), tmp_path)
    assert str(refused.value).split("; ") == [
        "wide.onnx: takes embedding as (n, 9), not (n, 6)",
        "odd.onnx: takes price, which it is not given: that is embedding",
        "more.onnx: gives scores as (n, 3), not (n, 2)",
    ]


def test_a_scorer_of_a_number_has_one_column(tmp_path: Path) -> None:
    """And no labels; two columns are refused."""
    price = ScorerSpec("price", (), ("embedding",), Kind.REGRESSION)
    scorer_file(tmp_path / "scorers/price.onnx", labels=2, inputs={"embedding": 6})
    with pytest.raises(ReleaseError, match=r"price\.onnx: gives scores as \(n, 2\), not \(n, 1\)"):
        load_scorers(manifest(price), tmp_path)


def test_a_number_that_is_not_finite_fails_its_item_alone(tmp_path: Path) -> None:
    """As a score does: here the logarithm of whether there is a text."""
    column = ("float", (DIMENSION, 1))
    write_graph(
        tmp_path / "scorers/price.onnx",
        [helper.make_node("Log", ["has_text"], ["scores"])],
        {"has_text": column},
        {"scores": column},
        {},
    )
    price = ScorerSpec("price", (), ("has_text",), Kind.REGRESSION)
    kernel = ScoreKernel(manifest(price), tmp_path, CallLimits())
    text, none = {Stage.TEXT: bytes(8)}, {Stage.TEXT: b""}
    good, bad = (one.result for one in kernel([(text, ""), (none, "")]))
    assert good == Scores([Score("price", None, None, value=0.0)])
    assert (bad.stage, bad.reason) == (Stage.SCORE, Reason.MODEL_OUTPUT_INVALID)


def test_scorers_are_offered_features_as_serving_widens_them() -> None:
    """And which branches an item has something for."""
    assert offered_inputs(FEATURES) == {
        "embedding": FeatureSpec("embedding", "float32", (6,)),
        "token_ids": FeatureSpec("token_ids", "int32", (4,)),
        "has_image": FeatureSpec("has_image", "float32", (1,)),
        "has_text": FeatureSpec("has_text", "float32", (1,)),
    }


def test_how_to_export_it_is_said_for_the_kind_of_file(tmp_path: Path) -> None:
    """PyTorch's call for an ONNX file, TensorFlow's for a folder; with the size that is meant."""
    said = how_to_encoder(encoder_file(tmp_path / "a.onnx"), 224)
    assert 'dynamic_axes={"image": {0: "n"}' in said
    assert said.endswith("(s is 224 here)")
    assert "tf.saved_model.save" in how_to_encoder(tmp_path, 224)
