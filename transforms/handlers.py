"""Model handlers for RunInference: one for each kind of model in a release.

A batch may hold items of several releases; each is scored by its own. The models
themselves run in a process of their own (models.isolation), one a stage, shared by
the worker's threads.
"""

import contextlib
import gc
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from apache_beam.ml.inference.base import ModelHandler

from models.facts import Score, TextFacts
from models.failures import Failure, Stage
from models.features import ImageLimits
from models.isolation import model_process
from models.kernels import CallLimits, Seen, Sides
from models.loaded import LoadedReleases
from models.manifest import ReleaseError
from models.model_process import Setup
from models.release import read_pointer
from transforms.bugs import counted
from transforms.records import DeadLetter, Fetched, Half, Item, Joined, Scored

ExampleT = TypeVar("ExampleT", Fetched, Item, Joined)
AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")


class ReleaseHandler(
    ModelHandler[ExampleT, AnswerT, LoadedReleases], Generic[ExampleT, AnswerT, ResultT]
):
    """Answers every example, in whichever releases they are, with a result or a failure."""

    stage: Stage

    def __init__(
        self,
        *,
        releases: str,
        batch_size: int,
        calls: CallLimits = CallLimits(),
        images: ImageLimits = ImageLimits(),
    ) -> None:
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._root = releases
        self._setup = Setup(self.stage, calls, images)

    @abstractmethod
    def item(self, example: ExampleT) -> Any:
        """What the model reads of one example."""

    @abstractmethod
    def answer(self, example: ExampleT, result: ResultT | Failure, spent_us: int) -> AnswerT:
        """The record that leaves the stage for one example."""

    def load_model(self) -> LoadedReleases:
        """Load what `current.json` points at, so that no item waits for it.

        What cannot be loaded now is tried again, and reported, item by item.
        """
        releases = LoadedReleases(self._root, self.stage, model_process(self._setup))
        with contextlib.suppress(ReleaseError):
            for release in read_pointer(self._root).releases:
                releases.prepare(release)
        # The modules loaded by now are no garbage: a full collection that walks
        # them all stops every thread for a good while.
        gc.freeze()
        return releases

    def run_inference(
        self,
        batch: Sequence[ExampleT],
        model: LoadedReleases,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[AnswerT]:
        by_release: dict[str, list[ExampleT]] = {}
        for example in batch:
            by_release.setdefault(example.envelope.release, []).append(example)
        return [
            self.answer(example, counted(answer.result), answer.spent_us)
            for release, examples in by_release.items()
            for example, answer in zip(
                examples,
                model.answers(release, [self.item(example) for example in examples]),
                strict=True,
            )
        ]

    @abstractmethod
    def size_bytes(self, example: ExampleT) -> int:
        """What the model reads of one example."""

    def get_num_bytes(self, batch: Sequence[ExampleT]) -> int:
        """For Beam's metrics of a batch; its own way is to pickle the whole batch."""
        return sum(map(self.size_bytes, batch))

    def get_metrics_namespace(self) -> str:
        return f"testudo_{self.stage}"


class ImageHandler(ReleaseHandler[Fetched, Half, Seen]):
    """Image file -> image half with its embedding, in the dtype of the release."""

    stage = Stage.IMAGE

    def item(self, example: Fetched) -> bytes:
        return example.data

    def size_bytes(self, example: Fetched) -> int:
        return len(example.data)

    def answer(self, example: Fetched, result: Seen | Failure, spent_us: int) -> Half:
        if isinstance(result, Failure):
            return failed_image(example.envelope, result, example.spent_us)
        spent = {**example.spent_us, "decode": result.decode_us, "encode": spent_us}
        return Half(Stage.IMAGE, example.envelope, result.features, None, result.image, None, spent)


def failed_image(envelope: Any, failure: Failure, spent_us: Mapping[str, int]) -> Half:
    return Half(Stage.IMAGE, envelope, b"", failure, None, None, spent_us)


class TextHandler(ReleaseHandler[Item, Half, bytes]):
    """Item -> text half with the features of its text; a blank text has none, as in training."""

    stage = Stage.TEXT

    def item(self, example: Item) -> str:
        return example.text

    def size_bytes(self, example: Item) -> int:
        return len(example.text)

    def answer(self, example: Item, result: bytes | Failure, spent_us: int) -> Half:
        features, failure = (b"", result) if isinstance(result, Failure) else (result, None)
        facts = TextFacts(len(example.text)) if example.text else None
        spent = {"text": spent_us}
        return Half(Stage.TEXT, example.envelope, features, failure, None, facts, spent)


class ScorerHandler(ReleaseHandler[Joined, Scored | DeadLetter, list[Score]]):
    """Joined item -> the scores of all scorers of its release."""

    stage = Stage.SCORE

    def item(self, example: Joined) -> Sides:
        return Sides(example.image_features, example.text_features)

    def size_bytes(self, example: Joined) -> int:
        return len(example.image_features) + len(example.text_features)

    def answer(
        self, example: Joined, result: list[Score] | Failure, spent_us: int
    ) -> Scored | DeadLetter:
        now_us = time.time_ns() // 1000
        if isinstance(result, Failure):
            return DeadLetter(example.envelope, [result], now_us)
        return Scored(example, result, spent_us, now_us)
