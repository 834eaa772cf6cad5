"""Who pays for a fault in a models' process: its item, its release, and nobody else."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faulty_models
import psutil
import pytest
from faulty_models import BATCH, STEPS, save
from waiting import eventually

from models import loaded, release_cache, sandbox
from models.current_pointer import CurrentPointer, current_pointer
from models.failures import Failure, Reason, Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import Answer, CallLimits
from models.loaded import LoadedReleases
from models.model_process import Setup
from models.release import Pointer, find_pointer, write_pointer

pytestmark = [
    pytest.mark.slow,  # a process each, that imports what models need
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux does"),
]
SETUP = Setup(Stage.IMAGE, CallLimits(decode_s=1, call_s=1), ImageLimits())
GOOD = [b"%d" % number for number in range(20)]

Make = Callable[..., ModelProcess]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "releases").mkdir()
    return tmp_path / "releases"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAULTY_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAULTY_ONCE", str(tmp_path / "once"))
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def make(log: Path) -> Iterator[Make]:
    made: list[ModelProcess] = []

    def make_one(how: str = STEPS, setup: Setup = SETUP, **limits: float) -> ModelProcess:
        made.append(ModelProcess(setup, command=faulty_models.command(how), **limits))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


@pytest.fixture
def good(root: Path) -> Path:
    return root / save(root, "good")


def lines(log: Path, verb: str) -> list[str]:
    return [one for one in log.read_text().splitlines() if one.startswith(verb)]


def reasons(answers: list[Answer]) -> list[str]:
    return [one.result.reason if isinstance(one.result, Failure) else "" for one in answers]


def children(process: ModelProcess) -> list[psutil.Process]:
    """Of the first process, which has imported all: what it forked."""
    return psutil.Process(process._first._child.pid).children(recursive=True)


# --- one item -------------------------------------------------------------------------------


@pytest.mark.parametrize(("poison", "reason"), [(b"abort", "crashed"), (b"hang", "timed_out")])
def test_the_culprit_is_known_from_the_first_death(
    make: Make, good: Path, log: Path, poison: bytes, reason: str
) -> None:
    """The rest goes on as a batch at once; the culprit is tried once more, alone; nothing is
    loaded again.
    """
    process = make()
    answers = process.answers(good, [*GOOD[:7], poison, *GOOD[7:]])
    assert reasons(answers) == [*[""] * 7, reason, *[""] * 13]
    assert lines(log, "answer") == ["answer 21 False", "answer 20 False", "answer 1 False"]
    assert lines(log, "load") == [f"load {good.name}"]


def test_the_culprit_of_a_call_on_a_batch_is_known_from_the_second(
    make: Make, good: Path, log: Path
) -> None:
    """The next process calls item by item, and then the rest is a batch again."""
    process = make(BATCH)
    answers = process.answers(good, [*GOOD[:7], b"abort", *GOOD[7:]])
    assert reasons(answers) == [*[""] * 7, Reason.CRASHED, *[""] * 13]
    assert lines(log, "answer") == ["answer 21 False", "answer 21 True", "answer 20 False"]
    assert lines(log, "load") == [f"load {good.name}"]


@pytest.mark.parametrize("how", [STEPS, BATCH])
def test_several_culprits_cost_only_themselves(make: Make, good: Path, how: str) -> None:
    """Wherever in the batch they are."""
    items = [b"abort", *GOOD[:5], b"abort", b"abort", *GOOD[5:], b"abort"]
    answers = make(how).answers(good, items)
    assert [one == Reason.CRASHED for one in reasons(answers)] == [
        item == b"abort" for item in items
    ]
    assert {one.result.features for one in answers if not reasons([one])[0]} == set(GOOD)


def test_a_death_that_was_chance_costs_no_item(make: Make, good: Path) -> None:
    """As when the system wants memory: the item has its result when it is tried again."""
    assert reasons(make().answers(good, [b"1", b"once", b"2"])) == ["", "", ""]


def test_a_killed_process_is_replaced_by_a_fork(make: Make, good: Path, log: Path) -> None:
    """Another is ready, which has loaded the release already."""
    process = make()
    process.answers(good, GOOD)
    killed = process.pid
    os.kill(killed, signal.SIGKILL)
    assert reasons(process.answers(good, GOOD)) == [""] * 20
    assert process.pid != killed
    assert len(lines(log, "load")) == 1


def test_a_request_has_a_bound_whatever_its_number_of_items(make: Make, good: Path) -> None:
    """Where each of 40 items would take a second twice, all are answered in six."""
    process = make(request_s=4)
    process.load(good)
    begun_s = time.monotonic()
    answers = process.answers(good, [b"hang"] * 40)
    assert time.monotonic() - begun_s < 20
    assert reasons(answers) == [Reason.TIMED_OUT] * 40
    assert "the time of its batch was over, 4 s" in answers[-1].result.detail
    assert reasons(process.answers(good, GOOD)) == [""] * 20


def test_a_process_that_no_alarm_ends_is_ended(make: Make, good: Path) -> None:
    """It stands still, and has said nothing of an item: those that are not to blame go on."""
    process = make(spare_s=0.5)
    answers = process.answers(good, [b"deaf", *GOOD[:2]])
    assert reasons(answers) == [Reason.TIMED_OUT, "", ""]
    assert "it stood still for 1.5 s" in answers[0].result.detail


def test_a_process_that_goes_on_is_not_ended(make: Make, good: Path) -> None:
    """However long all of its items take together."""
    setup = SETUP._replace(calls=CallLimits(decode_s=0.2, call_s=0.2))
    process = make(setup=setup, spare_s=0.1, request_s=60)
    assert reasons(process.answers(good, GOOD * 200)) == [""] * 4_000


def test_no_thread_is_started_for_a_request(make: Make, good: Path) -> None:
    """A timer for each cost 0.17 ms."""
    process = make()
    process.answers(good, GOOD)
    before = {one.ident for one in threading.enumerate()}
    for _ in range(20):
        process.answers(good, GOOD)
    assert {one.ident for one in threading.enumerate()} <= before


def test_batches_form_over_threads(make: Make, good: Path, log: Path) -> None:
    """Bundles of one, of many threads, are a few batches."""
    process = make(batch_size=16)
    process.load(good)
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda item: process.answers(good, [item]), GOOD * 20))
    assert [one.result.features for (one,) in answers] == GOOD * 20
    sizes = [int(line.split()[1]) for line in lines(log, "answer")]
    assert sum(sizes) == 400
    assert max(sizes) <= 16
    assert process.mean_batch > 4


# --- one release ----------------------------------------------------------------------------


def test_a_release_that_is_slow_to_load_holds_up_no_other(
    make: Make, root: Path, good: Path
) -> None:
    """It loads in a process of its own, while the others go on serving."""
    process = make()
    process.load(good)
    hanging = root / save(root, "hang")
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(process.load, hanging)
        eventually(lambda: len(children(process)), lambda count: count == 3)
        assert reasons(process.answers(good, GOOD)) == [""] * 20
        assert not loading.done()
        process.drop(hanging)
        assert loading.result() is not None


def test_a_release_that_hangs_in_calls_holds_up_no_other(
    make: Make, root: Path, good: Path
) -> None:
    """Each has a process of its own to answer."""
    process = make()
    other = root / save(root, "other")
    process.load(other)
    process.load(good)
    hanging = process.submit(other, [b"hang"])
    for _ in range(3):
        assert reasons(process.answers(good, GOOD)) == [""] * 20
    assert not hanging.done
    assert reasons(hanging.answers()) == [Reason.TIMED_OUT]


def test_a_release_that_crashes_when_it_is_loaded_says_so(
    make: Make, root: Path, good: Path, log: Path
) -> None:
    """After a second try; nothing else is loaded again."""
    process = make()
    process.load(good)
    server = process.pid
    crashing = root / save(root, "crash")
    assert reasons(process.answers(crashing, GOOD[:2])) == [Reason.RELEASE_UNAVAILABLE] * 2
    assert reasons(process.answers(good, GOOD)) == [""] * 20
    assert process.pid == server
    assert lines(log, "load").count(f"load {good.name}") == 1


def test_a_release_that_is_slow_to_fetch_holds_up_no_other(
    make: Make, root: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are fetched, loaded and served meanwhile."""
    slow, fetching, go_on = save(root, "slow"), threading.Event(), threading.Event()
    fetch = release_cache.fetch_release

    def slowly(root: str, release: str, cache: Path) -> object:
        if release == slow:
            fetching.set()
            assert go_on.wait(60)
        return fetch(root, release, cache)

    monkeypatch.setattr(release_cache, "fetch_release", slowly)
    models = LoadedReleases(str(root), Stage.IMAGE, make())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(models.answers, slow, GOOD)
        fetching.wait()
        assert reasons(models.answers(good.name, GOOD)) == [""] * 20
        go_on.set()
        assert reasons(waiting.result()) == [""] * 20


