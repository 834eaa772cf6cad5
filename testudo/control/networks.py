"""The stand-in for Compute Engine's subnetworks: read, changed and made, of any project.

Each project has the network `default` with a subnetwork `default` in every region. Here that
has Private Google Access; in a project of Google Cloud it has not until somebody sets it.
"""

import ipaddress
import re
from typing import Any

from testudo.control.refusals import Refusals, existing, invalid, missing
from testudo.control.server import Body, Request, Route, route

REGION = "/compute/v1/projects/{project}/regions/{region}"
HOST = "https://www.googleapis.com/compute/v1/"
FIELDS = {"name", "network", "ipCidrRange", "privateIpGoogleAccess"}
RUNNING = {"name": "operation-1", "status": "RUNNING"}  # done when it is asked for
DEFAULT_RANGE = "10.132.0.0/20"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class NetworkService:
    """Subnetworks in memory, by their path from `projects/` on; None: it was taken away."""

    def __init__(self, refusals: Refusals) -> None:
        self._subnetworks: dict[str, Body | None] = {}
        self._refusals = refusals

    def routes(self) -> list[Route]:
        one = f"{REGION}/subnetworks/{{name}}"
        return [
            route("GET", one, self._get),
            route("POST", f"{one}/setPrivateIpGoogleAccess", self._set_access),
            route("POST", f"{REGION}/subnetworks", self._create),
            route("GET", f"{REGION}/operations/{{operation}}", self._operation),
            route("PUT", "/testudo/subnetworks", self._put),
        ]

    def _get(self, request: Request) -> Body:
        project, region, name = (request.path[part] for part in ("project", "region", "name"))
        path = f"projects/{project}/regions/{region}/subnetworks/{name}"
        self._refusals.check("compute.subnetworks.get", path)
        found = self._subnetworks.get(path, _default(path) if name == "default" else None)
        if found is None:
            raise missing(f"The resource '{path}'")
        return found

    def _set_access(self, request: Request) -> Body:
        found = self._get(request)
        path = found["selfLink"].removeprefix(HOST)
        self._refusals.check("compute.subnetworks.setPrivateIpGoogleAccess", path)
        access = bool(request.body["privateIpGoogleAccess"])
        self._subnetworks[path] = {**found, "privateIpGoogleAccess": access}
        return RUNNING

    def _create(self, request: Request) -> Body:
        body, project, region = request.body, request.path["project"], request.path["region"]
        path = f"projects/{project}/regions/{region}/subnetworks/{body.get('name', '')}"
        self._refusals.check("compute.subnetworks.create", path)
        if unknown := body.keys() - FIELDS:
            raise invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
        if self._subnetworks.get(path):
            raise existing(f"The resource '{path}'")
        self._subnetworks[path] = _subnetwork(path, {**body, "network": HOST + body["network"]})
        return RUNNING

    def _operation(self, request: Request) -> Body:
        return {"name": request.path["operation"], "status": "DONE"}

    def _put(self, request: Request) -> Body:
        """A test's own: `path`, and `subnetwork` with its fields, or null for none."""
        path, fields = request.body["path"], request.body["subnetwork"]
        self._subnetworks[path] = None if fields is None else _subnetwork(path, fields)
        return {}


def _default(path: str) -> Body:
    return _subnetwork(path, {"privateIpGoogleAccess": True})


def _subnetwork(path: str, fields: dict[str, Any]) -> Body:
    name, project = path.rpartition("/")[2], path.split("/")[1]
    if not NAME.fullmatch(name):
        raise invalid(f"Invalid value for field 'resource.name': '{name}'")
    network = f"{HOST}projects/{project}/global/networks/default"
    made: Body = {"ipCidrRange": DEFAULT_RANGE, "network": network, "privateIpGoogleAccess": False}
    made |= {"name": name, "selfLink": f"{HOST}{path}", **fields}
    ipaddress.ip_network(made["ipCidrRange"])  # ValueError: a test's own mistake
    return made
