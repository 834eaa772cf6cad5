"""One release with a scorer of each kind, trained on partly labelled lines, and what it serves."""

import json
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from builders import Ran, fields, message, run
from source import REPOSITORY

from beam_pipeline.config import Config
from beam_pipeline.endpoints import file_ends, memory_ends
from beam_pipeline.graph import build
from models.current_pointer import current_pointer
from models.manifest import GOLDEN, Kind, Manifest
from models.release import Pointer, fetch_release, read_manifest, write_pointer
from models.training.samples import write_listings
from models.training.train import TOLERANCE, train
from testudo import cli
from testudo.commands.engines import FilesEngine
from transforms.outcomes import prediction_line

COUNT = 210
PICTURED = 40  # of them
SIZE_PX = 32
DECIDE = """
def decide(scores, fields):
    return {"tags": sorted(scores["tags"]), "dear": scores["price"] > 5_000}
"""
WORDS = {"shiny": 9_000, "worn": 1_000}  # a word of the text, and what it makes the price


class Trained(NamedTuple):
    root: str
    manifest: Manifest
    items: Path
    said: str


def labelled(number: int, line: dict[str, Any]) -> dict[str, Any]:
    """An item whose words say all; a third has no category, others have no tags or no price."""
    chance = Random(number)
    words = [one for one in WORDS if chance.random() < 0.5]
    price = 3_000 + sum(WORDS[one] for one in words) + chance.uniform(-200, 200)
    category = line["labels"]["category"]
    labels = {"category": category, "tags": words, "price": round(price)}
    if number % 3 == 0:
        del labels["category"]
    if number % 6 in (1, 2):
        labels[("tags", "price")[number % 2]] = None
    kept = {key: one for key, one in line.items() if key != "image" or number < PICTURED}
    return {**kept, "text": f"a {category} {' '.join(words)}", "labels": labels}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("heads")
    items = write_listings(folder / "samples", COUNT, seed=3)
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    texts = (json.dumps(labelled(number, line)) + "\n" for number, line in enumerate(lines))
    items.write_text("".join(texts))
    (folder / "mine.py").write_text(DECIDE)
    said: list[str] = []
    manifest = train(
        items,
        str(folder / "releases"),
        size_px=SIZE_PX,
        epochs=1,
        functions=folder / "mine.py",
        report=said.append,
    )
    write_pointer(str(folder / "releases"), Pointer(manifest.release))
    return Trained(str(folder / "releases"), manifest, items, "\n".join(said))


def config_for(made: Trained, tmp_path: Path, **changes: Any) -> Config:
    return Config(
        output=str(tmp_path / "out"), releases=made.root, image_batch_size=8,
        text_batch_size=8, score_batch_size=8, **changes,
    )  # fmt: skip


def scored(made: Trained, tmp_path: Path, *texts: str) -> Ran:
    current_pointer.cache_clear()
    messages = [message(fields(item_id=f"i{n}", text=text)) for n, text in enumerate(texts)]
    config = config_for(made, tmp_path)
    return run(lambda pipeline: build(pipeline, config, memory_ends(messages)))


# --- training ----------------------------------------------------------------------------------


def test_a_release_has_a_scorer_of_each_kind(made: Trained) -> None:
    """As the data says; what a number needs besides is how much it varies."""
    kinds = {one.name: (one.kind, one.labels) for one in made.manifest.scorers}
    assert kinds["tags"] == (Kind.MULTILABEL, ("shiny", "worn"))
    assert kinds["price"] == (Kind.REGRESSION, ())
    assert kinds["category"][0] is Kind.CLASSIFICATION
    spread = next(one.spread for one in made.manifest.scorers if one.kind is Kind.REGRESSION)
    assert 3_000 < spread < 6_000
    assert read_manifest(made.root, made.manifest.release).scorers == made.manifest.scorers


def test_each_kind_is_learnt_from_the_lines_that_have_it(made: Trained) -> None:
    """Far better than one answer for all, by the measure of its kind."""
    evaluation = made.manifest.evaluation
    assert evaluation["micro_f1"]["tags"]["text_only"] > 0.9
    assert evaluation["average_precision"]["tags"] > 0.9
    assert evaluation["best_guess"]["tags"] < 0.8
    assert evaluation["mean_absolute_error"]["price"]["text_only"] < 1_500
    assert evaluation["best_guess"]["price"] > 3_000
    assert evaluation["r2"]["price"] > 0.7
    assert set(evaluation["accuracy"]) == {"category"}
    for name, views in evaluation["baselines"].items():
        assert "text_only" in views, name
    counts = evaluation["labels"]["tags"]["worn"]
    assert 0 < counts["right"] <= counts["held_out"] < evaluation["held_out"]


def test_exported_files_compute_what_their_models_do(made: Trained) -> None:
    """A number within a thousandth of its spread; it is golden too."""
    assert max(made.manifest.evaluation["largest_difference"].values()) <= TOLERANCE
    assert GOLDEN in made.manifest.files
    assert "evaluation/price.png" in made.manifest.files
    assert "evaluation/category.png" in made.manifest.files


def test_training_prints_each_with_its_measure(made: Trained) -> None:
    """In the tables of all scorers."""
    for said in ("tags, micro-F1", "price, mean absolute error", "price: R2 0.", "the median"):
        assert said in made.said


# --- serving -----------------------------------------------------------------------------------


