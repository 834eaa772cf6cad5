"""EncodeTexts on a real text transform: every item is answered, with or without a text."""

from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pytest
from builders import created, item, run
from conftest import Releases

from models.failures import Reason, Stage
from models.manifest import TEXT_TRANSFORM
from models.release import Pointer
from models.text_transform import TextTransform
from transforms.records import Item, Part
from transforms.texts import EncodeTexts


def encode(items: Iterable[Item], releases: Releases) -> dict[str, Part]:
    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        halves = created(pipeline, items, Item) | EncodeTexts(releases=releases.root, batch_size=4)
        return {"halves": halves}

    ran = run(connect)
    assert "bugs" not in ran.counters
    named = {half.envelope.item_id: half for half in ran.records["halves"]}
    assert len(named) == len(ran.records["halves"]), "an item was answered twice"
    assert {half.branch for half in named.values()} == {Stage.TEXT}
    return named


def test_every_text_gets_the_features_of_its_own_release(releases: Releases) -> None:
    """The same numbers as the release's transform gives, in batches that mix two releases."""
    texts = [
        "A red MUG",
        "blue lamp",
        "\u00fcber-nice clock",
        "x" * 5_000,
        "\U0001f600",
        "Mug",
    ] * 3
    manifests = [releases.first, releases.second] * 9
    items = [
        item(number, release=manifest.release, text=text)
        for number, (text, manifest) in enumerate(zip(texts, manifests, strict=True))
    ]
    halves = encode(items, releases)
    for manifest in (releases.first, releases.second):
        folder = Path(releases.root) / manifest.release / TEXT_TRANSFORM
        features = TextTransform(folder, manifest.features[Stage.TEXT])(texts)
        for number in range(len(texts)):
            if manifests[number] is manifest:
                half = halves[f"item-{number}"]
                assert half.features == features[number]
                assert half.facts == f'{{"length_chars":{len(texts[number])}}}'
                assert half.failure is None
                assert set(half.spent_us) == {"text"}


@pytest.mark.parametrize("text", ["", "  ", "\n\t\u00a0"])
def test_a_blank_text_has_no_features(releases: Releases, text: str) -> None:
    """As in training, where a blank text counts as absent."""
    half = encode([item(1, release=releases.first.release, text=text)], releases)["item-1"]
    assert (half.features, half.failure) == (b"", None)


def test_a_release_that_is_not_there_is_reported_item_by_item(releases: Releases) -> None:
    """Whether it is loaded at the start or when an item asks: the others go on."""
    releases.point(Pointer("listings-none", canary=releases.first.release))
    halves = encode(
        [item(1, release="listings-none"), item(2, release=releases.first.release)], releases
    )
    assert halves["item-1"].failure
    assert halves["item-1"].failure[:2] == (Stage.TEXT, Reason.RELEASE_UNAVAILABLE)
    assert halves["item-2"].features
