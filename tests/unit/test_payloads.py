"""Payloads: what is kept of a message is what arrived."""

from pathlib import Path

import apache_beam as beam
import pytest
from builders import created, message, run

from transforms import payloads
from transforms.payloads import KeepPayloads, read_payload
from transforms.records import Message

DATA = [b"", b"{", b'{"item_id": "a"}', bytes(range(256)), "\u00e4#1-2\n".encode()]


def kept(root: Path, data: list[bytes]) -> tuple[list[Message], int]:
    """The messages that leave, and the bytes that the counter says were kept."""

    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        messages = created(pipeline, [message(one) for one in data], Message)
        return {"kept": messages | KeepPayloads(root=str(root))}

    ran = run(connect)
    return ran.records["kept"], ran.counters["payload_kept_bytes"]


def test_every_message_is_found_under_its_uri(tmp_path: Path) -> None:
    """Broken, empty and binary ones too; the rest of the message does not change."""
    messages, kept_bytes = kept(tmp_path / "a b#c", DATA)
    assert [one._replace(payload_uri="") for one in messages] == [message(one) for one in DATA]
    assert [read_payload(one.payload_uri) for one in messages] == DATA
    assert kept_bytes == sum(map(len, DATA))


def test_a_bundle_shares_one_object(tmp_path: Path) -> None:
    """Many small messages do not become many small objects."""
    messages, _ = kept(tmp_path, DATA)
    assert len({one.payload_uri.rpartition("#")[0] for one in messages}) == 1
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_full_object_is_closed_and_the_next_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded by the object's limit; a message above it has an object of its own."""
    monkeypatch.setattr(payloads, "MAX_OBJECT_BYTES", 10)
    data = [b"1234", b"5678", b"90123", b"x" * 25, b"tail"]
    messages, _ = kept(tmp_path, data)
    assert [read_payload(one.payload_uri) for one in messages] == data
    sizes = sorted(path.stat().st_size for path in tmp_path.rglob("*.bin"))
    assert sizes == [4, 5, 8, 25]
