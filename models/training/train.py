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
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from models.failures import TestudoError
from models.features import ImageLimits
from models.functions import NO_FUNCTIONS, Functions
from models.manifest import Manifest
from models.release import save_release
from models.training.encoder_names import SMALL, check_encoder, default_size_px
from models.training.examples import read_examples
from models.training.manifest_labels import MIN_LINES
from models.training.manifest_lines import read_items
from models.training.tables import baseline_table, evaluation_table, label_table, verdicts

# The largest difference allowed between a Keras model and its exported file, in
# any number that it puts out: embeddings are around 1, scores are 0-1.
TOLERANCE = 1e-3
EPOCHS = 5
GOLDEN_ITEMS = 8
LIBRARIES = (
    "ai-edge-litert",
    "keras",
    "numpy",
    "onnxruntime",
    "pillow",
    "scikit-learn",
    "tensorflow",
    "tensorflow-transform",
)


class TrainingFailed(TestudoError):
    """Models that were trained, and must not be released."""

    exit_code = 1


def train(
    manifest: Path,
    releases: str,
    *,
    task: str = "listings",
    size_px: int | None = None,
    seed: int = 0,
    epochs: int = EPOCHS,
    limits: ImageLimits = ImageLimits(),
    encoder: str = SMALL,
    functions: Path | None = None,
    min_lines: int = MIN_LINES,
    skip_broken: bool = False,
    golden_items: int = GOLDEN_ITEMS,
    report: Callable[[str], None] = print,
) -> Manifest:
    """Train on the items of `manifest` and save a release under `releases`.

    Each label name becomes a scorer. The release holds its own evaluation, made
    on held-out items through the exported files. `functions` is a file of
    models.functions, which the release carries, as it does `golden_items` of the held-out
    items, with what it gives for them. Nothing points at it yet. Raises
    ManifestRefused for mistakes in the data, FunctionsRefused for such a file; with nothing
    saved, FunctionFailed when a function fails on an item, and TrainingFailed when an
    exported file does not compute what its Keras model does, or GoldenItemFailed when it
    computes nothing for a golden item.
    """
    start_s = time.monotonic()
    size_px = size_px or default_size_px(encoder)
    check_encoder(encoder)
    own = Functions(functions) if functions else NO_FUNCTIONS
    items = read_items(manifest, min_lines=min_lines)  # what is wrong with lines is told in seconds
    with _quiet_start():
        import tensorflow

        from models.training.bundle import make_bundle
        from models.training.encoders import freeze_encoder
        from models.training.golden_items import as_served, choose_golden, write_golden

        tensorflow.config.list_physical_devices()  # else it complains of none at its first step

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        frozen = None
        if encoder != SMALL:
            frozen = freeze_encoder(encoder, Path(scratch), size_px=size_px)
        training, held_out = read_examples(
            manifest,
            Path(scratch),
            size_px=size_px,
            limits=limits,
            encoder=frozen,
            functions=own,
            min_lines=min_lines,
            skip_broken=skip_broken,
            report=report,
        )
        report(f"{len(training.texts)} items to train on, {len(held_out.texts)} held out")
        bundle = make_bundle(
            folder,
            training,
            held_out,
            encoder=frozen,
            functions=own,
            seed=seed,
            epochs=epochs,
            report=report,
        )
        check_differences(bundle.evaluation["largest_difference"])
        ids = set(held_out.item_ids)
        golden = choose_golden([one for one in items if one.item_id in ids], golden_items)
        served = as_served(folder, task, size_px, bundle.features, bundle.scorers)
        write_golden(folder, served, golden, manifest.parent, limits)
        report(f"{len(golden)} golden items, which whoever loads the release scores first")
        saved = save_release(
            folder,
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
                "encoder": encoder,
                "epochs": epochs,
                "versions": {name: version(name) for name in LIBRARIES},
            },
        )
    for part in (evaluation_table, baseline_table, verdicts, label_table):
        report(part(saved))
    report(f"release {saved.release} after {time.monotonic() - start_s:.0f} s")
    return saved


def check_differences(differences: Mapping[str, float | None]) -> None:
    """Raises TrainingFailed when a file differs from its model by more than TOLERANCE."""
    # Not "greater than", which is false of a file that computes nan.
    wrong = [
        f"{name} by {one:.2g}"
        for name, one in differences.items()
        if one is not None and not one <= TOLERANCE
    ]
    if wrong:
        raise TrainingFailed(
            f"exported files differ from their Keras models (allowed {TOLERANCE}): "
            + ", ".join(wrong)
        )


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
