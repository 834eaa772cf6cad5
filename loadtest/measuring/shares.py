"""What processes used between two moments, out of samples of their CPU time until then."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadtest.measuring.usage import OTHER, RIG
from loadtest.results import ProcessUse

BUSIEST_S = 10

CpuTimes = NDArray[np.float64]  # (seconds + 1,): CPU time until each whole second


class Shares:
    """Of every role, from `start_s` on for so many seconds; times are since 1970."""

    def __init__(self, samples: pa.Table, start_s: float, seconds: int) -> None:
        self._seconds = max(seconds, 1)
        self._by_role: dict[str, list[CpuTimes]] = defaultdict(list)
        self._peak_bytes: dict[str, int] = {}
        grid_s = start_s + np.arange(self._seconds + 1)
        at_s, pids = samples["at_s"].to_numpy(), samples["pid"].to_numpy()
        roles = np.array(samples["role"].to_pylist(), dtype=object)
        cpu_s, rss = samples["cpu_s"].to_numpy(), samples["rss_bytes"].to_numpy()
        for role in sorted(set(roles)):
            for pid in np.unique(pids[roles == role]):
                its = (roles == role) & (pids == pid)
                self._by_role[role].append(np.interp(grid_s, at_s[its], cpu_s[its]))
            its = (roles == role) & (at_s >= grid_s[0] - 1) & (at_s <= grid_s[-1] + 1)
            _, moment = np.unique(at_s[its], return_inverse=True)
            self._peak_bytes[role] = int(max(np.bincount(moment, rss[its]), default=0))

    def by_second(self, role: str) -> NDArray[np.float64]:
        """Cores that a role kept busy, in each second."""
        return np.diff(np.sum(self._by_role[role], axis=0))

    def series(self) -> list[dict[str, float]]:
        """By role, a mapping a second; the role `other` included."""
        columns = {role: self.by_second(role).round(3).tolist() for role in self._by_role}
        return [{role: column[number] for role, column in columns.items()}
                for number in range(self._seconds)]  # fmt: skip

    def uses(self) -> Mapping[str, ProcessUse]:
        """What each role used; `other` and the rig itself are no part of what is measured."""
        return {
            role: ProcessUse(
                processes=len(processes),
                cpu_s=float(sum(process[-1] - process[0] for process in processes)),
                busiest_share=max(_busiest(process) for process in processes),
                peak_bytes=self._peak_bytes[role],
            )
            for role, processes in self._by_role.items()
            if role not in (OTHER, RIG)
        }

    def busy_cores(self) -> NDArray[np.float64]:
        """Cores that were busy with anything, in each second."""
        return np.sum([self.by_second(role) for role in self._by_role], axis=0)

    def busiest_cores(self) -> float:
        """Cores that were busy, on the mean of the machine's busiest ten seconds."""
        return sum(self.mean_cores().values())

    def mean_cores(self) -> dict[str, float]:
        """That each role kept busy, on the mean of the busiest ten seconds of the machine."""
        width = min(BUSIEST_S, self._seconds)
        sums = np.convolve(self.busy_cores(), np.ones(width), "valid")
        begin = int(np.argmax(sums))
        return {
            role: float(self.by_second(role)[begin : begin + width].mean())
            for role in self._by_role
        }


def _busiest(cpu_s: CpuTimes) -> float:
    """The share of a core in the busiest ten seconds, or in all where there are fewer."""
    width = min(BUSIEST_S, len(cpu_s) - 1)
    return float(np.max(cpu_s[width:] - cpu_s[:-width]) / width)
