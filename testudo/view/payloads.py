"""What a stored message holds: its text and its picture, as far as a person is shown them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from models.failures import Rejected
from models.objects import Objects, join
from transforms.inline_images import inline_image
from transforms.payload_objects import OBJECT_NAME

MAX_BYTES = 32_000_000  # of one message; Pub/Sub takes 10 MB
MAX_TEXT_CHARS = 1_000  # shown of one text
RETRY_FOR_S = 5.0  # somebody waits for the page
# What stands before a name in a row is not followed: no row leads to another object, or to
# another file of this machine.
PLACE = re.compile(rf"(?:.*/)?({OBJECT_NAME})#(\d{{1,12}})-(\d{{1,12}})")


class Unreadable(Exception):
    """Why a message or its picture is not shown, in words for the page."""

    def __init__(self, why: str, *, passes: bool = False) -> None:
        super().__init__(why)
        self.passes = passes  # another try may go well


class Sent(NamedTuple):
    """What a sender wrote. `image` is the file; `image_problem` says why there is none."""

    text: str
    image: bytes
    image_uri: str
    image_problem: str


class Payloads:
    """The messages below one output: a folder of files mode, or the prefix of a bucket."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._objects = Objects(retry_for_s=RETRY_FOR_S, request_timeout_s=RETRY_FOR_S)

    def read(self, payload_uri: str) -> bytes:
        """The message's data. Raises Unreadable."""
        place = PLACE.fullmatch(payload_uri)
        if not place:
            raise Unreadable("its row names no stored message")
        start, end = int(place[2]), int(place[3])
        if not 0 <= end - start <= MAX_BYTES:
            raise Unreadable(f"the message has more than {MAX_BYTES} bytes")
        try:
            return self._objects.read_span(join(self._output, place[1]), start, end)
        except FileNotFoundError as error:
            raise Unreadable("its stored message is not there any more") from error
        except OSError as error:
            raise Unreadable(f"its stored message was not read: {error}", passes=True) from error


def read_message(data: bytes) -> Sent:
    """Of whatever was sent: a message that is not JSON is its own text."""
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        begin = cut(data[: 4 * MAX_TEXT_CHARS].decode("utf-8", "replace"))
        return Sent(begin, b"", "", "the message is no JSON object; its beginning is shown")
    text, uri = (_text(fields, name) for name in ("text", "image_uri"))
    image, problem = b"", ""
    if written := _text(fields, "image"):
        try:
            image = inline_image(written)
        except Rejected:
            problem = "its image is not base64"
    return Sent(cut(text), image, uri, problem)


def cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}…"


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
