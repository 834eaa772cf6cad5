"""The report: what it reads, what it refuses, and a page that is safe to open."""

import base64
import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import load_results
import numpy as np
import pyarrow as pa
import pytest

from loadtest.measuring.comparison import Comparison, compare
from loadtest.measuring.fairness import Fairness, Shares
from loadtest.records import write_record
from loadtest.report.marks import MOST_POINTS, chunks, most
from loadtest.report.material import BadMaterial, Material, read_material
from loadtest.report.page import page, sections
from loadtest.report.quantities import number, seconds, size, usd
from loadtest.report.section import Judged
from loadtest.results import Result
from testudo.cli import main
from testudo.cloud.plan_file import PLANNED

HOSTILE = "</script><script>alert('x')</script><img src=//a.example onerror=alert(1)>"
KINDS: dict[str, Callable[[], Material]] = {
    "run-1": lambda: Material(runs=[short()]),
    "knee-1": lambda: Material(knees=[load_results.knee()]),
    "proof-1": lambda: Material(proofs=[load_results.proof()]),
    "fairness-1": lambda: Material(fairness=[fairness()]),
    "comparison-1": lambda: Material(comparisons=[comparison()]),
    "plan-1": lambda: Material(plans=[load_results.plan()]),
}


class Read(HTMLParser):
    """What a browser would find in the page: attributes, scripts, texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.ids: set[str] = set()
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        self.scripts += [""] * (tag == "script")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts[-1] += data


def short(**changes: Any) -> Result:
    """A run of ten seconds."""
    return load_results.result(duration_s=10, **changes)


def shares(name: str, others_s: float, wild_s: float | None) -> Shares:
    """Ten items of the others, and of the wild tenant where it is there."""
    wild = None if wild_s is None else load_results.latency(np.full(10, wild_s))
    return Shares(name=name, others=load_results.latency(np.full(10, others_s)), wild=wild)


def fairness(wild: str = "tenant-0001", *, last_s: float = 1.0) -> Fairness:
    """A calm run, one beside a wild tenant, and one with quotas."""
    runs = [shares("calm", 0.9, None), shares("with it", 6.4, 7.1), shares("quotas", last_s, 41.0)]
    return Fairness(wild=[wild], runs=runs)


def comparison(*, later_s: float = 0.0) -> Comparison:
    """A run and another, whose every item took so much longer."""
    taken_s = np.random.default_rng(1).exponential(0.2, 400)
    tables = [
        pa.table(
            {
                "index": np.arange(400),
                "original": np.arange(400, dtype=np.int32),
                "outcome": ["predicted"] * 400,
                "due_s": np.arange(400.0),
                "seen_s": np.arange(400.0) + taken_s + more_s,
            }
        )
        for more_s in (0.0, later_s)
    ]
    return compare(short(name="before"), short(name="after"), *tables)


def made(material: Material, **more: Any) -> str:
    return page(material, title="Load", made_at="2026-11-24 10:00 UTC", **more)


def everything() -> Material:
    return Material(
        runs=[short(), short(seed=2)],
        knees=[load_results.knee()],
        proofs=[load_results.proof()],
        fairness=[fairness()],
        comparisons=[comparison()],
        plans=[load_results.plan()],
    )


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself() -> None:
    """No attribute leads out of the page, no style loads, and the policy forbids all of it."""
    text = made(everything())
    found = Read(text)
    leading = {"src", "href", "srcset", "action", "data", "poster", "ping", "background"}
    assert {v[0] for _, name, v in found.attributes if name in leading} == {"#"}
    assert not re.search(r"url\(|@import", text.split("<style>")[1].split("</style>")[0])
    policy = next(v for tag, name, v in found.attributes if (tag, name) == ("meta", "content"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_the_policy_allows_the_scripts_of_the_page_and_no_eval() -> None:
    """Each script runs by its hash; data is no script."""
    found = Read(made(KINDS["run-1"]()))
    policies = [value for _, name, value in found.attributes if name == "content"]
    allowed = re.search(r"script-src ([^;]*);", " ".join(policies))
    digests = [hashlib.sha256(one.encode()).digest() for one in found.scripts[1:]]
    assert allowed
    assert allowed[1].split() == [f"'sha256-{base64.b64encode(d).decode()}'" for d in digests]


def test_what_files_say_is_text_and_nothing_else() -> None:
    """A hostile name of tenant, run, role or configuration adds no element and no script."""
    run = short(tenants=[HOSTILE, "b"], name=HOSTILE)
    run = dataclasses.replace(run, processes=dict.fromkeys([HOSTILE], run.processes["engine"]))
    proof = load_results.proof(what=HOSTILE)
    material = Material(runs=[run, run], proofs=[proof], fairness=[fairness(wild=HOSTILE)])
    found = Read(made(material))
    assert len(found.scripts) == 3
    assert not [one for one in found.attributes if one[0] == "img" or one[1].startswith("on")]
    specs = json.loads(found.scripts[0])
    rows = [row for rows in specs["run-1-7"]["datasets"].values() for row in rows]
    assert HOSTILE in [row.get("tenant") for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_is_there_when_its_data_is(kind: str) -> None:
    """Nothing else is: no empty charts, no link to what is not there."""
    found = Read(made(KINDS[kind]()))
    there = {one for one in found.ids if one in {*KINDS, "runs"}}
    assert there == {kind}
    links = {value[1:] for _, name, value in found.attributes if name == "href"}
    assert links <= found.ids


@pytest.mark.slow
def test_every_chart_has_its_place() -> None:
    """And a sentence that a screen reader tells."""
    found = Read(made(everything()))
    specs = json.loads(found.scripts[0])
    assert len(specs) == 2 * 8 + 1 + 1 + 2 + 1 + 6
    assert set(specs) <= found.ids
    assert all(one["description"].endswith(".") for one in specs.values())


def test_one_run_alone_is_not_compared() -> None:
    """Two are, even of the same name: each has a line of its own."""
    (section,) = sections(Material(runs=[short()]), None)
    assert section.anchor == "run-1"
    *_, last = sections(Material(runs=[short(), short(seed=2)]), None)
    assert last.anchor == "runs"
    assert "marketplace-30 (2)" in json.dumps(last.figures[0].spec())


@pytest.mark.parametrize(
    ("changes", "goal_s", "head", "said"),
    [
        ({}, 9.0, "Valid, holds the goal", "none is missing. p95 is"),
        ({}, 0.1, "Valid, misses the goal", "over the goal of 0.1 s"),
        ({}, None, "Valid", "At its limit: nothing."),
        ({"rate": 95.0}, None, "Valid", "At its limit: worker-1 used 93 % of a core."),
        ({"problems": ["the sender was late"]}, 9.0, "Proves nothing", "the sender was late"),
    ],
)
def test_the_verdict_of_a_run(
    changes: dict[str, Any], goal_s: float | None, head: str, said: str
) -> None:
    """Valid or why not, items in and out, the goal, and what was at its limit."""
    (section,) = sections(Material(runs=[short(**changes)]), goal_s)
    assert section.verdict.head == head
    assert said in section.verdict.words


def test_lost_items_are_told_first() -> None:
    """The verdict says how many."""
    run = short()
    run = dataclasses.replace(run, items=run.items + 3, lost=3, problems=["3 items were lost"])
    (section,) = sections(Material(runs=[run]), None)
    assert f"{run.items - 3:,} outcomes out: 3 lost." in section.verdict.words


def test_a_run_without_any_outcome_still_has_a_page() -> None:
    """It has the charts that there is something to draw for."""
    run = short()
    none = load_results.latency(np.array([]))
    run = dataclasses.replace(
        run,
        outcomes={},
        lost=run.items,
        latency=none,
        histogram=load_results.histogram([]),
        stages={"wait": none},
        tenants={"a": none},
        processes={},
        seconds=[],
    )
    (section,) = sections(Material(runs=[run]), 2.0)
    assert section.figures == []
    assert "run-1" in made(Material(runs=[run], knees=[load_results.knee()]))


def test_the_copied_values_are_a_plan_file() -> None:
    """What the button copies can be given to `testudo launch --plan`."""
    (section,) = sections(Material(plans=[load_results.plan()]), None)
    assert tuple(tomllib.loads(section.copied)) == PLANNED


def test_a_plan_that_holds_nothing_says_so() -> None:
    """An endless latency has no point in a chart, and words in the table."""
    values = load_results.plan_values(feasible=False)
    values["steps"][-1]["p95_s"] = [None, None, None]
    values["series"][7]["p95_s"] = None
    (section,) = sections(Material(plans=[load_results.as_plan(values)]), None)
    assert section.verdict.head == "No limits that were tried hold 10 s"
    assert "no end" in section.tables[0].rows[-1]
    assert "Infinity" not in json.dumps([one.spec() for one in section.figures])


def test_probes_that_prove_nothing_count_neither_way() -> None:
    """They have a sign and a word of their own."""
    (section,) = sections(Material(knees=[load_results.knee()]), None)
    said = [row[4].split(";")[0] for row in section.tables[0].rows]
    assert (said.count("proves nothing"), said[3]) == (1, "proves nothing")
    assert section.verdict.head == "Knee at 104 items/s"


def test_a_search_without_an_end_says_why() -> None:
    """It has no interval and no line in its chart."""
    knee = dataclasses.replace(
        load_results.knee(), knee=None, low=None, high=None, stopped="time was up"
    )
    (section,) = sections(Material(knees=[knee]), None)
    assert section.verdict.head == "No knee found"
    assert section.verdict.words.endswith("The search ended early: time was up.")


def test_fairness_is_judged_by_the_others_beside_the_calm_run() -> None:
    """The last run against the one without the wild tenant."""
    (section,) = sections(Material(fairness=[fairness()]), None)
    assert section.verdict.head == "The others' p95 in quotas is 1.11 times that in calm"
    assert section.verdict.judged is Judged.GOOD
    (section,) = sections(Material(fairness=[fairness(last_s=6.0)]), None)
    assert section.verdict.judged is Judged.BAD
    assert [row[-1] for row in section.tables[0].rows] == ["", "7.10 s", "41.0 s"]


def test_a_comparison_says_whether_a_change_is_more_than_noise() -> None:
    """With each figure of both runs, and how much it changed."""
    (section,) = sections(Material(comparisons=[comparison()]), None)
    assert section.verdict.head == "No difference of p95 beyond noise"
    (section,) = sections(Material(comparisons=[comparison(later_s=1.0)]), None)
    assert section.title == "after against before"
    assert section.verdict.head == "p95 changed by +1.000 s, more than noise"
    assert section.verdict.judged is Judged.BAD
    assert section.tables[0].columns == ["", "before", "after", "change"]


def test_runs_that_are_named_are_compared_with_the_first(tmp_path: Path) -> None:
    """In the order of the command line; what lies in a folder that is named is not."""
    load_results.write_everything(tmp_path)
    assert read_material([tmp_path]).comparisons == []
    named = [tmp_path / "run-95", tmp_path / "run-60", tmp_path / "fairness/run-1"]
    names = [one.names for one in read_material([tmp_path, *named]).comparisons]
    assert names == [
        ("marketplace-30, faster", "marketplace-30"),
        ("marketplace-30, faster", "without the wild tenant"),
    ]
    (tmp_path / "run-60" / "items.parquet").unlink()
    with pytest.raises(BadMaterial, match=r"items\.parquet: cannot be read"):
        read_material(named)


def test_runs_of_the_same_traffic_show_what_a_wild_tenant_does(tmp_path: Path) -> None:
    """The run without it first, whenever it was; runs of other traffic are not among them."""
    load_results.write_everything(tmp_path)
    (found,) = read_material([tmp_path]).fairness
    assert found.wild == ["tenant-0001"]
    assert [run.name for run in found.runs] == [name for name, *_ in load_results.WAITS]
    assert [run.wild is None for run in found.runs] == [True, False, False]
    assert {run.others.items for run in found.runs} == {2000}


def test_everything_below_a_folder_is_read(tmp_path: Path) -> None:
    """Each file once, whatever leads to it."""
    load_results.write_everything(tmp_path)
    found = read_material([tmp_path, tmp_path / "knee"], [tmp_path / "plan/plan.json"])
    counts = [len(getattr(found, one.name)) for one in dataclasses.fields(Material)]
    assert counts == [5, 0, 1, 1, 1, 0, 1]
    assert found.goal_p95_s() == 2.0


def test_runs_of_a_knee_are_rows_and_no_sections(tmp_path: Path) -> None:
    """Unless their folder is named itself."""
    folder = tmp_path
    write_record(load_results.knee(), folder / "knee.json")
    for name in ("probe-01", "probe-02"):
        short(name=name).save(folder / name)
    found = read_material([folder])
    assert [one.name for one in found.parts] == ["probe-01", "probe-02"]
    assert [one.anchor for one in sections(found, None)] == ["knee-1", "runs"]
    found = read_material([folder, folder / "probe-02"])
    assert [one.name for one in found.runs] == ["probe-02"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("result.json", "{", "result.json: is not JSON"),
        ("result.json", "{}", "/name: Field required"),
        ("knee.json", "[]", "Input should be an object"),
        ("proof.json", '{"calibrated_on": 1, "rows": []}', "/calibrated_on: Input should be"),
        (
            "plan.json",
            json.dumps({**load_results.plan_values(), "days": 0}),
            "/days: Input should be greater than 0",
        ),
        ("proof.json", b"\xff\xfe", "is not JSON"),
    ],
)
def test_a_file_that_is_not_in_its_format_is_named(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    """With the place in it and what should be there."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadMaterial) as told:
        read_material([tmp_path])
    assert str(tmp_path / name) in str(told.value)
    assert said in str(told.value)


