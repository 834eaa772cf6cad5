"""The pages of `testudo view` over a files-mode run: what they show, and what they refuse."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
import pytest
from builders import encoded, jpeg, png, quadrants
from PIL import Image
from view_folder import Sending, dead, scored, viewing, write_run
from waiting import exit_code
from warehouse import MONDAY
from werkzeug.test import Client

from loadtest.traffic.poison_files import png_that_claims
from models.failures import Reason, Rejected
from models.features import ImageLimits
from testudo.cli import main
from testudo.environment import Environment
from testudo.reasons import REASONS, in_words
from testudo.view import pictures, questions, sql
from testudo.view.contents import BucketImages
from testudo.view.filters import END, Filters
from testudo.view.pages import render, visible
from testudo.view.payloads import MAX_TEXT_CHARS, Payloads, Unreadable, read_message
from testudo.view.pictures import SIDE_PX, Pictures, thumbnail
from testudo.view.server import HOST, View

LATER = datetime(2026, 11, 10, tzinfo=UTC)
ALL = Filters(period="all")
REPOSITORY = Path(__file__).parents[2]


def with_picture(item_id: str, data: bytes, text: str = "a mug") -> bytes:
    image = base64.b64encode(data).decode()
    return json.dumps({"item_id": item_id, "text": text, "image": image}).encode()


def sent() -> list[Sending]:
    """Some of everything."""
    return [
        scored("a", 1, data=with_picture("a", jpeg(640, 480)), label="mug", score=0.9),
        scored("b", 2, tenant_id="bolt", label="lamp", score=0.6),
        scored("c", 3, release="two-2", label="mug", score=0.7),
        scored("a", 4, release="two-2", label="lamp", score=0.8, data=b'{"text": "again"}'),
        scored("b", 5, tenant_id="bolt", release="two-2", label="lamp", score=0.9),
        dead("d", 6, data=with_picture("d", b"<svg/>"), reason="image_format_refused"),
        dead("e", 7, data=b"{cut", reason="not_json", tenant_id="bolt"),
        dead("f", 8, data=with_picture("f", jpeg(8, 8)), reason="crashed"),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), sent())


@pytest.fixture(scope="module")
def view(run: Path) -> Iterator[View]:
    with viewing(run) as made:
        made.port = 8484
        yield made


class Visitor:
    """Who has opened the address that the command printed."""

    def __init__(self, view: View) -> None:
        self.client = Client(view)
        self._base = f"http://{HOST}:{view.port}"
        self.client.get(f"/?token={view.token}", base_url=self._base)

    def get(self, path: str) -> Any:
        return self.client.get(path, base_url=self._base)

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


@pytest.fixture
def visitor(view: View) -> Visitor:
    return Visitor(view)


def ids(page: str) -> list[str]:
    """The items of a page, in order."""
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', page)


def test_the_latest_prediction_of_each_item_stands_first(visitor: Visitor) -> None:
    """With its text, and labels in the order of their scores."""
    page = visitor.page("/")
    assert ids(page) == ["b", "a", "c"]
    assert "text of b" in page
    assert "again" in page
    assert "text of a" not in page
    assert page.index("0.900") < page.index("0.100")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tenant=bolt", ["b"]),
        ("label=category:lamp", ["b", "a"]),
        ("label=lamp&least=85", ["b"]),
        ("label=size:lamp", []),
        ("least=65&most=75", ["c"]),
        ("release=one-1", ["b", "a"]),
        ("tenant=bolt' OR '1'='1", []),
        ("least=x&most=1000&until=never&period=9d", ["b", "a", "c"]),
        ("period=1h", []),
    ],
)
def test_filters_narrow_the_page(visitor: Visitor, query: str, found: list[str]) -> None:
    """By tenant, release, likeliest label and its score; what is no value counts as not given."""
    assert ids(visitor.page(f"/?{query}")) == found


def test_a_page_without_rows_says_how_to_see_some(visitor: Visitor) -> None:
    """The period and the filters that left none."""
    page = visitor.page("/?period=1h&tenant=nobody")
    assert "No predictions here: last hour, with these filters." in page
    assert 'href="?period=all&amp;tenant=nobody"' in page


def test_pages_hold_every_item_once(tmp_path: Path) -> None:
    """Those of one moment too, which are in the order of their names."""
    same = [scored(f"item-{number:03}", number // 40) for number in range(100)]
    with viewing(write_run(tmp_path, same)) as view:
        view.port = 8484
        visitor = Visitor(view)
        seen, path = [], "/"
        while path:
            page = visitor.page(path)
            seen += ids(page)
            older = re.search(r'href="(\?[^"]*)">Older', page)
            path = f"/{older[1].replace('&amp;', '&')}" if older else ""
    assert len(seen) == 100
    assert sorted(seen) == [f"item-{number:03}" for number in range(100)]


def test_a_dead_letter_has_its_reason_and_remedy(visitor: Visitor) -> None:
    """And why there is no picture; what may have ended the job's decoder is not decoded."""
    page = visitor.page("/dead-letters")
    assert ids(page) == ["f", "e", "d"]
    assert in_words(REASONS[Reason.IMAGE_FORMAT_REFUSED].remedy) in page
    assert "image_format_refused: SVG, not one of JPEG, PNG, WEBP, GIF" in page
    assert "{cut" in page
    assert "it is not decoded here" in page
    assert "/pictures/" not in page
    assert ids(visitor.page("/dead-letters?reason=not_json")) == ["e"]
    assert ids(visitor.page("/dead-letters?tenant=bolt")) == ["e"]


