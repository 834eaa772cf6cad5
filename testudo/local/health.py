"""Whether the servers of a stack that says that it is up are there, and answer."""

import threading
import time
from collections.abc import Collection, Sequence

from testudo.errors import CommandError
from testudo.local.detached import ServerState, StackState
from testudo.local.servers import ASKS
from testudo.watch import watch

ANEW = "`testudo local down`, then `testudo local up`, start the stack anew."
ANSWER_ALLOWED_S = 40.0  # a machine that is busy answers late
_ASK_EVERY_S = 0.2


def troubles(servers: Sequence[ServerState], allowed_s: float = ANSWER_ALLOWED_S) -> dict[str, str]:
    """What is wrong, by server: dead, stopped, or without an answer in the time allowed.

    All are asked at once; returns as soon as all have answered.
    """
    deadline_s = time.monotonic() + allowed_s
    found, asked = {}, []
    for server in servers:
        if not server.alive or server.stopped:
            found[server.name] = "is stopped" if server.alive else "has ended"
        else:
            asked.append(_Asked(server, deadline_s))
    for each in asked:
        if not each.answered.wait(max(0.0, deadline_s - time.monotonic())):
            found[each.server.name] = f"does not answer within {allowed_s:g} s ({each.reason})"
    return found


class _Asked:
    """A server that is asked again until it answers."""

    def __init__(self, server: ServerState, deadline_s: float) -> None:
        self.server = server
        self.reason = "silent"
        self.answered = threading.Event()
        self._deadline_s = deadline_s
        threading.Thread(target=self._ask, name=f"ask-{server.name}", daemon=True).start()

    def _ask(self) -> None:
        while time.monotonic() < self._deadline_s:
            try:
                ASKS[self.server.name](self.server.ports[0])
            except (OSError, RuntimeError) as error:
                self.reason = str(error)
                time.sleep(_ASK_EVERY_S)
            else:
                self.answered.set()
                return


def check_and_watch(state: StackState, needed: Collection[str]) -> None:
    """See that the servers that are needed answer; the command ends when one of them does.

    Raises CommandError, since nothing was done yet, in one line with all that are dead or silent.
    """
    servers = [server for server in state.servers if server.name in needed]
    if found := troubles(servers):
        wrong = (
            f"{server.name} (process {server.pid}) {found[server.name]}, its log is {server.log}"
            for server in servers
            if server.name in found
        )
        raise CommandError(f"of the local stack, {'; '.join(wrong)}. {ANEW}")
    watch("the local stack", state.pid, log=None, advice=ANEW)
    for server in servers:
        watch(f"{server.name} of the local stack", server.pid, log=server.log, advice=ANEW)
