"""Messages of a JSON Lines file, as `testudo publish` sends them."""

from collections.abc import Iterator
from pathlib import Path

from beam_pipeline.commands.sending import Outgoing
from beam_pipeline.endpoints import message_from_line
from loadtest.messages import message_attributes
from transforms.events import ids_in

# The first bytes of what is no JSON Lines file, in words.
FORMS = {
    b"\xef\xbb\xbf": "begins with a byte order mark: save it as UTF-8 without one",
    b"\xff\xfe": "is UTF-16: save it as UTF-8",
    b"\xfe\xff": "is UTF-16: save it as UTF-8",
    **dict.fromkeys((b"{\0", b"\0{", b"[\0", b"\0["), "is UTF-16: save it as UTF-8"),
    b"[": "begins with [: a JSON array; write an object a line, as `jq -c '.[]'` does",
}


def form_problem(path: Path) -> str:
    """Why the file is no JSON Lines in UTF-8, judged by its first bytes; empty if it may be."""
    with path.open("rb") as file:
        first = file.read(1024).lstrip()
    return next((f"{path}: {words}" for form, words in FORMS.items() if first.startswith(form)), "")


def messages_in(path: Path) -> Iterator[Outgoing]:
    """One message a line, as files mode reads them; blank lines are none.

    A bare item's ids become attributes.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                message = message_from_line(line.rstrip(b"\r\n"))
                attributes = dict(message.attributes) or _attributes_of(message.data)
                yield Outgoing(message.data, attributes, f"{path}, line {number}")


def _attributes_of(data: bytes) -> dict[str, str]:
    """The ids in the data, and a key; broken data is published too, for the pipeline to judge."""
    ids = ids_in(data)
    attributes = message_attributes(ids.get("tenant_id", ""), ids.get("item_id", ""), data)
    return {name: text for name, text in attributes.items() if text}
