"""The servers of the laptop: how each is started, and how it shows that it answers."""

import http.client
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil

from testudo.environment import LOCAL
from testudo.local.tools import Tools
from testudo.proxies import past_proxies

HOST = "127.0.0.1"
PROJECT = LOCAL.project
GCLOUD = "CLOUDSDK_"  # begins the variables by which gcloud and bq take their properties
_ANSWER_TIMEOUT_S = 15.0  # on a machine that is busy with other work
_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_EMULATOR_HEAP_MB = 4096


class Server(NamedTuple):
    """One kind of server.

    `command` makes its command line from its ports and its data folder;
    `ask` sends one real request to the first port and raises OSError or
    RuntimeError while there is no proper answer.
    """

    name: str
    port_count: int
    command: Callable[[list[int], Path], list[str]]
    ask: Callable[[int], None]
    environment: Mapping[str, str]


def engine_server(tools: Tools) -> Server:
    """Prism, which runs one pipeline and ends with it."""
    return Server("prism", 1, lambda ports, _: _prism(tools, ports[0]), ask_prism, {})


def stack_servers(tools: Tools, data: Path) -> list[Server]:
    """What stands for Google's services; `data` is where they keep files."""
    return [
        Server("pubsub", 1, lambda ports, _: _pubsub(tools, ports[0]), ask_pubsub, {}),
        Server(
            "bigquery",
            2,
            lambda ports, folder: _bigquery(tools, ports, folder),
            ask_bigquery,
            {
                "HOME": str(tools.bigquery_home),
                # Where load jobs look for gs:// objects: the storage stand-in's files.
                "GCS_LOCAL_ROOT": str(data / "storage" / ".cloudstorage"),
            },
        ),
        Server(
            "storage", 1, lambda ports, folder: _storage(tools, ports[0], folder), ask_storage, {}
        ),
    ]


def control_plane(environment: Mapping[str, str]) -> Server:
    """What stands for Dataflow and the other control planes.

    It launches templates, which use the rest of the stack: `environment` leads there.
    """
    return Server(
        "control",
        1,
        lambda ports, _: [sys.executable, "-m", "testudo.control", str(ports[0])],
        ask_control,
        {**environment, "PYTHONPATH": str(_PROJECT_ROOT)},
    )


def _prism(tools: Tools, port: int) -> list[str]:
    return [
        str(tools.prism),
        f"--job_port={port}",
        "--serve_http=false",
        "--log_kind=text",
        "--log_level=warn",
    ]


def _pubsub(tools: Tools, port: int) -> list[str]:
    memory_mb = psutil.virtual_memory().total // 2**20
    heap_mb = min(_EMULATOR_HEAP_MB, memory_mb // 4)
    jar = str(tools.emulator_jar)
    # Java's second compiler takes more CPU in the first minutes than it saves.
    java = [str(tools.java), f"-Xmx{heap_mb}m", "-XX:TieredStopAtLevel=1"]
    return [*java, "-jar", jar, f"--host={HOST}", f"--port={port}"]


def _bigquery(tools: Tools, ports: list[int], data: Path) -> list[str]:
    where = [f"--host={HOST}", f"--port={ports[0]}", f"--grpc-port={ports[1]}"]
    return [str(tools.bigquery), *where, f"--project={PROJECT}", f"--data-dir={data}", "serve"]


def _storage(tools: Tools, port: int, data: Path) -> list[str]:
    return [str(tools.storage), "-d", str(data), "start", f"--host={HOST}", f"--port={port}"]


def ask_prism(port: int) -> None:
    """List Prism's jobs, in raw bytes so that Beam need not be imported for it."""
    with grpc.insecure_channel(f"{HOST}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        get_jobs = channel.unary_unary(
            "/org.apache.beam.model.job_management.v1.JobService/GetJobs",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        try:
            get_jobs(b"", timeout=_ANSWER_TIMEOUT_S)
        except grpc.RpcError as error:
            raise ConnectionError(str(error.code())) from error


def ask_pubsub(port: int) -> None:
    """List the topics of the project."""
    _request(port, "GET", f"/v1/projects/{PROJECT}/topics")


def ask_bigquery(port: int) -> None:
    """Run `SELECT 1`."""
    query = {"query": "SELECT 1 AS one", "useLegacySql": False}
    answer = _request(port, "POST", f"/bigquery/v2/projects/{PROJECT}/queries", query)
    if not answer.get("jobComplete"):
        raise RuntimeError(f"the query did not complete: {str(answer)[:200]}")


def ask_storage(port: int) -> None:
    """List the buckets of the project."""
    _request(port, "GET", f"/storage/v1/b?project={PROJECT}")


def ask_control(port: int) -> None:
    """List the Dataflow jobs of the project."""
    _request(port, "GET", f"/v1b3/projects/{PROJECT}/locations/-/jobs")


# By the servers' names.
ASKS: Mapping[str, Callable[[int], None]] = {
    "pubsub": ask_pubsub,
    "bigquery": ask_bigquery,
    "storage": ask_storage,
    "control": ask_control,
}


def _request(port: int, method: str, path: str, body: object = None) -> dict[str, object]:
    """One JSON request, past any proxy of the environment."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_TIMEOUT_S)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"HTTP {response.status}: {text[:200]!r}")
        answer = json.loads(text)
    except (http.client.HTTPException, ValueError) as error:
        raise RuntimeError(str(error)) from error
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def client_environment(
    ports: Mapping[str, Sequence[int]], credentials: Path, token: Path
) -> dict[str, str]:
    """The environment in which Google's clients, gcloud and bq use the stack.

    The keys of `ports` are the servers' names. `token` is a file with an access token, of which
    the stack takes any.
    """
    gcloud = {
        "CORE_PROJECT": PROJECT,
        "AUTH_ACCESS_TOKEN_FILE": str(token),
        "API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{HOST}:{ports['pubsub'][0]}/",
        # As bq takes it: without the path of the API.
        "API_ENDPOINT_OVERRIDES_BIGQUERY": f"http://{HOST}:{ports['bigquery'][0]}",
        "API_ENDPOINT_OVERRIDES_STORAGE": f"http://{HOST}:{ports['storage'][0]}/storage/v1/",
    }
    return {
        "PUBSUB_EMULATOR_HOST": f"{HOST}:{ports['pubsub'][0]}",
        "BIGQUERY_EMULATOR_HOST": f"http://{HOST}:{ports['bigquery'][0]}",
        # Of its Storage API, which speaks gRPC; no client of Google's reads this one.
        "BIGQUERY_STORAGE_EMULATOR_HOST": f"{HOST}:{ports['bigquery'][1]}",
        "STORAGE_EMULATOR_HOST": f"http://{HOST}:{ports['storage'][0]}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "NO_GCE_CHECK": "true",
        **{f"{GCLOUD}{name}": value for name, value in gcloud.items()},
        **past_proxies(os.environ),
    }
