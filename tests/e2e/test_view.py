"""`testudo view` on the local stack: what the pipeline wrote, from BigQuery and Cloud Storage."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from io import BytesIO

import pytest
from builders import jpeg
from google.cloud import storage
from PIL import Image
from streaming import REPOSITORY, Pipeline, wait_for_tables
from waiting import eventually, exit_code

from testudo.commands.engines import BigQueryEngine
from testudo.commands.sending import Outgoing, publish
from testudo.environment import Environment
from testudo.local.stack import LocalStack

TENANT = "viewers"
Get = Callable[[str], bytes]


def message(item_id: str, **fields: str) -> Outgoing:
    data = json.dumps({"item_id": item_id, "tenant_id": TENANT, **fields}).encode()
    return Outgoing(data, {"item_id": item_id, "tenant_id": TENANT})


@pytest.fixture(scope="module")
def get(stack: LocalStack, pipeline: Pipeline, engine: BigQueryEngine) -> Iterator[Get]:
    """What a browser gets, from the command as it is typed; it ends well at Ctrl-C."""
    wait_for_tables(engine)
    command = [sys.executable, "-m", "testudo.cli", "view", "--no_browser", f"--home={stack.home}"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
        )
        opener.open(address).close()
        base = address.partition("/?")[0]

        def fetch(path: str) -> bytes:
            with opener.open(f"{base}{path}") as answer:
                return bytes(answer.read())

        yield fetch
        process.send_signal(signal.SIGINT)
        assert exit_code(process) == 0


def test_outcomes_are_seen_as_they_come(get: Get, place: Environment) -> None:
    """Pictures sent inline and by URI, texts and scores; a dead letter with what to do."""
    bucket = storage.Client(project=place.project).bucket(place.image_bucket)
    bucket.blob(f"{TENANT}/a.jpg").upload_from_string(jpeg(640, 480))
    messages = [
        message(
            "by-uri", text="seen by uri", image_uri=f"gs://{place.image_bucket}/{TENANT}/a.jpg"
        ),
        message("words", text="only <b>words</b>"),
        message("foreign", text="not ours", image_uri="gs://somebody-elses-bucket/a.jpg"),
    ]
    publish(place.topic_path, messages)
    page = eventually(
        lambda: get(f"/?tenant={TENANT}").decode(), lambda text: text.count('class="card"') == 2
    )
    assert "seen by uri" in page
    assert "only &lt;b&gt;words" in page
    assert "category" in page
    (picture,) = re.findall(r'src="(/pictures/[0-9a-f]{32})"', page)
    with Image.open(BytesIO(get(picture))) as image:
        assert image.size == (320, 240)

    dead = eventually(
        lambda: get(f"/dead-letters?tenant={TENANT}").decode(), lambda text: "foreign" in text
    )
    assert "Add the bucket, if you trust it." in dead
    assert "image_uri_refused: its bucket is not an image bucket" in dead


def test_filters_and_the_story_are_asked_of_bigquery(get: Get) -> None:
    """Its parameters are the same as over files."""
    page = get(f"/?tenant={TENANT}&least=1&label=category:none").decode()
    assert "No predictions here" in page
    assert get(f"/?tenant={TENANT}&least=1").decode().count('class="card"') == 2
    story = get(f"/item?tenant={TENANT}&item=foreign").decode()
    assert "failed: image_uri_refused" in story
    assert "One release scored all items" in get(f"/releases?tenant={TENANT}").decode()


def test_releases_are_compared_in_bigquery(get: Get) -> None:
    """Its dialect takes the comparison; there is no such release here."""
    page = get("/releases?release=one&other=two&differing=yes").decode()
    assert "No items that both releases scored here" in page


def test_throughput_is_live(get: Get) -> None:
    """Of the last half hour, read again every few seconds."""
    page = get("/live").decode()
    assert 'data-refresh="5"' in page
    assert re.search(r"<strong>\d[\d,]*</strong> predictions", page)
    assert "<polyline" in page
