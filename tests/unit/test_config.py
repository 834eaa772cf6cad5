"""Flags: all that is wrong is told at once, each by its flag."""

import pytest

from beam_pipeline.config import Config, ConfigError
from beam_pipeline.options import config_from, flags_help
from models.features import ImageLimits
from models.kernels import CallLimits
from transforms.settings import ImageAccess, Quota

FILES = ("--input_file=in.jsonl", "--output=out/", "--releases=releases/")
STREAM = (
    "--input_subscription=projects/my-project/subscriptions/items",
    "--predictions_table=my-project:testudo.predictions",
    "--dead_letters_table=my-project.testudo.dead_letters",
    "--output=gs://my-bucket/testudo",
    "--releases=gs://my-bucket/releases",
)


def problems(*flags: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_from(flags)
    return caught.value.problems


def named(*flags: str) -> list[str]:
    """The flags that the problems begin with."""
    return [problem.split(":")[0] for problem in problems(*flags)]


def test_a_run_over_files_needs_three_flags() -> None:
    """All other values are defaults; slashes at the end do not matter."""
    config, _ = config_from(FILES)
    assert config == Config(input_file="in.jsonl", output="out", releases="releases")
    assert config.payloads == "out/payloads"


def test_a_streaming_run_names_its_tables() -> None:
    """Both spellings of a BigQuery table, with a colon or a dot, are taken."""
    config, _ = config_from(STREAM)
    assert config.input_subscription == "projects/my-project/subscriptions/items"
    assert config.predictions_table == "my-project:testudo.predictions"
    assert config.dead_letters == "gs://my-bucket/testudo/dead-letters"


def test_every_flag_reaches_the_configuration() -> None:
    """In the field of its name, or in the limits and the access that it is part of."""
    config, _ = config_from(
        [
            *FILES,
            "--release_refresh_s=1.5",
            "--image_batch_size=2",
            "--text_batch_size=3",
            "--score_batch_size=4",
            "--image_buckets=one-bucket,two.bucket",
            "--fetch_timeout_s=5.5",
            "--max_message_bytes=6",
            "--unknown_fields=refuse",
            "--max_image_bytes=7",
            "--max_image_pixels=8",
            "--decode_timeout_s=12",
            "--call_timeout_s=13",
            "--call_memory_mb=140",
            "--tenant_share=0.15",
            "--overflow_after_s=16",
        ]
    )
    assert config == Config(
        input_file="in.jsonl",
        output="out",
        releases="releases",
        release_refresh_s=1.5,
        image_batch_size=2,
        text_batch_size=3,
        score_batch_size=4,
        image_buckets="one-bucket,two.bucket",
        fetch_timeout_s=5.5,
        max_message_bytes=6,
        unknown_fields="refuse",
        max_image_bytes=7,
        max_image_pixels=8,
        decode_timeout_s=12.0,
        call_timeout_s=13.0,
        call_memory_mb=140,
        tenant_share=0.15,
        overflow_after_s=16.0,
    )
    assert config.image_access == ImageAccess(frozenset({"one-bucket", "two.bucket"}), 5.5)
    assert config.image_limits == ImageLimits(7, 8)
    assert config.calls == CallLimits(12.0, 13.0, 140_000_000)
    assert config.quota == Quota(share=0.15, after_s=16.0)


def test_quotas_are_of_a_stream() -> None:
    """A topic for their excess needs its whole path, and files have none."""
    topic = "projects/my-project/topics/items-overflow"
    config, _ = config_from([*STREAM, f"--overflow_topic={topic}"])
    assert config.overflow_topic == topic
    assert named(*STREAM, "--overflow_topic=items-overflow") == ["--overflow_topic"]
    assert named(*FILES, f"--overflow_topic={topic}") == ["--overflow_topic"]


@pytest.mark.parametrize("value", ["", "drop", "Keep", "keep,refuse"])
def test_a_flag_of_two_words_takes_no_other(value: str) -> None:
    """Nor none: what an empty variable of a script would give."""
    flag = f"--unknown_fields={value}"
    said = [f"--unknown_fields: {value!r} does not have the form keep|refuse"]
    assert problems(*FILES, flag) == problems(*STREAM, flag) == said
    assert Config().keep_unknown
    assert not Config(unknown_fields="refuse").keep_unknown


def test_beams_own_flags_pass_through() -> None:
    """Runner, region and workers are Beam's to read."""
    _, options = config_from([*STREAM, "--region=europe-west1", "--max_num_workers=7"])
    assert options.get_all_options()["region"] == "europe-west1"
    assert options.get_all_options()["max_num_workers"] == 7


def test_nothing_at_all_lists_everything_that_is_needed() -> None:
    """One run of the command is enough to learn it."""
    assert named() == ["--input_subscription or --input_file", "--output", "--releases"]


def test_all_problems_are_told_at_once() -> None:
    """Unknown flags, unreadable and impossible numbers, malformed names, missing tables."""
    assert sorted(
        named(
            "--input_subscription=items",
            "--predictions_table=predictions",
            "--output=/home",
            "--releases=gs://my-bucket/releases",
            "--image_buckets=fine-bucket,Not_A_Bucket",
            "--text_batch_size=0",
            "--image_batch_size=many",
            "--image_bach_size=1",
        )
    ) == [
        "--dead_letters_table",
        "--image_bach_size=1",
        "--image_batch_size",
        "--image_buckets",
        "--input_subscription",
        "--output",
        "--predictions_table",
        "--text_batch_size",
    ]


@pytest.mark.parametrize(
    "flag",
    [
        "--text_batch_size=1.5",
        "--text_batch_size=",
        "--release_refresh_s=soon",
        "--release_refresh_s=nan",
        "--fetch_timeout_s=0",
        "--max_image_pixels=-1",
        "--decode_timeout_s=0",
        "--call_timeout_s=nan",
        "--call_memory_mb=63",
        "--score_batch_size=-1",
        "--image_batch_size=0",
        "--tenant_share=0",
        "--tenant_share=1.01",
        "--tenant_share=nan",
        "--overflow_after_s=-5",
    ],
)
def test_a_number_that_cannot_be_used_is_told_by_its_flag(flag: str) -> None:
    """Not a number, not a whole one, or too small."""
    assert named(*FILES, flag) == [flag.split("=", maxsplit=1)[0]]


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        ((*FILES, "--input_subscription=projects/my-project/subscriptions/items"), "--input_sub"),
        ((*FILES, "--predictions_table=my-project:testudo.predictions"), "--predictions_table"),
        ((*FILES, "--streaming"), "--streaming"),
        ((*STREAM, "--input_fil=a"), "--input_fil=a"),
        ((*STREAM, "stray"), "stray"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags: tuple[str, ...], flag: str) -> None:
    """Files and streams exclude each other; no flag is guessed from its beginning."""
    assert any(one.startswith(flag) for one in named(*flags))


def test_the_help_shows_every_flag() -> None:
    """What `testudo run --help` prints."""
    assert "--image_buckets BUCKET,BUCKET" in flags_help()
