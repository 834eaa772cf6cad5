"""Score: joined items enter; each leaves with its scores, or as a dead letter."""

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.typehints.decorators import no_annotations

from models.kernels import CallLimits
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import counted
from transforms.handlers import ScorerHandler
from transforms.records import DeadLetter, Joined, Scored

UNSCORED = "unscored"


def split_outcome(
    outcome: Scored | DeadLetter,
) -> Iterator[Scored | beam.pvalue.TaggedOutput[Literal["unscored"], DeadLetter]]:
    if isinstance(outcome, Scored):
        yield outcome
    else:
        yield beam.pvalue.TaggedOutput(UNSCORED, counted(outcome))


class ScoredItems(NamedTuple):
    items: beam.PCollection[Scored]
    dead_letters: beam.PCollection[DeadLetter]


@dataclasses.dataclass(eq=False, kw_only=True)
class ScoreItems(beam.PTransform):
    """Joined -> Scored by every scorer of the item's release, or DeadLetter."""

    releases: str
    batch_size: int
    calls: CallLimits = CallLimits()

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, items: beam.PCollection[Joined]) -> ScoredItems:
        handler = ScorerHandler(
            releases=self.releases, calls=self.calls, batch_size=self.batch_size
        )
        outcomes = (
            items
            | "Infer" >> RunInference(handler)
            | "Split" >> beam.FlatMap(split_outcome).with_outputs(UNSCORED, main="scored")
        )
        outcomes["scored"].element_type = Scored
        outcomes[UNSCORED].element_type = DeadLetter
        return ScoredItems(outcomes["scored"], outcomes[UNSCORED])
