"""What is told of a release's quality: beside accuracy, what it would be worth to guess."""

import json
import random
from pathlib import Path

import numpy as np

from models.manifest import Kind, Manifest, ScorerSpec
from models.training.evaluation import label_counts
from models.training.examples import read_examples
from models.training.quality import guess_of, quality
from models.training.tables import (
    MAX_LABELS,
    baseline_table,
    evaluation_table,
    label_table,
    verdicts,
)

Counts = dict[str, dict[str, int]]


def counted(trained: list[int], held_out: list[int], right: list[int]) -> Counts:
    """Counts of labels "a", "b", ... from how many there are of each."""
    labels = tuple("abcdefgh"[: len(trained)])
    answers = [np.repeat(np.arange(len(labels)), numbers) for numbers in (trained, held_out)]
    correct = [one < right[label] for label, count in enumerate(held_out) for one in range(count)]
    return label_counts(labels, *answers, np.where(correct, answers[1], -1))


def evaluated(**labels: Counts) -> Manifest:
    evaluation = {
        "accuracy": {name: {"both": 0.9, "image_only": None, "text_only": 0.9} for name in labels},
        "best_guess": dict.fromkeys(labels, 0.875),
        "labels": labels,
        "largest_difference": {"encoder.tflite": 0.0}
        | {f"scorers/{name}.tflite": 0.0 for name in labels},
    }
    scorers = tuple(ScorerSpec(name, tuple(counts), ()) for name, counts in labels.items())
    return Manifest("a-1", "a", "", 8, {}, scorers, {}, evaluation)


def test_items_are_counted_by_label() -> None:
    """Those trained on, those held out, and those of them that were answered right."""
    assert counted([5, 2, 0], [2, 1, 1], [2, 0, 1]) == {
        "a": {"trained_on": 5, "held_out": 2, "right": 2},
        "b": {"trained_on": 2, "held_out": 1, "right": 0},
        "c": {"trained_on": 0, "held_out": 1, "right": 1},
    }


def test_the_commonest_label_is_the_one_that_training_saw(tmp_path: Path) -> None:
    """Where one line in twenty is "yes" by chance, "no" alone is right on 42 of 48."""
    chance = random.Random(5)
    lines = [
        {
            "item_id": f"i{number:05d}",
            "text": "words",
            "labels": {"fraud": "yes" if chance.random() < 0.05 else "no"},
        }
        for number in range(240)
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(one) + "\n" for one in lines))
    training, held_out = read_examples(manifest, tmp_path, size_px=8)
    trained, asked = (one.answers["fraud"] for one in (training, held_out))
    guess = guess_of(Kind.CLASSIFICATION, trained, 2)
    assert quality(Kind.CLASSIFICATION, guess, asked).value == 0.875
    counts = label_counts(("no", "yes"), trained, asked, asked)
    assert "0.875" in evaluation_table(evaluated(fraud=counts))


def test_every_label_is_shown_with_its_counts() -> None:
    """Commonest first, in quotes, so that spellings of one label are seen to be several."""
    counts = {
        "red": {"trained_on": 30, "held_out": 8, "right": 6},
        "red ": {"trained_on": 40, "held_out": 0, "right": 0},
    }
    rows = [line.split() for line in label_table(evaluated(colour=counts)).splitlines()]
    assert rows[1:] == [
        ["colour:", "'red", "'", "40", "0", "-"],
        ["colour:", "'red'", "30", "8", "0.750"],
    ]


def test_a_label_that_only_held_out_lines_have_is_named() -> None:
    """Nobody could have learnt it."""
    table = label_table(evaluated(sort=counted([5, 0, 0], [2, 1, 1], [2, 0, 0])))
    told = "sort: never trained on, as only held-out lines have them: 'b', 'c'"
    assert told in table.splitlines()
    assert "never" not in label_table(evaluated(sort=counted([5, 1], [2, 1], [2, 0])))


def test_a_thousand_labels_are_cut_short() -> None:
    """The release's manifest has all of them."""
    many = {str(n): {"trained_on": n, "held_out": 1, "right": 1} for n in range(1_000)}
    lines = label_table(evaluated(number=many)).splitlines()
    assert lines[MAX_LABELS + 1] == "number: and 980 more, in the release's manifest.json"
    assert len(lines) == MAX_LABELS + 3


def test_labels_given_at_once_are_counted_each(tmp_path: Path) -> None:
    """An item counts for every label that it has; right are those that were chosen."""
    trained, asked = np.array([[1, 0], [1, 1]]), np.array([[1, 1], [1, 0]])
    assert label_counts(("a", "b"), trained, asked, np.array([[1, 0], [0, 1]])) == {
        "a": {"trained_on": 2, "held_out": 2, "right": 1},
        "b": {"trained_on": 1, "held_out": 1, "right": 0},
    }


def test_each_kind_has_its_measure_beside_its_baselines() -> None:
    """A number's error is better when it is less; what does not beat them is said in words."""
    scorers = (
        ScorerSpec("tags", ("a", "b"), (), Kind.MULTILABEL, threshold=0.35),
        ScorerSpec("price", (), (), Kind.REGRESSION, spread=40.0),
    )

    def by_view(value: object) -> dict[str, object]:
        return dict.fromkeys(("both", "image_only", "text_only"), value)

    evaluation = {
        "micro_f1": {"tags": by_view(0.8)},
        "mean_absolute_error": {"price": by_view(12.25)},
        "intervals": {"tags": by_view((0.7, 0.9)), "price": by_view((10.0, 14.5))},
        "best_guess": {"tags": 0.4, "price": 14.0},
        "average_precision": {"tags": 0.85},
        "r2": {"price": 0.61},
        "r2_interval": {"price": (0.5, 0.7)},
        "baselines": {
            "tags": by_view({"micro_f1": 0.7, "interval": (0.6, 0.8)}),
            "price": by_view({"mean_absolute_error": 9.0, "interval": (8.0, 10.5)}),
        },
        "largest_difference": dict.fromkeys(
            ("encoder.tflite", "scorers/tags.tflite", "scorers/price.tflite"), 0.0
        ),
    }
    manifest = Manifest("a-1", "a", "", 8, {}, scorers, {}, evaluation)
    rows = [line.split() for line in evaluation_table(manifest).splitlines()]
    assert rows[1][:6] == ["tags,", "micro-F1", "0.800", "0.800", "0.800", "0.400"]
    assert rows[2][:8] == ["price,", "mean", "absolute", "error", *["12.25"] * 3, "14"]
    table = baseline_table(manifest)
    assert "tags: average precision 0.850; chosen from 0.35 on" in table
    assert "price: R2 0.610 (0.500-0.700)" in table
    assert "12.25 (10-14.5)" in table
    assert verdicts(manifest).splitlines()[:2] == [
        "price from both: not surely below the median (14)",
        "price from both: does NOT beat TF-IDF and encoder, linear: 12.25 against 9 (surely)",
    ]
    assert "tags" not in verdicts(manifest)
