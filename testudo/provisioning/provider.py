"""What a plan compares: the desired fields of a resource, and those that its provider reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from testudo.provisioning.resources import Fields, Resource

NO_TIME = "0s"  # a duration that a service may leave out


class Change(NamedTuple):
    """One field that differs; `path` is dotted, `old` None where there is nothing."""

    path: str
    old: Any
    new: Any

    @property
    def field(self) -> str:
        """The field of the resource that it lies in."""
        return self.path.split(".")[0]


def changes_in_place(_change: Change) -> str:
    """Why the change cannot be made on what exists: no reason."""
    return ""


class Provider(NamedTuple):
    """How resources of one kind are read, made and changed; each may raise Google's errors.

    `change` is given the fields of the resource to set. `stuck` says why a
    change cannot be made in place, or nothing. `role` is what who provisions
    needs for all of it.
    """

    read: Callable[[Resource], Fields | None]
    create: Callable[[Resource], None]
    change: Callable[[Resource, Sequence[str]], None]
    role: Callable[[Resource], str]
    stuck: Callable[[Change], str] = changes_in_place


def needs_role(role: str) -> Callable[[Resource], str]:
    """A `role` that is the same for all resources of the kind."""
    return lambda _: role


def fixed(reasons: Mapping[str, str]) -> Callable[[Change], str]:
    """A `stuck` of fields that never change, each with what to do instead."""

    def why(change: Change) -> str:
        return reasons.get(change.field, "")

    return why


def differences(desired: Fields, found: Fields, above: str = "") -> Iterator[Change]:
    """The fields in which what exists is not as desired.

    What a service adds of its own is no difference, nor are labels that others
    set. An empty value says that there shall be none.
    """
    for name, new in desired.items():
        path, old = f"{above}{name}", found.get(name)
        if new and isinstance(new, Mapping) and isinstance(old, Mapping):
            yield from differences(new, old, f"{path}.")
        elif not same(new, old):
            yield Change(path, old, new)


def same(new: Any, old: Any) -> bool:
    if not new or new == NO_TIME:
        return not old or old == NO_TIME
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        return not any(differences(new, old))
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(same, new, old))
    return bool(new == old)


def nothing_to_change(resource: Resource, fields: Sequence[str]) -> None:
    """The `change` of what its name says all of: a plan never has one, so this is a bug."""
    raise NotImplementedError(f"{resource.title}: {', '.join(fields)}")
