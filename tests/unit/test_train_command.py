"""`testudo train` before and after the training: flags, and whom a new release scores."""

import argparse
import json
from pathlib import Path

import pytest

from models.release import POINTER, Pointer, find_pointer, read_pointer, write_pointer
from testudo import cli
from testudo.commands.train import add_arguments, main, take_up
from testudo.errors import CommandError

OLD, NEW = "listings-0123456789ab", "mine-0123456789ab"
SHARED = Pointer(OLD, canary="next-1", canary_share=0.2, tenants={"acme": "acmes-1"})


def refusal(*argv: str) -> list[str]:
    """The lines that the command refuses its flags with."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(CommandError) as refused:
        main(parser.parse_args(argv))
    return str(refused.value).split("\n")


def test_the_first_release_becomes_the_default(tmp_path: Path) -> None:
    """There is nobody to take anything from, and the next command is named."""
    said = take_up(str(tmp_path / "new"), NEW, activate=False)
    assert read_pointer(str(tmp_path / "new")) == Pointer(NEW)
    assert "It is the default of" in said
    assert "`testudo run --local_releases=" in said


def test_a_later_release_takes_nothing_from_anybody(tmp_path: Path) -> None:
    """Default, tenants, canary and share stay; it says so, and how to change that."""
    write_pointer(str(tmp_path), SHARED)
    before = (tmp_path / POINTER).read_bytes()
    said = take_up(str(tmp_path), NEW, activate=False)
    assert (tmp_path / POINTER).read_bytes() == before
    assert f"{OLD} stays the default" in said
    assert "--activate" in said
    assert f"testudo release push ENVIRONMENT --release={NEW}" in said


def test_activated_it_takes_the_place_of_the_default_alone(tmp_path: Path) -> None:
    """Tenants and canary keep their releases."""
    write_pointer(str(tmp_path), SHARED)
    said = take_up(str(tmp_path), NEW, activate=True)
    kept = {"canary": "next-1", "canary_share": 0.2, "tenants": {"acme": "acmes-1"}}
    assert json.loads((tmp_path / POINTER).read_text()) == {"default": NEW, **kept}
    assert f"in place of {OLD}" in said
    assert "It is the default of" in take_up(str(tmp_path), NEW, activate=True)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--task=my mugs", "--task: 'my mugs' is not letters, digits, - _ and ."),
        ("--task=../x", "--task: '../x'"),
        (f"--task={'m' * 120}", "(115 at most"),
        ("--task=", "--task: ''"),
        ("--epochs=0", "--epochs: is 0, must be 1 or more"),
        ("--size_px=0", "--size_px: is 0, must be 8 to 1024"),
        ("--size_px=1", "--size_px: is 1"),
        ("--size_px=3", "--size_px: is 3"),
        ("--size_px=100000", "--size_px: is 100000"),
        ("--seed=-1", "--seed: is -1, must be 0 to 4294967295"),
        ("--samples=0", "--samples: is 0"),
        ("--max_image_pixels=0", "--max_image_pixels: is 0"),
        ("--max_image_bytes=0", "--max_image_bytes: is 0"),
        ("--releases=", "--releases: ''"),
        ("--releases=s3://bucket/releases", "--releases: 's3://bucket/releases' is neither"),
        ("--releases=gs://", "gs://my-bucket/releases"),
        ("--manifest=nowhere.jsonl", "--manifest: there is no file nowhere.jsonl"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, said: str
) -> None:
    """One line, before the manifest is read or anything written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("no manifest")
    (line,) = refusal("--manifest=manifest.jsonl", flag)
    assert said in line
    assert [one.name for one in tmp_path.iterdir()] == ["manifest.jsonl"]


@pytest.mark.parametrize("name", ["file", "file/releases"])
def test_releases_that_are_no_folder_are_refused(tmp_path: Path, name: str) -> None:
    """A file where the folder, or a folder above it, should be."""
    (tmp_path / "file").write_text("x")
    (line,) = refusal(f"--releases={tmp_path / name}", "--manifest=tests/conftest.py")
    assert line == f"--releases: {tmp_path / 'file'} is a file, not a folder"


def test_a_broken_pointer_is_refused_before_the_training(tmp_path: Path) -> None:
    """Not after it: whatever the release is, nobody could be told to use it."""
    (tmp_path / POINTER).write_bytes(b"\xef\xbb\xbf{}")
    (line,) = refusal(f"--releases={tmp_path}", f"--manifest={tmp_path / POINTER}")
    assert line.startswith(f"--releases: {tmp_path / POINTER} is not a pointer")
    assert "byte order mark" in line


def test_all_that_is_wrong_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a line a flag, with no traceback."""
    (tmp_path / "manifest.jsonl").write_text('{"item_id": ')
    wrong = ["--task=my mugs", "--epochs=0", "--size_px=3", "--seed=-1"]
    code = cli.main(["train", f"--manifest={tmp_path / 'manifest.jsonl'}", *wrong])
    printed = capsys.readouterr().err.removeprefix("testudo train: ").splitlines()
    assert code == 2
    assert [line.split(":")[0] for line in printed] == ["--task", "--seed", "--size_px", "--epochs"]


def test_a_refused_manifest_is_code_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trouble is on the user's side, and nobody is scored by what was not trained."""
    lines = [
        {
            "item_id": f"i{n}",
            "image_uri": f"gs://b/{n}.jpg",
            "text": "a",
            "labels": {"k": "ab"[n % 2]},
        }
        for n in range(90)
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(one) + "\n" for one in lines))
    code = cli.main(["train", f"--manifest={manifest}", f"--releases={tmp_path / 'releases'}"])
    assert code == 2
    assert "90 lines (1, 2, 3, ...): unknown field 'image_uri'" in capsys.readouterr().err
    assert find_pointer(str(tmp_path / "releases")) is None
