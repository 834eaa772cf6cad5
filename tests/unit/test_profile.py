"""Profiles: what they ask for over time, and what is refused."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.traffic.day import Day
from loadtest.traffic.demand import Bursts, Onboarding, TimeZone, Wild
from loadtest.traffic.kinds import Kind
from loadtest.traffic.profile import (
    BadProfile,
    Copies,
    Faults,
    Part,
    Profile,
    packaged_profiles,
    read_profile,
)

HOUR_S, DAY_S = 3600.0, 86400.0
TEXT = Part(kind=Kind(name="text"), share=1.0)
GOOD = """
customers = 3
rate_a_customer = 1
[[mix]]
name = "text"
share = 1
"""


def profile(**changes: Any) -> Profile:
    whole: dict[str, Any] = {"name": "test", "customers": 10, "rate_a_customer": 2.0}
    return Profile(**{**whole, "mix": (TEXT,), **changes})


def schema() -> Mapping[str, Any]:
    text = resources.files("loadtest.traffic").joinpath("profile.schema.json").read_text()
    return json.loads(text)["properties"]


def refused(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file, a line a problem, each without the file's name."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadProfile) as error:
        read_profile(str(path))
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("name", sorted(packaged_profiles()))
def test_packaged_profiles_can_be_read(name: str) -> None:
    """Each has its file's name, and kinds whose shares add up to 1."""
    read = read_profile(name)
    kinds, shares = read.kinds
    assert read.name == name
    assert sum(shares) == pytest.approx(1)
    assert len({kind.name for kind in kinds}) == len(kinds)


def test_the_schema_has_the_fields_of_the_records() -> None:
    """A field of the file is a field of the record, and the other way round."""

    def names(record: type) -> set[str]:
        return {field.name for field in dataclasses.fields(record)}

    properties = schema()
    assert set(properties) == names(Profile) - {"name"}
    for key, record in (
        ("bursts", Bursts),
        ("onboarding", Onboarding),
        ("copies", Copies),
        ("broken", Faults),
        ("poison", Faults),
    ):
        assert set(properties[key]["properties"]) == names(record)
    for key, record in (("time_zones", TimeZone), ("wild", Wild)):
        assert set(properties[key]["items"]["properties"]) == names(record)
    fields = set(properties["mix"]["items"]["properties"])
    assert fields == names(Kind) - {"fault", "expected"} | {"share"}


def test_every_field_is_described() -> None:
    """In the schema, from where docs/reference.md has it."""

    def described(properties: Mapping[str, Any]) -> Iterator[bool]:
        for field in properties.values():
            yield field["description"].endswith(".")
            yield from described(field.get("properties", {}))
            yield from described(field.get("items", {}).get("properties", {}))

    assert all(described(schema()))


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    """What is left out has defaults: no skew, no day, no faults; pictures are JPEG."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"text"', '"photo"') + "width_px = 64\nheight_px = 48\n")
    read = read_profile(str(path))
    assert (read.name, read.zipf, read.copies.share, read.bursts) == ("mine", 0, 0, None)
    assert [one.format for one in read.kinds[0]] == ["JPEG"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """A typo, a wrong type and a negative number: each with its key."""
    found = refused(
        tmp_path,
        'customer = 3\ncustomers = "many"\nrate_a_customer = -1\nday = [1, 2]\n'
        '[[mix]]\nname = "a b"\nshare = nan\nwidth_px = 2026-01-01\n',
    )
    for part in ("'customer'", "customers: ", "rate_a_customer: ", "day: ", "mix[0].name: "):
        assert any(part in line for line in found), part
    assert any(line.startswith("mix[0].share: ") for line in found)
    assert any(line.startswith("mix[0].width_px: ") for line in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("share = 1", "share = 0.9"), "mix: the shares add up to 0.9, not 1"),
        (GOOD + '[[mix]]\nname = "text"\nshare = 0\n', "mix: 2 are named text"),
        (GOOD + "width_px = 64\n", "mix[0]: width_px and height_px go together"),
        (GOOD + 'format = "PNG"\n', "mix[0]: format and by_uri are of pictures"),
        (GOOD + "has_text = false\n", "mix[0]: without a text it needs a picture"),
        ("day = [" + "0," * 24 + "]\n" + GOOD, "day: all weights are 0"),
        (
            GOOD + "[[wild]]\ntenant = 4\nfrom_s = 0\nlength_s = 1\nfactor = 2\n",
            "wild[0].tenant: 4, and there are 3 customers",
        ),
        (
            GOOD + "[onboarding]\nstart_customers = 4\nwaves = 1\nover_s = 1\n",
            "onboarding.start_customers: 4",
        ),
        (GOOD + '[broken]\nshare = 0.1\nkinds = ["bent"]\n', "broken.kinds[0]: 'bent' is none of"),
        (GOOD + "[broken]\nshare = 0.6\n[poison]\nshare = 0.6\n", "broken.share and poison.share"),
        (GOOD + "[[time_zones]]\noffset_h = 1\nshare = 0.5\n", "time_zones: the shares add up"),
        ("customers = \n", "not a TOML file"),
        ("\0", "not a TOML file"),
        (f"customers = {10**30}\n" + GOOD.replace("customers = 3\n", ""), "64-bit"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Sums, names and numbers that no schema sees."""
    assert any(said in line for line in refused(tmp_path, text))


