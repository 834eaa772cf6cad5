"""Releases that differ from a trained one in a file, in what their manifest says, or in nothing."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from models.manifest import MANIFEST, Manifest
from models.release import save_release


def variant(
    root: str,
    manifest: Manifest,
    scratch: Path,
    *,
    task: str = "variant",
    files: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    **fields: Any,
) -> Manifest:
    """Save a release under `root` that is as `manifest`'s but for these files and fields."""
    bundle = scratch / f"bundle-{task}"
    left_out = shutil.ignore_patterns(MANIFEST, *without)
    shutil.copytree(Path(root) / manifest.release, bundle, ignore=left_out)
    for name, text in (files or {}).items():
        (bundle / name).write_text(text, encoding="utf-8")
    kept = {
        name: getattr(manifest, name)
        for name in ("image_size_px", "features", "scorers", "evaluation")
    }
    try:
        return save_release(bundle, root, task=task, **{**kept, **fields})
    finally:
        shutil.rmtree(bundle)
