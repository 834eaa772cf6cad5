"""A Dockerfile's steps in a folder: where files go, what commands see, what is refused."""

from pathlib import Path

import pytest

from testudo.errors import CommandError, Failed
from testudo.image.steps import Image, perform

ZEROS = "0" * 64
HEAD = f"""\
ARG PYTHON_BASE=docker.io/library/python:3.13-slim@sha256:{ZEROS}
ARG BEAM_BASE=docker.io/beam:1@sha256:{ZEROS}
FROM ${{BEAM_BASE}} AS beam
"""
WRITE = "import os, sys; open(sys.argv[1], 'w').write(repr(dict(os.environ)))"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "code/__pycache__").mkdir(parents=True)
    (folder / "code/one.py").write_text("1")
    (folder / "code/__pycache__/one.pyc").write_text("compiled")
    (folder / "notes.txt").write_text("private")
    (folder / ".dockerignore").write_text("# what is copied\n*\n!code\n**/__pycache__\n")
    return folder


def done(context: Path, steps: str, **more: str) -> Image:
    (context / "Dockerfile").write_text(HEAD + steps)
    return perform(context / "Dockerfile", context, context.parent / "out", print, **more)


def test_files_go_where_copy_puts_them(context: Path) -> None:
    """Folders by their content, files into a folder that ends with a slash; caches stay behind."""
    image = done(
        context,
        "FROM ${PYTHON_BASE} AS first\nWORKDIR /work\nCOPY code code\nCOPY code/one.py /two/\n"
        'RUN ["python", "-c", "import os; os.makedirs(\'code/__pycache__\')"]\n'
        "FROM ${PYTHON_BASE}\nCOPY --from=first /work/code /three\n"
        "COPY code/one.py /four.py\nCOPY --from=beam /opt/boot /opt/boot\n",
    )
    assert (image.root / "three/one.py").read_text() == "1"
    assert (image.root / "four.py").read_text() == "1"
    assert (image.root / "three/__pycache__").is_dir(), "made by the build, not of the context"
    assert (image.root.parent / "first/two/one.py").read_text() == "1"
    assert image.not_performed[-1] == "COPY /opt/boot: only the base image holds it"
    assert not (image.root / "opt/boot").exists()


def test_a_command_sees_the_stage_alone(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own Python, its own variables with paths brought here, and nothing of this process."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    image = done(
        context,
        f'FROM ${{PYTHON_BASE}}\nENV WHERE=/template\nRUN ["python", "-c", "{WRITE}", "/seen"]\n',
    )
    seen = (image.root / "seen").read_text()
    assert f"'WHERE': '{image.root}/template'" in seen
    assert "PYTHONPATH" not in seen
    assert "secret" not in seen
    assert image.environment["WHERE"] == f"{image.root}/template"
    assert image.python.is_relative_to(image.root)


def test_a_variant_is_a_build_argument(context: Path) -> None:
    """As `docker build --build-arg VARIANT=...` gives it."""
    steps = "FROM ${PYTHON_BASE}\nARG VARIANT=cpu\nENV A=${VARIANT}\n"
    assert done(context, steps).environment["A"] == "cpu"
    assert done(context, steps, variant="gpu").environment["A"] == "gpu"


def test_what_was_there_before_is_gone(context: Path) -> None:
    """Every run begins with an empty folder."""
    image = done(context, "FROM ${PYTHON_BASE}\n")
    (image.root / "left").write_text("over")
    assert not (done(context, "FROM ${PYTHON_BASE}\n").root / "left").exists()


def test_a_command_that_fails_says_what_it_printed(context: Path) -> None:
    """And which one it was."""
    with pytest.raises(Failed, match=r"(?s)python -c .*: exit code 3\nwhat is wrong"):
        done(
            context,
            "FROM ${PYTHON_BASE}\n"
            'RUN ["python", "-c", "print(\'what is wrong\'); raise SystemExit(3)"]\n',
        )


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("FROM ${PYTHON_BASE}\nRUN echo a && echo b\n", "would need a shell"),
        ("FROM ${PYTHON_BASE}\nCOPY notes.txt /a\n", "is ignored by .dockerignore"),
        ("FROM ${PYTHON_BASE}\nCOPY code/none.py /a\n", "is not there"),
        ("FROM elsewhere\n", "there is no stage elsewhere"),
        ('RUN ["true"]\n', "stands in no stage"),
        ('FROM ${PYTHON_BASE}\nRUN --mount=type=secret,id=a ["true"]\n', "is not understood"),
    ],
)
def test_what_cannot_be_done_here_is_refused(context: Path, steps: str, problem: str) -> None:
    """Rather than passed over."""
    with pytest.raises(CommandError, match=problem):
        done(context, steps)


@pytest.mark.parametrize("rules", ["!code\n", "*\n!code/*\n", "*\ncode\n", ""])
def test_rules_that_are_not_understood_are_refused(context: Path, rules: str) -> None:
    """Else more would be copied here than in a build, or less."""
    (context / ".dockerignore").write_text(rules)
    with pytest.raises(CommandError, match=r"\.dockerignore"):
        done(context, "FROM ${PYTHON_BASE}\n")