def test_a_profile_that_is_not_there_is_refused_with_those_that_are() -> None:
    """Neither a packaged name nor a file."""
    with pytest.raises(
        BadProfile, match="nothing.toml: No such file.*marketplace, neighbour, steady, wild"
    ):
        read_profile("nothing.toml")


def test_a_day_and_its_inverse_agree() -> None:
    """To weighted time and back, in any zone, over several days."""
    day = Day(weights=[1, 5, 0.1] * 8, day_s=100.0, start_hour=7)
    times_s = np.linspace(0, 350, 1000)
    for offset_h in (-8.0, 0.0, 5.5):
        weighted_s = day.weighted_s(times_s, offset_h)
        assert np.allclose(day.times_s(weighted_s, offset_h), times_s)
        assert weighted_s[0] == 0
        assert day.weighted_s(np.array([200.0]), offset_h)[0] == pytest.approx(200)


def test_the_mean_over_a_day_is_customers_times_rate() -> None:
    """Whatever the curve, the zones and the skew."""
    shaped = profile(
        day=range(24),
        zipf=1.2,
        time_zones=(TimeZone(offset_h=-6, share=0.5), TimeZone(offset_h=8, share=0.5)),
    )
    assert shaped.offered(60, DAY_S, seed=1).mean() == pytest.approx(20)
    assert shaped.offered(60, DAY_S, customers=2000, seed=1).mean() == pytest.approx(4000)


def test_demand_follows_the_day_of_the_zone() -> None:
    """The peak of a customer six hours ahead comes six hours earlier."""
    day = [1.0] * 24
    day[19] = 10.0
    peaks = [
        profile(day=day, time_zones=(TimeZone(offset_h=offset_h, share=1),))
        .offered(HOUR_S, DAY_S, seed=1)
        .argmax()
        for offset_h in (0, 6)
    ]
    assert peaks == [19, 13]
    later = profile(day=day, start_hour=9).offered(HOUR_S, DAY_S, seed=1)
    assert later.argmax() == 10


def test_customers_are_of_zipfs_sizes() -> None:
    """The n-th largest customer sends 1/n of what the largest sends."""
    stretches = profile(zipf=1.0).stretches(10.0, customers=100, seed=1)
    assert np.allclose(stretches.rate[0] / stretches.rate, np.arange(1, 101))
    assert stretches.rate.sum() == pytest.approx(200)


def test_bursts_add_what_they_should() -> None:
    """On average: bursts a day, times their length, times what they add."""
    bursty = profile(bursts=Bursts(a_day=4, length_s=900, factor=6))
    more = bursty.offered(60, 30 * DAY_S, customers=300, seed=1).mean() / 600
    assert more == pytest.approx(1 + 4 * 900 / DAY_S * 5, rel=0.02)


def test_customers_join_in_waves_of_the_same_factor() -> None:
    """From 30 to 1920 in six waves: twice as many after each."""
    growing = profile(onboarding=Onboarding(start_customers=30, waves=6, over_s=600))
    offered = growing.offered(100, 1000, customers=1920, seed=1)
    assert np.allclose(offered[:7], [60 * 2**wave for wave in range(7)])
    assert np.allclose(offered[6:], 3840)


def test_a_wild_tenant_is_wild_while_it_lasts() -> None:
    """One of ten alike, eleven times as much for twenty seconds: twice the sum."""
    wild = profile(wild=(Wild(tenant=3, from_s=40, length_s=20, factor=11),))
    offered = wild.offered(20, 100, seed=1)
    assert np.allclose(offered, [20, 20, 40, 20, 20])


def test_a_compressed_day_asks_for_the_same_rates() -> None:
    """Every length of time shrinks, so a day's shape fits into minutes."""
    read = dataclasses.replace(read_profile("growth"), bursts=None)
    whole = read.offered(HOUR_S, 30 * DAY_S, seed=1)
    short = read.compressed(1440).offered(HOUR_S / 1440, 30 * 60, seed=1)
    assert np.allclose(whole, short)


def test_the_last_step_may_be_short() -> None:
    """The mean of what is left, not of a whole step."""
    assert np.allclose(profile().offered(60, 90, seed=1), [20, 20])
