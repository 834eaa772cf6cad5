"""The Dockerfile as data, and the digests of its bases from a registry that speaks the real API."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from testudo.cli import main
from testudo.errors import CommandError
from testudo.image.dockerfile import Instruction, bases, instructions, pinned
from testudo.image.registry import by_digest, digest_of

ZEROS = "0" * 64
MANIFESTS = {
    ("library/python", "3.13"): b'{"manifests": [1]}',
    ("beam", "2.77.0"): b'{"layers": []}',
}
SCOPE = "repository:{}:pull"


class Registry(BaseHTTPRequestHandler):
    """Version 2 of the registries' API: a token a repository, and manifests by tag."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            self.answer(HTTPStatus.OK, json.dumps({"token": parse_qs(url.query)["scope"][0]}))
            return
        name, _, tag = url.path.removeprefix("/v2/").partition("/manifests/")
        if self.headers["Authorization"] != f"Bearer {SCOPE.format(name)}":
            self.answer(HTTPStatus.UNAUTHORIZED, "{}", challenge=SCOPE.format(name))
        elif (name, tag) not in MANIFESTS or "image.index" not in self.headers["Accept"]:
            self.answer(HTTPStatus.NOT_FOUND, "{}")
        else:
            self.answer(HTTPStatus.OK, MANIFESTS[name, tag].decode())

    def answer(self, code: HTTPStatus, text: str, challenge: str = "") -> None:
        self.send_response(code)
        if challenge:
            realm = f"http://{self.headers['Host']}/token"
            bearer = f'Bearer realm="{realm}",service="registry",scope="{challenge}"'
            self.send_header("WWW-Authenticate", bearer)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the same
        """What pytest would print."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Host and port of a registry on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def dockerfile(registry: str, tag: str = "3.13") -> str:
    return (
        f"ARG PYTHON_BASE={registry}/library/python:{tag}@sha256:{ZEROS}\n"
        f"ARG BEAM_BASE={registry}/beam:2.77.0@sha256:{ZEROS}\n"
        "FROM ${PYTHON_BASE} AS tools\n"
    )


def test_pin_writes_what_the_registry_holds_now(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digest is that of the manifest's own bytes; the rest of the file stays."""
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile(registry))
    asked = ["template", "pin", f"--dockerfile={file}"]
    assert main([*asked, "--check"]) == 1
    assert f"{registry}/beam:2.77.0 has no digest" in capsys.readouterr().err
    assert main(asked) == 0
    expected = dockerfile(registry)
    for manifest in MANIFESTS.values():
        expected = expected.replace(ZEROS, hashlib.sha256(manifest).hexdigest(), 1)
    assert file.read_text() == expected
    assert main([*asked, "--check"]) == 0
    assert main(asked) == 0, "digests are renewed as they are written"
    assert file.read_text() == expected


def test_pin_tells_every_base_that_it_could_not_get(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves the file as it was."""
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile(registry, "9.99").replace("2.77.0", "1.0"))
    before = file.read_text()
    assert main(["template", "pin", f"--dockerfile={file}"]) == 2
    told = capsys.readouterr().err
    assert "library/python:9.99: HTTPError: HTTP Error 404" in told
    assert "beam:1.0: HTTPError: HTTP Error 404" in told
    assert file.read_text() == before


def test_a_registry_that_wants_more_than_a_token_is_told_so() -> None:
    """Nothing is sent to a place of another scheme than the registry's own."""

    class Odd(Registry):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Bearer realm="ftp://elsewhere/token"')
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        found = bases(dockerfile(f"127.0.0.1:{server.server_port}"))
        with pytest.raises(CommandError, match="not understood"):
            digest_of(found[0])
        server.shutdown()


def test_an_image_by_tag_is_named_by_what_the_tag_names_now(registry: str) -> None:
    """A tag moves, and a rollback must find the same image."""
    digest = hashlib.sha256(MANIFESTS["beam", "2.77.0"]).hexdigest()
    assert by_digest(f"{registry}/beam:2.77.0") == f"{registry}/beam@sha256:{digest}"
    assert by_digest(f"{registry}/beam@sha256:{ZEROS}") == f"{registry}/beam@sha256:{ZEROS}"
    with pytest.raises(CommandError, match="404"):
        by_digest(f"{registry}/beam:1.0")
    with pytest.raises(CommandError, match="neither"):
        by_digest("beam")


def test_a_template_is_not_built_on_a_base_without_digest(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What such an image holds may be another thing tomorrow."""
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile(registry))
    asked = ["template", "build", "staging", "--version=1", f"--dockerfile={file}"]
    assert main([*asked, f"--image=host/testudo@sha256:{ZEROS}"]) == 2
    assert f"{registry}/library/python:3.13 has no digest" in capsys.readouterr().err


def test_instructions_are_read_with_flags_lists_and_lines() -> None:
    """Comments fall out, lines that end with a backslash go on."""
    text = '# a\nFROM base\n\nRUN --mount=type=cache,target=/c ["a b", \\\n  # b\n  "c"]\n'
    first, run = instructions(text)
    assert first == Instruction(2, "FROM", {}, "base")
    assert (run.line, run.flags) == (4, {"mount": "type=cache,target=/c"})
    assert run.words == ["a b", "c"]


@pytest.mark.parametrize("text", ["ADD a b", "USER root", 'run ["a"]', 'RUN ["a", \\'])
def test_what_is_not_understood_is_an_error(text: str) -> None:
    """With its line: a step that is passed over would be a step that nobody tried."""
    with pytest.raises(CommandError, match="line 1"):
        list(instructions(text))


def test_arguments_fill_values_and_must_be_there() -> None:
    """As `docker build` fills them, but an unknown one is an error."""
    step = Instruction(7, "ENV", {}, "A=x-${B}")
    assert step.assigned({"B": "y"}) == ("A", "x-y")
    with pytest.raises(CommandError, match="line 7: there is no argument B"):
        step.assigned({})
    with pytest.raises(CommandError, match="NAME=VALUE"):
        Instruction(7, "ENV", {}, "A b").assigned({})


@pytest.mark.parametrize("base", ["host/a:1", "host/a@sha256:" + ZEROS, "a:1@sha256:" + ZEROS])
def test_a_base_has_registry_tag_and_digest(base: str) -> None:
    """Written out, so that nothing is guessed."""
    with pytest.raises(CommandError, match="REGISTRY/NAME:TAG"):
        bases(f"ARG A_BASE={base}\n")


def test_pinning_changes_the_digests_alone() -> None:
    """Whatever they were before."""
    text = dockerfile("host") + "# @sha256:" + ZEROS
    done = pinned(text, {"PYTHON_BASE": "1" * 64, "BEAM_BASE": "2" * 64})
    assert [one.digest for one in bases(done)] == ["1" * 64, "2" * 64]
    assert pinned(done, {"PYTHON_BASE": ZEROS, "BEAM_BASE": ZEROS}) == text
