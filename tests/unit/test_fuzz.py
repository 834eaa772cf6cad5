"""The fuzzer: the same inputs again, a bounded run over the code as it is, and its findings."""

import multiprocessing
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from rigs import fuzz, mutations
from rigs.__main__ import main

from loadtest.traffic.poison_files import saved
from models.bare_images import IMAGE_FORMATS
from models.failures import Reason, Rejected, Stage
from models.features import OUT_OF_MEMORY
from models.image_files import bare_image

SEED = 11
INPUTS = 3_000


@pytest.mark.slow
def test_an_input_is_known_by_its_seed_and_number() -> None:
    """So that a finding can be made again, wherever a run stopped."""
    inputs = [fuzz.input_of(SEED, number) for number in range(60)]
    assert inputs == [fuzz.input_of(SEED, number) for number in range(60)]
    assert Counter(target for target, _ in inputs) == {"message": 30, "image": 30}
    assert len({data for _, data in inputs}) > 50
    assert inputs != [fuzz.input_of(SEED + 1, number) for number in range(60)]


def test_the_seeds_are_of_every_format_and_kind() -> None:
    """Pictures of four formats that decode, and messages that are taken."""
    whole = mutations.image_seeds()[: mutations.WHOLE_IMAGES]
    for seed in whole:
        fuzz.fuzz_image(seed)
    assert {bare_image(seed).format for seed in whole} == {*IMAGE_FORMATS}
    assert sum(data.startswith(b"{") for data in mutations.message_seeds()) > 50


def test_checksums_are_mended_and_nothing_else() -> None:
    """A PNG whose checksums are right is not changed; other files never are."""
    png, jpeg = saved("PNG"), saved("JPEG")
    assert mutations.with_checksums(png) == png
    assert mutations.with_checksums(jpeg) == jpeg
    broken = png[:29] + b"1234" + png[33:]
    assert mutations.with_checksums(broken) == png


@pytest.mark.slow
def test_of_some_thousand_inputs_each_gives_a_value_or_a_reason() -> None:
    """The parser and the decoder as they are, in this process."""
    counts = Counter(fuzz.try_input(SEED, number)[1:3] for number in range(INPUTS))
    assert counts.total() == INPUTS
    assert {target for target, outcome in counts if outcome == fuzz.FINDING} == set()
    reasons = {outcome for _, outcome in counts}
    assert reasons >= {
        fuzz.TAKEN, Reason.NOT_JSON, Reason.SCHEMA_VIOLATION, Reason.IMAGE_NOT_BASE64,
        Reason.IMAGE_FORMAT_REFUSED, Reason.IMAGE_UNREADABLE, Reason.IMAGE_TOO_LARGE,
    }  # fmt: skip


def _divides(data: bytes) -> None:
    1 / (len(data) - len(data))


def _lacks_memory(data: bytes) -> None:
    raise Rejected(Reason.IMAGE_TOO_LARGE, OUT_OF_MEMORY)


@pytest.mark.parametrize(
    ("call", "detail"), [(_divides, "ZeroDivisionError"), (_lacks_memory, "memory")]
)
def test_what_is_no_reason_is_a_finding(
    call: fuzz.Target, detail: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is saved with its exception, and the command that repeats it does so."""
    target = fuzz.Target(Stage.IMAGE, random.Random.randbytes, call)
    monkeypatch.setitem(
        fuzz.TARGETS, "image", target._replace(make=lambda chance: chance.randbytes(9))
    )
    finding = fuzz.try_input(SEED, 1)
    assert finding.name == fuzz.FINDING
    assert detail in finding.detail
    path = fuzz.save(tmp_path, SEED, finding)
    assert path.read_bytes() == fuzz.input_of(SEED, 1)[1]
    words = path.with_suffix(".txt").read_text()
    assert finding.detail in words
    assert f"PYTHONPATH=tests python -m rigs fuzz --repeat={path}" in words
    if call is _divides:
        with pytest.raises(ZeroDivisionError):
            main(["fuzz", f"--repeat={path}"])


@pytest.mark.slow
def test_an_input_that_ends_the_process_is_a_finding_and_the_next_is_tried() -> None:
    """A crash of a native decoder would be such an end."""
    run = fuzz.outcomes(SEED, 500_000, 3600.0)
    try:
        first = next(run)
        assert first.number == 0
        (child,) = multiprocessing.active_children()
        assert child.pid
        os.kill(child.pid, signal.SIGSEGV)
        following = next(one for one in run if one.name == fuzz.FINDING)
        assert following.detail == "ended the process by SIGSEGV"
        after = next(run)
        assert after.number == following.number + 1
        assert after.name != fuzz.FINDING
    finally:
        run.close()
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_run_of_so_many_inputs_ends_and_says_what_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself: no findings, exit code 0, and nothing is saved."""
    flags = ["--inputs=200", "--seconds=3600", f"--seed={SEED}", f"--home={tmp_path}"]
    assert main(["fuzz", *flags]) == 0
    assert f"200 inputs of seed {SEED}, 0 findings" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
