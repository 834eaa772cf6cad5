"""Kinds of scorers in training: answers that may be missing, fits, thresholds, measures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, r2_score

from models.manifest import Kind
from models.training.examples import Examples, read_examples
from models.training.heads import (
    Head,
    activated,
    choose_threshold,
    fit_head,
    head_of,
    known,
    losses,
    targets,
)
from models.training.linear import SHRINKAGE, STRENGTH
from models.training.manifest_problems import ManifestRefused
from models.training.quality import answers_of, average_precision, guess_of, quality, r2
from models.training.scatter import draw_scatter
from models.training.wide import BOTH, IMAGE_ONLY, TEXT_ONLY, Rows, fit_wide, mixed_outputs

CHANCE = np.random.default_rng(0)
TAGS = Head(Kind.MULTILABEL, ("new", "red"))


def read(folder: Path, *labels: dict[str, Any]) -> tuple[Examples, Examples]:
    """Items with texts alone and these labels in turn."""
    path = folder / "manifest.jsonl"
    lines = [
        {"item_id": f"i{number}", "text": "words", "labels": labels[number % len(labels)]}
        for number in range(120)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return read_examples(path, folder, size_px=8, report=lambda line: None)


# --- answers -----------------------------------------------------------------------------------


def test_labels_of_every_kind_become_arrays(tmp_path: Path) -> None:
    """An item without a label of a name has no answer, and is an item all the same."""
    training, held_out = read(
        tmp_path,
        {"kind": "mug", "tags": ["red"], "price": 3},
        {"kind": "lamp", "tags": []},
        {"price": 4.5, "tags": ["new", "red"]},
        {"price": 0},
    )
    assert training.kinds == held_out.kinds
    assert training.kinds == {
        "kind": Kind.CLASSIFICATION,
        "price": Kind.REGRESSION,
        "tags": Kind.MULTILABEL,
    }
    assert training.labels == {"kind": ("lamp", "mug"), "price": (), "tags": ("new", "red")}
    rows = {int(one[1:]) % 4: row for row, one in enumerate(training.item_ids)}
    first, second, third = rows[0], rows[1], rows[2]
    assert training.answers["kind"][[first, second, third]].tolist() == [1, 0, -1]
    assert training.answers["tags"][[first, second, third]].tolist() == [[0, 1], [0, 0], [1, 1]]
    price = training.answers["price"]
    assert (price[first], price[third]) == (3, 4.5)
    assert known(price)[[first, second, third]].tolist() == [True, False, True]
    assert known(training.answers["kind"])[[first, second, third]].tolist() == [True, True, False]


def test_a_scorer_that_few_lines_teach_is_refused_by_name(tmp_path: Path) -> None:
    """Ten of them must be held out, as of the whole."""
    few = [{"kind": "mug"}, {"kind": "lamp"}] * 5
    with pytest.raises(ManifestRefused) as refused:
        read(tmp_path, *few, *({"kind": "mug", "price": one} for one in (1, 2, 3)), *few)
    (told,) = refused.value.problems
    assert told.startswith("label 'price' is on 15 lines, of which ")
    assert told.endswith(" are held out: 10 must be held out to be tested on")


def test_numbers_are_learnt_as_deviations_from_their_mean() -> None:
    """So that their unit changes nothing; what is missing is 0, and weighs nothing elsewhere."""
    answers = np.array([100.0, np.nan, 300.0])
    head = head_of(Kind.REGRESSION, (), answers)
    assert (head.mean, head.spread, head.columns) == (200, 100, 1)
    assert targets(head, answers).tolist() == [-1, 0, 1]
    assert targets(TAGS, np.array([[1, 0], [np.nan, np.nan]])).tolist() == [[1, 0], [0, 0]]
    assert head_of(Kind.REGRESSION, (), np.array([5.0, 5.0])).spread == 1


# --- fits --------------------------------------------------------------------------------------


def test_each_label_is_a_logistic_regression_of_its_own() -> None:
    """A label that no item has gets no chance, one that all have every chance."""
    rows = CHANCE.normal(size=(200, 3))
    answers = np.zeros((200, 3), np.float32)
    answers[:, 0] = rows[:, 0] + CHANCE.normal(0, 0.5, 200) > 0
    answers[:, 2] = 1
    head = Head(Kind.MULTILABEL, ("a", "b", "c"))
    found = activated(head.kind, fit_head(head, rows, answers, seed=0)(rows))
    theirs = LogisticRegression(C=STRENGTH, max_iter=300).fit(rows, answers[:, 0])
    np.testing.assert_allclose(found[:, 0], theirs.predict_proba(rows)[:, 1], atol=1e-5)
    assert found[:, 1].max() < 1e-6
    assert found[:, 2].min() > 1 - 1e-6


def test_a_number_is_ridge_regression() -> None:
    """Of dense rows and of sparse ones; of one item there is nothing to learn."""
    rows = CHANCE.normal(size=(80, 4))
    answers = rows @ [2, 0, -1, 0] * 50 + 1000 + CHANCE.normal(size=80)
    head = head_of(Kind.REGRESSION, (), answers)
    theirs = Ridge(SHRINKAGE).fit(rows, targets(head, answers)).predict(rows)
    for given in (rows, sp.csr_matrix(rows)):
        ours = fit_head(head, given, answers, seed=0)(given)
        assert ours.shape == (80, 1)
        np.testing.assert_allclose(ours[:, 0], theirs, atol=1e-4)
    assert not fit_head(head, rows[:1], answers[:1], seed=0)(rows).any()


def test_an_item_gets_the_answer_of_all_that_it_has() -> None:
    """Both parts by their shares: with an image, with a text, with both; of nothing, nothing."""
    has_image, has_text = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    rows = Rows(sp.csr_matrix((4, 2)), np.zeros((4, 2), np.float32), has_image, has_text)
    head = Head(Kind.REGRESSION, ())
    wide = fit_wide(rows, np.zeros(4), head, seed=0)
    deep = {BOTH: np.full((4, 1), 1.0), IMAGE_ONLY: np.full((4, 1), 2.0)}
    deep[TEXT_ONLY] = np.full((4, 1), 3.0)
    shares = {BOTH: 1.0, IMAGE_ONLY: 0.5, TEXT_ONLY: 1.0}
    assert mixed_outputs(wide, deep, shares, rows)[:, 0].tolist() == [1, 1, 3, 0]


def test_losses_are_least_for_the_truth() -> None:
    """Of several labels each counts; of a number its distance."""
    answers = np.array([[1.0, 0.0]])
    sure, unsure = np.array([[0.99, 0.01]]), np.array([[0.6, 0.4]])
    assert losses(TAGS, sure, answers) < losses(TAGS, unsure, answers)
    number = Head(Kind.REGRESSION, (), mean=10, spread=2)
    assert losses(number, np.array([[1.0]]), np.array([12.0])).tolist() == [0]


def test_a_threshold_is_the_one_that_chooses_best() -> None:
    """A scorer that is never sure is still of use; of too few items nothing is concluded."""
    answers = np.zeros((40, 1), np.float32)
    answers[:10] = 1
    outputs = np.where(answers == 1, 0.31, 0.12)
    assert choose_threshold(outputs, answers) == 0.3
    assert choose_threshold(np.where(answers == 1, 0.9, 0.1), answers) == 0.5
    assert choose_threshold(outputs[:15], answers[:15]) == 0.5


# --- measures ----------------------------------------------------------------------------------


def test_several_labels_have_micro_f1_and_its_interval() -> None:
    """As scikit-learn's; the interval is of the items, which are drawn again."""
    answers = (CHANCE.random((300, 4)) < 0.3).astype(np.float32)
    outputs = np.clip(answers * 0.4 + CHANCE.random((300, 4)) * 0.6, 0, 1)
    chosen = answers_of(Kind.MULTILABEL, outputs, 0.5)
    value, (low, high) = quality(Kind.MULTILABEL, chosen, answers)
    assert value == pytest.approx(f1_score(answers, chosen, average="micro"), abs=1e-4)
    assert low < value < high
    assert high - low < 0.1
    assert 0.5 < average_precision(outputs, answers) < 1
    assert quality(Kind.MULTILABEL, chosen, answers).interval == (low, high)  # no chance in it


