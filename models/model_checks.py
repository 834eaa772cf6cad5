"""Whether a model file is what a release serves: names, types, shapes, any number of items.

The same when a release is built, trained on, pushed and loaded. What a file says of its inputs
is read; what it gives is tried, with zeros for two items, because many files do not say it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from models.failures import Failure, Reason, Stage, attempt
from models.features import WIDE, FeatureSpec
from models.manifest import ENCODER_STEM, Manifest, ReleaseError, ScorerSpec, presence_of
from models.model_inputs import FREE
from models.runtimes import Model, find_model, open_model, suffix_of

IMAGE, SCORES = "image", "scores"
FLOATS = ("float16", "float32", "float64")
PROBED = 2  # items: a file that was exported for one often computes it, and fails on two

# What to write instead, by the file's suffix; `s` is the release's size in pixels.
HOW_TO_ENCODER = {
    ".onnx": """\
PyTorch exports such an encoder so:
  class Encoder(torch.nn.Module):
      def forward(self, image):  # uint8 (n, s, s, 3), 0 to 255
          return trained(image.permute(0, 3, 1, 2).float() / 255)
  torch.onnx.export(Encoder().eval(), torch.zeros(2, s, s, 3, dtype=torch.uint8), "encoder.onnx",
      input_names=["image"], output_names=["embedding"],
      dynamic_axes={"image": {0: "n"}, "embedding": {0: "n"}}, dynamo=False)""",
    "": """\
TensorFlow saves such an encoder so:
  @tf.function(input_signature=[tf.TensorSpec((None, s, s, 3), tf.uint8, name="image")])
  def serve(image):  # 0 to 255
      return {"embedding": model(tf.cast(image, tf.float32) / 255)}
  tf.saved_model.save(model, "encoder", signatures={"serving_default": serve})""",
    ".tflite": """\
Give the SavedModel or the .keras file instead: `testudo train --encoder` makes such a LiteRT
file of it, or tf.lite.TFLiteConverter.from_saved_model, of a SavedModel with one signature
that takes image, uint8 (None, s, s, 3), and gives {"embedding": ...}""",
}


def offered_inputs(features: Mapping[str, Sequence[FeatureSpec]]) -> dict[str, FeatureSpec]:
    """All that a scorer may take: features, widened as serving does it, and who has them."""
    wide = [
        FeatureSpec(one.name, WIDE.get(one.dtype, one.dtype), one.shape)
        for specs in features.values()
        for one in specs
    ]
    return {one.name: one for one in (*wide, *map(presence_of, features))}


def encoder_problems(
    model: Model, *, size_px: int, features: Sequence[FeatureSpec] | None = None
) -> list[str]:
    """Everything that keeps a model from being the encoder; of these features, if they are given.

    Without them it is to give `embedding`, of any width.
    """
    wanted = {IMAGE: FeatureSpec(IMAGE, "uint8", (size_px, size_px, 3))}
    if problems := [*_missing(model, wanted), *_input_problems(model, wanted)]:
        return problems
    gives = {one.name: one.shape for one in features} if features else {"embedding": (FREE,)}
    return _output_problems(model, gives)


def scorer_problems(
    model: Model, scorer: ScorerSpec, offered: Mapping[str, FeatureSpec]
) -> list[str]:
    """Everything that keeps a model from being that scorer, of what the release offers it."""
    wanted = {name: spec for name, spec in offered.items() if name in scorer.inputs}
    if problems := list(_input_problems(model, wanted)):
        return problems
    return _output_problems(model, {SCORES: (scorer.columns,)})


def how_to_encoder(path: Path, size_px: int) -> str:
    """How to export the encoder right, for a file or folder of this kind."""
    return f"{HOW_TO_ENCODER.get(suffix_of(path) or '', '')}\n(s is {size_px} here)"


def load_encoder(manifest: Manifest, folder: Path) -> Model:
    """The encoder of the release in `folder`. Raises ReleaseError for what cannot serve."""
    path = find_model(folder, ENCODER_STEM)
    model = open_model(path)
    features = manifest.features[Stage.IMAGE]
    found = encoder_problems(model, size_px=manifest.image_size_px, features=features)
    _refuse([f"{path.name}: {one}" for one in found])
    return model


def load_scorers(manifest: Manifest, folder: Path) -> dict[str, Model]:
    """The scorers of the release in `folder`, by name. Raises ReleaseError as `load_encoder`."""
    offered = offered_inputs(manifest.features)
    models, problems = {}, []
    for scorer in manifest.scorers:
        path = find_model(folder, scorer.stem)
        models[scorer.name] = model = open_model(path)
        problems += [f"{path.name}: {one}" for one in scorer_problems(model, scorer, offered)]
    _refuse(problems)
    return models


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ReleaseError("; ".join(problems))


def _missing(model: Model, wanted: Mapping[str, FeatureSpec]) -> Iterator[str]:
    for name in wanted.keys() - model.inputs.keys():
        yield f"takes {_names(model.inputs)}, and must take {name}"


def _input_problems(model: Model, wanted: Mapping[str, FeatureSpec]) -> Iterator[str]:
    if not model.inputs:
        yield "takes nothing"
    for name, found in model.inputs.items():
        if name not in wanted:
            yield f"takes {name}, which it is not given: that is {_names(wanted)}"
            continue
        spec = wanted[name]
        if found.dtype != spec.dtype:
            cast = ": pixels from 0 to 255; put the cast and the scaling into the model"
            yield f"takes {name} as {found.dtype}, not {spec.dtype}{cast * (name == IMAGE)}"
        if not _fits(found.shape, spec.shape):
            last = ": colours come last" * (name == IMAGE and found.shape[:1] == (3,))
            yield f"takes {name} as {_shown(found.shape)}, not {_shown(spec.shape)}{last}"
        batch = model.batch[name]
        if batch is None:
            yield f"takes {name} without a first dimension for any number of items"
        elif batch != FREE:
            yield f"takes {name} of exactly {batch} at once: export it for any number of items"


def _output_problems(model: Model, wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Of a model whose inputs are right: what it gives of zeros."""
    missing = [name for name in wanted if name not in model.outputs]
    if missing:
        return [f"gives {_names(model.outputs)}, and must give {_names(missing)}"]
    zeros = {
        name: np.zeros((PROBED, *(max(length, 1) for length in spec.shape)), spec.dtype)
        for name, spec in model.inputs.items()
    }
    # The first call takes memory for good, on a GPU much: before its limit is set.
    found = attempt(Stage.SCORE, Reason.RELEASE_UNAVAILABLE, model, zeros)
    if isinstance(found, Failure):
        return [f"fails on zeros for {PROBED} items: {found.detail}"]
    problems = []
    for name, shape in wanted.items():
        array = found[name]
        if array.dtype.name not in FLOATS:
            problems.append(f"gives {name} as {array.dtype}, not float32")
        if array.ndim != 1 + len(shape) or not _fits(shape, array.shape[1:]):
            problems.append(f"gives {name} as {_shown(array.shape[1:])}, not {_shown(shape)}")
        if array.shape[:1] != (PROBED,):
            rows = array.shape[0] if array.ndim else "no"
            problems.append(f"gives {name} with {rows} rows for {PROBED} items")
    return problems


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(
        one in (FREE, length) for one, length in zip(found, wanted, strict=True)
    )


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['n', *('any' if one == FREE else str(one) for one in shape)])})"


def _names(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
