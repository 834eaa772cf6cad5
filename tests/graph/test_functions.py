"""A team's functions in the whole graph: items get decisions, and what breaks fails alone."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Ran, encoded, fields, grain, message, quadrants, run
from conftest import Releases
from function_releases import with_functions
from PIL import Image

from beam_pipeline.config import Config
from beam_pipeline.endpoints import file_ends, memory_ends
from beam_pipeline.graph import build
from models.failures import Reason, Stage
from models.features import ImageLimits, decode_image
from models.isolation import ModelProcess
from models.kernels import CallLimits, ScoreKernel
from models.litert import LiteRTModel
from models.manifest import ENCODER, FUNCTIONS, Manifest
from models.model_process import Setup
from models.release import Pointer, fetch_release, read_manifest
from testudo.commands.engines import FilesEngine

SOURCE = """
from PIL import ImageOps

def prepare_text(text):
    import colorsys  # as it is called: this process may open files

    if "bad text" in text:
        raise ValueError("this team reads no bad text")
    if "number" in text:
        return 7
    return text.replace("azure", "blue")

def prepare_image(image):
    if image.getpixel((0, 0)) == (255, 255, 255):
        raise LookupError("too white")
    return ImageOps.invert(image).convert("L")

def decide(scores, fields):
    if fields.get("price") == 0:
        return {"price": float("nan")}
    label = max(scores["category"], key=scores["category"].get)
    return {"category": label, "dear": fields.get("price", 0) > 10, "labels": len(scores)}
