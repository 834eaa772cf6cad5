"""The manifest of training data: what it may hold, and how its mistakes are told."""

import base64
import json
from pathlib import Path

import pytest
from builders import png

from models.training.manifest_lines import LabelledItem, read_items
from models.training.manifest_problems import MAX_PROBLEMS, ManifestRefused

KNOWN = "a manifest has item_id, image, text, labels"
A_PATH = "the path of a file on this machine is wanted"


def line(number: int, **fields: object) -> dict[str, object]:
    answer = {"kind": "ab"[number % 2]}
    return {"item_id": f"item-{number}", "text": "some words", "labels": answer, **fields}


def problems(folder: Path, *lines: object) -> list[str]:
    """What is told of a manifest of these lines: objects as JSON, texts and bytes as they are."""
    path = folder / "manifest.jsonl"
    texts = [one if isinstance(one, str | bytes) else json.dumps(one) for one in lines]
    path.write_bytes(b"\n".join(t if isinstance(t, bytes) else t.encode() for t in texts))
    with pytest.raises(ManifestRefused) as refused:
        read_items(path)
    assert str(refused.value).isprintable() or "\n" in str(refused.value)
    return list(refused.value.problems)


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """One run is enough to learn everything that must be mended in the manifest."""
    told = problems(
        tmp_path,
        line(0),
        "{not json",
        "[]",
        line(3, image="nowhere.jpg"),
        line(4, image="."),
        line(5, labels={}),
        line(6, labels={"kind": None, "other": None}),
        line(7, labels={"../kind": "a"}),
        line(8, labels={"kind": {"a": 1}}),
        line(9, text=""),
        line(0),
        line(11, item_id=""),
        line(12, text=5),
        line(13, item_id=None, text=None, image=None),
        '{"item_id": "a", "text": "a", "text": "b", "labels": {"kind": "a"}}',
    )
    expected = [
        "line 2: not JSON: ",
        "line 3: not a JSON object",
        "line 4: image nowhere.jpg: no such file",
        f"line 5: image .: a folder: {A_PATH}",
        "line 6: labels is not an object with at least one label",
        "line 7: labels is not an object with at least one label",
        "line 8: label name '../kind'",
        "line 9: label 'kind' is not a text, a list of texts or a number",
        "line 10: neither image nor text",
        "line 11: item_id 'item-0' is also on line 1",
        "line 12: no item_id",
        'line 13: text is not a string: write "5"',
        "line 14: no item_id",
        "line 14: neither image nor text",
        "line 15: two values for one name: 'text'",
    ]
    assert [one[: len(start)] for one, start in zip(told, expected, strict=False)] == expected
    assert len(told) == len(expected)


