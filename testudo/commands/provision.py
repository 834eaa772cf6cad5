"""`testudo provision`: make in a project what an environment needs, after showing the plan."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testudo.clients import ENDPOINT
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.errors import shown
from testudo.provisioning.gaps import covered
from testudo.provisioning.inventory import inventory
from testudo.provisioning.plan import Providers, apply_plan, lines, make_plan
from testudo.provisioning.providers import providers
from testudo.provisioning.resources import Resource
from testudo.provisioning.terraform import write_terraform

EXAMPLE = "testudo provision staging --dry_run"
VALUE_CHARS = 200
NOT_AS_DESIRED = 1
TO_DO = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code: 0 when all is as desired, 1 when something failed or cannot be changed in "
        "place, 2 for wrong usage, 3 when --dry_run found something to do."
    )
    add_environment_arguments(parser)
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--dry_run", action="store_true", help="show the plan, and change nothing")
    doing.add_argument(
        "--terraform",
        type=Path,
        metavar="FOLDER",
        help="write the same as Terraform files into the folder, and ask no service",
    )


def main(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    resources = inventory(environment)
    if arguments.terraform:
        print(f"Wrote {write_terraform(environment, resources, arguments.terraform)}")
        return 0
    if os.environ.get(ENDPOINT):
        resources = covered(resources)
    with google_errors("Google's services"):
        return _provision(resources, providers(environment.project), dry_run=arguments.dry_run)


def _provision(resources: Sequence[Resource], services: Providers, *, dry_run: bool) -> int:
    steps = make_plan(resources, services)
    print("\n".join(lines(steps, _short)))
    if dry_run:
        failed = {step.resource.title: step.error for step in steps if step.error}
    else:
        failed = apply_plan(steps, services, print)
    for title, error in failed.items():
        print(f"testudo provision: {shown(title)}: {shown(error)}", file=sys.stderr)
    if failed or any(step.stuck for step in steps):
        return NOT_AS_DESIRED
    return TO_DO if dry_run and any(step.writes for step in steps) else 0


def _short(value: Any) -> str:
    """A value of a field in one line: a stored text may hold anything, and be long."""
    if value is None:
        return "nothing"
    text = shown(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}..."
