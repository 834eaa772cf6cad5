"""The shape of the code: who imports whom, who may catch what, what is shipped."""

import ast
import functools
import runpy
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import setuptools
from source import JOB, PACKAGES, REPOSITORY, modules

# Each folder imports from those above it, and from itself.
RANKS = (
    "models", "models.training",
    "transforms", "beam_pipeline.io", "beam_pipeline",
    "testudo", "testudo.local", "testudo.control", "testudo.image", "testudo.cloud",
    "testudo.provisioning", "testudo.doctor", "testudo.view", "testudo.commands",
    "loadtest", "loadtest.traffic", "loadtest.measuring", "loadtest.capacity", "loadtest.report",
    "loadtest.commands",
)  # fmt: skip
# Of the folders that a worker has, what it never loads, and the image leaves out.
TRAINING = "models.training"
# Copied into the image and run there: outside the packages, which it finds installed.
PROGRAMS = {"templates.image.launch"}


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else str(node.module)


@functools.cache
def all_imports() -> dict[str, set[str]]:
    """The project's modules that each of them imports."""
    return {
        name: {one for one in imports(tree) if one in modules()} for name, tree in modules().items()
    }


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


def folder_of(module: str) -> str:
    return module if module in (*RANKS, "templates") else module.rpartition(".")[0]


def test_imports_go_one_way() -> None:
    """From a folder to those of a lower rank; the templates are data, read by no import."""
    wrong = [
        f"{name} imports {one}"
        for name, imported in all_imports().items()
        for one in imported
        if name not in PROGRAMS and RANKS.index(folder_of(one)) > RANKS.index(folder_of(name))
    ]
    assert wrong == []


def test_a_worker_loads_neither_training_nor_the_command() -> None:
    """Keras, tensorflow-transform, terminals, emulators and the load kit stay out of it."""
    for name, imported in all_imports().items():
        if within(name, JOB) and not within(name, (TRAINING,)):
            for one in imported:
                assert within(one, JOB), f"{name} imports {one}"
                assert not within(one, (TRAINING,)), f"{name} imports {one}"


def test_models_know_no_beam() -> None:
    """Their processes start without it; only the analysis of texts runs on it, in training."""
    for name, tree in modules().items():
        if within(name, ("models",)) and name != "models.training.text_analysis":
            assert not [one for one in imports(tree) if within(one, ("apache_beam",))], name


def test_no_stage_imports_another_stage() -> None:
    """Stages meet in the graph only, over the records."""
    stages = {f"transforms.{name}" for name in ("events", "images", "texts", "joins", "scores")}
    for stage in stages:
        assert all_imports()[stage] & stages == set()


def test_the_job_layers_import_downwards() -> None:
    """The table of flags below its parser, ends below the graph, the entry on top."""
    layers = ("config", "options", "endpoints", "graph", "main")
    for number, layer in enumerate(layers):
        above = {f"beam_pipeline.{one}" for one in layers[number + 1 :]}
        assert all_imports()[f"beam_pipeline.{layer}"] & above == set(), layer


def test_imports_have_no_cycle() -> None:
    """Every module can be understood after those that it imports."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for one in sorted(all_imports()[name]):
                visit(one, (*path, name))
            done.add(name)

    for name in all_imports():
        visit(name, ())


def ends_with_raise(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None


def test_exception_is_caught_in_one_place() -> None:
    """Anywhere else it would hide a bug; a handler that cleans up and raises again hides none."""
    found = []
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and not ends_with_raise(node):
                caught = ast.walk(node.type) if node.type else [ast.Name("BaseException")]
                names = {one.id for one in caught if isinstance(one, ast.Name)}
                found += [name] * bool(names & {"Exception", "BaseException"})
    assert found == ["models.failures"]


def test_no_progress_bar_outlives_its_block() -> None:
    """One that a generator holds is waited for at exit, for ever, when its reader fails."""
    for name, tree in modules().items():
        nodes = list(ast.walk(tree))
        assert "track" not in {node.name for node in nodes if isinstance(node, ast.alias)}, name
        generators = (
            node for node in nodes if isinstance(node, ast.FunctionDef) and not node.decorator_list
        )
        for block in (one for function in generators for one in ast.walk(function)):
            if isinstance(block, ast.With) and "Progress(" in ast.unparse(block.items[0]):
                held = (isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(block))
                assert not any(held), f"{name}: line {block.lineno}"


def test_attributes_are_published_as_data() -> None:
    """The client that takes them as keywords is not used: one may be named like its own."""
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                keywords = [one.arg for one in node.keywords]
                assert node.func.attr != "publish" or None not in keywords, name


def test_records_are_read_with_their_annotations() -> None:
    """`from __future__ import annotations` would silently end Beam's type checks."""
    for name, tree in modules().items():
        assert "__future__" not in set(imports(tree)), name


def test_no_sql_names_a_project_or_another_dataset() -> None:
    """Every table of a view or query is `{dataset}.name`, and of no other place."""
    for path in (REPOSITORY / "templates/bigquery").rglob("*.sql"):
        names = path.read_text(encoding="utf-8").split("`")[1::2]
        assert names, path.name
        assert all(name.startswith("{dataset}.") for name in names), path.name


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py asks setuptools for."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", asked.update)
    runpy.run_path(str(REPOSITORY / "setup.py"))
    return asked


def test_setup_ships_the_packages_and_no_tests(setup_arguments: dict[str, Any]) -> None:
    """Every folder with code of ours, and nothing of tests."""
    assert set(setup_arguments["packages"]) == {*RANKS, "templates"}
    inside = {name for name in modules() if name not in PROGRAMS}
    assert {folder_of(name) for name in inside} == {*RANKS, "templates"}


def test_setup_ships_every_data_file(setup_arguments: dict[str, Any]) -> None:
    """What the code reads at run time is in the installed package too."""
    shipped = {
        path
        for package, patterns in setup_arguments["package_data"].items()
        for pattern in patterns
        for path in (REPOSITORY / package.replace(".", "/")).glob(pattern)
    }
    needed = {
        *(REPOSITORY / "templates/bigquery").rglob("*.*"),
        *(REPOSITORY / "templates/monitoring").rglob("*.json"),
        REPOSITORY / "transforms/message.schema.json",
        *(REPOSITORY / "testudo/local").glob("*.txt"),
        *(REPOSITORY / "testudo/local").glob("*.patch"),
        *(REPOSITORY / "testudo/view/pages").iterdir(),
    }
    assert needed <= shipped


def test_nobody_else_owns_our_package_names() -> None:
    """`transforms` and `models` are common words: a second owner would shadow ours."""
    owners = packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, [])) <= {"testudo"}, package
    for package in PACKAGES:
        module = sys.modules.get(package)
        if module and module.__file__:
            assert Path(module.__file__).is_relative_to(REPOSITORY), package


def test_declared_libraries_are_what_the_job_imports(setup_arguments: dict[str, Any]) -> None:
    """A library that a worker imports is asked for by setup.py, or comes with Beam on purpose."""
    with_beam = {"numpy", "orjson", "pyarrow", "apache_beam", "google", "grpc"}
    asked = {
        one.split(">")[0].split("[")[0].split("<")[0].replace("-", "_")
        for one in setup_arguments["install_requires"]
    }
    names = {"pillow": "PIL"}
    allowed = {names.get(one, one) for one in asked} | with_beam | set(sys.stdlib_module_names)
    for name, tree in modules().items():
        if not within(name, JOB) or within(name, (TRAINING,)):
            continue
        used = {one.split(".")[0] for one in imports(tree)} - set(PACKAGES)
        assert used <= allowed, f"{name}: {used - allowed}"
