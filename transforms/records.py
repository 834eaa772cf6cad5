"""The records that cross the edges of the graph.

Every record is a NamedTuple, because Beam encodes those with its RowCoder
(transforms.coders). Features cross as
bytes of a fixed dtype (the release's manifest names it), never as a list of
numbers. Times are integers in microseconds since 1970 (`_us`).
"""

from collections.abc import Mapping
from typing import NamedTuple, Optional

from models.facts import Score
from models.failures import Failure


class Message(NamedTuple):
    """One Pub/Sub delivery, as it arrived."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_time_us: int
    payload_uri: str = ""  # where `data` is kept; empty until it is


class Envelope(NamedTuple):
    """What every record about one delivered item carries from parse to outcome."""

    delivery: str  # join key, new at each delivery, so that two never mix
    item_id: str
    tenant_id: str
    release: str
    message_id: str
    event_time_us: int
    publish_time_us: int
    received_us: int
    attempt: int
    payload_uri: str
    attributes_json: str
    canary: bool = False  # whether its release was the canary when it was parsed
    fields_json: str = ""  # what the sender said of the item beside text and image: a JSON object


class Item(NamedTuple):
    """A valid message: what the branches read."""

    envelope: Envelope
    text: str
    image_base64: str  # empty when the image is given by URI or not at all
    image_uri: str


class Fetched(NamedTuple):
    """One image file on its way to decoder and encoder; stays inside the fused image stage."""

    envelope: Envelope
    data: bytes
    spent_us: Mapping[str, int]


class Part(NamedTuple):
    """One branch's answer for one item; the join waits for one of each branch.

    `features` is packed as models.features describes; it is empty when the item
    has nothing for this branch or the branch failed.
    """

    branch: str  # a name of models.branches.BRANCHES
    envelope: Envelope
    features: bytes
    failure: Optional[Failure]
    facts: str  # a JSON object, or empty: the row's column of the branch's name
    spent_us: Mapping[str, int]  # wall time by step


class Joined(NamedTuple):
    """All parts of one item, none of them failed: what the scorers read."""

    envelope: Envelope
    features: Mapping[str, bytes]  # by branch
    facts: Mapping[str, str]  # by branch, those that are there
    spent_us: Mapping[str, int]


class Scored(NamedTuple):
    """An item with its scores: becomes one prediction row."""

    joined: Joined
    scores: list[Score]
    spent_us: int
    processed_us: int
    decisions_json: str = ""  # of the release's function `decide`: a JSON object


class DeadLetter(NamedTuple):
    """An item that ends without a prediction; names every stage that failed."""

    envelope: Envelope
    failures: list[Failure]
    failed_us: int
