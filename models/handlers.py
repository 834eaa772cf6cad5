"""Model handlers for RunInference: one for each kind of model in a release.

A batch may hold items of several releases; each is scored by its own. A call
that raises loses only the culprit: the batch is halved until it stands alone.
Models are loaded once a process and release, and shared by its threads.
"""

import contextlib
import functools
import gc
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from models.features import FeatureSpec, normalise_text, pack_features, unpack_features
from models.litert import LiteRTModel
from models.loaded import Releases
from models.release import (
    ENCODER,
    PRESENCE,
    TEXT_TRANSFORM,
    Manifest,
    ReleaseError,
    read_pointer,
)
from models.text_transform import TextTransform
from transforms.failures import attempt
from transforms.records import (
    DeadLetter,
    Decoded,
    Failure,
    Half,
    Item,
    Joined,
    Reason,
    Score,
    Scored,
    Stage,
    TextFacts,
)

LoadedT = TypeVar("LoadedT")
ExampleT = TypeVar("ExampleT", Decoded, Item, Joined)
AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")


def isolate(
    stage: Stage, call: Callable[[Sequence[Any]], list[ResultT]], batch: Sequence[Any]
) -> list[ResultT | Failure]:
    """Call on the batch; where that raises, on its halves, down to the single culprit."""
    answers = attempt(stage, Reason.MODEL_FAILED, _one_each, call, batch)
    if not isinstance(answers, Failure):
        return list(answers)
    if len(batch) == 1:
        return [answers]
    middle = len(batch) // 2
    return isolate(stage, call, batch[:middle]) + isolate(stage, call, batch[middle:])


def _one_each(
    call: Callable[[Sequence[Any]], list[ResultT]], batch: Sequence[Any]
) -> list[ResultT]:
    answers = call(batch)
    if len(answers) != len(batch):
        raise ValueError(f"{len(answers)} answers to {len(batch)} items")
    return answers


