"""Install the BigQuery stand-in, local-bigquery, into a virtual environment of its own.

It needs Python 3.13 and its own pins, so it never shares Testudo's
environment. DuckDB searches its extensions below HOME: `home_folder` is the
HOME that it gets, so that nothing lands in the user's.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from testudo.errors import Missing, ToolsMissing

REQUIREMENTS = Path(__file__).with_name("bigquery-requirements.txt")
_EXTENSIONS = ("icu", "ducklake", "spatial")
_IMPORT_EXTENSIONS = (
    "import sys; from duckdb_extensions import import_extension; "
    "[import_extension(name) for name in sys.argv[1:]]"
)
_IS_NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 13))"


def home_folder(folder: Path) -> Path:
    """The HOME of the stand-in inside the tools folder."""
    return folder / "bigquery" / "home"


def get_bigquery(folder: Path, report: Callable[[str], None], environ: Mapping[str, str]) -> Path:
    """Return the `local-bigquery` program, installed into `folder` when it is not there yet.

    A first installation takes 5-30 s and needs the package index; it is made
    again when the pins change. Raises ToolsMissing with the installer's words.
    """
    program = folder / "bigquery" / "venv" / "bin" / "local-bigquery"
    stamp = folder / "bigquery" / "installed"
    pins = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if program.exists() and stamp.exists() and stamp.read_text() == pins:
        return program
    report("BigQuery stand-in: installing local-bigquery into its own environment")
    try:
        _install(folder / "bigquery", environ)
    except (OSError, RuntimeError) as error:
        raise ToolsMissing(
            Missing(
                what="local-bigquery",
                why=f"the stand-in for BigQuery; installing it failed: {error}",
                how="Install Python 3.13 (https://www.python.org/downloads/ or "
                "`uv python install 3.13`), see that the package index can be reached, "
                "and run again.",
            )
        ) from error
    stamp.write_text(pins)
    return program


def _install(folder: Path, environ: Mapping[str, str]) -> None:
    uv, venv = _find_uv(environ), folder / "venv"
    python = next(_pythons(environ), "3.13")  # a bare version makes uv download one
    folder.mkdir(parents=True, exist_ok=True)
    _run([uv, "venv", "--clear", "--no-project", "--python", python, str(venv)], environ)
    inside = str(venv / "bin" / "python")
    _run(
        [uv, "pip", "install", "--no-deps", "--python", inside, "-r", str(REQUIREMENTS)],
        environ,
    )
    home = home_folder(folder.parent).resolve()
    home.mkdir(parents=True, exist_ok=True)
    _run([inside, "-c", _IMPORT_EXTENSIONS, *_EXTENSIONS], {**environ, "HOME": str(home)})


def _find_uv(environ: Mapping[str, str]) -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv", path=environ.get("PATH"))
    if found is None:
        raise RuntimeError("uv is not installed (`pip install uv`)")
    return found


def _pythons(environ: Mapping[str, str]) -> Iterator[str]:
    """Every Python 3.13 or later that really runs, the running one first.

    A name on the PATH proves nothing: pyenv's shims exist for versions that
    are not switched on, and fail.
    """
    on_path = shutil.which("python3.13", path=environ.get("PATH"))
    pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob("3.13*/bin/python"))
    for python in [sys.executable, on_path, *map(str, pyenv)]:
        if python is None:
            continue
        try:
            done = subprocess.run(
                [python, "-c", _IS_NEW_ENOUGH], capture_output=True, check=False, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            yield python


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(environ))
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise RuntimeError(f"{Path(command[0]).name} {command[1]}: " + " ".join(last))
