"""What is published, drawn before the run: some variants of each kind, with gaps for the ids.

Putting a message together is joining bytes. An item's variant follows from the number of
its original, so that copies are the same to the bit, whichever process sends them.
"""

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from loadtest.traffic import poison
from loadtest.traffic.kinds import Kind
from models.training.samples import Listing, draw_listings
from testudo.errors import CommandError
from testudo.messages import BREAKAGES, message_attributes

VARIANTS = 16
_SEED = 21  # of the drawn listings
_ITEM, _TENANT = b"item-id-goes-here", b"tenant-id-goes-here"
_GAPS = re.compile(b"(" + _ITEM + b"|" + _TENANT + b")")


class NoImageBucket(CommandError):
    """A kind is given by URI, and there is no bucket for its picture."""


class Drawn(NamedTuple):
    """One variant of a kind, with marks where the ids belong."""

    data: bytes
    attributes: Mapping[str, str]  # beside the usual ones
    uploads: Mapping[str, bytes]  # by name in the image bucket


class _Gapped(NamedTuple):
    """A variant as it is filled: pieces, some of which are gaps."""

    pieces: Sequence[bytes]
    item_gaps: Sequence[int]
    tenant_gaps: Sequence[int]
    attributes: Mapping[str, str]
    content: str  # names the variant's bytes

    @classmethod
    def of(cls, drawn: Drawn) -> Self:
        pieces = _GAPS.split(drawn.data)
        return cls(
            pieces,
            [number for number, piece in enumerate(pieces) if piece == _ITEM],
            [number for number, piece in enumerate(pieces) if piece == _TENANT],
            drawn.attributes,
            hashlib.sha256(drawn.data).hexdigest()[:16],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Payloads:
    """The variants of each kind, in the order of the schedule's kinds."""

    drawn: Sequence[Sequence[Drawn]]
    _gapped: Sequence[Sequence[_Gapped]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        gapped = [[_Gapped.of(variant) for variant in variants] for variants in self.drawn]
        object.__setattr__(self, "_gapped", gapped)

    @classmethod
    def draw(cls, kinds: Sequence[Kind], *, image_bucket: str = "") -> Self:
        """Draw all kinds; the same ones give the same bytes. Raises NoImageBucket."""
        if lacking := [kind.name for kind in kinds if kind.by_uri and not image_bucket]:
            raise NoImageBucket(f"no image bucket for the kinds {', '.join(lacking)}")
        return cls([list(_variants(kind, image_bucket)) for kind in kinds])

    @property
    def uploads(self) -> dict[str, bytes]:
        """What must be in the image bucket before the run."""
        every = (variant.uploads for variants in self.drawn for variant in variants)
        return {name: data for uploads in every for name, data in uploads.items()}

    def mean_bytes(self, kind: int) -> float:
        """Of the data of a message."""
        variants = self.drawn[kind]
        return sum(len(variant.data) for variant in variants) / len(variants)

    def message(
        self, kind: int, original: int, *, item_id: str, tenant_id: str
    ) -> tuple[bytes, dict[str, str]]:
        """Data and attributes; `original` is the number of the message that this is, or copies."""
        variants = self._gapped[kind]
        one = variants[original % len(variants)]
        pieces = list(one.pieces)
        for gap in one.item_gaps:
            pieces[gap] = item_id.encode()
        for gap in one.tenant_gaps:
            pieces[gap] = tenant_id.encode()
        attributes = {
            "item_id": item_id,
            "tenant_id": tenant_id,
            "idempotency_key": f"{tenant_id}/{item_id}/{one.content}",
            **one.attributes,
        }
        return b"".join(pieces), attributes

    def save(self, path: Path) -> None:
        """For other processes, which need not draw again; uploads are left out."""
        rows = [
            (kind, variant.data, json.dumps(dict(variant.attributes)))
            for kind, variants in enumerate(self.drawn)
            for variant in variants
        ]
        kinds, data, attributes = zip(*rows, strict=True)
        table = pa.table(
            {"kind": kinds, "data": pa.array(data, pa.large_binary()), "attributes": attributes}
        )
        pq.write_table(table, path, compression="none")

    @classmethod
    def load(cls, path: Path) -> Self:
        drawn: dict[int, list[Drawn]] = {}
        for row in pq.read_table(path).to_pylist():
            one = Drawn(row["data"], json.loads(row["attributes"]), {})
            drawn.setdefault(row["kind"], []).append(one)
        return cls([drawn[kind] for kind in sorted(drawn)])


def _variants(kind: Kind, bucket: str) -> Iterator[Drawn]:
    if kind.fault and kind.fault not in BREAKAGES:
        yield _poison(kind.fault, bucket)
        return
    sizes: dict[str, Any] = {"width_px": kind.width_px or 32, "height_px": kind.height_px or 32}
    for listing in draw_listings(VARIANTS, seed=_SEED, **sizes):
        fields, uploads = _item(kind, listing, bucket)
        spoil = BREAKAGES.get(kind.fault, _as_json)
        yield Drawn(spoil(fields), {}, uploads)


def _as_json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def _item(kind: Kind, listing: Listing, bucket: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An item's fields, and its picture if that is an object of the bucket."""
    fields = {"item_id": _ITEM.decode(), "tenant_id": _TENANT.decode()}
    if kind.has_text:
        text, chars = listing.text, kind.text_chars or len(listing.text)
        fields["text"] = (f"{text} " * (1 + chars // len(text)))[:chars].strip()
    if not kind.width_px:
        return fields, {}
    picture = _in_format(listing.image_jpeg, kind.format)
    if not kind.by_uri:
        return {**fields, "image": base64.b64encode(picture).decode()}, {}
    name = f"loadtest/{hashlib.sha256(picture).hexdigest()[:24]}.{kind.format.lower()}"
    return {**fields, "image_uri": f"gs://{bucket}/{name}"}, {name: picture}


def _in_format(jpeg: bytes, name: str) -> bytes:
    if name == "JPEG":
        return jpeg
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(file, name)
    return file.getvalue()


def _poison(fault: str, bucket: str) -> Drawn:
    """The table's message with our gaps; what it says of itself stays as it is."""
    place = poison.Place(_ITEM.decode(), bucket or "none", f"loadtest/{fault}.jpg")
    made = poison.POISON[fault].make(place)
    data = made.data.replace(
        b'"tenant_id": "%b"' % poison.TENANT.encode(), b'"tenant_id": "%b"' % _TENANT
    )
    usual = message_attributes(poison.TENANT, place.item_id, made.data)
    others = {
        name: value
        for name, value in (made.attributes or usual).items()
        if usual.get(name) != value
    }
    return Drawn(data, others, made.uploads)
