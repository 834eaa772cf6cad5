"""From an environment and a template to the request that launches a job."""

import json
from collections.abc import Mapping
from typing import Any

from google.cloud.dataflow_v1beta3 import (
    FlexTemplateRuntimeEnvironment,
    LaunchFlexTemplateParameter,
    WorkerIPAddressConfiguration,
)

from testudo.cloud.templates import Template
from testudo.environment import Environment

ENVIRONMENT_LABEL, VERSION_LABEL = "testudo", "testudo-version"
# A running job takes these up without being replaced.
RESIZABLE = ("num_workers", "max_workers")
RESIZABLE_OPTIONS = ("min_num_workers=", "worker_utilization_hint=")


def launch_parameter(
    environment: Environment,
    template: Template,
    parameters: Mapping[str, str],
    *,
    job_name: str,
    update: bool = False,
) -> LaunchFlexTemplateParameter:
    """The request; `parameters` are the pipeline's own flags, without dashes."""
    return LaunchFlexTemplateParameter(
        job_name=job_name,
        container_spec_gcs_path=template.spec,
        parameters=dict(parameters),
        environment=_runtime(environment, template),
        update=update,
    )


def as_dict(parameter: LaunchFlexTemplateParameter) -> dict[str, Any]:
    """The request as plain values, as a deployment record keeps it."""
    text = LaunchFlexTemplateParameter.to_json(
        parameter, always_print_fields_with_no_presence=False, preserving_proto_field_name=True
    )
    return dict(json.loads(text))


def without_size(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a request when a running job could take up the rest as it is."""
    environment = dict(parameter["environment"])
    for name in RESIZABLE:
        environment.pop(name, None)
    environment["additional_pipeline_options"] = [
        option
        for option in environment.get("additional_pipeline_options", ())
        if not option.removeprefix("dataflow_service_options=").startswith(RESIZABLE_OPTIONS)
    ]
    kept = {name: value for name, value in parameter.items() if name not in ("job_name", "update")}
    return {**kept, "environment": environment}


def _runtime(environment: Environment, template: Template) -> FlexTemplateRuntimeEnvironment:
    service = [
        f"min_num_workers={environment.least_workers}",
        f"worker_utilization_hint={environment.utilization_hint}",
    ]
    if environment.accelerator:
        service.append(f"worker_accelerator={environment.accelerator}")
    options = [f"dataflow_service_options={option}" for option in service]
    options.append(f"number_of_worker_harness_threads={environment.threads}")
    options.append(f"resource_hints=min_ram={environment.min_ram_gb}GB")
    experiments = ["no_use_multiple_sdk_containers"] * (environment.processes == "one")
    ip = WorkerIPAddressConfiguration
    return FlexTemplateRuntimeEnvironment(
        num_workers=environment.num_workers,
        max_workers=environment.max_num_workers,
        machine_type=environment.machine_type,
        disk_size_gb=environment.disk_size_gb,
        service_account_email=environment.worker_email,
        network=environment.network,
        subnetwork=environment.subnetwork,
        kms_key_name=environment.kms_key,
        ip_configuration=ip.WORKER_IP_PUBLIC
        if environment.use_public_ips
        else ip.WORKER_IP_PRIVATE,
        enable_streaming_engine=True,
        sdk_container_image=template.image,
        temp_location=f"{environment.root}/temp",
        staging_location=f"{environment.root}/staging",
        additional_experiments=experiments,
        additional_pipeline_options=options,
        additional_user_labels={
            **environment.labels,
            ENVIRONMENT_LABEL: environment.name,
            VERSION_LABEL: template.version.replace(".", "-"),
        },
    )
