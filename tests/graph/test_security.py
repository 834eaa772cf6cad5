"""Whatever a sender writes into a field stays a value: it names, opens and tells nothing."""

import base64
import json
import logging
import re
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import apache_beam as beam
import pytest
from builders import Ran, encoded, fields, grain, letter, png, run
from conftest import Releases
from rich.console import Console
from warehouse import files_engine

from beam_pipeline.config import Config
from beam_pipeline.endpoints import file_ends
from beam_pipeline.graph import build
from beam_pipeline.io.writers import _WriteLinesDoFn, rejected_row
from beam_pipeline.tables import TABLES, table_schema
from models.failures import MAX_DETAIL_CHARS, Reason, Stage
from models.features import ImageLimits
from models.isolation import model_process
from models.kernels import CallLimits
from models.model_process import Setup
from testudo.cli import main as run_command
from testudo.commands.engines import FilesEngine
from testudo.commands.query import as_table
from testudo.commands.replay import listed
from transforms.parsing import ID
from transforms.payload_objects import read_payload

BUCKET = "pictures-for-tests"
MARK = "hush7731"  # in every field, and nowhere but in values may it be found
OBJECTS = f"/download/storage/v1/b/{BUCKET}/o/"
FORGED = "2026-11-24 12:00:00,000 ERROR root: all items are lost"
WORDS = {
    "path": f"../../../../etc/passwd/{MARK}",
    "absolute": f"/etc/{MARK}",
    "uri": f"gs://somebody-elses-bucket/{MARK}",
    "address": f"http://169.254.169.254/computeMetadata/v1/{MARK}",
    "sql": f"'; DROP TABLE `{{dataset}}.dead_letters`; -- \" {MARK}",
    "comment": f"*/ {MARK} --",
    "newline": f"{MARK}\n{FORGED}\r\n{MARK}",
    "escapes": f"\x1b[2J\x1b]0;{MARK}\x07\x9b31m\x08",
    "markup": f"[red]{MARK}[/red][link=file:///etc/passwd]:smile:[/link]\\",
    "format": f"{{0}} {{{MARK}}} %s %(n)s %n ${{jndi:ldap://{MARK}}}",
    "long": MARK * 500,
    "nul": f"{MARK}\0{MARK}",
    "direction": f"\u202e{MARK}\u2066\u200b",
    "dots": "..",
    "query": f"a?alt=media&generation=1#{MARK}",
    "percent": f"%2e%2e%2f{MARK}%0d%0a",
}
ATTRIBUTES = (
    "item_id", "tenant_id", "testudo_attempt", "testudo_event_time", "payload_uri", "message_id",
    "delivery", "release", "idempotency_key", "event_time", "googclient_schemaencoding", "detail",
)  # fmt: skip
ESCAPES = re.compile(r"[^ -~]")
NAMES = re.compile(
    r"(predictions|dead_letters)-\d{5}-of-\d{5}\.jsonl"
    r"|payloads/[0-9a-f]{32}\.bin"
    r"|archive/dt=\d{4}-\d\d-\d\d/[0-9a-f]{32}\.parquet"
    r"|dead-letters/rejected-rows/dt=\d{4}-\d\d-\d\d/[0-9a-f]{32}\.jsonl"
)
# Columns that keep what a sender wrote. The message's id is Pub/Sub's own but for files.
FREE = {"attributes", "message_id"}
WIDTH = 20_000


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def pictures() -> dict[str, bytes]:
    """Files with the mark in their text, their pixels and where a decoder wants something else."""
    mark, good = MARK.encode(), png(8, 8)
    start, end = good[:33], chunk(b"IEND", b"")
    jpeg = encoded(grain(16, 16), "JPEG", comment=mark)
    return {
        "text": start + chunk(b"tEXt", b"Comment\0" + mark) + good[33:],
        "pixels": start + chunk(b"IDAT", mark) + end,
        "kind": start + chunk(b"IDAT", b"") + chunk(mark[:4], mark) + end,
        "checksum": start + struct.pack(">L", len(mark)) + b"IDAT" + mark * 2 + end,
        "bare": mark,
        "jpeg": jpeg,
        "jpeg_cut": jpeg[: len(jpeg) // 2] + mark,
        "jpeg_head": b"\xff\xd8\xff" + mark,
        "gif": b"GIF89a" + mark * 4,
        "webp": b"RIFF\x00\x00\x00\x00WEBPVP8 " + mark * 4,
        "svg": f"<svg onload='{MARK}'/>".encode(),
    }


class Sent(NamedTuple):
    data: bytes
    attributes: Mapping[str, str]
    message_id: str


def hostile_messages() -> list[Sent]:
    """Each word in each field by itself, all the attributes with each of them."""
    made = []
    for name, word in WORDS.items():
        data = {
            "text": fields(text=word),
            "uri": fields(image_uri=word),
            "object": fields(image_uri=f"gs://{BUCKET}/{word}"),
            "foreign": fields(image_uri=f"gs://somebody-elses-bucket/{word}"),
            "bucket": fields(image_uri=f"gs://{word}/a.png"),
            "image": fields(image=word),
            "item": fields(item_id=word),
            "tenant": fields(tenant_id=word),
            "time": fields(event_time=word),
            "field": fields(**{word: word}),
            "list": fields(text=[word]),
        }
        attributes = {**dict.fromkeys(ATTRIBUTES, word), word: word}
        for field, one in data.items():
            if field not in {"item", "tenant"}:
                one |= {"item_id": f"{name}-{field}"}
            made.append(Sent(json.dumps(one).encode(), attributes, word))
        made.append(Sent(word.encode(), attributes, word))
    for name, picture in pictures().items():
        one = fields(item_id=f"picture-{name}", image=base64.b64encode(picture).decode())
        made.append(Sent(json.dumps(one).encode(), {MARK: MARK}, MARK))
    good = fields(item_id="good", image_uri=f"gs://{BUCKET}/good.png")
    return [*made, Sent(json.dumps(good).encode(), {}, "")]


class Storage(ThreadingHTTPServer):
    """Has one object, and remembers every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str]] = []


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storage

    def _answer(self) -> None:
        self.server.asked.append((self.command, self.path))
        found = self.command == "GET" and urlsplit(self.path).path == f"{OBJECTS}good.png"
        body = png(8, 8) if found else b"no such object"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 - http's names

    def log_message(self, *_: Any) -> None:
        """The test looks at what was asked."""


class Outcome(NamedTuple):
    """Everything that a run on all the hostile messages left behind."""

    sent: list[Sent]
    folder: Path
    around: set[str]  # names beside the output folder
    asked: list[tuple[str, str]]
    logged: str
    printed: str
    counters: Mapping[str, int]

    def rows(self, table: str) -> list[dict[str, Any]]:
        paths = self.folder.glob(f"{table}-*.jsonl")
        lines = [line for path in paths for line in path.read_bytes().split(b"\n") if line]
        return [json.loads(line) for line in lines]


def refused_row() -> tuple[str, Mapping[str, Any], str]:
    """A row with the mark in each column, which its table did not take."""
    row: dict[str, Any] = {field.name: WORDS["path"] for field in table_schema("dead_letters")}
    return "p:d.dead_letters", row, WORDS["escapes"]


def run_all(config: Config) -> Ran:
    def connect(pipeline: beam.Pipeline) -> None:
        build(pipeline, config, file_ends(config))
        rejects = f"{config.dead_letters}/rejected-rows"
        row = pipeline | beam.Create([rejected_row(refused_row())], reshuffle=False)
        row | beam.ParDo(_WriteLinesDoFn(rejects))

    return run(connect)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with Storage() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def outcome(
    tmp_path: Path,
    releases: Releases,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Outcome:
    """The whole graph, from a file of messages to files."""
    sent = hostile_messages()
    source = tmp_path / "in.jsonl"
    lines = (
        {
            "data": base64.b64encode(one.data).decode(),
            "attributes": one.attributes,
            "messageId": one.message_id,
        }
        for one in sent
    )
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    limits = ImageLimits(max_bytes=1_000_000)
    made = Config(
        output=str(tmp_path / "out"), releases=releases.root, input_file=str(source),
        max_image_bytes=limits.max_bytes, image_buckets=BUCKET, fetch_timeout_s=300,
    )  # fmt: skip
    sizes = {
        Stage.IMAGE: made.image_batch_size,
        Stage.TEXT: made.text_batch_size,
        Stage.SCORE: made.score_batch_size,
    }
    for stage, size in sizes.items():  # those of earlier tests print elsewhere
        its_limits = limits if stage is Stage.IMAGE else ImageLimits()
        model_process(Setup(stage, CallLimits(), its_limits), size).close()
    with caplog.at_level(logging.INFO):
        ran = run_all(made)
        logged = caplog.text
    return Outcome(
        sent=sent,
        folder=tmp_path / "out",
        around={one.name for one in tmp_path.iterdir()},
        asked=list(storage.asked),
        logged=logged,
        printed="".join(capfd.readouterr()),
        counters=ran.counters,
    )


def test_a_message_is_nothing_but_values(outcome: Outcome) -> None:
    """One run on 200 messages, looked at from every side: a run costs seconds."""
    predictions, dead_letters = outcome.rows("predictions"), outcome.rows("dead_letters")
    assert len(predictions) + len(dead_letters) == len(outcome.sent)
    assert "bugs" not in outcome.counters
    assert {"good", "sql-text", "escapes-text", "nul-text"} <= {
        one["item_id"] for one in predictions
    }
    assert_names_are_the_pipelines(outcome)
    assert_only_allowed_objects_were_asked_for(outcome)
    assert_nothing_was_told(outcome)
    assert_rows_are_values(outcome)
    assert_tables_are_whole(outcome)
    assert_terminals_are_left_alone(outcome)


def assert_names_are_the_pipelines(outcome: Outcome) -> None:
    """Nothing beside the output folder, and below it names of days, digits and shards."""
    assert outcome.around == {"in.jsonl", "out", "releases"}
    files = [one for one in outcome.folder.rglob("*") if not one.is_dir()]
    names = [one.relative_to(outcome.folder).as_posix() for one in files]
    assert [name for name in names if not NAMES.fullmatch(name)] == []
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "predictions", "dead_letters", "payloads", "archive", "dead"
    }  # fmt: skip
    kept = sorted(
        read_payload(row["payload_uri"])
        for table in ("predictions", "dead_letters")
        for row in outcome.rows(table)
        if Path(row["payload_uri"]).is_relative_to(outcome.folder / "payloads")
    )
    assert kept == sorted(one.data for one in outcome.sent)


def assert_only_allowed_objects_were_asked_for(outcome: Outcome) -> None:
    """By GET, in the allowed bucket, each by the whole name that the URI gives."""
    given = {*WORDS.values(), "good.png"}
    names = []
    for method, address in outcome.asked:
        assert method == "GET"
        path = urlsplit(address).path
        if path == f"/storage/v1/b/{BUCKET}":
            continue  # the client asks once for the bucket itself, to name it in traces
        assert path.startswith(OBJECTS)
        name = path.removeprefix(OBJECTS)
        assert quote(unquote(name), safe="~") == name, "only escaped: it cannot climb or ask more"
        assert urlsplit(address).query == "alt=media"
        names.append(unquote(name))
    assert set(names) < given
    assert {"good.png", WORDS["path"], WORDS["query"], WORDS["percent"]} <= set(names)
    assert ".." not in names


def assert_nothing_was_told(outcome: Outcome) -> None:
    """No log, no line of this process or a model's, and no metric has what a sender wrote."""
    assert outcome.logged
    for told in (outcome.logged, outcome.printed, *outcome.counters):
        assert MARK not in told
        assert FORGED not in told


def assert_rows_are_values(outcome: Outcome) -> None:
    """Columns are the schema's; what a sender wrote is in two of them, and in no detail."""
    for table in ("predictions", "dead_letters"):
        columns = {field.name for field in table_schema(table)}
        for row in outcome.rows(table):
            assert row.keys() <= columns
            marked = {name for name, value in row.items() if MARK in json.dumps(value)}
            assert marked <= FREE, row
            assert row["attempt"] == 1
            for name in ("item_id", "tenant_id"):
                assert not row[name] or ID.fullmatch(row[name])
            if table == "dead_letters":
                assert row["attributes"].isascii()
                for failure in row["failures"]:
                    assert failure["reason"] in set(Reason)
                    assert not ESCAPES.search(failure["detail"])
                    assert len(failure["detail"]) <= MAX_DETAIL_CHARS
    (rejected,) = (outcome.folder / "dead-letters").rglob("*.jsonl")
    (line,) = rejected.read_bytes().splitlines()
    assert json.loads(line)["row"] == refused_row()[1]
    assert not ESCAPES.search(json.loads(line)["detail"])


def assert_tables_are_whole(outcome: Outcome) -> None:
    """The questions are answered over rows that hold SQL, and every row is still there."""
    engine = FilesEngine(outcome.folder)
    found = {name: engine.ask(f"SELECT COUNT(*) FROM `{{dataset}}.{name}`").rows for name in TABLES}
    assert found == {
        "predictions": [(len(outcome.rows("predictions")),)],
        "dead_letters": [(len(outcome.rows("dead_letters")),)],
        "replays": [(0,)],
        "job_costs": [(0,)],
    }


def assert_terminals_are_left_alone(outcome: Outcome) -> None:
    """`query` and `replay` print one line a row, as it is, without a control character."""
    rows = FilesEngine(outcome.folder).ask(
        "SELECT DISTINCT message_id FROM `{dataset}.dead_letters` WHERE message_id <> ''"
    )
    letters = [letter(item_id=one, detail=one, tenant_id=one) for one in WORDS.values()]
    for answer in (rows, listed(letters)):
        screen = StringIO()
        Console(file=screen, force_terminal=True, color_system=None, width=WIDTH).print(
            as_table(answer)
        )
        lines = screen.getvalue().splitlines()
        assert len(lines) == len(answer.rows) + 4  # three rules and the names of the columns
        assert all(line.isprintable() for line in lines)
        assert len(answer.rows) >= len(WORDS)
        for shown in (
            r"\x1b[2J",
            r"\x9b31m",
            f"[red]{MARK}[/red]",
            ":smile:",
            r"\u202e",
            r"\n2026",
        ):
            assert shown in screen.getvalue()


def test_an_error_that_quotes_a_row_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The database repeats the value that it cannot convert; the terminal is not to obey it."""
    row = {"message_id": WORDS["escapes"], "failed_at": "2026-11-24T12:00:00+00:00"}
    files_engine(tmp_path, {"dead_letters": [row]})
    sql = "SELECT CAST(message_id AS INT64) FROM `{dataset}.dead_letters`"
    assert run_command(["query", f"--output={tmp_path}", f"--sql={sql}"]) == 2
    said = capsys.readouterr().err
    assert rf"\x1b]0;{MARK}\x07" in said
    assert all(line.isprintable() for line in said.splitlines())