def test_two_releases_stand_side_by_side(visitor: Visitor) -> None:
    """On the items that both scored; only those that they judge differently, if asked."""
    page = visitor.page("/releases?release=one-1&other=two-2")
    assert ids(page) == ["b", "a"]
    assert page.count("differs</span>") == 1
    assert ids(visitor.page("/releases?release=one-1&other=two-2&differing=yes")) == ["a"]
    assert ids(visitor.page("/releases")) == ["b", "a"]  # the two that are there
    assert "One release scored all items" in visitor.page("/releases?release=one-1&other=one-1")


def test_throughput_and_latency_are_drawn(visitor: Visitor) -> None:
    """And stand in a table."""
    page = visitor.page("/live")
    assert "<strong>5</strong> predictions" in page
    assert "<strong>3</strong> dead letters, 37.5 %" in page
    assert "<strong>1.0 s</strong> 95 of 100 items" in page
    assert page.count('<tr><th scope="row">') == 8


def test_a_run_without_items_is_shown(tmp_path: Path) -> None:
    """Every page says that there is nothing."""
    with viewing(write_run(tmp_path, [])) as view:
        view.port = 8484
        for path in ("/", "/dead-letters", "/live", "/releases", "/item?item=a"):
            assert 'class="nothing"' in Visitor(view).page(path), path


def test_the_story_of_an_item_is_a_page(visitor: Visitor) -> None:
    """As `testudo query item` tells it."""
    page = visitor.page("/item?tenant=acme&item=a")
    assert page.count("<strong>predicted</strong>") == 2
    assert "category lamp 0.8" in page


def test_the_story_of_an_item_has_its_own_fields(tmp_path: Path) -> None:
    """As text, whatever a sender wrote there; none where there are none."""
    own = '{"note":"<script>alert(1)</script>"}'
    sent = [scored("a", fields=own), dead("a", 1, fields='{"price":3}'), scored("b")]
    with viewing(write_run(tmp_path, sent)) as view:
        view.port = 8484
        page = Visitor(view).page("/item?item=a")
        assert "{&#34;price&#34;:3}" in page
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page
        assert Visitor(view).page("/item?item=b").count('class="detail"') == 1


def test_decisions_are_shown_where_rows_have_them() -> None:
    """A release without `decide` shows scores alone; what a function gave is escaped."""
    row = {
        "item_id": "a", "tenant_id": "t", "release": "one", "attempt": 1, "payload_uri": "",
        "processed_at": LATER, "scores": [],
        "decisions": '{"action":"block <b>","by":{"score":0.5}}',
    }  # fmt: skip
    values = {
        "here": "/", "title": "T", "place": "P", "filters": ALL, "shared": "", "refresh_s": 0,
        "periods": {"all": ("all time", None)}, "period_options": [], "chosen": [], "open": False,
        "options": {"tenant": [], "label": [], "release": []}, "filtered": False, "cleared": "",
        "can_follow": 0, "page": questions.Page([row], None),
        "contents": {"": {"text": "", "picture": "", "problem": ""}},
    }  # fmt: skip
    page = render("predictions", **values)
    assert "action block &lt;b&gt;" in page
    assert "by {&#34;score&#34;: 0.5}" in page
    for odd in ("no JSON", "[1]", "7"):  # of no job of ours
        assert odd in render("predictions", **_with_decisions(values, row, odd))
    assert 'class="decision"' not in render("predictions", **_with_decisions(values, row, None))


