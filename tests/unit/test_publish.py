"""`testudo publish`: which ids files get, what Pub/Sub is given, and what is refused before."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import jpeg
from google.pubsub_v1 import PublishRequest, PubsubMessage
from pubsub_server import Server, serving

from beam_pipeline.io.publishing import MAX_MESSAGE_BYTES, refusals, size_of
from testudo.cli import main
from testudo.commands.publish import from_images, item_id_of
from testudo.commands.sending import Outgoing, publish
from testudo.local.servers import PROJECT
from transforms.parsing import ID

TOPIC = f"projects/{PROJECT}/topics/items"
TESTUDO = (sys.executable, "-m", "testudo.cli")
ENDS_WITHIN_S = 300  # a start takes 15 s of CPU, on a machine that may be busy; else: never
MANY = 1_700  # messages, of several requests


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Pub/Sub that takes everything."""
    with serving() as made:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", made.address)
        yield made


def bare(item_id: str, /, **changes: Any) -> str:
    return json.dumps({"item_id": item_id, "tenant_id": "acme", "text": "a red mug", **changes})


def whole(attributes: dict[str, Any], data: bytes = b"{}") -> str:
    """A message as Pub/Sub's REST API writes it."""
    return json.dumps({"data": base64.b64encode(data).decode(), "attributes": attributes})


def lines(folder: Path, *its: str) -> Path:
    path = folder / "items.jsonl"
    path.write_text("".join(f"{line}\n" for line in its), encoding="utf-8")
    return path


def send(*words: str | Path) -> int:
    return main(["publish", f"--project={PROJECT}", *map(str, words)])


def ids(paths: list[Path]) -> list[str]:
    sent = from_images(paths, tenant_id="me", text="")
    return [json.loads(one.data)["item_id"] for one in sent]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(8, 8))
    return path


def test_no_two_files_have_one_id(tmp_path: Path) -> None:
    """Not those of two folders, of other alphabets, of long names; each id is a message's."""
    names = ("left/1.jpg", "right/1.jpg", "фото.jpg", "кадр.jpg", "写真.jpg", "a b.jpg", "a-b.jpg")
    long = [f"{'x' * 150}{end}.jpg" for end in "12"]
    paths = [picture(tmp_path / name) for name in (*names, *long)]
    found = ids(paths)
    assert len(set(found)) == len(paths)
    assert all(ID.fullmatch(one) for one in found)
    assert found[0].startswith("1.jpg-")


def test_a_file_has_the_same_id_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is published with it, from wherever, and however its path is written."""
    left, right = picture(tmp_path / "left/1.jpg"), picture(tmp_path / "right/1.jpg")
    alone = item_id_of(left)
    assert ids([right, left])[1] == alone
    monkeypatch.chdir(tmp_path / "right")
    assert item_id_of(Path("../left/1.jpg")) == alone
    assert item_id_of(Path("1.jpg")) == item_id_of(right)
    monkeypatch.chdir(tmp_path / "left")
    assert item_id_of(Path("1.jpg")) == alone


@pytest.mark.parametrize(
    "name", ["topic", "data", "self", "timeout", "retry", "ordering_key", "request", "metadata"]
)
def test_an_attribute_may_be_named_like_anything(tmp_path: Path, server: Server, name: str) -> None:
    """It is an attribute, and never an argument of a client."""
    attributes = {"item_id": "a", name: "30"}
    assert send("--file", lines(tmp_path, whole(attributes))) == 0
    assert server.messages == [(b"{}", attributes)]


def test_blank_lines_are_no_messages(tmp_path: Path, server: Server) -> None:
    """Editors and `cat` leave them; a carriage return belongs to the line's end."""
    path = lines(tmp_path, bare("a") + "\r", "", "  \t", bare("b"), "\r", "")
    assert send("--file", path) == 0
    assert [json.loads(data)["item_id"] for data, _ in server.messages] == ["a", "b"]
    assert server.messages[0][0] == bare("a").encode()


