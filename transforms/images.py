"""Image branch: items enter, one image part leaves for each of them.

Fetching, decoding, resizing and encoding happen in one fused stage: image files
and pixels never cross an edge that a runner would have to store or send. An item
without an image gives a part without features; one whose image fails gives a part
that says why.
"""

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from google.api_core import exceptions as gcp
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from models.failures import Failure, Reason, Rejected, Stage, attempt
from models.features import ImageLimits
from models.kernels import CallLimits
from models.objects import split_uri
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import count_bug
from transforms.handlers import ImageHandler, part_of
from transforms.inline_images import inline_image
from transforms.records import Fetched, Item, Part
from transforms.settings import ImageAccess

FETCHES_AT_ONCE = 16
MAX_NAME_BYTES = 1024  # of an object of Cloud Storage
ANSWERED = "answered"
# Of image files in memory, until they are encoded.
MAX_FILES_BYTES = 640_000_000


def may_name_object(name: str) -> bool:
    """Whether Cloud Storage takes such a name; `..` in a request would name something else."""
    return (
        name not in {".", ".."}
        and not {"\r", "\n"} & set(name)
        and len(name.encode()) <= MAX_NAME_BYTES
    )


class _Enough(Exception):
    """A download is as long as it needs to be."""


class _Download:
    """A file that takes a download until it is too long or too late, whatever is sent.

    An object that is stored compressed arrives unpacked, and then Cloud Storage
    does not keep to the range that it was asked for.
    """

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self.data = bytearray()
        self._max_bytes = max_bytes
        self._end_s = time.monotonic() + timeout_s

    def write(self, data: bytes) -> int:
        self.data += data
        if len(self.data) > self._max_bytes:
            raise _Enough
        if time.monotonic() > self._end_s:
            raise Rejected(Reason.IMAGE_FETCH_FAILED, "it came too slowly")
        return len(data)

    def seek(self, place: int) -> None:
        """The client begins again."""
        del self.data[place:]


class ImageStore:
    """Reads images from the allowed buckets; connects when the first one is asked for."""

    def __init__(self, access: ImageAccess, max_bytes: int) -> None:
        self._access = access
        self._max_bytes = max_bytes
        self._connecting = threading.Lock()
        self._client: storage.Client | None = None

    def fetch(self, uri: str) -> bytes:
        """Read at most `max_bytes` + 1 bytes of an image, enough to know that it is too large.

        Transient errors are tried again until the access's `timeout_s` is over.
        Raises Rejected: IMAGE_URI_REFUSED, IMAGE_NOT_FOUND, IMAGE_FORBIDDEN,
        IMAGE_FETCH_FAILED.
        """
        bucket, name = split_uri(uri)
        if bucket not in self._access.buckets:
            raise Rejected(Reason.IMAGE_URI_REFUSED, "its bucket is not an image bucket")
        if not may_name_object(name):
            raise Rejected(Reason.IMAGE_NOT_FOUND, "no object can have that name")
        download = _Download(self._max_bytes, self._access.timeout_s)
        try:
            self._download(bucket, name, download)
        except _Enough:
            pass  # too large, which the decoder says
        except gcp.RequestRangeNotSatisfiable:
            return b""  # even its first byte is beyond the end of an empty object
        except gcp.NotFound as error:
            raise Rejected(Reason.IMAGE_NOT_FOUND, "no such object") from error
        except (gcp.Forbidden, gcp.Unauthorized, GoogleAuthError) as error:
            raise Rejected(Reason.IMAGE_FORBIDDEN, "the pipeline may not read it") from error
        except (gcp.GoogleAPIError, OSError) as error:
            raise Rejected(Reason.IMAGE_FETCH_FAILED, type(error).__name__) from error
        return bytes(download.data[: self._max_bytes + 1])

    def _download(self, bucket: str, name: str, download: _Download) -> None:
        timeout_s = self._access.timeout_s
        blob = self._connected().bucket(bucket).blob(name)
        blob.download_to_file(
            download,
            end=self._max_bytes,
            timeout=timeout_s,
            retry=DEFAULT_RETRY.with_timeout(timeout_s),
            checksum=None,
        )

    def _connected(self) -> storage.Client:
        with self._connecting:
            if self._client is None:
                self._client = storage.Client()
            return self._client