class ReleaseHandler(
    ModelHandler[ExampleT, AnswerT, Releases[LoadedT]], Generic[ExampleT, AnswerT, LoadedT, ResultT]
):
    """Answers every example, in whichever releases they are, with a result or a failure."""

    stage: Stage

    def __init__(self, *, releases: str, batch_size: int) -> None:
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._root = releases

    @abstractmethod
    def load(self, manifest: Manifest, folder: Path) -> LoadedT:
        """Load this handler's part of a release."""

    @abstractmethod
    def call(self, loaded: LoadedT, batch: Sequence[ExampleT]) -> list[ResultT]:
        """The model itself: one result an example, in order."""

    @abstractmethod
    def answer(self, example: ExampleT, result: ResultT | Failure, spent_us: int) -> AnswerT:
        """The record that leaves the stage for one example."""

    def load_model(self) -> Releases[LoadedT]:
        """Load what `current.json` points at, so that no item waits for it.

        What cannot be loaded now is tried again, and reported, item by item.
        """
        releases = Releases(self._root, self.load)
        with contextlib.suppress(ReleaseError):
            for release in read_pointer(self._root).releases:
                attempt(self.stage, Reason.RELEASE_UNAVAILABLE, releases.get, release)
        # The modules loaded by now, TensorFlow's above all, are no garbage: a full
        # collection that walks them all stops every thread for a quarter of a second.
        gc.freeze()
        return releases

    def run_inference(
        self,
        batch: Sequence[ExampleT],
        model: Releases[LoadedT],
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[AnswerT]:
        by_release: dict[str, list[ExampleT]] = {}
        for example in batch:
            by_release.setdefault(example.envelope.release, []).append(example)
        answers = []
        for release, examples in by_release.items():
            loaded = attempt(self.stage, Reason.RELEASE_UNAVAILABLE, model.get, release)
            started_ns = time.perf_counter_ns()
            results: list[ResultT | Failure]
            if isinstance(loaded, Failure):
                results = [loaded] * len(examples)
            else:
                results = isolate(self.stage, functools.partial(self.call, loaded), examples)
            spent_us = (time.perf_counter_ns() - started_ns) // (1000 * len(examples))
            answers += [
                self.answer(example, result, spent_us)
                for example, result in zip(examples, results, strict=True)
            ]
        return answers

    @abstractmethod
    def size_bytes(self, example: ExampleT) -> int:
        """What the model reads of one example."""

    def get_num_bytes(self, batch: Sequence[ExampleT]) -> int:
        """For Beam's metrics of a batch; its own way is to pickle the whole batch."""
        return sum(map(self.size_bytes, batch))

    def get_metrics_namespace(self) -> str:
        return f"testudo_{self.stage}"


class Encoder(NamedTuple):
    model: LiteRTModel
    size_px: int
    features: tuple[FeatureSpec, ...]


class EncoderHandler(ReleaseHandler[Decoded, Half, Encoder, bytes]):
    """Decoded image -> image half with its embedding, in the dtype of the release."""

    stage = Stage.IMAGE

    def load(self, manifest: Manifest, folder: Path) -> Encoder:
        model = LiteRTModel(folder / ENCODER)
        return Encoder(model, manifest.image_size_px, manifest.image_features)

    def call(self, loaded: Encoder, batch: Sequence[Decoded]) -> list[bytes]:
        pixels = np.frombuffer(b"".join(example.pixels for example in batch), np.uint8)
        shape = (len(batch), loaded.size_px, loaded.size_px, 3)
        arrays = loaded.model({"image": pixels.reshape(shape)})
        return pack_features(loaded.features, arrays)

    def size_bytes(self, example: Decoded) -> int:
        return len(example.pixels)

    def answer(self, example: Decoded, result: bytes | Failure, spent_us: int) -> Half:
        features, failure = (b"", result) if isinstance(result, Failure) else (result, None)
        spent = {**example.spent_us, "encode": spent_us}
        return Half(Stage.IMAGE, example.envelope, features, failure, example.image, None, spent)


class TextHandler(ReleaseHandler[Item, Half, TextTransform, bytes]):
    """Item -> text half with the features of its text; a blank text has none, as in training."""

    stage = Stage.TEXT

    def load(self, manifest: Manifest, folder: Path) -> TextTransform:
        return TextTransform(folder / TEXT_TRANSFORM, manifest.text_features)

    def call(self, loaded: TextTransform, batch: Sequence[Item]) -> list[bytes]:
        features = loaded([item.text for item in batch])
        return [
            one if normalise_text(item.text) else b""
            for item, one in zip(batch, features, strict=True)
        ]

    def size_bytes(self, example: Item) -> int:
        return len(example.text)

    def answer(self, example: Item, result: bytes | Failure, spent_us: int) -> Half:
        features, failure = (b"", result) if isinstance(result, Failure) else (result, None)
        facts = TextFacts(len(example.text)) if example.text else None
        spent = {"text": spent_us}
        return Half(Stage.TEXT, example.envelope, features, failure, None, facts, spent)


class Scorers(NamedTuple):
    manifest: Manifest
    models: Mapping[str, LiteRTModel]


class ScorerHandler(ReleaseHandler[Joined, Scored | DeadLetter, Scorers, list[Score]]):
    """Joined item -> the scores of all scorers of its release.

    One step runs them all, so a release may add or drop a scorer without any
    change to the running graph.
    """

    stage = Stage.SCORE

    def load(self, manifest: Manifest, folder: Path) -> Scorers:
        models = {scorer.name: LiteRTModel(folder / scorer.path) for scorer in manifest.scorers}
        return Scorers(manifest, models)

    def call(self, loaded: Scorers, batch: Sequence[Joined]) -> list[list[Score]]:
        inputs = scorer_inputs(loaded.manifest, batch)
        scores: list[list[Score]] = [[] for _ in batch]
        for scorer in loaded.manifest.scorers:
            needed = {name: inputs[name] for name in scorer.inputs}
            columns = loaded.models[scorer.name](needed)["scores"]
            for row, values in zip(scores, columns.tolist(), strict=True):
                row.extend(
                    Score(scorer.name, label, value)
                    for label, value in zip(scorer.labels, values, strict=True)
                )
        return scores

    def size_bytes(self, example: Joined) -> int:
        return len(example.image_features) + len(example.text_features)

    def answer(
        self, example: Joined, result: list[Score] | Failure, spent_us: int
    ) -> Scored | DeadLetter:
        now_us = time.time_ns() // 1000
        if not isinstance(result, Failure) and not np.isfinite([s.score for s in result]).all():
            result = Failure(self.stage, Reason.MODEL_OUTPUT_INVALID, "a score is not finite")
        if isinstance(result, Failure):
            return DeadLetter(example.envelope, [result], now_us)
        return Scored(example, result, spent_us, now_us)


def scorer_inputs(manifest: Manifest, batch: Sequence[Joined]) -> dict[str, np.ndarray]:
    """Every array that a scorer of this release may read, (batch, *shape); absent sides are 0."""
    images = unpack_features(manifest.image_features, [one.image_features for one in batch])
    texts = unpack_features(manifest.text_features, [one.text_features for one in batch])
    sides = ([one.image_features for one in batch], [one.text_features for one in batch])
    presence = {
        spec.name: np.array([[bool(one)] for one in side], spec.dtype)
        for spec, side in zip(PRESENCE, sides, strict=True)
    }
    return {name: array.astype(np.float32) for name, array in images.items()} | texts | presence
