"""Measures of answers: intervals, calibration, confusion."""

import numpy as np
import pytest

from models.training.measures import (
    CELL_PX,
    MARGIN_PX,
    MAX_DRAWN,
    calibration_error,
    confusion,
    draw_confusion,
    mean_interval,
    paired_difference,
    squared_errors,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "count", "interval"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (50, 100, (0.4038, 0.5962)),
     (0, 0, (0.0, 1.0))],
)  # fmt: skip
def test_wilsons_interval(right: int, count: int, interval: tuple[float, float]) -> None:
    """As in the textbooks; of no items, anything."""
    assert wilson(right, count) == interval


def test_calibration_is_the_mean_distance_of_score_and_share() -> None:
    """Scores of 0.8 that are right in half the cases are 0.3 too high."""
    scores = np.array([[0.8, 0.2]] * 4 + [[0.55, 0.45]] * 4)
    answers = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    assert calibration_error(scores, answers) == pytest.approx((0.3 + 0.05) / 2, abs=1e-4)


def test_a_confusion_matrix_counts_what_was_given_for_what() -> None:
    """Rows are what items are."""
    found = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_picture_of_confusion_has_a_cell_a_pair() -> None:
    """Right answers are blue, wrong ones red, none white; of many labels the commonest."""
    image = draw_confusion(("a", "b"), np.array([[9, 1], [0, 0]]))
    corners = [
        image.getpixel((MARGIN_PX + CELL_PX * column + 3, MARGIN_PX + CELL_PX * row + 3))
        for row in range(2)
        for column in range(2)
    ]
    right, wrong, never, _ = corners
    assert isinstance(right, tuple)
    assert isinstance(wrong, tuple)
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
    assert never == (255, 255, 255)
    many = draw_confusion([str(n) for n in range(90)], np.eye(90, dtype=int))
    assert many.size[0] == MARGIN_PX + CELL_PX * (MAX_DRAWN + 1)


def test_a_paired_difference_has_an_interval_of_the_items_that_changed() -> None:
    """By hand for 100 items: 12 gained, 2 lost; and for items of which none changed."""
    before = np.arange(100) < 52
    after = before.copy()
    after[:2], after[88:] = False, True
    share, low, high = paired_difference(before, after)
    assert share == 0.1
    assert (low, high) == (0.0261, 0.17)
    assert paired_difference(before, before) == (0.0, -0.0192, 0.0192)


def test_a_mean_has_an_interval_from_two_numbers_on() -> None:
    """Of one, anything is possible."""
    middle, low, high = mean_interval(np.array([0.1, 0.3]))
    assert (middle, low, high) == (0.2, 0.004, 0.396)
    assert mean_interval(np.array([0.1]))[1:] == (-np.inf, np.inf)


def test_squared_errors_go_from_sure_and_right_to_sure_and_wrong() -> None:
    """An answer that is none of the labels is as far as the scores are from nothing."""
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    assert squared_errors(scores, np.array([0, 1, 0, -1])).tolist() == [0, 2, 0.5, 1]
