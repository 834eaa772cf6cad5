"""The whole graph on Beam's own engine: one item in, one outcome out, with real models."""

import base64
import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.coders import registry
from builders import Ran, encoded, fields, grain, message, quadrants, run
from conftest import Releases

from beam_pipeline.config import Config, ConfigError
from beam_pipeline.endpoints import Endpoints, file_ends, memory_ends
from beam_pipeline.file_checks import check_files
from beam_pipeline.graph import build
from beam_pipeline.results import results_problem
from beam_pipeline.tables import statements
from models.failures import Reason, Stage
from models.features import (
    FeatureSpec,
    ImageLimits,
    decode_image,
    pack_features,
    unpack_features,
    widened,
)
from models.litert import LiteRTModel
from models.manifest import ENCODER, TEXT_TRANSFORM, Manifest, presence_of
from models.release import Pointer
from models.text_transform import TextTransform
from testudo.commands.engines import FilesEngine
from testudo.messages import BREAKAGES, SampleMessage, sample_messages
from transforms.events import ParseItems
from transforms.images import EncodeImages
from transforms.joins import by_delivery
from transforms.outcomes import dead_letter_row, prediction_row
from transforms.own_fields import MAX_BYTES
from transforms.parsing import MAX_ATTRIBUTES_CHARS
from transforms.payload_objects import read_payload
from transforms.payloads import KeepPayloads
from transforms.records import DeadLetter, Message, Part, Scored
from transforms.settings import ImageAccess
from transforms.texts import EncodeTexts

REASONS = {
    "cut_json": (Stage.PARSE, Reason.NOT_JSON),
    "no_tenant": (Stage.PARSE, Reason.SCHEMA_VIOLATION),
    "nothing_in_it": (Stage.PARSE, Reason.SCHEMA_VIOLATION),
    "not_base64": (Stage.IMAGE, Reason.IMAGE_NOT_BASE64),
    "cut_image": (Stage.IMAGE, Reason.IMAGE_UNREADABLE),
    "svg_image": (Stage.IMAGE, Reason.IMAGE_FORMAT_REFUSED),
    "foreign_bucket": (Stage.IMAGE, Reason.IMAGE_URI_REFUSED),
}
MAX_CROSSING_BYTES = 2_048
LARGEST_EMBEDDING_BYTES = 256 * 2  # 256 numbers of float16
PICTURE = encoded(quadrants(90, 60), "JPEG")


def config(tmp_path: Path, releases: Releases, **changes: Any) -> Config:
    return Config(
        output=str(tmp_path / "out"), releases=releases.root, image_batch_size=4,
        text_batch_size=4, score_batch_size=4, **changes,
    )  # fmt: skip


def run_graph(config: Config, ends: Endpoints) -> Ran:
    ran = run(lambda pipeline: build(pipeline, config, ends))
    assert "bugs" not in ran.counters
    assert "join_halves_missing" not in ran.counters
    none: Mapping[str, list[Any]] = {"predictions": [], "dead_letters": []}
    return Ran({**none, **ran.records}, ran.counters)


def with_image(data: bytes = PICTURE, **changes: Any) -> dict[str, Any]:
    return fields(image=base64.b64encode(data).decode(), **changes)


def published(samples: Iterable[SampleMessage]) -> list[Message]:
    return [message(one.data, **one.attributes) for one in samples]


@functools.cache
def transform_of(folder: Path, specs: tuple[FeatureSpec, ...]) -> TextTransform:
    return TextTransform(folder, specs)


