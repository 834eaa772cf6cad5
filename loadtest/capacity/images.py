"""What a picture of a size and format costs: timed alone, with the models' processes' own function.

A pipeline need not be measured with every size: the time to decode one, measured
outside of it, says how much more or less an item of that size costs.
"""

import dataclasses
import io
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from PIL import Image

from models.features import decode_image
from models.manifest import MANIFEST, Manifest
from models.training.samples import Listing, draw_listings

NAME = re.compile(r"(\d+)x(\d+) (JPEG|PNG|WEBP)")
PICTURES = 6  # drawn of each size; their median counts
TURNS = 5  # of each picture; the quickest counts, as others wait for the machine
SEED = 11


class Picture(NamedTuple):
    """A size and format, without the pixels."""

    width_px: int
    height_px: int
    format: str

    @property
    def name(self) -> str:
        return f"{self.width_px}x{self.height_px} {self.format}"

    @property
    def megapixels(self) -> float:
        return self.width_px * self.height_px / 1e6

    @classmethod
    def named(cls, text: str) -> Self:
        """From "640x480 JPEG". Raises ValueError for anything else."""
        found = NAME.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no size and format, as '640x480 JPEG'")
        return cls(int(found[1]), int(found[2]), found[3])


@dataclasses.dataclass(frozen=True)
class PictureCost:
    """One core's time for decoding and scaling, and the file's size."""

    decode_s: float
    bytes: float


def kernel_costs(release: Path, pictures: Sequence[Picture]) -> Mapping[str, PictureCost]:
    """What each costs with the square size of a release; `release` is its folder.

    Raises OSError or ValueError where the folder has no manifest.
    """
    manifest = Manifest.from_json((release / MANIFEST).read_text(encoding="utf-8"))
    return {picture.name: _cost(picture, manifest.image_size_px) for picture in pictures}


def _cost(picture: Picture, size_px: int) -> PictureCost:
    files = [_file(listing.image_jpeg, picture.format) for listing in _listings(picture)]
    times = [min(_seconds(data, size_px) for _ in range(TURNS)) for data in files]
    return PictureCost(statistics.median(times), statistics.fmean(map(len, files)))


def _listings(picture: Picture) -> list[Listing]:
    return list(
        draw_listings(PICTURES, seed=SEED, width_px=picture.width_px, height_px=picture.height_px)
    )


def _file(jpeg: bytes, format_name: str) -> bytes:
    if format_name == "JPEG":
        return jpeg
    file = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        image.save(file, format_name)
    return file.getvalue()


def _seconds(data: bytes, size_px: int) -> float:
    """CPU time, which other processes of the machine do not lengthen."""
    started = time.process_time()
    decode_image(data, size_px=size_px)
    return time.process_time() - started


def cost_of(picture: Picture, known: Mapping[str, PictureCost]) -> PictureCost:
    """Measured where `known` has it, else a line over megapixels through those of its format.

    One measured size gives a line through zero. Raises ValueError where none has its format.
    """
    if picture.name in known:
        return known[picture.name]
    alike = {
        Picture.named(name).megapixels: cost
        for name, cost in known.items()
        if Picture.named(name).format == picture.format
    }
    if not alike:
        formats = sorted({Picture.named(name).format for name in known})
        raise ValueError(f"{picture.name}: only {', '.join(formats)} were measured")
    sizes = np.array(list(alike))
    costs = np.array([(known_cost.decode_s, known_cost.bytes) for known_cost in alike.values()])
    if len(alike) == 1:
        scaled = costs[0] * picture.megapixels / sizes[0]
    else:
        slope, start = np.polyfit(sizes, costs, 1)
        scaled = np.maximum(start + slope * picture.megapixels, costs.min(axis=0) / 10)
    return PictureCost(float(scaled[0]), float(scaled[1]))
