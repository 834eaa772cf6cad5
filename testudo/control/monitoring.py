"""The stand-in for Cloud Monitoring's alert policies, channels and dashboards: kept, not evaluated.

Each is read through Google's own message, so that a policy with a field that
there is not, or a value of another type, is refused as Google refuses it.
"""

import itertools
from http import HTTPStatus

from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy

from testudo.control.refusals import Refusals, invalid, missing, parsed, patched
from testudo.control.server import ApiError, Body, Request, Route, route

POLICIES = "/v3/projects/{project}/alertPolicies"
BOARDS = "/v1/projects/{project}/dashboards"


class MonitoringService:
    """Policies and dashboards in memory, by name."""

    def __init__(self, refusals: Refusals) -> None:
        self.policies: dict[str, Body] = {}
        self.boards: dict[str, Body] = {}
        self._refusals = refusals
        self._numbers = itertools.count(1)

    def routes(self) -> list[Route]:
        return [
            route("GET", POLICIES, self._list_policies),
            route("POST", POLICIES, self._create_policy),
            route("PATCH", f"{POLICIES}/{{id}}", self._patch_policy),
            route("GET", "/v3/projects/{project}/notificationChannels", self._list_channels),
            route("GET", BOARDS, self._list_boards),
            route("POST", BOARDS, self._create_board),
            route("PATCH", f"{BOARDS}/{{id}}", self._patch_board),
        ]

    def _list_policies(self, request: Request) -> Body:
        return {"alertPolicies": _of(self.policies, request)}

    def _list_channels(self, request: Request) -> Body:
        return {"notificationChannels": []}

    def _list_boards(self, request: Request) -> Body:
        return {"dashboards": _of(self.boards, request)}

    def _create_policy(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/alertPolicies/{next(self._numbers)}"
        self._refusals.check("monitoring.alertPolicies.create", name)
        return self._keep_policy(name, parsed(request.body, AlertPolicy))

    def _patch_policy(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/alertPolicies/{request.path['id']}"
        self._refusals.check("monitoring.alertPolicies.update", name)
        if name not in self.policies:
            raise missing(name)
        return self._keep_policy(name, patched(self.policies[name], request, AlertPolicy))

    def _keep_policy(self, name: str, policy: Body) -> Body:
        for field in ("displayName", "combiner", "conditions"):
            if not policy.get(field):
                raise invalid(f"Field alert_policy.{field} is required.")
        for number, condition in enumerate(policy["conditions"]):
            condition["name"] = f"{name}/conditions/{number}"
        self.policies[name] = {**policy, "name": name}
        return self.policies[name]

    def _create_board(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/dashboards/{next(self._numbers)}"
        self._refusals.check("monitoring.dashboards.create", name)
        return self._keep_board(name, parsed(request.body, Dashboard))

    def _patch_board(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/dashboards/{request.path['id']}"
        self._refusals.check("monitoring.dashboards.update", name)
        if name not in self.boards:
            raise missing(name)
        board = parsed(request.body, Dashboard)
        if board.get("etag") not in (None, self.boards[name]["etag"]):
            raise ApiError(HTTPStatus.CONFLICT, "ABORTED", "The dashboard was changed meanwhile.")
        return self._keep_board(name, board)

    def _keep_board(self, name: str, board: Body) -> Body:
        if not board.get("displayName"):
            raise invalid("Field dashboard.display_name is required.")
        self.boards[name] = {**board, "name": name, "etag": str(next(self._numbers))}
        return self.boards[name]


def _of(found: dict[str, Body], request: Request) -> list[Body]:
    start = f"projects/{request.path['project']}/"
    return [resource for name, resource in found.items() if name.startswith(start)]
