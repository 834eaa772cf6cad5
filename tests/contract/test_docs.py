"""What the documents say stands in the code, and the other way round."""

import argparse
import ast
import functools
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from beam_pipeline.config import FLAGS
from beam_pipeline.options import TestudoOptions
from models.failures import Reason, Stage
from testudo.cli import COMMANDS
from testudo.environment_file import environment_from
from testudo.provisioning.grants import grants

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("beam_pipeline", "loadtest", "models", "templates", "testudo", "transforms")
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")], key=lambda path: path.name
)


@functools.cache
def sources() -> list[tuple[Path, ast.Module]]:
    """Every module of ours, parsed."""
    return [
        (path, ast.parse(path.read_text(encoding="utf-8")))
        for package in PACKAGES
        for path in sorted((REPOSITORY / package).rglob("*.py"))
    ]


def table(document: str) -> list[list[str]]:
    """The cells of a document's tables, a list a row, headings and rules left out."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        for line in (REPOSITORY / document).read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    return [row for row in rows if row[0].startswith("`")]


def commands(document: Path) -> Iterator[list[str]]:
    """The words of every command in the document's bash blocks."""
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].split()
            if words:
                yield words


def make_targets() -> set[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def own_flags() -> dict[str, argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    TestudoOptions._add_argparse_args(parser)
    return {flag: action for action in parser._actions for flag in action.option_strings}


@functools.cache
def declared_flags() -> set[str]:
    """Every flag that any module of ours declares, by the text of its declaration."""
    return {f"--{name}" for name in FLAGS} | {
        argument.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        for argument in node.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }


def test_every_reason_is_explained() -> None:
    """docs/reasons.md has one row a reason: where, what it means and what to do."""
    rows = table("docs/reasons.md")
    assert sorted(row[0].strip("`") for row in rows) == sorted(Reason)
    for row in rows:
        assert len(row) == 4
        assert all(row)
        assert set(row[1].split(", ")) <= {*Stage, "any"}


def test_every_flag_has_help_of_one_sentence() -> None:
    """`testudo run --help` explains each of them."""
    for flag, action in own_flags().items():
        assert action.help, flag
        assert action.help.endswith("."), flag
        assert flag == f"--{action.dest}", flag


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_flags_that_a_document_shows_exist(document: Path) -> None:
    """A flag of ours in backticks or in a command can be given to some command."""
    text = document.read_text(encoding="utf-8")
    shown = set(re.findall(r"`(--[a-z0-9_]+)", text))
    for words in commands(document):
        if words[0] == "testudo":
            shown |= {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    beams = {"--region", "--project", "--runner", "--num_workers", "--max_num_workers"}
    beams |= {"--help", "--version", "--experiments", "--streaming", "--temp_location"}
    assert shown - declared_flags() - beams == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_a_document_shows_exist(document: Path) -> None:
    """Every `make` target and every `testudo` subcommand of a bash block is there."""
    for words in commands(document):
        if words[0] == "make":
            targets = {word for word in words[1:] if "=" not in word and word[0] != "-"}
            assert targets <= make_targets(), words
        if words[0] == "testudo":
            assert words[1] in COMMANDS or words[1].startswith("--"), words


def test_every_subcommand_can_be_imported() -> None:
    """The table of subcommands names modules that are there."""
    for module, what in COMMANDS.values():
        assert importlib.util.find_spec(module), f"{module}: {what}"


def test_make_help_lists_every_target() -> None:
    """A target without a description would be found by nobody."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert make_targets() == described


def test_the_version_is_that_of_the_changelog() -> None:
    """What is installed is the newest version that the changelog speaks of."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest
    assert version("testudo") == newest[1]


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link names a file of the repository."""
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_ignored_warning_has_its_reason() -> None:
    """pyproject.toml turns warnings into errors, and says why for what it lets pass."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    filters = tomllib.loads(text)["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert filters[0] == "error"
    block = text.split("filterwarnings = [")[1].split("\n]")[0]
    assert block.split('"error",')[1].strip().startswith("#")


def test_every_role_is_explained() -> None:
    """docs/provision.md has one row for each role that an account gets on a kind of resource."""
    values = {"project": "my-project", "delivery_attempts": 20, "image_buckets": ["others"]}
    values["flags"] = {"overflow_topic": "projects/my-project/topics/items-overflow"}
    environment = environment_from("production", values, "this test")
    who = {environment.worker_email: "worker", environment.launcher_email: "launcher"}
    given = {
        (
            who.get(one.fields["member"].removeprefix("serviceAccount:"), "Pub/Sub"),
            f"`{one.fields['role']}`",
            one.fields["kind"],
        )
        for one in grants(environment)
    }
    text = (REPOSITORY / "docs/provision.md").read_text(encoding="utf-8")
    lines = text.split("## Roles")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "`" in line]
    explained = [(row[0], row[1], row[2]) for row in rows if len(row) == 4 and row[3]]
    assert sorted(explained) == sorted(given)
