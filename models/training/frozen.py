"""Encoders that stay as they came: what training asks of one, and what fits it to the join."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from models.manifest import MAX_NUMBERS
from models.training.evaluation import Run

MAX_FITTED = 20_000  # pictures that components are found from
MAX_SAMPLES = 32


class Projection(NamedTuple):
    """Features of a frozen encoder to the embedding: (rows - mean) @ matrix."""

    mean: np.ndarray  # float32 (width,)
    matrix: np.ndarray  # float32 (width, numbers)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self.mean) @ self.matrix


class FrozenEncoder(ABC):
    """Encodes pictures as its file will in service; their features are all that training sees."""

    width: int

    def __init__(self, size_px: int) -> None:
        self.samples = np.zeros((0, size_px, size_px, 3), np.uint8)  # the first, to check with

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Features, float32 (n, width), of n >= 1 pictures, uint8 (n, s, s, 3)."""
        self.samples = np.concatenate([self.samples, pixels[: MAX_SAMPLES - len(self.samples)]])
        return self._features(pixels)

    @abstractmethod
    def _features(self, pixels: np.ndarray) -> np.ndarray:
        """Of the file that `write` brings into a release, before it is projected."""

    @abstractmethod
    def write(self, folder: Path, projection: Projection) -> tuple[str, Run]:
        """Write the encoder that a release serves into `folder`.

        Returns the file's name, and what the file has to compute.
        """


def fit_projection(features: np.ndarray, rows: np.ndarray, *, seed: int) -> Projection:
    """The components in which `rows` differ most, MAX_NUMBERS at most, scaled to around 1."""
    some = features[np.sort(np.random.default_rng(seed).permutation(rows)[:MAX_FITTED])]
    width = features.shape[1]
    count = min(MAX_NUMBERS, width, len(some))
    if count < width and count:
        found = PCA(count, random_state=seed).fit(some)
        mean, matrix = found.mean_, found.components_.T
    else:
        mean = some.mean(axis=0) if len(some) else np.zeros(width)
        matrix = np.eye(width, min(width, MAX_NUMBERS))
    spread = np.sqrt(np.mean(((some - mean) @ matrix) ** 2)) if len(some) else 1.0
    scaled = matrix / max(float(spread), 1e-6)
    return Projection(mean.astype(np.float32), scaled.astype(np.float32))