def direct_scores(manifest: Manifest, root: str, data: Mapping[str, Any]) -> list[float]:
    """What the release makes of a message, by the serving functions alone and no pipeline."""
    folder = (Path(root) / manifest.release).resolve()
    image = text = b""
    if "image" in data:
        pixels, _ = decode_image(base64.b64decode(data["image"]), size_px=manifest.image_size_px)
        arrays = LiteRTModel(folder / ENCODER)({"image": pixels[None]})
        (image,) = pack_features(manifest.features[Stage.IMAGE], arrays)
    if data.get("text"):
        transform = transform_of(folder / TEXT_TRANSFORM, manifest.features[Stage.TEXT])
        (text,) = transform([data["text"]])
    inputs: dict[str, np.ndarray] = {}
    for branch, side in ((Stage.IMAGE, image), (Stage.TEXT, text)):
        arrays = unpack_features(manifest.features[branch], [side])
        inputs |= {name: widened(array) for name, array in arrays.items()}
        spec = presence_of(branch)
        inputs[spec.name] = np.array([[bool(side)]], spec.dtype)
    scores: list[float] = []
    for scorer in manifest.scorers:
        scores += LiteRTModel(folder / scorer.path)(inputs)["scores"][0].tolist()
    return scores


def assert_scored_by(one: Scored, manifest: Manifest, root: str, data: Mapping[str, Any]) -> None:
    assert one.joined.envelope.release == manifest.release
    found = [score.score for score in one.scores]
    assert found == pytest.approx(direct_scores(manifest, root, data), abs=2e-3)


def test_an_item_is_scored_as_by_the_functions_that_trained_it(
    tmp_path: Path, releases: Releases
) -> None:
    """Train equals serve: with both sides, only an image, only a text, or a blank one."""
    items = {
        "both": with_image(item_id="both"),
        "image": with_image(item_id="image", text=None),
        "empty": with_image(item_id="empty", text=""),
        "text": fields(item_id="text"),
        "grain": with_image(encoded(grain(70, 70), "PNG"), item_id="grain", text="BLUE  lamp"),
    }
    ran = run_graph(
        config(tmp_path, releases), memory_ends([message(one) for one in items.values()])
    )
    predicted = {one.joined.envelope.item_id: one for one in ran.records["predictions"]}
    assert predicted.keys() == items.keys()
    assert ran.records["dead_letters"] == []
    for name, data in items.items():
        assert_scored_by(predicted[name], releases.first, releases.root, data)
    sides = {
        name: ("image" in one.joined.facts, "text" in one.joined.facts)
        for name, one in predicted.items()
    }
    assert sides == {
        "both": (True, True), "image": (True, False), "empty": (True, False),
        "text": (False, True), "grain": (True, True),
    }  # fmt: skip


def test_a_blank_text_is_scored_as_no_text(tmp_path: Path, releases: Releases) -> None:
    """Training counts a blank text as absent, so the scorers must be told the same."""
    messages = [
        message(with_image(item_id="blank", text=" \n ")),
        message(with_image(item_id="absent", text=None)),
    ]
    ran = run_graph(config(tmp_path, releases), memory_ends(messages))
    scores = {
        one.joined.envelope.item_id: [score.score for score in one.scores]
        for one in ran.records["predictions"]
    }
    assert scores["blank"] == pytest.approx(scores["absent"], abs=1e-6)


def test_one_item_has_one_outcome(tmp_path: Path, releases: Releases) -> None:
    """Of 140 messages, some broken in every known way, each id leaves exactly once."""
    samples = list(sample_messages(140, seed=3, broken_share=0.1))
    assert {one.breakage for one in samples} == {"", *BREAKAGES}
    ran = run_graph(config(tmp_path, releases), memory_ends(published(samples)))
    predicted = [one.joined.envelope.item_id for one in ran.records["predictions"]]
    failed = [one.envelope.item_id for one in ran.records["dead_letters"]]
    assert sorted(predicted) == sorted(one.item_id for one in samples if not one.breakage)
    assert sorted(failed) == sorted(one.item_id for one in samples if one.breakage)
    assert ran.counters["messages"] == 140


