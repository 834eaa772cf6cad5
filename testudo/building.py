"""A release of files that somebody has: copied together, opened and checked, and saved.

What the file names comes from there, all else from the release that it names in `from`.
Each model is opened by its runtime and tried, as it will be where the release is loaded.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.failures import Stage
from models.features import FeatureSpec
from models.functions import Functions, FunctionsRefused
from models.manifest import (
    ENCODER_STEM,
    FUNCTIONS,
    MAX_NUMBERS,
    SCORERS,
    TEXT_TRANSFORM,
    Manifest,
    ScorerSpec,
)
from models.model_checks import (
    encoder_problems,
    how_to_encoder,
    offered_inputs,
    scorer_problems,
)
from models.release import fetch_release, read_pointer, save_release
from models.runtimes import Model, find_model, open_model, suffix_of
from models.text_transform import TextTransform, features_of
from testudo.build_spec import DEFAULT, BuildSpec, OwnScorer
from testudo.errors import CommandError

EMBEDDING, IN_TRANSIT = "embedding", "float16"  # as training has it


def build_release(spec: BuildSpec, root: str) -> Manifest:
    """Make the release and save it under `root`, where `from` is too. Nothing points at it yet.

    Raises CommandError with everything that is wrong with its files, a line each, and how to
    export an encoder that is refused; nothing is saved then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        base, folder = None, Path(scratch)
        if spec.base:
            name = read_pointer(root).default if spec.base == DEFAULT else spec.base
            base, folder = fetch_release(root, name, Path(scratch) / "cache")
        building = _Building(spec, base, folder, Path(scratch) / "bundle")
        building.assemble()
        if building.problems:
            raise CommandError("\n".join([*building.problems, *building.advice]))
        return save_release(
            building.bundle,
            root,
            task=spec.task,
            image_size_px=building.size_px,
            features=building.features,
            scorers=tuple(building.scorers),
            evaluation={"built": _history(spec, base)},
        )


def _history(spec: BuildSpec, base: Manifest | None) -> dict[str, Any]:
    """What was new, for whoever asks why this release has no accuracy."""
    named = ("encoder", "text_transform", "functions")
    return {
        "from": base.release if base else None,
        "new": [name for name in named if getattr(spec, name)],
        "scorers": sorted(spec.scorers),
        "dropped": sorted(spec.drop),
    }


class _Building:
    """One release while it is put together in `bundle`; `problems` grow, and nothing is raised."""

    def __init__(self, spec: BuildSpec, base: Manifest | None, folder: Path, bundle: Path) -> None:
        self.spec, self.base, self.folder, self.bundle = spec, base, folder, bundle
        self.size_px = spec.size_px or (base.image_size_px if base else 0)
        self.features: dict[str, tuple[FeatureSpec, ...]] = dict(base.features) if base else {}
        self.scorers: list[ScorerSpec] = []
        self.problems: list[str] = []
        self.advice: list[str] = []

    def assemble(self) -> None:
        self.bundle.mkdir()
        self._encoder()
        self._text_transform()
        # Without what they take, nothing can be said of scorers.
        if {Stage.IMAGE, Stage.TEXT} <= self.features.keys():
            self._scorers()
        self._functions()

    def _encoder(self) -> None:
        path = self.spec.encoder or self._of_base(ENCODER_STEM)
        copied = _copied(path, self.bundle / ENCODER_STEM)
        model = self._opened(copied, "encoder")
        known = None if self.spec.encoder else self.features[Stage.IMAGE]
        if model is not None:
            found = encoder_problems(model, size_px=self.size_px, features=known)
            self.problems += [f"encoder: {one}" for one in found]
        if model is None or found:
            self.advice = [how_to_encoder(path, self.size_px)]
            self.features.pop(Stage.IMAGE, None)
        elif self.spec.encoder:
            self._embedding(model)

    def _embedding(self, model: Model) -> None:
        """Take the features of a new encoder from what it gives."""
        zeros = np.zeros((1, self.size_px, self.size_px, 3), np.uint8)
        width = model({"image": zeros})[EMBEDDING].shape[1]
        self.features[Stage.IMAGE] = (FeatureSpec(EMBEDDING, IN_TRANSIT, (width,)),)
        if width > MAX_NUMBERS:
            self.problems.append(
                f"encoder: gives {width} numbers, and {MAX_NUMBERS} at most cross to the join: "
                "project them in the model, or let `testudo train --encoder` do it"
            )

    def _text_transform(self) -> None:
        path = self.spec.text_transform
        shutil.copytree(path or self.folder / TEXT_TRANSFORM, self.bundle / TEXT_TRANSFORM)
        if path is None:
            return
        try:
            found = features_of(path)
            TextTransform(path, found)(["a text", ""])
        except ValueError as error:
            self.problems.append(f"text_transform: {error}")
            self.features.pop(Stage.TEXT, None)
        else:
            self.features[Stage.TEXT] = found

    def _scorers(self) -> None:
        offered = offered_inputs(self.features)
        kept = {one.name: one for one in self.base.scorers} if self.base else {}
        self.problems += [
            f"drop: {name!r} is not one of the scorers {', '.join(kept)}"
            for name in self.spec.drop
            if name not in kept
        ]
        names = [name for name in kept if name not in self.spec.drop]
        names += [name for name in self.spec.scorers if name not in names]
        if not names:
            self.problems.append("scorers: none is left")
        for name in names:
            own = self.spec.scorers.get(name)
            stem = kept[name].stem if own is None else f"{SCORERS}/{name}"
            path = self._of_base(stem) if own is None else own.path
            model = self._opened(_copied(path, self.bundle / SCORERS / name), f"scorers.{name}")
            if model is None:
                continue
            scorer = kept[name] if own is None else _scorer(name, own, model)
            found = scorer_problems(model, scorer, offered)
            self.problems += [f"scorers.{name}: {one}" for one in found]
            self.scorers.append(scorer)

    def _functions(self) -> None:
        path = self.spec.functions
        if path is None:
            of_base = self.folder / FUNCTIONS
            if self.base and FUNCTIONS in self.base.files and not self.spec.no_functions:
                shutil.copyfile(of_base, self.bundle / FUNCTIONS)
            return
        try:
            (self.bundle / FUNCTIONS).write_bytes(Functions(path).source)
        except FunctionsRefused as error:
            self.problems.append(f"functions: {error}")

    def _of_base(self, stem: str) -> Path:
        return find_model(self.folder, stem)

    def _opened(self, path: Path, what: str) -> Model | None:
        try:
            return open_model(path)
        except ValueError as error:
            self.problems.append(f"{what}: {error}")
            return None


def _scorer(name: str, own: OwnScorer, model: Model) -> ScorerSpec:
    return ScorerSpec(name, own.labels, tuple(model.inputs), own.kind, own.threshold)


def _copied(path: Path, stem: Path) -> Path:
    """A model's file or folder, alone, at its place in a release."""
    target = stem.with_name(f"{stem.name}{suffix_of(path)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return target
