"""The whole streaming path on the real local stack: publish, run, query."""

import json
import re
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from google.cloud import pubsub_v1
from PIL import Image
from streaming import Pipeline, wait_for_tables
from waiting import eventually, nothing

from beam_pipeline.tables import OUTCOMES, TABLES, statements
from models.failures import Reason
from models.release_cache import CACHE
from testudo.cli import main
from testudo.commands.demo_report import (
    ACCURACY,
    IN_AND_OUT,
    PUBLISHED,
    load_published,
    write_published,
)
from testudo.commands.engines import BigQueryEngine, FilesEngine
from testudo.commands.publish import from_images, item_id_of, upload
from testudo.commands.sending import Outgoing, publish
from testudo.environment import Environment
from testudo.local.family import family_of, listening, living
from testudo.local.stack import LocalStack
from testudo.messages import BREAKAGES, SampleMessage, sample_messages
from transforms.payload_objects import read_payload

SAMPLES = 100
QUANTILE = re.compile(r"p\d\d_(s|ms|score)")
EXPECTED_REASONS = {
    "cut_json": Reason.NOT_JSON,
    "no_tenant": Reason.SCHEMA_VIOLATION,
    "nothing_in_it": Reason.SCHEMA_VIOLATION,
    "not_base64": Reason.IMAGE_NOT_BASE64,
    "cut_image": Reason.IMAGE_UNREADABLE,
    "svg_image": Reason.IMAGE_FORMAT_REFUSED,
    "foreign_bucket": Reason.IMAGE_URI_REFUSED,
}


def outcomes(engine: BigQueryEngine, prefix: str) -> Counter[str]:
    """How often each item whose id begins with `prefix` has an outcome, by message."""
    rows: list[str] = []
    for table in OUTCOMES:
        sql = f"SELECT DISTINCT item_id, message_id FROM `{{dataset}}.{table}`"
        rows += [row[0] for row in engine.ask(sql).rows]
    return Counter(item_id for item_id in rows if item_id.startswith(prefix))


@pytest.fixture(scope="module")
def streamed(pipeline: Pipeline, place: Environment, engine: BigQueryEngine) -> list[SampleMessage]:
    """Samples of every kind that went through the pipeline to their outcomes."""
    wait_for_tables(engine)
    samples = list(sample_messages(SAMPLES, seed=11, bucket=place.image_bucket, broken_share=0.14))
    upload(place, samples)
    publish(place.topic_path, [Outgoing(one.data, dict(one.attributes)) for one in samples])
    eventually(lambda: len(outcomes(engine, "listing-11-")), lambda found: found >= SAMPLES)
    return samples


def test_every_item_has_exactly_one_outcome(
    streamed: list[SampleMessage], engine: BigQueryEngine
) -> None:
    """Each message, good or broken, ends as one prediction or one dead letter."""
    assert outcomes(engine, "listing-11-") == {one.item_id: 1 for one in streamed}


def test_of_versions_published_together_the_newer_is_the_latest(
    place: Environment, pipeline: Pipeline, engine: BigQueryEngine
) -> None:
    """They share a publish time, and their event times or ids tell which is which."""
    wait_for_tables(engine)
    texts = ("a mug", "a red mug")
    together = [
        {"item_id": f"pair-{number}", "tenant_id": "pairs", "text": text}
        | ({"event_time": f"2026-11-24T10:00:0{version}Z"} if number % 2 else {})
        for number in range(20)
        for version, text in enumerate(texts)
    ]
    publisher = pubsub_v1.PublisherClient()
    messages = [{"data": json.dumps(one).encode()} for one in together]
    publisher.api.publish(request={"topic": place.topic_path, "messages": messages})
    publisher.stop()
    count = "SELECT COUNT(*) FROM `{dataset}.predictions` WHERE tenant_id = 'pairs'"
    eventually(lambda: engine.ask(count).rows[0][0], lambda found: found >= len(together))
    sql = """SELECT item_id, text.length_chars FROM `{dataset}.latest_predictions`
    WHERE tenant_id = 'pairs'"""
    assert {*engine.ask(sql).rows} == {(f"pair-{number}", len(texts[1])) for number in range(20)}


