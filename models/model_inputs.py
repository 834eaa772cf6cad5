"""What every runtime does with the arrays it is called with, before a model sees them."""

from collections.abc import Mapping

import numpy as np

from models.features import FeatureSpec

FREE = -1  # a length that the file leaves open


def taken_inputs(
    specs: Mapping[str, FeatureSpec], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays (n, *shape) that a model takes, n >= 1 and the same for all; others are ignored.

    Raises KeyError when an input is missing, ValueError when dtype or shape is not the file's.
    """
    arrays = {name: inputs[name] for name in specs}
    for name, spec in specs.items():
        array = arrays[name]
        if array.dtype != spec.dtype or not _fits(array.shape[1:], spec.shape):
            raise ValueError(
                f"{name} is {array.dtype} {array.shape[1:]}, not {spec.dtype} {spec.shape}"
            )
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise ValueError("inputs must have one batch size, and at least one row")
    return arrays


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        one in (FREE, length) for one, length in zip(wanted, shape, strict=True)
    )
