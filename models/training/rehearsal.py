"""A team's functions on training data: one that fails on an item fails the training.

Each item that is trained on or held out goes through them as in service, so that a release
is not saved with functions that were never called.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from models.failures import Rejected, TestudoError

P = ParamSpec("P")
T = TypeVar("T")


class FunctionFailed(TestudoError):
    """A function that would make a dead letter of an item that is trained on or held out."""

    exit_code = 1


class GoldenItemFailed(TestudoError):
    """A held-out item that the exported files, as they will be served, give no answer for."""

    exit_code = 1


def rehearsed(item_id: str, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function makes of an item of the manifest. Raises FunctionFailed."""
    try:
        return call(*args, **kwargs)
    except Rejected as rejected:
        raise FunctionFailed(
            f"--functions: item {item_id!r} of the manifest: {rejected.detail}\n"
            "In service it would be a dead letter, function_failed. Nothing was saved."
        ) from rejected
