"""The table of checks, in the order in which a person reads their findings."""

from testudo.doctor import access, inputs, network, project, stream, versions
from testudo.doctor.findings import Check

PROVISIONER = "the roles of whoever provisions (docs/cloud.md)"
DATAFLOW_VIEWER = "roles/dataflow.viewer"
CREDENTIALS = Check("credentials", project.credentials, "none")
CHECKS = (
    Check("services", project.services, "roles/serviceusage.serviceUsageViewer"),
    Check("quotas", project.quotas, "roles/compute.viewer"),
    Check("permissions", access.permissions, "roles/browser"),
    Check("resources", access.resources, PROVISIONER),
    Check("roles", access.roles, PROVISIONER),
    Check("network", network.network, "roles/compute.viewer"),
    Check("inputs", inputs.inputs, "roles/storage.objectUser on the bucket"),
    Check("image", versions.image, "roles/artifactregistry.reader"),
    Check("launch", versions.launch, "roles/dataflow.developer"),
    Check("job", stream.job, DATAFLOW_VIEWER),
    Check(
        "messages",
        stream.messages,
        "roles/pubsub.publisher on the topic, and roles/bigquery.jobUser",
        stream.messages_allowed_s,
    ),
    Check("bundles", stream.bundles, DATAFLOW_VIEWER),
)