@pytest.mark.parametrize("ends", ["memory", "files"])
def test_every_breakage_has_its_reason(tmp_path: Path, releases: Releases, ends: str) -> None:
    """What `testudo publish --broken` sends becomes the dead letter that it is meant to."""
    assert REASONS.keys() == BREAKAGES.keys()
    data = {name: how(with_image(item_id=name)) for name, how in BREAKAGES.items()}
    made = config(tmp_path, releases, input_file=str(tmp_path / "in.jsonl"))
    if ends == "memory":
        dead: list[DeadLetter] = run_graph(
            made, memory_ends([message(one) for one in data.values()])
        ).records["dead_letters"]
        found = {read_payload(one.envelope.payload_uri): tuple(one.failures[0][:2]) for one in dead}
    else:
        Path(made.input_file).write_bytes(b"\n".join(data.values()) + b"\n")
        run_graph(made, file_ends(made))
        rows = list(lines(tmp_path / "out", "dead_letters-*"))
        found = {read_payload(row["payload_uri"]): (row["stage"], row["reason"]) for row in rows}
        assert len(rows) == len(data)
    assert found == {data[name]: expected for name, expected in REASONS.items()}


def lines(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    for path in folder.glob(pattern):
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def test_files_in_give_files_out(tmp_path: Path, releases: Releases) -> None:
    """Rows as JSON Lines, features and scores as Parquet, messages kept byte by byte."""
    samples = list(sample_messages(60, seed=4, broken_share=0.1))
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"".join(one.data + b"\n" for one in samples))
    made = config(tmp_path, releases, input_file=str(source))
    run_graph(made, file_ends(made))

    good = sorted(one.item_id for one in samples if not one.breakage)
    rows = list(lines(tmp_path / "out", "predictions-*.jsonl"))
    assert sorted(row["item_id"] for row in rows) == good
    dead = list(lines(tmp_path / "out", "dead_letters-*.jsonl"))
    assert len(dead) == 6
    kept = Counter(read_payload(row["payload_uri"]) for row in [*rows, *dead])
    assert kept == Counter(one.data for one in samples)

    files = list((tmp_path / "out" / "archive").glob("dt=*/*.parquet"))
    archived = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert sorted(row["item_id"] for row in archived) == good
    by_id = {row["item_id"]: row for row in rows}
    for row in archived:
        twin = by_id[row["item_id"]]
        assert [one["score"] for one in row["scores"]] == pytest.approx(
            [one["score"] for one in twin["scores"]]
        )
        assert bool(row["image_features"]) == bool(twin["image"])
        assert bool(row["text_features"]) == bool(twin["text"])


def test_a_second_run_into_a_folder_is_refused(tmp_path: Path, releases: Releases) -> None:
    """Whatever the first left is named; blank lines of its input were no messages."""
    source = tmp_path / "in.jsonl"
    line = json.dumps(fields(item_id="one")).encode()
    source.write_bytes(b"\n" + line + b"\r\n  \n\n")
    made = config(tmp_path, releases, input_file=str(source))
    check_files(made)
    run_graph(made, file_ends(made))
    assert [row["item_id"] for row in lines(tmp_path / "out", "predictions-*")] == ["one"]
    assert list(lines(tmp_path / "out", "dead_letters-*")) == []
    assert results_problem(made.output) == ""
    with pytest.raises(
        ConfigError, match="has predictions-\\*, dead_letters-\\*, archive/, payloads/"
    ):
        check_files(made)


def test_an_item_that_fails_in_both_branches_is_one_dead_letter(
    tmp_path: Path, releases: Releases
) -> None:
    """It names both stages, and so does its neighbour's keep its prediction."""
    releases.point(Pointer(releases.first.release, tenants={"bolt": "listings-none"}))
    messages = [
        message(with_image(item_id="lost", tenant_id="bolt")),
        message(with_image(item_id="fine")),
    ]
    ran = run_graph(config(tmp_path, releases), memory_ends(messages))
    (dead,) = ran.records["dead_letters"]
    assert dead.envelope.item_id == "lost"
    assert dead.envelope.release == "listings-none"
    assert [tuple(one[:2]) for one in dead.failures] == [
        (Stage.IMAGE, Reason.RELEASE_UNAVAILABLE),
        (Stage.TEXT, Reason.RELEASE_UNAVAILABLE),
    ]
    assert [one.joined.envelope.item_id for one in ran.records["predictions"]] == ["fine"]


