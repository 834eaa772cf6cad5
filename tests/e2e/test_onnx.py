"""ONNX end to end: an encoder that is trained on, and one that models' processes serve."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from builders import jpeg
from onnx_files import encoder_file

from models.facts import Encoded
from models.failures import Failure, Reason, Stage
from models.features import FeatureSpec, ImageLimits, unpack_features
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.loaded import LoadedReleases
from models.manifest import MANIFEST, MAX_NUMBERS, Manifest
from models.model_process import Setup
from models.onnx_model import OnnxModel
from models.release import fetch_release
from models.training.encoder_names import EncoderRefused
from models.training.encoders import freeze_encoder
from models.training.frozen import Projection
from models.training.onnx_encoder import RELEASED, OnnxEncoder, with_projection
from models.training.samples import write_listings
from models.training.train import train
from testudo.trial import Item, try_item

SIZE_PX = 32


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Manifest]:
    """A release whose encoder is an ONNX file, trained on drawn listings."""
    folder = tmp_path_factory.mktemp("onnx")
    samples = write_listings(folder / "samples", 120, seed=2)
    name = f"onnx:{encoder_file(folder / 'mine.onnx')}"
    root = str(folder / "releases")
    return root, train(
        samples, root, size_px=SIZE_PX, epochs=1, encoder=name, report=lambda _: None
    )


def test_a_release_carries_the_file_that_it_was_trained_on(
    trained: tuple[str, Manifest], tmp_path: Path
) -> None:
    """With the projection in it; it computes what the scorers were trained on."""
    root, manifest = trained
    assert manifest.features[Stage.IMAGE] == (FeatureSpec("embedding", "float16", (6,)),)
    assert manifest.evaluation["largest_difference"][RELEASED] < 1e-3
    assert RELEASED in manifest.files
    assert "encoder.tflite" not in manifest.files
    _, folder = fetch_release(root, manifest.release, tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), np.uint8)
    means = np.concatenate([pictures.mean((1, 2)), pictures[:, 0, 0]], axis=1)
    embedded = OnnxModel(folder / RELEASED)({"image": pictures})["embedding"]
    scale = np.linalg.norm(embedded[0] - embedded[1]) / np.linalg.norm(means[0] - means[1])
    np.testing.assert_allclose(embedded - embedded[0], scale * (means - means[0]), atol=1e-3)


def test_an_item_is_scored_by_it(trained: tuple[str, Manifest]) -> None:
    """In the models' processes, as in a job, from a picture to the scores."""
    root, manifest = trained
    trial = try_item(root, manifest.release, Item(jpeg(60, 40), "a red mug"))
    assert not trial.failures
    assert {one.model for one in trial.scores} == {"category", "mismatch"}
    assert all(np.isfinite(one.score) for one in trial.scores)


def test_a_process_answers_after_a_fork_and_within_its_limits(
    trained: tuple[str, Manifest],
) -> None:
    """A batch larger than one run of the file, and pictures that are none among it."""
    root, manifest = trained
    pictures = [jpeg(60, 40, (6 * number, 90, 200)) for number in range(40)] + [b"no image"]
    process = ModelProcess(Setup(Stage.IMAGE, CallLimits(memory_bytes=200_000_000), ImageLimits()))
    try:
        answers = LoadedReleases(root, Stage.IMAGE, process).answers(manifest.release, pictures)
    finally:
        process.close()
    assert isinstance(answers[-1].result, Failure)
    assert answers[-1].result.reason == Reason.IMAGE_FORMAT_REFUSED
    specs = manifest.features[Stage.IMAGE]
    features = []
    for one in answers[:-1]:
        assert isinstance(one.result, Encoded), one.result
        features.append(unpack_features(specs, [one.result.features])["embedding"][0])
    assert len({tuple(one) for one in features}) == 40


def test_an_encoder_of_another_width_is_refused_where_it_is_loaded(
    trained: tuple[str, Manifest], tmp_path: Path
) -> None:
    """Not with the first item that it would answer wrongly."""
    root, manifest = trained
    _, folder = fetch_release(root, manifest.release, tmp_path)
    other = {**manifest.features, Stage.IMAGE: (FeatureSpec("embedding", "float16", (7,)),)}
    changed = dataclasses.replace(manifest, release="other-1", features=other)
    (folder / MANIFEST).write_text(changed.to_json(), encoding="utf-8")
    folder.rename(tmp_path / changed.release)
    process = ModelProcess(Setup(Stage.IMAGE, CallLimits(), ImageLimits()))
    try:
        (answer,) = LoadedReleases(str(tmp_path), Stage.IMAGE, process).answers(
            changed.release, [jpeg(30, 20)]
        )
    finally:
        process.close()
    assert isinstance(answer.result, Failure)
    assert answer.result.reason == Reason.RELEASE_UNAVAILABLE
    assert "encoder.onnx: gives embedding as (n, 6), not (n, 7)" in answer.result.detail


def test_many_numbers_are_brought_down_inside_the_file(tmp_path: Path) -> None:
    """Two operators more in its graph, whatever names its own tensors have."""
    path = encoder_file(tmp_path / "mine.onnx")
    encoder = OnnxEncoder(path, tmp_path, size_px=SIZE_PX)
    assert encoder.width == 6 <= MAX_NUMBERS
    chance = np.random.default_rng(0)
    projection = Projection(
        chance.normal(size=6).astype(np.float32), chance.normal(size=(6, 2)).astype(np.float32)
    )
    onnx.save(with_projection(onnx.load(path), projection), tmp_path / "projected.onnx")
    pixels = chance.integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), np.uint8)
    found = OnnxModel(tmp_path / "projected.onnx")
    assert list(found.inputs) == ["image"]
    assert list(found.outputs) == ["embedding"]
    np.testing.assert_allclose(
        found({"image": pixels})["embedding"], projection(encoder(pixels)), rtol=1e-4
    )


def test_a_file_that_does_not_fit_is_refused_with_how_to_export_it(tmp_path: Path) -> None:
    """All that is wrong with it, before a picture is read; a text that is no model too."""
    wrong = encoder_file(tmp_path / "wrong.onnx", dtype="float", batch=1)
    with pytest.raises(EncoderRefused) as refused:
        freeze_encoder(f"onnx:{wrong}", tmp_path, size_px=SIZE_PX)
    said = str(refused.value)
    assert f"{wrong}: takes image as float32, not uint8" in said
    assert f"{wrong}: takes image of exactly 1 at once" in said
    assert "torch.onnx.export(" in said
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EncoderRefused, match="is not an ONNX encoder that can be read"):
        freeze_encoder(f"onnx:{tmp_path / 'text.onnx'}", tmp_path, size_px=SIZE_PX)