def test_ids_of_the_data_become_attributes(tmp_path: Path, server: Server) -> None:
    """Those that are ids; what is broken is published all the same, for the pipeline to judge."""
    broken = ('{"item_id": "\\ud800"}', "[" * 100_000, bare("a b", tenant_id=None))
    numeric = bare("x", item_id=12345)
    assert send("--file", lines(tmp_path, "x", *broken, numeric)) == 0
    named = [(one.get("item_id"), one.get("tenant_id")) for _, one in server.messages]
    assert named == [(None, None)] * 4 + [("12345", "acme")]
    assert all(one["idempotency_key"] for _, one in server.messages)


REFUSED = {
    "value": ({"trace": "x" * 1500}, "attribute 'trace': its value has 1,500 bytes"),
    "bytes": ({"trace": "é" * 600}, "attribute 'trace': its value has 1,200 bytes"),
    "name": ({"x" * 257: "y"}, "its name has 257 bytes"),
    "empty": ({"": "y"}, "its name is empty"),
    "own": ({"googclient_x": "y"}, "attribute 'googclient_x': names that begin with goog"),
    "many": ({f"a{number}": "y" for number in range(101)}, "101 attributes"),
}


@pytest.mark.parametrize(("attributes", "said"), REFUSED.values(), ids=REFUSED)
def test_a_line_that_pubsub_refuses_is_named_before_anything_is_sent(
    tmp_path: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
    attributes: dict[str, str],
    said: str,
) -> None:
    """By file and line, all of them at once; blank lines count as lines."""
    path = lines(tmp_path, bare("a"), "", whole(attributes), bare("b"), whole(attributes))
    assert send("--file", path) == 2
    told = capsys.readouterr().err.splitlines()
    assert f"{path}, line 3: " in told[0]
    assert f"{path}, line 5: " in told[1]
    assert len(told) == 2
    assert said in told[0]
    assert server.messages == []


def test_attributes_at_their_limits_are_published(tmp_path: Path, server: Server) -> None:
    """A hundred of them, 256 bytes of name, 1,024 of value."""
    attributes = {f"a{number}": "y" for number in range(99)} | {"k" * 256: "v" * 1024}
    assert send("--file", lines(tmp_path, whole(attributes))) == 0
    assert server.messages == [(b"{}", attributes)]


