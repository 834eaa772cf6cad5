"""The engine's workers: threads of this process, asked for at the loopback address alone.

Beam's own runner opens that door on every network address. Who comes in by it
names a server, from which this process then takes code and runs it.
"""

from collections.abc import Callable
from functools import partial

import grpc
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, PortableOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_fn_api_pb2_grpc, beam_runner_api_pb2, endpoints_pb2
from apache_beam.runners.portability.job_server import ExternalJobServer
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PortableRunner
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

from testudo.local.servers import HOST

# As Beam's own: the engine may ask as often as it likes whether the connection is there.
_PINGS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
_STOP_ALLOWED_S = 1.0
_ANSWER_ALLOWED_S = 60.0  # the engine's, which has answered a moment ago


class LocalRunner(PortableRunner):
    """Beam's runner for a job server, with the environment LOOPBACK on the loopback address."""

    def create_job_service(self, options: PipelineOptions) -> JobServiceHandle:
        """Beam's own waits for an engine that never answers as long as for the job.

        Raises grpc.FutureTimeoutError.
        """
        endpoint = options.view_as(PortableOptions).job_endpoint
        engine = ExternalJobServer(endpoint, _ANSWER_ALLOWED_S).start()
        return self.create_job_service_handle(engine, options)

    @staticmethod
    def start_and_replace_loopback_environments(
        pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> list[Callable[[], object]]:
        """Start the workers' server where one is asked for; returns what ends it."""
        ours = [
            environment
            for environment in pipeline.components.environments.values()
            if environment.urn == python_urns.EMBEDDED_PYTHON_LOOPBACK
        ]
        if not ours:
            return []
        server, port = _start_pool(options)
        address = endpoints_pb2.ApiServiceDescriptor(url=f"{HOST}:{port}")
        for env in ours:
            env.urn = common_urns.environments.EXTERNAL.urn
            env.payload = beam_runner_api_pb2.ExternalPayload(endpoint=address).SerializeToString()
        return [partial(server.stop, _STOP_ALLOWED_S)]


def _start_pool(options: PipelineOptions) -> tuple[grpc.Server, int]:
    experiments = options.view_as(DebugOptions).experiments or []
    pool = BeamFnExternalWorkerPoolServicer(
        state_cache_size=sdk_worker_main._get_state_cache_size_bytes(options=options),
        data_buffer_time_limit_ms=sdk_worker_main._get_data_buffer_time_limit_ms(experiments),
    )
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_PINGS)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    return server, port