def test_broken_items_say_why(streamed: list[SampleMessage], engine: BigQueryEngine) -> None:
    """Each kind of broken message becomes a dead letter with its reason, the others none."""
    assert {one.breakage for one in streamed} == {"", *BREAKAGES}
    sql = "SELECT item_id, reason FROM `{dataset}.dead_letters` WHERE item_id LIKE 'listing-11-%'"
    expected = {one.item_id: EXPECTED_REASONS[one.breakage] for one in streamed if one.breakage}
    assert dict(engine.ask(sql).rows) == expected


def test_a_dead_letter_leads_back_to_its_message(
    streamed: list[SampleMessage], engine: BigQueryEngine
) -> None:
    """Whatever stage failed an item, its payload is the message as it was published."""
    sent = {one.item_id: one.data for one in streamed if one.breakage}
    rows = engine.ask("SELECT item_id, payload_uri FROM `{dataset}.dead_letters`").rows
    uris = {item_id: uri for item_id, uri in rows if item_id in sent}
    assert {item_id: read_payload(uri) for item_id, uri in uris.items()} == sent


def test_items_of_one_side_are_scored(
    streamed: list[SampleMessage], engine: BigQueryEngine
) -> None:
    """An item with only an image, and one with only a text, get scores of every scorer."""
    sql = """SELECT image IS NULL AS no_image, text IS NULL AS no_text, COUNT(*),
      MIN(ARRAY_LENGTH(scores)), MAX(ARRAY_LENGTH(scores))
    FROM `{dataset}.predictions` WHERE item_id LIKE 'listing-11-%' GROUP BY 1, 2"""
    found = {(row[0], row[1]): row[2:] for row in engine.ask(sql).rows}
    assert set(found) == {(False, False), (True, False), (False, True)}
    assert {counts[1:] for counts in found.values()} == {(8, 8)}


def test_features_stand_beside_the_prediction(
    streamed: list[SampleMessage], engine: BigQueryEngine
) -> None:
    """As bytes of the manifest's lengths, for each side that the item has."""
    sql = """SELECT image IS NULL, text IS NULL, MIN(LENGTH(image_features)),
      MAX(LENGTH(image_features)), MIN(LENGTH(text_features)), MAX(LENGTH(text_features))
    FROM `{dataset}.predictions` WHERE item_id LIKE 'listing-11-%' GROUP BY 1, 2"""
    found = {tuple(row[:2]): row[2:] for row in engine.ask(sql).rows}
    (image_bytes, _, text_bytes, _) = found[False, False]
    assert found[False, False] == (image_bytes, image_bytes, text_bytes, text_bytes)
    assert image_bytes > 0
    assert text_bytes > 0
    assert found[True, False][:2] == (None, None)
    assert found[False, True][2:] == (None, None)


def test_queries_answer_alike_in_bigquery_and_over_files(
    streamed: list[SampleMessage], engine: BigQueryEngine, place: Environment, tmp_path: Path
) -> None:
    """Every named question gives the same rows over the same records on both engines."""
    load_published(engine.client, f"{place.project}.{place.dataset}.{PUBLISHED}", streamed)
    write_published(tmp_path / "published.jsonl", streamed)
    for table in TABLES:
        # Rows as the writers give them, not as SQL would print them.
        rows = engine.client.list_rows(f"{place.project}.{place.dataset}.{table}")
        lines = [json.dumps(dict(row), default=str) for row in rows]
        (tmp_path / f"{table}-0.jsonl").write_text("\n".join(lines))
    files = FilesEngine(tmp_path, {PUBLISHED: tmp_path / "published.jsonl"})
    for sql in [*statements("queries").values(), IN_AND_OUT, ACCURACY]:
        one, other = files.ask(sql), engine.ask(sql)
        assert one.columns == other.columns
        for mine, theirs in zip(one.rows, other.rows, strict=True):
            cells = zip(one.columns, mine, theirs, strict=True)
            assert [alike(*cell) for cell in cells] == [True] * len(mine), (mine, theirs)


