"""A team's functions, without a release: what reaches them, what may come back, what is said."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from builders import quadrants, rejection
from source import REPOSITORY

from models.facts import Score
from models.failures import Reason
from models.functions import (
    MAX_DECISIONS_BYTES,
    NAMES,
    NO_FUNCTIONS,
    Functions,
    FunctionsRefused,
    functions_of,
)
from models.manifest import Manifest
from models.training.rehearsal import FunctionFailed, rehearsed

EXAMPLE = REPOSITORY / "docs/examples/functions.py"
SCORES = [Score("category", "mug", 0.75), Score("category", "lamp", 0.25), Score("ok", "yes", 1.0)]
SQUARE = np.asarray(quadrants(8, 8))


@pytest.fixture
def written(tmp_path: Path):
    """Functions from the text of their file."""

    def write(source: str) -> Functions:
        path = tmp_path / "functions.py"
        path.write_text(source, encoding="utf-8")
        return Functions(path)

    return write


def test_decide_gets_labels_with_their_probabilities_and_numbers(tmp_path: Path) -> None:
    """A number by the scorer's name alone; which labels are chosen is its own to say."""
    source = tmp_path / "mine.py"
    source.write_text("def decide(scores, fields): return scores")
    scores = [
        *SCORES,
        Score("tags", "new", 0.4, chosen=True),
        Score("price", None, None, value=12.5),
    ]
    assert json.loads(Functions(source).decide(scores, "")) == {
        "category": {"mug": 0.75, "lamp": 0.25},
        "ok": {"yes": 1.0},
        "tags": {"new": 0.4},
        "price": 12.5,
    }


def test_without_functions_everything_stays_as_it_is() -> None:
    """The same objects come back, and there is no decision."""
    assert NO_FUNCTIONS.prepare_text("Ein Krug") == "Ein Krug"
    assert NO_FUNCTIONS.prepare_image(SQUARE) is SQUARE
    assert NO_FUNCTIONS.decide(SCORES, '{"price": 3}') == ""
    assert NO_FUNCTIONS.names == ()


def test_the_example_of_the_documents_works() -> None:
    """Whoever begins with it begins with something that runs."""
    example = Functions(EXAMPLE)
    assert example.names == NAMES
    assert example.prepare_text("call 030 12345678 now") == "call  phonenumber  now"
    assert example.prepare_image(SQUARE).shape == SQUARE.shape
    decided = json.loads(example.decide(SCORES, '{"price": 3}'))
    assert decided == {"action": "review", "category": "mug", "why": {"sure": 0.75, "dear": False}}
    assert json.loads(example.decide([Score("category", "mug", 0.95)], ""))["action"] == "publish"


def test_no_text_is_not_prepared(written) -> None:
    """An item without a text stays one; a blank text is the function's to look at."""
    functions = written("def prepare_text(text): return f'[{text}]'")
    assert functions.prepare_text("") == ""
    assert functions.prepare_text(" ") == "[ ]"


@pytest.mark.parametrize(
    "body",
    [
        "image.convert('L')",
        "image.convert('RGBA')",
        "image.resize((3, 20))",
        "image.convert('CMYK')",
    ],
)
def test_a_prepared_image_is_the_square_again(written, body: str) -> None:
    """Of whatever mode and size the function gives it: encoders take one shape."""
    prepared = written(f"def prepare_image(image): return {body}").prepare_image(SQUARE)
    assert (prepared.shape, prepared.dtype) == (SQUARE.shape, np.uint8)


def test_an_image_reaches_its_function_as_rgb_of_the_square(written) -> None:
    """And its pixels as they were decoded; the caller's own stay whole."""
    functions = written(
        "def prepare_image(image):\n"
        "    assert (image.mode, image.size) == ('RGB', (8, 8))\n"
        "    image.putpixel((0, 0), (1, 2, 3))\n"
        "    return image\n"
    )
    before = SQUARE.copy()
    assert functions.prepare_image(SQUARE)[0, 0].tolist() == [1, 2, 3]
    assert (before == SQUARE).all()


def test_scores_reach_decide_by_scorer_and_label(written) -> None:
    """And fields as the message had them; {} where it had none."""
    functions = written("def decide(scores, fields): return {'scores': scores, 'fields': fields}")
    assert json.loads(functions.decide(SCORES, '{"price": 3}')) == {
        "scores": {"category": {"mug": 0.75, "lamp": 0.25}, "ok": {"yes": 1.0}},
        "fields": {"price": 3},
    }
    assert json.loads(functions.decide([], "")) == {"scores": {}, "fields": {}}


