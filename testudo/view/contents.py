"""What stored messages hold, for the items of a page: texts, and thumbnails by random names."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from models.failures import Reason, Rejected
from testudo.view.payloads import Payloads, Sent, Unreadable, read_message
from testudo.view.pictures import Pictures

AT_ONCE = 8  # reads
PATIENCE_S = 10.0  # of one page; what is read later is there when it is loaded again
KEPT = 1_500  # some 20 KB each
# What a picture of such a dead letter did to the job's decoder it need not do again here.
NOT_DECODED = frozenset({Reason.TIMED_OUT, Reason.CRASHED})


class Content(NamedTuple):
    """One message as the page shows it: `picture` names its thumbnail, `problem` says why not."""

    text: str = ""
    picture: str = ""
    problem: str = ""
    jpeg: bytes = b""


WAITING = Content(problem="it is still being read; load the page again")


class Contents:
    """Reads messages once, and keeps what was made of the last ones."""

    def __init__(
        self, payloads: Payloads, pictures: Pictures, fetch: Callable[[str], bytes]
    ) -> None:
        """`fetch` reads an image by its URI. Raises Rejected, for one that may not be read too."""
        self._payloads, self._pictures, self._fetch = payloads, pictures, fetch
        self._pool = ThreadPoolExecutor(AT_ONCE, "contents")
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Content] = OrderedDict()
        self._named: dict[str, str] = {}  # a thumbnail's name -> its message's URI

    def of(self, reasons: Mapping[str, str]) -> dict[str, Content]:
        """By payload URI. `reasons` says of each why its message failed; empty if it did not."""
        with self._lock:
            found = {uri: self._kept[uri] for uri in reasons if uri in self._kept}
            for uri in found:
                self._kept.move_to_end(uri)
        reading = {
            uri: self._pool.submit(self._read, uri, reason)
            for uri, reason in reasons.items()
            if uri not in found
        }
        wait(reading.values(), timeout=PATIENCE_S)
        for uri, future in reading.items():
            found[uri] = future.result() if future.done() else WAITING
        return found

    def jpeg(self, name: str) -> bytes | None:
        """The thumbnail of that name, which no page has unless it was made for one."""
        with self._lock:
            content = self._kept.get(self._named.get(name, ""))
        return content.jpeg if content else None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pictures.close()

    def _read(self, uri: str, reason: str) -> Content:
        try:
            sent = read_message(self._payloads.read(uri))
        except Unreadable as error:
            return self._keep(uri, Content(problem=str(error)), passes=error.passes)
        try:
            jpeg = self._thumbnail(sent, reason)
        except Unreadable as error:
            return self._keep(uri, Content(sent.text, problem=str(error)), passes=error.passes)
        name = secrets.token_hex(16) if jpeg else ""
        return self._keep(uri, Content(sent.text, name, "", jpeg))

    def _thumbnail(self, sent: Sent, reason: str) -> bytes:
        """Empty where there is no picture. Raises Unreadable."""
        if sent.image_problem:
            raise Unreadable(sent.image_problem)
        if not (sent.image or sent.image_uri):
            return b""
        if reason in NOT_DECODED:
            raise Unreadable("it is not decoded here, since it may have ended the job's decoder")
        try:
            data = sent.image or self._fetch(sent.image_uri)
        except Rejected as rejected:
            passes = rejected.reason is not Reason.IMAGE_URI_REFUSED
            raise Unreadable(f"{rejected.reason}: {rejected.detail}", passes=passes) from rejected
        return self._pictures.thumbnail(data)

    def _keep(self, uri: str, content: Content, *, passes: bool = False) -> Content:
        if passes:
            return content
        with self._lock:
            self._kept[uri] = content
            if content.picture:
                self._named[content.picture] = uri
            while len(self._kept) > KEPT:
                _, old = self._kept.popitem(last=False)
                self._named.pop(old.picture, None)
        return content


def refuse_images(_uri: str) -> bytes:
    """`fetch` of files mode, which asks no bucket."""
    raise Rejected(Reason.IMAGE_URI_REFUSED, "images by URI are not read for files")


class BucketImages:
    """`fetch` as the job's: from these buckets alone, and a bounded number of bytes."""

    def __init__(self, buckets: Collection[str], max_bytes: int) -> None:
        self._buckets, self._max_bytes = frozenset(buckets), max_bytes
        self._lock = threading.Lock()
        self._store: Any = None

    def fetch(self, uri: str) -> bytes:
        # It brings Beam along, which takes seconds: only where there is such an image.
        from transforms.images import ImageStore
        from transforms.settings import ImageAccess

        with self._lock:
            if self._store is None:
                self._store = ImageStore(ImageAccess(self._buckets, PATIENCE_S), self._max_bytes)
        data: bytes = self._store.fetch(uri)
        return data