def alike(column: str, mine: Any, theirs: Any) -> bool:
    """Whether two engines' cells are equal.

    Quantiles are approximate on both: of a few items, a neighbour may be far away.
    """
    if not isinstance(mine, float):
        return mine == theirs
    if QUANTILE.match(column):
        return isinstance(theirs, float)
    return theirs == pytest.approx(mine, rel=1e-6, abs=1e-6)


PHOTOGRAPHS = {"astronaut": "JPEG", "chelsea": "PNG", "coffee": "WEBP", "camera": "PNG"}


def test_photographs_are_scored(
    pipeline: Pipeline, place: Environment, engine: BigQueryEngine, tmp_path: Path
) -> None:
    """Photographs that nobody here drew, colour and grey, as JPEG, PNG and WebP, are scored."""
    wait_for_tables(engine)
    expected, paths = set(), []
    for name, format_name in PHOTOGRAPHS.items():
        photograph = Image.fromarray(getattr(skimage.data, name)())
        paths.append(tmp_path / f"{name}.{format_name.lower()}")
        photograph.save(paths[-1], format_name)
        expected.add((item_id_of(paths[-1]), format_name, *photograph.size, 8))
    publish(place.topic_path, from_images(paths, tenant_id="photos", text="a picture to sell"))
    sql = """SELECT item_id, image.format, image.width_px, image.height_px, ARRAY_LENGTH(scores)
    FROM `{dataset}.predictions` WHERE tenant_id = 'photos'"""
    rows = eventually(lambda: engine.ask(sql).rows, lambda found: len(found) >= len(expected))
    assert {tuple(row) for row in rows} == expected


def listens(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def test_a_job_says_what_it_has_done(streamed: list[SampleMessage], pipeline: Pipeline) -> None:
    """Where there is no terminal in a line of its log, every ten seconds, by its counters now."""
    said = re.compile(
        r"^([\d,]+) messages: ([\d,]+) predictions, ([\d,]+) dead letters", re.MULTILINE
    )

    def last() -> list[int]:
        found = said.findall(pipeline.log.read_text(errors="replace"))
        return [int(one.replace(",", "")) for one in found[-1]] if found else [0]

    messages, *_ = eventually(last, lambda found: found[0] >= len(streamed))
    _, predictions, dead_letters = eventually(last, lambda found: sum(found[1:]) >= messages)
    assert predictions > dead_letters > 0


@pytest.mark.usefixtures("streamed")
def test_the_job_is_seen(
    stack: LocalStack, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    """By who asks for the local environment's jobs, of which Dataflow's stand-in knows none."""
    assert main(["status", "local", f"--home={stack.home}", "--format=json"]) == 0
    shown = capsys.readouterr()
    assert [run["name"] for run in json.loads(shown.out)["runs"]] == ["run"]
    assert "`testudo run` scores items" in shown.err


def test_the_job_listens_on_this_machine_only(pipeline: Pipeline) -> None:
    """Engine, workers and models' processes: who gets at them could give them code to run."""
    found = listening(family_of(pipeline.process.pid))
    assert {address.removeprefix("::ffff:") for address, _ in found} == {"127.0.0.1"}


@pytest.mark.usefixtures("streamed")
def test_a_stopped_pipeline_finishes_or_gives_back_what_it_has(
    pipeline: Pipeline, place: Environment, engine: BigQueryEngine
) -> None:
    """Items in flight when Ctrl-C comes, and items published while nothing runs, are not lost.

    No process, port or file of it is left, and it starts again at once.
    """
    wait_for_tables(engine)
    samples = list(sample_messages(60, seed=12, broken_share=0))
    outgoing = [Outgoing(one.data, dict(one.attributes)) for one in samples]
    publish(place.topic_path, outgoing[:40])
    family = family_of(pipeline.process.pid)
    addresses = listening(family)
    assert addresses
    assert pipeline.stop() == 0
    eventually(lambda: living(family), nothing)
    eventually(lambda: [one for one in addresses if listens(one)], nothing)
    assert list(Path(tempfile.gettempdir()).glob(f"{CACHE}{pipeline.process.pid}-*")) == []
    publish(place.topic_path, outgoing[40:])
    pipeline.start()
    eventually(lambda: len(outcomes(engine, "listing-12-")), lambda found: found >= len(samples))
    assert set(outcomes(engine, "listing-12-")) == {one.item_id for one in samples}
