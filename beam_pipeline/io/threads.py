"""Threads in the background that do not end without a word."""

import threading
from collections.abc import Callable


class BackgroundError(Exception):
    """A thread in the background has ended with an error, which is this one's cause."""


class Background(threading.Thread):
    """A daemon thread with one piece of work.

    What the work raises is printed, as of any thread, and raised again wherever its
    owner calls `check`.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error
            raise

    def check(self) -> None:
        """Raises BackgroundError if the work has ended with an error."""
        if self.error is not None:
            what = f"{type(self.error).__name__}: {self.error}"
            raise BackgroundError(f"thread {self.name} ended with {what}") from self.error
