"""Messages that somebody hostile, or something broken, might publish: one table of them.

Each kind says what must become of it. Tests, chaos and docs/reference.md read this table;
the load kit has those that its profiles mix in.
"""

from collections.abc import Mapping

from loadtest.traffic.poison import HostileKind
from rigs.hostile.images import BROKEN_IMAGES, COSTLY_IMAGES, ODD_IMAGES
from rigs.hostile.messages import BASE64, MESSAGES, TEXTS
from rigs.hostile.uris import URIS

HUGE_OBJECT_BYTES = 500_000_000
HOSTILE: Mapping[str, HostileKind] = {
    kind.name: kind
    for kind in (
        *MESSAGES,
        *TEXTS,
        *BASE64,
        *BROKEN_IMAGES,
        *COSTLY_IMAGES,
        *ODD_IMAGES,
        *URIS,
    )
}
