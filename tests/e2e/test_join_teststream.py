"""The join on the real streaming engine, with a clock that the test holds.

Beam's own engines in Python drop a lone half when its window expires. Prism
lets it go, at the end of its window already, where the model would wait for the
allowed lateness too. So these tests run on Prism.
"""

import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from builders import envelope, failure, image_part, text_part

from models.failures import Reason, Stage
from transforms import joins
from transforms.joins import LATENESS_S, WINDOW_S, JoinParts, WindowByArrival
from transforms.records import DeadLetter, Joined, Part

REPOSITORY = Path(__file__).parents[2]
MANY = 10_000

# An outcome, short: item, then its features, or the reasons why there are none.
Outcome = tuple[str, str]


@pytest.fixture(scope="module")
def options(engine_endpoint: str) -> PipelineOptions:
    return PipelineOptions(
        [
            "--runner=PortableRunner",
            f"--job_endpoint={engine_endpoint}",
            "--environment_type=LOOPBACK",
            "--streaming",
        ]
    )


def is_image(half: Part) -> bool:
    return half.branch == Stage.IMAGE


def is_text(half: Part) -> bool:
    return half.branch == Stage.TEXT


def in_short(outcome: Joined | DeadLetter) -> Outcome:
    if isinstance(outcome, Joined):
        text = outcome.features["image"] + b"+" + outcome.features["text"]
        return outcome.envelope.item_id, text.decode()
    return outcome.envelope.item_id, ",".join(
        f"{one.stage}:{one.reason}" for one in outcome.failures
    )


def at(second: float, *halves: Part) -> list[TimestampedValue]:
    return [TimestampedValue(half, second) for half in halves]


def assert_outcomes(options: PipelineOptions, stream: Stream, expected: list[Outcome]) -> None:
    """Play the stream into the join; all outcomes, each once, must be the expected ones."""
    with beam.Pipeline(options=options) as pipeline:
        halves = (
            pipeline
            | stream
            | "Halves" >> beam.Map(_same).with_output_types(Part)
            | WindowByArrival()
        )
        branches = {
            Stage.IMAGE: halves | "Images" >> beam.Filter(is_image).with_output_types(Part),
            Stage.TEXT: halves | "Texts" >> beam.Filter(is_text).with_output_types(Part),
        }
        outcomes = branches | JoinParts()
        found = (
            outcomes.items | "Items" >> beam.Map(in_short).with_output_types(Outcome),
            outcomes.dead_letters | "DeadLetters" >> beam.Map(in_short).with_output_types(Outcome),
        ) | beam.Flatten()
        assert_that(found, equal_to(expected))


def _same(half: Part) -> Part:
    return half


def image(number: int, **changes: object) -> Part:
    return image_part(number, features=b"i%d" % number, **changes)


def text(number: int, **changes: object) -> Part:
    return text_part(number, features=b"t%d" % number, **changes)


def whole(number: int) -> Outcome:
    return f"item-{number}", f"i{number}+t{number}"


def test_halves_that_come_out_of_order_find_each_other(options: PipelineOptions) -> None:
    """Text first or image first, at once or with others between, up to the window's last second.

    No later, because it cannot be: an item that a branch still works on holds
    the watermark back, and with it the end of its window.
    """
    stream = (
        Stream()
        .advance_watermark_to(0)
        .add_elements(at(WINDOW_S - 1, image(1), image(2), text(3)))
        .advance_watermark_to(10)
        .add_elements(at(WINDOW_S - 1, text(2)))
        .add_elements(at(20, image(4), text(4)))
        .advance_watermark_to(WINDOW_S - 1)
        .add_elements(at(WINDOW_S - 1, image(3)))
        .add_elements(at(WINDOW_S + 1, text(5)))
        .add_elements(at(WINDOW_S - 1, text(1)))
        .advance_watermark_to(WINDOW_S + 1)
        .add_elements(at(WINDOW_S + 1, image(5)))
        .advance_watermark_to_infinity()
    )
    assert_outcomes(options, stream, [whole(number) for number in (1, 2, 3, 4, 5)])


def test_two_deliveries_of_one_message_are_joined_each_by_itself(options: PipelineOptions) -> None:
    """At-least-once delivery repeats messages; the halves of two deliveries never mix."""
    again = envelope(1, delivery="again")
    stream = (
        Stream()
        .advance_watermark_to(0)
        .add_elements(at(1, image(1), image(2, envelope=again)))
        .add_elements(at(1, text(2, envelope=again), text(1)))
        .advance_watermark_to_infinity()
    )
    assert_outcomes(options, stream, [("item-1", "i1+t1"), ("item-1", "i2+t2")])


