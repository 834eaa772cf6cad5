"""Training data: from a manifest to arrays, and the part that is held out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.features import ImageLimits
from models.training.examples import read_examples, split_examples
from models.training.manifest_lines import ManifestRefused


def picture(folder: Path, name: str = "red.png") -> str:
    Image.new("RGB", (20, 10), "red").save(folder / name)
    return name


def line(number: int, **fields: object) -> dict[str, object]:
    answer = {"kind": "ab"[number % 2]}
    return {"item_id": f"item-{number}", "text": "some words", "labels": answer, **fields}


def written(folder: Path, *lines: object) -> Path:
    """A manifest of these lines: objects as JSON, texts as they are."""
    path = folder / "manifest.jsonl"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def problems(manifest: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestRefused) as refused:
        read_examples(manifest, size_px=8)
    return refused.value.problems


def test_items_become_arrays(tmp_path: Path) -> None:
    """Sides that are there are decoded and flagged, labels are numbered in order."""
    manifest = written(
        tmp_path, line(0, image=picture(tmp_path)), line(1), line(2, image="red.png", text=" ")
    )
    examples = read_examples(manifest, size_px=8)
    assert examples.labels == {"kind": ("a", "b")}
    assert examples.answers["kind"].tolist() == [0, 1, 0]
    assert examples.has_image.tolist() == [[1], [0], [1]]
    assert examples.has_text.tolist() == [[1], [1], [0]]
    assert examples.images.shape == (3, 8, 8, 3)
    assert examples.images[0, 0, 0].tolist() == [255, 0, 0]
    assert not examples.images[1].any()


def test_pictures_that_cannot_be_decoded_are_told_with_their_lines(tmp_path: Path) -> None:
    """All of them at once, when nothing else is wrong."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (tmp_path / "none.jpg").write_bytes(b"")
    manifest = written(
        tmp_path, line(0), line(1, image="torn.jpg"), line(2, image="none.jpg"), line(3)
    )
    torn, none = problems(manifest)
    assert torn.startswith("line 2: image torn.jpg: image_unreadable")
    assert none.startswith("line 3: image none.jpg: image_")


def test_the_limits_of_a_picture_are_those_that_are_asked_for(tmp_path: Path) -> None:
    """The refusal names the flags that allow more, and then it is decoded."""
    manifest = written(tmp_path, line(0, image=picture(tmp_path)), line(1))
    for limits in (ImageLimits(max_pixels=199), ImageLimits(max_bytes=20)):
        with pytest.raises(ManifestRefused, match=r"line 1: image red.png.*--max_image_pixels"):
            read_examples(manifest, size_px=8, limits=limits)
    allowed = read_examples(manifest, size_px=8, limits=ImageLimits(max_pixels=200))
    assert allowed.images[0, 0, 0].tolist() == [255, 0, 0]


def test_nothing_is_decoded_while_a_line_is_wrong(tmp_path: Path) -> None:
    """What is wrong with lines is known in seconds, however many pictures there are."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    manifest = written(tmp_path, line(0, image="torn.jpg"), line(1, price=3))
    (only,) = problems(manifest)
    assert only.startswith("line 2: unknown field 'price'")


def test_too_few_items_to_hold_some_out_are_refused(tmp_path: Path) -> None:
    """A release without an evaluation is never made."""
    examples = read_examples(written(tmp_path, line(0), line(1)), size_px=8)
    with pytest.raises(ManifestRefused, match="2 items are too few"):
        split_examples(examples, tmp_path / "manifest.jsonl")


def test_an_item_stays_on_its_side_of_the_split(tmp_path: Path) -> None:
    """About a fifth is held out, the same items when the manifest grows."""
    few = read_examples(written(tmp_path, *map(line, range(100))), size_px=8)
    many = read_examples(written(tmp_path, *map(line, range(300))), size_px=8)
    held_out = [set(split_examples(one, tmp_path)[1].item_ids) for one in (few, many)]
    assert held_out[0] == held_out[1] & set(few.item_ids)
    assert 40 < len(held_out[1]) < 80


def test_both_parts_keep_items_and_answers_together(tmp_path: Path) -> None:
    """Splitting moves whole items."""
    examples = read_examples(written(tmp_path, *map(line, range(150))), size_px=8)
    for part in split_examples(examples, tmp_path):
        numbers = np.array([int(item_id.removeprefix("item-")) for item_id in part.item_ids])
        np.testing.assert_array_equal(part.answers["kind"], numbers % 2)
