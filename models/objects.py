"""Objects: whole files, by gs:// URI or by local path, read and written in one request each.

Errors that pass (429, 5xx, closed connections, timeouts) are tried again, with
growing pauses, for a bounded time. To try again is safe: whoever writes gives
each object a name of its own, or the same content as before; what several
change is written with `exchange`.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

RETRY_FOR_S = 600.0
REQUEST_TIMEOUT_S = 60.0  # to connect, and between two parts of an answer
FIRST_PAUSE_S = 1.0  # at most, as each one after it: twice the one before, a minute in the end
CONNECTIONS = 32  # kept open, for as many threads; one more opens a connection for one request
CLOUD = "gs://"
CONTENT_TYPE = "application/octet-stream"

T = TypeVar("T")


class ObjectError(OSError):
    """An object that could not be read or written, for good or for as long as was allowed."""


def join(root: str, *names: str) -> str:
    return "/".join((root.rstrip("/"), *names))


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and object name of a gs:// URI."""
    bucket, _, name = uri.removeprefix(CLOUD).partition("/")
    return bucket, name


class Objects:
    """Reads and writes objects and files; connects when the first object is asked for.

    What is not there raises FileNotFoundError at once. Anything else that an
    object store answers raises ObjectError: at once when it cannot pass, and
    otherwise after `retry_for_s`, and one request's time at most. Both are
    OSErrors, as are those of local files. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        retry_for_s: float = RETRY_FOR_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._retry = DEFAULT_RETRY.with_delay(initial=first_pause_s).with_timeout(retry_for_s)
        self._timeout_s = request_timeout_s
        self._connecting = threading.Lock()
        self._client: storage.Client | None = None

    def read(self, path: str, *, retry_for_s: float | None = None) -> bytes:
        if not path.startswith(CLOUD):
            with open(path, "rb") as file:
                return file.read()
        retry = self._retry if retry_for_s is None else self._retry.with_timeout(retry_for_s)
        return self._ask(
            path, lambda blob: blob.download_as_bytes(timeout=self._timeout_s, retry=retry)
        )

    def read_span(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, the latter not included."""
        if start == end:
            return b""  # a span that no range header can ask for
        if not path.startswith(CLOUD):
            with open(path, "rb") as file:
                file.seek(start)
                return file.read(end - start)
        return self._ask(
            path,
            lambda blob: blob.download_as_bytes(
                start=start,
                end=end - 1,
                checksum=None,  # is of the whole object
                timeout=self._timeout_s,
                retry=self._retry,
            ),
        )

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object, or a local file with the folders that it needs.

        Whoever reads gets what was there before, or all of it.
        """
        if not path.startswith(CLOUD):
            _write_file(path, data)
            return
        self._ask(path, lambda blob: self._upload(blob, data))

    def exchange(self, path: str, before: bytes | None, after: bytes) -> bool:
        """Write what still holds `before`, or (None) is not there yet.

        Returns whether it was: if not, somebody else was faster, and nothing is
        written. Whoever reads gets the one or the other, never a part.
        """
        if not path.startswith(CLOUD):
            return _exchange_files(path, before, after)
        return self._ask(path, lambda blob: self._exchange(blob, before, after))

    def sizes(self, root: str) -> dict[str, int]:
        """Bytes of every file or object below a root, by its path from there; {} for no root."""
        if not root.startswith(CLOUD):
            paths = [
                os.path.join(folder, name)
                for folder, _, names in os.walk(root, followlinks=True)
                for name in names
            ]
            return {os.path.relpath(one, root): os.path.getsize(one) for one in paths}
        prefix = f"{split_uri(root)[1].rstrip('/')}/".removeprefix("/")
        how = {"timeout": self._timeout_s, "retry": self._retry}
        return self._ask(
            root,
            lambda blob: {
                one.name.removeprefix(prefix): one.size
                for one in blob.bucket.list_blobs(prefix=prefix, **how)
            },
        )

    def copy(self, source: str, target: str) -> None:
        """Copy one file or object, through memory."""
        self.write(target, self.read(source))

    def close(self) -> None:
        """Close what connections there are; another request opens new ones."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _ask(self, path: str, ask: Callable[[storage.Blob], T]) -> T:
        bucket, name = split_uri(path)
        try:
            return ask(self._connected().bucket(bucket).blob(name))
        except NotFound as error:
            raise FileNotFoundError(f"{path} is not there: {error.message}") from error
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise ObjectError(f"{path}: {type(error).__name__}: {error}") from error

    def _exchange(self, blob: storage.Blob, before: bytes | None, after: bytes) -> bool:
        """Compared here and by generation: the Cloud Storage stand-in looks at no generation."""
        how = {"timeout": self._timeout_s, "retry": self._retry}
        found, generation = None, 0  # as Cloud Storage calls what is not there
        with contextlib.suppress(NotFound):
            blob.reload(**how)
            generation = blob.generation
            found = blob.download_as_bytes(**how)  # of just this generation
        if found != before:
            return False
        try:
            self._upload(blob, after, ifGenerationMatch=generation)
        except PreconditionFailed:
            # Ours after all, where the answer of the first try was lost.
            return bool(blob.bucket.blob(blob.name).download_as_bytes(**how) == after)
        return True

    def _upload(self, blob: storage.Blob, data: bytes, **conditions: int) -> None:
        """A media upload: one request of the bare bytes, however many.

        `upload_from_string` makes two and more beyond 8 MiB, and multipart
        bodies below, which the Cloud Storage stand-in reads at 20 MB/s.
        """
        if not data:  # which the stand-in takes in a multipart body only
            blob.upload_from_string(b"", timeout=self._timeout_s, retry=self._retry)
            return
        connection = blob.client._connection
        connection.api_request(
            method="POST",
            api_base_url=f"{connection.API_BASE_URL}/upload",
            path=f"/b/{blob.bucket.name}/o",
            query_params={"uploadType": "media", "name": blob.name, **conditions},
            data=data,
            content_type=CONTENT_TYPE,
            timeout=self._timeout_s,
            retry=self._retry,
        )

    def _connected(self) -> storage.Client:
        with self._connecting:
            if self._client is None:
                client = storage.Client(project=None)  # objects are found by their bucket alone
                for adapter in client._http.adapters.values():
                    adapter.init_poolmanager(connections=1, maxsize=CONNECTIONS)
                self._client = client
            return self._client


def _write_file(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial = f"{path}.{os.getpid()}-{threading.get_ident()}.partial"  # this thread's own
    try:
        with open(partial, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def _exchange_files(path: str, before: bytes | None, after: bytes) -> bool:
    """`exchange` of a local file, under a lock of its folder, which leaves no file behind."""
    path = os.path.realpath(path)
    folder, partial = os.path.dirname(path), f"{path}.partial"
    os.makedirs(folder, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = None
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            found = file.read()
        if found != before:
            return False
        with open(partial, "wb") as file:
            file.write(after)
        os.replace(partial, path)
        return True
    finally:
        os.close(held)


OBJECTS = Objects()  # the process's own: all of its threads share connections