class _SwitchDoFn(beam.DoFn):
    """Lets messages through, and points `current.json` elsewhere at the first."""

    def __init__(self, releases: Releases, pointer: Pointer) -> None:
        self._releases, self._pointer = releases, pointer

    def process(self, one: Message) -> Iterator[Message]:
        self._releases.point(self._pointer)
        yield one


class _ReadAndSwitch(beam.PTransform):
    def __init__(self, messages: list[Message], switch: _SwitchDoFn) -> None:
        super().__init__()
        self._messages, self._switch = messages, switch

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        created = pipeline | beam.Create(self._messages, reshuffle=False)
        return created | beam.ParDo(self._switch).with_output_types(Message)


def test_an_item_is_scored_by_the_release_that_it_was_stamped_with(
    tmp_path: Path, releases: Releases
) -> None:
    """Tenants have a release each, and swap them while their items are in flight: both
    branches and the scorers use the release of the stamp, whatever is current meanwhile."""
    first, second = releases.first, releases.second
    items = {
        f"{tenant}-{number}": with_image(
            encoded(grain(30, 30, seed=number), "PNG"),
            item_id=f"{tenant}-{number}", tenant_id=tenant, text=f"red mug number {number}",
        )
        for number in range(5)
        for tenant in ("acme", "bolt")
    }  # fmt: skip
    releases.point(Pointer(first.release, tenants={"bolt": second.release}))
    swapped = Pointer(second.release, tenants={"bolt": first.release})
    switch = _SwitchDoFn(releases, swapped)
    messages = [message(one) for one in items.values()]
    ends = memory_ends([])
    ends = Endpoints(
        read=_ReadAndSwitch(messages, switch),
        predictions=ends.predictions,
        dead_letters=ends.dead_letters,
    )
    ran = run_graph(config(tmp_path, releases), ends)
    predicted = {one.joined.envelope.item_id: one for one in ran.records["predictions"]}
    assert predicted.keys() == items.keys()
    for name, data in items.items():
        manifest = first if name.startswith("acme") else second
        assert_scored_by(predicted[name], manifest, releases.root, data)


def crossing(messages: Iterable[Message], tmp_path: Path, releases: Releases) -> Counter[str]:
    """Bytes that cross to the join, encoded as they cross, by item."""

    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        items = (
            pipeline
            | beam.Create(messages, reshuffle=False).with_output_types(Message)
            | KeepPayloads(root=str(tmp_path / "payloads"))
            | ParseItems(releases=releases.root, refresh_s=30, max_message_bytes=10_000_000)
        ).items
        images = EncodeImages(
            releases=releases.root, access=ImageAccess(), limits=ImageLimits(), batch_size=4
        )
        return {
            "images": items | images,
            "texts": items | EncodeTexts(releases=releases.root, batch_size=4),
        }

    ran = run(connect)
    coder = registry.get_coder(Part)
    sizes: Counter[str] = Counter()
    for half in [*ran.records["images"], *ran.records["texts"]]:
        _, crosses = by_delivery(half, Stage.IMAGE)
        sizes[half.envelope.item_id] += len(coder.encode(crosses))
    return sizes


def test_no_pixel_and_no_payload_crosses_to_the_join(tmp_path: Path, releases: Releases) -> None:
    """Both halves of an item, encoded as they cross, take 2 KB at most, whatever its size."""
    large = with_image(encoded(grain(400, 400), "PNG"), text="A red mug. " * 2_000)
    assert len(large["image"]) > 500_000
    messages = [
        message(large, trace="x" * MAX_ATTRIBUTES_CHARS),
        message(fields(item_id="text", text="A red mug. " * 2_000)),
        message(with_image(PICTURE[:700], item_id="broken"), trace="x" * MAX_ATTRIBUTES_CHARS),
    ]
    sizes = crossing(messages, tmp_path, releases)
    assert sizes.keys() == {"item-1", "text", "broken"}
    ours = sum(spec.size_bytes for spec in releases.first.features[Stage.IMAGE])
    sizes["item-1"] += LARGEST_EMBEDDING_BYTES - ours
    assert max(sizes.values()) <= MAX_CROSSING_BYTES, sizes


