"""Where the local stack and the releases are: `.testudo` of the project that one stands in."""

import os
from pathlib import Path

HOME = ".testudo"


def nearest_home() -> Path:
    """The `.testudo` of this folder or, as git finds its own, of the nearest above that has one.

    One of another user is none: what it says leads clients to servers. Where there is none it
    is this folder's, to be made.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the folder was removed
        return Path(HOME)
    for folder in (here, *here.parents):
        found = folder / HOME
        if found.is_dir() and found.stat().st_uid == os.getuid():
            return Path(os.path.relpath(found))
    return Path(HOME)


DEFAULT_HOME = nearest_home()
RELEASES = str(DEFAULT_HOME / "releases")
