"""Small releases, trained once a machine, for every test that needs real models."""

import fcntl
import gc
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from models.current_pointer import current_pointer
from models.manifest import Manifest
from models.release import Pointer, find_pointer, read_manifest, write_pointer

# A script that starts the tests with `&` has them ignore Ctrl-C, and with them whatever they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
E2E = REPOSITORY / "tests" / "e2e"
TRAINED = REPOSITORY / ".testudo" / "test-releases"
KEPT_SETS = 3
# Changes in these train nothing anew.
NOT_OF_TRAINING = (
    "exchange.py", "group_commit.py", "isolation.py", "kernels.py", "loaded.py", "model_process.py",
    "progress.py", "sandbox.py", "release_processes.py", "release_cache.py", "current_pointer.py",
    "functions.py", "rehearsal.py",  # of which these releases have none
    "onnx_model.py", "onnx_encoder.py", "built.py",  # likewise
)  # fmt: skip
# Tests that import tensorflow share one process: it costs seconds and 600 MB in each.
WITH_TENSORFLOW = ("tests/graph/", "tests/transforms/test_texts.py")
# Of minutes: kills for minutes, load, the image's packages, whole pages of the documents.
LONG = (
    "test_swap",
    "test_chaos", "test_doors", "test_bench", "test_dead_parts", "test_release_pipeline",
    "test_processes", "test_image", "test_load", "test_quotas",
)  # fmt: skip
# Files that begin early, the longest first: else one process ends long before the others.
LONGEST = (
    *LONG, "test_train", "test_replay", "test_dataflow", "test_answers", "test_warehouse",
    "test_words", "test_stream", "test_faults", "test_local_stack", "test_onnx",
    "test_release_build", "test_heads", "test_provision", "test_encoders", "test_exchange",
    "test_isolation",
)  # fmt: skip
# Files that take three seconds and more of CPU without a release.
SLOW = (
    "test_report", "test_views", "test_faults", "test_view", "test_image_steps", "test_watch",
    "test_query",
)  # fmt: skip
# In a process of its own: training needs three libraries that no test does. The
# first two differ in weights and image size, so that mixing them cannot work; the
# third is the first with traps.
TRAINING = """
import sys
from pathlib import Path
sys.path.append("tests")
from models.training.samples import write_listings
from models.training.train import train
from rigs.traps import save_with_traps
folder = Path(sys.argv[1])
manifest = write_listings(folder / "samples", 200, seed=0)
for seed, (task, size_px) in enumerate((("first", 48), ("second", 32))):
    train(manifest, str(folder / "releases"), task=task, size_px=size_px, seed=seed, epochs=1)
root = folder / "releases"
save_with_traps(str(root), next(one.name for one in root.glob("first-*")))
"""


class Releases(NamedTuple):
    """A folder of releases, `first` being the one in use, that a test may change."""

    root: str
    first: Manifest
    second: Manifest
    traps: Manifest

    def point(self, pointer: Pointer) -> None:
        """As a worker sees it that starts now: another reads it again in half a minute."""
        write_pointer(self.root, pointer, replacing=find_pointer(self.root))
        current_pointer.cache_clear()


class _ByFile(LoadScopeScheduling):
    """Gives whole files to the test processes, those with tensorflow all to one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WITH_TENSORFLOW):
            return "tensorflow"
        return nodeid.split("::", maxsplit=1)[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow and what is long, and begin with the longest files."""
    for item in items:
        # Training takes a minute of each checkout.
        is_trained = "trained" in getattr(item, "fixturenames", ())
        if is_trained or item.path.stem in SLOW or item.path.is_relative_to(E2E):
            item.add_marker(pytest.mark.slow)
        if item.path.stem in LONG and item.path.is_relative_to(E2E):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else 99)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    # xdist's own --dist loadgroup does nothing under pytest 9.
    return _ByFile(config, log)


@pytest.fixture(scope="session")
def trained() -> Path:
    """The trained releases; nobody changes them."""
    paths = sorted((REPOSITORY / "models").rglob("*.py"))
    content = b"".join(path.read_bytes() for path in paths if path.name not in NOT_OF_TRAINING)
    folder = TRAINED / hashlib.sha256(content).hexdigest()[:16]
    TRAINED.mkdir(parents=True, exist_ok=True)
    with open(TRAINED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the test processes trains, the others wait
        if not folder.is_dir():
            _train(folder)
    return folder / "releases"


def _train(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=TRAINED) as scratch:
        done = subprocess.run(
            [sys.executable, "-c", TRAINING, scratch],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.copytree(scratch, folder)
    sets = sorted(
        (one for one in TRAINED.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime
    )
    for old in sets[:-KEPT_SETS]:
        shutil.rmtree(old, ignore_errors=True)


@pytest.fixture(scope="module")
def small_heap() -> Iterator[None]:
    """For files whose tests collect garbage: what was there before need not be walked again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.collect()  # what is left of this file's clients, while their warnings are expected


@pytest.fixture
def releases(trained: Path, tmp_path: Path) -> Releases:
    """This test's own folder of releases; `current.json` names the first."""
    root = tmp_path / "releases"
    root.mkdir()
    manifests = {}
    for folder in trained.iterdir():
        (root / folder.name).symlink_to(folder)
        manifests[folder.name.split("-")[0]] = read_manifest(str(root), folder.name)
    made = Releases(str(root), manifests["first"], manifests["second"], manifests["traps"])
    made.point(Pointer(default=made.first.release))
    return made


@pytest.fixture
def damaged(releases: Releases) -> str:
    """The id of one more release, a file of which was changed after it was released."""
    release = "damaged-0123456789ab"
    folder = Path(releases.root) / release
    shutil.copytree(Path(releases.root) / releases.first.release, folder)
    with (folder / "encoder.tflite").open("ab") as file:
        file.write(b"!")
    return release
