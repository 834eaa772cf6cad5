"""Join: image halves and text halves enter; joined items or dead letters leave.

Both branches answer for every item, so the join only has to wait for two
halves of one delivery: a GroupByKey that fires on every second element. It
keeps no state of its own and sets no timer. A half whose partner never comes
(it cannot happen while the runner keeps its promises: an element that a branch
still works on holds the watermark back) leaves as a dead letter when its window
expires, on Prism when it ends, so it is never lost.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms import trigger
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Duration

from models.failures import Failure, Reason, Stage
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import noted
from transforms.records import DeadLetter, Half, Joined

HALVES = 2
UNJOINED = "unjoined"


def join_halves(halves: Iterable[Half]) -> Joined | DeadLetter:
    """The outcome of one delivery's halves, in any order; extra copies change nothing."""
    sides = {half.branch: half for half in halves}
    envelope = next(iter(sides.values())).envelope
    failures = [half.failure for _, half in sorted(sides.items()) if half.failure]
    failures += [
        Failure(Stage.JOIN, Reason.HALF_MISSING, f"no answer from branch {branch}")
        for branch in (Stage.IMAGE, Stage.TEXT)
        if branch not in sides
    ]
    if failures:
        return DeadLetter(envelope, failures, time.time_ns() // 1000)
    image, text = sides[Stage.IMAGE], sides[Stage.TEXT]
    return Joined(
        envelope=envelope,
        image_features=image.features,
        text_features=text.features,
        image=image.image,
        text=text.text,
        spent_us={**image.spent_us, **text.spent_us},
    )


def by_delivery(half: Half) -> tuple[str, Half]:
    return half.envelope.delivery, half


class _JoinDoFn(beam.DoFn):
    """Pairs halves; with `stamp`, puts each outcome at the time of its item's arrival."""

    incomplete = Metrics.counter("testudo", "join_halves_missing")

    def __init__(self, *, stamp: bool) -> None:
        self._stamp = stamp

    def process(
        self, delivered: tuple[str, Iterable[Half]]
    ) -> Iterator[Joined | beam.pvalue.TaggedOutput[Literal["unjoined"], DeadLetter]]:
        outcome = join_halves(delivered[1])
        placed = outcome
        if self._stamp:
            placed = TimestampedValue(outcome, outcome.envelope.received_us / 1e6)
        if isinstance(outcome, Joined):
            yield placed
            return
        if any(failure.reason == Reason.HALF_MISSING for failure in outcome.failures):
            self.incomplete.inc()
        noted(outcome)
        yield beam.pvalue.TaggedOutput(UNJOINED, placed)


class JoinedItems(NamedTuple):
    items: beam.PCollection[Joined]
    dead_letters: beam.PCollection[DeadLetter]


@dataclasses.dataclass(eq=False, kw_only=True)
class WindowByArrival(beam.PTransform):
    """Put elements into fixed windows of `window_s` seconds that fire once, at their end.

    Late data is not expected, since elements are stamped on arrival; what comes
    all the same, up to `allowed_lateness_s`, still counts.
    """

    window_s: int
    allowed_lateness_s: int

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return elements | "FireAtTheEnd" >> beam.WindowInto(
            FixedWindows(self.window_s),
            trigger=trigger.DefaultTrigger(),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
            allowed_lateness=Duration(self.allowed_lateness_s),
        )


@dataclasses.dataclass(eq=False, kw_only=True)
class JoinHalves(beam.PTransform):
    """(image Halves, text Halves) -> Joined, or DeadLetter naming every failure of the item."""

    window_s: int
    allowed_lateness_s: int

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, branches: tuple[beam.PCollection[Half], ...]) -> JoinedItems:
        halves = branches | "Halves" >> beam.Flatten()
        outcomes = (
            halves
            | "FireOnTwo" >> self._windows(bounded=halves.is_bounded)
            # Not WithKeys: it names its step by a line of Beam's own code, and an update of a
            # running job maps steps by name.
            | "ByDelivery" >> beam.Map(by_delivery).with_output_types(tuple[str, Half])
            | "Group" >> beam.GroupByKey()
            | "Pair"
            >> beam.ParDo(_JoinDoFn(stamp=halves.is_bounded)).with_outputs(UNJOINED, main="joined")
        )
        outcomes["joined"].element_type = Joined
        outcomes[UNJOINED].element_type = DeadLetter
        # Later groupings would inherit the trigger and fire on every second element.
        windows = {"window_s": self.window_s, "allowed_lateness_s": self.allowed_lateness_s}
        return JoinedItems(
            outcomes["joined"] | "Joined" >> WindowByArrival(**windows),
            outcomes[UNJOINED] | "Unjoined" >> WindowByArrival(**windows),
        )

    def _windows(self, *, bounded: bool) -> beam.WindowInto:
        """Bounded input is read to its end before it is grouped: nothing is won by counting."""
        if bounded:
            return beam.WindowInto(GlobalWindows())
        return beam.WindowInto(
            FixedWindows(self.window_s),
            trigger=trigger.Repeatedly(trigger.AfterCount(HALVES)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
            allowed_lateness=Duration(self.allowed_lateness_s),
        )
