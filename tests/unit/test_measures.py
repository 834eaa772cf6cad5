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
