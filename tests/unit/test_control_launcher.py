"""The stand-in's launcher of Flex Templates."""

import queue
import sys
import threading
from pathlib import Path

from testudo.control.launcher import Launcher

WRITES_NO_JOB = """
import sys
from pathlib import Path
(flag,) = [one for one in sys.argv if one.startswith("--template_location=")]
target = Path(flag.partition("=")[2])
target.parent.mkdir(parents=True)
target.write_bytes(b"\\xff no job")
"""


def test_a_launch_whose_job_cannot_be_read_has_failed(tmp_path: Path) -> None:
    """It ends with a reason: whoever launched it does not wait for ever."""
    ended: queue.SimpleQueue[tuple[object, object, str]] = queue.SimpleQueue()
    launcher = Launcher(
        "http://127.0.0.1:1", threading.Lock(), [sys.executable, "-c", WRITES_NO_JOB]
    )
    parameter = {"jobName": "items", "environment": {"tempLocation": str(tmp_path)}}
    launcher.start(("project", "region", "1"), parameter, lambda *said: ended.put(said))
    key, job, said = ended.get(timeout=120)
    assert (key, job) == (("project", "region", "1"), None)
    assert "codec can't decode" in said
