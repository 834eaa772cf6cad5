"""`testudo view` in a real browser: what senders wrote is shown, and runs nowhere."""

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browser import Browser
from builders import jpeg
from view_folder import Sending, dead, scored, served, viewing, write_run

PHONE_PX = (360, 740)
PAGES = ("/", "/dead-letters", "/live", "/releases", "/item?tenant=acme&item=good")
# Each sets `taken` or a title where it runs; so would each file.
RUNS = "window.taken=1;document.title='taken'"
WORDS = (
    f"<script>{RUNS}</script>",
    f"</p></bdi></main></style></script><script>{RUNS}</script>",
    f'"><img src=x onerror="{RUNS}">',
    f"' onmouseover='{RUNS}' autofocus onfocus='{RUNS}' x='",
    f"<svg xmlns='http://www.w3.org/2000/svg' onload=\"{RUNS}\"><script>{RUNS}</script></svg>",
    f'<a href="javascript:{RUNS}">javascript:{RUNS}</a>',
    f'<iframe srcdoc="<script>parent.{RUNS}</script>"></iframe>',
    f'<meta http-equiv=refresh content="0;url=javascript:{RUNS}">',
    f"<base href=//evil.example/><form action=javascript:{RUNS}><button autofocus>a</form>",
    f"<style>body{{background:url(javascript:{RUNS})}}</style><link rel=stylesheet href=//evil>",
    "{{ 7 * 191 }} {% for x in y %} ${7 * 191} <!-- --><![CDATA[ ]]>",
    "\u202egnp.evil\u2066 \u200f\x00\x1b]0;taken\x07\ufeff",
    f"\ud83d&lt;script&gt;{RUNS}&lt;/script&gt;",
    "x" * 5_000,
    "\u0301" * 2_000,
)
FILES = (
    f"<svg xmlns='http://www.w3.org/2000/svg'><script>{RUNS}</script></svg>".encode(),
    f"<html><script>{RUNS}</script></html>".encode(),
    b"GIF89a/*" + f"*/=0;{RUNS}".encode(),
    jpeg(64, 64) + f"<script>{RUNS}</script>".encode(),
    jpeg(64, 64, comment=f"<script>{RUNS}</script>".encode()),
    b"%PDF-1.7",
)


class Opened(NamedTuple):
    browser: Browser
    base: str

    def go(self, path: str) -> None:
        self.browser.open(f"{self.base}{path}")
        self.browser.wait_for("return document.readyState === 'complete'")


