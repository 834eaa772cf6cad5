"""The check of the workers' network."""

from google.api_core.exceptions import Forbidden, NotFound

from testudo.cloud.network import has_access, read_subnetwork, workers_that_fit
from testudo.doctor.asking import REQUEST_TIMEOUT_S, RETRY_FOR_S
from testudo.doctor.findings import (
    NOT_ENABLED,
    Finding,
    Subject,
    failed,
    not_checked,
    ok,
    warning,
    words,
)
from testudo.environment import Environment
from testudo.subnetworks import Subnetwork, subnetwork_of


def network(subject: Subject) -> Finding:
    """Whether workers start in the subnetwork, and reach Google's services from there."""
    environment = subject.environment
    subnetwork = subnetwork_of(environment)
    try:
        found = read_subnetwork(subnetwork, timeout_s=REQUEST_TIMEOUT_S, retry_for_s=RETRY_FOR_S)
    except NotFound:
        return _absent(environment, subnetwork)
    except Forbidden as error:
        if error.reason == NOT_ENABLED or subnetwork.project == environment.project:
            raise
        return not_checked(
            f"refused: {words(error)}",
            f"The subnetwork is of the host project {subnetwork.project}, which this account may "
            "not read. Workers need Private Google Access there, and Dataflow's own account "
            "roles/compute.networkUser.",
            f"Let somebody of {subnetwork.project} look: gcloud compute networks subnets describe "
            f"{subnetwork.name} --project={subnetwork.project} --region={subnetwork.region}",
        )
    if not environment.use_public_ips and not has_access(found):
        return failed(
            f"{subnetwork.path} has no Private Google Access",
            "Workers and the launcher have no public address, so they reach no service of Google: "
            "the job stays queued, and fails.",
            subnetwork.update_command,
        )
    return _sized(environment, subnetwork, workers_that_fit(found))


def _absent(environment: Environment, subnetwork: Subnetwork) -> Finding:
    return failed(
        f"there is no {subnetwork.path}",
        "Workers have nowhere to start."
        if environment.subnetwork
        else "The project has no default network in this region, and the environment names none.",
        f"gcloud compute networks subnets list --project={subnetwork.project} "
        f"--regions={subnetwork.region}, then name one as `subnetwork` of the environment",
    )


def _sized(environment: Environment, subnetwork: Subnetwork, fit: int) -> Finding:
    most = environment.max_num_workers + 1  # the launcher's machine has an address too
    if fit < most:
        return warning(
            f"{subnetwork.path} has {fit} addresses, {most} machines may want one",
            "Autoscaling ends where addresses do.",
            f"gcloud compute networks subnets expand-ip-range {subnetwork.name} "
            f"--project={subnetwork.project} --region={subnetwork.region} --prefix-length=20",
        )
    if environment.use_public_ips:
        return warning(
            f"{subnetwork.path}, and a public address for each worker",
            "It works without Private Google Access, is paid by the hour, and counts in quotas.",
            "Set use_public_ips = false in the environment, with Private Google Access.",
        )
    return ok(
        f"{subnetwork.path} has Private Google Access and {fit} addresses",
        "Workers start there, and reach Google's services without a public address.",
    )
