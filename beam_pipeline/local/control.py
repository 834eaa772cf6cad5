"""The process of the control-plane stand-in: all of its services on one loopback port.

python -m beam_pipeline.local.control PORT
"""

import sys

from beam_pipeline.local.control_dataflow import DataflowService
from beam_pipeline.local.control_launcher import Launcher
from beam_pipeline.local.control_resources import ResourceServices
from beam_pipeline.local.control_server import ControlServer
from beam_pipeline.local.servers import HOST


def control_server(port: int) -> ControlServer:
    """The server with every service, on a port of this machine only."""
    server = ControlServer((HOST, port))
    launcher = Launcher(server.endpoint, server.lock)
    server.routes = [*DataflowService(launcher).routes(), *ResourceServices().routes()]
    return server


def main(port: int) -> int:
    with control_server(port) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