def test_the_largest_message_fits_into_a_request() -> None:
    """With the longest name of a topic; Pub/Sub takes 10,000,000 bytes. One more is refused."""
    around_bytes = size_of(PubsubMessage(data=bytes(9_000_000), attributes={"a": "b"})) - 9_000_000
    data = bytes(MAX_MESSAGE_BYTES - around_bytes)
    assert refusals(data, {"a": "b"}) == []
    topic = f"projects/{'p' * 30}/topics/{'t' * 255}"
    message = PubsubMessage(data=data, attributes={"a": "b"})
    request = PublishRequest(topic=topic, messages=[message])
    assert PublishRequest.pb(request).ByteSize() <= 10_000_000
    assert "image_uri" in refusals(data + b"x", {"a": "b"})[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"[\n{bare('a')}\n]".encode(), "a JSON array"),
        (f" \n[{bare('a')}]".encode(), "a JSON array"),
        (b"\xef\xbb\xbf" + bare("a").encode(), "byte order mark"),
        (bare("a").encode("utf-16"), "UTF-16"),
        (bare("a").encode("utf-16-le"), "UTF-16"),
        (bare("a").encode("utf-16-be"), "UTF-16"),
        (f"[{bare('a')}]".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(
    tmp_path: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    said: str,
) -> None:
    """Each of its lines would be a dead letter."""
    path = tmp_path / "items.jsonl"
    path.write_bytes(content)
    assert send("--file", path) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert str(path) in told
    assert said in told
    assert server.messages == []


def test_a_tenant_that_no_message_may_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each picture would be a dead letter."""
    assert send("--images", picture(tmp_path / "a.jpg"), "--tenant", "a b") == 2
    assert "--tenant: 'a b' does not match" in capsys.readouterr().err


@pytest.mark.slow
def test_a_picture_that_is_too_large_ends_the_command(tmp_path: Path, server: Server) -> None:
    """Its process ends, with code 2 and one line: file, limit, image_uri. Nothing is sent."""
    large = tmp_path / "large.jpg"
    large.write_bytes(jpeg(8, 8) + bytes(7_600_000))  # 10.1 MB in base64
    paths = [str(picture(tmp_path / "small.jpg")), str(large)]
    ended = subprocess.run(
        [*TESTUDO, "publish", f"--project={PROJECT}", "--images", *paths],
        env={**os.environ, "PUBSUB_EMULATOR_HOST": server.address},
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
    )
    assert ended.returncode == 2
    (told,) = ended.stderr.splitlines()
    assert f"{large}: 10,13" in told
    assert "image_uri" in told
    assert server.messages == []


@pytest.mark.slow
def test_what_pubsub_does_not_take_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while its progress is shown: the process ends, with code 2 and what Pub/Sub said."""
    with serving(refusing=True) as refusing:
        path = lines(tmp_path, *map(bare, "abc"))
        ended = subprocess.run(
            [*TESTUDO, "publish", f"--project={PROJECT}", "--file", str(path)],
            env={**os.environ, "PUBSUB_EMULATOR_HOST": refusing.address},
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
        )
    assert ended.returncode == 2
    assert f"{TOPIC} did not take a message, after 0 that it took: 403 not yours" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_error_under_a_progress_bar_ends_the_process() -> None:
    """Whoever takes the items fails half-way, and keeps hold of them."""
    text = """
from testudo.commands.progress import tracked
def take(items):
    for number in items:
        if number == 3:
            raise KeyError(number)
with tracked(iter(range(9)), "Testing") as shown:
    take(shown)
"""
    ended = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=ENDS_WITHIN_S
    )
    assert ended.returncode == 1
    assert "KeyError: 3" in ended.stderr


@pytest.mark.parametrize("rate", [0.0, 10_000.0])
def test_all_messages_are_sent_once(server: Server, rate: float) -> None:
    """In requests of many where they may go at once, and on time where there is a rate."""
    messages = [Outgoing(b"%d" % number, {"n": str(number)}) for number in range(MANY)]
    assert publish(TOPIC, iter(messages), rate=rate) == MANY
    assert sorted(server.messages) == sorted((one.data, one.attributes) for one in messages)


def test_own_fields_are_published_with_pictures_and_lines(tmp_path: Path, server: Server) -> None:
    """Those of the flag with every picture; a line's as it stands, byte by byte."""
    pictures = [picture(tmp_path / name) for name in ("a.jpg", "b.jpg")]
    assert send("--images", *pictures, "--fields", '{"price": 3, "used": true}') == 0
    sent = [json.loads(data) for data, _ in server.messages]
    assert [one["fields"] for one in sent] == [{"price": 3, "used": True}] * 2
    server.messages.clear()
    assert send("--images", pictures[0]) == 0
    assert "fields" not in json.loads(server.messages[0][0])
    server.messages.clear()
    line = bare("a", fields={"price": 3}, brand="Ofen")
    assert send("--file", lines(tmp_path, line)) == 0
    assert server.messages[0][0] == line.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price=3", "--fields: is no JSON ("),
        ("[3]", "--fields: is an array; wanted is an object of up to 64 numbers"),
        ('{"size": [1]}', "--fields: fields.size: is an array; wanted is a number, "),
        ('{"a b": 1}', "--fields: has a name of another form; wanted are 1 to 64 "),
    ],
)
def test_own_fields_that_no_message_may_have_are_refused(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """Each picture would be a dead letter."""
    assert send("--images", picture(tmp_path / "a.jpg"), "--fields", text) == 2
    assert said in capsys.readouterr().err
    assert server.messages == []
