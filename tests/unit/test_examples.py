"""Training data: what a manifest may hold, and how its mistakes are told."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.examples import MAX_PROBLEMS, ManifestRefused, read_examples, split_examples


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


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """One run is enough to learn everything that must be mended."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    manifest = written(
        tmp_path,
        line(0),
        "{not json",
        "[]",
        line(3, image="nowhere.jpg"),
        line(4, image="torn.jpg"),
        line(5, labels={}),
        line(6, labels={"other": "a"}),
        line(7, labels={"../kind": "a"}),
        line(8, labels={"kind": 3}),
        line(9, text=""),
        line(0),
        line(11, item_id=""),
        line(12, text=5),
    )
    told = problems(manifest)
    expected = {
        2: "not JSON",
        3: "not a JSON object",
        4: "image nowhere.jpg: No such file",
        5: "image torn.jpg: image_unreadable",
        6: "at least one label",
        7: "labels ['other'], earlier lines have ['kind']",
        8: "label name '../kind'",
        9: "label 'kind' is not a text",
        10: "neither image nor text",
        11: "item_id 'item-0' is also on line 1",
        12: "no item_id",
        13: "text is not a string",
    }
    for (number, message), one in zip(expected.items(), told, strict=False):
        assert one.startswith(f"line {number}: ")
        assert message in one
    assert told[-1] == "label 'kind' is 'a' on every line: there is nothing to learn"
    assert len(told) == len(expected) + 1


def test_a_long_list_of_mistakes_is_cut_short(tmp_path: Path) -> None:
    """The message shows the first ones and counts the others."""
    manifest = written(tmp_path, *["?"] * (MAX_PROBLEMS + 5))
    with pytest.raises(ManifestRefused, match=r"(?s)line 20: not JSON.*and 5 more$"):
        read_examples(manifest, size_px=8)


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"])
def test_a_manifest_with_no_items_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """So is one that is missing or not UTF-8."""
    path = tmp_path / "manifest.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert len(problems(path)) == 1


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