def test_a_release_that_is_slow_to_load_keeps_no_stage_from_its_start(
    make: Make, root: Path, good: Path
) -> None:
    """The default is waited for; those of tenants are loaded meanwhile."""
    hanging, other = save(root, "hang"), save(root, "other")
    process = make()
    models = LoadedReleases(str(root), Stage.IMAGE, process)
    models.prepare_all(Pointer(good.name, tenants={"acme": hanging, "bolt": other}))
    assert reasons(models.answers(good.name, GOOD)) == [""] * 20
    assert reasons(models.answers(other, GOOD)) == [""] * 20
    assert models.loaded == {good.name, other}


def test_what_failed_is_tried_again_behind_the_back_of_those_that_ask(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first that asks for a release waits for it; once it is mended, it serves."""
    monkeypatch.setattr(loaded, "UNUSABLE_FOR_S", 0.0)
    release = save(root, "late")
    models = LoadedReleases(str(root), Stage.IMAGE, make())
    (root / release).rename(root / "away")
    assert reasons(models.answers(release, GOOD[:1])) == [Reason.RELEASE_UNAVAILABLE]
    (root / "away").rename(root / release)
    eventually(lambda: reasons(models.answers(release, GOOD[:1])), lambda found: found == [""])


def test_as_many_releases_stay_loaded_as_are_used(make: Make, root: Path, log: Path) -> None:
    """Six in turn are loaded six times, not at each turn."""
    names = [save(root, f"r{number}") for number in range(6)]
    models = LoadedReleases(str(root), Stage.IMAGE, make(), free=lambda: 2**40)
    for _ in range(3):
        for name in names:
            assert reasons(models.answers(name, GOOD[:2])) == ["", ""]
    assert len(lines(log, "load")) == 6
    assert models.loaded == set(names)
    assert models.take_evictions() == 0


def test_where_memory_ends_releases_make_room(make: Make, root: Path) -> None:
    """First those that the pointer does not name, then those used least lately; it is counted."""
    names = [save(root, f"m{number}") for number in range(3)]
    write_pointer(str(root), Pointer(names[0], canary=names[2]))
    free = [2**40, 0, 2**40, 2**40]  # one that goes is enough
    models = LoadedReleases(str(root), Stage.IMAGE, make(), free=free.pop)
    for name in names[:2]:
        models.answers(name, GOOD[:1])
    assert reasons(models.answers(names[2], GOOD[:1])) == [""]
    assert models.loaded == {names[0], names[2]}
    assert (models.take_evictions(), models.take_evictions()) == (1, 0)
    free.append(2**40)
    assert reasons(models.answers(names[1], GOOD[:1])) == [
        ""
    ]  # it comes again when it is asked for


def test_a_bundle_of_two_releases_is_answered_where_there_is_memory_for_one(
    make: Make, root: Path
) -> None:
    """Who makes room answers for what it was given before: else such a bundle fails for ever."""
    names = [save(root, f"x{number}") for number in range(2)]
    models = LoadedReleases(str(root), Stage.IMAGE, make(), free=lambda: 0)
    tickets = [models.submit(names[0], [b"hang", *GOOD]), models.submit(names[1], GOOD)]
    assert [reasons(one.answers()) for one in tickets] == [
        [Reason.TIMED_OUT, *[""] * 20],
        [""] * 20,
    ]
    assert models.loaded == {names[1]}


@pytest.mark.parametrize(("files", "free"), [("", 100), ("inactive_file 300\n", 400)])
def test_copies_of_files_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: str, free: int
) -> None:
    """A container counts them, and gives them up when memory is wanted."""
    monkeypatch.setattr(loaded, "CGROUP", tmp_path)
    for name, text in {"max": "1000\n", "current": "900\n", "stat": f"anon 600\n{files}"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert loaded.free_bytes() == free


def test_a_copy_that_is_asked_for_meanwhile_is_not_forgotten(
    root: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item of a release that nobody has used for long comes in the moment that it goes."""
    cache = release_cache.ReleaseCache()
    cache.fetch(str(root), good.name)
    monkeypatch.setattr(release_cache, "UNNAMED_FOR_S", 0.2)
    time.sleep(0.3)
    turn = cache._turn(good.name)
    with ThreadPoolExecutor(1) as threads, turn:
        forgetting = threads.submit(cache.forget, frozenset())
        time.sleep(0.05)
        cache.use(good.name)
    forgetting.result()
    assert (release_cache.release_folder() / good.name).is_dir()


def test_what_the_pointer_no_longer_names_is_forgotten(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes and its copy, once nobody has asked for it for a while."""
    old, new = save(root, "old"), save(root, "new")
    write_pointer(str(root), Pointer(old))
    process = make()
    models = LoadedReleases(str(root), Stage.IMAGE, process)
    models.answers(old, GOOD[:1])
    copy = release_cache.release_folder() / old
    write_pointer(str(root), Pointer(new), replacing=find_pointer(str(root)))
    current_pointer.cache_clear()
    monkeypatch.setattr(loaded, "TIDY_EVERY_S", 0.0)
    models.answers(new, GOOD[:1])
    assert copy.is_dir()  # items of it may still come
    assert models.loaded == {old, new}
    monkeypatch.setattr(release_cache, "UNNAMED_FOR_S", 0.0)
    models.answers(new, GOOD[:1])
    assert not copy.exists()
    assert models.loaded == {new}
    assert reasons(models.answers(old, GOOD[:1])) == [""]


def test_what_was_removed_under_it_is_fetched_again(make: Make, root: Path, good: Path) -> None:
    """As by a cleaner of temporary files: when the processes begin anew, nothing is missing."""
    process = make()
    models = LoadedReleases(str(root), Stage.IMAGE, process)
    models.answers(good.name, GOOD)
    copy = release_cache.release_folder() / good.name
    (copy / "part").unlink()
    found = children(process)
    process._first._child.kill()  # and all that came of it
    psutil.wait_procs(found, timeout=30)
    assert reasons(models.answers(good.name, GOOD)) == [""] * 20
    assert (copy / "part").exists()


def test_the_pointer_is_read_once_a_process(root: Path) -> None:
    """Again when it is old, by one thread; what cannot be read leaves the old one in use."""
    now_s, reads = [0.0], []
    current = CurrentPointer(str(root), clock=lambda: reads.append(1) or now_s[0])
    write_pointer(str(root), Pointer("first"))
    assert [current.get(30).default for _ in range(5)] == ["first"] * 5
    write_pointer(str(root), Pointer("second"), replacing=Pointer("first"))
    assert current.get(30).default == "first"
    now_s[0] = 31.0
    assert current.get(30).default == "second"
    (root / "current.json").write_text("{")
    now_s[0] = 62.0
    assert current.get(30).default == "second"
    assert (current.new_failures(), current.new_failures()) == (1, 0)


# --- how the processes live -----------------------------------------------------------------


def test_all_processes_end_with_the_first(make: Make, good: Path) -> None:
    """What it has forked, and what that has, however it ends; another takes over."""
    process = make()
    process.answers(good, GOOD)
    found = children(process)
    assert len(found) == 2
    os.kill(process._first._child.pid, signal.SIGKILL)
    psutil.wait_procs(found, timeout=30)
    assert not any(one.is_running() for one in found)
    assert reasons(process.answers(good, GOOD)) == [""] * 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_who_is_root_becomes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code is everybody's to read; else it stays who it is."""
    for is_open, user in ((True, 65534), (False, 0)):
        monkeypatch.setattr(sandbox, "_is_open", lambda _, is_open=is_open: is_open)
        pid = os.fork()
        if not pid:
            sandbox.be_nobody()
            os._exit(0 if os.getresuid() == (user,) * 3 else 1)
        assert os.waitpid(pid, 0)[1] == 0
