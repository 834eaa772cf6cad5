"""The branches of the graph, one entry each: what more than a branch's own stage must know of it.

A new branch is an entry here, a kernel (models.kernels), a composite that gives a Part an
item (transforms), and an edge into the join (beam_pipeline.graph).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.failures import Stage
from models.features import ImageLimits
from models.kernels import Answer, CallLimits, ImageKernel, TextKernel
from models.manifest import Manifest

Kernel = Callable[[Sequence[Any]], list[Answer]]


class Branch(NamedTuple):
    """`kernel` loads the branch's part of a release; its answers are Encoded, or failures."""

    kernel: Callable[[Manifest, Path, CallLimits, ImageLimits], Kernel]
    steps: tuple[str, ...]  # whose time a prediction's row has: columns spent.<step>_ms
    has_facts: bool  # whether the row has a column of the branch's name


BRANCHES: dict[str, Branch] = {
    Stage.IMAGE: Branch(ImageKernel, ("fetch", "decode", "encode"), has_facts=True),
    Stage.TEXT: Branch(TextKernel, ("text",), has_facts=True),
}
