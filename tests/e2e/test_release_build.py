"""`testudo release build`: other files in the place of a release's, checked, saved, and served."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from builders import jpeg
from conftest import Releases
from onnx_files import encoder_file, scorer_file

from models.failures import Stage
from models.features import FeatureSpec
from models.manifest import FUNCTIONS, Manifest
from models.release import find_pointer, read_manifest
from models.saved_model import SIGNATURE
from testudo import cli
from testudo.build_spec import read_spec
from testudo.building import build_release
from testudo.errors import CommandError
from testudo.trial import Item, try_item

DECIDE = "def decide(scores, fields):\n    return {'seen': sorted(scores)}\n"
ITEM = Item(jpeg(60, 40), "a red mug")


def text_transform(folder: Path, *, takes: str = "text") -> Path:
    """Each text's length in bytes, as a feature of its own."""
    module = tf.Module()

    def lengths(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"length": tf.cast(tf.strings.length(texts[takes]), tf.float32)[:, tf.newaxis]}

    spec = tf.TensorSpec((None,), tf.string, name=takes)
    module.lengths = tf.function(lengths, autograph=False)
    signature = module.lengths.get_concrete_function(**{takes: spec})
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: signature})
    return folder


def built(folder: Path, root: str, *lines: str) -> Manifest:
    (folder / "spec.toml").write_text("\n".join(['task = "built"', *lines]), encoding="utf-8")
    return build_release(read_spec(folder / "spec.toml"), root)


def refusal(folder: Path, root: str, *lines: str) -> str:
    before = sorted(Path(root).iterdir()) if Path(root).is_dir() else []
    with pytest.raises(CommandError) as refused:
        built(folder, root, *lines)
    assert before == (sorted(Path(root).iterdir()) if Path(root).is_dir() else [])
    return str(refused.value)


def own_files(folder: Path, **encoder: object) -> tuple[str, ...]:
    """Everything of one's own: an encoder, texts, and a scorer of both."""
    encoder_file(folder / "encoder.onnx", **encoder)  # type: ignore[arg-type]
    inputs = {"embedding": 6, "length": 1, "has_image": 1}
    scorer_file(folder / "mood.onnx", labels=2, inputs=inputs)
    return (
        'encoder = "encoder.onnx"',
        "size_px = 32",
        'text_transform = "texts"',
        "[scorers.mood]",
        'file = "mood.onnx"',
        'labels = ["good", "bad"]',
    )


def test_a_release_of_ones_own_files_scores_items(tmp_path: Path) -> None:
    """Nothing in it was trained here; its features are what its files give."""
    text_transform(tmp_path / "texts")
    root = str(tmp_path / "releases")
    made = built(tmp_path, root, *own_files(tmp_path))
    assert made.release.startswith("built-")
    assert made.features == {
        Stage.IMAGE: (FeatureSpec("embedding", "float16", (6,)),),
        Stage.TEXT: (FeatureSpec("length", "float32", (1,)),),
    }
    assert set(made.scorers[0].inputs) == {"embedding", "length", "has_image"}
    assert {"encoder.onnx", "scorers/mood.onnx"} <= made.files.keys()
    assert find_pointer(root) is None
    trial = try_item(root, made.release, ITEM)
    assert not trial.failures
    scores = {one.label: one.score for one in trial.scores}
    assert scores.keys() == {"good", "bad"}
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)


def test_functions_may_change_and_nothing_else(releases: Releases, tmp_path: Path) -> None:
    """The models are the same files; without the functions it is the same release again."""
    (tmp_path / "functions.py").write_text(DECIDE, encoding="utf-8")
    made = built(tmp_path, releases.root, 'from = "default"', 'functions = "functions.py"')
    models = {name for name in releases.first.files if not name.startswith("evaluation/")}
    assert made.files.keys() - {FUNCTIONS} <= models
    assert all(
        releases.first.files[name] == made.files[name] for name in made.files.keys() & models
    )
    assert made.features == releases.first.features
    assert made.scorers == releases.first.scorers
    trial = try_item(releases.root, made.release, ITEM)
    assert trial.decisions_json == '{"seen":["category","mismatch"]}'
    again = built(tmp_path, releases.root, f'from = "{made.release}"', 'functions = ""')
    assert FUNCTIONS not in again.files


