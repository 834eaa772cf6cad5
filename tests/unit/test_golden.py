"""Golden items: a release that gives something else than in training is not loaded."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Releases
from release_variants import variant

from models.facts import Encoded, Score, Scores
from models.failures import Failure, Reason, Stage
from models.features import FeatureSpec, ImageLimits, pack_features
from models.golden import GoldenItem, check_golden, from_json, read_golden, to_json
from models.isolation import ModelProcess
from models.kernels import Answer, CallLimits
from models.loaded import LoadedReleases
from models.manifest import FUNCTIONS, GOLDEN, Kind, Manifest, ReleaseError, ScorerSpec
from models.model_process import Setup
from models.release_cache import release_folder
from models.training.golden_items import choose_golden
from models.training.manifest_lines import LabelledItem

SPECS = (FeatureSpec("embedding", "float16", (2,)), FeatureSpec("ids", "int16", (2,)))
PRICE = ScorerSpec("price", (), (), Kind.REGRESSION, spread=40.0)
MANIFEST_OF_TWO = Manifest("mine-0", "mine", "", 8, {Stage.TEXT: SPECS}, (PRICE,), {}, {})


def packed(embedding: tuple[float, float], ids: tuple[int, int]) -> bytes:
    (one,) = pack_features(SPECS, {"embedding": [embedding], "ids": [ids]})
    return one


def golden(features: bytes = b"", scores: tuple[Score, ...] = ()) -> GoldenItem:
    return GoldenItem("a1", b"", "a mug", {Stage.TEXT: features}, scores)


def judged(item: GoldenItem, result: object, stage: Stage = Stage.TEXT) -> str:
    """What is wrong with the answer of a kernel that gives this; empty where nothing is."""
    try:
        check_golden(stage, lambda batch: [Answer(result, 0)] * len(batch), MANIFEST_OF_TWO, [item])
    except ReleaseError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def loaded(root: str, stage: Stage) -> Iterator[LoadedReleases]:
    process = ModelProcess(Setup(stage, CallLimits(), ImageLimits()))
    try:
        yield LoadedReleases(root, stage, process)
    finally:
        process.close()


@pytest.mark.parametrize("embedding", [(1.0, -0.5), (1.01, -0.51)])
def test_features_may_differ_by_what_processors_do(embedding: tuple[float, float]) -> None:
    """By a hundredth of the largest number, which is above what roundings make."""
    item = golden(packed((1.0, -0.5), (3, 7)))
    assert judged(item, Encoded(packed(embedding, (3, 7)), None, {})) == ""


@pytest.mark.parametrize(
    ("embedding", "ids", "said"),
    [
        ((1.0, -0.4), (3, 7), "'a1': embedding[1] wanted -0.5, got -0.399902 (allowed 0.01)"),
        ((1.0, -0.5), (3, 8), "'a1': ids[1] wanted 7, got 8 (allowed 0)"),
    ],
)
def test_other_features_are_named(
    embedding: tuple[float, float], ids: tuple[int, int], said: str
) -> None:
    """The item, the number, what was wanted and what it got; whole numbers are exact."""
    item = golden(packed((1.0, -0.5), (3, 7)))
    assert said in judged(item, Encoded(packed(embedding, ids), None, {}))


def test_no_answer_is_another_answer() -> None:
    """A failure, features where there were none, and none where there were some."""
    some = packed((1.0, -0.5), (3, 7))
    failed = Failure(Stage.TEXT, Reason.FUNCTION_FAILED, "prepare_text: KeyError")
    assert "got function_failed: prepare_text" in judged(golden(some), failed)
    assert "wanted features, got none" in judged(golden(some), Encoded(b"", None, {}))
    assert "wanted no features, got some" in judged(golden(), Encoded(some, None, {}))


def test_a_picture_beyond_the_jobs_limits_says_nothing_of_the_release() -> None:
    """A job that takes small pictures alone may use any release."""
    too_large = Failure(Stage.TEXT, Reason.IMAGE_TOO_LARGE, "")
    assert judged(golden(packed((1, 1), (1, 1))), too_large) == ""


def test_golden_items_are_read_as_they_were_written() -> None:
    """Bytes, texts of any script, and scores to the last digit."""
    scores = [
        Score("kind", "tasse", 0.1 + 0.2),
        Score("tags", "neu", 0.5, chosen=True),
        Score("price", None, None, value=1e9 + 0.1),
    ]
    items = [GoldenItem("ä\n", bytes(range(256)), "a \u0000 mug ☕", {"image": b"\x00"}, scores)]
    assert from_json(to_json(items)) == items
    first, *_ = json.loads(to_json(items))["items"][0]["scores"]
    assert first == ["kind", "tasse", 0.1 + 0.2], "as versions without other kinds read it"


def test_a_number_may_differ_by_a_hundredth_of_its_spread() -> None:
    """Whatever its unit: 0.4 of a price that varies by 40."""
    item = golden(scores=(Score("price", None, None, value=200.0),))

    def said(value: float) -> str:
        return judged(item, Scores([Score("price", None, None, value=value)]), Stage.SCORE)

    assert said(200.39) == ""
    assert "price wanted 200.0000, got 200.4100 (allowed 0.4)" in said(200.41)
    assert "price wanted 200.0000, got nan" in said(float("nan"))


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "items": [{}]}'])
def test_a_file_that_holds_no_golden_items_is_refused(text: str) -> None:
    """By its name: such a release is not used, as it cannot be proven."""
    with pytest.raises(ReleaseError, match=r"golden\.json"):
        from_json(text)


def test_golden_items_lack_a_picture_and_a_text_too() -> None:
    """Spread over the held-out items; the last two show one side each."""
    items = [LabelledItem(n, f"i{n}", f"{n}.jpg", "a mug", {}) for n in range(100)]
    chosen = choose_golden(items, 8)
    assert [one.item_id for one in chosen] == [f"i{n}" for n in range(0, 96, 12)]
    assert [bool(one.image) for one in chosen] == [True] * 7 + [False]
    assert [bool(one.text) for one in chosen] == [True] * 6 + [False, True]
    assert choose_golden(items, 0) == []


def test_a_trained_release_has_them_and_loads(releases: Releases) -> None:
    """Each stage gives what training wrote down; the file has a digest as any other."""
    folder = Path(releases.root) / releases.first.release
    assert len(read_golden(releases.first, folder)) == 8
    for stage in (Stage.IMAGE, Stage.TEXT, Stage.SCORE):
        with loaded(releases.root, stage) as models:
            assert models.prepare(releases.first.release) == models.prepare(releases.first.release)
            assert models.loaded == {releases.first.release}


INVERTED = (
    "from PIL import ImageOps\n\ndef prepare_image(image):\n    return ImageOps.invert(image)"
)
SHOUTED = "def prepare_text(text):\n    return text + ' indeed'"


@pytest.mark.parametrize(
    ("stage", "files", "said"),
    [
        (Stage.IMAGE, {FUNCTIONS: INVERTED}, ": embedding["),
        (Stage.TEXT, {FUNCTIONS: SHOUTED}, ": token_ids["),
        (Stage.SCORE, {}, ": wanted scores of"),
        (Stage.SCORE, {GOLDEN: "{}"}, "golden.json cannot be read: KeyError"),
    ],
)
def test_a_release_that_gives_something_else_is_not_loaded(
    releases: Releases, tmp_path: Path, stage: Stage, files: dict[str, str], said: str
) -> None:
    """Pictures or texts prepared in another way, labels in another order: by golden item."""
    scorers = tuple(
        dataclasses.replace(one, labels=one.labels[::-1]) for one in releases.first.scorers
    )
    fields = {} if files else {"scorers": scorers}
    release = variant(releases.root, releases.first, tmp_path, files=files, **fields).release
    with loaded(releases.root, stage) as models:
        failure = models.prepare(release)
    assert isinstance(failure, Failure)
    assert failure.reason == Reason.RELEASE_UNAVAILABLE
    assert said in failure.detail


def test_a_release_without_golden_items_loads(releases: Releases, tmp_path: Path) -> None:
    """As those that were trained before there were any."""
    made = variant(releases.root, releases.first, tmp_path, without=[GOLDEN])
    assert read_golden(made, Path(releases.root) / made.release) == []
    with loaded(releases.root, Stage.SCORE) as models:
        assert models.prepare(made.release) == release_folder() / made.release
