"""`testudo run` over files: what is missing, in the way or no JSON Lines is told at its start."""

import codecs
import dataclasses
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Releases
from gcp_storage_emulator.server import create_server
from google.cloud import storage

from beam_pipeline.config import Config, ConfigError
from beam_pipeline.file_checks import check_files
from testudo.cli import main

BUCKET = "results"
LINE = b'{"item_id": "a", "tenant_id": "t", "text": "a mug"}\n'


@pytest.fixture
def config(tmp_path: Path, releases: Releases) -> Config:
    """A run that may start."""
    (tmp_path / "in.jsonl").write_bytes(LINE)
    return Config(
        input_file=str(tmp_path / "in.jsonl"),
        output=str(tmp_path / "out"),
        releases=releases.root,
    )


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    """Of the Cloud Storage stand-in, in this process, which clients are led to."""
    with create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET) as server:
        port = server._api._httpd.server_address[1]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        yield storage.Client().bucket(BUCKET)


def problems(config: Config, **changes: Any) -> list[str]:
    """What is told of a run with these values changed; each in a line of its own."""
    with pytest.raises(ConfigError) as caught:
        check_files(dataclasses.replace(config, **changes))
    assert not any("\n" in one for one in caught.value.problems)
    return caught.value.problems


def test_what_is_whole_may_start(config: Config) -> None:
    """Nothing is written by looking; folders that are missing are made by the run."""
    check_files(config)
    assert not Path(config.output).exists()


def test_all_that_is_missing_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, with code 2, a line a flag."""
    (tmp_path / "out").write_text("a file")
    flags = {"input_file": "in.jsonl", "output": "out", "releases": "releases"}
    code = main(["run", *(f"--{name}={tmp_path / path}" for name, path in flags.items())])
    assert code == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == f"testudo run: --input_file: there is no file {tmp_path / 'in.jsonl'}"
    assert second == f"--output: {tmp_path / 'out'} is a file, not a folder"
    assert third.startswith("--releases: cannot read ")


def test_a_folder_is_no_input(config: Config, tmp_path: Path) -> None:
    """What to write instead is told."""
    (told,) = problems(config, input_file=str(tmp_path))
    assert told.endswith(f"is a folder; name its files, as {tmp_path}/*.jsonl")


def test_a_pattern_without_files_is_refused(config: Config, tmp_path: Path) -> None:
    """As a file that is not there."""
    (told,) = problems(config, input_file=str(tmp_path / "*.json"))
    assert told.startswith("--input_file: there is no file ")


def test_an_output_below_a_file_is_refused(config: Config, tmp_path: Path) -> None:
    """The file in the way is named."""
    (told,) = problems(config, output=str(tmp_path / "in.jsonl" / "out"))
    assert told == f"--output: {tmp_path / 'in.jsonl'} is a file, not a folder"


def test_other_stores_are_refused(config: Config) -> None:
    """They would be taken for folders of such a name."""
    (told,) = problems(config, output="s3://bucket/out")
    assert told == "--output: s3://bucket/out is neither a local path nor gs://"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" + LINE.strip() + b"]", "line 1 begins with [, as a JSON array does"),
        (b"\n [\n" + LINE + b"]", "line 2 begins with ["),
        (json.dumps({"item_id": "a"}, indent=1).encode(), "line 1 begins an object that ends on"),
        (codecs.BOM_UTF8 + LINE, "line 1 begins with a byte order mark;"),
        (LINE.decode().encode("utf-16"), "byte order mark of UTF-16"),
        (LINE.decode().encode("utf-16-be"), "is not in UTF-8, but in UTF-16"),
        (gzip.compress(LINE, mtime=0), "compressed with gzip"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused(config: Config, content: bytes, told: str) -> None:
    """With the file, the line, and what is wanted."""
    Path(config.input_file).write_bytes(content)
    (problem,) = problems(config)
    assert problem.startswith(f"--input_file: {config.input_file}: ")
    assert told in problem
    assert problem.endswith("wanted is JSON Lines: one object a line, in UTF-8")


def test_every_file_of_a_pattern_is_looked_at(config: Config, tmp_path: Path) -> None:
    """Three are named, and the others counted."""
    for number in range(5):
        (tmp_path / f"{number}.json").write_bytes(b"[]")
    (tmp_path / "5.json").write_bytes(LINE)
    found = problems(config, input_file=str(tmp_path / "*.json"))
    assert len(found) == 4
    assert found[-1] == "--input_file: 2 more files"


@pytest.mark.parametrize("content", [b"", b"\n \n", LINE, b"cut {\n" + LINE, b"{\n" + LINE])
def test_what_is_wrong_with_one_item_is_left_to_the_run(config: Config, content: bytes) -> None:
    """As is a file without any."""
    Path(config.input_file).write_bytes(content)
    check_files(config)


def test_a_compressed_file_is_looked_into(config: Config, tmp_path: Path) -> None:
    """Where its name says so, as it is read."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(LINE, mtime=0))
    check_files(Config(input_file=str(path), output=config.output, releases=config.releases))
    path.write_bytes(gzip.compress(b"[]", mtime=0))
    assert "line 1 begins with [" in problems(config, input_file=str(path))[0]
    path.write_bytes(LINE)
    assert "cannot be read: " in problems(config, input_file=str(path))[0]


@pytest.mark.parametrize(
    ("left", "named"),
    [
        ("predictions-00000-of-00003.jsonl", "predictions-*"),
        ("dead_letters-00000-of-00001.jsonl", "dead_letters-*"),
        ("beam-temp-predictions-0a1b/1.predictions.jsonl", "beam-temp-predictions-*"),
        ("archive/dt=2026-11-24/1.parquet", "archive/"),
        ("payloads/dt=2026-11-24/1", "payloads/"),
    ],
)
@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_folder_with_results_is_refused(
    config: Config, bucket: storage.Bucket, left: str, named: str, where: str
) -> None:
    """What an earlier run left, a killed one too, is neither mixed with nor removed."""
    output = config.output if where == "folder" else f"gs://{BUCKET}/out"
    if where == "folder":
        path = Path(output) / left
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    else:
        bucket.blob(f"out/{left}").upload_from_string("")
    (told,) = problems(config, output=output)
    assert told == (
        f"--output: {output} has {named} of an earlier run; name another, or remove these first"
    )


def test_what_no_run_wrote_is_not_in_the_way(config: Config, bucket: storage.Bucket) -> None:
    """The messages may lie in the same folder; a bucket's other folders are others'."""
    for name in ("messages.jsonl", "notes/predictions-00000-of-00001.jsonl"):
        path = Path(config.output) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    check_files(config)
    bucket.blob("predictions-00000-of-00001.jsonl").upload_from_string("")
    check_files(
        Config(input_file=config.input_file, output=f"gs://{BUCKET}/out", releases=config.releases)
    )


def test_without_credentials_every_bucket_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Google's own client, before Beam's would try for minutes."""
    monkeypatch.setenv("HOME", str(tmp_path))  # where a person's credentials would be
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(ConfigError) as caught:
        check_files(Config(input_file="gs://b/*.jsonl", output="gs://b/out", releases="gs://b/r"))
    assert [one.split(":")[0] for one in caught.value.problems] == [
        "--input_file",
        "--output",
        "--releases",
    ]
    assert all("DefaultCredentialsError" in one for one in caught.value.problems)