def test_a_number_has_mean_absolute_error_and_r2() -> None:
    """In its own unit, and as the share of variance that is explained."""
    answers = CHANCE.normal(500, 100, 400)
    found = answers + CHANCE.normal(0, 30, 400)
    value, (low, high) = quality(Kind.REGRESSION, found, answers)
    assert value == pytest.approx(np.abs(found - answers).mean(), rel=1e-4)
    assert low < value < high < 30
    explained = r2(found, answers)
    assert explained.value == pytest.approx(r2_score(answers, found), abs=1e-4)
    assert explained.interval[0] < explained.value < explained.interval[1]
    assert r2(np.full(400, answers.mean()), answers).value == pytest.approx(0, abs=1e-9)


def test_the_best_guess_is_one_answer_for_all() -> None:
    """The commonest label, the commonest set of labels, the median."""
    assert guess_of(Kind.CLASSIFICATION, np.array([0, 2, 2]), 3).tolist() == [2]
    sets = np.array([[1, 0], [1, 1], [1, 1]], np.float32)
    assert guess_of(Kind.MULTILABEL, sets, 2).tolist() == [[True, True]]
    assert guess_of(Kind.REGRESSION, np.array([1.0, 2.0, 90.0]), 0).tolist() == [2]


def test_numbers_are_drawn_as_dots_along_a_diagonal() -> None:
    """Dots of right answers cover it; a dot far off lies at the edge."""
    right = np.array([0.0, 10.0])
    image = draw_scatter(right, np.array([0.0, 99.0]))
    assert image.getpixel((60, 480)) == image.getpixel((480, 60)) == (0x32, 0x67, 0xC8)
    assert draw_scatter(np.array([5.0]), np.array([5.0])).size == image.size