def test_a_histogram_that_is_none_is_named(tmp_path: Path) -> None:
    """It is read before the page is made."""
    dataclasses.replace(short(), histogram="HISTFAAA").save(tmp_path)
    with pytest.raises(BadMaterial, match=r"result\.json: /histogram: is not an HdrHistogram"):
        read_material([tmp_path])


def test_everything_that_is_wrong_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags and folders, with exit code 2 and no page."""
    (tmp_path / "empty").mkdir()
    out = tmp_path / "report.html"
    flags = [f"--out={out}", "--slo_p95=-1", f"--plan={tmp_path / 'no.json'}"]
    folders = [str(tmp_path / "missing"), str(tmp_path / "empty")]
    assert main(["loadtest", "report", *folders, *flags]) == 2
    said = capsys.readouterr().err
    for one in ("--slo_p95: is -1", "missing: does not exist", "empty: holds none of", "no.json"):
        assert one in said
    assert not out.exists()


def test_nothing_to_show_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder or a plan must be named."""
    assert main(["loadtest", "report"]) == 2
    assert "FOLDER: name one at least" in capsys.readouterr().err


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And prints its address."""
    folder = tmp_path
    write_record(load_results.proof(), folder / "proof.json")
    out = tmp_path / "deep" / "page.html"
    assert main(["loadtest", "report", str(folder), f"--out={out}", "--title=A & B"]) == 0
    assert capsys.readouterr().out == f"{out.as_uri()}\n"
    assert "<h1>A &amp; B</h1>" in out.read_text(encoding="utf-8")


def test_long_series_keep_their_peaks() -> None:
    """Some hundred points, each the most of the seconds that it stands for."""
    values = [1.0] * 3599 + [9.0]
    points = [most(some) for some in chunks(values)]
    assert len(points) <= MOST_POINTS
    assert points[-1] == 9.0
    assert sum(map(len, chunks(values))) == 3600
    assert most([None, None]) is None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (number(0.4567), "0.457"),
        (number(12.34), "12.3"),
        (number(12345.6), "12,346"),
        (number(None), "-"),
        (seconds(0.0123), "12.3 ms"),
        (seconds(1.239), "1.24 s"),
        (seconds(300), "5.0 min"),
        (seconds(9000), "2.5 h"),
        (seconds(float("inf")), "no end"),
        (size(512e6), "512 MB"),
        (size(2.5e9), "2.50 GB"),
        (usd(9.5), "$9.50"),
        (usd(1234.5), "$1,234"),
    ],
)
def test_numbers_have_their_units(written: str, text: str) -> None:
    """No more digits than a person reads."""
    assert written == text
