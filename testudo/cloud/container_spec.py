"""The template itself: an object that names the image, its parameters, and how jobs start.

One a version, and never another under the same version: what was tested in one
environment is what is launched in the next. The graph of its code lies beside it;
an update holds the running job's graph against it.
"""

import json
import re
from importlib import resources
from typing import Any

from models.objects import OBJECTS, join
from testudo.cloud.metadata import metadata
from testudo.environment import Environment
from testudo.errors import CommandError

TEMPLATE, GRAPH = "template.json", "graph.json"
IMAGE = re.compile(r"[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+@sha256:[0-9a-f]{64}")
# Small letters: a version, its dots apart, is a label of its jobs too.
VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def template_path(environment: Environment, version: str) -> str:
    return join(environment.templates, version, TEMPLATE)


def container_spec(environment: Environment, image: str) -> dict[str, Any]:
    """As Dataflow's ContainerSpec has it; a launch may name other values for its own job."""
    defaults: dict[str, Any] = {
        # Workers run the launcher's image: without this they would run Beam's.
        "sdkContainerImage": image,
        "serviceAccountEmail": environment.worker_email,
        "machineType": environment.machine_type,
        "numWorkers": environment.num_workers,
        "maxWorkers": environment.max_num_workers,
        "diskSizeGb": environment.disk_size_gb,
        "enableStreamingEngine": True,
        "stagingLocation": join(environment.root, "staging"),
        "tempLocation": join(environment.root, "temp"),
    }
    if not environment.use_public_ips:
        defaults["ipConfiguration"] = "WORKER_IP_PRIVATE"
    named = {
        "network": environment.network,
        "subnetwork": environment.subnetwork,
        "kmsKeyName": environment.kms_key,
    }
    defaults |= {name: value for name, value in named.items() if value}
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata(),
        "defaultEnvironment": defaults,
    }


def write_spec(environment: Environment, version: str, image: str) -> str:
    """Write the template of a version, and return where it is.

    Writing the same again does nothing. Raises CommandError with all that is wrong,
    or if the version exists and is another.
    """
    problems = []
    if not VERSION.fullmatch(version):
        problems.append(f"--version: {version!r} does not match {VERSION.pattern}")
    if not IMAGE.fullmatch(image):
        problems.append(f"--image: {image!r} is not of the form REPOSITORY@sha256:DIGEST")
    if problems:
        raise CommandError("\n".join(problems))
    path = template_path(environment, version)
    spec = json.dumps(container_spec(environment, image), indent=2).encode() + b"\n"
    try:
        if OBJECTS.read(path) != spec:
            raise CommandError(f"{path} is there and differs: give this one a version of its own")
    except FileNotFoundError:
        graph = resources.files("templates").joinpath(GRAPH).read_bytes()
        OBJECTS.write(join(environment.templates, version, GRAPH), graph)
        OBJECTS.write(path, spec)  # the last: where it is, the version is whole
    return path
