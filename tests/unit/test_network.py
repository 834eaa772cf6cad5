"""The workers' subnetwork on the stand-in for Compute Engine: provisioned, and read by a launch."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from control_plane import control_plane, reset, set_switch

from testudo.clients import ENDPOINT
from testudo.cloud.network import network_problems
from testudo.control.server import ControlServer
from testudo.environment import Environment
from testudo.environment_file import environment_from
from testudo.provisioning.plan import Action, Step, apply_plan, make_plan
from testudo.provisioning.providers import providers
from testudo.provisioning.subnetworks import subnetworks
from testudo.rest import call

REGION = "europe-west1"
OWN = f"regions/{REGION}/subnetworks/workers"
HOST_PATH = f"projects/host/{OWN}"
SHARED = f"https://www.googleapis.com/compute/v1/{HOST_PATH}"
RANGE = "10.64.0.0/20"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[ControlServer]:
    with control_plane() as running:
        yield running


@pytest.fixture
def project(server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One that the stand-in knows nothing of; that of the Shared VPC has nothing either."""
    monkeypatch.setenv(ENDPOINT, server.endpoint)
    yield f"network-{next(NUMBERS):04}"
    put(HOST_PATH, None)
    reset()


def put(path: str, fields: dict[str, Any] | None) -> None:
    set_switch("subnetworks", {"path": path, "subnetwork": fields})


def environment(project: str, **values: Any) -> Environment:
    return environment_from("staging", {"project": project, **values}, "this test")


def plan(environment: Environment) -> Step:
    (step,) = make_plan(subnetworks(environment), providers(environment.project))
    return step


def provision(environment: Environment) -> dict[str, str]:
    """What failed; a second plan shows what came of it."""
    return apply_plan([plan(environment)], providers(environment.project), lambda _: None)


def test_access_is_turned_on_where_it_is_off(project: str) -> None:
    """In the default network too: without it no worker without a public address starts."""
    put(f"projects/{project}/regions/{REGION}/subnetworks/default", {})
    desired = environment(project)
    (change,) = plan(desired).changes
    assert (change.path, change.old, change.new) == ("privateIpGoogleAccess", False, True)
    assert provision(desired) == {}
    assert plan(desired).action is Action.KEEP


def test_one_with_a_range_is_made(project: str) -> None:
    """In the network that is named, with access from the start."""
    desired = environment(project, subnetwork=OWN, subnetwork_range=RANGE, network="mine")
    assert plan(desired).action is Action.CREATE
    assert provision(desired) == {}
    made = call("compute", "GET", f"/compute/v1/projects/{project}/{OWN}")
    assert (made["ipCidrRange"], made["privateIpGoogleAccess"]) == (RANGE, True)
    assert made["network"].endswith(f"/projects/{project}/global/networks/mine")
    assert plan(desired).action is Action.KEEP


def test_a_range_or_network_of_another_stays(project: str) -> None:
    """It is said with what to do; without a range in the environment it is its owner's alone."""
    put(f"projects/{project}/{OWN}", {"ipCidrRange": "10.0.0.0/24", "privateIpGoogleAccess": True})
    step = plan(environment(project, subnetwork=OWN, subnetwork_range=RANGE, network="mine"))
    assert step.action is Action.STUCK
    assert [change.path for change, _ in step.stuck] == ["ipCidrRange", "network"]
    assert plan(environment(project, subnetwork=OWN)).action is Action.KEEP


def test_one_that_nobody_described_is_not_made(project: str) -> None:
    """A name may be misspelt: the error says what is missing."""
    (error,) = provision(environment(project, subnetwork=OWN)).values()
    assert "give it a subnetwork_range" in error


def test_a_shared_one_is_changed_by_who_may(project: str) -> None:
    """Else the error names the role and the host project."""
    put(HOST_PATH, {})
    desired = environment(project, subnetwork=SHARED)
    set_switch("refused", {"permissions": ["compute.subnetworks.setPrivateIpGoogleAccess"]})
    (error,) = provision(desired).values()
    assert "who provisions needs roles/compute.networkAdmin on projects/host" in error
    reset()
    assert provision(desired) == {}
    assert plan(desired).action is Action.KEEP


def test_workers_with_public_addresses_need_none(project: str) -> None:
    """The plan leaves their network alone."""
    assert subnetworks(environment(project, use_public_ips=True)) == []


@pytest.mark.parametrize(
    ("subnetwork", "fields", "refused", "said"),
    [
        (OWN, {"privateIpGoogleAccess": True}, False, ""),
        (OWN, {}, False, "has no Private Google Access"),
        (OWN, None, False, "subnetwork: there is no projects/"),
        (OWN, {}, True, "cannot be read"),
        (SHARED, {"privateIpGoogleAccess": True}, False, ""),
        (SHARED, {}, False, "--project=host --region=europe-west1 --enable-private-ip-google-acc"),
        (SHARED, {}, True, ""),
    ],
)
def test_a_launch_reads_it(
    project: str, subnetwork: str, fields: dict[str, Any] | None, refused: bool, said: str
) -> None:
    """Before anything is created; a host project that may not be read stops no launch."""
    path = HOST_PATH if subnetwork == SHARED else f"projects/{project}/{OWN}"
    put(path, fields)
    if refused:
        set_switch("refused", {"permissions": ["compute.subnetworks.get"]})
    problems = network_problems(environment(project, subnetwork=subnetwork))
    assert len(problems) == bool(said)
    assert said in "".join(problems)


def test_workers_with_public_addresses_start_without_access(project: str) -> None:
    """The subnetwork must be there all the same."""
    path = f"projects/{project}/{OWN}"
    put(path, {})
    public = environment(project, subnetwork=OWN, use_public_ips=True)
    assert network_problems(public) == []
    put(path, None)
    assert "there is no" in network_problems(public)[0]
