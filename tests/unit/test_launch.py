"""The template's entry refuses, before it asks any service, what no launch can be made of."""

from pathlib import Path

import pytest

from beam_pipeline.main import launch

STREAM = [
    "--input_subscription=projects/my-project/subscriptions/items",
    "--predictions_table=my-project:testudo.predictions",
    "--dead_letters_table=my-project:testudo.dead_letters",
    "--output=gs://my-bucket",
    "--releases=gs://my-bucket/releases",
]


def test_wrong_flags_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, where the launcher's log has it; the exit code says wrong usage."""
    assert launch([*STREAM, "--text_batch_size=0", "--nonsense=1"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "--nonsense=1: no such flag",
        "--text_batch_size: is 0, must be 1 or more",
    ]
    assert told.out == ""


def test_workers_must_be_of_the_launchers_image(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name for it they would run Beam's own, which has none of this code."""
    assert launch([*STREAM, "--runner=DataflowRunner"]) == 2
    assert capsys.readouterr().err.startswith("--sdk_container_image: is missing")


def test_a_template_does_not_read_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both problems of such a launch are told, and nothing is run."""
    flags = ["--input_file=items.jsonl", f"--output={tmp_path}", f"--releases={tmp_path}"]
    assert launch(flags) == 2
    told = capsys.readouterr().err
    assert "--input_subscription: is missing" in told
    assert "--sdk_container_image: is missing" in told
    assert list(tmp_path.iterdir()) == []
