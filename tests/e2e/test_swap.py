"""Releases that change places under load: each item is of one of them, and none is lost."""

import base64
import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from streaming import Pipeline, wait_for_tables
from waiting import eventually

from models.facts import Encoded, Scores
from models.failures import Stage
from models.features import ImageLimits
from models.kernels import CallLimits
from models.release import copy_release, fetch_release, read_pointer, write_pointer
from models.training.samples import draw_listings
from testudo.commands.engines import BigQueryEngine
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, Environment
from testudo.serving import serving_processes

TENANT = "swap"
RATE = 50.0  # messages a second
SWAPS = 6
LISTINGS = list(draw_listings(6, seed=21))  # items are these in turn
TOLERANCE = 1e-5  # of a score, which depends a little on the batch it was in


class Answer(NamedTuple):
    """What a release makes of a listing: features, packed, and the score of each label."""

    image: bytes
    text: bytes
    scores: Mapping[tuple[str, str], float]


def answers(root: Path, release: str, scratch: Path) -> list[Answer]:
    """Of each of LISTINGS, without any job."""
    with serving_processes(CallLimits(), ImageLimits()) as processes:
        _, folder = fetch_release(str(root), release, scratch)
        inputs: dict[Stage, list[Any]] = {
            Stage.IMAGE: [one.image_jpeg for one in LISTINGS],
            Stage.TEXT: [one.text for one in LISTINGS],
        }
        encoded: dict[Stage, list[bytes]] = {stage: [] for stage in inputs}
        for stage, items in inputs.items():
            for answer in processes[stage].answers(folder, items):
                assert isinstance(answer.result, Encoded)
                encoded[stage].append(answer.result.features)
        found = []
        for image, text in zip(encoded[Stage.IMAGE], encoded[Stage.TEXT], strict=True):
            features = {Stage.IMAGE: image, Stage.TEXT: text}
            (answer,) = processes[Stage.SCORE].answers(folder, [(features, "")])
            assert isinstance(answer.result, Scores)
            scores = {(one.model, one.label): one.score for one in answer.result.scores}
            found.append(Answer(image, text, scores))
    return found


def messages(enough: threading.Event) -> Iterator[Outgoing]:
    for number in itertools.takewhile(lambda _: not enough.is_set(), itertools.count()):
        listing = LISTINGS[number % len(LISTINGS)]
        fields = {
            "item_id": f"{TENANT}-{number}",
            "tenant_id": TENANT,
            "text": listing.text,
            "image": base64.b64encode(listing.image_jpeg).decode(),
        }
        yield Outgoing(json.dumps(fields).encode(), {})


@contextlib.contextmanager
def set_after(event: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        event.set()


def count_of(engine: BigQueryEngine, release: str) -> int:
    sql = "SELECT COUNT(*) FROM `{dataset}.predictions` "
    sql += f"WHERE tenant_id = '{TENANT}' AND release = '{release}'"
    return int(engine.ask(sql).rows[0][0])


@pytest.fixture
def both(trained: Path, pipeline: Pipeline, engine: BigQueryEngine) -> tuple[str, str]:
    """The release in use and another, which the stack has too."""
    wait_for_tables(engine)
    first = read_pointer(LOCAL.releases).default
    second = next(one.name for one in trained.iterdir() if one.name.startswith("second-"))
    copy_release(str(trained), LOCAL.releases, second)
    return first, second


def test_releases_change_places_under_load(
    both: tuple[str, str],
    trained: Path,
    place: Environment,
    engine: BigQueryEngine,
    tmp_path: Path,
) -> None:
    """Features and scores of a row are those of the release that it names; every item has one."""
    expected = {one: answers(trained, one, tmp_path) for one in both}
    enough = threading.Event()
    with ThreadPoolExecutor(1) as beside, set_after(enough):
        sending = beside.submit(publish, place.topic_path, messages(enough), rate=RATE)
        for swap in range(SWAPS):
            release = both[(swap + 1) % 2]
            pointer = read_pointer(LOCAL.releases)
            before = count_of(engine, release)
            write_pointer(
                LOCAL.releases, dataclasses.replace(pointer, default=release), replacing=pointer
            )
            eventually(partial(count_of, engine, release), lambda count: count > before)  # noqa: B023
    sent = sending.result()
    sql = f"""SELECT item_id, release, image_features, text_features, scores
    FROM `{{dataset}}.latest_predictions` WHERE tenant_id = '{TENANT}'"""
    rows = eventually(lambda: engine.ask(sql).rows, lambda rows: len(rows) >= sent)
    assert len({row[0] for row in rows}) == len(rows) == sent
    for item_id, release, *row in rows:
        number = int(item_id.rpartition("-")[2])
        check(row, expected[release][number % len(LISTINGS)])
    assert {row[1] for row in rows} == set(both)


def check(row: list[Any], expected: Answer) -> None:
    image, text, scores = row
    assert (image, text) == (expected.image, expected.text)
    found = {(one["model"], one["label"]): one["score"] for one in scores}
    assert found == pytest.approx(expected.scores, abs=TOLERANCE)
