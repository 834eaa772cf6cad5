"""Releases: immutable, versioned bundles of everything that scores an item.

A release is a folder `<root>/<id>/` that holds an image encoder, a text
transform and any number of scorers, and `manifest.json` with the SHA-256 of
each file. `<root>/current.json` points at the releases in use. Root is a local
folder or a gs:// prefix. Nothing in a release is ever unpickled. What it holds is
models.manifest's to say.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.encodings import refuse_other_encodings
from models.features import FeatureSpec
from models.manifest import (
    MANIFEST,
    RELEASE,
    Manifest,
    ReleaseError,
    ScorerSpec,
    check_release,
)
from models.objects import OBJECTS, RETRY_FOR_S, join

POINTER = "current.json"


class PointerChanged(ReleaseError):
    """Somebody else changed `current.json` after it was read: nothing was written."""


@dataclasses.dataclass(frozen=True)
class Pointer:
    """Which release scores which item: `current.json`.

    A tenant named in `tenants` gets that release; of the others, the share
    `canary_share` (0-1, by hash of the item id, so that it is stable) gets
    `canary`, the rest `default`.
    """

    default: str
    canary: str = ""
    canary_share: float = 0.0
    tenants: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError: the file is edited by hand, and read while items wait."""
        if not isinstance(self.tenants, Mapping):
            raise ValueError("tenants is not an object")
        if not all(isinstance(one, str) for one in (self.default, self.canary)) or not self.default:
            raise ValueError("default and canary are names of releases, and default is needed")
        if not all(one and isinstance(one, str) for one in self.tenants.values()):
            raise ValueError("a tenant has no release")
        if not isinstance(self.canary_share, int | float) or not 0 <= self.canary_share <= 1:
            raise ValueError("canary_share is not a number from 0 to 1")
        if wrong := sorted(one for one in self.releases if not RELEASE.fullmatch(one)):
            raise ValueError(f"{wrong[0]!r} is not the name of a release")

    @property
    def releases(self) -> frozenset[str]:
        """Every release that it may choose."""
        return frozenset({self.default, self.canary, *self.tenants.values()} - {""})

    def choose(self, tenant_id: str, item_id: str) -> str:
        if tenant_id in self.tenants:
            return self.tenants[tenant_id]
        if self.canary and _unit_hash(item_id) < self.canary_share:
            return self.canary
        return self.default


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def save_release(
    bundle: Path,
    root: str,
    *,
    task: str,
    image_size_px: int,
    features: Mapping[str, tuple[FeatureSpec, ...]],
    scorers: tuple[ScorerSpec, ...],
    evaluation: Mapping[str, Any],
) -> Manifest:
    """Digest the files under `bundle`, write the manifest, copy all of it to `root`.

    The id is `<task>-<12 hex digits of the content>`: the same files give the
    same id, and saving them again changes nothing, not even the manifest. That
    is copied last, so a release that has one is complete.
    """
    files = {path.relative_to(bundle).as_posix(): _sha256(path) for path in _files(bundle)}
    described = json.dumps(
        [
            files,
            image_size_px,
            [dataclasses.asdict(one) for specs in features.values() for one in specs],
            [one.to_fields() for one in scorers],
        ],
        sort_keys=True,
    )
    release = f"{task}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
    check_release(release)
    with contextlib.suppress(ReleaseError):
        return read_manifest(root, release)
    manifest = Manifest(
        release=release,
        task=task,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        image_size_px=image_size_px,
        features=features,
        scorers=scorers,
        files=files,
        evaluation=evaluation,
    )
    for name in files:
        OBJECTS.copy(str(bundle / name), join(root, release, name))
    _write(join(root, release, MANIFEST), manifest.to_json())
    return manifest


def read_manifest(root: str, release: str, *, retry_for_s: float = RETRY_FOR_S) -> Manifest:
    """Raises ReleaseError when `root` has no such release, or a name leads out of it."""
    check_release(release)
    return Manifest.from_json(_read(join(root, release, MANIFEST), retry_for_s))


