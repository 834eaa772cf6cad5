"""Messages that name an image by URI."""

from collections.abc import Callable
from functools import partial

from loadtest.traffic import poison_files
from loadtest.traffic.poison import (
    POISON,
    Content,
    HostileKind,
    Place,
    Trouble,
    as_json,
    item_fields,
    uri,
)  # fmt: skip
from models.failures import Reason
from rigs.hostile import files

FOREIGN_BUCKET = "somebody-elses-bucket"


def uploaded(make: Callable[[], bytes]) -> Callable[[Place], Content]:
    """An item with this file as an object of the image bucket."""
    return lambda place: Content(
        as_json(item_fields(place, image_uri=f"gs://{place.bucket}/{place.object_name}")),
        {place.object_name: make()},
    )


URIS = (
    HostileKind(
        "uri_wrong_name", "a PNG named .jpg: content counts", None,
        uploaded(partial(poison_files.saved, "PNG")),
    ),
    HostileKind(
        "uri_web_page", "an object that is a web page", Reason.IMAGE_FORMAT_REFUSED,
        uploaded(lambda: poison_files.HTML),
    ),
    HostileKind(
        "uri_empty_object", "an object of 0 bytes", Reason.IMAGE_FORMAT_REFUSED,
        uploaded(lambda: b""),
    ),
    HostileKind(
        "uri_foreign_bucket", "a bucket that is not allowed", Reason.IMAGE_URI_REFUSED,
        uri(f"gs://{FOREIGN_BUCKET}/a.jpg"),
    ),
    POISON["uri_metadata_server"],
    HostileKind(
        "uri_http", "an http:// URI", Reason.SCHEMA_VIOLATION, uri("http://127.0.0.1:8080/a.jpg")
    ),
    HostileKind("uri_file", "a file:// URI", Reason.SCHEMA_VIOLATION, uri("file:///etc/passwd")),
    HostileKind("uri_bucket", "a bucket, no object", Reason.SCHEMA_VIOLATION, uri("gs://{bucket}")),
    HostileKind(
        "uri_user", "a URI with a user and a password", Reason.SCHEMA_VIOLATION,
        uri("gs://user:secret@{bucket}/a.jpg"),
    ),
    HostileKind(
        "uri_path", "a path that climbs out of the bucket: only a name here",
        Reason.IMAGE_NOT_FOUND, uri("gs://{bucket}/../" + FOREIGN_BUCKET + "/a.jpg"),
    ),
    HostileKind(
        "uri_dots", "an object named `..`", Reason.IMAGE_NOT_FOUND, uri("gs://{bucket}/..")
    ),
    HostileKind(
        "uri_query", "a name with a query and a fragment", Reason.IMAGE_NOT_FOUND,
        uri("gs://{bucket}/{name}?alt=json&generation=1#a"),
    ),
    HostileKind(
        "uri_long_name", "a name longer than any object's", Reason.IMAGE_NOT_FOUND,
        uri("gs://{bucket}/" + "\u00e4" * 600),
    ),
    HostileKind(
        "uri_missing", "an object that does not exist", Reason.IMAGE_NOT_FOUND,
        uri("gs://{bucket}/{name}"),
    ),
    HostileKind(
        "uri_forbidden", "an object without permission", Reason.IMAGE_FORBIDDEN,
        uri("gs://{bucket}/{name}"), trouble=Trouble.FORBIDDEN,
    ),
    HostileKind(
        "uri_silent", "an object that never comes", Reason.IMAGE_FETCH_FAILED,
        uri("gs://{bucket}/{name}"), trouble=Trouble.SILENT,
    ),
    HostileKind(
        "uri_huge", "an object of 500 MB", Reason.IMAGE_TOO_LARGE,
        uri("gs://{bucket}/{name}"), trouble=Trouble.HUGE,
    ),
    HostileKind(
        "uri_unpacked", "an object stored in gzip that unpacks to 50 MB", Reason.IMAGE_TOO_LARGE,
        uploaded(files.gzipped), trouble=Trouble.UNPACKED,
    ),
)  # fmt: skip
