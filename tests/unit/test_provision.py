"""The plan as data: what differs, what is done about it, and what one error stops."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, ServiceUnavailable

from testudo.environment_file import environment_from
from testudo.errors import CommandError
from testudo.provisioning.inventory import inventory
from testudo.provisioning.plan import Action, Providers, apply_plan, lines, make_plan
from testudo.provisioning.policies import has, with_member
from testudo.provisioning.provider import Change, Provider, differences, fixed, needs_role
from testudo.provisioning.resources import EXPIRING, Kind, Resource
from testudo.provisioning.tables import stuck_table

ALICE, BOB = "user:alice@example.com", "user:bob@example.com"


def topic(name: str, *needs: str, **fields: Any) -> Resource:
    return Resource(Kind.TOPIC, name, fields, needs)


class Shelf:
    """A service that holds resources in memory; what is named `locked` may not be touched."""

    def __init__(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        self.found = {name: dict(fields) for name, fields in found.items()}

    def read(self, resource: Resource) -> Mapping[str, Any] | None:
        if resource.name == "unread":
            raise ServiceUnavailable("busy")
        return self.found.get(resource.name)

    def create(self, resource: Resource) -> None:
        if resource.name == "locked":
            raise Forbidden("permission topics.create denied")
        self.found[resource.name] = dict(resource.fields)

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        if resource.name == "frozen":
            raise Forbidden("permission topics.update denied")
        for one in fields:
            self.found[resource.name][one] = resource.fields[one]

    @property
    def providers(self) -> Providers:
        stuck = fixed({"place": "it stays"})
        return {
            Kind.TOPIC: Provider(
                self.read, self.create, self.change, needs_role("roles/shelf.editor"), stuck
            )
        }


@pytest.mark.parametrize(
    ("desired", "found", "changed"),
    [
        ({"a": 1}, {"a": 1, "etag": "x"}, {}),
        ({"a": 1}, {}, {"a": (None, 1)}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c": (3, 2)}),
        ({"labels": {"ours": "1"}}, {"labels": {"ours": "1", "theirs": "2"}}, {}),
        ({"rule": [{"age": 1}]}, {"rule": [{"age": 1, "by": "Google"}]}, {}),
        ({"rule": [1]}, {"rule": [1, 2]}, {"rule": ([1, 2], [1])}),
        ({"off": False, "none": {}}, {}, {}),
        ({"never": {}}, {"never": {"ttl": "31d"}}, {"never": ({"ttl": "31d"}, {})}),
        ({"wait": "0s"}, {}, {}),
        ({"wait": "0s"}, {"wait": "60s"}, {"wait": ("60s", "0s")}),
        ({"off": False}, {"off": True}, {"off": (True, False)}),
    ],
)
def test_a_difference_is_what_is_not_as_wished(
    desired: dict[str, Any], found: dict[str, Any], changed: dict[str, Any]
) -> None:
    """What a service or somebody else adds is none; an empty wish is a wish for nothing."""
    assert {one.path: (one.old, one.new) for one in differences(desired, found)} == changed


def test_the_plan_says_what_to_do_with_each() -> None:
    """Make it, change it, keep it, or why it cannot be changed or read."""
    shelf = Shelf(
        {"old": {"size": 1, "place": "EU"}, "same": {"size": 2}, "moved": {"place": "US"}}
    )
    desired = [
        topic("new", size=1), topic("old", size=2, place="EU"), topic("same", size=2),
        topic("moved", place="EU"), topic("unread"),
    ]  # fmt: skip
    steps = make_plan(desired, shelf.providers)
    assert [one.action for one in steps] == [
        Action.CREATE, Action.CHANGE, Action.KEEP, Action.STUCK, Action.UNREAD,
    ]  # fmt: skip
    assert list(lines(steps, json.dumps)) == [
        "+ create topic new",
        "~ change topic old",
        "    size: 1 -> 2",
        "! cannot be changed in place topic moved",
        '    place: "US" -> "EU" cannot be changed in place: it stays',
        "? could not be read topic unread",
        "1 to create, 1 to change, 1 as desired, 1 with what cannot be changed in place, "
        "1 that could not be read",
    ]


def test_what_is_done_is_as_wished_then() -> None:
    """A second plan has nothing to do; labels of others are still there."""
    shelf = Shelf({"old": {"labels": {"theirs": "1"}, "size": 1}})
    desired = [topic("old", labels={"ours": "2"}, size=2), topic("new", size=3)]
    told: list[str] = []
    assert apply_plan(make_plan(desired, shelf.providers), shelf.providers, told.append) == {}
    assert told == ["changed topic old", "created topic new"]
    assert shelf.found["old"] == {"labels": {"theirs": "1", "ours": "2"}, "size": 2}
    again = make_plan(desired, shelf.providers)
    assert {one.action for one in again} == {Action.KEEP}


def test_an_error_stops_only_what_stands_on_it() -> None:
    """Whatever else is desired is made; each error is told, with the role that is missing."""
    shelf = Shelf({})
    desired = [
        topic("locked"), topic("above", "locked"), topic("top", "above"), topic("alone"),
        topic("unread"), topic("beside", "unread"),
    ]  # fmt: skip
    failed = apply_plan(make_plan(desired, shelf.providers), shelf.providers, print)
    assert set(shelf.found) == {"alone"}
    assert failed == {
        "topic locked": "Forbidden: permission topics.create denied; who provisions needs "
        "roles/shelf.editor",
        "topic above": "not tried, because it needs locked",
        "topic top": "not tried, because it needs above",
        "topic unread": "ServiceUnavailable: busy",
        "topic beside": "not tried, because it needs unread",
    }


def test_what_is_there_and_cannot_be_changed_stops_nothing() -> None:
    """What stands on it has something to stand on."""
    shelf = Shelf({"frozen": {"size": 1}})
    desired = [topic("frozen", size=2), topic("above", "frozen")]
    failed = apply_plan(make_plan(desired, shelf.providers), shelf.providers, print)
    assert set(failed) == {"topic frozen"}
    assert "above" in shelf.found


def column(name: str, kind: str = "STRING", mode: str = "NULLABLE") -> dict[str, str]:
    return {"name": name, "type": kind, "mode": mode}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([column("a")], ""),
        ([column("a", mode="REQUIRED")], ""),
        ([column("a"), column("c")], "c is there and not desired"),
        ([column("a", kind="INTEGER")], "a cannot become NULLABLE STRING"),
        ([column("a", mode="REPEATED")], "a cannot become NULLABLE STRING"),
    ],
)
def test_a_table_only_grows(found: list[dict[str, str]], why: str) -> None:
    """BigQuery adds columns and makes them nullable; all else needs another table."""
    desired = [column("a"), column("b")]
    assert stuck_table(Change("schema.fields", found, desired)) == why


def test_a_role_is_added_and_none_taken_away() -> None:
    """Other members, roles and conditions stay; who has a role on a condition has it not."""
    conditional = {"role": "roles/a", "members": [ALICE], "condition": {"title": "at night"}}
    policy = {"etag": "1", "bindings": [conditional, {"role": "roles/b", "members": [BOB]}]}
    assert not has(policy, "roles/a", ALICE)
    added = with_member(with_member(policy, "roles/a", ALICE), "roles/b", ALICE)
    assert added == {
        "etag": "1",
        "version": 3,
        "bindings": [
            conditional,
            {"role": "roles/b", "members": [BOB, ALICE]},
            {"role": "roles/a", "members": [ALICE]},
        ],
    }
    assert has(added, "roles/a", ALICE)


OVERFLOW_TOPIC = "projects/my-project/topics/items-overflow"


def made(**values: Any) -> list[Resource]:
    values = {"project": "my-project", **values}
    return inventory(environment_from("production", values, "this test"))


def test_each_resource_is_named_once_and_stands_on_earlier_ones() -> None:
    """So that the list can be worked through from its beginning to its end."""
    resources = made(
        delivery_attempts=20,
        image_buckets=["my-project-testudo-images"],
        flags={"overflow_topic": OVERFLOW_TOPIC},
    )
    seen: set[str] = set()
    for one in resources:
        assert one.name not in seen
        assert set(one.needs) - {"projects/my-project"} <= seen, one.title
        seen.add(one.name)


def test_image_buckets_of_others_get_a_role_and_nothing_else() -> None:
    """Only a bucket that is named as the environment's own is made or changed."""
    resources = made(image_buckets=["others", "my-project-testudo-images"])
    buckets = {one.name for one in resources if one.kind is Kind.BUCKET}
    assert buckets == {"my-project-testudo", "my-project-testudo-images"}
    grants = [one.name for one in resources if one.kind is Kind.GRANT and "on others" in one.name]
    assert all(one.startswith("roles/storage.objectViewer") for one in grants)
    assert len(grants) == 2


