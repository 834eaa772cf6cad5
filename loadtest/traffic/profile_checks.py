"""What can be wrong with a profile's values: all of it, with the place of each."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs

from loadtest.traffic.kinds import BROKEN, POISON

_SUM_ERROR = 1e-6


@cache
def _validator() -> jsonschema_rs.Validator:
    file = resources.files("loadtest.traffic").joinpath("profile.schema.json")
    return jsonschema_rs.validator_for(json.loads(file.read_text(encoding="utf-8")))


def problems_of(values: Mapping[str, Any]) -> list[str]:
    """Those that the schema sees; where it sees none, those that only a sum or a list shows."""
    found = [
        f"{_place(error.instance_path)}: {error.message}"
        for error in _validator().iter_errors(values)
    ]
    return found or [*_shares(values), *_faults(values), *_items(values), *_customers(values)]


def _place(path: list[str | int]) -> str:
    """As `mix[2].width_px`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".") or "the file"


def _shares(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("mix", "time_zones"):
        total = sum(part["share"] for part in values.get(name, ()))
        if name in values and abs(total - 1) > _SUM_ERROR:
            yield f"{name}: the shares add up to {total:g}, not 1"
    faulty = sum(values.get(name, {}).get("share", 0) for name in ("broken", "poison"))
    if faulty > 1:
        yield f"broken.share and poison.share: {faulty:g} together, and 1 is the most"
    if "day" in values and not any(values["day"]):
        yield "day: all weights are 0"


def _faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name, known in (("broken", BROKEN), ("poison", POISON)):
        for number, kind in enumerate(values.get(name, {}).get("kinds", ())):
            if kind not in known:
                yield f"{name}.kinds[{number}]: {kind!r} is none of {', '.join(sorted(known))}"


def _items(values: Mapping[str, Any]) -> Iterator[str]:
    for name, times in Counter(value["name"] for value in values["mix"]).items():
        if times > 1:
            yield f"mix: {times} are named {name}"
    for number, value in enumerate(values["mix"]):
        pictured = "width_px" in value
        if pictured != ("height_px" in value):
            yield f"mix[{number}]: width_px and height_px go together"
        if not pictured and ("format" in value or value.get("by_uri")):
            yield f"mix[{number}]: format and by_uri are of pictures, and it has none"
        if not value.get("has_text", True) and ("text_chars" in value or not pictured):
            yield f"mix[{number}]: without a text it needs a picture, and no text_chars"


def _customers(values: Mapping[str, Any]) -> Iterator[str]:
    most = values["customers"]
    for number, wild in enumerate(values.get("wild", ())):
        if wild["tenant"] > most:
            yield f"wild[{number}].tenant: {wild['tenant']}, and there are {most} customers"
    start = values.get("onboarding", {}).get("start_customers", 1)
    if start > most:
        yield f"onboarding.start_customers: {start}, and there are {most} customers"
