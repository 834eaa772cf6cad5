"""The sample listings: seeded, well-formed, and not guessable from one side."""

import io
import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from models.training.pictures import HUES, PRODUCTS, draw_picture
from models.training.samples import COLOUR_WORDS, PRODUCT_WORDS, draw_listings, write_listings


def kind_of_text(text: str) -> tuple[str, str]:
    """Product and colour that a text names."""

    def named(words: dict[str, tuple[str, ...]]) -> str:
        found = [
            (len(word), name)
            for name, synonyms in words.items()
            for word in synonyms
            if word.casefold() in text.casefold()
        ]
        return max(found)[1]

    return named(PRODUCT_WORDS), named(COLOUR_WORDS)


def test_a_listing_depends_on_its_seed_and_number_alone() -> None:
    """Drawing more listings leaves the earlier ones as they were."""
    assert list(draw_listings(3, seed=5)) == list(draw_listings(6, seed=5))[:3]


def test_seeds_give_different_listings() -> None:
    """Another seed draws other pictures and texts under other ids."""
    (one,), (other,) = draw_listings(1, seed=1), draw_listings(1, seed=2)
    assert one.item_id != other.item_id
    assert one.image_jpeg != other.image_jpeg
    assert one.text != other.text


def test_pictures_have_the_size_that_is_asked_for() -> None:
    """The load test asks for one size; training takes what varies."""
    (listing,) = draw_listings(1, seed=0, width_px=640, height_px=480)
    with Image.open(io.BytesIO(listing.image_jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))


def test_every_product_in_every_colour_can_be_drawn() -> None:
    """No product or colour fails to draw, at an odd and small size as well."""
    for product in PRODUCTS:
        for colour in HUES:
            drawn = draw_picture(product, colour, Random(0), width_px=61, height_px=47)
            with Image.open(io.BytesIO(drawn)) as image:
                assert image.size == (61, 47)


def test_the_text_of_a_match_names_the_category_of_the_picture() -> None:
    """`category` is of the picture; a text that matches says the same."""
    for listing in draw_listings(60, seed=3, width_px=32, height_px=32):
        if listing.labels["mismatch"] == "no":
            assert kind_of_text(listing.text)[0] == listing.labels["category"]


@pytest.mark.slow
def test_texts_are_distributed_alike_with_and_without_a_mismatch() -> None:
    """Neither the product nor the colour that a text names tells a mismatch."""
    named = {"yes": Counter[str](), "no": Counter[str]()}
    for listing in draw_listings(1_200, seed=4, width_px=16, height_px=16):
        named[listing.labels["mismatch"]].update(kind_of_text(listing.text))
    assert 500 < named["yes"].total() / 2 < 700
    for word in (*PRODUCTS, *HUES):
        shares = [counts[word] / (counts.total() / 2) for counts in named.values()]
        assert abs(shares[0] - 1 / 6) < 0.06
        assert abs(shares[1] - 1 / 6) < 0.06


def test_written_listings_are_what_was_drawn(tmp_path: Path) -> None:
    """The manifest has a line a listing, and its paths start at its own folder."""
    manifest = write_listings(tmp_path / "samples", 4, seed=6)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line, listing in zip(lines, draw_listings(4, seed=6), strict=True):
        assert (line["item_id"], line["text"]) == (listing.item_id, listing.text)
        assert line["labels"] == listing.labels
        assert (manifest.parent / line["image"]).read_bytes() == listing.image_jpeg
