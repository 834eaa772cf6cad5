"""Sample messages: drawn listings as their sender would publish them, some broken on purpose.

Seeded: the same seed gives the same messages. Besides whole items there are
items with only a text or only an image, images given by URI, and, at `broken_share`, one
message of each kind in BREAKAGES in turn.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from models.failures import Reason
from models.training.samples import Listing, draw_listings

# Customers by their share of the items: few large ones, some small ones.
TENANTS = ("acme",) * 8 + ("bolt",) * 5 + ("cedar",) * 3 + ("delta",) * 2 + ("ember", "fjord")
SIDES_EVERY, IMAGE_ONLY, TEXT_ONLY = 20, 7, 13  # of 20 items, the eighth and the fourteenth
BY_URI_EVERY = 5

Fields = dict[str, Any]


class SampleMessage(NamedTuple):
    """One message to publish; `uploads` maps object names to images it refers to."""

    item_id: str
    tenant_id: str
    data: bytes
    attributes: Mapping[str, str]
    truth: Mapping[str, str]  # the known labels; empty when broken
    breakage: str  # empty when the message is good
    uploads: Mapping[str, bytes]


def idempotency_key(tenant_id: str, item_id: str, data: bytes) -> str:
    """Names a message by its content, so that Dataflow drops a copy published twice."""
    return f"{tenant_id}/{item_id}/{hashlib.sha256(data).hexdigest()[:16]}"


def message_attributes(tenant_id: str, item_id: str, data: bytes) -> dict[str, str]:
    return {
        "item_id": item_id,
        "tenant_id": tenant_id,
        "idempotency_key": idempotency_key(tenant_id, item_id, data),
    }


def sample_messages(
    count: int,
    *,
    seed: int,
    bucket: str = "",
    broken_share: float = 0.04,
    prefix: str = "",
    tenants: Sequence[str] = TENANTS,
) -> Iterator[SampleMessage]:
    """Draw `count` messages; without a `bucket` no image is given by URI.

    Item ids begin with `prefix`; `tenants` take turns.
    """
    broken_every = round(1 / broken_share) if broken_share else 0
    kinds = list(BREAKAGES)
    for index, listing in enumerate(draw_listings(count, seed=seed)):
        tenant_id = tenants[index % len(tenants)]
        item_id = f"{prefix}{listing.item_id}"
        fields, truth, uploads = _whole(listing, item_id, tenant_id), dict(listing.labels), {}
        breakage = ""
        if broken_every and index % broken_every == broken_every - 1:
            breakage = kinds[index // broken_every % len(kinds)]
            data = BREAKAGES[breakage](fields)
            truth = {}
        else:
            if index % SIDES_EVERY == IMAGE_ONLY:
                fields.pop("text")
                truth.pop("mismatch")  # which takes both to know
            elif index % SIDES_EVERY == TEXT_ONLY:
                fields.pop("image")
                truth = {}  # the labels are of the picture
            elif bucket and index % BY_URI_EVERY == 0:
                name = f"listings/{listing.item_id}.jpg"
                fields.pop("image")
                fields["image_uri"] = f"gs://{bucket}/{name}"
                uploads = {name: listing.image_jpeg}
            data = json.dumps(fields).encode()
        yield SampleMessage(
            item_id=item_id,
            tenant_id=tenant_id,
            data=data,
            attributes=message_attributes(tenant_id, item_id, data),
            truth=truth,
            breakage=breakage,
            uploads=uploads,
        )


def _whole(listing: Listing, item_id: str, tenant_id: str) -> Fields:
    return {
        "item_id": item_id,
        "tenant_id": tenant_id,
        "text": listing.text,
        "image": base64.b64encode(listing.image_jpeg).decode(),
    }


def _not_json(fields: Fields) -> bytes:
    return json.dumps(fields).encode()[:-20]


def _no_tenant(fields: Fields) -> bytes:
    return json.dumps({**fields, "tenant_id": None}).encode()


def _nothing_in_it(fields: Fields) -> bytes:
    return json.dumps({name: fields[name] for name in ("item_id", "tenant_id")}).encode()


def _not_base64(fields: Fields) -> bytes:
    return json.dumps({**fields, "image": "@" + fields["image"][1:]}).encode()


def _cut_image(fields: Fields) -> bytes:
    image = base64.b64decode(fields["image"])
    return json.dumps(
        {**fields, "image": base64.b64encode(image[: len(image) // 2]).decode()}
    ).encode()


def _svg_image(fields: Fields) -> bytes:
    svg = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg"/>').decode()
    return json.dumps({**fields, "image": svg}).encode()


def _foreign_bucket(fields: Fields) -> bytes:
    fields = {name: value for name, value in fields.items() if name != "image"}
    return json.dumps({**fields, "image_uri": "gs://somebody-elses-bucket/a.jpg"}).encode()


BREAKAGES: Mapping[str, Callable[[Fields], bytes]] = {
    "cut_json": _not_json,
    "no_tenant": _no_tenant,
    "nothing_in_it": _nothing_in_it,
    "not_base64": _not_base64,
    "cut_image": _cut_image,
    "svg_image": _svg_image,
    "foreign_bucket": _foreign_bucket,
}
# What becomes of each.
REASONS: Mapping[str, Reason] = {
    "cut_json": Reason.NOT_JSON,
    "no_tenant": Reason.SCHEMA_VIOLATION,
    "nothing_in_it": Reason.SCHEMA_VIOLATION,
    "not_base64": Reason.IMAGE_NOT_BASE64,
    "cut_image": Reason.IMAGE_UNREADABLE,
    "svg_image": Reason.IMAGE_FORMAT_REFUSED,
    "foreign_bucket": Reason.IMAGE_URI_REFUSED,
}