def test_a_label_with_one_value_is_nothing_to_learn(tmp_path: Path) -> None:
    """Told by its name, when nothing else is wrong: with lines missing it would be a guess."""
    one = {"kind": "a", "other": "b"}
    lines = [line(number, labels=one) for number in range(3)]
    assert problems(tmp_path, *lines) == [
        "label 'kind' is 'a' on every line: there is nothing to learn",
        "label 'other' is 'b' on every line: there is nothing to learn",
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image_uri": "gs://b/1.jpg"}, f"'image_uri'; did you mean 'image'? ({A_PATH})"),
        ({"img": "1.jpg"}, f"'img'; did you mean 'image'? ({A_PATH})"),
        ({"label": "mug"}, "'label'; did you mean 'labels'?"),
        ({"Text": "a"}, "'Text'; did you mean 'text'?"),
        ({"price": 5}, f"'price'; {KNOWN}"),
        ({"tenant_id": "acme"}, f"'tenant_id'; {KNOWN}"),
        ({"a\nb": 5}, f"'a\\\\nb'; {KNOWN}"),
    ],
)
def test_a_field_that_is_not_known_is_refused_by_its_name(
    tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    """Beside all known ones: it would be left out of the training without a word."""
    assert problems(tmp_path, line(0, **fields), line(1)) == [f"line 1: unknown field {said}"]


def test_a_field_by_another_name_is_told_what_it_is_called(tmp_path: Path) -> None:
    """`description` in place of `text`."""
    other = {"item_id": "a", "description": "a mug", "labels": {"kind": "a"}}
    told = problems(tmp_path, other, line(1), line(2))
    assert told[0] == "line 1: unknown field 'description'; did you mean 'text'?"


def test_many_problems_of_a_kind_are_one(tmp_path: Path) -> None:
    """With a count, the first lines, and an example where they differ."""
    lines = [line(n, image=f"no/such/{n}.jpg", price=n) for n in range(90)]
    assert problems(tmp_path, *lines, line(90, image="C:\\data\\1.jpg"), line(91)) == [
        f"90 lines (1, 2, 3, ...): unknown field 'price'; {KNOWN}",
        "90 lines (1, 2, 3, ...): such as line 1: image no/such/0.jpg: no such file",
        "line 91: image C:\\data\\1.jpg: no such file: paths are written with /",
    ]


def test_a_long_list_of_kinds_is_cut_short(tmp_path: Path) -> None:
    """The message shows the first ones and counts the others."""
    lines = [line(n, **{f"extra{n}": 1}) for n in range(MAX_PROBLEMS + 5)]
    problems(tmp_path, *lines)
    with pytest.raises(ManifestRefused, match=r"(?s)line 20: unknown.*and 5 more$"):
        read_items(tmp_path / "manifest.jsonl")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "label 'kind' is no text: write \"true\", not true"),
        ("", "label 'kind' is not a text, a list of texts or a number"),
        (
            float("nan"),
            "label 'kind' is not a number that can be learnt, from -1e+30 to 1e+30: nan",
        ),
        (
            10**40,
            "label 'kind' is not a number that can be learnt, from -1e+30 to 1e+30: 1" + "0" * 39,
        ),
        (["a", 1], "label 'kind' is a list with something that is no text"),
        (["a", ""], "label 'kind' is a list with something that is no text"),
        (["a", "b", "a"], "label 'kind' has 'a' twice"),
        (["\ud800"], "label 'kind' holds half a character (a lone surrogate): \\ud800"),
        ("\ud800", "label 'kind' holds half a character (a lone surrogate): \\ud800"),
    ],
)
def test_a_label_that_cannot_be_learnt_is_told_how_to_write_it(
    tmp_path: Path, value: object, said: str
) -> None:
    """Before any picture is decoded."""
    told = problems(tmp_path, line(0, labels={"kind": value}), line(1), line(2))
    assert told == [f"line 1: {said}"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            '{"item_id": "\\ud800", "text": "a", "labels": {"kind": "a"}}',
            "a lone surrogate): \\ud800",
        ),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"item_id": "caf\xe9"}'.encode("latin-1"), "not UTF-8: byte 0xe9 after 16 others"),
        ('{"item_id": ' + "9" * 5_000 + "}", "not JSON"),
        ('{"item_id": 17, "text": "a", "labels": {"kind": "a"}}', 'write "17"'),
        (line(0, image="a\0b"), "image a\\x00b: no such file"),
        (line(0, image="x/" * 140 + "1.jpg"), f"image {'x/' * 140}1.jpg: no such file"),
        (line(0, image="gs://b/1.jpg"), f"image gs://b/1.jpg: a URI: {A_PATH}"),
        (line(0, image="\ud800"), "image \\ud800: no such file"),
    ],
)
def test_a_broken_line_is_refused_by_its_number(tmp_path: Path, broken: object, said: str) -> None:
    """Whatever is in it, and without a traceback; what it names is shown whole."""
    (only,) = problems(tmp_path, line(1), broken, line(2))
    assert only.startswith("line 2: ")
    assert said in only