def test_rows_have_labels_that_are_chosen_and_numbers(made: Trained, tmp_path: Path) -> None:
    """Through the whole graph; `decide` gets probabilities by label, and a number."""
    ran = scored(made, tmp_path, "a mug shiny", "a mug worn", "a mug")
    assert "dead_letters" not in ran.records
    rows = {one.joined.envelope.item_id: prediction_line(one) for one in ran.records["predictions"]}
    tags = {
        item_id: [s["label"] for s in row["scores"] if s["model"] == "tags" and s["chosen"]]
        for item_id, row in rows.items()
    }
    assert tags == {"i0": ["shiny"], "i1": ["worn"], "i2": []}
    (price,) = (s for s in rows["i0"]["scores"] if s["model"] == "price")
    assert price["value"] == pytest.approx(12_000, abs=3_000)
    assert (price["label"], price["score"], price["chosen"]) == (None, None, None)
    categories = [s for s in rows["i0"]["scores"] if s["model"] == "category"]
    assert sum(s["score"] for s in categories) == pytest.approx(1, abs=1e-5)
    assert {s["chosen"] for s in categories} == {None}
    decisions = {item_id: json.loads(row["decisions"]) for item_id, row in rows.items()}
    assert decisions["i0"] == {"tags": ["shiny", "worn"], "dear": True}
    assert decisions["i2"]["dear"] is False


def test_rows_of_files_are_asked_as_those_of_bigquery(made: Trained, tmp_path: Path) -> None:
    """Which labels, and which number; who asks for scores alone gets no numbers."""
    current_pointer.cache_clear()
    source = tmp_path / "in.jsonl"
    texts = {"a": "a mug shiny worn", "b": "a lamp"}
    lines = [json.dumps(fields(item_id=one, text=text)) for one, text in texts.items()]
    source.write_text("\n".join(lines))
    config = config_for(made, tmp_path, input_file=str(source))
    run(lambda pipeline: build(pipeline, config, file_ends(config)))
    engine = FilesEngine(tmp_path / "out")
    chosen = """SELECT item_id, s.label
      FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
      WHERE s.model = 'tags' AND s.chosen ORDER BY 1, 2"""
    assert engine.ask(chosen).rows == [("a", "shiny"), ("a", "worn")]
    price = """SELECT item_id FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
      WHERE s.model = 'price' AND s.value > 9000"""
    assert engine.ask(price).rows == [("a",)]
    sure = """SELECT DISTINCT s.model
      FROM `{dataset}.latest_predictions` AS p, UNNEST(p.scores) AS s
      WHERE s.score >= 0 ORDER BY 1"""
    assert engine.ask(sure).rows == [("category",), ("tags",)]
    page = (REPOSITORY / "docs/use.md").read_text(encoding="utf-8")
    documented = page.split("### Scores")[1].split("```sql\n")[1].split("```")[0]
    found = {item_id: (tags, price) for item_id, tags, price in engine.ask(documented).rows}
    assert (sorted(found["a"][0]), found["b"][0]) == (["shiny", "worn"], [])
    assert found["a"][1] > 9_000 > found["b"][1]


def test_one_item_is_tried(made: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is chosen, and the number."""
    command = ["try", f"--releases={made.root}", "--text", "a mug shiny"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    (shiny,) = (line for line in said.splitlines() if "tags" in line and "shiny" in line)
    assert "(chosen)" in shiny
    assert any("price" in line for line in said.splitlines())


# --- judging -----------------------------------------------------------------------------------


def test_a_release_is_evaluated_by_each_kind(
    made: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the items that have such a label; a release is no worse than itself."""
    where = [f"--releases={made.root}", f"--manifest={made.items}", "--held_out", "--format=json"]
    assert cli.main(["release", "evaluate", made.manifest.release, *where]) == 0
    found = json.loads(capsys.readouterr().out)["scorers"]
    trained = made.manifest.evaluation
    assert found["tags"]["micro_f1"] > 0.9
    assert found["price"]["r2"] == pytest.approx(trained["r2"]["price"], abs=0.01)
    assert 0 <= found["category"]["accuracy"] <= 1
    same = [made.manifest.release] * 2
    assert cli.main(["release", "compare", *same, *where]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["verdict"] == "within chance"
    rows = {one["what"]: one["verdict"] for one in compared["rows"]}
    assert rows["tags: micro-F1"] == rows["price: mean absolute error"] == "within chance"


def test_labels_of_another_kind_are_refused_by_name(
    made: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is scored."""
    lines = [
        {"item_id": str(n), "text": "a mug", "labels": {"tags": str(n % 2), "price": n}}
        for n in range(4)
    ]
    items = tmp_path / "items.jsonl"
    items.write_text("\n".join(map(json.dumps, lines)))
    where = [f"--releases={made.root}", f"--manifest={items}"]
    assert cli.main(["release", "evaluate", made.manifest.release, *where]) == 2
    said = f"--manifest: label 'tags' is a text, and a list to {made.manifest.release}"
    assert said in capsys.readouterr().err


def test_the_list_of_releases_has_each_measure(
    made: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one release says which labels are several, and from where on they are chosen."""
    assert cli.main(["release", "list", f"--releases={made.root}"]) == 0
    assert "(micro-F1)" in capsys.readouterr().out
    show = ["release", "show", f"--releases={made.root}", f"--release={made.manifest.release}"]
    assert cli.main(show) == 0
    said = capsys.readouterr().out
    assert "shiny, worn; several, from 0." in said
    assert "a number" in said


def test_a_golden_number_is_that_of_the_files(made: Trained, tmp_path: Path) -> None:
    """Read as it was written, with its value and no score."""
    _, folder = fetch_release(made.root, made.manifest.release, tmp_path)
    (first, *_) = json.loads((folder / GOLDEN).read_text())["items"]
    by_model = {one[0]: one for one in first["scores"]}
    assert len(by_model["category"]) == 3
    assert np.isfinite(by_model["price"][4])
