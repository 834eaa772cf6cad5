"""Releases with functions: a trained one's files, and a team's own file beside them."""

import shutil
from pathlib import Path

from models.manifest import FUNCTIONS, GOLDEN, MANIFEST, Manifest
from models.release import save_release


def with_functions(root: str, manifest: Manifest, source: str, scratch: Path) -> Manifest:
    """Save a release under `root` that has these functions and is else as `manifest`'s."""
    bundle = scratch / "bundle-with-functions"
    # Golden items are of the release without the functions.
    kept_out = shutil.ignore_patterns(MANIFEST, GOLDEN)
    shutil.copytree(Path(root) / manifest.release, bundle, ignore=kept_out)
    (bundle / FUNCTIONS).write_text(source, encoding="utf-8")
    try:
        return save_release(
            bundle,
            root,
            task="functions",
            image_size_px=manifest.image_size_px,
            features=manifest.features,
            scorers=manifest.scorers,
            evaluation={},
        )
    finally:
        shutil.rmtree(bundle)
