"""From an opened image to the square that an encoder takes, as a viewer shows it."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageChops

from models.bare_images import BareImage

# A JPEG is decoded at the smallest scale that still leaves this many times the
# target size: nearly the pixels of a full decode at half its time.
DRAFT_FACTOR = 2
_LOW_BYTES = "RGB;16L"  # of samples that have their high byte first

# The square is turned after resizing, which costs less and gives the same.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_square(image: Image.Image, bare: BareImage, size_px: int) -> Image.Image:
    """Scale to (size_px, size_px) RGB, doing the costly steps on few pixels."""
    image.draft("RGB", (size_px * DRAFT_FACTOR, size_px * DRAFT_FACTOR))
    image = _in_colour(image, bare)
    if bare.place_px is not None:
        left_px, top_px = bare.place_px
        box = (-left_px, -top_px, bare.width_px - left_px, bare.height_px - top_px)
        image = image.convert("RGBA").crop(box)  # clear where there is nothing
    small = image.resize((size_px, size_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if bare.gamma is not None:
        small = _on_a_screen(small, bare.gamma)
    if small.mode == "RGBA":
        white = Image.new("RGBA", small.size, (255, 255, 255, 255))
        small = Image.alpha_composite(white, small)
    return small.convert("RGB")


def upright(image: Image.Image, orientation: int | None) -> Image.Image:
    turn = _UPRIGHT.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def _in_colour(image: Image.Image, bare: BareImage) -> Image.Image:
    """As RGB, RGBA or L of 8 bits."""
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's convert would clip, not scale
        return _grey_of_16_bits(image, bare)
    if bare.clear is not None:
        return _rgb_of_16_bits(image, bare, bare.clear)
    if image.mode != "RGBA" and image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGB")


def _grey_of_16_bits(image: Image.Image, bare: BareImage) -> Image.Image:
    samples = np.asarray(image)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if bare.clear is None:
        return grey
    alpha = Image.fromarray((samples != bare.clear[0]).astype(np.uint8) * 255)
    return Image.merge("LA", (grey, alpha)).convert("RGBA")


def _rgb_of_16_bits(image: Image.Image, bare: BareImage, clear: tuple[int, ...]) -> Image.Image:
    """Pillow keeps the high bytes; the low ones, for comparing, are decoded by themselves."""
    alpha = _differs(image, [sample >> 8 for sample in clear])
    with Image.open(BytesIO(bare.data), formats=(bare.format,)) as low:
        low.tile = [tile._replace(args=_LOW_BYTES) for tile in low.tile]
        alpha = ImageChops.lighter(alpha, _differs(low, [sample & 0xFF for sample in clear]))
    image.putalpha(alpha)
    return image


def _differs(image: Image.Image, colour: list[int]) -> Image.Image:
    """255 where any sample is not the colour's, 0 elsewhere."""
    different = Image.new("L", image.size)
    for band, sample in zip(image.split(), colour, strict=True):
        table = [255] * 256
        table[sample] = 0
        different = ImageChops.lighter(different, band.point(table))
    return different


def _on_a_screen(image: Image.Image, gamma: float) -> Image.Image:
    """Samples that stand for light to the power of `gamma`, as sRGB; alpha as it is."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    curve = np.maximum(np.minimum(12.92 * light, 0.04045), 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.rint(curve * 255).astype(int).tolist()
    bands = [range(256) if band == "A" else table for band in image.getbands()]
    return image.point([sample for band in bands for sample in band])
