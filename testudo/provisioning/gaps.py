"""What the local stack's stand-ins cannot show: found by trying, listed in docs/cloud.md."""

from collections.abc import Sequence
from typing import Any

from testudo.provisioning.resources import DAY_S, Kind, Resource

EMULATED_RETENTION_DAYS = 7  # Pub/Sub itself keeps messages for up to 31


def covered(resources: Sequence[Resource]) -> list[Resource]:
    """The resources as far as the stand-ins keep them."""
    return [each._replace(fields=_kept(each.kind, dict(each.fields))) for each in resources]


def _kept(kind: Kind, fields: dict[str, Any]) -> dict[str, Any]:
    if kind is Kind.BUCKET:
        del fields["location"]  # every bucket is in the US there
    if kind in (Kind.TOPIC, Kind.SUBSCRIPTION):
        del fields["labels"]  # the emulator cannot change them
    if kind is Kind.TOPIC:
        fields.pop("messageRetentionDuration", None)  # it keeps none for a topic
    if kind is Kind.SUBSCRIPTION:
        desired_s = int(fields["messageRetentionDuration"].removesuffix("s"))
        fields["messageRetentionDuration"] = f"{min(desired_s, EMULATED_RETENTION_DAYS * DAY_S)}s"
    return fields
