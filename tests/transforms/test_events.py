"""ParseItems: every message leaves as an item or as a dead letter."""

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import faulty_models
import pytest
from builders import Ran, created, fields, message, run
from waiting import eventually

from models.current_pointer import current_pointer
from models.failures import Failure, Reason, Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.loaded import LoadedReleases
from models.manifest import ReleaseError
from models.model_process import Setup
from models.release import POINTER, Pointer, write_pointer
from transforms.events import ParseItems, _ParseDoFn
from transforms.records import Item, Message


def parse(messages: Iterable[Message], releases: Path, *, max_message_bytes: int = 10_000) -> Ran:
    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        parsed = created(pipeline, messages, Message) | ParseItems(
            releases=str(releases), refresh_s=30, max_message_bytes=max_message_bytes
        )
        return {"items": parsed.items, "dead": parsed.dead_letters}

    return run(connect)


def test_good_messages_are_items_and_broken_ones_dead_letters(tmp_path: Path) -> None:
    """Each message once, with its reason; nothing of it counts as a bug."""
    write_pointer(str(tmp_path), Pointer("stable", tenants={"bolt": "bolts"}))
    ran = parse(
        [
            message(fields(item_id="a")),
            message(fields(item_id="b", tenant_id="bolt"), payload_uri="file#0-9"),
            message(b"{", payload_uri="file#9-10", item_id="c"),
            message(fields(text=None)),
            message(fields(text="x" * 10_000)),
        ],
        tmp_path,
    )
    stamped = {one.envelope.item_id: one.envelope for one in ran.records["items"]}
    assert {name: one.release for name, one in stamped.items()} == {"a": "stable", "b": "bolts"}
    assert stamped["b"].payload_uri == "file#0-9"
    dead = ran.records["dead"]
    assert sorted(one.failures[0].reason for one in dead) == [
        Reason.MESSAGE_TOO_LARGE,
        Reason.NOT_JSON,
        Reason.SCHEMA_VIOLATION,
    ]
    assert {one.failures[0].stage for one in dead} == {Stage.PARSE}
    assert ("c", "file#9-10") in {(one.envelope.item_id, one.envelope.payload_uri) for one in dead}
    assert ran.counters == {"messages": 5, "dead_letters": 3}


def test_items_of_the_canary_are_counted(tmp_path: Path) -> None:
    """Those whose release is the canary when they are parsed, by share or by tenant; no others."""
    pointer = Pointer("stable", canary="next", canary_share=0.0, tenants={"bolt": "next"})
    write_pointer(str(tmp_path), pointer)
    ran = parse([message(fields(tenant_id=one)) for one in ("bolt", "acme", "bolt")], tmp_path)
    assert [one.envelope.canary for one in ran.records["items"]] == [True, False, True]
    assert ran.counters == {"messages": 3, "canary_items": 2}


def test_two_deliveries_of_one_message_do_not_share_a_join_key(tmp_path: Path) -> None:
    """Each delivery joins its own halves, so a redelivery cannot mix with the first."""
    write_pointer(str(tmp_path), Pointer("stable"))
    ran = parse([message(fields())] * 50, tmp_path)
    assert len({one.envelope.delivery for one in ran.records["items"]}) == 50


def test_no_pointer_fails_the_job_and_no_item(tmp_path: Path) -> None:
    """Without `current.json` nothing may be taken from Pub/Sub: the job does not start."""
    with pytest.raises(Exception, match=POINTER):
        parse([message(fields())], tmp_path)


def release_of(stage: _ParseDoFn) -> str:
    (item,) = stage.process(message(fields()))
    assert isinstance(item, Item)
    return item.envelope.release


def test_the_pointer_is_read_again_between_bundles(tmp_path: Path) -> None:
    """A switch holds from the next bundle on that comes after `refresh_s`, not before, and then
    for all threads of the process.
    """
    root = str(tmp_path)
    write_pointer(root, Pointer("old"))
    eager, lazy = _ParseDoFn(root, 0, 10_000), _ParseDoFn(root, 3_600, 10_000)
    for stage in (eager, lazy):
        stage.setup()
        stage.start_bundle()
    write_pointer(root, Pointer("new"), replacing=Pointer("old"))
    assert release_of(eager) == "old"
    for stage in (lazy, eager):
        stage.start_bundle()
    assert release_of(lazy) == "old"
    assert release_of(eager) == "new"
    lazy.start_bundle()
    assert release_of(lazy) == "new"


@pytest.mark.parametrize("text", ["{", '{"default": "a", "canary_share": "half"}'])
def test_a_pointer_that_breaks_later_leaves_the_old_one_in_use(tmp_path: Path, text: str) -> None:
    """A slip in `current.json` stops nobody who is already running."""
    root = str(tmp_path)
    write_pointer(root, Pointer("old"))
    stage = _ParseDoFn(root, 0, 10_000)
    stage.setup()
    (tmp_path / POINTER).write_text(text)
    stage.start_bundle()
    assert release_of(stage) == "old"
    current_pointer.cache_clear()  # as in another process
    fresh = _ParseDoFn(root, 0, 10_000)
    with pytest.raises(ReleaseError):
        fresh.setup()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes as Linux does")
def test_items_get_a_new_release_once_the_stages_have_loaded_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the one before; for ever, where the new one cannot be loaded."""
    monkeypatch.setenv("FAULTY_LOG", str(tmp_path / "log"))
    root = tmp_path / "releases"
    root.mkdir()
    old, new, broken = (faulty_models.save(root, name) for name in ("old", "new", "crash"))
    write_pointer(str(root), Pointer(old))
    setup = Setup(Stage.IMAGE, CallLimits(), ImageLimits())
    process = ModelProcess(setup, command=faulty_models.command(faulty_models.STEPS))
    with contextlib.closing(process):
        models = LoadedReleases(str(root), Stage.IMAGE, process)
        stage = _ParseDoFn(str(root), 0, 10_000)
        stage.setup()
        stamped = []

        def stamp() -> str:
            stage.start_bundle()
            stamped.append((release_of(stage), new in models.loaded))
            return stamped[-1][0]

        assert stamp() == old
        write_pointer(str(root), Pointer(new), replacing=Pointer(old))
        eventually(stamp, lambda found: found == new)
        assert all(is_loaded for release, is_loaded in stamped if release == new)
        assert stamped[1][0] == old
        write_pointer(str(root), Pointer(broken), replacing=Pointer(new))
        assert stamp() == new
        assert isinstance(models.prepare(broken), Failure)
        assert stamp() == new
