"""Training: from a manifest of labelled items to a release.

tensorflow is imported when training starts, and not before, so that the
command's help and a refused manifest do not wait ten seconds for it.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from models.failures import TestudoError
from models.features import ImageLimits
from models.manifest import Manifest
from models.release import save_release
from models.training.examples import read_examples, split_examples

# The largest difference allowed between a Keras model and its exported file, in
# any number that it puts out: embeddings are around 1, scores are 0-1.
TOLERANCE = 1e-3
SIZE_PX = 96
EPOCHS = 5
MAX_LABELS = 20  # of a scorer, in the table; the release's manifest has all
LIBRARIES = ("ai-edge-litert", "keras", "numpy", "pillow", "tensorflow", "tensorflow-transform")


class TrainingFailed(TestudoError):
    """Models that were trained, and must not be released."""

    exit_code = 1


def train(
    manifest: Path,
    releases: str,
    *,
    task: str = "listings",
    size_px: int = SIZE_PX,
    seed: int = 0,
    epochs: int = EPOCHS,
    limits: ImageLimits = ImageLimits(),
    report: Callable[[str], None] = print,
) -> Manifest:
    """Train on the items of `manifest` and save a release under `releases`.

    Each label name becomes a scorer. The release holds its own evaluation, made
    on held-out items through the exported files. Nothing points at it yet. Raises
    ManifestRefused for mistakes in the data, and TrainingFailed, with nothing
    saved, when an exported file does not compute what its Keras model does.
    """
    start_s = time.monotonic()
    examples = read_examples(manifest, size_px=size_px, limits=limits)
    training, held_out = split_examples(examples, manifest)
    report(f"{len(training.texts)} items to train on, {len(held_out.texts)} held out")
    with _quiet_start():
        from models.training.bundle import make_bundle

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
            features=bundle.features,
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
    report(evaluation_table(saved))
    report(label_table(saved))
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
    """A line a scorer: its accuracy on held-out items, and how exact its file is.

    Beside it, that of always answering the commonest label.
    """
    columns = "{:24} {:>8} {:>12} {:>12} {:>17} {:>32}"
    heads = ("scorer", "both", "image only", "text only", "commonest label")
    lines = [columns.format(*heads, "largest LiteRT-Keras difference")]
    differences = manifest.evaluation["largest_difference"]
    for scorer in manifest.scorers:
        accuracy = manifest.evaluation["accuracy"][scorer.name]
        commonest = manifest.evaluation["commonest_share"][scorer.name]
        shares = ["-" if one is None else f"{one:.3f}" for one in (*accuracy.values(), commonest)]
        lines.append(columns.format(scorer.name, *shares, f"{differences[scorer.path]:.1e}"))
    encoder = next(one for name, one in differences.items() if "/" not in name)
    lines.append(columns.format("(image encoder)", "", "", "", "", f"{encoder:.1e}"))
    return "\n".join(lines)


def label_table(manifest: Manifest) -> str:
    """A line a label, the commonest first: how much of it was seen, and how well it is told."""
    columns = "{:40} {:>11} {:>9} {:>9}"
    lines = [columns.format("label", "trained on", "held out", "right")]
    untrained = []
    for scorer, counts in manifest.evaluation["labels"].items():
        ordered = sorted(counts.items(), key=lambda one: -one[1]["trained_on"])
        for label, count in ordered[:MAX_LABELS]:
            share = f"{count['right'] / count['held_out']:.3f}" if count["held_out"] else "-"
            name = f"{scorer}: {label!r}"
            lines.append(columns.format(name, count["trained_on"], count["held_out"], share))
        if rest := ordered[MAX_LABELS:]:
            lines.append(f"{scorer}: and {len(rest)} more, in the release's manifest.json")
        untrained += [(scorer, label) for label, count in ordered if not count["trained_on"]]
    for scorer in dict(untrained):
        names = [repr(label) for one, label in untrained if one == scorer]
        more = f" and {len(names) - MAX_LABELS} more" if len(names) > MAX_LABELS else ""
        lines.append(
            f"{scorer}: never trained on, as only held-out lines have them: "
            + ", ".join(names[:MAX_LABELS])
            + more
        )
    return "\n".join(lines)


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
