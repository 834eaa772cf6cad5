"""Topics and subscriptions, through Pub/Sub's client (which PUBSUB_EMULATOR_HOST leads)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import pubsub_v1
from google.protobuf.json_format import MessageToDict, ParseDict
from google.pubsub_v1.types import Subscription, Topic

from testudo.provisioning.provider import Provider, fixed, needs_role
from testudo.provisioning.resources import Fields, Resource

ROLE = needs_role("roles/pubsub.admin")
# Empty, and yet to be said: without it Pub/Sub deletes what nobody reads for 31 days.
SAID_EMPTY = "expirationPolicy"


def read_topic(resource: Resource) -> Fields | None:
    with pubsub_v1.PublisherClient() as client:
        try:
            return _fields(client.get_topic(topic=resource.name))
        except NotFound:
            return None


def create_topic(resource: Resource) -> None:
    with pubsub_v1.PublisherClient() as client:
        client.create_topic(request=_message(Topic, resource))


def change_topic(resource: Resource, fields: Sequence[str]) -> None:
    with pubsub_v1.PublisherClient() as client:
        client.update_topic(
            request={"topic": _message(Topic, resource), "update_mask": _mask(fields)}
        )


def read_subscription(resource: Resource) -> Fields | None:
    with pubsub_v1.SubscriberClient() as client:
        try:
            return _fields(client.get_subscription(subscription=resource.name))
        except NotFound:
            return None


def create_subscription(resource: Resource) -> None:
    with pubsub_v1.SubscriberClient() as client:
        client.create_subscription(request=_message(Subscription, resource))


def change_subscription(resource: Resource, fields: Sequence[str]) -> None:
    with pubsub_v1.SubscriberClient() as client:
        client.update_subscription(
            request={"subscription": _message(Subscription, resource), "update_mask": _mask(fields)}
        )


def _fields(message: Any) -> Fields:
    found: Mapping[str, Any] = MessageToDict(type(message).pb(message))
    return found


def _message(kind: Any, resource: Resource) -> Any:
    said = {name: value for name, value in resource.fields.items() if value or name == SAID_EMPTY}
    return kind.wrap(ParseDict({"name": resource.name, **said}, kind.pb()()))


def _mask(fields: Sequence[str]) -> dict[str, list[str]]:
    return {"paths": [re.sub("([A-Z])", r"_\1", field).lower() for field in fields]}


TOPICS = Provider(read_topic, create_topic, change_topic, ROLE)
SUBSCRIPTIONS = Provider(
    read_subscription,
    create_subscription,
    change_subscription,
    ROLE,
    fixed(
        {
            "topic": "a subscription stays with its topic: name another subscription",
            "enableMessageOrdering": "it is set when a subscription is made: name another one",
        }
    ),
)
