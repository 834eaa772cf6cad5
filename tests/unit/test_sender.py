"""Payloads, and the open loop that sends them: what one process of the generator does."""

import base64
import dataclasses
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pubsub_server import Server, serving

from loadtest.traffic.kinds import BROKEN, POISON, Kind, broken_kind, poison_kind
from loadtest.traffic.open_loop import OpenLoop
from loadtest.traffic.payloads import VARIANTS, NoImageBucket, Payloads
from loadtest.traffic.profile import Copies, Part, Profile, read_profile
from loadtest.traffic.schedule import Schedule, make_schedule
from loadtest.traffic.sender import cloud_cost, send
from loadtest.traffic.senders import SendError
from loadtest.traffic.sent import join_shares, save_share
from loadtest.traffic.trace import save_trace
from models.failures import Rejected
from testudo.cloud.prices import read_prices
from testudo.messages import REASONS
from testudo.verdict import PREDICTED
from transforms.parsing import parse_message

TOPIC = "projects/testudo-test/topics/items"
BUCKET = "pictures"
TEXT = Kind(name="text")
PHOTO = Kind(name="photo", width_px=64, height_px=48, format="JPEG")


def schedule_of(
    *kinds: Kind, rate: float = 200.0, duration_s: float = 1.0, **changes: Any
) -> Schedule:
    """Messages of these kinds, one as often as the other, a fifth of them copies."""
    mix = tuple(Part(kind=kind, share=1 / len(kinds)) for kind in kinds)
    profile = Profile(
        name="test",
        customers=5,
        rate_a_customer=1.0,
        mix=mix,
        copies=Copies(share=0.2, after_s=0.1),
    )
    return make_schedule(profile, duration_s=duration_s, seed=1, rate=rate, **changes)


def fields_of(payloads: Payloads, kind: int = 0, original: int = 3) -> Mapping[str, Any]:
    data, _ = payloads.message(kind, original, item_id="run-3", tenant_id="tenant-0002")
    return json.loads(data)


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that `publisher` goes to; with the parameter `refusing` it takes nothing."""
    with serving(refusing=getattr(request, "param", "") == "refusing") as made:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", made.address)
        yield made


def test_an_item_is_what_its_kind_says() -> None:
    """A picture of the size and format, inline or in the bucket, and a text of the length."""
    webp = dataclasses.replace(PHOTO, name="webp", format="WEBP", has_text=False)
    long = Kind(name="long", text_chars=2000)
    uri = dataclasses.replace(PHOTO, name="uri", by_uri=True)
    payloads = Payloads.draw([PHOTO, webp, long, uri], image_bucket=BUCKET)
    photo = fields_of(payloads)
    assert photo.keys() == {"item_id", "tenant_id", "text", "image"}
    assert (photo["item_id"], photo["tenant_id"]) == ("run-3", "tenant-0002")
    image = Image.open(io.BytesIO(base64.b64decode(fields_of(payloads, 1)["image"])))
    assert (image.format, image.size) == ("WEBP", (64, 48))
    assert fields_of(payloads, 1).keys() == {"item_id", "tenant_id", "image"}
    assert 1990 <= len(fields_of(payloads, 2)["text"]) <= 2000
    name = fields_of(payloads, 3)["image_uri"].removeprefix(f"gs://{BUCKET}/")
    assert Image.open(io.BytesIO(payloads.uploads[name])).size == (64, 48)
    assert len(payloads.uploads) == VARIANTS


def test_copies_are_the_same_to_the_bit() -> None:
    """The item's number alone decides about its variant, in any process."""
    payloads = Payloads.draw([PHOTO])
    first = payloads.message(0, 7, item_id="run-7", tenant_id="tenant-0001")
    assert first == Payloads.draw([PHOTO]).message(0, 7, item_id="run-7", tenant_id="tenant-0001")
    other = payloads.message(0, 8, item_id="run-7", tenant_id="tenant-0001")
    assert other[0] != first[0]
    assert other[1]["idempotency_key"] != first[1]["idempotency_key"]


