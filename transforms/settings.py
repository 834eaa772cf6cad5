"""What a job's flags set of single stages. No Beam here: the flags are read without it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImageAccess:
    """Where images may be fetched from, and how long that may take."""

    buckets: frozenset[str] = frozenset()
    timeout_s: float = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quota:
    """`share` (0 to 1) of what a process admits is one tenant's, while messages wait
    longer than `after_s` seconds.
    """

    share: float = 0.25
    after_s: float = 5.0
