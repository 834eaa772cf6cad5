"""What a release is made of: its files, its manifest, and nothing that reads or writes them.

encoder.tflite        uint8 `image` (n, size_px, size_px, 3) -> `embedding`
text_transform/       TFT SavedModel: string `text` (n,) -> text features
scorers/<name>.tflite any of the release's features, `has_image` and
                      `has_text` (float32 (n, 1)) -> `scores` (n, labels), (n, 1) of a number
functions.py          optional: what the team does itself (models.functions)
golden.json           optional: items, and what the files gave for them (models.golden)

Encoder and scorers may each be a LiteRT file, an ONNX file (`encoder.onnx`) or a SavedModel
(a folder, `encoder/`): models.runtimes.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from models.facts import Score
from models.failures import TestudoError
from models.features import FeatureSpec

# 2 where a scorer is of another kind than classification: workers that know only 1 refuse it.
FORMATS = (1, 2)
MANIFEST = "manifest.json"
ENCODER_STEM = "encoder"
ENCODER = f"{ENCODER_STEM}.tflite"  # as training exports it
TEXT_TRANSFORM = "text_transform"
SCORERS = "scorers"
FUNCTIONS = "functions.py"
MAX_NUMBERS = 256  # of an embedding that crosses to the join: 512 bytes
GOLDEN = "golden.json"
RELEASE = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # the name of a folder, and no path
MAX_TASK = 115  # characters: with what is added, a release's name has 128 at most
FEATURES = "_features"  # in a manifest file, after the name of the branch whose they are


def presence_of(branch: str) -> FeatureSpec:
    """The input by which a scorer knows whether an item has something for a branch."""
    return FeatureSpec(f"has_{branch}", "float32", (1,))


class ReleaseError(TestudoError):
    """A release that is missing, damaged, or not one that this code can read."""


def check_release(release: str) -> None:
    """Raises ReleaseError for what does not name a folder right below the releases' root."""
    if not RELEASE.fullmatch(release):
        raise ReleaseError(f"{release!r} is not the name of a release")


def check_inside(name: str) -> None:
    """Raises ReleaseError for a file name that may lead out of the release's folder."""
    path = PurePosixPath(name)
    plain = str(path) == name and path.name and "\0" not in name
    if not plain or path.is_absolute() or ".." in path.parts:
        raise ReleaseError(f"file name {name!r} leaves the release")


class Kind(StrEnum):
    """What a scorer answers."""

    CLASSIFICATION = "classification"  # one of several labels
    MULTILABEL = "multilabel"  # any of several labels, or none
    REGRESSION = "regression"  # a number


@dataclasses.dataclass(frozen=True)
class ScorerSpec:
    """One scorer: `labels` in the order of its output's columns, () of a number."""

    name: str
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    kind: Kind = Kind.CLASSIFICATION
    threshold: float = 0.5  # multilabel: labels of at least this probability are chosen
    spread: float = 1.0  # regression: the standard deviation of the numbers it was trained on

    @property
    def columns(self) -> int:
        """Of its output."""
        return len(self.labels) or 1

    def scores(self, values: Sequence[float]) -> list[Score]:
        """One row of its output, as it stands in a prediction."""
        if self.kind is Kind.REGRESSION:
            return [Score(self.name, None, None, value=value) for value in values]
        several = self.kind is Kind.MULTILABEL
        return [
            Score(self.name, label, value, value >= self.threshold if several else None)
            for label, value in zip(self.labels, values, strict=True)
        ]

    def to_fields(self) -> dict[str, Any]:
        """As a manifest has it: what only other kinds need is left out, so that ids stay."""
        fields = dataclasses.asdict(self)
        kept = {Kind.MULTILABEL: ("kind", "threshold"), Kind.REGRESSION: ("kind", "spread")}
        return {
            name: value
            for name, value in fields.items()
            if name in ("name", "labels", "inputs", *kept.get(self.kind, ()))
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "ScorerSpec":
        """Raises KeyError, ValueError or TypeError for what `to_fields` does not give."""
        spec = cls(
            fields["name"],
            tuple(fields["labels"]),
            tuple(fields["inputs"]),
            Kind(fields.get("kind", Kind.CLASSIFICATION)),
            float(fields.get("threshold", cls.threshold)),
            float(fields.get("spread", cls.spread)),
        )
        if bool(spec.labels) is (spec.kind is Kind.REGRESSION):
            raise ValueError(f"scorer {spec.name!r} of kind {spec.kind} has labels {spec.labels}")
        if not (0 <= spec.threshold <= 1 and 0 < spec.spread < float("inf")):
            raise ValueError(
                f"scorer {spec.name!r}: threshold {spec.threshold}, which is 0 to 1, "
                f"spread {spec.spread}, which is more than 0"
            )
        return spec

    @property
    def stem(self) -> str:
        """Of its file, whose suffix says what runs it."""
        return f"{SCORERS}/{self.name}"

    @property
    def path(self) -> str:
        """As training exports it."""
        return f"{self.stem}.tflite"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a release is made of, how good it was found to be, and its digests."""

    release: str
    task: str
    created_at: str
    image_size_px: int
    features: Mapping[str, tuple[FeatureSpec, ...]]  # by branch
    scorers: tuple[ScorerSpec, ...]
    files: Mapping[str, str]  # relative path -> SHA-256, hexadecimal
    evaluation: Mapping[str, Any]

    @property
    def format(self) -> int:
        return FORMATS[any(one.kind is not Kind.CLASSIFICATION for one in self.scorers)]

    def to_json(self) -> str:
        fields = dataclasses.asdict(self) | {"format": self.format}
        fields["scorers"] = [one.to_fields() for one in self.scorers]
        fields |= {f"{branch}{FEATURES}": specs for branch, specs in fields.pop("features").items()}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises ReleaseError when the text is not a manifest of this format."""
        try:
            fields = json.loads(text)
            if (found := fields.pop("format")) not in FORMATS:
                known = " and ".join(map(str, FORMATS))
                raise ReleaseError(f"manifest format {found}, this code reads {known}")
            branches = [name.removesuffix(FEATURES) for name in fields if name.endswith(FEATURES)]
            fields["features"] = {
                branch: tuple(
                    FeatureSpec(one["name"], one["dtype"], tuple(one["shape"]))
                    for one in fields.pop(f"{branch}{FEATURES}")
                )
                for branch in branches
            }
            fields["scorers"] = tuple(map(ScorerSpec.from_fields, fields["scorers"]))
            manifest = cls(**fields)
            for name in (*dict(manifest.files), *(one.path for one in manifest.scorers)):
                check_inside(name)
            return manifest
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"not a manifest: {type(error).__name__}: {error}") from error
