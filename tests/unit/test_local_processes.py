"""One server of the laptop stack: its start, its failures, its end."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import DEADLINE_S, eventually, exit_code, nothing

from testudo.errors import StackError
from testudo.local.family import living
from testudo.local.processes import ServerProcess, free_ports, wait_for_answers
from testudo.local.servers import HOST, PROJECT, Server, client_environment
from testudo.proxies import past_proxies

LOOPBACK = f"{HOST},localhost"
GUARD = Path(__file__).parents[2] / "testudo" / "local" / "guard.py"


def wait_for_words(log: Path, words: bytes) -> bytes:
    """What the log says, once it says these."""

    def read() -> bytes:
        return log.read_bytes() if log.exists() else b""

    return eventually(read, lambda said: words in said)


def web_server(ports: list[int], folder: Path) -> list[str]:
    where = [str(ports[0]), "--bind", HOST, "--directory", str(folder)]
    return [sys.executable, "-m", "http.server", *where]


def program(text: str) -> Callable[[list[int], Path], list[str]]:
    def command(ports: list[int], folder: Path) -> list[str]:
        return [sys.executable, "-c", text]

    return command


def ask(port: int) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().status == http.client.OK


@contextlib.contextmanager
def server(
    tmp_path: Path, command: Callable[[list[int], Path], list[str]], *, keep_data: bool = False
) -> Iterator[ServerProcess]:
    kind = Server("example", 1, command, ask, {})
    process = ServerProcess(kind, tmp_path / "data", tmp_path / "log", keep_data=keep_data)
    try:
        yield process
    finally:
        process.stop()


def wait(process: ServerProcess, allowed_s: float = DEADLINE_S) -> None:
    wait_for_answers([process], allowed_s, time.monotonic, time.sleep)


def test_server_answers_and_leaves_nothing_when_stopped(tmp_path: Path) -> None:
    """A stopped server has no process, no port and no data."""
    with server(tmp_path, web_server) as process:
        process.start()
        wait(process)
        assert process.alive()
        running = psutil.Process(process.pid)
        assert process.open_addresses() == []
        assert (tmp_path / "data").is_dir()
    assert living([running]) == []
    assert not (tmp_path / "data").exists()
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, process.ports[0])) != 0


def test_data_is_kept_when_asked_for(tmp_path: Path) -> None:
    """Files of a server that keeps its data are there after it ended."""
    with server(tmp_path, web_server, keep_data=True) as process:
        process.start()
        (tmp_path / "data" / "file").write_text("kept")
    assert (tmp_path / "data" / "file").read_text() == "kept"


def test_server_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    """The error of a server that ends while it starts shows its name and its log."""
    with server(tmp_path, program("raise SystemExit('no such setting')")) as process:
        process.start()
        with pytest.raises(StackError, match=r"(?s)example.*ended by itself.*no such setting"):
            wait(process)


def test_server_that_does_not_answer_in_time_is_named(tmp_path: Path) -> None:
    """The error of a silent server says how long it had and what was seen of it."""
    silent = program("import signal; print('loading', flush=True); signal.pause()")
    with server(tmp_path, silent) as process:
        process.start()
        wait_for_words(process.log, b"loading")
        with pytest.raises(StackError, match=r"(?s)example.*no answer in 0 s.*refused.*loading"):
            wait(process, allowed_s=0.0)


def test_command_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    """A program that is not there is told at once, by its path."""
    with (
        server(tmp_path, lambda ports, folder: ["/no/such/program"]) as process,
        pytest.raises(StackError, match="/no/such/program cannot be run"),
    ):
        process.start()


def test_taken_port_is_replaced(tmp_path: Path) -> None:
    """A server whose port another program took in between starts again on another one."""
    with contextlib.ExitStack() as taken:

        def late_server(ports: list[int], folder: Path) -> list[str]:
            if not blocked:
                blocked.append(ports[0])
                other = taken.enter_context(socket.socket())
                other.bind((HOST, ports[0]))
                other.listen()
            return web_server(ports, folder)

        blocked: list[int] = []
        with server(tmp_path, late_server) as process:
            process.start()
            # Until the server has failed, the other program would answer for it.
            wait_for_words(process.log, b"already in use")
            wait(process)
            assert process.ports != blocked


def test_taken_port_is_replaced_of_a_server_that_lives_on(tmp_path: Path) -> None:
    """It names the port's error above a long trace, and does nothing from then on."""
    started = []

    def command(ports: list[int], folder: Path) -> list[str]:
        started.append(ports)
        if len(started) > 1:
            return web_server(ports, folder)
        trace = (
            "print('BindException: Address already in use'); print('at a.b.C\\n' * 100, flush=True)"
        )
        return program(f"import signal; {trace}; signal.pause()")(ports, folder)

    with server(tmp_path, command) as process:
        process.start()
        wait(process)
    assert len(started) == 2


