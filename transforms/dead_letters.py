"""Dead letters: counted where they leave their stage, and never forgotten by a graph."""

from typing import TypeVar

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor

from models.failures import Failure, Reason
from transforms.records import DeadLetter

DEAD_LETTERS = Metrics.counter("testudo", "dead_letters")
CANARY_DEAD_LETTERS = Metrics.counter("testudo", "canary_dead_letters")
BUGS = Metrics.counter("testudo", "bugs")

T = TypeVar("T")


def counted(dead_letter: DeadLetter) -> DeadLetter:
    """The dead letter as it is, counted; those of the canary's items twice."""
    DEAD_LETTERS.inc()
    if dead_letter.envelope.canary:
        CANARY_DEAD_LETTERS.inc()
    return dead_letter


def count_bug(answer: T) -> T:
    """The answer as it is; a failure that is a bug is counted."""
    if isinstance(answer, Failure) and answer.reason == Reason.BUG:
        BUGS.inc()
    return answer


class _Edges(PipelineVisitor):
    """Which step makes each collection of dead letters, and which collections are read."""

    def __init__(self) -> None:
        self.made: dict[beam.PCollection, str] = {}
        self.read: set[beam.PCollection] = set()

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self.visit_transform(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        for output in transform_node.outputs.values():
            if getattr(output, "element_type", None) is DeadLetter:
                self.made.setdefault(output, transform_node.full_label)
        self.read.update(transform_node.inputs)


def check_consumed(pipeline: beam.Pipeline) -> None:
    """Raises ValueError, naming the steps, where nothing reads the dead letters of a step.

    Called when a graph is built: dead letters that lead nowhere would be items lost.
    """
    edges = _Edges()
    pipeline.visit(edges)
    forgotten = sorted(label for made, label in edges.made.items() if made not in edges.read)
    if forgotten:
        raise ValueError(f"nothing reads the dead letters of {', '.join(forgotten)}")
