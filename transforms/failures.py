"""How a stage turns what goes wrong with one item into a value.

This is the only place that catches `Exception`: an expected failure is raised
as `Rejected` and keeps its reason; anything else becomes the reason that the
stage gives for it (`bug` where it gives none), and is logged without the item's
content. Nothing here is of Beam: transforms.bugs counts.
"""

import logging
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from transforms.records import Failure, Reason, Rejected, Stage

LOG = logging.getLogger(__name__)
MAX_DETAIL_CHARS = 500

P = ParamSpec("P")
T = TypeVar("T")


def attempt(
    stage: Stage,
    unexpected: Reason,
    call: Callable[P, T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | Failure:
    """Return what the call returns, or the Failure that stands for its exception."""
    try:
        return call(*args, **kwargs)
    except Rejected as rejected:
        return Failure(stage, rejected.reason, rejected.detail[:MAX_DETAIL_CHARS])
    except Exception as error:  # noqa: BLE001 - the one place, see the module's docstring
        if unexpected is Reason.BUG:
            frames = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("%s in stage %s:\n%s", type(error).__name__, stage, frames)  # noqa: TRY400 - exception() would print what the item holds
        return Failure(stage, unexpected, f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARS])
