"""The report in a real browser: everything is drawn, in light, in the dark, and on a phone."""

import itertools
import re

import load_results
import pytest
from browser import Browser
from waiting import eventually

from loadtest.report.material import read_material
from loadtest.report.page import page

HOSTILE = "</script><script>document.title='taken'</script><b onload=alert(1)>" + "x" * 300
DRAWN = "return document.documentElement.dataset.drawn"
PHONE_PX = (390, 844)
# Of each chart: whether a mark of data, not only axes, has a place on the page.
MARKED = """
return [...document.querySelectorAll(".chart")].map((chart) => [
  chart.id, [...chart.querySelectorAll(".mark-line path, .mark-area path, .mark-rect path," +
    ".mark-symbol path")].some((mark) => mark.getBBox().width + mark.getBBox().height > 0)])
"""
GROUND = "return getComputedStyle(document.body).backgroundColor"
LINE = "return document.querySelector('.mark-line path').getAttribute('stroke')"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of everything, with a hostile tenant whose name is long."""
    folder = load_results.write_everything(tmp_path_factory.mktemp("results"))
    names = [HOSTILE, "tenant-0002", "tenant-0003"]
    load_results.result(name=HOSTILE, tenants=names).save(folder / "hostile")
    load_results.write_fairness(folder / "wild", wild=HOSTILE)
    file = folder / "report.html"
    material = read_material([folder, folder / "run-60", folder / "run-95"])
    text = page(material, title="Load", made_at="today", goal_s=material.goal_p95_s())
    file.write_text(text, encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def opened(chromium: Browser, address: str) -> Browser:
    """The page on a desk, in light, with everything drawn."""
    chromium.resize(1280, 900)
    chromium.prefer("light")
    chromium.open(address)
    chromium.wait_for(DRAWN)
    return chromium


def test_every_chart_is_drawn_and_the_console_says_nothing(opened: Browser) -> None:
    """No error, no warning, and nothing that the page's policy had to forbid."""
    marked = dict(opened.run(MARKED))
    assert [place for place, has in marked.items() if not has] == []
    assert int(opened.run(DRAWN)) == len(marked) > 20
    assert opened.run("return document.documentElement.dataset.undrawn") == "0"
    assert opened.log() == []


def test_the_page_asks_for_nothing(opened: Browser) -> None:
    """No request at all leaves it, and one that a script would make is forbidden."""
    assert opened.run("return performance.getEntriesByType('resource').length") == 0
    opened.run("window.went = 'open'; fetch('http://127.0.0.1:9/').catch(e => window.went = 'no')")
    assert opened.wait_for("return window.went !== 'open' && window.went") == "no"
    said: list[str] = []

    def told() -> str:
        said.extend(opened.log())
        return " ".join(said)

    eventually(told, lambda text: "Content Security Policy" in text)


def test_a_hostile_name_is_only_shown(opened: Browser) -> None:
    """It stands in the tables as it is, and runs nowhere."""
    assert opened.run("return document.title") == "Load"
    assert HOSTILE in opened.run("return document.querySelector('#run-1').parentNode.textContent")
    assert opened.run("return document.querySelectorAll('script').length") == 3


def test_charts_tell_screen_readers_what_they_show(opened: Browser) -> None:
    """Each is a graphic with a sentence; each table has a caption; headings skip no level."""
    told = opened.run(
        "return [...document.querySelectorAll('.chart')].map("
        "chart => chart.role === 'graphics-document' && chart.ariaLabel)"
    )
    assert all(one and one.endswith(".") for one in told)
    assert opened.run("return [...document.querySelectorAll('table')].every(t => t.caption)")
    levels = opened.run("return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_button_copies_the_plan(opened: Browser) -> None:
    """All of it, as it would be written to a file."""
    expected = load_results.plan(slo_p95_s=2.0).to_toml()
    opened.devtools("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    opened.run("document.querySelector('[data-copies]').click()")
    opened.wait_for("return document.querySelector('[data-copies]').textContent === 'Copied'")
    opened.run("navigator.clipboard.readText().then(text => { window.copied = text; })")
    assert opened.wait_for("return window.copied") == expected


def test_the_plan_is_selected_where_copying_is_forbidden(opened: Browser) -> None:
    """The person is told to copy it."""
    opened.run("navigator.clipboard.writeText = () => Promise.reject(new Error('forbidden'))")
    opened.run("document.querySelector('[data-copies]').click()")
    opened.wait_for("return document.querySelector('[data-copies]').textContent.startsWith('Sel')")
    assert 'machine_type = "n2-standard-4"' in opened.run("return String(getSelection())")


def test_colours_follow_the_persons_preference(opened: Browser) -> None:
    """At once, charts too, and text can be read in both."""
    light = opened.run(GROUND), opened.run(LINE)
    opened.prefer("dark")
    opened.wait_for(f"const was = {light[1]!r}; {DRAWN} && (() => {{ {LINE} }})() !== was")
    assert opened.run(GROUND) == "rgb(21, 24, 27)"
    assert light[0] == "rgb(251, 251, 250)"
    assert opened.log() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened: Browser, scheme: str) -> None:
    """Of at least 4.5 to 1 against what it stands on, as WCAG's level AA asks."""
    opened.prefer(scheme)
    pairs = opened.run(
        "const c = (e, p) => getComputedStyle(document.querySelector(e))[p];"
        "return ['.made', '.verdicts p', '.good strong', '.bad strong', 'a', 'thead th', 'pre',"
        " 'figcaption p', 'button'].map(e => { let o = document.querySelector(e);"
        " const ink = getComputedStyle(o).color;"
        " while (getComputedStyle(o).backgroundColor === 'rgba(0, 0, 0, 0)') o = o.parentElement;"
        " return [e, ink, getComputedStyle(o).backgroundColor]; })"
    )
    found = {name: contrast(ink, ground) for name, ink, ground in pairs}
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


def contrast(ink: str, ground: str) -> float:
    """WCAG's ratio of two colours as `rgb(r, g, b)`."""
    lights = sorted(luminance(one) for one in (ink, ground))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    channels = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_phone_needs_no_scrolling_to_the_side(opened: Browser, address: str) -> None:
    """Neither when it opens the page, nor when a window becomes as narrow; tables do in a box."""
    width = "return document.documentElement.scrollWidth"
    opened.resize(*PHONE_PX)
    assert opened.wait_for(f"const w = (() => {{ {width} }})(); return w <= 390 && w")
    opened.open(address)
    opened.wait_for(DRAWN)
    assert opened.run(width) <= PHONE_PX[0]
    wide = opened.run(
        "return [...document.querySelectorAll('.chart svg')].filter("
        "s => s.getBoundingClientRect().right > innerWidth).map(s => s.parentElement.id)"
    )
    assert wide == []
    assert opened.run(
        "return [...document.querySelectorAll('.scroll')].some(b => b.scrollWidth > b.clientWidth)"
    )


def test_tables_stand_without_scripts(opened: Browser, address: str) -> None:
    """A browser that runs none says that charts need them, and shows every table."""
    opened.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened.open(address)
    finally:
        opened.devtools("Emulation.setScriptExecutionDisabled", value=False)
    shown = opened.run("return document.body.innerText")
    assert "The charts need JavaScript" in shown
    assert "Limits against customers" in shown
