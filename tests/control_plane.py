"""The stand-in for Google's control planes in this process, on a loopback port of its own."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from testudo.control.__main__ import control_server
from testudo.control.server import ControlServer
from testudo.rest import call

# What puts each switch of the stand-in back.
SWITCHES: Mapping[str, Any] = {
    "refused": {"permissions": []},
    "faults": {"faults": []},
    "images": {},
    "metrics": {"metrics": []},
    "quotas": {"N2_CPUS": {"limit": 24, "usage": 0}},
}


@contextmanager
def control_plane() -> Iterator[ControlServer]:
    with control_server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def switch(name: str, body: Any) -> Callable[[], None]:
    """A switch of the stand-in, to be set when it is called."""
    return lambda: set_switch(name, body)


def set_switch(name: str, body: Any) -> None:
    call("testudo", "PUT", f"/testudo/{name}", body=body)


def reset() -> None:
    for name, body in SWITCHES.items():
        set_switch(name, body)
