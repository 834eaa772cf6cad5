"""`testudo train`: from a manifest of labelled items to a release.

tensorflow is imported when training starts, and not before, so that the
command's help and a refused manifest do not wait ten seconds for it.
"""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from models.examples import ManifestRefused, read_examples, split_examples
from models.manifest import Manifest
from models.release import Pointer, save_release, write_pointer
from models.samples import MANIFEST, write_listings

# The largest difference allowed between a Keras model and its exported file, in
# any number that it puts out: embeddings are around 1, scores are 0-1.
TOLERANCE = 1e-3
SIZE_PX = 96
EPOCHS = 5
SAMPLES = 6_000
RELEASES = ".testudo/releases"
SAMPLES_FOLDER = ".testudo/samples"
LIBRARIES = ("ai-edge-litert", "keras", "numpy", "pillow", "tensorflow", "tensorflow-transform")


class TrainingFailed(Exception):
    """Models that were trained, and must not be released."""


def train(
    manifest: Path,
    releases: str,
    *,
    task: str = "listings",
    size_px: int = SIZE_PX,
    seed: int = 0,
    epochs: int = EPOCHS,
    activate: bool = False,
    report: Callable[[str], None] = print,
) -> Manifest:
    """Train on the items of `manifest` and save a release under `releases`.

    Each label name becomes a scorer. The release holds its own evaluation, made
    on held-out items through the exported files. With `activate` it becomes the
    default release, for every tenant. Raises ManifestRefused for mistakes in the
    data, and TrainingFailed, with nothing saved, when an exported file does not
    compute what its Keras model does.
    """
    start_s = time.monotonic()
    training, held_out = split_examples(read_examples(manifest, size_px=size_px), manifest)
    report(f"{len(training.texts)} items to train on, {len(held_out.texts)} held out")
    with _quiet_start():
        from models.train_bundle import make_bundle

    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(
            Path(folder), training, held_out, seed=seed, epochs=epochs, report=report
        )
        check_differences(bundle.evaluation["largest_difference"])
        saved = save_release(
            Path(folder),
            releases,
            task=task,
            image_size_px=size_px,
            image_features=bundle.image_features,
            text_features=bundle.text_features,
            scorers=bundle.scorers,
            evaluation={
                **bundle.evaluation,
                "tolerance": TOLERANCE,
                "trained_on": len(training.texts),
                "held_out": len(held_out.texts),
                "seed": seed,
                "epochs": epochs,
                "versions": {name: version(name) for name in LIBRARIES},
            },
        )
    if activate:
        write_pointer(releases, Pointer(default=saved.release))
    report(evaluation_table(saved))
    report(f"release {saved.release} after {time.monotonic() - start_s:.0f} s")
    return saved


def check_differences(differences: dict[str, float]) -> None:
    """Raises TrainingFailed when a file differs from its model by more than TOLERANCE."""
    # Not "greater than", which is false of a file that computes nan.
    wrong = [f"{name} by {one:.2g}" for name, one in differences.items() if not one <= TOLERANCE]
    if wrong:
        raise TrainingFailed(
            f"exported files differ from their Keras models (allowed {TOLERANCE}): "
            + ", ".join(wrong)
        )


def evaluation_table(manifest: Manifest) -> str:
    """A line a scorer: its accuracy on held-out items, and how exact its file is."""
    columns = "{:24} {:>8} {:>12} {:>12} {:>32}"
    lines = [
        columns.format(
            "scorer", "both", "image only", "text only", "largest LiteRT-Keras difference"
        )
    ]
    differences = manifest.evaluation["largest_difference"]
    for scorer in manifest.scorers:
        accuracy = manifest.evaluation["accuracy"][scorer.name]
        shares = ["-" if one is None else f"{one:.3f}" for one in accuracy.values()]
        lines.append(columns.format(scorer.name, *shares, f"{differences[scorer.path]:.1e}"))
    encoder = next(one for name, one in differences.items() if "/" not in name)
    lines.append(columns.format("(image encoder)", "", "", "", f"{encoder:.1e}"))
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `testudo train`."""
    parser.add_argument(
        "--manifest",
        type=Path,
        help="JSON Lines file of labelled items; without it, sample listings are drawn",
    )
    parser.add_argument("--releases", default=RELEASES, help="where releases go (%(default)s)")
    parser.add_argument("--task", default="listings", help="first part of the release's name")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="listings to draw (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of samples and weights (%(default)s)")
    parser.add_argument(
        "--size_px", type=int, default=SIZE_PX, help="side of the encoder's square (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes (%(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Train, and make the release the default one. Returns the exit code."""
    try:
        train(
            arguments.manifest or _draw_samples(arguments.samples, arguments.seed),
            arguments.releases,
            task=arguments.task,
            size_px=arguments.size_px,
            seed=arguments.seed,
            epochs=arguments.epochs,
            activate=True,
        )
    except (ManifestRefused, TrainingFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _draw_samples(count: int, seed: int) -> Path:
    """The manifest of the sample listings, drawn unless they already are."""
    folder = Path(SAMPLES_FOLDER) / f"seed-{seed}-count-{count}"
    manifest = folder / MANIFEST
    if manifest.is_file():
        print(f"{count} listings drawn before, in {folder}")
        return manifest
    print(f"drawing {count} listings into {folder}")
    return write_listings(folder, count, seed=seed)


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep tensorflow's notices of missing GPUs, as it is imported, out of the output.

    They are written by C++ code that no logging level reaches; an ImportError
    is raised as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
