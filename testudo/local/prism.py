"""Get Prism, Beam's own streaming engine for one machine, in the version of the installed Beam.

Where Go builds it, prism.patch is applied first, which says what it changes and why, in a
form that could be sent to Beam. A downloaded binary has none of these changes.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from testudo.errors import Missing, ToolsMissing

VERSION = f"v{version('apache-beam')}"
MODULE = "github.com/apache/beam/sdks/v2"
PATCH = Path(__file__).with_name("prism.patch")
_PROGRESS_EVERY_S = 5.0


def get_prism(folder: Path, report: Callable[[str], None], environ: Mapping[str, str]) -> Path:
    """Return a Prism binary: given, built before, built now by Go, or downloaded.

    `TESTUDO_PRISM` in `environ` names a binary to use as it is. Otherwise the
    result lies in `folder`, under its version, and is kept for the next time.
    A first build takes about 90 s and says how far it is through `report`.
    Raises ToolsMissing, with the reason of each attempt that failed.
    """
    given = environ.get("TESTUDO_PRISM")
    if given:
        if os.access(given, os.X_OK) and Path(given).is_file():
            return Path(given)
        raise ToolsMissing(_missing([f"TESTUDO_PRISM={given} is not a program"]))
    # Named by the patch too, so that a build with another is not taken for this one.
    digest = hashlib.sha256(PATCH.read_bytes()).hexdigest()[:8]
    built = folder / f"prism-{VERSION}-{digest}" / "prism"
    if built.is_file():
        return built
    attempts = []
    for get in (_build, _download):
        try:
            get(built, report)
        except (OSError, RuntimeError, ValueError) as error:
            attempts.append(str(error))
        else:
            return built
    raise ToolsMissing(_missing(attempts))


def _missing(attempts: list[str]) -> Missing:
    return Missing(
        what=f"Prism {VERSION}",
        why="the engine that runs the streaming pipeline; tried: " + "; ".join(attempts),
        how="Install Go (https://go.dev/doc/install) and run again, or set TESTUDO_PRISM to a "
        f"prism binary built by `go install {MODULE}/go/cmd/prism@{VERSION}`.",
    )


def _build(target: Path, report: Callable[[str], None]) -> None:
    """Build Prism with our changes; raises OSError or RuntimeError when Go cannot."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("Go is not installed")
    source = target.parent / "source"
    try:
        report(f"Prism {VERSION}: fetching its source")
        _copy_source(_module_folder(go), source)
        _apply_patch(source)
        report("Prism: building it with Go, about 90 s the first time")
        partial = target.with_suffix(".partial")
        command = [go, "build", "-v", "-buildvcs=false", "-o", str(partial.resolve())]
        _run_reporting([*command, "./go/cmd/prism"], source, report)
        partial.replace(target)
    finally:
        shutil.rmtree(source, ignore_errors=True)


def _module_folder(go: str) -> Path:
    done = subprocess.run(
        [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"Go cannot fetch the source: {(done.stdout + done.stderr).strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def _copy_source(module: Path, target: Path) -> None:
    """Copy the Go part of the module; its cache is read-only, the copy is not."""
    shutil.rmtree(target, ignore_errors=True)
    for path in [module / "go.mod", module / "go.sum", *(module / "go").rglob("*")]:
        if path.is_file() and not path.name.endswith("_test.go"):
            copy = target / path.relative_to(module)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _apply_patch(source: Path) -> None:
    """Its paths are those of Beam's repository, of which the module is the folder sdks."""
    done = subprocess.run(
        ["git", "apply", "-p2", str(PATCH)],
        cwd=source,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(source.resolve().parent)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"prism.patch does not fit Prism {VERSION}: {done.stderr.strip()}")


def _run_reporting(command: list[str], folder: Path, report: Callable[[str], None]) -> None:
    """Run a build; report now and then how many packages are compiled."""
    building = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    reported_s = time.monotonic()
    with building:
        for line in building.stdout or ():
            lines.append(line.strip())
            if time.monotonic() - reported_s > _PROGRESS_EVERY_S:
                reported_s = time.monotonic()
                report(f"Prism: {len(lines)} packages, now {lines[-1]}")
    if building.returncode != 0:
        raise RuntimeError("Go cannot build Prism: " + " | ".join(lines[-5:]))


def _download(target: Path, report: Callable[[str], None]) -> None:
    """Download the release that Beam itself would use; it listens on every address."""
    # Imported here: the rest of the stack starts seconds faster without Beam.
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.prism_runner import PrismJobServer

    url = PrismJobServer(PipelineOptions([])).path_to_binary()
    report(f"Prism: downloading {url}")
    target.parent.mkdir(parents=True, exist_ok=True)
    Path(PrismJobServer.local_bin(url, bin_cache=str(target.parent))).replace(target)
