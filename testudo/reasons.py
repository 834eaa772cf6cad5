"""What each reason of a dead letter means, and what to do: for people, in Markdown.

`testudo view` shows it beside the dead letter, and docs/reference.md has it as a table.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from models.failures import Reason

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def in_words(markdown: str) -> str:
    """A sentence of an explanation without its marks."""
    return _LINK.sub(r"\1", markdown).replace("`", "")


class Explanation(NamedTuple):
    stages: str  # where it occurs
    meaning: str
    remedy: str


REASONS: Mapping[Reason, Explanation] = {
    Reason.MESSAGE_TOO_LARGE: Explanation(
        "parse",
        "The message is longer than `--max_message_bytes`.",
        "Send the image by `image_uri`.",
    ),
    Reason.NOT_JSON: Explanation(
        "parse",
        "`data` is not UTF-8 JSON; a lone surrogate counts as that too.",
        "Fix the sender.",
    ),
    Reason.SCHEMA_VIOLATION: Explanation(
        "parse",
        "The JSON breaks the message schema; the detail names the fields, what kind of value "
        "was sent, and what is wanted.",
        "Fix the sender; the schema is `transforms/message.schema.json`.",
    ),
    Reason.IMAGE_NOT_BASE64: Explanation(
        "image",
        "`image` is not strict base64: padded, without line breaks, in one of its two alphabets.",
        "Fix the sender.",
    ),
    Reason.IMAGE_FORMAT_REFUSED: Explanation(
        "image",
        "The bytes are not a JPEG, PNG, WebP or GIF file; the detail names the format where "
        "it is a common one (HEIC, AVIF, TIFF, gzip, empty), else the first bytes.",
        "Convert the image.",
    ),
    Reason.IMAGE_UNREADABLE: Explanation(
        "image",
        "The file is of an accepted format, but broken or cut off. A PNG that begins with "
        "`CgBI` is Xcode's own kind.",
        "Send it again, whole.",
    ),
    Reason.IMAGE_TOO_LARGE: Explanation(
        "image",
        "More bytes than `--max_image_bytes` or more pixels than `--max_image_pixels`, by its "
        "header; width or height, parts or scans beyond [any "
        "image's](#bounds-of-an-items-cost); or more memory than a call may take.",
        "Scale it down, or raise the limit and the workers' memory.",
    ),
    Reason.IMAGE_URI_REFUSED: Explanation(
        "image",
        "`image_uri` names a bucket that `--image_buckets` does not.",
        "Add the bucket, if you trust it.",
    ),
    Reason.IMAGE_NOT_FOUND: Explanation(
        "image",
        "There is no such object, or none can have that name.",
        "Publish after the upload is done; replay.",
    ),
    Reason.IMAGE_FORBIDDEN: Explanation(
        "image",
        "The pipeline's service account may not read it.",
        "Grant `roles/storage.objectViewer` on the bucket; replay.",
    ),
    Reason.IMAGE_FETCH_FAILED: Explanation(
        "image",
        "Cloud Storage did not give it within `--fetch_timeout_s`, tries again included.",
        "Replay.",
    ),
    Reason.TIMED_OUT: Explanation(
        "image, text, score",
        "Decoding this image took longer than `--decode_timeout_s`, or a model's or a "
        "function's call on this item alone longer than `--call_timeout_s`; it was cancelled.",
        "Scale the image down, or fix the model or function; replay.",
    ),
    Reason.CRASHED: Explanation(
        "image, text, score",
        "The item ended the model's process, in its batch and again alone: a crash of a "
        "decoder or model, or the machine's memory.",
        "Look at the payload; fix the model; replay.",
    ),
    Reason.MODEL_FAILED: Explanation(
        "image, text, score",
        "A model raised an error on this item alone: the batch was split until it stood by itself.",
        "The detail names the error and the line that raised it, not its text, which may "
        "repeat the item's; fix the model; replay.",
    ),
    Reason.MODEL_OUTPUT_INVALID: Explanation(
        "image, text, score",
        "A model gave a number that is not finite.",
        "Fix the model; replay.",
    ),
    Reason.FUNCTION_FAILED: Explanation(
        "image, text, score",
        "`prepare_text`, `prepare_image` or `decide` of the release raised an error on this item, "
        "or gave what it must not; the detail names the function, the error and the line.",
        "Fix [the function](models.md#functions), look at it with `testudo try`, train anew; "
        "replay.",
    ),
    Reason.RELEASE_UNAVAILABLE: Explanation(
        "image, text, score",
        "The release that the item was stamped with is missing, damaged, or not loadable; or its "
        "`functions.py` cannot be imported.",
        "Restore it, or point `current.json` at another; replay.",
    ),
    Reason.HALF_MISSING: Explanation(
        "join",
        "One branch gave no answer before the item's window expired. It takes a runner that "
        "loses elements.",
        "Replay, and report it.",
    ),
    Reason.ROW_REJECTED: Explanation(
        "sink",
        "BigQuery refused the row for good; the whole row is under `dead-letters/rejected-rows/`.",
        "Compare table and schema: were columns changed?",
    ),
    Reason.BUG: Explanation(
        "any",
        "The code raised something that it does not know.",
        "Report it: the log has the stack trace, without the item's content.",
    ),
}
