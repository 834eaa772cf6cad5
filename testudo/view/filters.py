"""What a page is asked for: read from its address, and written into the addresses of its links."""

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

PERCENT = re.compile("[0-9]{1,2}|100")
MAX_CHARS = 300  # of a value; ids have 128 at most
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
# Of a choice on the page: what it is called, and how far it goes back. None: to the beginning.
PERIODS: Mapping[str, tuple[str, timedelta | None]] = {
    "1h": ("last hour", timedelta(hours=1)),
    "1d": ("last 24 hours", timedelta(days=1)),
    "7d": ("last 7 days", timedelta(days=7)),
    "all": ("all time", None),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filters:
    """Which rows are meant; an empty text means any. Values are parameters of SQL, never SQL."""

    period: str = "1d"
    tenant: str = ""
    item: str = ""
    release: str = ""
    other: str = ""  # the release that it is compared with
    label: str = ""  # as MODEL:LABEL, or a label of whichever scorer
    least: int = 0  # percent, of the likeliest label's score
    most: int = 100
    reason: str = ""
    differing: str = ""  # "yes": only items on which the releases differ
    follow: str = ""  # "yes": the page is read again every few seconds
    # Where the page before ended: the time of its last row, and what orders rows of that time.
    until: datetime = END
    after: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str], *, period: str) -> "Filters":
        """Of an address's query; what is none of a field's values counts as not given."""
        texts = {
            field.name: given[field.name][:MAX_CHARS]
            for field in dataclasses.fields(cls)
            if field.type is str and given.get(field.name)
        }
        if texts.get("period") not in PERIODS:
            texts["period"] = period
        numbers = {name: percent(given.get(name, "")) for name in ("least", "most")}
        values: dict[str, Any] = {
            **texts,
            **{name: number for name, number in numbers.items() if number is not None},
        }
        if until := moment(given.get("until", "")):
            values["until"] = until
        return cls(**values)

    def since(self, now: datetime) -> datetime:
        age = PERIODS[self.period][1]
        return EPOCH if age is None else now - age

    @property
    def is_first_page(self) -> bool:
        return self.until == END

    def query(self, **changes: Any) -> str:
        """The address's query for the same rows, with these changes; what is default is left out.

        Without `until` among the changes it begins at the first page.
        """
        changed = dataclasses.replace(self, **{"until": END, "after": "", **changes})
        texts = {
            field.name: value.isoformat() if isinstance(value, datetime) else str(value)
            for field in dataclasses.fields(changed)
            if (value := getattr(changed, field.name)) != field.default
        }
        cut = {name: text[:MAX_CHARS] for name, text in texts.items()}
        return urlencode({"period": changed.period, **cut})


def percent(text: str) -> int | None:
    """A whole number from 0 to 100; None for any other text."""
    return int(text) if PERCENT.fullmatch(text) else None


def moment(text: str) -> datetime | None:
    """A time with its zone; None for any other text."""
    try:
        read = datetime.fromisoformat(text[:MAX_CHARS])
        return read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None