def _with_decisions(
    values: dict[str, Any], row: dict[str, Any], text: str | None
) -> dict[str, Any]:
    return {**values, "page": questions.Page([{**row, "decisions": text}], None)}


def test_chosen_labels_and_numbers_are_shown(tmp_path: Path) -> None:
    """All that are chosen, however many; a number as it is, without a bar."""
    scores = [
        *({"model": "tags", "label": one, "score": 0.5, "chosen": one != "d"} for one in "abcd"),
        {"model": "price", "value": 1234.5},
    ]
    several = scored("a", 1)
    several.row["scores"] = scores
    other = scored("a", 2, release="two-2")
    other.row["scores"] = [{**one, "chosen": True} for one in scores[:4]] + scores[4:]
    with viewing(write_run(tmp_path, [several, other])) as view:
        view.port = 8484
        page = Visitor(view).page("/?release=one-1&period=all")
        assert page.count('class="likeliest"') == 3
        assert "1 more labels" in page
        assert '<p class="number">1234.5</p>' in page
        compared = Visitor(view).page("/releases?release=one-1&other=two-2&period=all")
        assert compared.count("differs</span>") == 1


# --- pictures and payloads ---------------------------------------------------------------------


def test_a_picture_is_served_as_a_small_jpeg_of_our_own(visitor: Visitor) -> None:
    """Under a name that says nothing, for as long as the page that shows it is read."""
    page = visitor.page("/?release=one-1")
    (name,) = re.findall(r'src="(/pictures/[0-9a-f]{32})"', page)
    answer = visitor.get(name)
    assert answer.mimetype == "image/jpeg"
    with Image.open(BytesIO(answer.data)) as image:
        assert image.size == (SIDE_PX, SIDE_PX * 480 // 640)
    assert visitor.page("/?release=one-1").count(name) == 1  # kept, not made anew
    for other in ("0" * 32, "../view.css", "%2e%2e/x", ""):
        assert visitor.get(f"/pictures/{other}").status_code == 404


def test_a_thumbnail_has_nothing_of_the_file(tmp_path: Path) -> None:
    """No metadata, no bytes behind the picture; turned upright, transparency on white."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "MARK"
    for kind in ("JPEG", "WEBP"):
        data = encoded(quadrants(400, 200), kind, exif=exif) + b"<script>MARK</script>"
        made = thumbnail(data, ImageLimits())
        assert b"MARK" not in made
        with Image.open(BytesIO(made)) as image:
            assert image.size == (160, 320), kind
            assert not image.getexif()
    clear = encoded(Image.new("RGBA", (9, 3), (0, 0, 0, 0)), "PNG")
    with Image.open(BytesIO(thumbnail(clear, ImageLimits()))) as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)


def test_pictures_are_judged_by_the_jobs_limits() -> None:
    """From the header, before a pixel is decoded."""
    with pytest.raises(Rejected, match="image_too_large"):
        thumbnail(png_that_claims(60_000, 60_000), ImageLimits())
    with pytest.raises(Rejected, match="image_too_large"):
        thumbnail(png(64, 64), ImageLimits(max_bytes=10))


def test_a_decoder_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no variable that opens a service, and nobody's page ends with it."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/a/key.json")
    decoder = Pictures(ImageLimits())
    try:
        assert decoder.thumbnail(jpeg(64, 64)).startswith(b"\xff\xd8")
        child = decoder._child
        assert child is not None
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
        assert b"PYTHONPATH" in environment
        assert b"GOOGLE" not in environment
        child.end()
        assert decoder.thumbnail(jpeg(64, 64)).startswith(b"\xff\xd8")
        with pytest.raises(Unreadable, match="image_format_refused"):
            decoder.thumbnail(b"")
        decoder.close()
        with pytest.raises(Unreadable, match="ending"):
            decoder.thumbnail(jpeg(64, 64))
    finally:
        decoder.close()


@pytest.mark.parametrize(
    "answer", [b"", b"\xc1", msgpack.packb(7), msgpack.packb(["text", ""]),
               msgpack.packb([b"x" * 600_000, ""])]
)  # fmt: skip
def test_a_decoder_that_was_taken_over_gives_no_picture(answer: bytes) -> None:
    """What is no thumbnail of its process is not served."""
    with pytest.raises(Unreadable, match="the decoder's answer"):
        pictures._read(answer)


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd#0-10",
        "out/payloads/dt=2026-11-02/../../../etc/passwd#0-10",
        "payloads/dt=2026-11-02/0.bin#0-10",
        "gs://other/payloads/dt=2026-11-02/" + "0" * 32 + ".bin#9-1",
        "payloads/dt=2026-11-02/" + "0" * 32 + ".bin#0-99999999999",
        "",
    ],
)
def test_a_row_leads_to_no_other_file(run: Path, uri: str) -> None:
    """Only names that the pipeline gives, only below the run's own folder, only bounded spans."""
    with pytest.raises(Unreadable):
        Payloads(str(run)).read(uri)


def test_a_message_is_read_below_the_run_wherever_its_row_says(run: Path) -> None:
    """A folder that was renamed, or copied from a bucket, is shown too."""
    place = "payloads/dt=2026-11-02/" + "0" * 31 + "1.bin#6-12"
    data = {Payloads(str(run)).read(f"{root}{place}") for root in ("", "gs://b/x/", "/other/y/")}
    assert data == {b'{"item'}


def test_a_message_that_is_gone_is_said(run: Path) -> None:
    """Payloads are deleted after some days."""
    with pytest.raises(Unreadable, match="not there any more"):
        Payloads(str(run)).read("payloads/dt=2026-11-02/" + "f" * 32 + ".bin#0-1")


def test_whatever_was_sent_is_read() -> None:
    """Other types than texts are none, and what is no object is its own text."""
    assert read_message(b'{"text": 7, "image": ["x"], "image_uri": null}')[:3] == ("", b"", "")
    assert read_message(b'{"image": "%%"}').image_problem == "its image is not base64"
    assert read_message(b'{"image": "-_-_"}').image == b"\xfb\xff\xbf"
    assert read_message(b"[1]").text == "[1]"
    assert read_message(b"\xff\xfe" * 9000).text.startswith("\ufffd")
    assert len(read_message(json.dumps({"text": "x" * 9999}).encode()).text) == MAX_TEXT_CHARS + 1
    assert read_message(b"[" * 100_000).image == b""


def test_images_by_uri_come_from_the_image_buckets_alone() -> None:
    """As in the job; before anything is asked."""
    with pytest.raises(Rejected, match="image_uri_refused"):
        BucketImages(("ours",), 10).fetch("gs://theirs/a.jpg")


# --- what is refused ---------------------------------------------------------------------------


def test_another_host_is_refused(view: View, visitor: Visitor) -> None:
    """A name of a stranger's that leads here (DNS rebinding), with the right port or another."""
    for base in ("http://evil.example:8484", "http://127.0.0.1:9", "http://evil.example"):
        answer = Client(view).get(f"/?token={view.token}", base_url=base)
        assert answer.status_code == 403, base
        assert "Set-Cookie" not in answer.headers
    assert Client(view).get("/", base_url="http://localhost:8484").text.startswith("Open the addr")


def test_whoever_lacks_the_token_sees_nothing(view: View) -> None:
    """Other accounts of the machine can connect, too."""
    client = Client(view)
    for path in ("/", "/live", "/pictures/x", "/?token=", "/?token=guess", "/?token=%C3%A9"):
        answer = client.get(path, base_url=f"http://{HOST}:8484")
        assert answer.status_code == 403, path
    cookie = {"Cookie": "testudo-view-8484=guess"}
    assert client.get("/", base_url=f"http://{HOST}:8484", headers=cookie).status_code == 403


def test_the_token_leaves_the_address(view: View) -> None:
    """It becomes a cookie that no script reads and no other site sends."""
    answer = Client(view).get(f"/?token={view.token}", base_url=f"http://{HOST}:8484")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["Set-Cookie"].split("; "))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_the_server_only_reads(visitor: Visitor, method: str) -> None:
    """Any other method is refused."""
    assert (
        visitor.client.open("/", method=method, base_url=f"http://{HOST}:8484").status_code == 405
    )


