"""JoinParts on Beam's own engine: two halves of a delivery leave as one outcome."""

from collections.abc import Iterable

import apache_beam as beam
import pytest
from apache_beam.transforms.window import TimestampedValue
from builders import Ran, envelope, failure, image_part, run, text_part

from models.failures import Stage
from transforms.joins import JoinParts, WindowByArrival
from transforms.records import Part


def join(images: Iterable[Part], texts: Iterable[Part]) -> Ran:
    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        branches = {
            branch: pipeline
            | f"Create{name}" >> beam.Create([TimestampedValue(half, 7) for half in halves])
            | f"Type{name}" >> beam.Map(lambda half: half).with_output_types(Part)
            | f"Window{name}" >> WindowByArrival()
            for branch, name, halves in (
                (Stage.IMAGE, "Images", images),
                (Stage.TEXT, "Texts", texts),
            )
        }
        outcomes = branches | JoinParts()
        return {"joined": outcomes.items, "dead": outcomes.dead_letters}

    ran = run(connect)
    return Ran({"joined": [], "dead": [], **ran.records}, ran.counters)


@pytest.mark.slow
def test_each_delivery_is_joined_with_its_own_halves() -> None:
    """Whatever order the branches answer in; no half is used for another item."""
    images = [image_part(number, features=b"i%d" % number) for number in range(200)]
    texts = [text_part(number, features=b"t%d" % number) for number in reversed(range(200))]
    ran = join(images, texts)
    assert sorted(
        (one.features["image"], one.features["text"]) for one in ran.records["joined"]
    ) == sorted((b"i%d" % number, b"t%d" % number) for number in range(200))
    assert ran.records["dead"] == []
    assert "join_halves_missing" not in ran.counters


@pytest.mark.slow
def test_two_deliveries_of_one_item_are_two_outcomes() -> None:
    """The join key is the delivery: features of different deliveries never meet."""
    again = envelope(1, delivery="another")
    ran = join(
        [image_part(1, features=b"i1"), image_part(1, envelope=again, features=b"i2")],
        [text_part(1, envelope=again, features=b"t2"), text_part(1, features=b"t1")],
    )
    assert sorted(
        (one.features["image"], one.features["text"]) for one in ran.records["joined"]
    ) == [
        (b"i1", b"t1"),
        (b"i2", b"t2"),
    ]


def test_a_failed_half_leaves_as_one_dead_letter() -> None:
    """One item failed in the image branch, one in both, one in none."""
    ran = join(
        [image_part(1, failure=failure(Stage.IMAGE)), image_part(2, failure=failure(Stage.IMAGE)),
         image_part(3)],
        [text_part(1), text_part(2, failure=failure(Stage.TEXT)), text_part(3)],
    )  # fmt: skip
    assert [one.envelope.item_id for one in ran.records["joined"]] == ["item-3"]
    assert {
        one.envelope.item_id: [each.stage for each in one.failures] for one in ran.records["dead"]
    } == {"item-1": [Stage.IMAGE], "item-2": [Stage.IMAGE, Stage.TEXT]}
    assert "join_halves_missing" not in ran.counters


@pytest.mark.slow
def test_dead_letters_are_counted_and_the_canarys_apart() -> None:
    """An item counts once, however many of its stages failed."""
    tried = envelope(2, canary=True)
    ran = join(
        [image_part(1, failure=failure(Stage.IMAGE)),
         image_part(2, envelope=tried, failure=failure(Stage.IMAGE))],
        [text_part(1), text_part(2, envelope=tried, failure=failure(Stage.TEXT))],
    )  # fmt: skip
    assert ran.counters == {"dead_letters": 2, "canary_dead_letters": 1}
