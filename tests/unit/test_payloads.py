"""Payloads: what is kept of a message is what arrived."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
import pytest
from builders import created, message, run

from transforms import payload_objects, payloads
from transforms.payload_objects import (
    ENOUGH_MESSAGES,
    OBJECT_NAME,
    Kept,
    PayloadObjects,
    read_payload,
)
from transforms.payloads import KeepPayloads
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
    for module in (payloads, payload_objects):
        monkeypatch.setattr(module, "MAX_OBJECT_BYTES", 10)
    data = [b"1234", b"5678", b"90123", b"x" * 25, b"tail"]
    messages, _ = kept(tmp_path, data)
    assert [read_payload(one.payload_uri) for one in messages] == data
    sizes = sorted(path.stat().st_size for path in tmp_path.rglob("*.bin"))
    assert sizes == [4, 5, 8, 25]


def test_what_cannot_be_written_fails_the_bundle(tmp_path: Path) -> None:
    """Before it is committed: its messages come again."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Exception, match="NotADirectoryError|FileExistsError"):
        kept(tmp_path / "file", DATA)


def objects_of(its: list[Kept]) -> set[str]:
    for one in its:
        one.written.answers()
    return {one.uri.rpartition("#")[0] for one in its}


def test_small_bundles_share_objects(tmp_path: Path) -> None:
    """An idle process writes at once; then those that come within half a second wait for it."""
    objects = PayloadObjects(str(tmp_path))
    first = objects.keep([message(b"first")])
    bundles = [[message(b"%d" % number)] * 2 for number in range(ENOUGH_MESSAGES // 2)]
    with ThreadPoolExecutor(len(bundles)) as threads:
        others = [one for its in threads.map(objects.keep, bundles) for one in its]
    assert len(objects_of([*first, *others])) == 2
    data = [one.data for bundle in bundles for one in bundle]
    assert [read_payload(one.uri) for one in others] == data


def test_an_object_is_named_by_its_messages(tmp_path: Path) -> None:
    """A bundle that comes again for ever writes one object; nothing ever replaces another."""

    def name(*messages: Message) -> str:
        return objects_of(PayloadObjects(str(tmp_path / "payloads")).keep(messages)).pop()

    one, two = message(b"one"), message(b"two")._replace(message_id="2")
    assert name(one, two) == name(one, two)
    # An emulator gives ids anew after a restart; a file's messages may have none.
    others = [(two, one), (one,), (one, two._replace(data=b"TWO")), (one, message(b""), two)]
    assert len({name(one, two), *(name(*other) for other in others)}) == 5
    assert re.fullmatch(f".*/{OBJECT_NAME}", name(one))


def test_an_end_of_the_process_waits_for_no_store(tmp_path: Path) -> None:
    """It comes again for minutes to one that does not answer, and messages would stay leased."""
    code = (
        "import sys, threading\n"
        "from transforms.payload_objects import PayloadObjects\n"
        "from transforms.records import Message\n"
        "kept = PayloadObjects('gs://bucket/payloads').keep([Message(b'a', {}, '1', 1)])\n"
        "threading.Thread(target=kept[0].written.answers, daemon=True).start()\n"
    )
    nobody = {**os.environ, "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}
    subprocess.run([sys.executable, "-c", code], env=nobody, check=True, timeout=120)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """A bundle that comes again writes its object again, and others have rows that name it."""
    code = (
        "import resource, sys\n"
        "from models.objects import OBJECTS\n"
        "OBJECTS.write(sys.argv[1], b'a' * 2_000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))\n"
        "try: OBJECTS.write(sys.argv[1], b'b' * 2_000)\n"
        "except OSError: sys.exit(3)\n"
    )
    path = tmp_path / "object"
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 3
    assert path.read_bytes() == b"a" * 2_000
    assert list(tmp_path.iterdir()) == [path]
