"""How a tool that the laptop stack cannot get is told, in plain words."""

from typing import NamedTuple


class Missing(NamedTuple):
    """One tool that is neither there nor to be had on this machine."""

    what: str
    why: str
    how: str


class ToolMissing(Exception):
    """Raised by the search for one tool; says what to do about it."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(f"{missing.what} is missing ({missing.why}). {missing.how}")
        self.missing = missing


class ToolsMissing(Exception):
    """Raised when the stack cannot start; `missing` lists every absent tool."""

    def __init__(self, missing: list[Missing]) -> None:
        super().__init__(
            "\n".join(f"{each.what} is missing ({each.why}). {each.how}" for each in missing)
        )
        self.missing = missing
