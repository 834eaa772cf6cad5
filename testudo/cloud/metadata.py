"""The template's metadata: what Dataflow asks for and refuses before anything starts.

Made from the pipeline's own flags, so that the two cannot drift apart.
`templates/metadata.json` is a copy to read; `testudo template metadata` writes it.
"""

import argparse
import json
from typing import Any, NamedTuple

from beam_pipeline.config import BUCKET, GS_PREFIX, LEAST, SUBSCRIPTION, TABLE, TOPIC
from beam_pipeline.options import own_parser, whole_number

FILE = "templates/metadata.json"
NAME = "Testudo"
DESCRIPTION = (
    "Scores items of image and text from Pub/Sub: one prediction or one dead letter an item, "
    "in BigQuery."
)
BATCH_ONLY = {"input_file"}  # the template streams
MOST_DIGITS = 15


SHARE = r"1(\.0{1,15})?|0?\.([1-9]|0[1-9])[0-9]{0,15}"  # 0.01 to 1


class Form(NamedTuple):
    """What a parameter's value looks like, and Google's name for its kind."""

    kind: str
    pattern: str
    required: bool = True


FORMS = {
    "input_subscription": Form("PUBSUB_SUBSCRIPTION", SUBSCRIPTION.pattern),
    "predictions_table": Form("BIGQUERY_TABLE", TABLE.pattern),
    "dead_letters_table": Form("BIGQUERY_TABLE", TABLE.pattern),
    "output": Form("GCS_WRITE_FOLDER", GS_PREFIX.pattern),
    "releases": Form("GCS_READ_FOLDER", GS_PREFIX.pattern),
    "overflow_topic": Form("PUBSUB_TOPIC", f"({TOPIC.pattern})?", required=False),
    "tenant_share": Form("NUMBER", SHARE, required=False),
    "image_buckets": Form("TEXT", rf"({BUCKET.pattern}(,{BUCKET.pattern})*)?", required=False),
}
UNITS = {"s": "(seconds)", "mb": "(MB)", "bytes": "(bytes)"}  # as the console shows them


def metadata() -> dict[str, Any]:
    """As Dataflow's TemplateMetadata has it; parameters in the order of the flags' help."""
    return {
        "name": NAME,
        "description": DESCRIPTION,
        "streaming": True,
        # The join fires on the second half: a half that comes twice would fire it too early.
        "supportsExactlyOnce": True,
        "supportsAtLeastOnce": False,
        "parameters": [
            _parameter(group.title or "", action)
            for group in own_parser()._action_groups
            for action in group._group_actions
            if action.dest not in BATCH_ONLY
        ],
    }


def metadata_text() -> str:
    return json.dumps(metadata(), indent=2) + "\n"


def _parameter(group: str, action: argparse.Action) -> dict[str, Any]:
    form = FORMS.get(action.dest) or _number_form(action)
    parameter: dict[str, Any] = {
        "name": action.dest,
        "label": _label(action.dest),
        "helpText": action.help,
        "isOptional": not form.required,
        "regexes": [f"^({form.pattern})$"],
        "paramType": form.kind,
        "groupName": group[0].upper() + group[1:],
    }
    if action.default is not None:
        parameter["defaultValue"] = str(action.default)
    return parameter


def _label(name: str) -> str:
    words = " ".join(UNITS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def _number_form(action: argparse.Action) -> Form:
    """Raises KeyError for a flag that is neither named in FORMS nor a number with a least value."""
    least = LEAST[action.dest]
    pattern = whole_pattern(int(least)) if action.type is whole_number else decimal_pattern(least)
    return Form("NUMBER", pattern, required=False)


def whole_pattern(least: int) -> str:
    """Whole numbers of `least` or more, of 15 digits at most."""
    digits = str(least)
    longer = f"[1-9][0-9]{{{len(digits)},{MOST_DIGITS - 1}}}"
    ways = [longer, digits]
    for place, digit in enumerate(digits):
        if digit != "9":
            rest = len(digits) - place - 1
            ways.append(f"{digits[:place]}[{int(digit) + 1}-9]" + f"[0-9]{{{rest}}}" * bool(rest))
    return "|".join(ways)


def decimal_pattern(least: float) -> str:
    """Numbers of a tenth or more: no flag of ours has another least value with a fraction."""
    if least != 0.1:  # noqa: PLR2004 - said in the docstring
        raise ValueError(f"there is no pattern for numbers of {least} or more")
    return rf"({whole_pattern(1)})(\.[0-9]{{1,{MOST_DIGITS}}})?|0?\.[1-9][0-9]{{0,{MOST_DIGITS}}}"
