"""Group commit: batches form over threads; each caller gets its own, and loses nothing."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import eventually

from models.group_commit import Closed, GroupCommit, Ticket


class Model:
    """Doubles numbers, batch by batch; each batch waits at the gate until it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.broken: BaseException | None = None

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.begun.release()
        self.gate.acquire()
        if self.broken is not None:
            raise self.broken
        return [2 * number for number in batch]

    def let(self, batches: int = 1) -> None:
        self.gate.release(batches)


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


Make = Callable[..., GroupCommit[int, int]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[GroupCommit[int, int]] = []

    def make_one(run: Callable[[list[int]], Sequence[int]], **how: Any) -> GroupCommit[int, int]:
        made.append(GroupCommit(run, **({"most_items": 100, "name": "test"} | how)))
        return made[-1]

    yield make_one
    for group in made:
        group.close()


def test_what_waits_during_one_batch_is_the_next(make: Make) -> None:
    """The first item goes at once and alone; all that came meanwhile go together."""
    model = Model()
    group = make(model)
    first = group.submit([1])
    model.begun.acquire()
    others = [group.submit([number]) for number in range(2, 30)]
    model.let(2)
    assert first.answers() == [2]
    assert [other.answers() for other in others] == [[2 * number] for number in range(2, 30)]
    assert model.batches == [[1], list(range(2, 30))]
    assert (group.batches, group.items) == (2, 29)


def test_a_batch_is_never_larger_than_allowed(make: Make) -> None:
    """In items and in weight; what is heavier than a whole batch goes alone."""
    model = Model()
    model.let(100)
    assert make(model, most_items=4).answers(list(range(10))) == list(range(0, 20, 2))
    assert sorted(map(len, model.batches)) == [2, 4, 4]
    heavy = Model()
    group = make(heavy, most_weight=10, weigh=lambda number: number)
    heavy.let(100)
    assert group.answers([3, 3, 3, 3, 50, 1]) == [6, 6, 6, 6, 100, 2]
    assert heavy.batches == [[3, 3, 3], [3], [50], [1]]


def test_batches_begin_apart(make: Make) -> None:
    """By the clock that is given: an idle group's at once, the next with all that has come."""
    model, clock = Model(), Clock()
    model.let(2)
    group = make(model, every_s=5.0, clock=clock)
    assert group.answers([0]) == [0]
    early = group.submit([1])
    clock.now_s += 4.9
    late = group.submit([2])
    group.look_again()
    assert not late.done
    clock.now_s += 0.1
    group.look_again()
    assert (early.answers(), late.answers()) == ([2], [4])
    assert model.batches == [[0], [1, 2]]


@pytest.mark.parametrize("enough", [{"most_items": 3}, {"enough_items": 3}])
def test_a_batch_that_has_enough_does_not_wait(make: Make, enough: dict[str, int]) -> None:
    """However far apart others are to begin; it takes more, if more is there and allowed."""
    model = Model()
    model.let(3)
    group = make(model, every_s=1_000.0, clock=Clock(), **enough)
    assert group.answers([0]) == [0]
    assert group.submit([1, 2]).done is False
    if "most_items" in enough:
        assert group.answers([3]) == [6]
        assert model.batches == [[0], [1, 2, 3]]
    else:
        assert group.answers([3, 4]) == [6, 8]
        assert model.batches == [[0], [1, 2, 3, 4]]


def test_as_many_batches_as_allowed_are_at_it(make: Make) -> None:
    """Two requests in flight, and no third."""
    model = Model()
    group = make(model, at_once=2, most_items=1)
    tickets = [group.submit([number]) for number in range(3)]
    assert model.begun.acquire()
    assert model.begun.acquire()
    assert not model.begun.acquire(timeout=0.05)
    model.let(3)
    assert [one.answers() for one in tickets] == [[0], [2], [4]]


def test_an_error_is_of_the_batch_that_raised_it(make: Make) -> None:
    """Each of its callers gets it, whatever it is; the next batch has its answers."""
    model = Model()
    group = make(model)
    running = group.submit([1])
    model.begun.acquire()
    bad = [group.submit([2]), group.submit([3, 4])]
    model.let()
    assert running.answers() == [2]
    model.begun.acquire()
    good = group.submit([5])
    model.broken = SystemExit("of the batch")
    model.let()
    for one in bad:
        with pytest.raises(SystemExit):
            one.answers()
    model.begun.acquire()
    model.broken = None
    model.let()
    assert good.answers() == [10]


def test_too_few_answers_are_an_error(make: Make) -> None:
    """They must not be given to the wrong callers."""
    group = make(lambda batch: batch[1:])
    with pytest.raises(ValueError, match="1 answers to 2 items"):
        group.answers([1, 2])


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_who_is_interrupted_takes_its_items_along(make: Make, error: type[BaseException]) -> None:
    """Those that have not begun; the other callers get their answers."""
    model = Model()
    group = make(model)
    others = [group.submit([1])]
    model.begun.acquire()
    others.append(group.submit([2]))
    leaving = group.submit([3, 4])
    others.append(group.submit([5]))

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise error

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(error):
            # Again and again: one that comes just before the wait begins would not end it.
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            leaving.answers()
    finally:
        signal.signal(signal.SIGALRM, before)
    model.let(2)
    assert [one.answers() for one in others] == [[2], [4], [10]]
    assert model.batches == [[1], [2, 5]]


def test_callers_wait_where_too_much_waits(make: Make) -> None:
    """What waits is bounded; what is heavier than all that may wait goes when nothing does."""
    model = Model()
    group = make(model, most_waiting=10, weigh=lambda number: number, most_items=2)
    running = group.submit([1])
    model.begun.acquire()
    group.submit([6])
    with ThreadPoolExecutor(2) as threads:
        waiting: list[Future[Ticket[int]]] = [
            threads.submit(group.submit, [number]) for number in (5, 50)
        ]
        assert not any(one.done() for one in waiting)
        assert group._weight == 6
        model.let(100)
        assert sorted(one.result().answers()[0] for one in waiting) == [10, 100]
    assert running.answers() == [2]


def test_a_closed_group_says_so(make: Make) -> None:
    """To what waits and to what comes; the batch that runs has its answers."""
    model = Model()
    group = make(model)
    running = group.submit([1])
    model.begun.acquire()
    waiting = group.submit([2])
    group.close()
    model.let()
    assert running.answers() == [2]
    for ask in (waiting.answers, lambda: group.submit([3])):
        with pytest.raises(Closed):
            ask()
    eventually(lambda: group._threads, lambda count: count == 0)


@given(
    st.lists(st.lists(st.integers(-9, 9), max_size=20), max_size=30),
    st.integers(1, 8),
    st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_no_item_is_lost_or_answered_twice(
    bundles: list[list[int]], most_items: int, at_once: int
) -> None:
    """Whatever is handed in by however many threads: each gets its own, in order."""
    seen: list[int] = []

    def run(batch: list[int]) -> list[int]:
        assert 1 <= len(batch) <= most_items
        seen.extend(batch)
        return [2 * number for number in batch]

    group = GroupCommit(run, most_items=most_items, at_once=at_once, most_waiting=15, name="test")
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(group.answers, bundles))
    group.close()
    assert answers == [[2 * number for number in bundle] for bundle in bundles]
    assert sorted(seen) == sorted(number for bundle in bundles for number in bundle)


def test_a_thread_that_the_system_did_not_give_is_asked_for_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller gets the error, and the next one an answer."""
    group = make(lambda batch: batch)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError))
        group.submit([1])
    waiting = group.submit([2])
    eventually(lambda: waiting.done, bool)
    assert waiting.answers() == [2]


def test_a_batch_is_not_lost_for_want_of_another_thread(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that took it goes on with the rest by itself."""
    group = make(lambda batch: batch, at_once=2, most_items=1)
    group.answers([0])
    eventually(lambda: group._idle, bool)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError))
        waiting = group.submit([1, 2, 3])
        eventually(lambda: waiting.done, bool)
    assert waiting.answers() == [1, 2, 3]


def test_a_group_that_is_to_finish_answers_what_it_has(make: Make) -> None:
    """However soon after the batch before, and takes no more."""
    model = Model()
    group = make(model, every_s=1_000.0)
    model.let()
    group.answers([0])
    model.begun.acquire()
    waiting = group.submit([1])
    with ThreadPoolExecutor(1) as threads:
        finished = threads.submit(group.finish)
        model.begun.acquire()
        with pytest.raises(Closed):
            group.submit([2])
        assert not finished.done()
        model.let()
        finished.result()
    assert waiting.done
    assert waiting.answers() == [2]
