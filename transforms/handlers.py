"""Model handlers for RunInference: one for each kind of model in a release.

A batch may hold items of several releases; each is scored by its own. The models
themselves run in a process of their own (models.isolation), one a stage, shared by
the worker's threads. A batch here is only what a bundle happens to hold: the process's
own batches are of all bundles that wait.
"""

import contextlib
import gc
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import orjson
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from models.current_pointer import current_pointer
from models.facts import Encoded, Scores
from models.failures import Failure, Stage
from models.features import ImageLimits
from models.isolation import model_process
from models.kernels import CallLimits
from models.loaded import LoadedReleases, answers_of
from models.manifest import ReleaseError
from models.model_process import Setup
from transforms.dead_letters import count_bug
from transforms.records import DeadLetter, Envelope, Fetched, Item, Joined, Part, Scored

EVICTIONS = Metrics.counter("testudo", "release_evictions")
REFRESH_S = 30.0  # how old the pointer may be when models are loaded

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
        self._batch_size = batch_size
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
        process = model_process(self._setup, self._batch_size)
        releases = LoadedReleases(self._root, self.stage, process)
        with contextlib.suppress(ReleaseError):
            releases.prepare_all(current_pointer(self._root).get(REFRESH_S))
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
        if evictions := model.take_evictions():
            EVICTIONS.inc(evictions)
        submitted = [
            (examples, model.submit(release, [self.item(example) for example in examples]))
            for release, examples in by_release.items()
        ]
        return [
            self.answer(example, count_bug(answer.result), answer.spent_us)
            for examples, answers in submitted
            for example, answer in zip(examples, answers_of(answers, len(examples)), strict=True)
        ]

    @abstractmethod
    def size_bytes(self, example: ExampleT) -> int:
        """What the model reads of one example."""

    def get_num_bytes(self, batch: Sequence[ExampleT]) -> int:
        """For Beam's metrics of a batch; its own way is to pickle the whole batch."""
        return sum(map(self.size_bytes, batch))

    def get_metrics_namespace(self) -> str:
        return f"testudo_{self.stage}"


class ImageHandler(ReleaseHandler[Fetched, Part, Encoded]):
    """Image file -> the part of the image branch, with the embedding in the release's dtype."""

    stage = Stage.IMAGE

    def item(self, example: Fetched) -> bytes:
        return example.data

    def size_bytes(self, example: Fetched) -> int:
        return len(example.data)

    def answer(self, example: Fetched, result: Encoded | Failure, spent_us: int) -> Part:
        own_us = {"encode": spent_us} if isinstance(result, Encoded) else {}
        return part_of(self.stage, example.envelope, result, {**example.spent_us, **own_us})


class TextHandler(ReleaseHandler[Item, Part, Encoded]):
    """Item -> the part of the text branch; a blank text has no features, as in training."""

    stage = Stage.TEXT

    def item(self, example: Item) -> str:
        return example.text

    def size_bytes(self, example: Item) -> int:
        return len(example.text)

    def answer(self, example: Item, result: Encoded | Failure, spent_us: int) -> Part:
        return part_of(self.stage, example.envelope, result, {"text": spent_us})


def part_of(
    branch: str, envelope: Envelope, result: Encoded | Failure, spent_us: Mapping[str, int]
) -> Part:
    """What a branch's answer is as a record."""
    if isinstance(result, Failure):
        return Part(branch, envelope, b"", result, "", spent_us)
    facts = orjson.dumps(result.facts).decode() if result.facts else ""
    return Part(branch, envelope, result.features, None, facts, {**spent_us, **result.spent_us})


class ScorerHandler(ReleaseHandler[Joined, Scored | DeadLetter, Scores]):
    """Joined item -> the scores of all scorers of its release, and what it decides."""

    stage = Stage.SCORE

    def item(self, example: Joined) -> tuple[Mapping[str, bytes], str]:
        return example.features, example.envelope.fields_json

    def size_bytes(self, example: Joined) -> int:
        return sum(map(len, example.features.values())) + len(example.envelope.fields_json)

    def answer(
        self, example: Joined, result: Scores | Failure, spent_us: int
    ) -> Scored | DeadLetter:
        now_us = time.time_ns() // 1000
        if isinstance(result, Failure):
            return DeadLetter(example.envelope, [result], now_us)
        return Scored(example, result.scores, spent_us, now_us, result.decisions)
