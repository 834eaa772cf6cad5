"""The process that decodes pictures for `testudo view`, and that may be lost at any time.

    python -P -m testudo.view.picture_process LIMITS SOCKET MEMORY

A request is msgpack of a file's bytes, the answer msgpack of [thumbnail, why there is none].
"""

import contextlib
import json
import sys

import msgpack

from models.failures import Failure, Reason, Stage, attempt
from models.features import ImageLimits
from models.kernels import CallLimits, time_limit
from models.model_process import Connection
from models.sandbox import be_first_to_go, end_with_worker, let_alarms_end, limit_memory
from testudo.view.pictures import DECODE_S, thumbnail


def answer(data: bytes, limits: ImageLimits) -> bytes:
    with time_limit(DECODE_S):
        made = attempt(Stage.IMAGE, Reason.IMAGE_UNREADABLE, thumbnail, data, limits)
    packed: bytes = msgpack.packb(
        (b"", f"{made.reason}: {made.detail}") if isinstance(made, Failure) else (made, "")
    )
    return packed


def main(number: int, limits: ImageLimits) -> int:
    """Answer until the page's server is gone."""
    let_alarms_end()
    end_with_worker(number)
    be_first_to_go()
    limit_memory(CallLimits.memory_bytes)
    connection = Connection(number)
    with contextlib.suppress(EOFError, OSError):  # also in the middle of a request
        while True:
            connection.send(answer(msgpack.unpackb(connection.receive()), limits))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[2]), ImageLimits(**json.loads(sys.argv[1]))))
