"""Training from a manifest to a release, on a set too small to learn much from."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.failures import Stage
from models.features import decode_image, pack_features, unpack_features, widened
from models.functions import Functions
from models.litert import LiteRTModel
from models.manifest import ENCODER, FUNCTIONS, TEXT_TRANSFORM, Manifest, ReleaseError, presence_of
from models.release import Pointer, fetch_release, read_pointer, write_pointer
from models.text_transform import TextTransform
from models.training.evaluation import rehearse_decide
from models.training.rehearsal import FunctionFailed
from models.training.samples import draw_listings, write_listings
from models.training.train import TOLERANCE, TrainingFailed, check_differences, train
from testudo import cli
from testudo.commands.train import take_up

COUNT = 160
SIZE_PX = 48


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sample listings; of the first ten, five lack the text and five the image."""
    manifest = write_listings(tmp_path_factory.mktemp("samples"), COUNT, seed=1)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for number in range(10):
        lines[number]["image" if number % 2 else "text"] = ""
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def trained(samples: Path, releases: str) -> Manifest:
    return train(samples, releases, size_px=SIZE_PX, epochs=1, report=lambda line: None)


@pytest.fixture(scope="module")
def bundle(trained: Manifest, releases: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release, fetched as a worker fetches it."""
    return fetch_release(releases, trained.release, tmp_path_factory.mktemp("cache"))[1]


def features(bundle: Path, trained: Manifest, count: int) -> dict[str, np.ndarray]:
    """What `count` listings become in the two branches, packed and unpacked."""
    listings = list(draw_listings(count, seed=9))
    pixels = [decode_image(one.image_jpeg, size_px=SIZE_PX)[0] for one in listings]
    embedded = LiteRTModel(bundle / ENCODER)({"image": np.stack(pixels)})
    images = pack_features(trained.features[Stage.IMAGE], embedded)
    texts = TextTransform(bundle / TEXT_TRANSFORM, trained.features[Stage.TEXT])(
        [one.text for one in listings]
    )
    return unpack_features(trained.features[Stage.IMAGE], images) | unpack_features(
        trained.features[Stage.TEXT], texts
    )


def test_every_file_has_the_digest_that_the_manifest_says(bundle: Path) -> None:
    """A release verifies when it is fetched, and a changed file is found out."""
    assert (bundle / ENCODER).stat().st_size > 100_000  # its weights are in it


def test_a_release_with_a_changed_file_is_refused(
    trained: Manifest, bundle: Path, releases: str, tmp_path: Path
) -> None:
    """Digests are of the content: one byte more is another file."""
    path = Path(releases) / trained.release / ENCODER
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"\0")
        with pytest.raises(ReleaseError, match=ENCODER):
            fetch_release(releases, trained.release, tmp_path)
    finally:
        path.write_bytes(content)


def test_each_label_name_has_a_scorer_with_its_labels(trained: Manifest) -> None:
    """Scorers and labels come from the manifest, and from nowhere else."""
    labels = {scorer.name: scorer.labels for scorer in trained.scorers}
    assert labels == {
        "category": ("bag", "chair", "clock", "lamp", "mug", "shirt"),
        "mismatch": ("no", "yes"),
    }


def test_scorers_take_what_the_manifest_says_they_take(trained: Manifest, bundle: Path) -> None:
    """Names are those of the release's features and of the presence flags."""
    known = {spec.name for specs in trained.features.values() for spec in specs}
    known |= {presence_of(branch).name for branch in trained.features}
    for scorer in trained.scorers:
        model = LiteRTModel(bundle / scorer.path)
        assert set(model.inputs) == set(scorer.inputs) <= known
        assert model.outputs["scores"].shape == (len(scorer.labels),)


def test_scores_are_probabilities_with_either_side_missing(trained: Manifest, bundle: Path) -> None:
    """An item with one side only is scored, its other side being zeros."""
    arrays = {name: widened(one) for name, one in features(bundle, trained, 5).items()}
    for has_image, has_text in ((1, 1), (1, 0), (0, 1)):
        inputs = {
            "embedding": arrays["embedding"] * np.float32(has_image),
            "token_ids": arrays["token_ids"] * np.int32(has_text),
            "term_ids": arrays["term_ids"] * np.int32(has_text),
            "term_weights": arrays["term_weights"] * np.float32(has_text),
            "has_image": np.full((5, 1), has_image, np.float32),
            "has_text": np.full((5, 1), has_text, np.float32),
        }
        for scorer in trained.scorers:
            scores = LiteRTModel(bundle / scorer.path)(inputs)["scores"]
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
            assert (scores >= 0).all()


def test_exported_files_compute_what_their_keras_models_do(trained: Manifest) -> None:
    """Every file was compared on held-out items, and is close, but for rounding."""
    differences = trained.evaluation["largest_difference"]
    assert set(differences) == {ENCODER, *(scorer.path for scorer in trained.scorers)}
    assert max(differences.values()) <= TOLERANCE


@pytest.mark.parametrize("difference", [0.5, float("nan")])
def test_an_exported_file_that_differs_fails_the_training(difference: float) -> None:
    """An export that lost its weights, or gives no numbers, is never released."""
    with pytest.raises(TrainingFailed, match="encoder.tflite by"):
        check_differences({"encoder.tflite": difference, "scorers/a.tflite": 0.0})


def test_the_evaluation_tells_how_it_was_made(trained: Manifest) -> None:
    """Accuracy by scorer and view, on how many items, and with what."""
    evaluation = trained.evaluation
    assert evaluation["held_out"] + evaluation["trained_on"] == COUNT
    assert evaluation["epochs"] == 1
    assert "tensorflow" in evaluation["versions"]
    for name in ("category", "mismatch"):
        accuracy, counts = evaluation["accuracy"][name], evaluation["labels"][name]
        assert set(accuracy) == {"both", "image_only", "text_only"}
        for part in ("trained_on", "held_out"):
            assert sum(one[part] for one in counts.values()) == evaluation[part]
        assert 0 < evaluation["best_guess"][name] < 1
        assert 0 <= evaluation["calibration_error"][name] < 1
        for view, share in accuracy.items():
            low, high = evaluation["intervals"][name][view]
            assert low <= share <= high
            assert 0 <= evaluation["baselines"][name][view]["accuracy"] <= 1
    assert evaluation["encoder"] == "small"


def test_features_are_small_and_of_the_promised_size(trained: Manifest, bundle: Path) -> None:
    """At most 2 KB an item crosses to the join."""
    arrays = features(bundle, trained, 3)
    specs = [spec for one in trained.features.values() for spec in one]
    assert sum(spec.size_bytes for spec in specs) <= 2_048
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        spec.name: (spec.dtype, (3, *spec.shape)) for spec in specs
    }