def fetch_release(root: str, release: str, cache: Path) -> tuple[Manifest, Path]:
    """Copy a release, its manifest too, into `cache` and verify it; a verified copy is used again.

    Returns the manifest and the local folder. Raises ReleaseError when a file
    is missing or its digest is not the manifest's.
    """
    manifest = read_manifest(root, release)
    folder = cache / release
    if folder.is_dir():
        return manifest, folder
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{release}-", dir=cache))
    try:
        for name, digest in manifest.files.items():
            local = partial / name
            try:
                OBJECTS.copy(join(root, release, name), str(local))
            except OSError as error:
                raise ReleaseError(f"{release}: cannot read {name}: {error}") from error
            if _sha256(local) != digest:
                raise ReleaseError(f"{release}: {name} is not the file that was released")
        (partial / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another worker finished first: use its copy
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest, folder


def read_pointer(root: str, *, retry_for_s: float = RETRY_FOR_S) -> Pointer:
    """Raises ReleaseError when there is no usable `current.json` under `root`."""
    path = join(root, POINTER)
    return _pointer_of(path, _read_bytes(path, retry_for_s))


def find_pointer(root: str, *, retry_for_s: float = RETRY_FOR_S) -> Pointer | None:
    """As `read_pointer`, and None where there is no `current.json` at all."""
    path = join(root, POINTER)
    data = _find_bytes(path, retry_for_s)
    return None if data is None else _pointer_of(path, data)


def write_pointer(root: str, pointer: Pointer, *, replacing: Pointer | None = None) -> None:
    """Write `current.json` where it says `replacing`, or (None) where there is none.

    Raises PointerChanged, with nothing written, where it says anything else: what
    somebody chose meanwhile is never lost. Where it says `pointer` already, that is
    no change.
    """
    path = join(root, POINTER)
    before = _find_bytes(path, RETRY_FOR_S)
    found = None if before is None else _pointer_of(path, before)
    if found == pointer:
        return
    after = json.dumps(dataclasses.asdict(pointer), indent=2) + "\n"
    try:
        if found == replacing and OBJECTS.exchange(path, before, after.encode()):
            return
        if find_pointer(root) == pointer:
            return  # somebody else wanted the same, and was faster
    except OSError as error:
        raise ReleaseError(f"cannot write {path}: {error}") from error
    raise PointerChanged(
        f"{path} was changed by somebody else in this moment, and stays as it is; look at it, "
        "and try again"
    )


def copy_releases(source: str, target: str) -> None:
    """Copy every release that `source` points at, then the pointer itself."""
    pointer, before = read_pointer(source), find_pointer(target)
    for release in pointer.releases:
        copy_release(source, target, release)
    write_pointer(target, pointer, replacing=before)


def copy_release(source: str, target: str, release: str) -> None:
    """Copy one release, its manifest last. Raises ReleaseError for a file that is not its own."""
    manifest = read_manifest(source, release)
    for name, digest in manifest.files.items():
        data = OBJECTS.read(join(source, release, name))
        if hashlib.sha256(data).hexdigest() != digest:
            raise ReleaseError(f"{release}: {name} is not the file that was released")
        OBJECTS.write(join(target, release, name), data)
    OBJECTS.copy(join(source, release, MANIFEST), join(target, release, MANIFEST))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pointer_of(path: str, data: bytes) -> Pointer:
    try:
        refuse_other_encodings(data)
        return Pointer(**json.loads(data.decode()))
    except (ValueError, TypeError, RecursionError) as error:
        raise ReleaseError(f"{path} is not a pointer: {error}") from error


def _read(path: str, retry_for_s: float) -> str:
    """Raises ReleaseError: at once when there is no such file."""
    try:
        return _read_bytes(path, retry_for_s).decode()
    except UnicodeDecodeError as error:
        raise ReleaseError(f"cannot read {path}: {error}") from error


def _find_bytes(path: str, retry_for_s: float) -> bytes | None:
    try:
        return _read_bytes(path, retry_for_s)
    except ReleaseError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _read_bytes(path: str, retry_for_s: float) -> bytes:
    try:
        return OBJECTS.read(path, retry_for_s=retry_for_s)
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error}") from error


def _write(path: str, text: str) -> None:
    OBJECTS.write(path, text.encode())