def test_saved_payloads_give_the_same_messages(tmp_path: Path) -> None:
    """What a process of the generator loads is what its caller has drawn."""
    kinds = [PHOTO, TEXT, broken_kind("no_tenant"), poison_kind("hostile_attributes")]
    payloads = Payloads.draw(kinds)
    payloads.save(tmp_path / "payloads.parquet")
    loaded = Payloads.load(tmp_path / "payloads.parquet")
    for kind in range(len(kinds)):
        one, other = (
            each.message(kind, 5, item_id="run-5", tenant_id="tenant-0001")
            for each in (payloads, loaded)
        )
        assert one == other


def parsed(kind: Kind) -> str:
    """What the pipeline's first stage says of a message of the kind, with the item's ids."""
    payloads = Payloads.draw([kind], image_bucket=BUCKET)
    data, _ = payloads.message(0, 1, item_id="run-1", tenant_id="tenant-0009")
    try:
        fields = parse_message(data, max_bytes=10_000_000)
    except Rejected as rejected:
        return str(rejected.reason)
    assert (fields["item_id"], fields["tenant_id"]) == ("run-1", "tenant-0009")
    return PREDICTED


@pytest.mark.parametrize("hostile", ["nested", "utf16", "text_marks", "hostile_attributes"])
def test_poison_keeps_its_outcome_and_bears_our_ids(hostile: str) -> None:
    """A message of the table, of our tenant and under our item's id."""
    kind = poison_kind(hostile)
    assert parsed(kind) == kind.expected


@pytest.mark.parametrize("breakage", ["cut_json", "no_tenant", "nothing_in_it"])
def test_broken_items_keep_their_outcome(breakage: str) -> None:
    """Spoilt as `testudo smoke` spoils them."""
    assert parsed(broken_kind(breakage)) == broken_kind(breakage).expected == REASONS[breakage]


def test_every_fault_can_be_drawn() -> None:
    """Each kind of broken and poison message, with our id where the kind has room for it."""
    kinds = [*map(broken_kind, BROKEN), *map(poison_kind, POISON)]
    payloads = Payloads.draw(kinds, image_bucket=BUCKET)
    for number, kind in enumerate(kinds):
        _, attributes = payloads.message(number, 1, item_id="run-1", tenant_id="tenant-0001")
        assert attributes["item_id"] == "run-1", kind.name


def test_a_picture_by_uri_needs_a_bucket() -> None:
    """Told with the names of the kinds."""
    with pytest.raises(NoImageBucket, match="large-by-uri"):
        Payloads.draw(read_profile("marketplace").kinds[0])


def test_every_message_is_sent_once_as_scheduled(server: Server) -> None:
    """Two shares of a schedule: every id, tenant and byte as it should be, and moments of each."""
    schedule = schedule_of(TEXT, PHOTO)
    payloads = Payloads.draw(schedule.kinds)
    start_s, told = time.time() - 0.7, list[int]()
    loops = [
        OpenLoop(TOPIC, schedule, payloads, prefix="a-", share=share, of=2) for share in range(2)
    ]
    for loop in loops:
        assert loop.run(start_s, threading.Event(), told.append) == len(loop.indexes)
        assert (loop.due_s <= loop.sent_s).all()
        assert (loop.sent_s <= loop.acked_s).all()
        assert np.allclose(loop.due_s - start_s, schedule.due_s[loop.indexes], atol=1e-6)
        assert told[-1] == len(loop.indexes)
    expected = [
        payloads.message(
            schedule.kind[number],
            original,
            item_id=f"a-{original}",
            tenant_id=schedule.tenants[schedule.tenant[number]],
        )
        for number, original in enumerate(schedule.original)
    ]
    assert sorted(server.messages, key=repr) == sorted(expected, key=repr)


def finished(loop: OpenLoop, path: Path, done: int, **how: Any) -> Any:
    save_share(path / "share.parquet", loop, done, 1.5)
    return join_shares([path / "share.parquet"], path / "sent.parquet", 10.0, **how)


@pytest.mark.parametrize("server", ["refusing"], indirect=True)
def test_what_pubsub_refuses_is_counted(server: Server, tmp_path: Path) -> None:
    """With the reason; such a run has not kept up."""
    schedule = schedule_of(TEXT)
    loop = OpenLoop(TOPIC, schedule, Payloads.draw(schedule.kinds), prefix="a-")
    done = loop.run(time.time() - 1, threading.Event(), lambda _: None)
    result = finished(loop, tmp_path, done, whole=done)
    assert result.sent.refused == result.sent.messages == done
    assert "not yours" in result.failure
    assert not result.sent.kept_up
    assert not server.messages


