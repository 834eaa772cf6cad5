"""The template's metadata and the pipeline's flags say the same, and take the same values."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ParameterType, TemplateMetadata
from google.protobuf import json_format

from beam_pipeline.config import FLAGS, Config, ConfigError
from beam_pipeline.options import config_from
from testudo.cloud.metadata import (
    FILE,
    decimal_pattern,
    metadata,
    metadata_text,
    whole_pattern,
)

REPOSITORY = Path(__file__).parents[2]
PARAMETERS: dict[str, dict[str, Any]] = {one["name"]: one for one in metadata()["parameters"]}
GOOD = {name: flag.example for name, flag in FLAGS.items() if flag.example}
GOOD["releases"] = "gs://my-bucket/testudo/releases"
# Values that no parameter of the kind may take.
WRONG = {
    "PUBSUB_SUBSCRIPTION": ["items", "projects/P/subscriptions/items", "projects/my-project"],
    "PUBSUB_TOPIC": ["items", "projects/P/topics/items", "projects/my-project"],
    "BIGQUERY_TABLE": ["predictions", "my-project:testudo", "gs://my-bucket/testudo"],
    "GCS_WRITE_FOLDER": ["my-bucket", "/var/testudo", "gs://"],
    "GCS_READ_FOLDER": ["my-bucket", "/var/testudo", "gs://"],
    "NUMBER": ["", "abc", "-1", "1e3", "nan", "inf", "0x1", "1,5", " 1", "1\n", "9" * 400],
    "TEXT": ["gs://my-images", "my-images, our-images", "My_Images,"],
}
AROUND = [
    *map(str, (0, 1, 2, 9, 10, 62, 63, 64, 65, 127, 128)),
    "640", "999", "1000", "00", "064", "0.05", "0.1", ".1", "0.25", "0.0",
    "30.0", "63.9", "64.5", "100000000000000", ".", "1.",
]  # fmt: skip


def accepts(name: str, value: str) -> bool:
    return all(re.fullmatch(one, value) for one in PARAMETERS[name]["regexes"])


def refused(**changes: str) -> list[str]:
    """What the pipeline finds wrong with the example values and these changes."""
    try:
        config_from([f"--{name}={value}" for name, value in {**GOOD, **changes}.items()])
    except ConfigError as error:
        return error.problems
    return []


def test_the_file_is_what_the_flags_make() -> None:
    """After a change of a flag: `testudo template metadata`."""
    assert (REPOSITORY / FILE).read_text(encoding="utf-8") == metadata_text()


def test_every_flag_is_a_parameter_and_the_other_way_round() -> None:
    """But for those of files mode and the local stack; help, default, order are the flag's."""
    flags = {n: flag for n, flag in FLAGS.items() if not (flag.only_files or flag.only_local)}
    assert list(PARAMETERS) == list(flags)
    for name, flag in flags.items():
        parameter = PARAMETERS[name]
        assert parameter["helpText"] == flag.help
        default = None if flag.needed else str(getattr(Config, name))
        assert parameter.get("defaultValue") == default


def test_google_knows_every_field_and_kind() -> None:
    """The client of the Dataflow API parses it, and refuses unknown names."""
    parsed = TemplateMetadata.wrap(
        json_format.Parse((REPOSITORY / FILE).read_text("utf-8"), TemplateMetadata.pb()())
    )
    assert [one.name for one in parsed.parameters] == list(PARAMETERS)
    assert all(one.param_type != ParameterType.DEFAULT for one in parsed.parameters)
    with pytest.raises(json_format.ParseError):
        json_format.Parse(json.dumps({**metadata(), "order": 1}), TemplateMetadata.pb()())


def test_what_must_be_given_is_what_the_pipeline_misses() -> None:
    """A launch without a required parameter is refused by both."""
    required = {name for name, one in PARAMETERS.items() if not one["isOptional"]}
    missed = {name for name in GOOD if any(f"--{name}:" in one for one in refused(**{name: ""}))}
    assert required == missed | {"input_subscription"}
    assert refused(input_subscription="")


@pytest.mark.parametrize("name", PARAMETERS)
def test_examples_and_defaults_are_accepted(name: str) -> None:
    """By the parameter's regexes as by the pipeline."""
    parameter = PARAMETERS[name]
    values = [one[name] for one in (GOOD,) if name in one]
    values += [parameter["defaultValue"]] if "defaultValue" in parameter else []
    assert values
    for value in values:
        assert accepts(name, value), value
        assert refused(**{name: value}) == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_wrong_values_are_refused(name: str) -> None:
    """Before a launch, and each by the parameter that it is of."""
    for value in WRONG[PARAMETERS[name]["paramType"]]:
        assert not accepts(name, value), value


@pytest.mark.parametrize("name", [name for name in PARAMETERS if FLAGS[name].least is not None])
def test_the_least_number_is_the_same_on_both_sides(name: str) -> None:
    """What the regex accepts, the pipeline takes; what the pipeline refuses, so does the regex."""
    for value in AROUND:
        if accepts(name, value):
            assert refused(**{name: value}) == [], value
    whole = [value for value in AROUND if value == "0" or re.fullmatch("[1-9][0-9]*", value)]
    for value in whole:
        assert accepts(name, value) == (refused(**{name: value}) == []), value


@pytest.mark.parametrize("least", [0, 1, 9, 10, 64, 99, 128])
def test_a_pattern_of_whole_numbers_begins_at_its_least(least: int) -> None:
    """Each number below is refused, each from there on accepted, up to fifteen digits."""
    pattern = re.compile(whole_pattern(least))
    found = [number for number in range(2000) if pattern.fullmatch(str(number))]
    assert found == list(range(least, 2000))
    assert pattern.fullmatch("9" * 15)
    assert not pattern.fullmatch("9" * 16)


def test_no_pattern_is_made_for_a_least_value_that_nobody_tested() -> None:
    """A flag with another fraction as its least value needs a pattern of its own."""
    with pytest.raises(ValueError, match="0.25"):
        decimal_pattern(0.25)


def test_every_regex_means_the_same_in_java() -> None:
    """Dataflow reads them with another engine: nothing in them goes beyond what both have."""
    for parameter in PARAMETERS.values():
        for regex in parameter["regexes"]:
            assert regex.startswith("^(")
            assert regex.endswith(")$")
            assert not re.search(r"\(\?|\\[AZzbBpPk<]|[*+?}][+?]", regex), regex