def test_a_confusion_matrix_is_drawn_for_each_scorer(trained: Manifest, bundle: Path) -> None:
    """A picture in the release, which its digests cover."""
    for scorer in trained.scorers:
        name = f"evaluation/{scorer.name}.png"
        assert name in trained.files
        with Image.open(bundle / name) as image:
            assert image.format == "PNG"


def test_a_text_has_the_same_features_in_any_batch(trained: Manifest, bundle: Path) -> None:
    """Neighbours, case, spaces and punctuation do not change what a text is."""
    transform = TextTransform(bundle / TEXT_TRANSFORM, trained.features[Stage.TEXT])
    alone = transform(["For sale: blue mug"])
    spellings = ["FOR  SALE:\tblue, mug!", "for sale blue mug", "a much longer text " * 30, ""]
    together = transform(spellings)
    assert together[0] == together[1] == alone[0]
    assert not any(together[3])
    assert transform([]) == []


def test_any_text_has_features(trained: Manifest, bundle: Path) -> None:
    """Emoji, other scripts, NUL and lone surrogates are words or separators."""
    transform = TextTransform(bundle / TEXT_TRANSFORM, trained.features[Stage.TEXT])
    assert len(transform(["\N{SNOWMAN} \0 ok", "\N{CYRILLIC SMALL LETTER A}", "\ud800"])) == 3


def test_a_folder_that_is_no_text_transform_is_refused(
    trained: Manifest, bundle: Path, tmp_path: Path
) -> None:
    """So is a transform that lacks a feature which the release promises."""
    with pytest.raises(ValueError, match="not a SavedModel"):
        TextTransform(tmp_path, trained.features[Stage.TEXT])
    with pytest.raises(ValueError, match="embedding"):
        TextTransform(bundle / TEXT_TRANSFORM, trained.features[Stage.IMAGE])


