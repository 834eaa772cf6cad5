"""What a release is made of: its files, its manifest, and nothing that reads or writes them.

encoder.tflite        uint8 `image` (n, size_px, size_px, 3) -> `embedding`
text_transform/       TFT SavedModel: string `text` (n,) -> text features
scorers/<name>.tflite any of the release's features, `has_image` and
                      `has_text` (float32 (n, 1)) -> `scores` (n, labels)
functions.py          optional: what the team does itself (models.functions)
golden.json           optional: items, and what the files gave for them (models.golden)

Encoder and scorers may each be a LiteRT file, an ONNX file (`encoder.onnx`) or a SavedModel
(a folder, `encoder/`): models.runtimes.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from models.failures import TestudoError
from models.features import FeatureSpec

FORMAT = 1
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


@dataclasses.dataclass(frozen=True)
class ScorerSpec:
    """One scorer: `labels` in the order of its output's columns."""

    name: str
    labels: tuple[str, ...]
    inputs: tuple[str, ...]

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
    format: int = FORMAT

    def to_json(self) -> str:
        fields = dataclasses.asdict(self)
        fields |= {f"{branch}{FEATURES}": specs for branch, specs in fields.pop("features").items()}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises ReleaseError when the text is not a manifest of this format."""
        try:
            fields = json.loads(text)
            if fields["format"] != FORMAT:
                raise ReleaseError(f"manifest format {fields['format']}, this code reads {FORMAT}")
            branches = [name.removesuffix(FEATURES) for name in fields if name.endswith(FEATURES)]
            fields["features"] = {
                branch: tuple(
                    FeatureSpec(one["name"], one["dtype"], tuple(one["shape"]))
                    for one in fields.pop(f"{branch}{FEATURES}")
                )
                for branch in branches
            }
            fields["scorers"] = tuple(
                ScorerSpec(one["name"], tuple(one["labels"]), tuple(one["inputs"]))
                for one in fields["scorers"]
            )
            manifest = cls(**fields)
            for name in (*dict(manifest.files), *(one.path for one in manifest.scorers)):
                check_inside(name)
            return manifest
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"not a manifest: {type(error).__name__}: {error}") from error
