"""Kernels: what models do to a batch of items, without a word of Beam.

One for each kind of model in a release. They run in a process of their own
(models.model_process), so that nothing an item does to them ends a worker, and
in the plain loop of the bench. Enters a batch; leaves an `Answer` an item, in
order. A call that raises loses only the culprit: the batch is halved until it
stands alone.
"""

import contextlib
import dataclasses
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from models.facts import Encoded, ImageFacts, Score, Scores
from models.failures import Failure, Reason, Stage, attempt
from models.features import (
    ImageLimits,
    decode_image,
    normalise_text,
    pack_features,
    unpack_features,
    widened,
)
from models.functions import DECIDE, PREPARE_TEXT, functions_of
from models.manifest import TEXT_TRANSFORM, Manifest, presence_of
from models.model_checks import load_encoder, load_scorers
from models.text_transform import TextTransform

ResultT = TypeVar("ResultT")


@dataclasses.dataclass(frozen=True)
class CallLimits:
    """What decoding one image, and calling one model, may take; more than that is cut."""

    decode_s: float = 10.0
    call_s: float = 30.0
    memory_bytes: int = 1_000_000_000  # beyond what the loaded models take


class Answer(NamedTuple):
    """What became of one item, and its share of the model's time."""

    result: Any  # a Failure, or what the kernel gives
    spent_us: int


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the process by SIGALRM when what stands within takes longer.

    The signal keeps its default action: it works whatever the native code of a
    decoder or model does at that moment, where a Python handler would wait for it.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


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


def _tell_nobody(first: int, count: int) -> None:
    pass


def _us_since(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1000


class _Kernel(ABC):
    """One stage's part of one release, loaded."""

    stage: Stage
    can_be_forked = True  # works in a fork of the process that loaded it
    opens_files = True  # when it is called

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        calls: CallLimits,
        images: ImageLimits = ImageLimits(),
    ) -> None:
        self._manifest = manifest
        self._calls = calls
        self._images = images
        # Told which items of the batch, the first and how many, the next call is about.
        self.at: Callable[[int, int], None] = _tell_nobody
        self._functions = functions_of(manifest, folder)
        self._load(folder)

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Load this stage's files of the release in `folder`."""

    def _call(
        self,
        call: Callable[[Sequence[Any]], list[ResultT]],
        batch: Sequence[Any],
        count: int,
    ) -> list[Answer]:
        """An answer an item, each call of the model within its time.

        `count` is that of the kernel's batch, of which some may have failed before.
        """
        if not batch:
            return []

        def limited(part: Sequence[Any]) -> list[ResultT]:
            self.at(0, count)
            with time_limit(self._calls.call_s):
                return call(part)

        started_ns = time.perf_counter_ns()
        results = isolate(self.stage, limited, batch)
        spent_us = _us_since(started_ns) // len(batch)
        return [Answer(result, spent_us) for result in results]

    def _call_on(self, number: int, function: Callable[..., Any], *arguments: Any) -> Answer:
        """The answer of a function of the release for the item of that number in the batch."""
        self.at(number, 1)
        started_ns = time.perf_counter_ns()
        with time_limit(self._calls.call_s):
            result = attempt(self.stage, Reason.BUG, function, *arguments)
        return Answer(result, _us_since(started_ns))


class ImageKernel(_Kernel):
    """Image file -> Encoded: decoded to the release's square, then encoded in batches."""

    stage = Stage.IMAGE

    def _load(self, folder: Path) -> None:
        self._model = load_encoder(self._manifest, folder)
        self.can_be_forked = self._model.can_be_forked

    def __call__(self, batch: Sequence[bytes]) -> list[Answer]:
        decoded = []
        for number, data in enumerate(batch):
            self.at(number, 1)
            decoded.append(self._decode(data))
        good = [one for one in decoded if not isinstance(one, Failure)]
        pixels = [one[0] for one in good]
        encoded = iter(self._call(self._encode, pixels, len(batch)))
        return [
            Answer(one, 0) if isinstance(one, Failure) else _with_facts(next(encoded), *one[1:])
            for one in decoded
        ]

    def _decode(self, data: bytes) -> tuple[np.ndarray, ImageFacts, int] | Failure:
        started_ns = time.perf_counter_ns()
        with time_limit(self._calls.decode_s):
            decoded = attempt(self.stage, Reason.BUG, self._prepare, data)
        return decoded if isinstance(decoded, Failure) else (*decoded, _us_since(started_ns))

    def _prepare(self, data: bytes) -> tuple[np.ndarray, ImageFacts]:
        """The square that the encoder reads. Raises Rejected."""
        size_px = self._manifest.image_size_px
        pixels, facts = decode_image(data, size_px=size_px, limits=self._images)
        return self._functions.prepare_image(pixels), facts

    def _encode(self, pixels: Sequence[np.ndarray]) -> list[bytes]:
        arrays = self._model({"image": np.stack(pixels)})
        return pack_features(self._manifest.features[Stage.IMAGE], arrays)


