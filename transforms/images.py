"""Image branch: items enter, one image half leaves for each of them.

Fetch, decode, resize and encode happen in one fused stage: pixels never cross
an edge that a runner would have to store or send. An item without an image
gives a half without features; one whose image fails gives a half that says why.
"""

import binascii
import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference
from google.api_core import exceptions as gcp
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from models.features import ImageLimits, decode_image
from models.handlers import EncoderHandler
from models.loaded import Releases, image_size_px
from transforms.failures import attempt
from transforms.records import (
    Decoded,
    Envelope,
    Failure,
    Half,
    ImageFacts,
    Item,
    Reason,
    Rejected,
    Stage,
)

FETCHES_AT_ONCE = 16
ANSWERED = "answered"


@dataclasses.dataclass(frozen=True)
class ImageAccess:
    """Where images may be fetched from, and how long that may take."""

    buckets: frozenset[str] = frozenset()
    timeout_s: float = 20.0


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and object name of a gs:// URI."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


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
        timeout_s = self._access.timeout_s
        try:
            data: bytes = (
                self._connected()
                .bucket(bucket)
                .blob(name)
                .download_as_bytes(
                    end=self._max_bytes,
                    timeout=timeout_s,
                    retry=DEFAULT_RETRY.with_timeout(timeout_s),
                    checksum=None,
                )
            )
        except gcp.NotFound as error:
            raise Rejected(Reason.IMAGE_NOT_FOUND, "no such object") from error
        except (gcp.Forbidden, gcp.Unauthorized, GoogleAuthError) as error:
            raise Rejected(Reason.IMAGE_FORBIDDEN, "the pipeline may not read it") from error
        except (gcp.GoogleAPIError, OSError) as error:
            raise Rejected(Reason.IMAGE_FETCH_FAILED, type(error).__name__) from error
        return data

    def _connected(self) -> storage.Client:
        with self._connecting:
            if self._client is None:
                self._client = storage.Client()
            return self._client


def inline_image(image_base64: str) -> bytes:
    """Raises Rejected: IMAGE_NOT_BASE64."""
    try:
        return binascii.a2b_base64(image_base64, strict_mode=True)
    except ValueError as error:  # binascii.Error, or a character beyond ASCII
        raise Rejected(Reason.IMAGE_NOT_BASE64, str(error)) from error


def no_image(envelope: Envelope) -> Half:
    """The half of an item that has only a text."""
    return Half(Stage.IMAGE, envelope, b"", None, None, None, {})


def failed(envelope: Envelope, failure: Failure, spent_us: Mapping[str, int]) -> Half:
    return Half(Stage.IMAGE, envelope, b"", failure, None, None, spent_us)


class _DecodeDoFn(beam.DoFn):
    """Batches of items -> batches of Decoded; on ANSWERED each Half that needs no encoder."""

    def __init__(self, releases: str, access: ImageAccess, limits: ImageLimits) -> None:
        self._releases = releases
        self._access = access
        self._limits = limits

    def setup(self) -> None:
        self._fetchers = ThreadPoolExecutor(FETCHES_AT_ONCE, "fetch-image")
        self._store = ImageStore(self._access, self._limits.max_bytes)
        self._sizes_px = Releases(self._releases, image_size_px)

    def teardown(self) -> None:
        self._fetchers.shutdown()

    def process(
        self, items: Sequence[Item]
    ) -> Iterator[list[Decoded] | beam.pvalue.TaggedOutput[Literal["answered"], Half]]:
        # The batch's fetches wait together; inline images have nothing to wait for.
        fetching = [
            self._fetchers.submit(self._read, item) if item.image_uri else None for item in items
        ]
        decoded: list[Decoded] = []
        for item, fetched in zip(items, fetching, strict=True):
            if not (item.image_uri or item.image_base64):
                answer: Half | Decoded = no_image(item.envelope)
            else:
                answer = self._decode(item, *(fetched.result() if fetched else self._read(item)))
            if isinstance(answer, Half):
                yield beam.pvalue.TaggedOutput(ANSWERED, answer)
            else:
                decoded.append(answer)
        if decoded:
            yield decoded

    def _read(self, item: Item) -> tuple[bytes | Failure, int]:
        started_ns = time.perf_counter_ns()
        if item.image_uri:
            data = attempt(Stage.IMAGE, Reason.BUG, self._store.fetch, item.image_uri)
        else:
            data = attempt(Stage.IMAGE, Reason.BUG, inline_image, item.image_base64)
        return data, (time.perf_counter_ns() - started_ns) // 1000

    def _decode(self, item: Item, data: bytes | Failure, fetch_us: int) -> Half | Decoded:
        spent_us = {"fetch": fetch_us}
        if isinstance(data, Failure):
            return failed(item.envelope, data, spent_us)
        started_ns = time.perf_counter_ns()
        decoded = attempt(Stage.IMAGE, Reason.BUG, self._square, data, item.envelope.release)
        spent_us["decode"] = (time.perf_counter_ns() - started_ns) // 1000
        if isinstance(decoded, Failure):
            return failed(item.envelope, decoded, spent_us)
        pixels, facts = decoded
        return Decoded(item.envelope, pixels.tobytes(), facts, spent_us)

    def _square(self, data: bytes, release: str) -> tuple[np.ndarray, ImageFacts]:
        size_px = self._sizes_px.get(release)
        return decode_image(data, size_px=size_px, limits=self._limits)


@dataclasses.dataclass(eq=False, kw_only=True)
class EncodeImages(beam.PTransform):
    """Item -> image Half: every item is answered, whatever is wrong with its image."""

    releases: str
    access: ImageAccess
    limits: ImageLimits
    batch_size: int

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Half]:
        batch = {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}
        decoded = (
            items
            | "Batch" >> beam.BatchElements(**batch)
            | "Decode"
            >> beam.ParDo(_DecodeDoFn(self.releases, self.access, self.limits)).with_outputs(
                ANSWERED, main="decoded"
            )
        )
        decoded["decoded"].element_type = list[Decoded]
        decoded[ANSWERED].element_type = Half
        handler = EncoderHandler(releases=self.releases, batch_size=self.batch_size)
        encoded = decoded["decoded"] | "Encode" >> RunInference(
            handler.with_no_batching()  # they come in batches
        ).with_output_types(Half)
        return (encoded, decoded[ANSWERED]) | "Answers" >> beam.Flatten()
