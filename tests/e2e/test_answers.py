"""Every command answers soon: on a stack that is down, dead or hung, and where proxies are set."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Releases
from streaming import REPOSITORY, eventually

from testudo.cli import COMMANDS, main
from testudo.local.detached import read_state, start_detached, stop_detached
from testudo.local.jobs import LocalJob
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER

ANSWER_ALLOWED_S = 60
TEMPLATE = "--template=v1"
IMAGE = f"--image=registry/testudo@sha256:{'a' * 64}"
# Every command as it is used on the local stack.
ON_THE_STACK = {
    "run": [],
    "publish": ["--samples=1"],
    "query": ["outcomes"],
    "costs": ["local"],
    "access": ["list", "local"],
    "replay": [],
    "provision": ["local"],
    "export": ["--day=2026-11-24", "--to=out"],
    "view": ["--no_browser"],
    "release": ["push", "local"],
    "launch": ["local", TEMPLATE],
    "status": ["local"],
    "update": ["local", TEMPLATE],
    "rollback": ["local"],
    "deploy": ["local", TEMPLATE],
    "drain": ["local"],
    "cancel": ["local", "--lose_in_flight"],
    "logs": ["local"],
    "template": ["build", "local", "--version=v1", IMAGE],
    "smoke": ["local"],
    "doctor": ["local"],
    "local": ["status"],
}
# With the reason why.
ELSEWHERE = {
    "train": "uses no server",
    "try": "uses no server",
    "completion": "uses no server",
    "demo": "starts a stack of its own",
    "loadtest": "starts stacks of its own",
}
NOTHING_LISTENS = "http://127.0.0.1:9"


class Broken(NamedTuple):
    """A home whose stack is not as it should be, and what must be told of it."""

    home: Path
    told: str


@pytest.fixture(scope="module", params=["down", "dead", "hung"])
def broken(
    request: pytest.FixtureRequest, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broken]:
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "down":
        yield Broken(home, "testudo local up")
        return
    name, number = {"dead": ("storage", signal.SIGKILL), "hung": ("bigquery", signal.SIGSTOP)}[
        request.param
    ]
    state = start_detached(home, print, tools=REPOSITORY / DEFAULT_FOLDER)
    (victim,) = [one for one in state.servers if one.name == name]
    os.kill(victim.pid, number)
    eventually(
        lambda: [one for one in getattr(read_state(home), "servers", ()) if one.name == name],
        lambda found: not found[0].alive or found[0].stopped,
    )
    yield Broken(home, name)
    stop_detached(home)


@pytest.fixture
def limited() -> Iterator[None]:
    """What takes longer than a command may fails; handlers of a command end with the test."""

    def too_long(_number: int, _frame: object) -> None:
        pytest.fail(f"no answer in {ANSWER_ALLOWED_S} s")

    numbers = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(ANSWER_ALLOWED_S)
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_each_command_is_tried_or_has_its_reason() -> None:
    """No command is left out, and none stands in both lists."""
    assert sorted([*ON_THE_STACK, *ELSEWHERE]) == sorted(COMMANDS)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("command", ON_THE_STACK)
def test_a_broken_stack_is_told(
    broken: Broken, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that names what is dead or hung, with an exit code that says so."""
    code = main([command, *ON_THE_STACK[command], f"--home={broken.home}"])
    told = capsys.readouterr().err
    assert broken.told in told
    if command == "local":
        assert code in (1, 3)
    else:
        assert (code, told.count("\n")) == (2, 1)


@pytest.fixture
def proxied() -> dict[str, str]:
    """The environment of a shell with proxies that nobody answers, and exceptions of its own."""
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy")
    exceptions = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
    return {
        **os.environ,
        **dict.fromkeys(proxies, NOTHING_LISTENS),
        **dict.fromkeys(exceptions, "intranet"),
    }


@pytest.mark.parametrize("command", ["publish", "query", "status"])
def test_loopback_never_goes_through_a_proxy(
    stack: LocalStack, proxied: dict[str, str], command: str
) -> None:
    """Commands reach the stack whatever proxies the shell names."""
    words = [command, *ON_THE_STACK[command], f"--home={stack.home}"]
    done = subprocess.run(
        [sys.executable, "-m", "testudo.cli", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=proxied,
        timeout=ANSWER_ALLOWED_S,
    )
    assert done.returncode in (0, 3), done.stderr  # 3: no job is active


def test_a_run_never_goes_through_a_proxy(
    stack: LocalStack, releases: Releases, proxied: dict[str, str], tmp_path: Path
) -> None:
    """Nor do its job, its engine and its workers."""
    log = tmp_path / "log"
    flags = [f"--home={stack.home}", f"--local_releases={releases.root}", "--lane=overflow"]
    job = LocalJob(flags, log, variables=proxied)
    try:
        # A worker has come when it has opened this.
        eventually(log.read_text, lambda said: "Data channel established" in said)
    finally:
        job.kill()