def test_a_picture_in_the_line_itself_is_not_printed(tmp_path: Path) -> None:
    """Base64, as messages have it: a path is wanted, and the refusal is short."""
    inline = base64.b64encode(png(40, 40) * 20).decode()
    told = problems(tmp_path, line(0, image=inline), line(1))
    assert f"the picture itself: {A_PATH}" in told[0]
    assert len(told[0]) < 200


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no items"),
        (b"\n \n", "no items"),
        (
            json.dumps([line(0), line(1)], indent=2).encode(),
            "a JSON array: JSON Lines is wanted, one object a line",
        ),
        (b"item_id,image,text\na,a.jpg,words\n", "JSON Lines is wanted"),
        (json.dumps(line(0)).encode("utf-8-sig"), "UTF-8 with a byte order mark: save it as plain"),
        (json.dumps(line(0)).encode("utf-16"), "UTF-16: save it as plain UTF-8"),
        (json.dumps(line(0)).encode("utf-16-le"), "UTF-16: save it as plain UTF-8"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_one_line(
    tmp_path: Path, data: bytes, said: str
) -> None:
    """It says what the file is and what is wanted, not what is wrong with each line."""
    (only,) = problems(tmp_path, data)
    assert said in only


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """So is a folder."""
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ManifestRefused, match="cannot be read"):
            read_items(path)


def test_null_is_as_left_out_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    """JSON null means absent, as in messages; Windows' line ends and blank lines are nothing."""
    (tmp_path / "a.png").write_bytes(png(4, 4))
    lines = [line(0, image=None), line(1, image="a.png", text=None)]
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"\r\n\r\n".join(json.dumps(one).encode() for one in lines))
    assert read_items(path) == [
        LabelledItem(1, "item-0", "", "some words", {"kind": "a"}),
        LabelledItem(3, "item-1", "a.png", "", {"kind": "b"}),
    ]


def test_a_file_in_another_case_is_named(tmp_path: Path) -> None:
    """Windows and macOS find a1.jpg where a1.JPG is; Linux, and a release's training, do not."""
    (tmp_path / "a1.JPG").write_bytes(b"")
    told = problems(tmp_path, line(0, image="a1.jpg"), line(1))
    assert told == ["line 1: image a1.jpg: no such file, but a1.JPG is there"]


def test_spellings_of_one_label_are_told_together(tmp_path: Path) -> None:
    """Case, spaces and forms of letters would make two labels of one."""
    kinds = ["mug", "Mug", "mug ", "mug", "plate"]
    told = problems(tmp_path, *[line(n, labels={"kind": k}) for n, k in enumerate(kinds)])
    assert told == [
        "label 'kind': 'Mug' (1 lines) and 'mug' (2 lines) and 'mug ' (1 lines) differ in case, "
        "spaces or form of letters alone: write one of them"
    ]


