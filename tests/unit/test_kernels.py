"""Kernels: what fails with one item costs that item alone."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.failures import Failure, Reason, Rejected, Stage
from models.kernels import isolate


class Doubler:
    """A model that counts its calls, and that some numbers break."""

    def __init__(self, poison: set[int]) -> None:
        self.poison = poison
        self.calls = 0

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.calls += 1
        if self.poison & set(batch):
            raise ArithmeticError("out of range")
        return [2 * number for number in batch]


@given(st.sets(st.integers(0, 39)), st.integers(1, 40))
def test_poison_costs_only_the_culprits(poison: set[int], size: int) -> None:
    """Every other item of the batch has its answer, in its place."""
    answers = isolate(Stage.TEXT, Doubler(poison), range(size))
    for number, answer in enumerate(answers):
        if number in poison:
            assert isinstance(answer, Failure)
            assert (answer.stage, answer.reason) == (Stage.TEXT, Reason.MODEL_FAILED)
            assert "ArithmeticError" in answer.detail
        else:
            assert answer == 2 * number
    assert len(answers) == size


def test_a_batch_without_poison_is_called_once() -> None:
    """The search costs nothing where there is nothing to find."""
    model = Doubler(set())
    isolate(Stage.TEXT, model, range(64))
    assert model.calls == 1


def test_one_culprit_among_64_costs_two_calls_a_halving() -> None:
    """Six halvings and the first call: 13 calls, not 65."""
    model = Doubler({17})
    isolate(Stage.TEXT, model, range(64))
    assert model.calls == 13


def test_a_reason_of_the_model_itself_is_kept() -> None:
    """What a model's own checks refuse is not called a failed model."""

    def refuse(batch: Sequence[int]) -> list[int]:
        raise Rejected(Reason.MODEL_OUTPUT_INVALID, "embedding is not finite")

    (answer,) = isolate(Stage.IMAGE, refuse, [1])
    assert answer == Failure(Stage.IMAGE, Reason.MODEL_OUTPUT_INVALID, "embedding is not finite")


@pytest.mark.parametrize("size", [1, 2])
def test_a_model_that_answers_too_few_has_failed(size: int) -> None:
    """Answers that do not match the items must not be given to the wrong ones."""
    answers = isolate(Stage.TEXT, lambda batch: [], range(size))
    assert [one.reason for one in answers] == [Reason.MODEL_FAILED] * size