def test_serving_texts_needs_no_tensorflow_transform(trained: Manifest, bundle: Path) -> None:
    """A worker loads the text transform with tensorflow alone."""
    code = (
        "import sys; from pathlib import Path; from models.features import FeatureSpec\n"
        "from models.text_transform import TextTransform\n"
        "spec = FeatureSpec('token_ids', 'int16', (32,))\n"
        "assert any(TextTransform(Path(sys.argv[1]), (spec,))(['blue mug'])[0])\n"
        "assert 'tensorflow_transform' not in sys.modules\n"
    )
    folder = str(bundle / TEXT_TRANSFORM)
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, folder], check=True, cwd=root)


BEFORE = Pointer("old-1", canary="next-1", canary_share=0.2, tenants={"acme": "acmes-1"})


def test_a_new_release_takes_no_item_from_another(tmp_path: Path) -> None:
    """What current.json says of default, tenants and canary stays, unless it is activated."""
    write_pointer(str(tmp_path), BEFORE)
    said = take_up(str(tmp_path), "mine-1", activate=False)
    assert read_pointer(str(tmp_path)) == BEFORE
    assert "old-1 stays the default" in said
    said = take_up(str(tmp_path), "mine-1", activate=True)
    assert read_pointer(str(tmp_path)) == dataclasses.replace(BEFORE, default="mine-1")
    assert "in place of old-1" in said


def test_training_alone_changes_no_pointer(trained: Manifest, releases: str) -> None:
    """Whom a release scores is the command's to say."""
    assert trained.release.startswith("listings-")
    with pytest.raises(ReleaseError):
        read_pointer(releases)


# --- functions ---------------------------------------------------------------------------------

PREPARING = """
def prepare_text(text):
    return f"{text} zebra"

def decide(scores, fields):
    return {"labels": sorted(scores), "fields": fields}
"""


def test_the_command_trains_with_functions_and_activates(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models have seen what functions gave, the release has their file, and decide was called."""
    source = tmp_path / "mine.py"
    source.write_text(PREPARING)
    root = str(tmp_path / "releases")
    write_pointer(root, BEFORE)
    flags = ["--size_px=32", "--epochs=1", "--task=mine", "--activate", f"--functions={source}"]
    assert cli.main(["train", f"--manifest={samples}", f"--releases={root}", *flags]) == 0
    assert "prepare_text, decide: no failure on " in capsys.readouterr().out
    pointer = read_pointer(root)
    assert pointer == dataclasses.replace(BEFORE, default=pointer.default)
    assert pointer.default.startswith("mine-")
    made, folder = fetch_release(root, pointer.default, tmp_path / "cache")
    assert FUNCTIONS in made.files
    assert (folder / FUNCTIONS).read_text() == PREPARING
    (packed,) = TextTransform(folder / TEXT_TRANSFORM, made.features[Stage.TEXT])(["zebra"])
    weights = unpack_features(made.features[Stage.TEXT], [packed])["term_weights"]
    assert weights.any(), "a word of the prepared texts alone, and its terms are known"
    assert not list(tmp_path.glob("__pycache__"))


def test_a_function_that_fails_ends_the_training(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command: code 1, the item and the error, and no release."""
    source = tmp_path / "mine.py"
    source.write_text("def prepare_text(text): return text.split('no such')[1]")
    flags = ["train", f"--manifest={samples}", f"--releases={tmp_path / 'releases'}"]
    assert cli.main([*flags, "--size_px=32", f"--functions={source}"]) == 1
    said = capsys.readouterr().err
    assert "--functions: item '" in said
    assert "prepare_text: IndexError: list index out of range in prepare_text, mine.py" in said
    assert not (tmp_path / "releases").exists()


def test_decide_is_called_on_every_held_out_item(
    trained: Manifest, bundle: Path, tmp_path: Path
) -> None:
    """Without fields, as any message may come: what it needs of them, it has to do without."""
    source = tmp_path / "mine.py"
    source.write_text("def decide(scores, fields): return {'price': fields['price']}")
    inputs = {name: widened(one) for name, one in features(bundle, trained, 3).items()}
    inputs |= {name: np.ones((3, 1), np.float32) for name in ("has_image", "has_text")}
    with pytest.raises(FunctionFailed, match="item 'a' of the manifest: decide: KeyError: 'price'"):
        rehearse_decide(
            bundle, ["a", "b", "c"], trained.scorers, {"both": inputs}, Functions(source)
        )
