"""The file of `testudo release build`: all that is wrong with it at once, no model opened yet."""

from pathlib import Path

import pytest

from models.manifest import Kind
from testudo.build_spec import BuildSpec, OwnScorer, read_spec
from testudo.errors import CommandError


def written(folder: Path, text: str) -> Path:
    """The file, beside an encoder, a folder, a scorer and functions that are there."""
    for name in ("encoder.onnx", "mood.tflite", "functions.py"):
        (folder / name).touch()
    (folder / "texts").mkdir()
    path = folder / "spec.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_may_be_ones_own(tmp_path: Path) -> None:
    """Paths are relative to the file, whoever reads it from wherever."""
    spec = read_spec(
        written(
            tmp_path,
            """
task = "mine"
size_px = 96
encoder = "encoder.onnx"
text_transform = "texts"
functions = "functions.py"

[scorers.mood]
file = "mood.tflite"
labels = ["good", "bad"]
""",
        )
    )
    assert spec == BuildSpec(
        task="mine",
        base="",
        size_px=96,
        encoder=tmp_path / "encoder.onnx",
        text_transform=tmp_path / "texts",
        functions=tmp_path / "functions.py",
        no_functions=False,
        drop=(),
        scorers={
            "mood": OwnScorer(tmp_path / "mood.tflite", ("good", "bad"), Kind.CLASSIFICATION, 0.5)
        },
    )


def test_a_scorer_may_give_several_labels_or_a_number(tmp_path: Path) -> None:
    """By its kind; a number has no labels, and several labels may have a threshold."""
    spec = read_spec(
        written(
            tmp_path,
            """
task = "mine"
from = "old-1"

[scorers.tags]
file = "mood.tflite"
kind = "multilabel"
labels = ["new", "red"]
threshold = 0.3

[scorers.price]
file = "mood.tflite"
kind = "regression"
""",
        )
    )
    file = tmp_path / "mood.tflite"
    assert spec.scorers == {
        "tags": OwnScorer(file, ("new", "red"), Kind.MULTILABEL, 0.3),
        "price": OwnScorer(file, (), Kind.REGRESSION, 0.5),
    }


def test_a_release_may_give_all_but_one_thing(tmp_path: Path) -> None:
    """Here its functions are left out, and a scorer."""
    spec = read_spec(
        written(tmp_path, 'task = "mine"\nfrom = "old-1"\nfunctions = ""\ndrop = ["mood"]\n')
    )
    assert (spec.base, spec.no_functions, spec.drop) == ("old-1", True, ("mood",))
    assert (spec.encoder, spec.size_px, spec.scorers) == (None, None, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task = ", ["is not TOML: "]),
        (
            "tasks = 'a'\nsize_px = '96'\ndrop = [1]\n",
            [
                ": tasks is not one of task, from, size_px, encoder,",
                ": size_px is not a whole number: '96'",
                ": drop is not a list of texts: [1]",
            ],
        ),
        (
            "task = '../x'\n",
            [
                ": task: '../x' is not letters, digits, - _ and .",
                ": size_px is missing, and there is no `from` to take it from",
                ": encoder is missing,",
                ": text_transform is missing,",
                ": scorers is missing,",
            ],
        ),
        (
            "task = 'a'\nfrom = 'a/b'\nsize_px = 2\nencoder = 'a.h5'\nfunctions = 'no.py'\n",
            [
                ": from: 'a/b' is not the name of a release",
                ": size_px is 2, must be 8 to 1024",
                ": encoder: 'a.h5' is not a .tflite file, an .onnx file or the folder of a",
                ": functions: there is no file 'no.py'",
            ],
        ),
        (
            "task = 'a'\nfrom = 'b'\n"
            "[scorers.'../x']\nfile = 'mood.tflite'\nlabels = ['a', 'a']\n"
            "[scorers.mood]\nfile = 'no.onnx'\nlabels = []\n"
            "[scorers.other]\nfile = 'mood.tflite'\n"
            "[scorers.tags]\nfile = 'mood.tflite'\nlabels = ['a']\nkind = 'tags'\n"
            "[scorers.price]\nfile = 'mood.tflite'\nlabels = ['a']\nkind = 'regression'\n"
            "[scorers.odd]\nfile = 'mood.tflite'\nlabels = ['a']\nthreshold = 0.3\n"
            "[scorers.more]\nfile = 'mood.tflite'\nlabel = ['a']\n",
            [
                ": scorers: '../x' is not letters, digits,",
                ": scorers.../x: labels are there twice: a",
                ": scorers.mood: file 'no.onnx' is not a .tflite file",
                ": scorers.mood: labels is not a list of texts: []",
                ": scorers.other: labels is not a list of texts: []",
                ": scorers.tags: kind 'tags' is not classification, multilabel, regression",
                ": scorers.price: labels are none of a number",
                ": scorers.odd: threshold 0.3 is not a number between 0 and 1, of kind multilabel",
                ": scorers.more has more or less than `file`, and perhaps kind, labels, threshold",
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_at_once(tmp_path: Path, text: str, said: list[str]) -> None:
    """A line each, with the file, the key, what was found and what is wanted."""
    path = written(tmp_path, text)
    with pytest.raises(CommandError) as refused:
        read_spec(path)
    lines = str(refused.value).split("\n")
    assert len(lines) == len(said)
    for line, one in zip(lines, said, strict=True):
        assert line.startswith(str(path))
        assert one in line


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what the system says."""
    with pytest.raises(CommandError, match="nowhere.toml: No such file"):
        read_spec(tmp_path / "nowhere.toml")