def test_failed_halves_leave_as_one_dead_letter_an_item(options: PipelineOptions) -> None:
    """One branch failed, or both; the failures wait for the other half like any value."""
    no_image = {"failure": failure(Stage.IMAGE, Reason.IMAGE_NOT_FOUND)}
    no_text = {"failure": failure(Stage.TEXT)}
    stream = (
        Stream()
        .advance_watermark_to(0)
        .add_elements(
            at(1, image(1, **no_image), text(2, **no_text), image(3, **no_image), text(4))
        )
        .advance_watermark_to(20)
        .add_elements(at(2, text(1), image(2), text(3, **no_text), image(4)))
        .advance_watermark_to_infinity()
    )
    expected = [
        ("item-1", "image:image_not_found"),
        ("item-2", "text:model_failed"),
        ("item-3", "image:image_not_found,text:model_failed"),
        whole(4),
    ]
    assert_outcomes(options, stream, expected)


def test_a_half_whose_partner_never_comes_is_not_lost(options: PipelineOptions) -> None:
    """It leaves as a dead letter when its window is over, with what it had to say."""
    broken = image(3, failure=failure(Stage.IMAGE, Reason.IMAGE_UNREADABLE))
    stream = (
        Stream()
        .advance_watermark_to(0)
        .add_elements(at(1, image(1), text(2), broken, image(4), text(4)))
        .advance_watermark_to(WINDOW_S + LATENESS_S + 1)
        .advance_watermark_to_infinity()
    )
    expected = [
        ("item-1", "join:half_missing"),
        ("item-2", "join:half_missing"),
        ("item-3", "image:image_unreadable,join:half_missing"),
        whole(4),
    ]
    assert_outcomes(options, stream, expected)


def test_ten_thousand_items_in_flight_are_kept_apart(options: PipelineOptions) -> None:
    """All images come before the first text, and the texts in another order."""
    order = sorted(range(MANY), key=lambda number: number * 7_919 % MANY)
    stream = (
        Stream()
        .advance_watermark_to(0)
        .add_elements(at(1, *map(image, range(MANY))))
        .advance_watermark_to(20)
        .add_elements(at(15, *map(text, order)))
        .advance_watermark_to_infinity()
    )
    assert_outcomes(options, stream, [whole(number) for number in range(MANY)])


def test_a_branch_that_stalls_for_many_windows_loses_nothing(
    options: PipelineOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it works on holds the join's watermark back, while all else goes on.

    With the true clock, windows of a second, and an item that takes six.
    """
    monkeypatch.setattr(joins, "WINDOW_S", 1)
    monkeypatch.setattr(joins, "LATENESS_S", 1)
    begin_s, ended = time.time(), tmp_path / "ended"
    seen_meanwhile = tmp_path / "seen"

    def number(tick: float) -> int:
        return round((tick - begin_s) * 5)

    def see(tick: float) -> Part:
        if number(tick) == 5:
            time.sleep(6)
            ended.touch()
        return image(number(tick))

    def read(tick: float) -> Part:
        if number(tick) == 25 and not ended.exists():
            seen_meanwhile.touch()
        return text(number(tick))

    with beam.Pipeline(options=options) as pipeline:
        ticks = (
            pipeline
            | PeriodicImpulse(Timestamp.of(begin_s), Timestamp.of(begin_s + 8), fire_interval=0.2)
            | beam.Map(float).with_output_types(float)
            | WindowByArrival()
        )
        branches = {
            Stage.IMAGE: ticks
            | "Apart" >> beam.Reshuffle()
            | "Images" >> beam.Map(see).with_output_types(Part),
            Stage.TEXT: ticks | "Texts" >> beam.Map(read).with_output_types(Part),
        }
        outcomes = branches | JoinParts()
        found = (
            outcomes.items | "Items" >> beam.Map(in_short).with_output_types(Outcome),
            outcomes.dead_letters | "DeadLetters" >> beam.Map(in_short).with_output_types(Outcome),
        ) | beam.Flatten()
        assert_that(found, equal_to([whole(one) for one in range(40)]))
    assert seen_meanwhile.exists()
