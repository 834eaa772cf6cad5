"""An encoder that is a SavedModel: TensorFlow runs it, and all else stays the same."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from builders import jpeg
from conftest import Releases
from onnx_files import encoder_file

from models.facts import Encoded
from models.failures import Failure, Reason, Stage
from models.features import FeatureSpec, ImageLimits, decode_image, unpack_features
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.loaded import LoadedReleases
from models.manifest import ENCODER, ENCODER_STEM, GOLDEN, MANIFEST, Manifest
from models.model_checks import encoder_problems, load_encoder
from models.model_process import Setup
from models.onnx_model import OnnxModel
from models.release import fetch_release, save_release
from models.saved_model import SIGNATURE, SavedModel


class Corners(tf.Module):
    """Gives the image's mean colour and its first pixel, as float32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = tf.Variable(tf.ones(size))

    @tf.function
    def encode(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(image, tf.float32)
        both = tf.concat([tf.reduce_mean(pixels, (1, 2)), pixels[:, 0, 0, :]], axis=1)
        return {"embedding": both * self.scale}


@pytest.fixture
def saved(releases: Releases, tmp_path: Path) -> tuple[str, Manifest]:
    """The first release again, with a SavedModel in the place of its LiteRT encoder."""
    first = releases.first
    bundle = tmp_path / "bundle"
    shutil.copytree(fetch_release(releases.root, first.release, tmp_path / "cache")[1], bundle)
    (bundle / ENCODER).unlink()
    for name in (MANIFEST, GOLDEN):  # what is golden is so of the other encoder
        (bundle / name).unlink()
    size_px, module = first.image_size_px, Corners(6)
    wanted = tf.TensorSpec((None, size_px, size_px, 3), tf.uint8, name="image")
    signature = module.encode.get_concrete_function(wanted)
    tf.saved_model.save(module, str(bundle / ENCODER_STEM), signatures={SIGNATURE: signature})
    root = str(tmp_path / "saved")
    return root, save_release(
        bundle,
        root,
        task="saved",
        image_size_px=size_px,
        features=first.features | {Stage.IMAGE: (FeatureSpec("embedding", "float16", (6,)),)},
        scorers=first.scorers,
        evaluation={},
    )


def test_a_saved_encoder_answers_as_its_model_says(saved: tuple[str, Manifest]) -> None:
    """In the process of the stage, within its limits, for batches of any size."""
    root, manifest = saved
    process = ModelProcess(Setup(Stage.IMAGE, CallLimits(), ImageLimits()))
    pictures = [jpeg(60, 40), jpeg(30, 20, (0, 0, 200)), b"no image"]
    try:
        loaded = LoadedReleases(root, Stage.IMAGE, process)
        answers = loaded.answers(manifest.release, pictures)
        (again,) = loaded.answers(manifest.release, pictures[:1])
    finally:
        process.close()
    for picture, answer in zip(pictures[:2], answers, strict=False):
        assert isinstance(answer.result, Encoded), answer.result
        pixels, _ = decode_image(picture, size_px=manifest.image_size_px, limits=ImageLimits())
        specs = manifest.features[Stage.IMAGE]
        found = unpack_features(specs, [answer.result.features])["embedding"][0]
        expected = [*pixels.mean((0, 1)), *pixels[0, 0]]
        np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert isinstance(answers[2].result, Failure)
    assert isinstance(again.result, Encoded), again.result
    assert again.result.features == answers[0].result.features


def test_an_encoder_that_gives_another_thing_is_refused(saved: tuple[str, Manifest]) -> None:
    """Where it is loaded, not with the first item that it would answer wrongly."""
    root, manifest = saved
    path = Path(root) / manifest.release / "manifest.json"
    path.write_text(path.read_text().replace('"embedding"', '"vector"', 1))
    process = ModelProcess(Setup(Stage.IMAGE, CallLimits(), ImageLimits()))
    try:
        (answer,) = LoadedReleases(root, Stage.IMAGE, process).answers(
            manifest.release, [jpeg(30, 20)]
        )
    finally:
        process.close()
    assert isinstance(answer.result, Failure)
    assert answer.result.reason == Reason.RELEASE_UNAVAILABLE


def saved_encoder(folder: Path, *, batch: int | None = None) -> Path:
    """The same, as TensorFlow alone saves it."""
    module, spec = Corners(6), tf.TensorSpec((batch, 32, 32, 3), tf.uint8, name="image")
    signature = module.encode.get_concrete_function(spec)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: signature})
    return folder


@pytest.mark.parametrize("kind", ["encoder.onnx", "encoder"])
def test_the_file_decides_which_runtime_runs_it(tmp_path: Path, kind: str) -> None:
    """An ONNX file and a SavedModel of the same network give the same."""
    path = tmp_path / kind
    encoder_file(path, size_px=32) if path.suffix else saved_encoder(path)
    features = {Stage.IMAGE: (FeatureSpec("embedding", "float16", (6,)),)}
    model = load_encoder(Manifest("mine-1", "mine", "", 32, features, (), {}, {}), tmp_path)
    assert model.can_be_forked == isinstance(model, OnnxModel)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    expected = np.concatenate([pictures.mean((1, 2)), pictures[:, 0, 0]], axis=1)
    np.testing.assert_allclose(model({"image": pictures})["embedding"], expected, rtol=1e-5)


def test_a_saved_model_for_a_fixed_number_is_refused(tmp_path: Path) -> None:
    """In the words that an ONNX file is refused with."""
    model = SavedModel(saved_encoder(tmp_path / "encoder", batch=4))
    said = ["takes image of exactly 4 at once: export it for any number of items"]
    assert encoder_problems(model, size_px=32) == said
