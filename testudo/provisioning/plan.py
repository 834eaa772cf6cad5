"""A plan: each desired resource beside what exists, what to do about it, and the doing.

Everything is read before anything is written, and nothing is ever deleted. A
resource that cannot be read or made does not stop the others, but for those
that stand on it; all errors are reported at the end, each with the role it lacks.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError, Unauthorized

from testudo.provisioning.provider import Change, Provider, differences
from testudo.provisioning.resources import Fields, Kind, Resource

READERS = 8
ERROR_CHARS = 400
NOT_ENABLED = "SERVICE_DISABLED"
LABELS = ("labels", "userLabels")  # of them, those that others set stay
ERRORS = (GoogleAPIError, OSError)  # of one resource; without credentials nothing can be read

Providers = Mapping[Kind, Provider]


class Action(enum.StrEnum):
    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    STUCK = "cannot be changed in place"
    UNREAD = "could not be read"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What is to be done about one resource; `stuck` are changes with the reason against them."""

    resource: Resource
    found: Fields | None = None
    changes: tuple[Change, ...] = ()
    stuck: tuple[tuple[Change, str], ...] = ()
    error: str = ""

    @property
    def action(self) -> Action:
        if self.error:
            return Action.UNREAD
        if self.found is None:
            return Action.CREATE
        if self.changes:
            return Action.CHANGE
        return Action.STUCK if self.stuck else Action.KEEP

    @property
    def writes(self) -> bool:
        return self.action in (Action.CREATE, Action.CHANGE)


def make_plan(resources: Sequence[Resource], providers: Providers) -> list[Step]:
    """Reads everything, eight at a time; the steps are in the order of the resources."""
    with ThreadPoolExecutor(READERS, "read") as threads:
        return list(threads.map(lambda each: make_step(each, providers[each.kind]), resources))


def make_step(resource: Resource, provider: Provider) -> Step:
    """What a service that is not enabled yet would hold is not there."""
    try:
        found = provider.read(resource)
    except ERRORS as error:
        if getattr(error, "reason", None) == NOT_ENABLED and resource.kind is not Kind.SERVICE:
            return Step(resource=resource)
        return Step(resource=resource, error=error_text(error, provider.role(resource)))
    if found is None:
        return Step(resource=resource)
    all_changes = list(differences(resource.fields, found))
    reasons = [(change, provider.stuck(change)) for change in all_changes]
    return Step(
        resource=resource,
        found=found,
        changes=tuple(change for change, why in reasons if not why),
        stuck=tuple((change, why) for change, why in reasons if why),
    )


def apply_plan(
    steps: Sequence[Step], providers: Providers, report: Callable[[str], None]
) -> dict[str, str]:
    """Do the steps in their order. Returns what failed, by the resource's title.

    What stands on a resource that could not be made or read is not tried.
    """
    failed = {step.resource.title: step.error for step in steps if step.error}
    missing = {step.resource.name for step in steps if step.error}
    for step in steps:
        if not step.writes:
            continue
        resource, provider = step.resource, providers[step.resource.kind]
        if under := [needed for needed in resource.needs if needed in missing]:
            failed[resource.title] = f"not tried, because it needs {', '.join(under)}"
            missing.add(resource.name)
            continue
        try:
            _do(step, provider)
        except ERRORS as error:
            failed[resource.title] = error_text(error, provider.role(resource))
            if step.found is None:  # else it is there, if not as desired
                missing.add(resource.name)
        else:
            report(f"{'created' if step.found is None else 'changed'} {resource.title}")
    return failed


def _do(step: Step, provider: Provider) -> None:
    if step.found is None:
        provider.create(step.resource)
        return
    fields = list(dict.fromkeys(change.field for change in step.changes))
    provider.change(_with_labels(step.resource, step.found), fields)


def _with_labels(resource: Resource, found: Fields) -> Resource:
    kept = {
        name: {**found.get(name, {}), **resource.fields[name]}
        for name in LABELS
        if name in resource.fields
    }
    return resource._replace(fields={**resource.fields, **kept})


def error_text(error: Exception, role: str) -> str:
    """What went wrong, in one line, and the role that is missing if that is it."""
    words = error.message if isinstance(error, GoogleAPICallError) else str(error)
    text = f"{type(error).__name__}: {' '.join(str(words).split())}"[:ERROR_CHARS]
    refused = isinstance(error, Forbidden | Unauthorized)
    return f"{text}; who provisions needs {role}" if refused else text


def lines(steps: Sequence[Step], show: Callable[[Any], str]) -> Iterator[str]:
    """The plan as text: all that is not as desired, then the sum."""
    signs = {Action.CREATE: "+", Action.CHANGE: "~", Action.STUCK: "!", Action.UNREAD: "?"}
    for step in steps:
        if step.action is Action.KEEP:
            continue
        yield f"{signs[step.action]} {step.action} {step.resource.title}"
        for change in step.changes:
            yield f"    {change.path}: {show(change.old)} -> {show(change.new)}"
        for change, why in step.stuck:
            differs = f"{change.path}: {show(change.old)} -> {show(change.new)}"
            yield f"    {differs} {Action.STUCK}: {why}"
    count = {action: sum(step.action is action for step in steps) for action in Action}
    yield (
        f"{count[Action.CREATE]} to create, {count[Action.CHANGE]} to change, "
        f"{count[Action.KEEP]} as desired, {sum(bool(step.stuck) for step in steps)} with what "
        f"{Action.STUCK}, {count[Action.UNREAD]} that {Action.UNREAD}"
    )
