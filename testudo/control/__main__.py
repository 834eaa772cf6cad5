"""The process of the control-plane stand-in: all of its services on one loopback port.

python -m testudo.control PORT
"""

import sys

from testudo.control.dataflow import DataflowService
from testudo.control.faults import Faults
from testudo.control.launcher import Launcher
from testudo.control.resources import ResourceServices
from testudo.control.server import ControlServer
from testudo.local.servers import HOST


def control_server(port: int) -> ControlServer:
    """The server with every service, on a port of this machine only."""
    server = ControlServer((HOST, port))
    launcher = Launcher(server.endpoint, server.lock)
    faults = Faults()
    server.before = faults.meet
    server.routes = [
        *DataflowService(launcher).routes(),
        *ResourceServices().routes(),
        *faults.routes(),
    ]
    return server


def main(port: int) -> int:
    with control_server(port) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
