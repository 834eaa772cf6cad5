"""JSON Lines of messages, as files mode and `testudo publish --file` read them.

A line is an item, or a whole message as Pub/Sub's REST API writes it. What is
wrong with one item is the pipeline's to say; what is wrong with the file is said
here, before anything of it is read or sent.
"""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from models.failures import TestudoError
from transforms.parsing import given_time_us, now_us
from transforms.records import Message

START_BYTES = 4096
WANTED = "wanted is JSON Lines: one object a line, in UTF-8"
# UTF-32's mark begins as UTF-16's does.
MARKS = {
    b"\xef\xbb\xbf": "with a byte order mark",
    b"\xff\xfe": "with a byte order mark of UTF-16",
    b"\xfe\xff": "with a byte order mark of UTF-16",
    b"\x1f\x8b": "as a file compressed with gzip",
}


class LineError(TestudoError, ValueError):
    """What is no JSON Lines: the file, the line, and what is wanted, in one line."""


class NumberedMessage(NamedTuple):
    number: int  # of the line, the first is 1
    message: Message


def messages_of(path: Path) -> Iterator[NumberedMessage]:
    """The messages of a local file, each with the number of its line; blank lines are none.

    Raises LineError for a file that is no JSON Lines, and OSError.
    """
    with path.open("rb") as file:
        if problem := start_problem(file.read(START_BYTES)):
            raise LineError(f"{path}: {problem}")
        file.seek(0)
        for number, ended in enumerate(file, 1):
            line = ended.removesuffix(b"\n").removesuffix(b"\r")
            if holds_message(line):
                yield NumberedMessage(number, message_from_line(line))


def start_problem(start: bytes) -> str:
    """Why a file that begins with `start` is no JSON Lines, by the line's number; else empty."""
    for mark, what in MARKS.items():
        if start.startswith(mark):
            return f"line 1 begins {what}; {WANTED}"
    if b"\0" in start[:4]:
        return f"line 1 is not in UTF-8, but in UTF-16 or no text; {WANTED}"
    blank = len(start) - len(start.lstrip())
    number = 1 + start[:blank].count(b"\n")
    first, _, rest = start[blank:].partition(b"\n")
    if first.startswith(b"["):
        return f"line {number} begins with [, as a JSON array does; {WANTED}"
    if first.strip() == b"{" and rest.lstrip().startswith(b'"'):
        return f"line {number} begins an object that ends on another line; {WANTED}"
    return ""


def holds_message(line: bytes) -> bool:
    """Whether there is anything in the line but white space."""
    return bool(line.strip())


def message_from_line(line: bytes) -> Message:
    """A line is a message's data, or a whole message as Pub/Sub's REST API writes it.

    The latter is an object of `data` in base64 and `attributes`; they name an
    item whose data is broken. It may have `messageId` and `publishTime`; without the
    latter a line is published when it is read.
    """
    if b'"attributes"' in line:  # cheap, and false of nearly every bare item
        with contextlib.suppress(ValueError, TypeError, KeyError):
            whole = orjson.loads(line)
            data = base64.b64decode(whole["data"], validate=True)
            pairs = dict(whole["attributes"]).items()
            attributes = {str(name): str(text) for name, text in pairs if text is not None}
            published_us = given_time_us(whole.get("publishTime"))
            message_id = str(whole.get("messageId", ""))
            return Message(
                data, attributes, message_id, now_us() if published_us is None else published_us
            )
    return Message(line, {}, "", now_us())
