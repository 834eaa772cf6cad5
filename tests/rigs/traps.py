"""A release with traps: its text transform hangs or ends its process on certain words.

For whoever wants to see what a bad model can do: real model files, that a worker
loads like any other. Everything else in the release is its original's.

    python -m rigs.traps RELEASES RELEASE

prints the new release's id.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from models.failures import Stage
from models.features import FeatureSpec
from models.manifest import TEXT_TRANSFORM
from models.release import fetch_release, save_release
from models.saved_model import SIGNATURE
from models.text_transform import TEXT_INPUT

ABORT_WORD = "zzabort"
HANG_WORD = "zzhang"
TASK = "traps"


def save_with_traps(root: str, release: str) -> str:
    """Save a copy of a release under `root`, with traps; returns its id."""
    with tempfile.TemporaryDirectory() as scratch:
        manifest, folder = fetch_release(root, release, Path(scratch) / "cache")
        bundle = Path(scratch) / "bundle"
        for name in manifest.files:
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, bundle / name)
        shutil.rmtree(bundle / TEXT_TRANSFORM)
        _trap(folder / TEXT_TRANSFORM, bundle / TEXT_TRANSFORM, manifest.features[Stage.TEXT])
        return save_release(
            bundle,
            root,
            task=TASK,
            image_size_px=manifest.image_size_px,
            features=manifest.features,
            scorers=manifest.scorers,
            evaluation=manifest.evaluation,
        ).release


def _trap(source: Path, target: Path, features: tuple[FeatureSpec, ...]) -> None:
    """Write the SavedModel of a text transform again, with traps before it."""
    import tensorflow as tf  # takes seconds, and is needed here only

    loaded = tf.saved_model.load(str(source))
    transform = loaded.signatures[SIGNATURE]

    def has(word: str, texts: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.strings.regex_full_match(texts, f".*{word}.*"))

    def abort() -> tf.Tensor:
        with tf.control_dependencies([tf.raw_ops.Abort(error_msg="a trap")]):
            return tf.constant(0)

    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        aborted = tf.cond(has(ABORT_WORD, text), abort, lambda: tf.constant(0))
        hangs = has(HANG_WORD, text)
        hung = tf.while_loop(lambda _: hangs, lambda count: [count + 1], [aborted])
        with tf.control_dependencies(hung):
            outputs = transform(**{TEXT_INPUT: tf.identity(text)})
        return {spec.name: outputs[spec.name] for spec in features}

    module = tf.Module()
    module.transform = loaded  # owns the vocabulary
    module.serve = tf.function(serve)
    signature = module.serve.get_concrete_function(
        tf.TensorSpec((None,), tf.string, name=TEXT_INPUT)
    )
    tf.saved_model.save(module, str(target), signatures={SIGNATURE: signature})


if __name__ == "__main__":
    print(save_with_traps(*sys.argv[1:]))
