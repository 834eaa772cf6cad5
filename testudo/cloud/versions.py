"""What is to run: a template and the pipeline's own flags, checked before anything is launched."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from beam_pipeline.config import FLAGS
from testudo.cloud.preflight import launch_problems
from testudo.cloud.templates import Template, read_template
from testudo.environment import Environment
from testudo.errors import CommandError


class Version(NamedTuple):
    template: Template
    parameters: Mapping[str, str]


def checked_version(environment: Environment, name: str, settings: Sequence[str]) -> Version:
    """The template of that name with the environment's flags, and `settings` over them.

    Each of these is FLAG=VALUE. Raises CommandError with everything that speaks against
    launching it.
    """
    parameters, problems = dict(environment.pipeline_flags), []
    for setting in settings:
        flag, equals, value = setting.removeprefix("--").partition("=")
        if not equals or flag not in FLAGS:
            problems.append(f"--set: {setting!r} is no FLAG=VALUE with a flag of the pipeline")
        parameters[flag] = value
    if problems:
        raise CommandError("\n".join(problems))
    template = read_template(environment, name)
    if problems := launch_problems(environment, template, parameters):
        raise CommandError("\n".join(problems))
    return Version(template, parameters)