def hostile() -> list[Sending]:
    """Each of the words wherever a row or a message has room for it, and each of the files."""
    made = [scored("good", data=json.dumps({"text": "a mug", "image": _base64(jpeg(640, 480))}))]
    for number, sent in enumerate(WORDS):
        data = json.dumps({"item_id": sent, "text": sent, "image_uri": sent}).encode()
        words = sent.encode("utf-8", "replace").decode()  # as a row can have them
        row = scored(f"i{number}-{words}", number, tenant_id=words, release=words, data=data)
        row.row["scores"] = [
            {"model": words, "label": words, "score": 0.5},
            {"model": words, "label": f"{words}2", "score": 1e300},
        ]
        again = scored(f"i{number}-{words}", number, tenant_id=words, release=f"{words}2")
        failed = dead(words, number, tenant_id=words, reason=words, detail=words, data=data)
        made += [row, again, failed, dead(words, number, data=words.encode())]
    for number, file in enumerate(FILES):
        data = json.dumps({"text": "a file", "image": _base64(file)}).encode()
        made += [scored(f"file-{number}", number, data=data), dead(f"file-{number}", data=data)]
    return made


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a view of hostile rows and messages, with its token."""
    folder: Path = write_run(tmp_path_factory.mktemp("run"), hostile())
    with viewing(folder) as view, served(view) as address:
        yield address


@pytest.fixture
def opened(chromium: Browser, base: str) -> Opened:
    """On a desk, in light, with the cookie."""
    chromium.resize(1280, 900)
    chromium.prefer("light")
    chromium.open(base)
    chromium.log()
    return Opened(chromium, base.partition("/?")[0])


def every_page(opened: Opened) -> Iterator[str]:
    """Opens each page, and those that its links to older rows and to items lead to."""
    for path in PAGES:
        opened.go(path)
        yield path
        for _ in range(9):
            older = opened.browser.run(
                "const a = [...document.querySelectorAll('.pager a')].find("
                "a => a.textContent.startsWith('Older')); return a && a.href"
            )
            if not older:
                break
            opened.browser.open(older)
            yield older
    opened.go("/")
    links = opened.browser.run("return [...document.querySelectorAll('.name a')].map(a => a.href)")
    for link in links:
        opened.browser.open(link)
        yield link


def test_what_senders_wrote_runs_nowhere(opened: Opened) -> None:
    """On no page: no script but ours, no handler, no link out, and nothing that was forbidden."""
    seen = 0
    for path in every_page(opened):
        run = opened.browser.run
        assert run("return window.taken") is None, path
        assert run("return document.title").endswith(" · Testudo"), path
        assert run("return document.querySelectorAll('script, style').length") == 2, path
        assert run("return document.querySelectorAll('iframe, object, embed, base').length") == 0
        assert run("return document.querySelectorAll('meta[http-equiv]').length") == 0
        handlers = run(
            "return [...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
            ".filter(name => name.startsWith('on') || name === 'style')"
        )
        assert handlers == [], path
        away = run(
            "return [...document.querySelectorAll('[href],[src],[action]')].map("
            "e => e.href || e.src || e.action).filter(a => !String(a).startsWith(origin + '/'))"
        )
        assert away == [], path
        assert opened.browser.log() == [], path
        seen += 1
    assert seen > len(PAGES) + len(WORDS)


def test_hostile_words_are_there_to_read(opened: Opened) -> None:
    """As they were written, but for what would turn or move other words."""
    opened.go("/")
    shown = opened.browser.run("return document.body.innerText")
    for words in WORDS[:10]:
        assert words in shown
    assert "\\u202egnp.evil\\u2066" in shown
    assert "\\x1b]0;taken" in shown
    assert "{{ 7 * 191 }}" in shown
    assert "1337" not in shown


def test_the_policy_stops_what_a_hole_would_let_in(opened: Opened) -> None:
    """A script, a handler, an address and a request that stood in the page would do nothing."""
    opened.go("/")
    for code in (
        f"const s = document.createElement('script'); s.textContent = `{RUNS}`; "
        "document.body.append(s)",
        f"document.body.insertAdjacentHTML('beforeend', `<img src=x onerror=\"{RUNS}\">`)",
        f"const b = document.createElement('button'); b.setAttribute('onclick', `{RUNS}`); "
        "document.body.append(b); b.click()",
        f"const a = document.createElement('a'); a.href = `javascript:{RUNS}`; "
        "document.body.append(a); a.click()",
        "const i = document.createElement('img'); i.src = 'http://127.0.0.1:9/x'; "
        "document.body.append(i)",
    ):
        opened.browser.run(f"try {{ {code} }} catch (error) {{ window.refused = String(error); }}")
    opened.browser.run("fetch('http://127.0.0.1:9/').catch(() => { window.went = 'no'; })")
    assert opened.browser.wait_for("return window.went") == "no"
    assert opened.browser.run("return window.taken") is None
    said = " ".join(opened.browser.log())
    assert said.count("Content Security Policy") >= 4


def test_pictures_are_our_own_jpegs(opened: Opened) -> None:
    """Whatever file was sent: no byte of it is served, and one opened alone runs nothing."""
    opened.go("/")
    names = opened.browser.run("return [...document.images].map(i => i.src)")
    assert len(names) >= 3
    for name in names:
        opened.browser.open(name)
        assert opened.browser.run("return document.contentType") == "image/jpeg"
        assert opened.browser.run("return window.taken") is None
    opened.go("/")
    opened.browser.run(
        """
        window.files = [];
        for (const image of document.images) {
          fetch(image.src).then((answer) => answer.arrayBuffer()).then((file) => {
            window.files.push(new TextDecoder("latin1").decode(file));
          });
        }
        """
    )
    files = opened.browser.wait_for(
        "return window.files.length === document.images.length && window.files"
    )
    assert all(file.startswith("\xff\xd8\xff") and "taken" not in file for file in files)
    opened.go("/dead-letters")
    shown = opened.browser.run("return document.body.innerText")
    assert "image_format_refused: SVG" in shown


def test_every_picture_is_drawn(opened: Opened) -> None:
    """And says what it is to who cannot see it."""
    opened.go("/?tenant=acme")
    opened.browser.run("document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    opened.browser.wait_for("return [...document.images].every(i => i.complete)")
    assert opened.browser.run("return [...document.images].every(i => i.naturalWidth && i.alt)")


def test_a_page_that_follows_is_read_again(chromium: Browser, tmp_path: Path) -> None:
    """Its content is put in place; not while somebody has opened something in it."""
    with viewing(write_run(tmp_path, hostile()), refresh_s=1) as view, served(view) as address:
        chromium.open(address)
        _follow(Opened(chromium, address.partition("/?")[0]))


def _follow(opened: Opened) -> None:
    opened.go("/?follow=yes")
    mark = "document.querySelector('main').dataset.old = 'yes'"
    gone = "return !document.querySelector('main').dataset.old"
    opened.browser.run(mark)
    opened.browser.wait_for(gone)
    opened.browser.run(f"{mark}; document.querySelector('.filters').open = true")
    opened.browser.run("window.then = performance.now()")
    opened.browser.wait_for("return performance.now() - window.then > 2500")
    assert not opened.browser.run(gone)
    opened.browser.run("document.querySelector('.filters').open = false")
    opened.browser.wait_for(gone)
    assert opened.browser.run("return window.taken") is None
    assert opened.browser.log() == []


def test_a_page_says_when_the_server_has_ended(chromium: Browser, tmp_path: Path) -> None:
    """What it showed stays."""
    with viewing(write_run(tmp_path, [scored("a")]), refresh_s=1) as view:
        with served(view) as address:
            chromium.open(address)
            chromium.open(f"{address.partition('?')[0]}?follow=yes")
        chromium.wait_for("return document.querySelector('.ended').offsetHeight > 0")
    assert "text of a" in chromium.run("return document.body.innerText")
    chromium.log()


@pytest.mark.parametrize("path", PAGES)
def test_it_fits_a_phone(opened: Opened, path: str) -> None:
    """Of 360 pixels, however long the words are; tables scroll by themselves."""
    opened.browser.resize(*PHONE_PX)
    opened.go(path)
    assert opened.browser.run("return document.documentElement.scrollWidth") <= PHONE_PX[0]
    wide = opened.browser.run(
        "return [...document.querySelectorAll('.card, figure, form, .tiles li')].filter("
        "e => e.getBoundingClientRect().right > innerWidth).length"
    )
    assert wide == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_text_has_contrast(opened: Opened, path: str, scheme: str) -> None:
    """Of at least 4.5 to 1 against what it stands on, as WCAG's level AA asks."""
    opened.browser.prefer(scheme)
    opened.go(path)
    pairs = opened.browser.run(
        """
        const ground = (element) => {
          for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
          }
          return getComputedStyle(document.documentElement).backgroundColor;
        };
        return [...document.querySelectorAll("main *, header *")]
          .filter((e) => e.offsetHeight && [...e.childNodes].some(
            (n) => n.nodeType === 3 && n.textContent.trim()))
          .map((e) => [getComputedStyle(e).color, ground(e), e.tagName + "." + e.className]);
        """
    )
    assert len(pairs) > 10
    poor = {place for ink, ground, place in pairs if contrast(ink, ground) < 4.5}
    assert poor == set()


def test_the_page_follows_the_persons_preference(opened: Opened) -> None:
    """Dark where they prefer that."""
    opened.go("/")
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert opened.browser.run(ground) == "rgb(251, 251, 250)"
    opened.browser.prefer("dark")
    assert opened.browser.run(ground) == "rgb(21, 24, 27)"


@pytest.mark.parametrize("path", PAGES)
def test_headings_and_fields_are_named(opened: Opened, path: str) -> None:
    """For who hears the page: no level is left out, and each field has its label."""
    opened.go(path)
    levels = opened.browser.run(
        "return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert opened.browser.run(
        "return [...document.querySelectorAll('input, select')].every(f => f.labels.length)"
    )


def contrast(one: str, other: str) -> float:
    """WCAG's, of two colours as `rgb(r, g, b)`."""
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return sum(factor * part for factor, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
