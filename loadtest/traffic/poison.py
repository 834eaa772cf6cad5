"""Hostile messages that a profile mixes in as `poison`: each says what must become of it.

How such a message is described and made stands here; tests/rigs/hostile has the table of all
of them, which docs/reference.md shows. The same item id and bucket give the same message.
"""

import base64
import dataclasses
import enum
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from loadtest.traffic import poison_files as files
from models.failures import Reason
from testudo.messages import message_attributes

TENANT = "hostile"
SCORED = "scored"


class Trouble(enum.StrEnum):
    """What a storage server must do with a kind's object, beside serving what was uploaded."""

    FORBIDDEN = "forbidden"  # answer 403
    SILENT = "silent"  # take the request and never answer
    HUGE = "huge"  # have an object of HUGE_OBJECT_BYTES
    UNPACKED = "unpacked"  # serve the upload as stored in gzip, which clients unpack


class HostileMessage(NamedTuple):
    """One message to publish; `uploads` maps names in the image bucket to content."""

    data: bytes
    attributes: Mapping[str, str]
    uploads: Mapping[str, bytes]


class Place(NamedTuple):
    """Where a message is made for: its id, the image bucket and its object's name."""

    item_id: str
    bucket: str
    object_name: str


class Content(NamedTuple):
    """A message's data and what it refers to; without `attributes` it gets the usual ones."""

    data: bytes
    uploads: Mapping[str, bytes] = {}
    attributes: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class HostileKind:
    """One row of the table."""

    name: str
    what: str
    reason: Reason | None  # None: it is scored
    make: Callable[[Place], Content]
    publishable: bool = True  # whether Pub/Sub takes it
    trouble: Trouble | None = None  # what it needs a server to do

    @property
    def outcome(self) -> str:
        """A reason's name, or `scored`."""
        return self.reason.value if self.reason else SCORED

    def object_name(self, item_id: str) -> str:
        """The name in the image bucket that the kind's URI, if it is such a one, refers to."""
        return f"hostile/{item_id}.jpg"

    def message(self, *, item_id: str, bucket: str) -> HostileMessage:
        """Make the message; `item_id` is what its outcome is found by."""
        made = self.make(Place(item_id, bucket, self.object_name(item_id)))
        attributes = made.attributes
        if attributes is None:
            attributes = message_attributes(TENANT, item_id, made.data)
        return HostileMessage(made.data, attributes, made.uploads)


def item_fields(place: Place, **changes: Any) -> dict[str, Any]:
    """A valid item; a change to None leaves the field out."""
    whole = {"item_id": place.item_id, "tenant_id": TENANT, "text": "a red mug", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def as_json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def item(**changes: Any) -> Callable[[Place], Content]:
    """A valid item with changes."""
    return lambda place: Content(as_json(item_fields(place, **changes)))


def changed(make: Callable[[bytes], bytes]) -> Callable[[Place], Content]:
    """Bytes made of a valid item's JSON."""
    return lambda place: Content(make(as_json(item_fields(place))))


def literal(field: str) -> Callable[[Place], Content]:
    """A valid item's JSON with one more field, as it stands."""
    return changed(lambda data: data[:-1] + b", " + field.encode() + b"}")


def image(make: Callable[[], bytes]) -> Callable[[Place], Content]:
    """An item with this file inline."""
    return lambda place: Content(
        as_json(item_fields(place, image=base64.b64encode(make()).decode()))
    )


def uri(form: str) -> Callable[[Place], Content]:
    """An item with an image URI; `{bucket}` and `{name}` stand for the bucket and an object."""
    return lambda place: Content(
        as_json(
            item_fields(place, image_uri=form.format(bucket=place.bucket, name=place.object_name))
        )
    )


def _hostile_attributes(place: Place) -> Content:
    data = as_json(item_fields(place))
    usual = message_attributes(TENANT, place.item_id, data)
    hostile = {"tenant_id": "../../etc", "testudo_attempt": "9" * 400, "trace": "\x1b[2J\r\n" * 100}
    return Content(data, attributes={**usual, **hostile})


def nested(levels: int) -> Callable[[Place], Content]:
    return literal(f'"text": {"[" * levels}{"]" * levels}')


def cut_kind(format_name: str) -> HostileKind:
    return HostileKind(
        f"{format_name.lower()}_cut", f"a {format_name} cut off", Reason.IMAGE_UNREADABLE,
        image(partial(files.cut, format_name)),
    )  # fmt: skip


def pixels_kind(name: str, make: Callable[[int, int], bytes], side_px: int) -> HostileKind:
    return HostileKind(
        f"{name}_pixels", f"a small {name.upper()} that claims {side_px}x{side_px} pixels",
        Reason.IMAGE_TOO_LARGE, image(partial(make, side_px, side_px)),
    )  # fmt: skip


def posing_kind(name: str, what: str, make: Callable[[], bytes]) -> HostileKind:
    return HostileKind(
        f"posing_{name}", f"{what} for an image", Reason.IMAGE_FORMAT_REFUSED, image(make)
    )


_WORST_MARKS = "a" + "\u0301" * 49_999 + "\u0323" * 50_000
_KINDS = (
    HostileKind(
        "utf16", "JSON in UTF-16", Reason.NOT_JSON,
        changed(lambda data: data.decode().encode("utf-16")),
    ),
    HostileKind("nested", "300 arrays in one another", Reason.SCHEMA_VIOLATION, nested(300)),
    HostileKind(
        "two_images", "image and image_uri", Reason.SCHEMA_VIOLATION,
        item(image="eA==", image_uri="gs://some-bucket/a.jpg"),
    ),
    HostileKind(
        "id_newline", "an id with a line break, to forge a line of a log", Reason.SCHEMA_VIOLATION,
        item(item_id="a\nINFO all is well"),
    ),
    HostileKind(
        "hostile_attributes", "a good item; a path, escapes and nonsense in its attributes", None,
        _hostile_attributes,
    ),
    HostileKind(
        "text_marks", "99,999 marks on one letter, in the order worst to sort", None,
        item(text=_WORST_MARKS),
    ),
    HostileKind(
        "text_escapes", "terminal escapes, line breaks, SQL and HTML", None,
        item(text="\x1b[2J\r\n'; DROP TABLE items; -- <script>alert(1)</script>"),
    ),
    HostileKind(
        "jpeg_scans", "a JPEG that draws 16 million pixels 200 times", Reason.IMAGE_TOO_LARGE,
        image(files.jpeg_with_many_scans),
    ),
    HostileKind(
        "png_exif_bomb", "a PNG whose EXIF names its 300 KB 25,000 times: 7 GB", None,
        image(lambda: files.png(8, 8, files.chunk(b"eXIf", files.exif_bomb(300_000)))),
    ),
    HostileKind(
        "uri_metadata_server", "a bucket that is an address", Reason.IMAGE_URI_REFUSED,
        uri("gs://169.254.169.254/computeMetadata/v1/"),
    ),
    cut_kind("JPEG"),
    pixels_kind("png", files.png_that_claims, files.BIG_SIDE_PX),
    posing_kind("svg", "an SVG with a script", lambda: files.SVG),
    posing_kind("html", "a web page", lambda: files.HTML),
)  # fmt: skip
POISON: Mapping[str, HostileKind] = {kind.name: kind for kind in _KINDS}
