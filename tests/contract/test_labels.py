"""Step labels: an update of a running job maps its state by them."""

import os
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor

from beam_pipeline.config import Config
from beam_pipeline.endpoints import cloud_ends
from beam_pipeline.graph import build

REVIEWED = Path(__file__).with_name("step_labels.txt")
RENEW = "TESTUDO_RENEW_LABELS"
HOW = (
    f"Step labels changed: a running job cannot be updated across that. If it is meant, say so in "
    f"the changelog and renew the list with {RENEW}=1 pytest tests/contract/test_labels.py"
)
LEVELS = 2
CONFIG = Config(
    output="gs://bucket/testudo",
    releases="gs://bucket/releases",
    input_subscription="projects/my-project/subscriptions/items",
    predictions_table="my-project:testudo.predictions",
    dead_letters_table="my-project:testudo.dead_letters",
)


class _Labels(PipelineVisitor):
    def __init__(self) -> None:
        self.labels: list[str] = []

    def _add(self, step: AppliedPTransform) -> None:
        if step.full_label:
            self.labels.append(step.full_label)

    def enter_composite_transform(self, step: AppliedPTransform) -> None:
        self._add(step)

    def visit_transform(self, step: AppliedPTransform) -> None:
        self._add(step)


def labels() -> list[str]:
    """All labels of the graph as it runs on Dataflow, in its order."""
    pipeline = beam.Pipeline(options=PipelineOptions(["--streaming", "--project=my-project"]))
    build(pipeline, CONFIG, cloud_ends(CONFIG))
    visitor = _Labels()
    pipeline.visit(visitor)
    return visitor.labels


def test_step_labels_are_the_reviewed_ones() -> None:
    """The top two levels of labels change only on purpose."""
    found = [label for label in labels() if label.count("/") < LEVELS]
    if os.environ.get(RENEW):
        REVIEWED.write_text("\n".join(found) + "\n", encoding="utf-8")
    assert found == REVIEWED.read_text(encoding="utf-8").splitlines(), HOW


def test_our_labels_are_words_of_our_own() -> None:
    """Both levels are CamelCase: a label that Beam makes up changes with the code's names."""
    for label in labels():
        for word in label.split("/")[:LEVELS]:
            assert word.isidentifier(), label
            assert word[0].isupper(), label
