"""Training data: from a manifest to arrays, and the part that is held out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.features import ImageLimits
from models.functions import Functions
from models.training.examples import Examples, read_examples
from models.training.manifest_lines import read_items
from models.training.manifest_problems import ManifestRefused
from models.training.rehearsal import FunctionFailed
from models.training.splits import MIN_HELD_OUT, PLACEHOLDER_LINES, split_items

ENOUGH = 120  # items, of which a fifth is held out


def picture(folder: Path, name: str, colour: tuple[int, int, int] = (255, 0, 0)) -> str:
    Image.new("RGB", (20, 10), colour).save(folder / name)
    return name


def line(number: int, **fields: object) -> dict[str, object]:
    answer = {"kind": "ab"[number % 2]}
    return {"item_id": f"item-{number}", "text": "some words", "labels": answer, **fields}


def written(folder: Path, *lines: object, count: int = ENOUGH) -> Path:
    """A manifest of these lines, and of as many with a text alone as make `count`."""
    path = folder / "manifest.jsonl"
    more = [line(number) for number in range(len(lines), count)]
    path.write_text("".join(json.dumps(one) + "\n" for one in (*lines, *more)), encoding="utf-8")
    return path


def read(manifest: Path, **settings: object) -> tuple[Examples, Examples]:
    settings = {"size_px": 8, "report": lambda said: None, **settings}
    return read_examples(manifest, manifest.parent, **settings)  # type: ignore[arg-type]


def problems(manifest: Path) -> tuple[str, ...]:
    with pytest.raises(ManifestRefused) as refused:
        read(manifest)
    return refused.value.problems


def by_id(parts: tuple[Examples, Examples]) -> dict[str, tuple[np.ndarray, float, float, int]]:
    return {
        item_id: (part.images[row], part.has_image[row, 0], part.has_text[row, 0],
                  int(part.answers["kind"][row]))
        for part in parts
        for row, item_id in enumerate(part.item_ids)
    }  # fmt: skip


def test_items_become_arrays(tmp_path: Path) -> None:
    """Sides that are there are decoded and flagged, labels are numbered in order."""
    red, blue = picture(tmp_path, "red.png"), picture(tmp_path, "blue.png", (0, 0, 255))
    manifest = written(tmp_path, line(0, image=red), line(1), line(2, image=blue, text=" "))
    parts = read(manifest)
    found = by_id(parts)
    assert parts[0].labels == parts[1].labels == {"kind": ("a", "b")}
    assert [found[f"item-{number}"][1:] for number in range(3)] == [(1, 1, 0), (0, 1, 1), (1, 0, 0)]
    assert found["item-0"][0][0, 0].tolist() == [255, 0, 0]
    assert found["item-2"][0][7, 7].tolist() == [0, 0, 255]
    assert not found["item-1"][0].any()


def test_a_frozen_encoder_sees_each_picture_once(tmp_path: Path) -> None:
    """Its features stand where the pixels would; an item without a picture has zeros."""

    class Means:
        width = 3
        seen = 0

        def __call__(self, pixels: np.ndarray) -> np.ndarray:
            self.seen += len(pixels)
            return pixels.mean(axis=(1, 2)).astype(np.float32)

    encoder = Means()
    lines = [line(0, image=picture(tmp_path, "red.png")), line(1)]
    parts = read(written(tmp_path, *lines), encoder=encoder)
    found = by_id(parts)
    assert encoder.seen == 1
    assert found["item-0"][0].tolist() == [255, 0, 0]
    assert found["item-1"][0].tolist() == [0, 0, 0]


def test_functions_prepare_what_is_trained_on(tmp_path: Path) -> None:
    """Pictures after they are decoded, texts before they are normalised; a text may become none."""
    source = tmp_path / "functions.py"
    source.write_text(
        "from PIL import ImageOps\n"
        "def prepare_image(image): return ImageOps.invert(image)\n"
        "def prepare_text(text): return '' if text == 'nothing' else text.upper()\n"
    )
    red = picture(tmp_path, "red.png")
    manifest = written(tmp_path, line(0, image=red), line(1, text="nothing"), line(2, text="mug"))
    parts = read(manifest, functions=Functions(source))
    found = by_id(parts)
    texts = dict(pair for part in parts for pair in zip(part.item_ids, part.texts, strict=True))
    assert found["item-0"][0][0, 0].tolist() == [0, 255, 255]
    assert found["item-1"][2] == 0
    assert (texts["item-0"], texts["item-1"], texts["item-2"]) == ("SOME WORDS", "", "MUG")


def test_an_item_that_a_function_fails_on_is_not_left_out(tmp_path: Path) -> None:
    """It would be a dead letter in service: whatever else may be skipped, training ends."""
    source = tmp_path / "functions.py"
    source.write_text("def prepare_image(image): raise LookupError('no face')")
    manifest = written(tmp_path, line(0, image=picture(tmp_path, "red.png")))
    with pytest.raises(FunctionFailed, match="item 'item-0' of the manifest: prepare_image: Look"):
        read(manifest, functions=Functions(source), skip_broken=True)


def test_pictures_stay_on_disk(tmp_path: Path) -> None:
    """Both parts are views of one file: memory does not grow with them."""
    for part in read(written(tmp_path, line(0, image=picture(tmp_path, "red.png")))):
        assert isinstance(part.images, np.memmap)
        assert not part.images.flags.owndata


def test_pictures_that_cannot_be_decoded_are_told_with_their_lines(tmp_path: Path) -> None:
    """All of them at once, when nothing else is wrong, and what leaves them out."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (tmp_path / "none.jpg").write_bytes(b"")
    lines = [line(0), line(1, image="torn.jpg"), line(2, image="none.jpg")]
    *broken, skip = problems(written(tmp_path, *lines))
    torn, none = sorted(broken)
    assert torn.startswith("line 2: image torn.jpg: image_unreadable")
    assert none.startswith("line 3: image none.jpg: image_")
    assert "--skip_broken" in skip


