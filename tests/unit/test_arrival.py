"""The time that a message gets where it is read: windows of the join depend on it."""

import time

from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp
from builders import message

from beam_pipeline.io.pubsub import on_arrival


def test_a_message_has_the_time_of_its_arrival() -> None:
    """However old it is, and where its reader knows no time at all."""
    for read in (MIN_TIMESTAMP, Timestamp(1)):
        before = time.time()
        assert before <= float(on_arrival(message(b""), read).timestamp) <= time.time()


def test_a_clock_that_is_behind_makes_no_message_late() -> None:
    """The watermark is never past the reader's time; the message is not before it."""
    read = Timestamp.now() + Duration(300)
    assert on_arrival(message(b""), read).timestamp == read
