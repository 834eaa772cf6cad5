"""The shape of the code: who imports whom, who may catch what, what is shipped."""

import ast
import runpy
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import setuptools

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("beam_pipeline", "loadtest", "models", "templates", "transforms")
TRAINING = {
    "models.training.evaluation",
    "models.training.examples",
    "models.training.export",
    "models.training.pictures",
    "models.training.samples",
    "models.training.text_analysis",
    "models.training.train",
    "models.training.bundle",
    "models.training.network",
    "models.training.manifest_lines",
}
SERVING = {
    "models.bare_images", "models.encodings", "models.exchange", "models.features",
    "transforms.handlers", "models.image_files", "models.isolation", "models.kernels", "models.litert",
    "models.loaded", "models.manifest", "models.model_process", "models.orientation",
    "models.pixels", "models.png_files", "models.release", "models.saved_model",
    "models.text_transform",
}  # fmt: skip
# What people at a terminal use, and the job's workers never load.
TERMINAL = (
    "testudo.cli",
    "testudo.cloud",
    "testudo.commands",
    "testudo.local",
    "loadtest",
)
# Copied into the image and run there: outside the packages, which it finds installed.
PROGRAMS = {"templates.image.launch"}


def modules() -> dict[str, ast.Module]:
    """Every module of the packages, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


IMPORTS = {name: {one for one in imports(tree) if one in MODULES} for name, tree in MODULES.items()}


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


def test_every_model_module_is_of_training_or_of_serving() -> None:
    """A new module of models/ must be put on one side of the line."""
    assert {name for name in MODULES if name.startswith("models.")} == TRAINING | SERVING


def test_records_and_failures_import_nothing_of_ours_above_them() -> None:
    """The records are the floor that everything else stands on."""
    assert IMPORTS["transforms.records"] == set()
    assert IMPORTS["models.failures"] == {"transforms.records"}


def test_stages_do_not_know_the_graph() -> None:
    """transforms/ and models/ import neither the graph nor its ends, flags or tools."""
    for name, imported in IMPORTS.items():
        if within(name, ("transforms", "models")):
            for one in imported:
                allowed = name == "models.training.bundle" or not within(one, ("loadtest",))
                assert allowed, f"{name} imports {one}"
                assert not within(one, ("beam_pipeline", "templates")), f"{name} imports {one}"


def test_no_stage_imports_another_stage() -> None:
    """Stages meet in the graph only, over the records."""
    stages = {f"transforms.{name}" for name in ("events", "images", "texts", "joins", "scores")}
    for stage in stages:
        assert IMPORTS[stage] & stages == set()


def test_serving_does_not_import_training() -> None:
    """A worker never loads Keras, tensorflow-transform or the sample task."""
    for name in SERVING:
        assert IMPORTS[name] & TRAINING == set(), name


def test_the_job_imports_nothing_of_the_terminal() -> None:
    """Only `emulator_ends` reaches into the laptop stack, inside the function."""
    found = {
        (name, one)
        for name, imported in IMPORTS.items()
        if not within(name, TERMINAL)
        for one in imported
        if within(one, TERMINAL)
    }
    own = ("beam_pipeline.io.pubsub_sink", "beam_pipeline.io.pubsub_source")
    assert found == {("beam_pipeline.endpoints", one) for one in own}
    top = ast.Module(
        [node for node in MODULES["beam_pipeline.endpoints"].body
         if isinstance(node, ast.Import | ast.ImportFrom)], []
    )  # fmt: skip
    assert "beam_pipeline.io.pubsub_source" not in set(imports(top))


def test_the_job_layers_import_downwards() -> None:
    """Options below config, config below ends, ends below the graph, the entry on top."""
    layers = ("options", "config", "sinks", "endpoints", "graph", "main")
    for number, layer in enumerate(layers):
        above = {f"beam_pipeline.{one}" for one in layers[number + 1 :]}
        assert IMPORTS[f"beam_pipeline.{layer}"] & above == set(), layer


def test_imports_have_no_cycle() -> None:
    """Every module can be understood after those that it imports."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for one in sorted(IMPORTS[name]):
                visit(one, (*path, name))
            done.add(name)

    for name in IMPORTS:
        visit(name, ())


def ends_with_raise(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None


def test_exception_is_caught_in_one_place() -> None:
    """Anywhere else it would hide a bug; a handler that cleans up and raises again hides none."""
    found = []
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and not ends_with_raise(node):
                caught = ast.walk(node.type) if node.type else [ast.Name("BaseException")]
                names = {one.id for one in caught if isinstance(one, ast.Name)}
                found += [name] * bool(names & {"Exception", "BaseException"})
    assert found == ["models.failures"]


def test_no_progress_bar_outlives_its_block() -> None:
    """One that a generator holds is waited for at exit, for ever, when its reader fails."""
    for name, tree in MODULES.items():
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
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                keywords = [one.arg for one in node.keywords]
                assert node.func.attr != "publish" or None not in keywords, name


def test_records_are_read_with_their_annotations() -> None:
    """`from __future__ import annotations` would silently end Beam's type checks."""
    for name, tree in MODULES.items():
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
    """Every folder with code is named, one by one, and `tests` is not."""
    folders = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("__init__.py")
    }
    assert set(setup_arguments["packages"]) == folders
    inside = {name for name in MODULES if name not in PROGRAMS}
    with_code = {name.rpartition(".")[0] for name in inside if name.rpartition(".")[0]}
    assert with_code <= folders


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
        *(REPOSITORY / "beam_pipeline/local").glob("*.txt"),
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
    with_beam = {"numpy", "orjson", "pyarrow", "apache_beam", "google"}
    asked = {
        one.split(">")[0].split("[")[0].split("<")[0].replace("-", "_")
        for one in setup_arguments["install_requires"]
    }
    names = {"pillow": "PIL"}
    allowed = {names.get(one, one) for one in asked} | with_beam | set(sys.stdlib_module_names)
    for name, tree in MODULES.items():
        if within(name, TERMINAL) or name in TRAINING:
            continue
        used = {one.split(".")[0] for one in imports(tree)} - set(PACKAGES)
        assert used <= allowed, f"{name}: {used - allowed}"
