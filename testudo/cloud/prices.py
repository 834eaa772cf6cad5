"""List prices, with where each comes from: templates/prices.json, or a file of your own like it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from testudo.errors import CommandError


@dataclass(frozen=True, kw_only=True)
class Prices:
    """US dollars a unit, by the names of the file.

    `region` is the region whose prices these are: the fallback's where the file
    lacks a Dataflow price of the region that was asked for.
    """

    version: str
    region: str
    borrowed: tuple[str, ...]  # names whose price is the fallback region's
    usd: Mapping[str, float]


def read_prices(region: str, path: Path | None = None) -> Prices:
    """Raises CommandError if the file is no list of prices, or a price has no fallback."""
    file = path or resources.files("templates").joinpath("prices.json")
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        fallback, prices = listed["fallback_region"], listed["prices"]
        borrowed = tuple(name for name, price in prices.items() if region not in price["usd"])
        usd = {
            name: float(price["usd"][fallback if name in borrowed else region])
            for name, price in prices.items()
        }
        version = str(listed["version"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(f"{file}: {type(error).__name__}: {error}") from error
    used = fallback if "vcpu_hour" in borrowed else region
    return Prices(version=version, region=used, borrowed=borrowed, usd=usd)
