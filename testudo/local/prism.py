"""Get Prism, Beam's own streaming engine for one machine, in the version of the installed Beam.

Where Go builds it, four lines of its source are changed first. As released it
listens on every network address and takes jobs from whoever asks; ours listens
on 127.0.0.1 only. On a busy machine it may ask a worker for the progress of
a step that it runs itself, which has no worker, and fails the job; ours does
not ask. While it waits for a step without outputs, such as our inserts, it
looks at a channel that is already closed, again and again, with a whole core;
ours looks once. And it asks for the progress of each running bundle ten times a
second, which is half of a worker's work; ours asks every five seconds. The released
binary has none of these changes.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from testudo.local.missing import Missing, ToolMissing

VERSION = f"v{version('apache-beam')}"
_BUILD = 4  # counts our changes, so that an older build is not taken for this one
MODULE = "github.com/apache/beam/sdks/v2"
_INTERNAL = Path("go/pkg/beam/runners/prism/internal")
# File, the line as it is, and as it is built.
_CHANGES = (
    (
        _INTERNAL / "jobservices" / "server.go",
        'net.Listen("tcp", fmt.Sprintf(":%d", port))',
        'net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))',
    ),
    (
        _INTERNAL / "stage.go",
        "case <-progTick.C:\n",
        'case <-progTick.C:\n\t\t\tif s.envID == "" {\n\t\t\t\tcontinue progress\n\t\t\t}\n',
    ),
    (
        _INTERNAL / "stage.go",
        "case <-dataReady:\n",
        "case <-dataReady:\n\t\t\tdataReady = nil\n",
    ),
    (
        _INTERNAL / "stage.go",
        "minimumProgTick = 100 * time.Millisecond\n",
        "minimumProgTick = 5 * time.Second\n",
    ),
)
_PROGRESS_EVERY_S = 5.0


def get_prism(folder: Path, report: Callable[[str], None], environ: Mapping[str, str]) -> Path:
    """Return a Prism binary: given, built before, built now by Go, or downloaded.

    `TESTUDO_PRISM` in `environ` names a binary to use as it is. Otherwise the
    result lies in `folder`, under its version, and is kept for the next time.
    A first build takes about 90 s and says how far it is through `report`.
    Raises ToolMissing, with the reason of each attempt that failed.
    """
    given = environ.get("TESTUDO_PRISM")
    if given:
        if os.access(given, os.X_OK) and Path(given).is_file():
            return Path(given)
        raise ToolMissing(_missing([f"TESTUDO_PRISM={given} is not a program"]))
    built = folder / f"prism-{VERSION}-{_BUILD}" / "prism"
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
    raise ToolMissing(_missing(attempts))


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
        for name, old, new in _CHANGES:
            _change(source / name, old, new)
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


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise RuntimeError(f"{file.name} of Prism {VERSION} is not the one known here")
    file.write_text(text.replace(old, new))


def _run_reporting(command: list[str], folder: Path, report: Callable[[str], None]) -> None:
    """Run a build; tell now and then how many packages are compiled."""
    building = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    told = time.monotonic()
    with building:
        for line in building.stdout or ():
            lines.append(line.strip())
            if time.monotonic() - told > _PROGRESS_EVERY_S:
                told = time.monotonic()
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
