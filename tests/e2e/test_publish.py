"""`testudo publish` on the emulator, and a shell that still leads there."""

import base64
import json
from pathlib import Path

import pytest
from google.cloud import pubsub_v1

from testudo.cli import main
from testudo.local.resources import create_topic_and_subscription
from testudo.local.stack import LocalStack

NAMES = ("topic", "data", "self", "timeout", "retry", "ordering_key")


def test_attributes_of_any_name_arrive(stack: LocalStack, tmp_path: Path) -> None:
    """Each as the attribute that it is, beside the data."""
    _, subscription = create_topic_and_subscription(stack.project, "odd-names", "odd-names-sub")
    path = tmp_path / "items.jsonl"
    data = base64.b64encode(b"{}").decode()
    messages = [{"data": data, "attributes": {name: "30"}} for name in NAMES]
    path.write_text("\n\n".join(map(json.dumps, messages)))
    words = ["publish", f"--project={stack.project}", "--topic=odd-names", f"--file={path}"]
    assert main(words) == 0
    with pubsub_v1.SubscriberClient() as client:
        received = client.pull(subscription=subscription, max_messages=20).received_messages
    assert sorted(tuple(one.message.attributes.items()) for one in received) == sorted(
        ((name, "30"),) for name in NAMES
    )
    assert {one.message.data for one in received} == {b"{}"}


def test_a_shell_of_a_stack_stops_what_means_a_cloud(
    stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the very variables that `testudo local env` prints."""
    path = tmp_path / "environments.toml"
    path.write_text('[production]\nproject = "my-project"\n')
    for words in (
        ["provision", "production", f"--environments={path}"],
        ["publish", "--project=my-project", "--samples=1"],
    ):
        assert main(words) == 2
        (told,) = capsys.readouterr().err.splitlines()
        for name in ("PUBSUB_EMULATOR_HOST", "TESTUDO_CONTROL_ENDPOINT"):
            assert f"{name}={stack.environment[name]}" in told
        assert "GOOGLE_APPLICATION_CREDENTIALS=" in told
