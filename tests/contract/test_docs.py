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
from rigs.reference import PAGE, page, slug
from source import PACKAGES, REPOSITORY, modules

from beam_pipeline.config import FLAGS
from beam_pipeline.options import TestudoOptions
from testudo.cli import COMMANDS

DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")], key=lambda path: path.name
)
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
MAX_README_WORDS = 700
# Words that this project once used in a sense of its own. Letters are dead, or of an alphabet.
HOME_MADE = re.compile(
    r"\b(wish|wished|wishes|told|noted|lanes?|sides?|(?<!dead[ -])(?<!ASCII )letters(?! under))\b",
    re.IGNORECASE,
)


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
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        for argument in node.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }


def test_the_reference_is_that_of_the_code() -> None:
    """Reasons, metrics, flags, roles, hostile inputs: `make reference` writes the page."""
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: make reference"


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
    newest = re.search(r"^## (\d+\.\d+\.\d+) - ", changelog, re.MULTILINE)
    assert newest
    assert version("testudo") == newest[1]


def without_blocks(document: Path) -> str:
    """A document's text without its blocks of commands, code and output."""
    text = document.read_text(encoding="utf-8")
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(document: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of each link of a document into the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (document.parent / path).resolve() if path else document, anchor


@functools.cache
def anchors(document: Path) -> set[str]:
    """Those of a document's headings."""
    return {
        slug(heading)
        for heading in re.findall(r"^#+ (.+)$", without_blocks(document), re.MULTILINE)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    """A relative link names a file of the repository, and a heading of it."""
    for path, anchor in links(document):
        assert path.exists(), f"{path} {anchor}"
        assert not anchor or anchor in anchors(path), f"{path.name}#{anchor}"


def test_pages_that_other_files_name_exist() -> None:
    """Messages, comments and alerts that send a reader to docs/ name a page that is there."""
    for top in (*PACKAGES, "tests", "Makefile", "cloudbuild.yaml"):
        for path in sorted([REPOSITORY / top, *(REPOSITORY / top).rglob("*")]):
            if path.suffix in {".html", ".pyc"} or not path.is_file():
                continue
            for page_name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text("utf-8", "replace")):
                assert (REPOSITORY / page_name).exists(), f"{path}: {page_name}"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    """At most 700 words beside commands and output; each page of docs/ is one click away."""
    readme = REPOSITORY / "README.md"
    assert len(without_blocks(readme).split()) <= MAX_README_WORDS
    linked = {path for path, _ in links(readme)}
    assert {*(REPOSITORY / "docs").glob("*.md")} <= linked
    decisions = REPOSITORY / "docs/decisions"
    assert decisions / "README.md" in linked
    numbered = {*decisions.glob("0*.md")}
    assert numbered <= {path for path, _ in links(decisions / "README.md")}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_documents_have_the_words_of_the_field(document: Path) -> None:
    """None of the words that this project once used in a sense of its own."""
    text = " ".join(re.sub(r"`[^`]*`", "", without_blocks(document)).split())
    assert HOME_MADE.findall(text) == []


def test_every_ignored_warning_has_its_reason() -> None:
    """pyproject.toml turns warnings into errors, and says why for what it lets pass."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    filters = tomllib.loads(text)["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert filters[0] == "error"
    block = text.split("filterwarnings = [")[1].split("\n]")[0]
    assert block.split('"error",')[1].strip().startswith("#")
