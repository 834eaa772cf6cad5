"""The workers of the laptop's engine can be reached from this machine alone."""

import grpc
import psutil
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2

from testudo.local import workers
from testudo.local.workers import LocalRunner


def listening() -> set[tuple[str, int]]:
    return {
        (one.laddr.ip, one.laddr.port)
        for one in psutil.Process().net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }


def pipeline(urn: str) -> beam_runner_api_pb2.Pipeline:
    made = beam_runner_api_pb2.Pipeline()
    made.components.environments["one"].urn = urn
    return made


def test_workers_are_asked_for_at_the_loopback_address() -> None:
    """The engine is told where; nothing else is opened, and the end closes it."""
    before, made = listening(), pipeline(python_urns.EMBEDDED_PYTHON_LOOPBACK)
    (close,) = LocalRunner.start_and_replace_loopback_environments(made, PipelineOptions([]))
    ((address, port),) = listening() - before
    environment = made.components.environments["one"]
    assert address.removeprefix("::ffff:") == "127.0.0.1"
    assert environment.urn == common_urns.environments.EXTERNAL.urn
    payload = beam_runner_api_pb2.ExternalPayload.FromString(environment.payload)
    assert payload.endpoint.url == f"127.0.0.1:{port}"
    close().wait()
    assert listening() == before


def test_an_engine_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the job itself may take."""
    monkeypatch.setattr(workers, "_ANSWER_ALLOWED_S", 0.2)
    options = PipelineOptions(["--job_endpoint=127.0.0.1:1", "--job_server_timeout=31536000"])
    with pytest.raises(grpc.FutureTimeoutError):
        LocalRunner().create_job_service(options)


def test_a_pipeline_with_other_workers_is_left_as_it_is() -> None:
    """A container, say: then no door is opened at all."""
    before, made = listening(), pipeline(common_urns.environments.DOCKER.urn)
    assert LocalRunner.start_and_replace_loopback_environments(made, PipelineOptions([])) == []
    assert made == pipeline(common_urns.environments.DOCKER.urn)
    assert listening() == before
