"""A third branch beside image and text, made as CONTRIBUTING says: what it takes, and no more."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from builders import Ran, created, fields, message, run
from conftest import Releases

from models.branches import BRANCHES, Branch
from models.facts import Encoded
from models.failures import Failure, Reason, Rejected, Stage, attempt
from models.features import FeatureSpec, ImageLimits, pack_features
from models.kernels import Answer
from models.manifest import GOLDEN, MANIFEST, Manifest, ScorerSpec, presence_of
from models.release import Pointer, save_release
from transforms.dead_letters import check_consumed
from transforms.events import ParseItems
from transforms.handlers import part_of
from transforms.images import EncodeImages
from transforms.joins import JoinParts, WindowByArrival
from transforms.outcomes import prediction_row
from transforms.records import Item, Message, Part
from transforms.scores import ScoreItems
from transforms.settings import ImageAccess
from transforms.texts import EncodeTexts

TABULAR = "tabular"
DIGITS = FeatureSpec("digits", "float32", (10,))
REFUSED = "has no digit"


def count_digits(text: str) -> Encoded:
    """How often each digit is in the text. Raises Rejected where there is none."""
    counts = np.array([[text.count(str(digit)) for digit in range(10)]], np.float32)
    if not counts.any():
        raise Rejected(Reason.SCHEMA_VIOLATION, REFUSED)
    (packed,) = pack_features([DIGITS], {"digits": counts})
    return Encoded(packed, None, {"tabular": 5_000})


class DigitsKernel:
    """The kernel of the branch: a text an item enters, an answer an item leaves."""

    def __init__(self, *_: Any) -> None:
        pass

    def __call__(self, batch: Sequence[str]) -> list[Answer]:
        results = [attempt(Stage.PARSE, Reason.BUG, count_digits, text) for text in batch]
        return [Answer(self._own(result), 0) for result in results]

    @staticmethod
    def _own(result: Encoded | Failure) -> Encoded | Failure:
        return result._replace(stage=TABULAR) if isinstance(result, Failure) else result


class EncodeTables(beam.PTransform):
    """The composite of the branch: Item -> Part."""

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Part]:
        return items | "Encode" >> beam.Map(encode_table).with_output_types(Part)


def encode_table(item: Item) -> Part:
    (answer,) = BRANCHES[TABULAR].kernel(None, None, None, None)([item.text])
    return part_of(TABULAR, item.envelope, answer.result, {})


@pytest.fixture
def tabular(releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """The first release with features and a scorer of a third branch, in use."""
    import keras  # ten seconds, which no fast test is to wait for

    from models.training.export import export_litert

    monkeypatch.setitem(BRANCHES, TABULAR, Branch(DigitsKernel, ("tabular",), has_facts=False))
    bundle = tmp_path / "bundle"
    shutil.copytree(
        Path(releases.root) / releases.first.release,
        bundle,
        ignore=shutil.ignore_patterns(MANIFEST, GOLDEN),  # it says nothing of the new scorer
    )
    inputs = (DIGITS, presence_of(TABULAR))
    given = {one.name: keras.Input(one.shape, name=one.name) for one in inputs}
    sevens = given["digits"][:, 7:8] * given["has_tabular"]
    scorer = keras.Model(given, keras.layers.Concatenate()([1 - sevens, sevens]))
    spec = ScorerSpec("lucky", ("no", "yes"), tuple(one.name for one in inputs))
    export_litert(scorer, inputs, output="scores", path=bundle / spec.path)
    manifest = save_release(
        bundle,
        releases.root,
        task="tabular",
        image_size_px=releases.first.image_size_px,
        features={**releases.first.features, TABULAR: (DIGITS,)},
        scorers=(*releases.first.scorers, spec),
        evaluation={},
    )
    releases.point(Pointer(manifest.release))
    return manifest


def score(texts: Sequence[str], releases: Releases) -> Ran:
    """The graph's stages with one edge more."""

    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        sent = [message(fields(item_id=f"item-{n}", text=text)) for n, text in enumerate(texts)]
        parsed = (
            created(pipeline, sent, Message)
            | WindowByArrival()
            | ParseItems(releases=releases.root, refresh_s=30, max_message_bytes=10_000)
        )
        joined = {
            Stage.IMAGE: parsed.items
            | EncodeImages(
                releases=releases.root,
                batch_size=4,
                access=ImageAccess(),
                limits=ImageLimits(),
            ),
            Stage.TEXT: parsed.items | EncodeTexts(releases=releases.root, batch_size=4),
            TABULAR: parsed.items | EncodeTables(),
        } | JoinParts()
        scored = joined.items | ScoreItems(releases=releases.root, batch_size=4)
        dead = (parsed.dead_letters, joined.dead_letters, scored.dead_letters) | beam.Flatten()
        return {"scored": scored.items, "dead": dead}

    ran = run(connect)
    return Ran({"scored": [], "dead": [], **ran.records}, ran.counters)


def test_an_item_goes_all_the_way_with_a_third_branch(
    tabular: Manifest, releases: Releases
) -> None:
    """Its features cross the join, its scorer reads them, its time stands in the row."""
    ran = score(["a mug of 1970", "lamp 12"], releases)
    assert ran.records["dead"] == []
    lucky = {
        one.joined.envelope.item_id: {each.label: each.score for each in one.scores[-2:]}
        for one in ran.records["scored"]
    }
    assert lucky == {"item-0": {"no": 0, "yes": 1}, "item-1": {"no": 1, "yes": 0}}
    for one in ran.records["scored"]:
        assert set(one.joined.features) == {Stage.IMAGE, Stage.TEXT, TABULAR}
        row = prediction_row(one)
        assert row["spent"]["tabular_ms"] == 5
        assert TABULAR not in row
        assert row["text"]["length_chars"] > 0


def test_a_failure_of_the_third_branch_is_the_items_one_dead_letter(
    tabular: Manifest, releases: Releases
) -> None:
    """It names the branch, as a failure of the other two does."""
    ran = score(["no number here"], releases)
    assert ran.records["scored"] == []
    (dead,) = ran.records["dead"]
    assert dead.failures == [Failure(TABULAR, Reason.SCHEMA_VIOLATION, REFUSED)]


def test_dead_letters_that_nobody_reads_fail_the_graph() -> None:
    """When it is built, by the name of the step: nothing of it ever runs."""
    pipeline = beam.Pipeline()
    created(pipeline, [message(b"{}")], Message) | "Parse" >> ParseItems(
        releases="none", refresh_s=30, max_message_bytes=10
    )
    with pytest.raises(ValueError, match="nothing reads the dead letters of Parse"):
        check_consumed(pipeline)
