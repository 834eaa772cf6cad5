"""What is told of a release's quality: beside accuracy, what it would be worth to guess."""

import json
import random
from pathlib import Path

import numpy as np

from models.manifest import Manifest, ScorerSpec
from models.training.evaluation import commonest_share, label_counts
from models.training.examples import read_examples
from models.training.tables import MAX_LABELS, evaluation_table, label_table

Counts = dict[str, dict[str, int]]


def counted(trained: list[int], held_out: list[int], right: list[int]) -> Counts:
    """Counts of labels "a", "b", ... from how many there are of each."""
    labels = tuple("abcdefgh"[: len(trained)])
    answers = [np.repeat(np.arange(len(labels)), numbers) for numbers in (trained, held_out)]
    correct = [one < right[label] for label, count in enumerate(held_out) for one in range(count)]
    return label_counts(labels, *answers, np.array(correct, bool))


def evaluated(**labels: Counts) -> Manifest:
    evaluation = {
        "accuracy": {name: {"both": 0.9, "image_only": None, "text_only": 0.9} for name in labels},
        "commonest_share": {name: commonest_share(counts) for name, counts in labels.items()},
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
    answers = [one.answers["fraud"] for one in (training, held_out)]
    counts = label_counts(("no", "yes"), *answers, np.ones(len(answers[1]), bool))
    assert commonest_share(counts) == 0.875
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
