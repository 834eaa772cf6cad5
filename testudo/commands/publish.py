"""`testudo publish`: messages from a file, photographs from disk, or drawn samples."""

import argparse
import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from beam_pipeline.io.lines import messages_of
from beam_pipeline.io.publishing import refusals
from testudo.commands.environments import add_data_arguments, data_environment_of
from testudo.commands.progress import tracked
from testudo.commands.refused import google_errors
from testudo.commands.sending import Outgoing, publish
from testudo.environment import Environment
from testudo.errors import CommandError
from testudo.messages import SampleMessage, message_attributes, sample_messages
from transforms.parsing import ID, ids_in, parse_fields

EXAMPLE = 'testudo publish --images photo.jpg picture.png --text "a mug, hardly used"'
NO_FIELDS: Mapping[str, Any] = {}
NAME_CHARS, DIGEST_CHARS = 100, 12  # of an item's id, which takes 128
PROBLEMS_SHOWN = 10


def item_id_of(path: Path) -> str:
    """The file's name and a digest of its whole path.

    So no two files have one id, whatever they are published with, and a file has
    the same one each time.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name)[:NAME_CHARS]
    whole = os.fsencode(path.parent.resolve() / path.name)
    return f"{name}-{hashlib.sha256(whole).hexdigest()[:DIGEST_CHARS]}"


def messages_in(path: Path) -> Iterator[Outgoing]:
    """One message a line, as files mode reads them; a bare item's ids become attributes.

    Raises LineError for a file that is no JSON Lines, and OSError.
    """
    for number, message in messages_of(path):
        attributes = dict(message.attributes) or _attributes_of(message.data)
        yield Outgoing(message.data, attributes, f"{path}, line {number}")


def _attributes_of(data: bytes) -> dict[str, str]:
    """The ids in the data, and a key; broken data is published too, for the pipeline to judge."""
    ids = ids_in(data)
    attributes = message_attributes(ids.get("tenant_id", ""), ids.get("item_id", ""), data)
    return {name: text for name, text in attributes.items() if text}


def from_images(
    paths: Iterable[Path], *, tenant_id: str, text: str, own: Mapping[str, Any] = NO_FIELDS
) -> Iterator[Outgoing]:
    """One message an image file; `own` are fields of the sender's own."""
    for path in paths:
        item_id = item_id_of(path)
        fields: dict[str, Any] = {
            "item_id": item_id,
            "tenant_id": tenant_id,
            "text": text,
            "image": base64.b64encode(path.read_bytes()).decode(),
        }
        if own:
            fields["fields"] = own
        data = json.dumps(fields).encode()
        yield Outgoing(data, message_attributes(tenant_id, item_id, data), str(path))


def from_samples(count: int, *, seed: int, environment: Environment) -> Iterator[Outgoing]:
    """Drawn listings; where there is an image bucket, some images go there and are named."""
    samples = list(sample_messages(count, seed=seed, bucket=environment.image_bucket))
    if environment.image_bucket:
        upload(environment, samples)
    return (Outgoing(sample.data, dict(sample.attributes)) for sample in samples)


def upload(environment: Environment, samples: Iterable[SampleMessage]) -> None:
    """Bring the images that messages refer to into the environment's image bucket."""
    from google.cloud import storage  # most messages refer to none

    with storage.Client(project=environment.project) as client:
        bucket = client.bucket(environment.image_bucket)
        for sample in samples:
            for name, image in sample.uploads.items():
                bucket.blob(name).upload_from_string(image, content_type="image/jpeg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--file", type=Path, help="JSON Lines file, a message a line")
    source.add_argument(
        "--images",
        type=Path,
        nargs="+",
        help="image files, an item each; its id is the file's name and a digest of its path",
    )
    source.add_argument("--samples", type=int, metavar="N", help="drawn listings, some broken")
    parser.add_argument("--text", default="", help="with --images: the items' text")
    parser.add_argument(
        "--fields", default="{}", metavar="JSON", help="with --images: the items' own fields"
    )
    parser.add_argument(
        "--tenant", metavar="TENANT_ID", default="me", help="with --images (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="with --samples (%(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 is at once")
    add_data_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    if arguments.samples is None:
        with google_errors("The file system"):
            source = _source(arguments)
            check(source())
        environment = data_environment_of(arguments)
        messages = source()
    else:
        environment = data_environment_of(arguments)
        messages = from_samples(arguments.samples, seed=arguments.seed, environment=environment)
    with google_errors("Pub/Sub"), tracked(messages, "Publishing") as shown:
        count = publish(environment.topic_path, shown, rate=arguments.rate)
    print(f"{count} messages published to {environment.topic_path}")
    return 0


def _source(arguments: argparse.Namespace) -> Callable[[], Iterator[Outgoing]]:
    """What makes the messages of files, each time anew: they are too many to keep.

    Raises CommandError with everything that is wrong with the flags.
    """
    given = arguments.images or [arguments.file]
    problems = [f"no such file: {path}" for path in given if not path.is_file()]
    if not ID.fullmatch(arguments.tenant):
        problems.append(f"--tenant: {arguments.tenant!r} does not match {ID.pattern}")
    own, problem = parse_fields(arguments.fields)
    problems += [f"--fields: {problem}"] * bool(problem)
    if problems:
        raise CommandError("\n".join(problems))
    if arguments.file:
        return partial(messages_in, arguments.file)
    return partial(
        from_images,
        arguments.images,
        tenant_id=arguments.tenant,
        text=arguments.text,
        own=own,
    )


def check(messages: Iterable[Outgoing]) -> None:
    """Raises CommandError naming the sources of messages that Pub/Sub would not take."""
    problems = [
        f"{message.source}: {problem}"
        for message in messages
        for problem in refusals(message.data, message.attributes)
    ]
    if problems:
        more = [f"and {len(problems) - PROBLEMS_SHOWN:,} more"] * (len(problems) > PROBLEMS_SHOWN)
        raise CommandError("\n".join([*problems[:PROBLEMS_SHOWN], *more]) + "; nothing was sent")
