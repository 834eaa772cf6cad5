"""What is checked before anything is launched: parameters, resources, permissions, quotas."""

import re
from collections.abc import Callable, Mapping

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest

from beam_pipeline.config import ConfigError
from testudo.clients import control_client
from testudo.cloud.network import network_problems
from testudo.cloud.templates import Template, parameter_problems
from testudo.environment import Environment
from testudo.rest import call

# What launching and replacing a job takes, and the least role that has it.
PERMISSIONS = {
    "dataflow.jobs.create": "roles/dataflow.developer",
    "dataflow.jobs.get": "roles/dataflow.developer",
    "dataflow.jobs.list": "roles/dataflow.developer",
    "dataflow.jobs.updateContents": "roles/dataflow.developer",
    "dataflow.jobs.cancel": "roles/dataflow.developer",
    "dataflow.messages.list": "roles/dataflow.developer",
}
ACT_AS = "iam.serviceAccounts.actAs"
MACHINE = re.compile(
    r"(?:(?P<family>[a-z][a-z0-9]*)-)?(?:standard|highmem|highcpu|custom)-(?P<cpus>\d+).*"
)
Problems = list[str]


def launch_problems(
    environment: Environment, template: Template, parameters: Mapping[str, str]
) -> Problems:
    """Everything but quotas that speaks against a launch now; empty when nothing does."""
    problems = parameter_problems(template, parameters)
    checks: list[Callable[[], Problems]] = [
        lambda: _flags(parameters),
        lambda: _permissions(environment),
        lambda: _worker_account(environment),
        lambda: network_problems(environment),
    ]
    for find in checks:
        problems += find()
    return list(dict.fromkeys(problems))


def _flags(parameters: Mapping[str, str]) -> Problems:
    """The pipeline's own checks of its flags, and of what they name."""
    from beam_pipeline.checks import check  # with Beam, two seconds to import
    from beam_pipeline.options import config_from

    try:
        config, _ = config_from([f"--{name}={value}" for name, value in parameters.items()])
        check(config)
    except ConfigError as error:
        return error.problems
    return []


def _permissions(environment: Environment) -> Problems:
    from google.cloud.resourcemanager_v3 import ProjectsClient  # a second to import

    resource = f"projects/{environment.project}"
    request = TestIamPermissionsRequest(resource=resource, permissions=list(PERMISSIONS))
    try:
        allowed = control_client(ProjectsClient).test_iam_permissions(request).permissions
    except GoogleAPICallError as error:
        return [f"project {environment.project}: {error.message}"]
    return [
        f"project {environment.project}: this account may not {permission}; give it {role}"
        for permission, role in PERMISSIONS.items()
        if permission not in allowed
    ]


def _worker_account(environment: Environment) -> Problems:
    email = environment.worker_email
    path = f"/v1/projects/{environment.project}/serviceAccounts/{email}:testIamPermissions"
    try:
        allowed = call("iam", "POST", path, body={"permissions": [ACT_AS]}).get("permissions", [])
    except NotFound:
        return [
            f"worker_account: there is no {email}; create it with "
            f"`testudo provision {environment.name}`"
        ]
    except GoogleAPICallError as error:
        return [f"worker_account: {email}: {error.message}"]
    role = "roles/iam.serviceAccountUser"
    return (
        []
        if ACT_AS in allowed
        else [f"worker_account: this account may not act as {email}; give it {role} on it"]
    )


def needed_quotas(environment: Environment) -> dict[str, float]:
    """What the largest fleet takes of the region's quotas, by Compute Engine's name for each."""
    needed = {"DISKS_TOTAL_GB": float(environment.max_num_workers * environment.disk_size_gb)}
    machine = MACHINE.fullmatch(environment.machine_type)
    if machine:
        family = (machine["family"] or "n1").upper()
        metric = "CPUS" if family in ("N1", "E2") else f"{family}_CPUS"
        needed[metric] = float(environment.max_num_workers * int(machine["cpus"]))
    if environment.use_public_ips:
        needed["IN_USE_ADDRESSES"] = float(environment.max_num_workers)
    return needed


def quota_problems(environment: Environment) -> Problems:
    """What the region has too little left of for the largest fleet beside what runs there."""
    from google.cloud.compute_v1 import RegionsClient  # three seconds to import

    try:
        region = control_client(RegionsClient).get(
            project=environment.project, region=environment.region
        )
    except NotFound:
        return [f"region: {environment.project} has no region {environment.region}"]
    except GoogleAPICallError as error:
        return [f"quotas of {environment.region} cannot be read: {error.message}"]
    left = {quota.metric: quota.limit - quota.usage for quota in region.quotas}
    return [
        f"max_num_workers: {environment.max_num_workers} workers of {environment.machine_type} "
        f"take {needed:.0f} of the quota {metric} in {environment.region}, which has "
        f"{left[metric]:.0f} left; ask for more, or allow fewer workers"
        for metric, needed in needed_quotas(environment).items()
        if metric in left and left[metric] < needed
    ]
