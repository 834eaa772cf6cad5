"""`testudo try`: one item through a release's models' processes, and what is said of it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import encoded, quadrants
from conftest import Releases
from function_releases import with_functions
from PIL import Image

from models.failures import Reason
from models.features import decode_image
from testudo import cli
from testudo.reasons import REASONS, in_words

INVERTED = """
from PIL import ImageOps

def prepare_image(image):
    print("seen")  # what a program reads of the command is not this
    return ImageOps.invert(image)

def decide(scores, fields):
    return {"dear": fields["price"] > 10}
"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "mug.jpg"
    path.write_bytes(encoded(quadrants(90, 60), "JPEG"))
    return path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "give --image or --text"),
        (["--image=nowhere.jpg"], "--image: there is no file nowhere.jpg"),
        (["--text=a", "--functions=nowhere.py"], "--functions: there is no file nowhere.py"),
        (["--text=a", "--fields=[1]"], "--fields: is an array; wanted is an object"),
        (["--text=a", "--fields={price: 3}"], "--fields: is no JSON ("),
        (["--text=a", "--save_square=a.png"], "--save_square: an item without --image"),
        (["--text=a"], "--releases: cannot read"),
        (["--text=a", "--release=../a"], "--release: '../a' is not the name of a release"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    """Before a process is started."""
    assert cli.main(["try", f"--releases={tmp_path}", *flags]) == 2
    assert said in capsys.readouterr().err


def test_it_starts_without_beam() -> None:
    """Which takes seconds that one item is not worth."""
    code = "import sys, testudo.commands.try_item; print([m for m in sys.modules if 'beam' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_item_is_shown_with_what_each_step_made_of_it(
    releases: Releases, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the default release: facts, features, scores, milliseconds; JSON for programs."""
    flags = ["try", f"--releases={releases.root}", f"--image={picture}", "--text=a red mug"]
    assert cli.main([*flags, "--format=json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["release"] == releases.first.release
    assert shown["image"]["width_px"] == 90
    assert shown["text"] == {"length_chars": 9}
    assert [one["name"] for one in shown["features"]][:2] == ["embedding", "token_ids"]
    for scorer in releases.first.scorers:
        scores = [one["score"] for one in shown["scores"] if one["model"] == scorer.name]
        assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert shown["spent_ms"].keys() == {"decode", "encode", "text", "score"}
    assert (shown["decisions"], shown["dead_letter"]) == (None, None)


def test_functions_are_tried_before_they_are_released(
    releases: Releases, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a file in place of the release's; the square is what the encoder reads."""
    functions, square = tmp_path / "mine.py", tmp_path / "square.png"
    functions.write_text(INVERTED)
    flags = [
        "try", f"--releases={releases.root}", f"--image={picture}", '--fields={"price": 11}',
        f"--functions={functions}",
    ]  # fmt: skip
    assert cli.main([*flags, f"--save_square={square}"]) == 0
    out = capsys.readouterr().out
    assert '"dear": true' in out
    assert f"of {functions}" in out
    assert "embedding" in out
    pixels, _ = decode_image(picture.read_bytes(), size_px=releases.first.image_size_px)
    with Image.open(io.BytesIO(square.read_bytes())) as saved:
        assert (np.asarray(saved) == 255 - pixels).all()
    functions.write_text("import no_such_library")
    assert cli.main(flags) == 2
    assert "--functions: " in capsys.readouterr().err
    assert cli.main([*flags[:-1], "--format=json"]) == 0  # with none, as it was
    assert json.loads(capsys.readouterr().out)["decisions"] is None


def test_a_dead_letter_is_shown_with_what_to_do(
    releases: Releases, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1: a function of the release fails on this item, since its message has no price."""
    made = with_functions(releases.root, releases.first, INVERTED, tmp_path)
    flags = [
        "try",
        f"--releases={releases.root}",
        f"--release={made.release}",
        f"--image={picture}",
    ]
    assert cli.main(flags) == 1
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "function_failed, stage score" in out
    assert "decide: KeyError: 'price' in decide, functions.py line" in out
    remedy = in_words(REASONS[Reason.FUNCTION_FAILED].remedy)
    assert remedy in out
    picture.write_bytes(b"<svg/>")
    assert cli.main([*flags, "--format=json"]) == 1
    (failure,) = json.loads(capsys.readouterr().out)["dead_letter"]
    assert failure["reason"] == Reason.IMAGE_FORMAT_REFUSED