def test_labels_on_too_few_lines_are_told_with_their_counts(tmp_path: Path) -> None:
    """All of them in one line, the rarest first; so few teach and test nothing."""
    path = tmp_path / "manifest.jsonl"
    kinds = ["mug"] * 6 + ["lamp"] * 2 + ["chair"]
    lines = [line(n, labels={"kind": kind}) for n, kind in enumerate(kinds)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(ManifestRefused) as refused:
        read_items(path, min_lines=5)
    assert refused.value.problems == (
        "label 'kind': fewer than 5 lines (--min_lines) have 'chair' (1), 'lamp' (2): add lines, "
        "leave them out, or give them a common label",
    )
    assert len(read_items(path, min_lines=1)) == len(kinds)


# --- kinds of labels ---------------------------------------------------------------------------


def test_a_label_is_one_of_several_several_at_once_or_a_number(tmp_path: Path) -> None:
    """A text, a list, a number; a line need not have all of them, and null is as left out."""
    path = tmp_path / "manifest.jsonl"
    labels = [
        {"kind": "mug", "tags": ["red", "new"], "price": 3},
        {"kind": "lamp", "tags": [], "price": None},
        {"price": 4.5},
        {"tags": ["red"], "price": -1e3},
    ]
    lines = [json.dumps(line(n, labels=one)) for n, one in enumerate(labels)]
    path.write_text("\n".join(lines))
    assert [one.labels for one in read_items(path)] == [
        {"kind": "mug", "tags": ("red", "new"), "price": 3.0},
        {"kind": "lamp", "tags": ()},
        {"price": 4.5},
        {"tags": ("red",), "price": -1000.0},
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [1.5, 2, "2.5"],
            "label 'kind' is a number on 2 lines (such as line 1: 1.5) and a text on 1 lines (such "
            'as line 3: "2.5"): write one kind; numbers without quotes',
        ),
        (
            ["red", ["red", "new"], "blue"],
            "label 'kind' is a text on 2 lines (such as line 1: \"red\") and a list on 1 lines "
            '(such as line 2: ["red", "new"]): write one kind, such as ["red", "new"] for several '
            "labels at once, [] for none of them",
        ),
        (
            ["a", 0, 1],
            "label 'kind' is a number on 2 lines (such as line 2: 0.0) and a text on 1 lines (such "
            'as line 1: "a"): write one kind, with quotes for one of several labels',
        ),
    ],
)
def test_a_label_name_has_one_kind(tmp_path: Path, values: list[object], said: str) -> None:
    """By name, with counts, an example of each, and what to write."""
    lines = [line(n, labels={"kind": value}) for n, value in enumerate(values)]
    assert problems(tmp_path, *lines) == [said]


def test_kinds_are_told_with_all_that_is_wrong_with_lines(tmp_path: Path) -> None:
    """One run is enough."""
    told = problems(
        tmp_path, line(0), line(1, labels={"kind": 1}), line(2, labels={"kind": True}), "[]"
    )
    assert [one.split(":")[0] for one in told] == [
        "line 3",
        "line 4",
        "label 'kind' is a text on 1 lines (such as line 1",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([["a", "b"], ["b", "a"]], "is ['a', 'b'] on every line: there is nothing to learn"),
        ([[], []], "is [] on every line: there is nothing to learn"),
        ([7, 7.0], "is 7.0 on every line: there is nothing to learn"),
        ([0, 1, 1], 'has the numbers 0 and 1 alone: write "0" and "1" for one of two labels'),
        (
            [["Red"], ["red", "b"], []],
            ": 'Red' (1 lines) and 'red' (1 lines) differ in case, spaces or form of letters "
            "alone: write one of them",
        ),
    ],
)
def test_what_no_kind_of_scorer_learns_from_is_told(
    tmp_path: Path, values: list[object], said: str
) -> None:
    """Of several labels and of numbers too."""
    lines = [line(n, labels={"kind": value}) for n, value in enumerate(values)]
    (told,) = problems(tmp_path, *lines)
    assert told.removeprefix("label 'kind'").strip() == said.strip()


def test_each_of_several_labels_needs_its_lines(tmp_path: Path) -> None:
    """Numbers do not; numbers written as texts would, and are told how to be numbers."""
    path = tmp_path / "manifest.jsonl"
    labels = [
        {"tags": ["a", "b"] if n == 1 else ["a"] * (n % 2), "price": n, "size": str(n)}
        for n in range(12)
    ]
    lines = [json.dumps(line(n, labels=one)) for n, one in enumerate(labels)]
    path.write_text("\n".join(lines))
    with pytest.raises(ManifestRefused) as refused:
        read_items(path, min_lines=5)
    sizes, tags = refused.value.problems
    assert sizes.startswith("label 'size': fewer than 5 lines (--min_lines) have '0' (1)")
    assert sizes.endswith("; for numbers, write them without quotes")
    assert tags.startswith("label 'tags': fewer than 5 lines (--min_lines) have 'b' (1): add")
