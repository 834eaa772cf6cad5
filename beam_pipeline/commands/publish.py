"""`testudo publish`: messages from a file, photographs from disk, or drawn samples."""

import argparse
import base64
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import pubsub_v1, storage
from rich.progress import track

from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import Place, add_place_arguments, place_from
from beam_pipeline.lines import message_from_line
from loadtest.messages import SampleMessage, message_attributes, sample_messages

PUBLISH_TIMEOUT_S = 60.0
MAX_ID_CHARS = 128


class Outgoing(NamedTuple):
    data: bytes
    attributes: dict[str, str]


def from_file(path: Path) -> Iterator[Outgoing]:
    """One message a line, as files mode reads them; a bare item's ids become attributes."""
    for line in path.read_bytes().splitlines():
        message = message_from_line(line)
        yield Outgoing(message.data, dict(message.attributes) or _attributes_of(message.data))


def _attributes_of(data: bytes) -> dict[str, str]:
    """The ids in the data as attributes; none where there are none that Pub/Sub would take."""
    try:
        fields = json.loads(data)
    except ValueError:
        fields = None  # published all the same: the pipeline says what is wrong with it
    ids = fields if isinstance(fields, dict) else {}
    item_id, tenant_id = str(ids.get("item_id", "")), str(ids.get("tenant_id", ""))
    fit = max(len(item_id), len(tenant_id)) <= MAX_ID_CHARS
    return message_attributes(tenant_id, item_id, data) if fit else {}


def from_images(paths: Iterable[Path], *, tenant_id: str, text: str) -> Iterator[Outgoing]:
    """One message an image file; the item's id is the file's name."""
    for path in paths:
        item_id = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.name)[
            :MAX_ID_CHARS
        ]
        fields = {
            "item_id": item_id,
            "tenant_id": tenant_id,
            "text": text,
            "image": base64.b64encode(path.read_bytes()).decode(),
        }
        data = json.dumps(fields).encode()
        yield Outgoing(data, message_attributes(tenant_id, item_id, data))


def from_samples(count: int, *, seed: int, place: Place) -> Iterator[Outgoing]:
    """Drawn listings; where there is an image bucket, some images go there and are named."""
    samples = list(sample_messages(count, seed=seed, bucket=place.image_bucket))
    if place.image_bucket:
        upload(place, samples)
    return (Outgoing(one.data, dict(one.attributes)) for one in samples)


def upload(place: Place, samples: Iterable[SampleMessage]) -> None:
    """Bring the images that messages refer to into the place's image bucket."""
    with storage.Client(project=place.project) as client:
        bucket = client.bucket(place.image_bucket)
        for sample in samples:
            for name, image in sample.uploads.items():
                bucket.blob(name).upload_from_string(image, content_type="image/jpeg")


def publish(topic: str, messages: Iterable[Outgoing], *, rate: float = 0.0) -> int:
    """Publish at `rate` messages a second (0: at once), on schedule; returns how many.

    Raises CommandError when a message is not taken.
    """
    publisher = pubsub_v1.PublisherClient()
    started, sent = time.monotonic(), []
    for number, message in enumerate(messages):
        if rate:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        sent.append(publisher.publish(topic, message.data, **message.attributes))
    try:
        for future in sent:
            future.result(timeout=PUBLISH_TIMEOUT_S)
    except (GoogleAPICallError, TimeoutError) as error:
        raise CommandError(f"{topic} did not take a message: {error}") from error
    finally:
        publisher.stop()
    return len(sent)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, help="JSON Lines file, a message a line")
    source.add_argument("--images", type=Path, nargs="+", help="image files, an item each")
    source.add_argument("--samples", type=int, metavar="N", help="drawn listings, some broken")
    parser.add_argument("--text", default="", help="with --images: the items' text")
    parser.add_argument("--tenant_id", default="me", help="with --images (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="with --samples (%(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 is at once")
    add_place_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    place = place_from(arguments)
    messages: Iterable[Outgoing]
    missing = [str(p) for p in (arguments.images or [arguments.file]) if p and not p.is_file()]
    if missing:
        raise CommandError(f"no such file: {', '.join(missing)}")
    if arguments.file:
        messages = from_file(arguments.file)
    elif arguments.images:
        messages = from_images(arguments.images, tenant_id=arguments.tenant_id, text=arguments.text)
    else:
        messages = from_samples(arguments.samples, seed=arguments.seed, place=place)
    count = publish(place.topic, track(messages, "Publishing"), rate=arguments.rate)
    print(f"{count} messages published to {place.topic}")
    return 0
