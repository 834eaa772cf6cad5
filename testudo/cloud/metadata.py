"""The template's metadata: what Dataflow asks for and refuses before anything starts.

Made from the pipeline's own flags, so that the two cannot drift apart.
`templates/metadata.json` is a copy to read; `testudo template metadata` writes it.
"""

import dataclasses
import json
from typing import Any

from beam_pipeline.config import FLAGS, GS_PREFIX, Config, Flag

FILE = "templates/metadata.json"
NAME = "Testudo"
DESCRIPTION = (
    "Scores items of image and text from Pub/Sub: one prediction or one dead letter an item, "
    "in BigQuery."
)
MOST_DIGITS = 15
HUNDREDTHS = r"1(\.0{1,15})?|0?\.([1-9]|0[1-9])[0-9]{0,15}"  # 0.01 to 1
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
            _parameter(field, flag)
            for field in dataclasses.fields(Config)
            if not ((flag := FLAGS[field.name]).only_files or flag.only_local)
        ],
    }


def metadata_text() -> str:
    return json.dumps(metadata(), indent=2) + "\n"


def _parameter(field: dataclasses.Field[Any], flag: Flag) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": field.name,
        "label": _label(field.name),
        "helpText": flag.help,
        "isOptional": not flag.needed,
        "regexes": [f"^({_pattern(field, flag)})$"],
        "paramType": flag.kind,
        "groupName": flag.group[0].upper() + flag.group[1:],
    }
    if not flag.needed:
        parameter["defaultValue"] = str(field.default)
    return parameter


def _label(name: str) -> str:
    words = " ".join(UNITS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def _pattern(field: dataclasses.Field[Any], flag: Flag) -> str:
    """What a value looks like: a folder of Cloud Storage where the table says nothing."""
    if flag.least is None:
        return flag.pattern or GS_PREFIX
    if flag.most is not None:
        return HUNDREDTHS
    return whole_pattern(int(flag.least)) if field.type is int else decimal_pattern(flag.least)


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
