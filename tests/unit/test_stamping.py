"""Which of what `current.json` says is in use: what this process has loaded, and nothing else."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import faulty_models
import pytest
from faulty_models import STEPS, save
from waiting import eventually

from models import loaded
from models.current_pointer import CurrentPointer, current_pointer, usable
from models.failures import Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.loaded import LoadedReleases
from models.model_process import Setup
from models.release import Pointer, find_pointer, write_pointer

OLD = Pointer("old", canary="older", canary_share=0.1, tenants={"acme": "acmes"})


@pytest.mark.parametrize(
    ("read", "proven", "used"),
    [
        (Pointer("new"), {"new"}, Pointer("new")),
        (Pointer("new"), set(), Pointer("old")),
        (Pointer("new", tenants={"acme": "new"}), set(), Pointer("old", tenants={"acme": "acmes"})),
        (Pointer("old", tenants={"bolt": "new"}), {"old"}, Pointer("old")),
        (Pointer("new", "newer", 0.5), {"new"}, Pointer("new", "older", 0.1)),
        (Pointer("new", "newer", 0.5), {"newer"}, Pointer("old", "newer", 0.5)),
        (Pointer("old", "older", 0.9), {"old", "older"}, Pointer("old", "older", 0.9)),
        (Pointer("old"), {"old"}, Pointer("old")),
    ],
)
def test_an_entry_that_is_not_proven_stays_as_it_was(
    read: Pointer, proven: set[str], used: Pointer
) -> None:
    """Default, canary with its share, and each tenant by itself; a new tenant has the default."""
    assert usable(read, OLD, frozenset(proven)) == used


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FAULTY_LOG", str(tmp_path / "log"))
    (tmp_path / "releases").mkdir()
    return str(tmp_path / "releases")


@pytest.fixture
def models(root: str) -> Iterator[LoadedReleases]:
    """One stage of this process."""
    setup = Setup(Stage.IMAGE, CallLimits(decode_s=1, call_s=1), ImageLimits())
    process = ModelProcess(setup, command=faulty_models.command(STEPS))
    yield LoadedReleases(root, Stage.IMAGE, process)
    process.close()


def pointer_of(root: str, *stages: LoadedReleases) -> tuple[CurrentPointer, Clock]:
    clock = Clock()
    current = CurrentPointer(root, clock)
    for stage in stages:
        current.ask(stage)
    return current, clock


def point(root: str, pointer: Pointer) -> None:
    write_pointer(root, pointer, replacing=find_pointer(root))


def test_with_nothing_in_use_what_is_read_is_used(root: str) -> None:
    """A worker that starts has no other choice; where no stage is to be asked, it is as before."""
    current, clock = pointer_of(root)
    point(root, Pointer("first"))
    assert current.get(30) == Pointer("first")
    point(root, Pointer("second"))
    clock.now_s = 31.0
    assert current.get(30) == Pointer("second")


def test_every_stage_of_a_process_is_asked(root: str, models: LoadedReleases) -> None:
    """Without a word of whoever makes it."""
    assert set(current_pointer(root)._stages) == {models}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes as Linux does")
class TestWithProcesses:
    """A release that loads, one that does not."""

    def test_a_new_release_is_used_once_it_is_loaded(
        self, root: str, models: LoadedReleases
    ) -> None:
        """Nobody waits for that: until then the one before is in use."""
        old, new = save(Path(root), "old"), save(Path(root), "new")
        point(root, Pointer(old))
        current, clock = pointer_of(root, models)
        assert current.get(30).default == old
        point(root, Pointer(new))
        clock.now_s = 31.0
        assert current.get(30).default == old  # it is being loaded from now on
        assert current.releases(30) == {old, new}
        eventually(lambda: current.get(30).default, lambda found: found == new)
        assert new in models.loaded
        assert current.new_failures() == 0

    def test_a_release_that_cannot_be_loaded_is_never_used(
        self, root: str, models: LoadedReleases, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What it should replace goes on; it is said once, and counted at each reading."""
        old, broken = save(Path(root), "old"), save(Path(root), "crash")
        point(root, Pointer(old))
        current, clock = pointer_of(root, models)
        current.get(30)
        point(root, Pointer(broken, tenants={"acme": broken}))
        clock.now_s = 31.0
        failures = count_of(current)
        eventually(lambda: failures(30), lambda found: found == 1)
        for turn in (2, 3):
            clock.now_s = 31.0 * turn
            assert current.get(30) == Pointer(old)
        assert failures(3_600) == 3
        said = [one.message for one in caplog.records if broken in one.message]
        assert len([one for one in said if "is not used, what is in use stays" in one]) == 1

    def test_a_release_that_is_mended_is_used(
        self, root: str, models: LoadedReleases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Files that were missing have come: without another change of the pointer."""
        monkeypatch.setattr(loaded, "UNUSABLE_FOR_S", 0.0)
        old, late = save(Path(root), "old"), save(Path(root), "late")
        (Path(root) / late).rename(Path(root) / "away")
        point(root, Pointer(old))
        current, clock = pointer_of(root, models)
        current.get(30)
        point(root, Pointer(late))
        clock.now_s = 31.0
        failures = count_of(current)
        eventually(lambda: failures(30), lambda found: found == 1)
        assert current.get(30).default == old
        (Path(root) / "away").rename(Path(root) / late)
        eventually(lambda: current.get(30).default, lambda found: found == late)


def count_of(current: CurrentPointer) -> Callable[[float], int]:
    """Asks for the pointer; how many failures it has had in all."""
    counted = [0]

    def ask(refresh_s: float) -> int:
        current.get(refresh_s)
        counted[0] += current.new_failures()
        return counted[0]

    return ask