"""
PICTURE = encoded(quadrants(90, 60), "JPEG")
WHITE = encoded(Image.new("RGB", (40, 40), "white"), "PNG")


@pytest.fixture
def manifest(releases: Releases, tmp_path: Path) -> Manifest:
    """The first release with functions, in use."""
    made = with_functions(releases.root, releases.first, SOURCE, tmp_path)
    releases.point(Pointer(made.release))
    return made


def with_image(data: bytes = PICTURE, **changes: Any) -> dict[str, Any]:
    return fields(image=base64.b64encode(data).decode(), **changes)


def config_for(releases: Releases, tmp_path: Path, **changes: Any) -> Config:
    return Config(
        output=str(tmp_path / "out"), releases=releases.root, image_batch_size=8,
        text_batch_size=8, score_batch_size=8, **changes,
    )  # fmt: skip


def score(releases: Releases, tmp_path: Path, *items: Mapping[str, Any]) -> Ran:
    config = config_for(releases, tmp_path)
    ends = memory_ends([message(one) for one in items])
    ran = run(lambda pipeline: build(pipeline, config, ends))
    assert "bugs" not in ran.counters
    return Ran({"predictions": [], "dead_letters": [], **ran.records}, ran.counters)


def predictions_of(ran: Ran) -> dict[str, Any]:
    return {one.joined.envelope.item_id: one for one in ran.records["predictions"]}


def test_bad_items_fail_alone_and_the_others_are_decided_on(
    manifest: Manifest, releases: Releases, tmp_path: Path
) -> None:
    """Each function breaks on one item of a batch: a dead letter of its stage; the rest score."""
    ran = score(
        releases,
        tmp_path,
        with_image(item_id="good"),
        fields(item_id="bad-text", text="a bad text"),
        fields(item_id="no-text", text="a number"),
        with_image(WHITE, item_id="bad-image"),
        with_image(WHITE, item_id="bad-both", text="a bad text"),
        fields(item_id="only-text"),
        with_image(encoded(grain(60, 60), "PNG"), item_id="only-image", text=None),
    )
    found = predictions_of(ran)
    assert found.keys() == {"good", "only-text", "only-image"}
    for one in found.values():
        decisions = json.loads(one.decisions_json)
        best = max((s for s in one.scores if s.model == "category"), key=lambda s: s.score)
        assert decisions == {
            "category": best.label,
            "dear": False,
            "labels": len(manifest.scorers),
        }
    dead = {
        one.envelope.item_id: [
            (failure.stage, failure.reason, failure.detail.split(" in ")[0])
            for failure in one.failures
        ]
        for one in ran.records["dead_letters"]
    }
    text = (Stage.TEXT, Reason.FUNCTION_FAILED)
    image = (
        Stage.IMAGE, Reason.FUNCTION_FAILED, "prepare_image: LookupError: too white"
    )  # fmt: skip
    assert dead == {
        "bad-text": [(*text, "prepare_text: ValueError: this team reads no bad text")],
        "no-text": [(*text, "prepare_text: gave int, not a str")],
        "bad-image": [image],
        "bad-both": [image, (*text, "prepare_text: ValueError: this team reads no bad text")],
    }


def test_models_read_what_the_functions_gave(
    manifest: Manifest, releases: Releases, tmp_path: Path
) -> None:
    """The embedding is that of the inverted grey square; facts are those of what was sent."""
    ran = score(
        releases,
        tmp_path,
        with_image(item_id="azure", text="an azure mug"),
        with_image(item_id="blue", text="an blue mug"),
    )
    found = predictions_of(ran)
    azure, blue = found["azure"].joined, found["blue"].joined
    assert azure.features == blue.features
    assert json.loads(azure.facts["text"]) == {"length_chars": 12}
    assert json.loads(blue.facts["text"]) == {"length_chars": 11}
    pixels, _ = decode_image(PICTURE, size_px=manifest.image_size_px)
    grey = np.asarray(Image.fromarray(255 - pixels).convert("L").convert("RGB"))
    folder = Path(releases.root) / manifest.release
    expected = LiteRTModel(folder / ENCODER)({"image": grey[None]})["embedding"][0]
    (spec,) = manifest.features[Stage.IMAGE]
    assert np.frombuffer(azure.features[Stage.IMAGE], spec.dtype) == pytest.approx(
        expected, abs=1e-2
    )


def test_a_release_with_functions_is_another_release(
    manifest: Manifest, releases: Releases, tmp_path: Path
) -> None:
    """Its id and digests say so; other functions make another one; without them nothing changes."""
    assert set(manifest.files) - set(releases.first.files) == {FUNCTIONS}
    other = with_functions(releases.root, releases.first, f"{SOURCE}\n", tmp_path)
    assert len({manifest.release, other.release, releases.first.release}) == 3
    assert read_manifest(releases.root, manifest.release) == manifest
    releases.point(Pointer(releases.first.release))
    (one,) = score(releases, tmp_path, fields(text="a bad text")).records["predictions"]
    assert one.decisions_json == ""


def test_decisions_stand_in_rows_and_can_be_asked_for(
    manifest: Manifest, releases: Releases, tmp_path: Path
) -> None:
    """Files mode: JSON in a column, of which a question takes what it wants."""
    source = tmp_path / "in.jsonl"
    items = [with_image(item_id="a"), fields(item_id="b"), fields(item_id="c", text="bad text")]
    source.write_text("".join(json.dumps(one) + "\n" for one in items))
    config = config_for(releases, tmp_path, input_file=str(source))
    run(lambda pipeline: build(pipeline, config, file_ends(config)))
    answer = FilesEngine(tmp_path / "out").ask(
        "SELECT JSON_VALUE(decisions, '$.dear') AS dear, COUNT(*) AS items "
        "FROM `{dataset}.latest_predictions` GROUP BY dear"
    )
    assert answer.rows == [("false", 2)]


def test_fields_reach_decide_and_nonsense_fails_alone(
    manifest: Manifest, releases: Releases, tmp_path: Path
) -> None:
    """In a batch of the scorers: what the sender said is what is decided on."""
    _, folder = fetch_release(releases.root, manifest.release, tmp_path / "cache")
    kernel = ScoreKernel(manifest, folder, CallLimits())
    asked = ['{"price": 11}', '{"price": 0}', ""]
    dear, broken, cheap = (one.result for one in kernel([({}, one) for one in asked]))
    assert json.loads(dear.decisions)["dear"] is True
    assert json.loads(cheap.decisions)["dear"] is False
    assert (broken.stage, broken.reason) == (Stage.SCORE, Reason.FUNCTION_FAILED)
    assert "decide: ValueError" in broken.detail


@pytest.mark.parametrize(
    ("stage", "name"),
    [(Stage.TEXT, "prepare_text"), (Stage.IMAGE, "prepare_image"), (Stage.SCORE, "decide")],
)
def test_a_function_that_hangs_is_cut_for_its_item_alone(
    releases: Releases, tmp_path: Path, stage: Stage, name: str
) -> None:
    """By the system's alarm, whatever it does: `timed_out`, and its batch has its answers."""
    hanging = {
        Stage.TEXT: "def prepare_text(a):\n while a == 'hang': pass\n return a",
        Stage.IMAGE: "def prepare_image(a):\n while a.getpixel((0, 0))[2] == 255: pass\n return a",
        Stage.SCORE: "def decide(_, fields):\n while fields.get('hang'): pass\n return {}",
    }
    items: Mapping[Stage, list[Any]] = {
        Stage.TEXT: ["a mug", "hang", "a lamp"],
        Stage.IMAGE: [PICTURE, WHITE, PICTURE],
        Stage.SCORE: [({}, ""), ({}, '{"hang": true}'), ({}, "")],
    }
    made = with_functions(releases.root, releases.first, hanging[stage], tmp_path)
    _, folder = fetch_release(releases.root, made.release, tmp_path / "cache")
    limits = replace(CallLimits(), decode_s=3.0, call_s=3.0)
    process = ModelProcess(Setup(stage, limits, ImageLimits()))
    try:
        answers = [one.result for one in process.answers(folder, items[stage])]
    finally:
        process.close()
    assert [getattr(one, "reason", "") for one in answers] == ["", Reason.TIMED_OUT, ""]


def test_functions_that_cannot_be_imported_make_no_release(
    releases: Releases, tmp_path: Path
) -> None:
    """A worker's image that lacks a library: the items say which."""
    made = with_functions(releases.root, releases.first, "import no_such_library", tmp_path)
    releases.point(Pointer(made.release))
    (dead,) = score(releases, tmp_path, fields()).records["dead_letters"]
    (failure,) = dead.failures
    assert failure.reason == Reason.RELEASE_UNAVAILABLE
    assert "functions.py cannot be imported: ModuleNotFoundError" in failure.detail
    assert "no_such_library" in failure.detail
