"""Templates in the bucket: a folder a version, with the container spec and the graph."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from models.objects import OBJECTS
from testudo.cloud.container_spec import GRAPH, IMAGE, TEMPLATE, VERSION
from testudo.cloud.differences import Graph
from testudo.environment import Environment
from testudo.errors import CommandError


@dataclasses.dataclass(frozen=True)
class Template:
    """One version: where its spec lies, its image by digest, its parameters and its graph."""

    version: str
    spec: str
    image: str
    parameters: Mapping[str, Mapping[str, Any]]  # metadata of each, by name
    graph: Graph


def read_template(environment: Environment, version: str) -> Template:
    """Raises CommandError."""
    if not VERSION.fullmatch(version):
        raise CommandError(f"--template: {version!r} does not match {VERSION.pattern}")
    folder = f"{environment.templates}/{version}"
    try:
        spec = json.loads(OBJECTS.read(f"{folder}/{TEMPLATE}"))
        graph = json.loads(OBJECTS.read(f"{folder}/{GRAPH}"))
        parameters = {parameter["name"]: parameter for parameter in spec["metadata"]["parameters"]}
        image = str(spec["image"])
    except FileNotFoundError as error:
        raise CommandError(
            f"--template: there is no version {version}: {error}; build it with "
            f"`testudo template build {environment.name} --version {version}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"--template: {folder} cannot be used: {error!r}") from error
    if not IMAGE.fullmatch(image):
        raise CommandError(f"--template: {folder}/{TEMPLATE} names its image by no digest: {image}")
    return Template(version, f"{folder}/{TEMPLATE}", image, parameters, graph)


def parameter_problems(template: Template, given: Mapping[str, str]) -> list[str]:
    """What Dataflow would refuse in the parameters, each by its flag."""
    problems = [
        f"--{name}: the template {template.version} has no such parameter"
        for name in given
        if name not in template.parameters
    ]
    for name, known in template.parameters.items():
        if name not in given:
            problems += [] if known.get("isOptional") else [f"--{name}: is missing"]
            continue
        problems += [
            f"--{name}: {given[name]!r} does not match {regex}"
            for regex in known.get("regexes", ())
            if not re.fullmatch(regex, given[name])
        ]
    return problems