def _with_facts(answer: Answer, image: ImageFacts, decode_us: int) -> Answer:
    if isinstance(answer.result, Failure):
        return answer
    return answer._replace(result=Encoded(answer.result, image._asdict(), {"decode": decode_us}))


class TextKernel(_Kernel):
    """Text -> Encoded; a blank one has no features, as in training."""

    stage = Stage.TEXT
    opens_files = False

    def _load(self, folder: Path) -> None:
        specs = self._manifest.features[Stage.TEXT]
        self._transform = TextTransform(folder / TEXT_TRANSFORM, specs)
        self._transform(["a text"])  # the first call compiles, once for all that are forked
        self._prepares = PREPARE_TEXT in self._functions.names
        self.opens_files = self._prepares  # what it imports when it is called

    def __call__(self, batch: Sequence[str]) -> list[Answer]:
        if not self._prepares:
            return self._call(self._features, batch, len(batch))
        prepare = self._functions.prepare_text
        prepared = [self._call_on(number, prepare, text) for number, text in enumerate(batch)]
        good = [one.result for one in prepared if not isinstance(one.result, Failure)]
        answers = iter(self._call(self._features, good, len(batch)))
        return [
            one if isinstance(one.result, Failure) else _as_sent(next(answers), text, one.spent_us)
            for one, text in zip(prepared, batch, strict=True)
        ]

    def _features(self, texts: Sequence[str]) -> list[Encoded]:
        features = self._transform(texts)
        return [
            Encoded(one if normalise_text(text) else b"", text_facts(text), {})
            for text, one in zip(texts, features, strict=True)
        ]


def _as_sent(answer: Answer, text: str, prepare_us: int) -> Answer:
    """The answer for a prepared text, with the facts of the text that was sent."""
    result = answer.result
    if not isinstance(result, Failure):
        result = result._replace(facts=text_facts(text))
    return Answer(result, answer.spent_us + prepare_us)


class ScoreKernel(_Kernel):
    """Features by branch, and fields as JSON -> Scores: of all scorers of the release.

    One step runs them all, so a release may add or drop a scorer without any
    change to the running graph.
    """

    stage = Stage.SCORE

    def _load(self, folder: Path) -> None:
        self._models = load_scorers(self._manifest, folder)
        self.can_be_forked = all(one.can_be_forked for one in self._models.values())

    def __call__(self, batch: Sequence[tuple[Mapping[str, bytes], str]]) -> list[Answer]:
        features = [one for one, _ in batch]
        answers = map(self._finite, self._call(self._scores, features, len(batch)))
        if DECIDE not in self._functions.names:
            return list(answers)
        return [
            answer if isinstance(answer.result, Failure) else self._decided(number, answer, fields)
            for number, (answer, (_, fields)) in enumerate(zip(answers, batch, strict=True))
        ]

    def _decided(self, number: int, answer: Answer, fields_json: str) -> Answer:
        scores = answer.result.scores
        decided = self._call_on(number, self._functions.decide, scores, fields_json)
        result = decided.result
        if not isinstance(result, Failure):
            result = Scores(scores, result)
        return Answer(result, answer.spent_us + decided.spent_us)

    def _scores(self, batch: Sequence[Mapping[str, bytes]]) -> list[Scores]:
        inputs = scorer_inputs(self._manifest, batch)
        scores: list[list[Score]] = [[] for _ in batch]
        for scorer in self._manifest.scorers:
            needed = {name: inputs[name] for name in scorer.inputs}
            columns = self._models[scorer.name](needed)["scores"]
            for row, values in zip(scores, columns.tolist(), strict=True):
                row.extend(scorer.scores(values))
        return [Scores(one) for one in scores]

    def _finite(self, answer: Answer) -> Answer:
        result = answer.result
        if isinstance(result, Failure) or np.isfinite([one.number for one in result.scores]).all():
            return answer
        failure = Failure(self.stage, Reason.MODEL_OUTPUT_INVALID, "a score is not finite")
        return answer._replace(result=failure)


def scorer_inputs(
    manifest: Manifest, batch: Sequence[Mapping[str, bytes]]
) -> Mapping[str, np.ndarray]:
    """Every array that a scorer of this release may read, (batch, *shape).

    The features of a branch that an item has nothing for are 0, and so is its `has_<branch>`.
    """
    inputs: dict[str, np.ndarray] = {}
    for branch, specs in manifest.features.items():
        packed = [item.get(branch, b"") for item in batch]
        arrays = unpack_features(specs, packed)
        inputs |= {name: widened(array) for name, array in arrays.items()}
        presence = presence_of(branch)
        inputs[presence.name] = np.array([[bool(one)] for one in packed], presence.dtype)
    return inputs


def text_facts(text: str) -> dict[str, int] | None:
    return {"length_chars": len(text)} if text else None
