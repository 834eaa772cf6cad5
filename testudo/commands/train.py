"""`testudo train`: train on a manifest, save a release, and take no item from another one.

A release becomes the default where there is none, or where `--activate` says so.
What current.json says of tenants and of the canary stays in any case.
"""

import argparse
import dataclasses
import importlib.util
import os
import re
from pathlib import Path

from models.features import ImageLimits
from models.functions import FunctionsRefused
from models.manifest import MAX_TASK, RELEASE, ReleaseError
from models.objects import CLOUD, join
from models.release import POINTER, Pointer, PointerChanged, find_pointer, write_pointer
from models.training.encoder_names import CHOICES, SMALL, EncoderRefused, check_encoder
from models.training.manifest_labels import MIN_LINES
from models.training.samples import MANIFEST, write_listings
from models.training.train import EPOCHS, GOLDEN_ITEMS, train
from testudo.errors import CommandError
from testudo.local.home import DEFAULT_HOME, RELEASES

EXAMPLE = "testudo train --manifest items.jsonl --task mine --encoder efficientnet-lite0"
SAMPLES = 6_000
SAMPLES_FOLDER = str(DEFAULT_HOME / "samples")
CLOUD_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")
FIND_FOR_S = 10.0
LIMITS = {  # flag -> the least and the most that it may be
    "samples": (1, None),
    "seed": (0, 2**32 - 1),
    "size_px": (8, 1_024),
    "epochs": (1, None),
    "min_lines": (1, None),
    "golden_items": (0, 100),
    "max_image_bytes": (1, None),
    "max_image_pixels": (1, None),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest",
        type=Path,
        help="JSON Lines file of labelled items; without it, sample listings are drawn",
    )
    parser.add_argument("--releases", default=RELEASES, help="where releases go (%(default)s)")
    parser.add_argument(
        "--activate",
        action="store_true",
        help="make the release the default one, in place of another; the first becomes it anyway",
    )
    parser.add_argument("--task", default="listings", help="first part of the release's name")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="listings to draw (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of samples and weights (%(default)s)")
    parser.add_argument(
        "--encoder",
        default=SMALL,
        help=f"{CHOICES}; those that come trained stay as they are (%(default)s)",
    )
    parser.add_argument(
        "--size_px", type=int, help="side of the encoder's square (96; of a trained encoder 224)"
    )
    parser.add_argument(
        "--functions",
        type=Path,
        metavar="FILE",
        help="Python file with prepare_text, prepare_image or decide, which the release carries",
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes (%(default)s)")
    parser.add_argument(
        "--min_lines",
        type=int,
        default=MIN_LINES,
        help="lines that each label must have (%(default)s)",
    )
    parser.add_argument(
        "--golden_items",
        type=int,
        default=GOLDEN_ITEMS,
        metavar="COUNT",
        help="held-out items, texts and pictures, that the release carries to prove itself by "
        "(%(default)s)",
    )
    parser.add_argument(
        "--skip_broken",
        action="store_true",
        help="list items whose picture cannot be decoded, and leave them out",
    )
    limits = ImageLimits()
    parser.add_argument(
        "--max_image_bytes",
        type=int,
        default=limits.max_bytes,
        help="largest image file, as for `testudo run` (%(default)s)",
    )
    parser.add_argument(
        "--max_image_pixels",
        type=int,
        default=limits.max_pixels,
        help="most pixels of one image, as for `testudo run` (%(default)s)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Train, and say whom the release scores. Returns 1 when the models are not fit to serve."""
    if found := _problems(arguments):
        raise CommandError("\n".join(found))
    try:
        saved = train(
            arguments.manifest or _draw_samples(arguments.samples, arguments.seed),
            arguments.releases,
            task=arguments.task,
            size_px=arguments.size_px,
            seed=arguments.seed,
            epochs=arguments.epochs,
            encoder=arguments.encoder,
            functions=arguments.functions,
            min_lines=arguments.min_lines,
            skip_broken=arguments.skip_broken,
            golden_items=arguments.golden_items,
            limits=ImageLimits(arguments.max_image_bytes, arguments.max_image_pixels),
        )
        print(take_up(arguments.releases, saved.release, activate=arguments.activate))
    except FunctionsRefused as error:
        raise CommandError(f"--functions: {error}") from error
    except OSError as error:
        raise CommandError(str(error)) from error
    return 0


def _problems(arguments: argparse.Namespace) -> list[str]:
    """Everything wrong with the flags, and with where releases go, before anything is read."""
    problems = []
    if importlib.util.find_spec("sklearn") is None:
        problems.append("training needs scikit-learn: pip install 'testudo[train]'")
    if not RELEASE.fullmatch(arguments.task) or len(arguments.task) > MAX_TASK:
        problems.append(
            f"--task: {arguments.task!r} is not letters, digits, - _ and . "
            f"({MAX_TASK} at most, the first a letter or digit)"
        )
    for name, (least, most) in LIMITS.items():
        value = getattr(arguments, name)
        if value is None:
            continue
        if value < least or (most is not None and value > most):
            allowed = f"{least} or more" if most is None else f"{least} to {most}"
            problems.append(f"--{name}: is {value}, must be {allowed}")
    try:
        check_encoder(arguments.encoder)
    except EncoderRefused as error:
        problems.append(f"--encoder: {error}")
    if arguments.manifest and not arguments.manifest.is_file():
        problems.append(f"--manifest: there is no file {arguments.manifest}")
    if arguments.functions and not arguments.functions.is_file():
        problems.append(f"--functions: there is no file {arguments.functions}")
    return problems + _problems_of_releases(arguments.releases)


def _problems_of_releases(root: str) -> list[str]:
    if root.startswith(CLOUD):
        if not CLOUD_FOLDER.fullmatch(root):
            return [f"--releases: {root!r} does not have the form gs://my-bucket/releases"]
    elif not root or "://" in root:
        return [f"--releases: {root!r} is neither a folder nor of the form gs://my-bucket/releases"]
    else:
        path = Path(root)
        there = next((part for part in (path, *path.parents) if os.path.lexists(part)), Path())
        if not there.is_dir():
            return [f"--releases: {there} is a file, not a folder"]
        if not os.access(there, os.W_OK):
            return [f"--releases: {there} must not be written to"]
    try:
        find_pointer(root, retry_for_s=FIND_FOR_S)
    except ReleaseError as error:
        return [f"--releases: {error}"]
    return []


def take_up(root: str, release: str, *, activate: bool) -> str:
    """Make the release the default if it may be; says which happened, and what to type next.

    Raises ReleaseError when somebody else changes the pointer just as it is activated.
    """
    before = find_pointer(root)
    after = before or Pointer(default=release)
    if activate:
        after = dataclasses.replace(after, default=release)
    try:
        write_pointer(root, after, replacing=before)
    except PointerChanged as error:
        if activate:
            raise ReleaseError(f"{release} is saved and not activated: {error}") from error
        return take_up(root, release, activate=False)  # another became the default just now
    path = join(root, POINTER)
    if after.default != release:
        said = (
            f"{after.default} stays the default: train with --activate, or name {release} "
            f"as the default in {path}, to use it instead"
        )
    elif before and before != after:
        said = f"It is the default now, in place of {before.default}; all else in {path} stays"
    else:
        said = f"It is the default of {root}"
    return f"{said}\nNext: {_next(root, release, used=after.default == release)}"


def _next(root: str, release: str, *, used: bool) -> str:
    if root.startswith(CLOUD):
        return f"`testudo release use ENVIRONMENT {release}`, with --tenant or --canary_share"
    flags = "" if root == RELEASES else f" --releases={root}"
    push = f"`testudo release push ENVIRONMENT --release={release}{flags}`"
    local = "" if root == RELEASES else f" --local_releases={root}"
    return f"`testudo run{local}` here, or {push} elsewhere" if used else push


def _draw_samples(count: int, seed: int) -> Path:
    """The manifest of the sample listings, drawn unless they already are."""
    folder = Path(SAMPLES_FOLDER) / f"seed-{seed}-count-{count}"
    manifest = folder / MANIFEST
    if manifest.is_file():
        print(f"{count} listings drawn before, in {folder}")
        return manifest
    print(f"drawing {count} listings into {folder}")
    return write_listings(folder, count, seed=seed)