@pytest.mark.parametrize("path", ["/", "/nothing", "/pictures/x", "/favicon.ico", "/?token=x"])
def test_every_answer_has_the_policy(visitor: Visitor, path: str) -> None:
    """No script, style, picture, frame or form but our own, whatever the answer is."""
    headers = visitor.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src 'self'; style-src 'sha256-")
    assert not {"unsafe-inline", "unsafe-eval", "unsafe-hashes"} & set(
        re.findall(r"[\w-]+", policy)
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_pages_have_no_handlers_and_load_nothing_else(visitor: Visitor) -> None:
    """One script and one style, known by their digests; links lead nowhere outside."""
    for path in ("/", "/dead-letters", "/live", "/releases", "/item?item=a"):
        page = visitor.page(path)
        assert page.count("<script>") == page.count("<style>") == 1
        assert not re.search(r"<[^>]* (on\w+|style)=", page.split("</style>")[1])
        assert not re.search(r'(href|src|action)="(?![/?#])', page)


def test_marks_of_direction_are_escaped() -> None:
    """And control characters; words of any script stay as they are."""
    assert visible("a\u202eb\u2066c\x1b[2J\x00\n") == "a\\u202eb\\u2066c\\x1b[2J\\x00\n"
    kept = "mug\tüß مرحبا می\u200cخواهم 👩\u200d🔧"  # noqa: RUF001 - other letters on purpose
    assert visible(kept) == kept


def test_addresses_are_read_as_they_are_written() -> None:
    """What a link asks for is what its page reads; a long text is cut."""
    from urllib.parse import parse_qsl

    filters = Filters(period="7d", tenant="a&b=c", label="m:x", least=3, differing="yes")
    again = Filters.read(dict(parse_qsl(filters.query())), period="1d")
    assert again == filters
    moved = dict(parse_qsl(filters.query(until=LATER, after="a/b")))
    assert Filters.read(moved, period="1d").until == LATER
    assert Filters.read({"tenant": "x" * 999}, period="1d").tenant == "x" * 300
    assert Filters.read({"until": "0001-01-01T00:00:00+23:00"}, period="1d").until == END


def test_every_question_has_a_limit() -> None:
    """Of rows, or of the one item that it is about; and no word of SQL comes from outside."""
    texts = {name: text for name, text in vars(sql).items() if name.isupper()}
    assert texts.keys() == {
        "PREDICTIONS", "DEAD_LETTERS", "OPTIONS", "SPAN", "PULSE", "COMPARED", "STORY"
    }  # fmt: skip
    for name, text in texts.items():
        assert "LIMIT" in text or name == "SPAN" or "item_id = @item_id" in text, name
        assert "@since" in text or name == "STORY", name
    for listed in (sql.PREDICTIONS, sql.DEAD_LETTERS, sql.COMPARED):
        assert listed.endswith(f"LIMIT {questions.PAGE_ROWS + 1}\n")


# --- the command ---------------------------------------------------------------------------------


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With code 2, before anything listens."""
    assert main(["view", f"--output={tmp_path / 'none'}"]) == 2
    assert "--output: there is no folder" in capsys.readouterr().err
    assert main(["view", f"--output={tmp_path}", "--port=70000"]) == 2
    assert "--port: is 70000" in capsys.readouterr().err
    assert main(["view", "staging", f"--output={tmp_path}"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["view", f"--home={tmp_path}"]) == 2
    assert "testudo local up" in capsys.readouterr().err


def test_the_command_serves_until_it_is_interrupted(run: Path) -> None:
    """It prints its address, and ends at Ctrl-C with code 0 and without another word."""
    command = [sys.executable, "-m", "testudo.cli", "view", f"--output={run}", "--no_browser"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        assert process.stderr
        address = process.stdout.readline().strip()
        assert re.fullmatch(rf"http://{HOST}:\d+/\?token=[\w-]{{22}}", address)
        process.send_signal(signal.SIGINT)
        assert exit_code(process) == 0
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With code 1, and by the flag's name."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["view", f"--output={run}", f"--port={port}", "--no_browser"]) == 1
    assert f"--port: {port} cannot be used: Address already in use" in capsys.readouterr().err


def test_limits_are_those_of_the_environments_job() -> None:
    """Where its flags change them."""
    from testudo.commands.view import limits_of

    plain_one = Environment(name="a", project="project-a")
    assert limits_of(plain_one) == ImageLimits()
    changed = Environment(name="a", project="project-a", flags={"max_image_pixels": 5})
    assert limits_of(changed) == ImageLimits(max_pixels=5)


def test_a_period_ends_at_its_age() -> None:
    """All time is from the beginning."""
    assert Filters(period="1h").since(LATER) == LATER - timedelta(hours=1)
    assert ALL.since(LATER) < MONDAY - timedelta(days=9999)
