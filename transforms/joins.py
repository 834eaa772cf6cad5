"""Join: the parts of each branch enter; joined items or dead letters leave.

Every branch answers for every item, so the join only has to wait for as many
parts of one delivery as there are branches: a GroupByKey that fires on that count. The
sender's own fields cross with the part of the first branch alone. It
keeps no state of its own and sets no timer. A part whose partner never comes
(it cannot happen while the runner keeps its promises: an element that a branch
still works on holds the watermark back) leaves as a dead letter when its window
expires, on Prism when it ends, so it is never lost.

A runner keeps something of each key until its window expires, so windows are short and
close soon: a message is stamped no earlier than its reader's watermark stands
(beam_pipeline.io.pubsub), and its parts keep that time, so that none can be late.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms import trigger
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.timestamp import Duration

from models.failures import Failure, Reason, Stage
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import counted
from transforms.records import DeadLetter, Joined, Part

UNJOINED = "unjoined"
# A lone part waits for both at most; a thing of each key is kept for half a window and the
# lateness in the mean: 45,000 keys at 1,000 items a second.
WINDOW_S = 30
LATENESS_S = 30  # what clocks and runners may be off, beyond any that was seen


def join_parts(parts: Iterable[Part], branches: Sequence[str]) -> Joined | DeadLetter:
    """The outcome of one delivery's parts, in any order; extra copies change nothing."""
    by_branch = {part.branch: part for part in parts}
    envelopes = [part.envelope for part in by_branch.values()]
    envelope = next((one for one in envelopes if one.fields_json), envelopes[0])
    failures = [part.failure for _, part in sorted(by_branch.items()) if part.failure]
    failures += [
        Failure(Stage.JOIN, Reason.HALF_MISSING, f"no answer from branch {branch}")
        for branch in branches
        if branch not in by_branch
    ]
    if failures:
        return DeadLetter(envelope, failures, time.time_ns() // 1000)
    return Joined(
        envelope=envelope,
        features={branch: by_branch[branch].features for branch in branches},
        facts={branch: by_branch[branch].facts for branch in branches if by_branch[branch].facts},
        spent_us=dict(chain.from_iterable(by_branch[one].spent_us.items() for one in branches)),
    )


def by_delivery(part: Part, bearer: str) -> tuple[str, Part]:
    """A part by the key of the join; only that of branch `bearer` keeps the sender's own fields."""
    if part.branch != bearer:
        part = part._replace(envelope=part.envelope._replace(fields_json=""))
    return part.envelope.delivery, part


class _JoinDoFn(beam.DoFn):
    """Joins parts; with `stamp`, puts each outcome at the time of its item's arrival."""

    incomplete = Metrics.counter("testudo", "join_halves_missing")

    def __init__(self, branches: Sequence[str], *, stamp: bool) -> None:
        self._branches = branches
        self._stamp = stamp

    def process(
        self, delivered: tuple[str, Iterable[Part]]
    ) -> Iterator[Joined | beam.pvalue.TaggedOutput[Literal["unjoined"], DeadLetter]]:
        outcome = join_parts(delivered[1], self._branches)
        placed = outcome
        if self._stamp:
            placed = TimestampedValue(outcome, outcome.envelope.received_us / 1e6)
        if isinstance(outcome, Joined):
            yield placed
            return
        if any(failure.reason == Reason.HALF_MISSING for failure in outcome.failures):
            self.incomplete.inc()
        counted(outcome)
        yield beam.pvalue.TaggedOutput(UNJOINED, placed)


class JoinedItems(NamedTuple):
    items: beam.PCollection[Joined]
    dead_letters: beam.PCollection[DeadLetter]


@dataclasses.dataclass(eq=False, kw_only=True)
class WindowByArrival(beam.PTransform):
    """Put elements into fixed windows of WINDOW_S that fire once, at their end.

    Late data is not expected, since elements are stamped on arrival; what comes
    all the same, up to LATENESS_S, still counts.
    """

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return elements | "FireAtTheEnd" >> beam.WindowInto(
            FixedWindows(WINDOW_S),
            trigger=trigger.DefaultTrigger(),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
            allowed_lateness=Duration(LATENESS_S),
        )


@dataclasses.dataclass(eq=False, kw_only=True)
class JoinParts(beam.PTransform):
    """Parts by branch -> Joined, or DeadLetter naming every failure of the item."""

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, branches: Mapping[str, beam.PCollection[Part]]) -> JoinedItems:
        names = tuple(branches)
        parts = tuple(branches.values()) | "Halves" >> beam.Flatten()
        join = _JoinDoFn(names, stamp=parts.is_bounded)
        outcomes = (
            parts
            | "FireOnTwo" >> _windows(count=len(names), bounded=parts.is_bounded)
            # Not WithKeys: it names its step by a line of Beam's own code, and an update of a
            # running job maps steps by name.
            | "ByDelivery" >> beam.Map(by_delivery, names[0]).with_output_types(tuple[str, Part])
            | "Group" >> beam.GroupByKey()
            | "Pair" >> beam.ParDo(join).with_outputs(UNJOINED, main="joined")
        )
        outcomes["joined"].element_type = Joined
        outcomes[UNJOINED].element_type = DeadLetter
        # Later groupings would inherit the trigger and fire on every so many elements.
        return JoinedItems(
            outcomes["joined"] | "Joined" >> WindowByArrival(),
            outcomes[UNJOINED] | "Unjoined" >> WindowByArrival(),
        )


def _windows(*, count: int, bounded: bool) -> beam.WindowInto:
    """Bounded input is read to its end before it is grouped: nothing is won by counting."""
    if bounded:
        return beam.WindowInto(GlobalWindows())
    return beam.WindowInto(
        FixedWindows(WINDOW_S),
        trigger=trigger.Repeatedly(trigger.AfterCount(count)),
        accumulation_mode=trigger.AccumulationMode.DISCARDING,
        allowed_lateness=Duration(LATENESS_S),
    )
