"""Stand-ins answer for the local stack's project alone.

Variables of a stack lead Google's clients to stand-ins, whatever project a command names.
A shell may still have them when its owner means a cloud: so a command that names another
project stops there, unless that project is named in TESTUDO_STAND_INS_FOR too.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from testudo.clients import ENDPOINT
from testudo.errors import CommandError
from testudo.local.servers import GCLOUD, PROJECT

LEADING = (
    "PUBSUB_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "BIGQUERY_STORAGE_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    ENDPOINT,
)
# They lead nowhere by themselves, but are in the way of a cloud's credentials and project.
BESIDE = {
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "NO_GCE_CHECK": "true",
    f"{GCLOUD}CORE_PROJECT": PROJECT,
}
# In the way of gcloud and bq, which whoever means a cloud types beside these commands.
OF_GCLOUD = (f"{GCLOUD}API_ENDPOINT_OVERRIDES_", f"{GCLOUD}AUTH_ACCESS_TOKEN_FILE")
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
STAND_INS_FOR = "TESTUDO_STAND_INS_FOR"  # projects, with commas; for tests of several


def refuse_stand_ins(*projects: str) -> None:
    """Raises CommandError where stand-ins would answer for one of these projects."""
    theirs = {PROJECT, *os.environ.get(STAND_INS_FOR, "").split(",")}
    others = sorted({project for project in projects if project} - theirs)
    led = led_to_stand_ins(os.environ)
    if others and led:
        beside = [name for name, value in BESIDE.items() if os.environ.get(name) == value]
        beside += (name for name in os.environ if name.startswith(OF_GCLOUD))
        raise CommandError(
            f"{' and '.join(others)}: not the local stack's project, and this shell leads to "
            f"stand-ins: {', '.join(f'{name}={value}' for name, value in led.items())}; "
            f"`unset {' '.join([*led, *beside])}`"
        )


def led_to_stand_ins(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead Google's clients to stand-ins, with where they lead."""
    led = {name: environment[name] for name in LEADING if environment.get(name)}
    credentials = environment.get(CREDENTIALS, "")
    return led | ({CREDENTIALS: credentials} if _of_a_stack(credentials) else {})


def _of_a_stack(credentials: str) -> bool:
    """Whether a local stack wrote the file."""
    try:
        found = json.loads(Path(credentials).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("client_id") == PROJECT
