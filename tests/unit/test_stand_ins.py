"""Commands that mean a cloud, in a shell that leads to stand-ins."""

import argparse
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pubsub_server import serving

from testudo.cli import COMMANDS, main
from testudo.clients import ENDPOINT
from testudo.commands.stand_ins import (
    CREDENTIALS,
    LEADING,
    STAND_INS_FOR,
    led_to_stand_ins,
    refuse_stand_ins,
)
from testudo.errors import CommandError
from testudo.local.servers import PROJECT
from testudo.local.stack import _write_credentials

NOBODY = "127.0.0.1:9"  # nobody answers there
IMAGE = f"europe-docker.pkg.dev/p/r/i@sha256:{'a' * 64}"
# Every command that takes an environment, and what else it needs.
OF_AN_ENVIRONMENT = {
    "provision": ["provision", "staging"],
    "provision_dry": ["provision", "staging", "--dry_run"],
    "release_push": ["release", "push", "staging"],
    "release_use": ["release", "use", "staging", "listings-0123456789ab"],
    "release_show": ["release", "show", "staging"],
    "launch": ["launch", "staging", "--template=1"],
    "status": ["status", "staging"],
    "update": ["update", "staging", "--template=1"],
    "rollback": ["rollback", "staging"],
    "deploy": ["deploy", "staging", "--template=1"],
    "drain": ["drain", "staging"],
    "cancel": ["cancel", "staging", "--lose_in_flight"],
    "logs": ["logs", "staging"],
    "costs": ["costs", "staging"],
    "access": ["access", "list", "staging"],
    "view": ["view", "staging", "--no_browser"],
    "smoke": ["smoke", "staging"],
    "doctor": ["doctor", "staging"],
    "template": ["template", "build", "staging", "--version=1", f"--image={IMAGE}"],
    "loadtest": ["loadtest", "run", "--environment=staging", "--yes", "--duration_s=1"],
}
OF_A_PROJECT = {
    "publish": ["publish", "--samples=1", "--project=my-project"],
    "query": ["query", "outcomes", "--project=my-project"],
    "export": ["export", "--day=2026-11-24", "--to=out", "--project=my-project"],
    "replay": ["replay", "--project=my-project"],
    "run": ["run", "--input_subscription=projects/my-project/subscriptions/items",
            "--predictions_table=my-project:d.p", "--dead_letters_table=my-project:d.l",
            "--output=gs://bucket", "--releases=gs://bucket/releases"],
    "run_dataflow": ["run", "--input_subscription=projects/testudo-local/subscriptions/items",
            "--predictions_table=testudo-local:d.p", "--dead_letters_table=testudo-local:d.l",
            "--output=gs://bucket", "--releases=gs://bucket/releases",
            "--runner=DataflowRunner", "--project=my-project"],
}  # fmt: skip


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A folder with an environment of project my-project, and no variable of a stack."""
    for name in (*LEADING, CREDENTIALS, STAND_INS_FOR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/environments.toml").write_text('[staging]\nproject = "my-project"\n')
    (tmp_path / "templates/Dockerfile").write_text(
        f"ARG PYTHON_BASE=docker.io/library/python:3.13@sha256:{'b' * 64}\n"
    )
    return monkeypatch


@pytest.mark.parametrize("name", [*OF_AN_ENVIRONMENT, *OF_A_PROJECT])
def test_a_command_that_means_a_cloud_says_where_the_shell_leads(
    shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It stops before anything is asked: code 2, and one line with the variables and targets."""
    for one in LEADING:
        shell.setenv(one, NOBODY)
    assert main({**OF_AN_ENVIRONMENT, **OF_A_PROJECT}[name]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert "my-project: not the local stack's project" in told
    assert all(f"{one}={NOBODY}" in told for one in LEADING)


def parsers(name: str) -> Iterator[argparse.ArgumentParser]:
    """The parsers of a command and of its own commands."""
    module = importlib.import_module(COMMANDS[name][0])
    modules = [importlib.import_module(one) for one, _ in getattr(module, "COMMANDS", {}).values()]
    for each in modules or [module]:
        parser = argparse.ArgumentParser()
        each.add_arguments(parser)
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from action.choices.values()


def test_every_command_that_may_mean_a_cloud_is_tried_here() -> None:
    """By its arguments: an environment, or a project."""
    means = {
        name
        for name in COMMANDS
        for parser in parsers(name)
        for action in parser._actions
        if action.dest in ("environment", "project")
    }
    tried = {words[0] for words in (*OF_AN_ENVIRONMENT.values(), *OF_A_PROJECT.values())}
    assert tried - {"run"} == means


@pytest.mark.parametrize("name", LEADING)
def test_one_variable_is_enough(shell: pytest.MonkeyPatch, name: str) -> None:
    """Whichever was left behind."""
    shell.setenv(name, NOBODY)
    with pytest.raises(CommandError, match=f"{name}={NOBODY}; `unset {name}`"):
        refuse_stand_ins("my-project")


def test_the_stacks_credentials_lead_there_too(shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that a stack wrote; a person's own open a cloud."""
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"type": "authorized_user", "client_id": "1.apps"}))
    shell.setenv(CREDENTIALS, str(own))
    refuse_stand_ins("my-project")
    shell.setenv(CREDENTIALS, str(tmp_path / "gone.json"))
    refuse_stand_ins("my-project")
    shell.setenv(CREDENTIALS, str(_write_credentials(tmp_path)))
    with pytest.raises(CommandError, match="GOOGLE_APPLICATION_CREDENTIALS=.*credentials.json"):
        refuse_stand_ins("my-project")


def test_nothing_is_said_where_it_fits(shell: pytest.MonkeyPatch) -> None:
    """The stack's own project on stand-ins; any project in a shell of nobody's."""
    refuse_stand_ins("my-project")
    shell.setenv(ENDPOINT, NOBODY)
    refuse_stand_ins(PROJECT, "")
    assert led_to_stand_ins({ENDPOINT: NOBODY, "NO_PROXY": "x"}) == {ENDPOINT: NOBODY}


def test_who_wants_stand_ins_for_a_project_names_it(shell: pytest.MonkeyPatch) -> None:
    """Each by its name, so that no other is meant by accident."""
    shell.setenv(ENDPOINT, NOBODY)
    shell.setenv(STAND_INS_FOR, "tried-one,tried-two")
    refuse_stand_ins("tried-one", "tried-two")
    with pytest.raises(CommandError, match="^my-project: not"):
        refuse_stand_ins("tried-one", "my-project")


def test_a_dataset_names_a_project_too(
    shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--dataset my-project.testudo`, on stand-ins."""
    shell.setenv("BIGQUERY_EMULATOR_HOST", f"http://{NOBODY}")
    words = ["query", "outcomes", f"--project={PROJECT}", "--dataset=my-project.testudo"]
    assert main(words) == 2
    assert "my-project: not the local stack's project" in capsys.readouterr().err


def test_the_local_stacks_project_is_served(shell: pytest.MonkeyPatch) -> None:
    """`publish` to it goes where the shell leads."""
    with serving() as server:
        shell.setenv("PUBSUB_EMULATOR_HOST", server.address)
        assert main(["publish", f"--project={PROJECT}", "--samples=3"]) == 0
        assert len(server.messages) == 3
