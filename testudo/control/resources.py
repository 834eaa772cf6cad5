"""The stand-in for what a project holds: services, accounts, repositories, quotas; and the rest.

`ResourceServices` joins it with policies and monitoring. Everything is in
memory and checked as Google checks it; nothing of it does anything.
"""

import re
from http import HTTPStatus

from google.cloud.iam_admin_v1 import ServiceAccount

from testudo.control.monitoring import MonitoringService
from testudo.control.networks import NetworkService
from testudo.control.policies import PolicyService
from testudo.control.refusals import Refusals, existing, invalid, missing, parsed, patched
from testudo.control.server import ApiError, Body, Request, Route, route

PROJECT = "/v1/projects/{project}"
REPOSITORIES = PROJECT + "/locations/{location}/repositories"
ACCOUNT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
REPOSITORY_FIELDS = {"name", "format", "description", "labels"}
SERVICES_A_PAGE = 2
PROJECT_NUMBER = "123456789012"
# What a new project has, in a region that Testudo may use.
QUOTAS = {"CPUS": 24.0, "N2_CPUS": 24.0, "IN_USE_ADDRESSES": 8.0, "DISKS_TOTAL_GB": 4096.0}


class ProjectService:
    """Services, accounts and repositories by name; quotas of every region alike."""

    def __init__(self, refusals: Refusals) -> None:
        self.enabled: set[str] = set()
        self.accounts: dict[str, Body] = {}
        self.repositories: dict[str, Body] = {}
        self.images: dict[str, Body] = {}
        self.quotas: dict[str, tuple[float, float]] = {
            metric: (limit, 0.0) for metric, limit in QUOTAS.items()
        }
        self._refusals = refusals

    def routes(self) -> list[Route]:
        account, repository = PROJECT + "/serviceAccounts/{email}", REPOSITORIES + "/{id}"
        # An image's name ends in a digest, with a colon.
        image = re.compile(r"/v1/(?P<name>projects/[^:]+/repositories/[^:]+/dockerImages/.+)")
        return [
            route("GET", "/v3/projects/{project}", self._project),
            route("GET", PROJECT + "/services", self._services),
            route("GET", PROJECT + "/services/{service}", self._service),
            route("POST", PROJECT + "/services/{service}:enable", self._enable),
            route("POST", PROJECT + "/serviceAccounts", self._create_account),
            route("GET", account, self._account),
            route("PATCH", account, self._patch_account),
            route("POST", account + ":testIamPermissions", self._test_account),
            route("POST", REPOSITORIES, self._create_repository),
            Route("GET", image, self._image),
            route("PUT", "/testudo/images", self._set_images),
            route("GET", repository, self._repository),
            route("PATCH", repository, self._patch_repository),
            route("GET", "/compute/v1/projects/{project}/regions/{region}", self._region),
            route("PUT", "/testudo/quotas", self._set_quotas),
        ]

    def knows(self, email: str) -> bool:
        return any(account["email"] == email for account in self.accounts.values())

    def _project(self, request: Request) -> Body:
        project = request.path["project"]
        self._refusals.check("resourcemanager.projects.get", project)
        return {"name": f"projects/{PROJECT_NUMBER}", "projectId": project, "state": "ACTIVE"}

    def _services(self, request: Request) -> Body:
        """Those that are enabled, two a page: whoever forgets the next page sees too few."""
        parent = f"projects/{request.path['project']}"
        self._refusals.check("serviceusage.services.list", parent)
        if request.query.get("filter") != "state:ENABLED":
            raise invalid("the stand-in knows the filter state:ENABLED alone")
        names = sorted(name for name in self.enabled if name.startswith(f"{parent}/"))
        start = int(request.query.get("pageToken", 0))
        after = start + SERVICES_A_PAGE
        page = [{"name": name, "state": "ENABLED"} for name in names[start:after]]
        return {"services": page, "nextPageToken": str(after) if after < len(names) else ""}

    def _service(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/services/{request.path['service']}"
        self._refusals.check("serviceusage.services.get", name)
        return {"name": name, "state": "ENABLED" if name in self.enabled else "DISABLED"}

    def _enable(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/services/{request.path['service']}"
        self._refusals.check("serviceusage.services.enable", name)
        self.enabled.add(name)
        return {"name": "operations/noop.DONE_OPERATION", "done": True, "response": {}}

    def _create_account(self, request: Request) -> Body:
        project, account_id = request.path["project"], request.body.get("accountId", "")
        self._refusals.check("iam.serviceAccounts.create", f"projects/{project}")
        if not ACCOUNT_ID.fullmatch(account_id):
            raise invalid("accountId does not match [a-z]([-a-z0-9]*[a-z0-9]), 6 to 30 characters")
        email = f"{account_id}@{project}.iam.gserviceaccount.com"
        name = f"projects/{project}/serviceAccounts/{email}"
        if name in self.accounts:
            raise existing(f"Service account {account_id}")
        account = parsed(request.body.get("serviceAccount", {}), ServiceAccount)
        self.accounts[name] = {**account, "name": name, "email": email, "projectId": project}
        return self.accounts[name]

    def _account(self, request: Request) -> Body:
        name = f"projects/{request.path['project']}/serviceAccounts/{request.path['email']}"
        self._refusals.check("iam.serviceAccounts.get", name)
        if name not in self.accounts:
            raise missing(name)
        return self.accounts[name]

    def _patch_account(self, request: Request) -> Body:
        stored = self._account(request)
        self._refusals.check("iam.serviceAccounts.update", stored["name"])
        self.accounts[stored["name"]] = patched(stored, request, ServiceAccount)
        return self.accounts[stored["name"]]

    def _test_account(self, request: Request) -> Body:
        self._account(request)
        return self._refusals.allowed(request)

    def _create_repository(self, request: Request) -> Body:
        parent = f"projects/{request.path['project']}/locations/{request.path['location']}"
        name = f"{parent}/repositories/{request.query.get('repositoryId', '')}"
        self._refusals.check("artifactregistry.repositories.create", parent)
        if unknown := request.body.keys() - REPOSITORY_FIELDS:
            raise invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}"')
        if name in self.repositories:
            raise existing("the repository")
        self.repositories[name] = {**request.body, "name": name}
        return {"name": f"{parent}/operations/1", "done": True, "response": {"name": name}}

    def _repository(self, request: Request) -> Body:
        parent = f"projects/{request.path['project']}/locations/{request.path['location']}"
        name = f"{parent}/repositories/{request.path['id']}"
        self._refusals.check("artifactregistry.repositories.get", name)
        if name not in self.repositories:
            raise missing(name)
        return self.repositories[name]

    def _image(self, request: Request) -> Body:
        name = request.path["name"]
        self._refusals.check("artifactregistry.dockerimages.get", name)
        if name not in self.images:
            raise missing(name)
        return self.images[name]

    def _set_images(self, request: Request) -> Body:
        """A test's own images, by name: the fields of each."""
        self.images = {name: {**image, "name": name} for name, image in request.body.items()}
        return {}

    def _patch_repository(self, request: Request) -> Body:
        stored = self._repository(request)
        self._refusals.check("artifactregistry.repositories.update", stored["name"])
        for field in request.query.get("updateMask", "").split(","):
            if field == "format":
                raise invalid("format is immutable")
            stored[field] = request.body[field]
        return stored

    def _region(self, request: Request) -> Body:
        self._refusals.check("compute.regions.get", request.path["region"])
        quotas = [
            {"metric": metric, "limit": limit, "usage": usage}
            for metric, (limit, usage) in self.quotas.items()
        ]
        return {"name": request.path["region"], "status": "UP", "quotas": quotas}

    def _set_quotas(self, request: Request) -> Body:
        """A test's own quotas: metric -> {limit, usage}."""
        for metric, value in request.body.items():
            if value["usage"] > value["limit"]:
                message = f"{metric}: more is used than there is"
                raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", message)
            self.quotas[metric] = (value["limit"], value["usage"])
        return {}


class ResourceServices:
    """All that `testudo provision` asks beside Pub/Sub, BigQuery and Cloud Storage."""

    def __init__(self) -> None:
        self.refusals = Refusals()
        self.projects = ProjectService(self.refusals)
        self.networks = NetworkService(self.refusals)
        self.policies = PolicyService(self.refusals, self.projects.knows)
        self.monitoring = MonitoringService(self.refusals)

    def routes(self) -> list[Route]:
        """The policies' come first: their paths end in a verb that others would take for a name."""
        parts = (self.policies, self.refusals, self.networks, self.projects, self.monitoring)
        return [route for part in parts for route in part.routes()]
