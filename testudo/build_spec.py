"""What `testudo release build` is to make a release of: a TOML file, read and checked.

    task = "mine"                    # first part of the release's name
    from = "listings-26c6db13c760"   # optional: a release that gives all that is not named
                                     # here; "default" for the one that current.json names
    size_px = 224                    # side of the encoder's square
    encoder = "encoder.onnx"         # .tflite, .onnx, or the folder of a SavedModel
    text_transform = "texts"         # the folder of a SavedModel
    functions = "functions.py"       # optional; "" for none of those that `from` has
    drop = ["mismatch"]              # optional: scorers of `from` that are left out

    [scorers.category]
    file = "category.onnx"
    labels = ["bag", "mug"]          # in the order of the columns; none for a number
    kind = "classification"          # optional; or "multilabel", or "regression"
    threshold = 0.5                  # optional: from which on labels are chosen (multilabel)

Paths are relative to the file.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from models.manifest import MAX_TASK, RELEASE, Kind, ScorerSpec
from models.runtimes import KINDS, suffix_of
from testudo.errors import CommandError

DEFAULT = "default"  # in `from`
MIN_SIZE_PX, MAX_SIZE_PX = 8, 1_024
SCORER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # the name of a file, and no path
TYPES: Mapping[str, type] = {
    "task": str,
    "from": str,
    "size_px": int,
    "encoder": str,
    "text_transform": str,
    "functions": str,
    "drop": list,
    "scorers": dict,
}
SCORER_FIELDS = {"file", "kind", "labels", "threshold"}
WORDS = {str: "a text", int: "a whole number", list: "a list of texts", dict: "a table"}


class OwnScorer(NamedTuple):
    """A scorer of the file: its model, and what the columns that it gives are."""

    path: Path
    labels: tuple[str, ...]
    kind: Kind
    threshold: float


class BuildSpec(NamedTuple):
    """Paths are absolute; None is what the file does not name."""

    task: str
    base: str  # a release, "" for none
    size_px: int | None
    encoder: Path | None
    text_transform: Path | None
    functions: Path | None
    no_functions: bool  # although `base` has some
    drop: tuple[str, ...]
    scorers: Mapping[str, OwnScorer]


def read_spec(file: Path) -> BuildSpec:
    """Raises CommandError with everything that is wrong with the file, a line each."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{file} is not TOML: {error}") from error
    folder = file.resolve().parent
    problems = _problems(values, folder)
    if problems:
        raise CommandError("\n".join(f"{file}: {one}" for one in problems))
    paths = {
        name: folder / values[name] if values.get(name) else None
        for name in ("encoder", "text_transform", "functions")
    }
    return BuildSpec(
        task=values["task"],
        base=values.get("from", ""),
        size_px=values.get("size_px"),
        no_functions=values.get("functions") == "",
        drop=tuple(values.get("drop", ())),
        scorers={
            name: OwnScorer(
                folder / one["file"],
                tuple(one.get("labels", ())),
                Kind(one.get("kind", Kind.CLASSIFICATION)),
                float(one.get("threshold", ScorerSpec.threshold)),
            )
            for name, one in values.get("scorers", {}).items()
        },
        **paths,
    )


def _problems(values: Mapping[str, Any], folder: Path) -> list[str]:
    found = [f"{name} is not one of {', '.join(TYPES)}" for name in values if name not in TYPES]
    known = {name: one for name, one in values.items() if name in TYPES}
    for name, one in known.items():
        if type(one) is not TYPES[name] or (isinstance(one, list) and not _are_texts(one)):
            found.append(f"{name} is not {WORDS[TYPES[name]]}: {one!r}")
    if found:
        return found
    task = known.get("task", "")
    if not RELEASE.fullmatch(task) or len(task) > MAX_TASK:
        found.append(
            f"task: {task!r} is not letters, digits, - _ and . "
            f"({MAX_TASK} at most, the first a letter or digit)"
        )
    if "from" not in known:
        needed = [name for name in ("size_px", "encoder", "text_transform") if not known.get(name)]
        needed += [] if known.get("scorers") else ["scorers"]
        found += [f"{name} is missing, and there is no `from` to take it from" for name in needed]
        if known.get("drop"):
            found.append("drop: there is no `from` that has scorers to leave out")
    elif not RELEASE.fullmatch(known["from"]):
        found.append(f"from: {known['from']!r} is not the name of a release")
    size_px = known.get("size_px", MIN_SIZE_PX)
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        found.append(f"size_px is {size_px}, must be {MIN_SIZE_PX} to {MAX_SIZE_PX}")
    return found + _path_problems(known, folder) + _scorer_problems(known, folder)


def _path_problems(values: Mapping[str, Any], folder: Path) -> list[str]:
    found = []
    if "encoder" in values and suffix_of(folder / values["encoder"]) is None:
        found.append(f"encoder: {values['encoder']!r} is not {KINDS}")
    if "text_transform" in values and not (folder / values["text_transform"]).is_dir():
        found.append(f"text_transform: {values['text_transform']!r} is not a folder")
    if values.get("functions") and not (folder / values["functions"]).is_file():
        found.append(f"functions: there is no file {values['functions']!r}")
    return found


def _scorer_problems(values: Mapping[str, Any], folder: Path) -> list[str]:
    found = []
    for name, one in values.get("scorers", {}).items():
        if not SCORER.fullmatch(name):
            found.append(f"scorers: {name!r} is not letters, digits, - _ and . (100 at most)")
        if not isinstance(one, dict) or not {"file"} <= set(one) <= SCORER_FIELDS:
            others = ", ".join(sorted(SCORER_FIELDS - {"file"}))
            found.append(f"scorers.{name} has more or less than `file`, and perhaps {others}")
            continue
        file = one["file"]
        if not isinstance(file, str) or not file or suffix_of(folder / file) is None:
            found.append(f"scorers.{name}: file {file!r} is not {KINDS}")
        found += [f"scorers.{name}: {problem}" for problem in _kind_problems(one)]
    return found


def _kind_problems(scorer: Mapping[str, Any]) -> Iterator[str]:
    kind, labels = scorer.get("kind", Kind.CLASSIFICATION), scorer.get("labels", [])
    if kind not in list(Kind):
        yield f"kind {kind!r} is not {', '.join(Kind)}"
    elif kind == Kind.REGRESSION:
        if labels:
            yield "labels are none of a number"
    elif not isinstance(labels, list) or not labels or not _are_texts(labels):
        yield f"labels is not a list of texts: {labels!r}"
    elif len(set(labels)) != len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        yield f"labels are there twice: {', '.join(twice)}"
    if "threshold" in scorer:
        threshold = scorer["threshold"]
        if kind != Kind.MULTILABEL or not isinstance(threshold, float) or not 0 < threshold < 1:
            yield f"threshold {threshold!r} is not a number between 0 and 1, of kind multilabel"


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(one, str) and one for one in values)
