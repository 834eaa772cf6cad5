"""Lines of files mode: bare items, and whole messages."""

import base64
import json
from pathlib import Path

import pytest

from beam_pipeline.io.lines import LineError, message_from_line, messages_of
from transforms.outcomes import rfc3339
from transforms.parsing import now_us


def test_a_bare_item_is_the_data_itself() -> None:
    """A line that is an item is taken as it stands, without attributes."""
    line = b'{"item_id": "a", "tenant_id": "t", "text": "a \\"attributes\\" mug"}'
    message = message_from_line(line)
    assert (message.data, message.attributes) == (line, {})


def test_a_whole_message_gives_data_and_attributes() -> None:
    """A line as Pub/Sub's REST API writes it keeps data that is broken, and its attributes."""
    whole = {
        "data": base64.b64encode(b"{cut").decode(),
        "attributes": {"item_id": "a"},
        "messageId": "7",
    }
    message = message_from_line(json.dumps(whole).encode())
    assert (message.data, message.attributes, message.message_id) == (
        b"{cut",
        {"item_id": "a"},
        "7",
    )


def test_an_attribute_that_is_null_is_absent() -> None:
    """It is no text "None", which would be an id."""
    whole = {"data": "", "attributes": {"tenant_id": None, "item_id": "a"}}
    assert message_from_line(json.dumps(whole).encode()).attributes == {"item_id": "a"}


def test_a_whole_message_keeps_its_publish_time() -> None:
    """By which the newer of two versions is known, whatever the order of the lines."""
    whole = {"data": "", "attributes": {}, "publishTime": "2026-11-24T10:00:00.000001Z"}
    message = message_from_line(json.dumps(whole).encode())
    assert rfc3339(message.publish_time_us) == "2026-11-24T10:00:00.000001+00:00"


@pytest.mark.parametrize("nonsense", [None, "", "today", "2026-11-24", 5, "0000-01-01T00:00:00Z"])
def test_a_line_without_a_publish_time_is_published_when_it_is_read(nonsense: object) -> None:
    """So is one whose time is none."""
    before_us = now_us()
    line = json.dumps({"data": "", "attributes": {}, "publishTime": nonsense}).encode()
    for message in (message_from_line(line), message_from_line(b"{}")):
        assert before_us <= message.publish_time_us <= now_us()


@pytest.mark.parametrize(
    "line",
    [
        b'{"attributes": {}, "data": "not base64!"}',
        b'{"attributes": ["a"], "data": ""}',
        b'{"attributes": {}}',
        b'["attributes"]',
        b'{"attributes"',
    ],
)
def test_what_is_no_whole_message_is_data(line: bytes) -> None:
    """A line that only looks like a message is left to the parse stage."""
    assert message_from_line(line).data == line


def test_a_files_messages_have_their_lines_numbers(tmp_path: Path) -> None:
    """Blank lines are none; a line ends with a newline alone, of Windows too."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\r\n\n \t\r\n{"b":\r2}\n{"c": 3}')
    assert [(one.number, one.message.data) for one in messages_of(path)] == [
        (1, b'{"a": 1}'),
        (4, b'{"b":\r2}'),
        (5, b'{"c": 3}'),
    ]


def test_a_file_that_is_no_json_lines_has_no_messages(tmp_path: Path) -> None:
    """File, line and what is wanted are told before the first of them."""
    path = tmp_path / "in.json"
    path.write_bytes(b'\n[{"a": 1}]')
    with pytest.raises(LineError, match=r"in\.json: line 2 begins with \[.* one object a line"):
        next(messages_of(path))