def test_one_scorer_may_change_and_one_may_go(releases: Releases, tmp_path: Path) -> None:
    """A scorer of another runtime beside one of the release; labels are its own."""
    width = releases.first.features[Stage.IMAGE][0].shape[0]
    scorer_file(tmp_path / "mood.onnx", labels=3, inputs={"embedding": width, "has_text": 1})
    made = built(
        tmp_path,
        releases.root,
        f'from = "{releases.first.release}"',
        'drop = ["mismatch"]',
        "[scorers.mood]",
        'file = "mood.onnx"',
        'labels = ["a", "b", "c"]',
    )
    assert [one.name for one in made.scorers] == ["category", "mood"]
    trial = try_item(releases.root, made.release, ITEM)
    assert not trial.failures
    assert {one.model for one in trial.scores} == {"category", "mood"}
    assert np.isfinite([one.score for one in trial.scores]).all()


def test_scorers_of_other_kinds_are_built_in_and_kept(releases: Releases, tmp_path: Path) -> None:
    """Several labels by a threshold of one's own, and a number; another release keeps them."""
    width = releases.first.features[Stage.IMAGE][0].shape[0]
    inputs = {"embedding": width, "has_text": 1}
    scorer_file(tmp_path / "tags.onnx", labels=2, inputs=inputs)
    scorer_file(tmp_path / "price.onnx", labels=1, inputs=inputs)
    lines = (
        f'from = "{releases.first.release}"',
        'drop = ["mismatch", "category"]',
        "[scorers.tags]",
        'file = "tags.onnx"',
        'labels = ["new", "red"]',
        'kind = "multilabel"',
        "threshold = 0.01",
        "[scorers.price]",
        'file = "price.onnx"',
        'kind = "regression"',
    )
    made = built(tmp_path, releases.root, *lines)
    trial = try_item(releases.root, made.release, ITEM)
    assert not trial.failures
    found = {(one.model, one.label): (one.chosen, one.value) for one in trial.scores}
    assert found[("price", None)] == (None, 1.0)  # softmax over one label
    assert {found[("tags", "new")][0], found[("tags", "red")][0]} <= {True, False}
    again = built(tmp_path, releases.root, f'from = "{made.release}"', 'drop = ["price"]')
    assert again.scorers == made.scorers[:1]


def test_an_encoder_of_another_width_is_refused_for_its_scorers(
    releases: Releases, tmp_path: Path
) -> None:
    """They were trained on another one: each says what it takes."""
    encoder_file(tmp_path / "encoder.onnx", size_px=32)
    said = refusal(
        tmp_path,
        releases.root,
        f'from = "{releases.first.release}"',
        "size_px = 32",
        'encoder = "encoder.onnx"',
    )
    assert "scorers.category: takes embedding as (n, 128), not (n, 6)" in said
    assert "scorers.mismatch: takes embedding as (n, 128), not (n, 6)" in said


def test_all_that_is_wrong_with_the_files_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Encoder, texts and functions, and how to export the encoder right; code 2, nothing saved."""
    text_transform(tmp_path / "texts", takes="words")
    lines = own_files(tmp_path, dtype="float", batch=1)
    (tmp_path / "functions.py").write_text("prepare = 1", encoding="utf-8")
    spec = tmp_path / "spec.toml"
    spec.write_text("\n".join(['task = "x"', 'functions = "functions.py"', *lines]))
    code = cli.main(["release", "build", str(spec), f"--releases={tmp_path / 'releases'}"])
    said = capsys.readouterr().err
    assert code == 2
    assert "encoder: takes image as float32, not uint8: pixels from 0 to 255" in said
    assert "encoder: takes image of exactly 1 at once: export it for any number" in said
    assert "text_transform: takes words, and must take text" in said
    assert "functions: functions.py has none of the functions" in said
    assert "torch.onnx.export(" in said
    assert not (tmp_path / "releases").exists()


def test_an_embedding_too_wide_for_the_join_is_refused(tmp_path: Path) -> None:
    """256 numbers cross to it; training would bring them down."""
    text_transform(tmp_path / "texts")
    lines = own_files(tmp_path, width=300)
    said = refusal(tmp_path, str(tmp_path / "releases"), *lines)
    assert "encoder: gives 300 numbers, and 256 at most cross to the join" in said


def test_the_first_release_becomes_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a trained one does, with what to type next."""
    text_transform(tmp_path / "texts")
    root = tmp_path / "releases"
    spec = tmp_path / "spec.toml"
    spec.write_text("\n".join(['task = "built"', *own_files(tmp_path)]), encoding="utf-8")
    assert cli.main(["release", "build", str(spec), f"--releases={root}"]) == 0
    said = capsys.readouterr().out
    pointer = find_pointer(str(root))
    assert pointer is not None
    assert read_manifest(str(root), pointer.default).evaluation["built"]["from"] is None
    assert f"It is the default of {root}" in said
    assert "Next: " in said
