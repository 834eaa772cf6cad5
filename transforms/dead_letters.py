"""Dead letters are counted where they leave their stage; those of the canary's items twice."""

from apache_beam.metrics import Metrics

from transforms.records import DeadLetter

DEAD_LETTERS = Metrics.counter("testudo", "dead_letters")
CANARY_DEAD_LETTERS = Metrics.counter("testudo", "canary_dead_letters")


def noted(letter: DeadLetter) -> DeadLetter:
    DEAD_LETTERS.inc()
    if letter.envelope.canary:
        CANARY_DEAD_LETTERS.inc()
    return letter