def test_broken_pictures_can_be_left_out(tmp_path: Path) -> None:
    """One broken picture among many is named, and its item alone is missing."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    red = picture(tmp_path, "red.png")
    manifest = written(tmp_path, line(0, image=red), line(1, image="torn.jpg"), line(2, image=red))
    said: list[str] = []
    found = by_id(read(manifest, skip_broken=True, report=said.append))
    assert set(found) == {f"item-{number}" for number in range(ENOUGH)} - {"item-1"}
    assert found["item-2"][0][0, 0].tolist() == [255, 0, 0]
    assert [one for one in said if one.startswith("left out: line 2: image torn.jpg")]


def test_the_limits_of_a_picture_are_those_that_are_asked_for(tmp_path: Path) -> None:
    """The refusal names the flags that allow more, and then it is decoded."""
    manifest = written(tmp_path, line(0, image=picture(tmp_path, "red.png")))
    for limits in (ImageLimits(max_pixels=199), ImageLimits(max_bytes=20)):
        with pytest.raises(ManifestRefused, match=r"line 1: image red.png.*--max_image_pixels"):
            read(manifest, limits=limits)
    allowed = by_id(read(manifest, limits=ImageLimits(max_pixels=200)))
    assert allowed["item-0"][0][0, 0].tolist() == [255, 0, 0]


def test_nothing_is_decoded_while_a_line_is_wrong(tmp_path: Path) -> None:
    """What is wrong with lines is known in seconds, however many pictures there are."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (only,) = problems(written(tmp_path, line(0, image="torn.jpg"), line(1, price=3)))
    assert only.startswith("line 2: unknown field 'price'")


def test_too_few_items_to_hold_some_out_are_refused(tmp_path: Path) -> None:
    """A release without an evaluation is never made."""
    with pytest.raises(ManifestRefused, match="2 items are too few"):
        read(written(tmp_path, count=2))


def test_an_item_stays_on_its_side_of_the_split(tmp_path: Path) -> None:
    """About a fifth is held out, the same items when the manifest grows."""
    held_out = [set(read(written(tmp_path, count=count))[1].item_ids) for count in (100, 300)]
    assert held_out[0] == {one for one in held_out[1] if int(one.removeprefix("item-")) < 100}
    assert 40 < len(held_out[1]) < 80


def test_a_picture_is_on_one_side_under_all_its_names(tmp_path: Path) -> None:
    """Else it would be tested on what was trained on; how many share one is told."""
    lines = []
    for number in range(ENOUGH // 3):
        first = picture(tmp_path, f"{number}.png", (number, 2 * number, 9))
        shutil.copy(tmp_path / first, tmp_path / f"copy-{number}.png")
        names = (first, f"copy-{number}.png", first)
        lines += [line(3 * number + copy, image=name) for copy, name in enumerate(names)]
    manifest = written(tmp_path, *lines)
    said: list[str] = []
    training, held_out = split_items(read_items(manifest), manifest, said.append)
    sides = [{int(one.item_id.removeprefix("item-")) // 3 for one in part}
             for part in (training, held_out)]  # fmt: skip
    assert not sides[0] & sides[1]
    assert len(sides[1]) * 3 >= MIN_HELD_OUT
    assert said == ["120 items share 40 pictures: each picture's items are on one side, trained "
                    "on or held out"]  # fmt: skip


def test_a_placeholder_does_not_pull_its_items_to_one_side(tmp_path: Path) -> None:
    """A picture on very many lines says "no picture": those items go by their ids."""
    same = picture(tmp_path, "none.png")
    manifest = written(tmp_path, *[line(n, image=same) for n in range(PLACEHOLDER_LINES + 40)])
    said: list[str] = []
    parts = split_items(read_items(manifest), manifest, said.append)
    assert all(any(one.image for one in part) for part in parts)
    assert said[0].startswith("1 pictures are on 60 items and taken for placeholders")


def test_both_parts_keep_items_and_answers_together(tmp_path: Path) -> None:
    """Splitting moves whole items."""
    for part in read(written(tmp_path, count=150)):
        numbers = np.array([int(item_id.removeprefix("item-")) for item_id in part.item_ids])
        np.testing.assert_array_equal(part.answers["kind"], numbers % 2)