def test_environment_of_this_python_does_not_reach_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONPATH, which would break a server's own environment, is not handed on."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    show = program("import os, signal; print('PATH is', os.getenv('PYTHONPATH'), flush=True)")
    with server(tmp_path, show) as process:
        process.start()
        wait_for_words(process.log, b"PATH is None")


def test_free_ports_differ() -> None:
    """Ports asked for together are never the same one twice."""
    assert len(set(free_ports(20))) == 20


STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
below = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(below.pid, flush=True)
signal.pause()
"""


@contextlib.contextmanager
def guard(log: Path, remove: Path, text: str) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(
        [sys.executable, "-I", str(GUARD), str(log), str(remove), sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield process


@pytest.mark.slow
def test_guard_ends_what_ignores_sigterm_and_what_it_started(tmp_path: Path) -> None:
    """At the end of its input the guard ends the server's whole group and deletes the folder."""
    log, folder = tmp_path / "log", tmp_path / "data"
    folder.mkdir()
    with guard(log, folder, STUBBORN) as process:
        assert process.stdout is not None
        server_pid = int(process.stdout.readline())
        below_pid = int(wait_for_words(log, b"\n"))
        started = [psutil.Process(pid) for pid in (server_pid, below_pid)]
        assert process.stdin is not None
        process.stdin.close()
        assert exit_code(process) == -signal.SIGKILL % 256
    eventually(lambda: living(started), nothing)
    assert not folder.exists()


def test_guard_ends_with_the_code_of_its_server(tmp_path: Path) -> None:
    """A server that ends by itself ends its guard with the same exit code."""
    with guard(tmp_path / "log", tmp_path / "none", "raise SystemExit(7)") as process:
        assert exit_code(process) == 7


@pytest.mark.slow
def test_server_whose_guard_is_killed_ends_when_it_is_stopped(tmp_path: Path) -> None:
    """Without its guard a server is nobody's; what started it ends it all the same."""
    with server(tmp_path, web_server) as process:
        process.start()
        wait(process)
        psutil.Process(process.pid).parent().kill()
        eventually(process.alive, nothing)
    eventually(lambda: listens(process.ports[0]), nothing)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize(
    ("given", "of_all", "of_grpc"),
    [
        ({}, LOOPBACK, LOOPBACK),
        ({"no_proxy": "a, b"}, f"a,b,{LOOPBACK}", f"a,b,{LOOPBACK}"),
        ({"NO_PROXY": "a"}, f"a,{LOOPBACK}", f"a,{LOOPBACK}"),
        ({"no_proxy": "a", "no_grpc_proxy": "b"}, f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"no_proxy": "*"}, "*", f"*,{LOOPBACK}"),
    ],
)
def test_loopback_is_an_exception_to_every_proxy(
    given: dict[str, str], of_all: str, of_grpc: str
) -> None:
    """Whichever variables a client reads, and however often they are made; others stay."""
    made = past_proxies(given)
    assert made == {"no_proxy": of_all, "NO_PROXY": of_all, "no_grpc_proxy": of_grpc}
    assert past_proxies(made) == made


def test_proxies_are_passed_by_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients go past proxies to this machine; the exceptions that the user has stay."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intranet")
    ports = {"pubsub": [1], "bigquery": [2, 5], "storage": [3], "prism": [4]}
    environment = client_environment(ports, Path("/credentials.json"), Path("/token"))
    assert environment["NO_PROXY"] == f"intranet,{HOST},localhost"
    assert environment["PUBSUB_EMULATOR_HOST"] == f"{HOST}:1"
    assert environment["BIGQUERY_EMULATOR_HOST"] == f"http://{HOST}:2"
    assert environment["BIGQUERY_STORAGE_EMULATOR_HOST"] == f"{HOST}:5"
    assert environment["STORAGE_EMULATOR_HOST"] == f"http://{HOST}:3"


@pytest.mark.parametrize(
    ("service", "endpoint"), [("PUBSUB", ":1/"), ("BIGQUERY", ":2"), ("STORAGE", ":3/storage/v1/")]
)
def test_gcloud_and_bq_are_led_too(service: str, endpoint: str) -> None:
    """By their properties, with a token that opens nothing in place of an account."""
    ports = {"pubsub": [1], "bigquery": [2, 5], "storage": [3], "prism": [4]}
    environment = client_environment(ports, Path("/credentials.json"), Path("/token"))
    override = environment[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"]
    assert override == f"http://{HOST}{endpoint}"
    assert environment["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"] == "/token"  # noqa: S105 - a path
    assert environment["CLOUDSDK_CORE_PROJECT"] == PROJECT