def test_what_a_running_job_reads_is_never_expired() -> None:
    """The lifecycle deletes payloads, dead letters and temporary objects: no graph, no release."""
    (bucket,) = (one for one in made() if one.kind is Kind.BUCKET)
    deleted = {
        prefix
        for rule in bucket.fields["lifecycle"]["rule"]
        if rule["action"]["type"] == "Delete"
        for prefix in rule["condition"]["matchesPrefix"]
    }
    assert deleted == {*EXPIRING, "temp/"}


def test_dead_lettering_by_pubsub_is_asked_for() -> None:
    """Then its topic has a subscription that keeps what comes, before anything can come."""
    plain, asked = made(), made(delivery_attempts=20)
    assert len(asked) - len(plain) == 5  # topic, subscription, two roles, alert
    named = {one.name: one for one in asked if one.kind is Kind.SUBSCRIPTION}
    keeper, main = named.values()
    assert keeper.fields["topic"] == main.fields["deadLetterPolicy"]["deadLetterTopic"]
    assert keeper.fields["messageRetentionDuration"] == f"{31 * 24 * 3600}s"
    assert keeper.name in main.needs


def test_the_overflow_of_tenants_is_asked_for() -> None:
    """Its topic, a subscription that is read by another job, and what the worker may do there."""
    plain = {one.name for one in made()}
    asked = [one for one in made(flags={"overflow_topic": OVERFLOW_TOPIC}) if one.name not in plain]
    topic, subscription, *roles = asked
    assert (topic.kind, topic.name) == (Kind.TOPIC, OVERFLOW_TOPIC)
    assert subscription.name == "projects/my-project/subscriptions/items-overflow-testudo"
    assert subscription.fields["topic"] == OVERFLOW_TOPIC
    assert {(one.fields["role"], one.fields["on"]) for one in roles} == {
        ("roles/pubsub.publisher", topic.name),
        ("roles/pubsub.viewer", topic.name),
        ("roles/pubsub.subscriber", subscription.name),
        ("roles/pubsub.viewer", subscription.name),
    }


def test_an_overflow_topic_of_another_project_is_left_to_its_owner() -> None:
    """Nothing is made there, and nobody gets a role."""
    others = made(flags={"overflow_topic": "projects/other-project/topics/items-overflow"})
    assert {one.name for one in others} == {one.name for one in made()}


@pytest.mark.parametrize("attempts", [1, 4, 101, -1])
def test_attempts_that_pubsub_does_not_take_are_refused(attempts: int) -> None:
    """Pub/Sub takes 5 to 100; 0 is our word for never."""
    with pytest.raises(CommandError, match="must be 0 or 5 to 100"):
        made(delivery_attempts=attempts)
