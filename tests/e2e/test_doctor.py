"""`testudo doctor` on the local stack, with a pipeline that scores what it publishes."""

import json
from collections.abc import Iterator

import pytest
from control_plane import reset, set_switch
from streaming import Pipeline, wait_for_tables

from models.objects import OBJECTS
from testudo.cli import main
from testudo.cloud.container_spec import write_spec
from testudo.commands.engines import BigQueryEngine
from testudo.environment import LOCAL
from testudo.local.resources import prepare_stack
from testudo.local.stack import LocalStack

VERSION = "doctor-1"
DIGEST = f"sha256:{'3' * 64}"


@pytest.fixture
def image(stack: LocalStack) -> Iterator[None]:
    """A version of the template, and its image in the repository."""
    prepare_stack()
    write_spec(LOCAL, VERSION, f"{LOCAL.image}@{DIGEST}")
    parent = f"projects/{LOCAL.project}/locations/{LOCAL.region}/repositories/{LOCAL.repository}"
    set_switch("images", {f"{parent}/dockerImages/testudo@{DIGEST}": {"imageSizeBytes": "1"}})
    yield
    reset()


def test_a_project_where_all_is_well(
    stack: LocalStack,
    pipeline: Pipeline,
    engine: BigQueryEngine,
    image: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After provisioning, nothing failed; two messages without a key have two outcomes."""
    wait_for_tables(engine)
    local = f"--home={stack.home}"
    assert main(["provision", "local", local]) == 0
    capsys.readouterr()
    sending = ["--send_messages", "--wait_s=240", f"--template={VERSION}", "--format=json"]
    code = main(["doctor", "local", local, *sending])
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)["checks"]}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    of_a_job = dict.fromkeys(("job", "bundles"), "not checked")  # Dataflow computes nothing here
    assert verdicts == {**dict.fromkeys(rows, "ok"), **of_a_job}, rows
    assert code == 0
    assert "both came out" in rows["messages"]["found"]


def test_nothing_is_changed(stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --send_messages there is no object, job or resource more than before."""
    local = f"--home={stack.home}"

    def state() -> tuple[str, dict[str, int]]:
        main(["provision", "local", local, "--dry_run"])
        main(["status", "local", local, "--all"])
        return capsys.readouterr().out, OBJECTS.sizes(LOCAL.root)

    before = state()
    main(["doctor", "local", local])
    capsys.readouterr()
    assert state() == before
