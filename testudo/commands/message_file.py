"""Messages of a JSON Lines file, as `testudo publish` sends them."""

from collections.abc import Iterator
from pathlib import Path

from beam_pipeline.io.lines import messages_of
from testudo.commands.sending import Outgoing
from testudo.messages import message_attributes
from transforms.events import ids_in


def messages_in(path: Path) -> Iterator[Outgoing]:
    """One message a line, as files mode reads them; a bare item's ids become attributes.

    Raises LineError for a file that is no JSON Lines, and OSError.
    """
    for number, message in messages_of(path):
        attributes = dict(message.attributes) or _attributes_of(message.data)
        yield Outgoing(message.data, attributes, f"{path}, line {number}")


def _attributes_of(data: bytes) -> dict[str, str]:
    """The ids in the data, and a key; broken data is published too, for the pipeline to judge."""
    ids = ids_in(data)
    attributes = message_attributes(ids.get("tenant_id", ""), ids.get("item_id", ""), data)
    return {name: text for name, text in attributes.items() if text}
