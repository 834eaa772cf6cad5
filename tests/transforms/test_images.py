"""EncodeImages on a real encoder: every item is answered, whatever is wrong with its image."""

import base64
import binascii
import json
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from builders import Ran, created, encoded, grain, item, jpeg, quadrants, rejection, run
from conftest import Releases
from gcp_storage_emulator.server import create_server
from google.cloud import storage
from hypothesis import given
from hypothesis import strategies as st
from waiting import eventually

from models.facts import ImageFacts
from models.failures import Reason, Rejected, Stage
from models.features import ImageLimits, decode_image, pack_features
from models.litert import LiteRTModel
from models.manifest import ENCODER
from models.release import Pointer
from transforms.images import EncodeImages, ImageStore, Room
from transforms.inline_images import inline_image
from transforms.records import Item, Part
from transforms.settings import ImageAccess

BUCKET = "pictures-for-tests"


def inline(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(st.one_of(st.text("AZaz09+/=-_ \n\0\u00e9"), st.binary().map(inline)), st.text("=A\n"))
def test_base64_is_read_as_the_standard_library_reads_it(text: str, end: str) -> None:
    """The fast decoder takes nothing that the strict one refuses, and gives the same bytes.

    In either alphabet of base64; a text of both is refused.
    """
    standard = text + end
    if set("+/").isdisjoint(standard):
        standard = standard.replace("-", "+").replace("_", "/")
    try:
        expected = binascii.a2b_base64(standard, strict_mode=True)
    except ValueError:
        with pytest.raises(Rejected) as refused:
            inline_image(text + end)
        assert refused.value.reason == Reason.IMAGE_NOT_BASE64
    else:
        assert inline_image(text + end) == expected


def test_both_alphabets_of_base64_are_taken() -> None:
    """The standard one and that for URLs, each with its padding."""
    data = bytes(range(256)) * 3 + b"x"
    assert inline_image(base64.b64encode(data).decode()) == data
    assert inline_image(base64.urlsafe_b64encode(data).decode()) == data
    assert rejection(lambda: inline_image("-_8")).reason == Reason.IMAGE_NOT_BASE64


def test_a_text_in_both_alphabets_is_refused_by_name() -> None:
    """No encoder writes one, so it is no longer what was sent; a wrong picture may be in it."""
    rejected = rejection(lambda: inline_image("ab+-"))
    assert rejected.reason == Reason.IMAGE_NOT_BASE64
    assert rejected.detail == (
        "has + or / of the standard alphabet and - or _ of that for URLs; wanted is one"
    )


def encode(
    items: Iterable[Item],
    releases: Releases,
    *,
    access: ImageAccess = ImageAccess(),
    limits: ImageLimits = ImageLimits(),
    batch_size: int = 4,
) -> Ran:
    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        halves = created(pipeline, items, Item) | EncodeImages(
            releases=releases.root, access=access, limits=limits, batch_size=batch_size
        )
        return {"halves": halves}

    return run(connect)


def by_item(ran: Ran) -> dict[str, Part]:
    halves: list[Part] = ran.records["halves"]
    named = {half.envelope.item_id: half for half in halves}
    assert len(named) == len(halves), "an item was answered twice"
    assert {half.branch for half in halves} == {Stage.IMAGE}
    return named


def facts(*values: Any) -> dict[str, Any]:
    return ImageFacts(*values)._asdict()


def reason(half: Part) -> str:
    assert half.failure
    assert half.failure.stage == Stage.IMAGE
    assert half.features == b""
    return half.failure.reason


def expected_features(data: bytes, releases: Releases, *, second: bool = False) -> np.ndarray:
    """The embedding as training computes it, by the functions themselves."""
    manifest = releases.second if second else releases.first
    pixels, _ = decode_image(data, size_px=manifest.image_size_px)
    path = Path(releases.root) / manifest.release / ENCODER
    arrays = LiteRTModel(path)({"image": pixels[None]})
    (packed,) = pack_features(manifest.features[Stage.IMAGE], arrays)
    return np.frombuffer(packed, manifest.features[Stage.IMAGE][0].dtype)


def assert_embedding(half: Part, expected: np.ndarray) -> None:
    found = np.frombuffer(half.features, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_every_item_is_answered(releases: Releases) -> None:
    """Good images with an embedding, absent ones empty, each broken one with its reason."""
    release = releases.first.release
    good = encoded(quadrants(200, 100), "JPEG")
    items = [
        item(1, release=release, image_base64=inline(good)),
        item(2, release=release),
        item(3, release=release, image_base64="@" + inline(good)[1:]),
        item(4, release=release, image_base64=inline(good)[:-3]),
        item(5, release=release, image_base64=inline(encoded(grain(90, 90), "PNG")[:5_000])),
        item(6, release=release, image_base64=inline(b"<svg/>")),
        item(7, release=release, image_base64=inline(jpeg(600, 600))),
        item(8, release=release, image_uri="gs://somebody-elses/a.jpg"),
        item(9, release="listings-none", image_base64=inline(good)),
        item(10, release=release, image_base64="\u00e4\u00f6"),
    ]
    ran = encode(items, releases, limits=ImageLimits(max_pixels=100_000))
    halves = by_item(ran)
    assert_embedding(halves["item-1"], expected_features(good, releases))
    assert halves["item-1"].failure is None
    assert json.loads(halves["item-1"].facts) == facts("JPEG", 200, 100, len(good))
    assert set(halves["item-1"].spent_us) == {"fetch", "decode", "encode"}
    assert halves["item-2"][2:] == (b"", None, "", {})
    assert {name: reason(half) for name, half in halves.items() if half.failure} == {
        "item-3": Reason.IMAGE_NOT_BASE64,
        "item-4": Reason.IMAGE_NOT_BASE64,
        "item-5": Reason.IMAGE_UNREADABLE,
        "item-6": Reason.IMAGE_FORMAT_REFUSED,
        "item-7": Reason.IMAGE_TOO_LARGE,
        "item-8": Reason.IMAGE_URI_REFUSED,
        "item-9": Reason.RELEASE_UNAVAILABLE,
        "item-10": Reason.IMAGE_NOT_BASE64,
    }
    assert len(halves) == len(items)
    assert "bugs" not in ran.counters


def test_each_image_is_encoded_by_its_own_release(releases: Releases) -> None:
    """Two releases of different image size share batches and do not mix."""
    pictures = [encoded(grain(40, 40, seed=number), "PNG") for number in range(8)]
    manifests = [releases.first, releases.second] * 4
    items = [
        item(number, release=manifest.release, image_base64=inline(data))
        for number, (data, manifest) in enumerate(zip(pictures, manifests, strict=True))
    ]
    halves = by_item(encode(items, releases, batch_size=8))
    for number, data in enumerate(pictures):
        expected = expected_features(data, releases, second=number % 2 == 1)
        assert_embedding(halves[f"item-{number}"], expected)


def test_a_damaged_release_is_reported_item_by_item(releases: Releases, damaged: str) -> None:
    """A file that is not the released one is never used; items of other releases go on."""
    releases.point(Pointer(damaged, canary=releases.first.release))
    picture = inline(jpeg(64, 64))
    ran = encode(
        [
            item(1, release=damaged, image_base64=picture),
            item(2, release=releases.first.release, image_base64=picture),
        ],
        releases,
    )
    halves = by_item(ran)
    assert reason(halves["item-1"]) == Reason.RELEASE_UNAVAILABLE
    assert halves["item-2"].features
    assert "bugs" not in ran.counters


@pytest.fixture
def cloud_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    """A bucket of the Cloud Storage stand-in, in this process, which clients are led to."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    with server:
        port = server._api._httpd.server_address[1]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        yield storage.Client().bucket(BUCKET)


def test_images_are_fetched_from_the_allowed_buckets(
    releases: Releases, cloud_storage: storage.Bucket
) -> None:
    """Good ones are encoded; missing, empty, broken and too long ones say so."""
    picture = encoded(quadrants(100, 100), "PNG")
    objects = {"a b/picture#1.png": picture, "empty": b"", "text": b"text", "long": b"x" * 5_000}
    for name, data in objects.items():
        cloud_storage.blob(name).upload_from_string(data)
    names = [*objects, "missing"]
    items = [
        item(number, release=releases.first.release, image_uri=f"gs://{BUCKET}/{name}")
        for number, name in enumerate(names)
    ]
    foreign = item(9, release=releases.first.release, image_uri="gs://other-bucket/text")
    access = ImageAccess(frozenset({BUCKET}), timeout_s=300)
    limits = ImageLimits(max_bytes=4_000)
    ran = encode([*items, foreign], releases, access=access, limits=limits)
    halves = by_item(ran)
    assert_embedding(halves["item-0"], expected_features(picture, releases))
    assert json.loads(halves["item-0"].facts) == facts("PNG", 100, 100, len(picture))
    assert [reason(halves[f"item-{number}"]) for number in (1, 2, 3, 4, 9)] == [
        Reason.IMAGE_FORMAT_REFUSED,
        Reason.IMAGE_FORMAT_REFUSED,
        Reason.IMAGE_TOO_LARGE,
        Reason.IMAGE_NOT_FOUND,
        Reason.IMAGE_URI_REFUSED,
    ]
    assert "bugs" not in ran.counters


def test_a_storage_that_does_not_answer_is_a_failure_of_the_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the time allowed for one image, tries again included; nothing hangs."""
    with socket.socket() as closed:  # bound, and never listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        store = ImageStore(ImageAccess(frozenset({BUCKET}), timeout_s=0.2), 1_000)
        rejected = rejection(lambda: store.fetch(f"gs://{BUCKET}/a.jpg"))
    assert rejected.reason == Reason.IMAGE_FETCH_FAILED


def test_files_in_memory_are_bounded_by_their_bytes() -> None:
    """Small ones of many threads have room together; whoever finds none waits, in turn."""
    room = Room(100)
    small = [room.take(10) for _ in range(9)]
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(room.take, 1_000)
        eventually(room._turn.locked, bool)
        last = threads.submit(room.take, 5)
        for count in small:
            assert not large.done()
            room.give_back(count)
        assert large.result() == 100  # all there is: it goes alone
        assert not last.done()
        room.give_back(100)
        assert last.result() == 5