def test_numbers_of_numpy_are_numbers(written) -> None:
    """Models' users have many of them, and JSON knows none."""
    functions = written(
        "import numpy as np\n"
        "def decide(scores, fields): return {'a': np.float32(0.5), 'b': np.int64(3), 'c': 'é'}"
    )
    assert functions.decide(SCORES, "") == '{"a":0.5,"b":3,"c":"é"}'


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("def decide(s, f): return [1]", "decide: gave list, not a dict"),
        ("def decide(s, f): return None", "decide: gave NoneType, not a dict"),
        ("def decide(s, f): return {'a': float('nan')}", "decide: ValueError: Out of range float"),
        ("def decide(s, f): return {'a': float('inf')}", "decide: ValueError: Out of range float"),
        ("def decide(s, f): return {'a': {1, 2}}", "set is nothing that JSON can hold"),
        ("def decide(s, f): return {'a': '\\ud800'}", "decide: UnicodeEncodeError"),
        ("def decide(s, f): return {'a': 'x' * 10_000}", "10,008 bytes of JSON, allowed are 10"),
        ("def decide(s, f): f['a'] = f; return f", "decide: ValueError: Circular reference"),
        ("def decide(s, f): return f['price']", "KeyError: 'price' in decide, functions.py line 1"),
        ("def decide(s): return {}", "decide: TypeError"),
        ("def prepare_text(t): return t.encode()", "prepare_text: gave bytes, not a str"),
        ("def prepare_text(t): return t[100]", "prepare_text: IndexError: string index out of"),
        ("def prepare_image(i): return None", "prepare_image: gave NoneType, not a PIL image"),
        ("def prepare_image(i): return i.resize((0, 0))", "prepare_image: "),
    ],
)  # fmt: skip
def test_what_a_function_must_not_do_is_its_own_reason(written, source: str, detail: str) -> None:
    """The detail names the function, the error and the line of the file: that is what to fix."""
    functions = written(source)

    def call() -> None:
        functions.prepare_text("a mug")
        functions.prepare_image(SQUARE)
        functions.decide(SCORES, "{}")

    rejected = rejection(call)
    assert rejected.reason == Reason.FUNCTION_FAILED
    assert detail in rejected.detail


def test_the_line_is_the_files_own(written) -> None:
    """Where a library raises, what called it is what can be changed; helpers count as the file."""
    functions = written(
        "import json\ndef helper(t):\n    return json.loads(t)\nprepare_text = helper"
    )
    assert (
        "in helper, functions.py line 3"
        in rejection(lambda: functions.prepare_text("no JSON")).detail
    )


def test_an_errors_text_is_cut_short_and_may_be_missing(written) -> None:
    """A row is no place for a page; an error class of the team's may fail to say anything."""
    long = written("def prepare_text(t): raise ValueError('x' * 5_000)")
    assert "x" * 200 in rejection(lambda: long.prepare_text("a")).detail
    assert "x" * 201 not in rejection(lambda: long.prepare_text("a")).detail
    mute = written(
        "class Mute(Exception):\n    def __str__(self): return 1 / 0\n"
        "def prepare_text(t): raise Mute"
    )
    assert rejection(lambda: mute.prepare_text("a")).detail.startswith("prepare_text: Mute: ZeroD")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere_to_be_found", "functions.py cannot be imported: ModuleNotFoundError"),
        ("def decide(scores, fields)", "cannot be imported: SyntaxError: expected ':'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def prepare_texts(text): return text", "has none of the functions prepare_text, prep"),
        ("decide = 3", "decide is not a function"),
    ],
)  # fmt: skip
def test_a_file_that_is_of_no_use_says_why(written, source: str, said: str) -> None:
    """Before anything is trained, or at a release's load."""
    with pytest.raises(FunctionsRefused) as refused:
        written(source)
    assert said in str(refused.value)


def test_nothing_is_read_or_left_beside_the_file(written, tmp_path: Path) -> None:
    """A compiled copy in a release's folder would have no digest, and could be another's."""
    functions = written("def prepare_text(text): return 'first'")
    assert functions.prepare_text("a") == "first"
    cache = Path(importlib.util.cache_from_source(str(tmp_path / "functions.py")))
    cache.parent.mkdir()
    cache.write_bytes(b"whatever")
    assert written("def prepare_text(text): return 'other'").prepare_text("a") == "other"
    assert functions.prepare_text("a") == "first"  # of two releases each has its own
    assert cache.read_bytes() == b"whatever"


def test_a_file_without_a_digest_is_not_the_releases(tmp_path: Path) -> None:
    """What lies in a release's folder and not in its manifest is nobody's code."""
    (tmp_path / "functions.py").write_text("1 / 0")
    manifest = Manifest("a", "a", "", 8, {}, (), {}, {})
    assert functions_of(manifest, tmp_path) is NO_FUNCTIONS


def test_decisions_have_a_limit_that_a_row_can_take(written) -> None:
    """Exactly so many bytes pass."""
    functions = written(f"def decide(s, f): return {{'a': 'x' * {MAX_DECISIONS_BYTES - 8}}}")
    assert len(functions.decide(SCORES, "")) == MAX_DECISIONS_BYTES


def test_a_function_that_fails_in_training_names_the_item(written) -> None:
    """Nothing is saved; in service the item would be a dead letter."""
    functions = written("def prepare_text(text): raise LookupError('no such word')")
    with pytest.raises(FunctionFailed) as failed:
        rehearsed("a1", functions.prepare_text, "a mug")
    said = str(failed.value)
    assert said.startswith("--functions: item 'a1' of the manifest: prepare_text: LookupError: no")
    assert failed.value.exit_code == 1


def test_pillow_can_be_written_to(written) -> None:
    """Drawing into the picture works: it is a copy, not the decoder's memory."""
    functions = written(
        "from PIL import ImageDraw\n"
        "def prepare_image(image):\n"
        "    ImageDraw.Draw(image).rectangle((0, 0, 7, 7), 'white')\n"
        "    return image\n"
    )
    assert (functions.prepare_image(SQUARE) == 255).all()
