"""`testudo template`: the Flex Template's bases, metadata and spec, and its image's steps."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from testudo.cloud.container_spec import write_spec
from testudo.cloud.metadata import FILE as METADATA_FILE
from testudo.cloud.metadata import metadata_text
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.environment import LOCAL
from testudo.errors import CommandError
from testudo.image.dockerfile import FILE, bases, pinned
from testudo.image.registry import by_digest, digest_of
from testudo.image.steps import perform
from testudo.local.home import DEFAULT_HOME

EXAMPLE = "testudo template build staging --version 1.1 --image europe-docker.pkg.dev/p/r/testudo"
VARIANTS = ("cpu", "gpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="template_command", required=True, metavar="COMMAND")
    add = commands.add_parser
    one = add("metadata", help="write templates/metadata.json from the pipeline's flags")
    one.add_argument("--check", action="store_true", help="only compare; exit code 1 if it differs")
    one = add("pin", help="write the digests of the image's bases into templates/Dockerfile")
    one.add_argument("--check", action="store_true", help="only check; exit code 1 if one has none")
    _add_dockerfile(one)
    one = add("build", help="write the template of a version into an environment's bucket")
    add_environment_arguments(one)
    one.add_argument("--version", required=True, help="name of the version; it is written once")
    one.add_argument(
        "--image",
        required=True,
        metavar="IMAGE",
        help="REPOSITORY@sha256:DIGEST, or REPOSITORY:TAG, whose digest is asked for once",
    )
    _add_dockerfile(one)
    one = add("try", help="do the Dockerfile's steps in a folder, without a container engine")
    one.add_argument(
        "--folder", type=Path, default=DEFAULT_HOME / "image", help="is emptied (%(default)s)"
    )
    one.add_argument("--variant", choices=VARIANTS, default="cpu", help="(%(default)s)")
    _add_dockerfile(one)


def _add_dockerfile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dockerfile", type=Path, default=FILE, help="(%(default)s)")


def main(arguments: argparse.Namespace) -> int:
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "metadata": _metadata,
        "pin": _pin,
        "build": _build,
        "try": _try,
    }
    try:
        return run[arguments.template_command](arguments)
    except FileNotFoundError as error:
        raise CommandError(f"{error}; run this in the folder of the repository") from error
    except OSError as error:
        raise CommandError(str(error)) from error


def _metadata(arguments: argparse.Namespace) -> int:
    file = Path(METADATA_FILE)
    if not arguments.check:
        file.write_text(metadata_text(), encoding="utf-8")
        return 0
    if file.read_text(encoding="utf-8") == metadata_text():
        return 0
    _say(f"{file} is not what the flags make: run `testudo template metadata`")
    return 1


def _pin(arguments: argparse.Namespace) -> int:
    text = arguments.dockerfile.read_text(encoding="utf-8")
    if arguments.check:
        unpinned = _unpinned(text)
        _say("\n".join(unpinned) or "Every base has its digest.")
        return 1 if unpinned else 0
    digests, problems = {}, []
    for base in bases(text):
        try:
            digests[base.argument] = digest_of(base)
        except CommandError as error:
            problems.append(str(error))
        else:
            _say(f"{base} is sha256:{digests[base.argument]}")
    if problems:
        raise CommandError("\n".join(problems))
    arguments.dockerfile.write_text(pinned(text, digests), encoding="utf-8")
    return 0


def _unpinned(text: str) -> list[str]:
    return [
        f"{base} has no digest: run `testudo template pin`"
        for base in bases(text)
        if not base.is_pinned
    ]


def _build(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    # The local stack has no images: any may be named there.
    if environment != LOCAL:
        text = arguments.dockerfile.read_text(encoding="utf-8")
        if unpinned := _unpinned(text):
            raise CommandError("\n".join(unpinned))
    image = by_digest(arguments.image)
    print(write_spec(environment, arguments.version, image))
    _say(f"The image is {image}")
    return 0


def _try(arguments: argparse.Namespace) -> int:
    image = perform(arguments.dockerfile, Path(), arguments.folder, _say, variant=arguments.variant)
    _say("\nNot performed:\n" + "\n".join(image.not_performed) + "\n\nThe launcher would run:")
    print(" ".join(image.launch_command([])))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
