"""Group commit: many threads hand in items, and one batch runs for all that wait.

A batch runs as soon as there is a turn for it: when the batch before it is done, and, where
batches are to begin apart, when that was long enough ago or enough has come. So
batches grow with the load, over threads and bundles alike, and an idle process
answers at once. Each caller gets the answers to its own items, or the error of the
batch that held them; one that leaves takes along what has not begun.
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


def _one(_: object) -> int:
    return 1


class Closed(RuntimeError):
    """The group takes no items any more; nothing is wrong with those that it was given."""


class Ticket(Generic[AnswerT]):
    """What one caller handed in together; its answers come when they are there."""

    def __init__(self, group: "GroupCommit[object, AnswerT]", count: int) -> None:
        self._group = group
        self._left = count
        self._answered = threading.Condition(group._lock)  # its own: a batch wakes nobody else
        self._error: BaseException | None = None
        self._answers: list[AnswerT | None] = [None] * count

    @property
    def done(self) -> bool:
        return not self._left

    def answers(self) -> list[AnswerT]:
        """Wait for an answer an item, in order. Raises what the batch of one of them raised."""
        self._group.wait_for(self)
        if self._error is not None:
            raise self._error
        return self._answers  # type: ignore[return-value]  # each was answered


class _Waiting(NamedTuple):
    """One item, and of which ticket."""

    item: object
    weight: int
    ticket: Ticket[object]
    place: int


class GroupCommit(Generic[ItemT, AnswerT]):
    """Lets threads share batches: `run` answers a batch of at most `most_items`, in order.

    Safe to use from several threads; `run` is called from threads of its own, of which
    `at_once` at most are at it. Batches begin `every_s` apart, or sooner with `enough_items`
    (where that is not given, as many as a batch may have). What waits is bounded by
    `most_waiting`, in the unit of `weigh` (items, where none is given), as a batch is by
    `most_weight`: beyond it `submit` waits. A heavier item goes alone. `batches` and `items`
    count what ran.
    """

    def __init__(
        self,
        run: Callable[[list[ItemT]], Sequence[AnswerT]],
        *,
        most_items: int,
        name: str,
        enough_items: int | None = None,
        every_s: float = 0.0,
        at_once: int = 1,
        weigh: Callable[[ItemT], int] = _one,
        most_weight: int = 2**62,
        most_waiting: int = 2**62,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.batches = 0
        self.items = 0
        self._run = run
        self._most_items = most_items
        self._enough_items = enough_items or most_items
        self._name = name
        self._every_s = every_s
        self._at_once = at_once
        self._weigh = weigh
        self._most_weight = most_weight
        self._most_waiting = most_waiting
        self._clock = clock
        self._next_s = -math.inf  # when the next batch may begin, if it has not enough
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # for the threads that run batches
        self._room = threading.Condition(self._lock)  # for callers with items
        self._done = threading.Condition(self._lock)  # for who waits until the threads have ended
        self._waiting: deque[_Waiting] = deque()
        self._weight = 0
        self._threads = 0
        self._idle = 0
        self._closed = False

    def answers(self, items: Sequence[ItemT]) -> list[AnswerT]:
        """Hand in and wait."""
        return self.submit(items).answers()

    def submit(self, items: Sequence[ItemT]) -> Ticket[AnswerT]:
        """Hand in items; waits only where too many others wait. Raises Closed."""
        ticket: Ticket[AnswerT] = Ticket(self, len(items))  # type: ignore[arg-type]
        weights = [self._weigh(item) for item in items]
        with self._lock:
            try:
                for place, (item, weight) in enumerate(zip(items, weights, strict=True)):
                    while self._weight and self._weight + weight > self._most_waiting:
                        self._check_open()
                        self._room.wait()
                    self._check_open()
                    entry = _Waiting(item, weight, ticket, place)  # type: ignore[arg-type]
                    self._waiting.append(entry)
                    self._weight += weight
                    if len(self._waiting) == 1 or self._has_enough():
                        self._call_worker()
            except BaseException:
                self._withdraw(ticket)
                raise
        return ticket

    def wait_for(self, ticket: Ticket[AnswerT]) -> None:
        """Until the ticket's items are answered; who is interrupted meanwhile takes them back."""
        with self._lock:
            try:
                while not ticket.done:
                    ticket._answered.wait()
            except BaseException:
                self._withdraw(ticket)
                raise

    def close(self) -> None:
        """End the threads once they are done; what waits, and what comes, gets Closed."""
        with self._lock:
            self._closed = True
            while self._waiting:
                self._answer(self._take_one(), None, Closed(f"{self._name} is closed"))
            self._work.notify_all()
            self._room.notify_all()

    def finish(self) -> None:
        """Take no more items, and wait until those that it was given are answered."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._room.notify_all()
            while self._threads:
                self._done.wait()

    def look_again(self) -> None:
        """For a clock that was put forward."""
        with self._lock:
            self._work.notify_all()

    # With the lock held:

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"{self._name} is closed")

    def _has_enough(self) -> bool:
        return len(self._waiting) >= self._enough_items or self._weight >= self._most_weight

    def _call_worker(self) -> None:
        if self._idle:
            self._work.notify()
        elif self._threads < self._at_once:
            threading.Thread(target=self._work_on, name=self._name, daemon=True).start()
            self._threads += 1  # it is there: a system may have no thread to give

    def _take_one(self) -> _Waiting:
        entry = self._waiting.popleft()
        self._weight -= entry.weight
        return entry

    def _withdraw(self, ticket: Ticket[AnswerT]) -> None:
        kept = [entry for entry in self._waiting if entry.ticket is not ticket]
        self._waiting = deque(kept)
        self._weight = sum(entry.weight for entry in kept)
        self._room.notify_all()

    @staticmethod
    def _answer(entry: _Waiting, answer: object, error: BaseException | None) -> None:
        ticket = entry.ticket
        ticket._answers[entry.place] = answer
        ticket._error = ticket._error or error
        ticket._left -= 1
        if ticket.done:
            ticket._answered.notify_all()

    def _next(self) -> list[_Waiting]:
        """The next batch, waited for; empty when there will be none."""
        with self._lock:
            while self._waiting or not self._closed:
                wait_s = None
                if self._waiting:
                    wait_s = self._next_s - self._clock()
                    if self._closed or wait_s <= 0 or self._has_enough():
                        return self._take()
                self._idle += 1
                try:
                    self._work.wait(wait_s)
                finally:
                    self._idle -= 1
            self._threads -= 1
            self._done.notify_all()
            return []

    def _take(self) -> list[_Waiting]:
        self._next_s = self._clock() + self._every_s
        batch = [self._take_one()]
        weight = batch[0].weight
        while self._waiting and len(batch) < self._most_items:
            weight += self._waiting[0].weight
            if weight > self._most_weight:
                break
            batch.append(self._take_one())
        self._room.notify_all()
        if self._waiting:  # for another of the threads: this one is at work now
            with contextlib.suppress(RuntimeError):  # the system has none; this one comes back
                self._call_worker()
        return batch

    # In a thread of the group's own:

    def _work_on(self) -> None:
        while batch := self._next():
            outcome = _Outcome()
            answers: Sequence[AnswerT] = ()
            with outcome:
                answers = self._run([entry.item for entry in batch])  # type: ignore[misc]
                if len(answers) != len(batch):
                    raise ValueError(f"{len(answers)} answers to {len(batch)} items")
            with self._lock:
                self.batches += 1
                self.items += len(batch)
                for place, entry in enumerate(batch):
                    answer = None if outcome.error else answers[place]
                    self._answer(entry, answer, outcome.error)
            del batch, entry, answers, outcome  # megabytes, and the next may be long in coming


class _Outcome:
    """Keeps what the block raises, for those that wait for it: they raise it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.error = error
        return True