def test_own_fields_cross_to_the_join_once(tmp_path: Path, releases: Releases) -> None:
    """An item takes what it takes without them, and their bytes; not those bytes a branch."""
    whole = with_image(text="A red mug. " * 2_000)
    own = {f"n{number}": "x" * 990 for number in range(9)} | {"price": 3}
    own_bytes = len(json.dumps(own, separators=(",", ":")))
    assert MAX_BYTES * 0.8 < own_bytes < MAX_BYTES
    messages = [
        message({**whole, "item_id": "item-with"}),
        message({**whole, "item_id": "item-more", "fields": own}),
    ]
    sizes = crossing(messages, tmp_path, releases)
    digits_bytes = 40  # of lengths, of times and of the payload's span, which vary
    assert sizes["item-more"] - sizes["item-with"] <= own_bytes + digits_bytes
    assert sizes["item-more"] <= MAX_CROSSING_BYTES + own_bytes


@pytest.mark.parametrize("ends", ["memory", "files"])
def test_own_fields_stand_in_the_row_of_every_outcome(
    tmp_path: Path, releases: Releases, ends: str
) -> None:
    """Of the prediction, and of dead letters of parser, branch and join's both halves."""
    releases.point(Pointer(releases.first.release, tenants={"bolt": "listings-none"}))
    sent = [
        with_image(item_id="scored", fields={"price": 3, "brand": "Ä"}, used=True, size=None),
        with_image(PICTURE[:700], item_id="image", fields={"price": 4}),
        fields(item_id="parse", event_time="soon", price=5),
        with_image(item_id="both", tenant_id="bolt", price=6),
        fields(item_id="none"),
    ]
    made = config(tmp_path, releases, input_file=str(tmp_path / "in.jsonl"))
    if ends == "memory":
        ran = run_graph(made, memory_ends([message(one) for one in sent]))
        rows = [prediction_row(one) for one in ran.records["predictions"]]
        dead = [dead_letter_row(one) for one in ran.records["dead_letters"]]
    else:
        Path(made.input_file).write_text("".join(json.dumps(one) + "\n" for one in sent))
        run_graph(made, file_ends(made))
        rows = list(lines(tmp_path / "out", "predictions-*"))
        dead = list(lines(tmp_path / "out", "dead_letters-*"))
    assert {row["item_id"]: row["fields"] for row in rows} == {
        "scored": '{"brand":"Ä","price":3,"used":true}', "none": None,
    }  # fmt: skip
    assert {row["item_id"]: row["fields"] for row in dead} == {
        "image": '{"price":4}', "parse": '{"price":5}', "both": '{"price":6}',
    }  # fmt: skip
    if ends == "files":
        engine = FilesEngine(tmp_path / "out")
        sql = "SELECT JSON_VALUE(fields, '$.brand') AS brand FROM `{dataset}.latest_predictions`"
        assert sorted(engine.ask(sql).rows, key=str) == [("Ä",), (None,)]
        story = engine.ask(statements("queries")["item"], {"item_id": "image"})
        assert dict(zip(story.columns, story.rows[0], strict=True))["fields"] == '{"price":4}'


def test_unknown_fields_are_refused_by_a_job_that_is_told_to(
    tmp_path: Path, releases: Releases
) -> None:
    """With --unknown_fields=refuse: by name, and without keeping them."""
    made = config(tmp_path, releases, unknown_fields="refuse")
    sent = [message(fields(item_id="a", price=3)), message(fields(item_id="b", fields={"p": 3}))]
    ran = run_graph(made, memory_ends(sent))
    (dead,) = ran.records["dead_letters"]
    assert (dead.envelope.item_id, dead.envelope.fields_json) == ("a", "")
    assert dead.failures[0].detail.startswith("price: is no field of a message; ")
    assert [one.joined.envelope.fields_json for one in ran.records["predictions"]] == ['{"p":3}']