class Room:
    """Memory for files, however many threads want some: whoever finds none waits, in turn."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._used_bytes = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    def take(self, count: int) -> int:
        """Wait for so many bytes, or for all where that is more; returns how many it took."""
        count = min(count, self._most_bytes)
        with self._turn, self._changed:
            while self._used_bytes + count > self._most_bytes:
                self._changed.wait()
            self._used_bytes += count
        return count

    def give_back(self, count: int) -> None:
        with self._changed:
            self._used_bytes -= count
            self._changed.notify_all()


_room = Room(MAX_FILES_BYTES)  # of the process, for all of its threads


class _FetchDoFn(beam.DoFn):
    """Batches of items -> batches of Fetched; on ANSWERED each Part that needs no encoder."""

    def __init__(self, access: ImageAccess, limits: ImageLimits) -> None:
        self._access = access
        self._limits = limits

    def setup(self) -> None:
        self._fetchers = ThreadPoolExecutor(FETCHES_AT_ONCE, "fetch-image")
        self._store = ImageStore(self._access, self._limits.max_bytes)

    def teardown(self) -> None:
        self._fetchers.shutdown()

    def process(
        self, items: Sequence[Item]
    ) -> Iterator[list[Fetched] | beam.pvalue.TaggedOutput[Literal["answered"], Part]]:
        taken = _room.take(sum(map(self._most_bytes, items)))
        try:
            fetched = []
            for answer in self._fetch(items):
                if isinstance(answer, Part):
                    yield beam.pvalue.TaggedOutput(ANSWERED, answer)
                else:
                    fetched.append(answer)
            spare = taken - sum(len(one.data) for one in fetched)
            if spare > 0:
                _room.give_back(spare)
                taken -= spare
            if fetched:
                yield fetched  # until the encoder, fused to this step, has answered
        finally:
            _room.give_back(taken)

    def _most_bytes(self, item: Item) -> int:
        """What the file of an item may take, before it is fetched."""
        if item.image_uri:
            return self._limits.max_bytes + 1
        return len(item.image_base64) * 3 // 4

    def _fetch(self, items: Sequence[Item]) -> Iterator[Part | Fetched]:
        # The batch's fetches wait together; inline images have nothing to wait for.
        fetching = [
            self._fetchers.submit(self._read, item) if item.image_uri else None for item in items
        ]
        for item, waiting in zip(items, fetching, strict=True):
            if waiting is None and not item.image_base64:
                yield Part(Stage.IMAGE, item.envelope, b"", None, "", {})
                continue
            data, fetch_us = waiting.result() if waiting else self._read(item)
            spent_us = {"fetch": fetch_us}
            if isinstance(data, Failure):
                yield part_of(Stage.IMAGE, item.envelope, data, spent_us)
            else:
                yield Fetched(item.envelope, data, spent_us)

    def _read(self, item: Item) -> tuple[bytes | Failure, int]:
        started_ns = time.perf_counter_ns()
        if item.image_uri:
            data = attempt(Stage.IMAGE, Reason.BUG, self._store.fetch, item.image_uri)
        else:
            data = attempt(Stage.IMAGE, Reason.BUG, inline_image, item.image_base64)
        return count_bug(data), (time.perf_counter_ns() - started_ns) // 1000


@dataclasses.dataclass(eq=False, kw_only=True)
class EncodeImages(beam.PTransform):
    """Item -> image Part: every item is answered, whatever is wrong with its image."""

    releases: str
    access: ImageAccess
    limits: ImageLimits
    batch_size: int
    calls: CallLimits = CallLimits()

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Part]:
        batch = {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}
        fetched = (
            items
            | "Batch" >> beam.BatchElements(**batch)
            | "Fetch"
            >> beam.ParDo(_FetchDoFn(self.access, self.limits)).with_outputs(
                ANSWERED, main="fetched"
            )
        )
        fetched["fetched"].element_type = list[Fetched]
        fetched[ANSWERED].element_type = Part
        handler = ImageHandler(
            releases=self.releases,
            batch_size=self.batch_size,
            calls=self.calls,
            images=self.limits,
        )
        encoded = fetched["fetched"] | "Encode" >> RunInference(
            handler.with_no_batching()  # they come in batches
        ).with_output_types(Part)
        return (encoded, fetched[ANSWERED]) | "Answers" >> beam.Flatten()
