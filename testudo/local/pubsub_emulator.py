"""Find Google's Pub/Sub emulator and a Java that runs it; both are installed by the user."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from testudo.errors import Missing, ToolsMissing

JAVA_VERSION = 11
SDK_PLACES = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "~/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/opt/homebrew/share/google-cloud-sdk",
    "/opt/homebrew/Caskroom/google-cloud-sdk/latest/google-cloud-sdk",
    "/opt/homebrew/Caskroom/gcloud-cli/latest/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
    "/usr/local/Caskroom/google-cloud-sdk/latest/google-cloud-sdk",
)
JAVA_PLACES = ("/opt/homebrew/opt/openjdk/bin/java", "/usr/local/opt/openjdk/bin/java")


def find_emulator_jar(environ: Mapping[str, str], places: Sequence[str] = SDK_PLACES) -> Path:
    """Return the jar of the Google Cloud CLI's pubsub-emulator component.

    Searches below CLOUDSDK_ROOT_DIR, the real place of `gcloud` on the PATH and
    the usual places of installers, without running gcloud (which takes
    seconds). Raises ToolsMissing.
    """
    for root in _sdk_roots(environ, places):
        jars = sorted((root / "platform/pubsub-emulator/lib").glob("cloud-pubsub-emulator-*.jar"))
        if jars:
            return jars[-1]
    raise ToolsMissing(
        Missing(
            what="The Pub/Sub emulator",
            why="the stand-in for Pub/Sub, a component of the Google Cloud CLI",
            how="Install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install), "
            "then `gcloud components install pubsub-emulator`, or with apt "
            "`apt-get install google-cloud-cli-pubsub-emulator`.",
        )
    )


def _sdk_roots(environ: Mapping[str, str], installed: Sequence[str]) -> Iterator[Path]:
    if environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(environ["CLOUDSDK_ROOT_DIR"])
    gcloud = shutil.which("gcloud", path=environ.get("PATH"))
    if gcloud:
        yield Path(gcloud).resolve().parent.parent
    for place in installed:
        yield Path(place).expanduser()


def find_java(environ: Mapping[str, str], places: Sequence[str] = JAVA_PLACES) -> Path:
    """Return a Java of version 11 or later that really runs; raises ToolsMissing."""
    home = environ.get("JAVA_HOME")
    candidates = [
        f"{home}/bin/java" if home else None,
        shutil.which("java", path=environ.get("PATH")),
        *places,
    ]
    too_old = ""
    for java in [Path(each) for each in candidates if each]:
        version = _java_version(java)
        if version >= JAVA_VERSION:
            return java
        if version:
            too_old = f"; {java} is version {version}"
    raise ToolsMissing(
        Missing(
            what=f"Java {JAVA_VERSION} or later",
            why=f"the Pub/Sub emulator runs on it{too_old}",
            how="Install a JRE, for instance `apt-get install default-jre-headless` or "
            "`brew install openjdk`, or set JAVA_HOME.",
        )
    )


def _java_version(java: Path) -> int:
    """The major version of one Java, 0 when it does not run (macOS ships a stub)."""
    if not os.access(java, os.X_OK):
        return 0
    try:
        done = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found.group(1)) if found and done.returncode == 0 else 0