def test_more_bytes_than_allowed_on_their_way_are_refused(server: Server, tmp_path: Path) -> None:
    """They are not sent later, and nothing waits for room."""
    schedule = schedule_of(PHOTO)
    payloads = Payloads.draw(schedule.kinds)
    loop = OpenLoop(TOPIC, schedule, payloads, prefix="a-", outstanding_bytes=10)
    done = loop.run(time.time() - 1, threading.Event(), lambda _: None)
    assert (done, server.messages) == (len(schedule.due_s), [])
    result = finished(loop, tmp_path, done, whole=done)
    assert np.isnan(loop.sent_s).all()
    assert (result.sent.refused, result.sent.kept_up, result.sent.seconds) == (done, False, 0)


def test_a_run_that_is_stopped_keeps_what_it_sent(server: Server, tmp_path: Path) -> None:
    """Nothing is sent after the stop, and such a run has not kept up."""
    schedule = schedule_of(TEXT, rate=5.0, duration_s=600.0)
    loop, stop = (
        OpenLoop(TOPIC, schedule, Payloads.draw(schedule.kinds), prefix="a-"),
        threading.Event(),
    )
    done = loop.run(time.time(), stop, lambda _: stop.set())
    assert 0 < done < len(schedule.due_s)
    assert len(server.messages) == done
    result = finished(loop, tmp_path, done, whole=len(schedule.due_s))
    assert result.sent.messages == done
    assert (result.sent.refused, result.sent.kept_up) == (0, False)


def test_shares_become_one_file_in_the_schedules_order(tmp_path: Path) -> None:
    """Lags are taken over all messages, CPU time is added up."""
    schedule = schedule_of(TEXT)
    payloads, shares = Payloads.draw(schedule.kinds), []
    for share in range(2):
        loop = OpenLoop(TOPIC, schedule, payloads, prefix="a-", share=share, of=2)
        loop.sent_s[:] = loop.due_s + (0.04 if share else 0.01)
        loop.acked_s[:] = loop.sent_s + 0.1
        shares.append(tmp_path / f"{share}.parquet")
        save_share(shares[-1], loop, len(loop.indexes), 1.5)
    whole = len(schedule.due_s)
    result = join_shares(shares, tmp_path / "sent.parquet", 10.0, whole=whole)
    table = pq.read_table(result.path)
    assert table.column_names == ["index", "due_s", "sent_s", "acked_s"]
    assert table["index"].to_pylist() == list(range(whole))
    sent = result.sent
    assert (sent.messages, sent.refused, sent.cpu_s, sent.kept_up) == (whole, 0, 3.0, True)
    assert sent.lag_p99_s == pytest.approx(0.04)
    assert sent.lag_max_s == pytest.approx(0.04)


def test_a_message_is_billed_twice_and_as_a_kilobyte_at_least() -> None:
    """Published and delivered, at the list price of a TiB."""
    prices = read_prices("us-central1")
    small, large = schedule_of(TEXT), schedule_of(PHOTO)
    tib_usd = prices.usd["pubsub_tib"]
    usd = cloud_cost(small, Payloads.draw(small.kinds), prices)
    assert usd == pytest.approx(2 * len(small.due_s) * 1000 / 2**40 * tib_usd)
    payloads = Payloads.draw(large.kinds)
    least = 2 * len(large.due_s) * payloads.mean_bytes(0) / 2**40 * tib_usd
    assert least < cloud_cost(large, payloads, prices) < 1.2 * least


def test_what_would_cost_too_much_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no emulator is named, the topic is a real one."""
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    save_trace(schedule_of(TEXT), tmp_path / "trace.parquet")
    with pytest.raises(SendError, match=r"would bill 0\.00 USD for .* messages, and 0\.00 USD"):
        send(TOPIC, tmp_path / "trace.parquet", prefix="a-", report=print, limit_usd=0.0)
