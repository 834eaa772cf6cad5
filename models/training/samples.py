"""The sample task: marketplace listings, a drawn picture and a description each.

Two questions are asked of a listing. `category`: what is in the picture? The
picture tells, the text hints at it. `mismatch`: does the text describe another
listing? Nothing but the two together can tell, because a text that describes
another listing is drawn just like a text that describes its own.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from models.training.pictures import HUES, PRODUCTS, draw_picture

MANIFEST = "manifest.jsonl"
IMAGES = "images"
MISMATCH_SHARE = 0.5
SIZES_PX = (200, 400)  # of the longer side, where no size is asked for

PRODUCT_WORDS: Mapping[str, tuple[str, ...]] = {
    "mug": ("mug", "cup", "coffee mug", "tea cup"),
    "shirt": ("shirt", "T-shirt", "tee", "blouse"),
    "chair": ("chair", "seat", "dining chair", "side chair"),
    "lamp": ("lamp", "table lamp", "bedside light", "reading light"),
    "bag": ("bag", "handbag", "shoulder bag", "purse"),
    "clock": ("clock", "alarm clock", "desk clock", "timepiece"),
}
COLOUR_WORDS: Mapping[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet", "cherry-red"),
    "yellow": ("yellow", "lemon", "sunny yellow", "canary"),
    "green": ("green", "emerald", "forest green", "jade"),
    "blue": ("blue", "navy", "cobalt", "royal blue"),
    "purple": ("purple", "violet", "plum", "lilac"),
    "black": ("black", "jet-black", "charcoal", "ebony"),
}
OPENINGS = (
    "For sale:",
    "Selling my",
    "Lovely",
    "Up for grabs,",
    "Moving out, so this must go:",
    "Nearly new",
    "Vintage",
    "Hardly used",
    "Gift I never used:",
    "",
)
PHRASES = (
    "{colour} {product}",
    "{product} in {colour}",
    "{product}, {colour}",
    "{product}, colour is {colour}",
    "{colour}-coloured {product}",
    "{product} ({colour})",
)
CONDITIONS = (
    "in great condition",
    "with small signs of wear",
    "like new",
    "no scratches",
    "used for one winter",
    "well looked after",
    "from a smoke-free home",
    "still in its box",
)
CLOSINGS = (
    "Pick-up only.",
    "Can ship for {euros} EUR.",
    "Price: {euros} EUR.",
    "{euros} EUR or best offer.",
    "No returns, please.",
    "First come, first served!",
    "Message me for more photos.",
    "Cash on collection, {euros} EUR.",
    "",
)


class Listing(NamedTuple):
    """One item to sell, with the answers that a model should give."""

    item_id: str
    text: str
    image_jpeg: bytes
    labels: Mapping[str, str]


def draw_listings(
    count: int, *, seed: int, width_px: int | None = None, height_px: int | None = None
) -> Iterator[Listing]:
    """Listings 0 to `count` - 1 of `seed`: the same ones whatever the count.

    Pictures are `width_px` by `height_px`; a side left out varies, 200 to 400 px.
    """
    return (
        _draw_listing(Random(f"{seed}/{index}"), f"listing-{seed}-{index:06d}", width_px, height_px)
        for index in range(count)
    )


def write_listings(folder: Path, count: int, *, seed: int) -> Path:
    """Write a picture a listing and the manifest that `models.training.train` reads.

    Returns the manifest's path. Each of its lines is a JSON object of item_id,
    image (path relative to the manifest), text, and labels (name to label). It
    is written last, so a folder that has one is complete.
    """
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    lines = []
    for listing in draw_listings(count, seed=seed):
        image = f"{IMAGES}/{listing.item_id}.jpg"
        (folder / image).write_bytes(listing.image_jpeg)
        line = {"item_id": listing.item_id, "image": image, "text": listing.text}
        lines.append(json.dumps({**line, "labels": dict(listing.labels)}) + "\n")
    manifest = folder / MANIFEST
    manifest.write_text("".join(lines), encoding="utf-8")
    return manifest


def _draw_listing(
    random: Random, item_id: str, width_px: int | None, height_px: int | None
) -> Listing:
    pictured = (random.choice(list(PRODUCTS)), random.choice(list(HUES)))
    mismatch = random.random() < MISMATCH_SHARE
    described = _another(pictured, random) if mismatch else pictured
    text = _describe(*described, random)
    image = draw_picture(
        *pictured,
        random,
        width_px=width_px or random.randint(*SIZES_PX),
        height_px=height_px or random.randint(*SIZES_PX),
    )
    labels = {"category": pictured[0], "mismatch": "yes" if mismatch else "no"}
    return Listing(item_id, text, image, labels)


def _another(kind: tuple[str, str], random: Random) -> tuple[str, str]:
    """Another product, another colour, or both, one as often as the other.

    All others of its sort are equally likely, so that over many listings every
    product and colour is described as often as it is when texts match.
    """
    product, colour = kind
    changed = random.choice(("product", "colour", "both"))
    if changed != "colour":
        product = random.choice([one for one in PRODUCTS if one != product])
    if changed != "product":
        colour = random.choice([one for one in HUES if one != colour])
    return product, colour


def _describe(product: str, colour: str, random: Random) -> str:
    """A few sentences that name product and colour, in words that vary."""
    phrase = random.choice(PHRASES).format(
        product=random.choice(PRODUCT_WORDS[product]), colour=random.choice(COLOUR_WORDS[colour])
    )
    first = f"{random.choice(OPENINGS)} {phrase}"
    if random.random() < 0.7:
        first += f", {random.choice(CONDITIONS)}"
    closing = random.choice(CLOSINGS).format(euros=random.randint(3, 240))
    text = f"{first}. {closing}".strip()
    return text.upper() if random.random() < 0.05 else text
