"""One line of a manifest: what is wrong with its fields, each with its kind."""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.features import normalise_text
from models.training.manifest_problems import shown

FIELDS = ("item_id", "image", "text", "labels")
# What the fields are called in messages and by other tools.
OTHER_NAMES = {
    "id": "item_id",
    "image_uri": "image",
    "imageGcsUri": "image",
    "img": "image",
    "photo": "image",
    "picture": "image",
    "body": "text",
    "caption": "text",
    "description": "text",
    "title": "text",
    "category": "labels",
    "class": "labels",
}
A_PATH = "the path of a file on this machine is wanted"
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes a file name
MAX_NUMBER = 1e30  # beyond it a model's float32 ends
RANGE = f"from {-MAX_NUMBER:g} to {MAX_NUMBER:g}"
MAX_DIGITS = 40  # shown of a number
BASE64 = re.compile(r"(data:.*|[A-Za-z0-9+/=\s]{200,})", re.DOTALL)


def problems_of(fields: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with one line, each with its kind."""
    for name in [one for one in fields if one not in FIELDS]:
        text = f"unknown field {shown(name)!r}; {_meant(name, fields)}"
        yield text, text
    wrong = [name for name in FIELDS[:3] if not isinstance(fields.get(name) or "", str)]
    for name in wrong:
        value = fields[name]
        fix = "" if isinstance(value, list | dict) else f': write "{json.dumps(value)}"'
        yield f"{name} is not a string{fix}", f"{name} is not a string"
    if "item_id" not in wrong:
        yield from _problems_of_text("item_id", fields.get("item_id") or "")
        if not fields.get("item_id"):
            yield "no item_id", "no item_id"
    if not wrong and not fields.get("image") and not normalise_text(fields.get("text") or ""):
        yield "neither image nor text", "neither image nor text"
    if "image" not in wrong and fields.get("image"):
        yield from _problems_of_image(fields["image"], folder)
    yield from _problems_of_labels(fields.get("labels"))


def _meant(name: str, fields: Mapping[str, Any]) -> str:
    missing = [one for one in FIELDS if one not in fields]
    close = difflib.get_close_matches(name.lower(), missing, n=1)
    close += difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.8)
    other = OTHER_NAMES.get(name)
    if not close and other not in missing:
        return f"a manifest has {', '.join(FIELDS)}"
    meant = close[0] if close else other
    needs = f" ({A_PATH})" if meant == "image" else ""
    return f"did you mean {meant!r}?{needs}"


def _problems_of_text(what: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        text.encode()
    except UnicodeEncodeError:
        kind = f"{what} holds half a character (a lone surrogate)"
        yield f"{kind}: {shown(text)}", kind


def _problems_of_image(image: str, folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / image
    if os.path.isfile(path):
        return
    if "://" in image:
        kind = f"a URI: {A_PATH}"
    elif BASE64.fullmatch(image):
        kind = f"the picture itself: {A_PATH}"
    elif os.path.isdir(path):
        kind = f"a folder: {A_PATH}"
    elif "\\" in image:
        kind = "no such file: paths are written with /"
    elif meant := _other_case(path):
        yield f"image {shown(image)}: no such file, but {meant} is there", "image in another case"
        return
    else:
        kind = "no such file"
    yield f"image {shown(image)}: {kind}", f"image {kind}"


def _other_case(path: Path) -> str:
    """The name of a file beside that differs in case alone, or ""."""
    return _names_in(path.parent).get(path.name.casefold(), "")


@lru_cache(maxsize=16)
def _names_in(folder: Path) -> dict[str, str]:
    try:
        return {name.casefold(): name for name in os.listdir(folder)}
    except (OSError, ValueError):
        return {}


def _problems_of_labels(labels: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(labels, dict) or all(one is None for one in labels.values()):
        text = 'labels is not an object with at least one label, such as {"kind": "mug"}'
        yield text, text
        return
    for name, value in labels.items():
        if not LABEL_NAME.fullmatch(name):
            text = f"label name {shown(name)!r} is not letters, digits, - and _ (64 at most)"
            yield text, text
        elif value is not None:
            yield from _problems_of_label(f"label {name!r}", value)


def _problems_of_label(what: str, value: Any) -> Iterator[tuple[str, str]]:
    """Of a text, a list of texts or a number, each of which is another kind of scorer."""
    if isinstance(value, bool):
        kind = f"{what} is no text"
        yield f'{kind}: write "{json.dumps(value)}", not {json.dumps(value)}', kind
    elif isinstance(value, int | float):
        if not abs(value) <= MAX_NUMBER:  # which is also false of nan
            kind = f"{what} is not a number that can be learnt, {RANGE}"
            yield f"{kind}: {shown(str(value)[:MAX_DIGITS])}", kind
    elif isinstance(value, list):
        if not all(isinstance(one, str) and one for one in value):
            text = f"{what} is a list with something that is no text"
            yield text, text
            return
        for one in value:
            yield from _problems_of_text(what, one)
        if len(set(value)) < len(value):
            twice = next(one for one in value if value.count(one) > 1)
            yield f"{what} has {shown(twice)!r} twice", f"{what} has a label twice"
    elif not isinstance(value, str) or not value:
        text = f"{what} is not a text, a list of texts or a number"
        yield text, text
    else:
        yield from _problems_of_text(what, value)
