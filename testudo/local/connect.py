"""Lead this process to the local stack that runs: its clients of Google then use that."""

import os
from collections.abc import Collection
from pathlib import Path

from models.release import copy_releases
from testudo.environment import LOCAL
from testudo.errors import CommandError
from testudo.local.detached import StackState, read_state
from testudo.local.health import check_and_watch
from testudo.local.servers import ASKS
from testudo.proxies import past_proxies


def enter_stack(home: Path, needed: Collection[str] = tuple(ASKS)) -> StackState:
    """Lead this process to the stack in `home`, with everything made that Testudo uses there.

    Raises CommandError if no stack runs there, StackError if a server that is needed does not
    answer.
    """
    from testudo.local.resources import prepare_stack  # with all of Google's clients, a second

    state = lead_to_stack(home, needed)
    prepare_stack()
    return state


def lead_to_stack(home: Path, needed: Collection[str]) -> StackState:
    """As `enter_stack`, for a stack on which everything is made."""
    state = read_state(home)
    if state is None:
        raise CommandError(
            f"no local stack runs in {home}: start one with `testudo local up`, or name a project "
            "or environment of the cloud"
        )
    check_and_watch(state, needed)
    os.environ.update({**state.environment, **past_proxies(os.environ)})
    return state


def bring_releases(releases: Path) -> None:
    """Copy the releases in use to the local stack. Raises ReleaseError if there are none."""
    copy_releases(str(releases), LOCAL.releases)
