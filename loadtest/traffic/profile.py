"""Profiles: traffic as data, a TOML file each. docs/reference.md explains every field."""

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

import orjson

from loadtest.traffic.demand import Bursts, Demand, Onboarding, TimeZone, Wild
from loadtest.traffic.kinds import BROKEN, POISON, Kind, broken_kind, poison_kind
from loadtest.traffic.profile_checks import problems_of
from testudo.errors import CommandError

SUFFIX = ".toml"


class BadProfile(CommandError):
    """All that is wrong with a profile, a line each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copies:
    """Messages that are published again, by a sender that retries."""

    share: float = 0.0  # of all messages
    after_s: float = 1.0  # the mean of exponentially distributed delays


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faults:
    """Messages that are no good: `share` of those that are no copies, all kinds alike."""

    share: float = 0.0
    kinds: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A kind of good item, and its share of them."""

    kind: Kind
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile(Demand):
    """Who sends how much, and when, and what is in the messages."""

    name: str
    mix: tuple[Part, ...]
    copies: Copies = Copies()
    broken: Faults = Faults()
    poison: Faults = Faults()

    @property
    def kinds(self) -> tuple[tuple[Kind, ...], tuple[float, ...]]:
        """Every kind of message that occurs, and the shares of them, which add up to 1."""
        good = 1 - self.broken.share - self.poison.share
        rows = [(part.kind, part.share * good) for part in self.mix]
        for faults, make in ((self.broken, broken_kind), (self.poison, poison_kind)):
            if faults.share:
                rows += [(make(name), faults.share / len(faults.kinds)) for name in faults.kinds]
        return tuple(kind for kind, _ in rows), tuple(share for _, share in rows)

    def compressed(self, factor: float) -> Self:
        """The same with every length of time divided by `factor`; rates stay as they are."""
        changes: dict[str, Any] = {"day_s": self.day_s / factor}
        changes["copies"] = dataclasses.replace(self.copies, after_s=self.copies.after_s / factor)
        if one := self.bursts:
            changes["bursts"] = dataclasses.replace(one, length_s=one.length_s / factor)
        if many := self.onboarding:
            changes["onboarding"] = dataclasses.replace(many, over_s=many.over_s / factor)
        changes["wild"] = tuple(
            dataclasses.replace(wild, from_s=wild.from_s / factor, length_s=wild.length_s / factor)
            for wild in self.wild
        )
        return dataclasses.replace(self, **changes)


def packaged_profiles() -> dict[str, Traversable]:
    """The files that come with Testudo, by profile."""
    files = resources.files("loadtest.traffic").joinpath("profiles").iterdir()
    return {file.name.removesuffix(SUFFIX): file for file in files if file.name.endswith(SUFFIX)}


def read_profile(name_or_path: str) -> Profile:
    """A packaged profile by its name, or one of your own by its path.

    Raises BadProfile with everything that is wrong with it.
    """
    packaged = packaged_profiles()
    file = packaged.get(name_or_path) or Path(name_or_path)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        # TOML has dates and NaN, JSON Schema has not: they become a string and null.
        values = orjson.loads(orjson.dumps(values))
    except OSError as error:
        names = ", ".join(sorted(packaged))
        raise BadProfile(f"{file}: {error.strerror}; packaged profiles: {names}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise BadProfile(f"{file}: not a TOML file: {error}") from error
    except TypeError as error:
        raise BadProfile(f"{file}: {error}") from error
    if problems := list(problems_of(values)):
        raise BadProfile("\n".join(f"{file}: {problem}" for problem in problems))
    return _profile(file.name.removesuffix(SUFFIX), values)


def _profile(name: str, values: Mapping[str, Any]) -> Profile:
    """From values that have been checked."""
    made: dict[str, Any] = dict(values)
    made["mix"] = tuple(_part(value) for value in values["mix"])
    for key, known in (("broken", BROKEN), ("poison", POISON)):
        made[key] = _faults(values.get(key, {}), known)
    for key, kind in (("bursts", Bursts), ("onboarding", Onboarding), ("copies", Copies)):
        if key in values:
            made[key] = kind(**values[key])
    for key, each in (("time_zones", TimeZone), ("wild", Wild)):
        if key in values:
            made[key] = tuple(each(**value) for value in values[key])
    return Profile(**made, name=name)


def _part(values: Mapping[str, Any]) -> Part:
    """Of a picture whose format is not named it is JPEG."""
    kind = {key: value for key, value in values.items() if key != "share"}
    if kind.get("width_px"):
        kind.setdefault("format", "JPEG")
    return Part(kind=Kind(**kind), share=values["share"])


def _faults(values: Mapping[str, Any], known: tuple[str, ...]) -> Faults:
    """All kinds where none is named."""
    return Faults(share=values.get("share", 0.0), kinds=tuple(values.get("kinds") or known))
