"""Lines of files mode: bare items, and whole messages."""

import base64
import json

import pytest

from beam_pipeline.endpoints import message_from_line


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
