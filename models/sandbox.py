"""What a process that reads senders' bytes does to itself: an item can end it, and no more."""

import contextlib
import ctypes
import os
import pwd
import re
import resource
import select
import signal
import sys
import threading
from pathlib import Path

DATA_SIZE = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)
ROOT = Path(__file__).parents[1]
NOBODY = "nobody"
TO_READ = 0o005  # by everybody, folders too
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def limit_memory(more_bytes: int) -> None:
    """Let this process take so much more memory than now, and no more.

    Linux only; elsewhere nothing happens.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if size := DATA_SIZE.search(status):
            limit = int(size[1]) * 1024 + more_bytes
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def be_first_to_go() -> None:
    """Where memory ends, the system is to end this process, not the worker. Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def end_with_worker(number: int) -> None:
    """End this process when the socket ends, whatever it does then."""
    watch = select.poll()
    watch.register(number, 0)  # nothing but the end
    threading.Thread(target=_outlive_nobody, args=(watch,), name="worker", daemon=True).start()


def _outlive_nobody(watch: select.poll) -> None:
    watch.poll()
    os._exit(0)


def end_with_parent(parent: int) -> None:
    """End this process when the one that forked it ends. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        os._exit(0)


def be_nobody() -> None:
    """Give up what root may: from here on this process reads senders' bytes.

    Only where it is root, and where the code is everybody's to read: some of it is
    imported when it is first needed.
    """
    if os.geteuid() or not all(map(_is_open, (ROOT, Path(sys.prefix), Path(sys.base_prefix)))):
        return
    parent = os.getppid()
    with contextlib.suppress(OSError, KeyError):  # a container may know no nobody
        nobody = pwd.getpwnam(NOBODY)
        os.setgroups([])
        os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
        os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
    end_with_parent(parent)  # which another user has to say anew


def _is_open(path: Path) -> bool:
    """Whether everybody may read what lies there."""
    return all(one.stat().st_mode & TO_READ == TO_READ for one in (path, *path.resolve().parents))


def let_alarms_end() -> None:
    """A worker's own ways with signals are inherited: one that it ignores would cut nothing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
