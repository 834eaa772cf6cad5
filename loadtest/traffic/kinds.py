"""The kinds of messages that traffic is made of, and what must become of each."""

import dataclasses

from loadtest.traffic.poison import POISON as POISONED
from testudo.messages import BREAKAGES, REASONS
from testudo.verdict import PREDICTED

FORMATS = ("JPEG", "PNG", "WEBP")
BROKEN = tuple(BREAKAGES)
POISON = tuple(POISONED)
_SPOILT_WIDTH_PX, _SPOILT_HEIGHT_PX = 320, 240


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of message: what it holds, and its outcome."""

    name: str
    width_px: int = 0  # of the picture; 0: it has none
    height_px: int = 0
    format: str = ""  # of FORMATS; empty where there is no picture
    has_text: bool = True
    text_chars: int = 0  # 0: as long as a drawn listing's, 40 to 120
    by_uri: bool = False  # the picture is an object of the image bucket
    fault: str = ""  # of BROKEN or POISON
    expected: str = PREDICTED  # or a reason


def broken_kind(breakage: str) -> Kind:
    """A whole item, spoilt as `testudo.messages` does."""
    return Kind(
        name=f"broken-{breakage}",
        width_px=_SPOILT_WIDTH_PX,
        height_px=_SPOILT_HEIGHT_PX,
        format="JPEG",
        fault=breakage,
        expected=str(REASONS[breakage]),
    )


def poison_kind(hostile: str) -> Kind:
    """A message of `loadtest.traffic.poison`."""
    reason = POISONED[hostile].reason
    return Kind(
        name=f"poison-{hostile}",
        by_uri=hostile.startswith("uri_"),
        fault=hostile,
        expected=str(reason) if reason else PREDICTED,
    )
