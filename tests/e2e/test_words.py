"""Words of every script, from the manifest to the scores: trained as they are served."""

import json
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer

from models.features import FeatureSpec, unpack_features
from models.saved_model import SIGNATURE
from models.text_transform import TEXT_INPUT, TextTransform
from models.training.text_analysis import (
    MAX_TERMS_A_TEXT,
    MAX_TOKENS,
    analyse_texts,
    token_numbers,
)
from models.training.train import train

# Spelt by their code points where an editor might compose or lose them.
HINDI = ("\u0915\u0947\u0932\u093e", "\u0915\u093f\u0932\u093e", "\u0915\u094b\u0932\u093e")
OPENINGS = ("बिक्री के लिए", "लगभग नया", "बहुत सुंदर", "पुराना पर अच्छा", "घर के लिए")
MARKED = (
    *HINDI,
    "\u0e19\u0e49\u0e33",  # Thai
    "\u0baa\u0bbe\u0bb2\u0bcd",  # Tamil
    "\u0995\u09be\u09b2\u09cb",  # Bengali
    "\u0643\u064e\u062a\u064e\u0628\u064e",  # Arabic with its vowels
    "o\u0323\u0300po\u0323\u0300",  # Yoruba
    "\u0130stanbul",  # whose small letter is an i and a mark
    "\u0645\u06cc\u200c\u0631\u0648\u0645",  # Persian, with a non-joiner inside
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala, with a joiner after a mark
    "\u09b0\u200d\u09cd\u09af\u09be\u09ac",  # Bengali, with a joiner before one
    "Donau\u00addampf",
    "\u845b\U000e0100\u98fe",  # a variant of a Chinese character
)


def transform(folder: Path, texts: Sequence[str]) -> TextTransform:
    """What training on `texts`, each there twice, would serve."""
    return TextTransform(folder, analyse_texts([*texts, *texts], folder).features)


def numbers(transform: TextTransform, text: str) -> list[int]:
    """The token of each word of a text."""
    (row,) = unpack_features(transform.features, transform([text]))["token_ids"]
    return [int(one) for one in row if one]


def weights(transform: TextTransform, text: str) -> dict[int, float]:
    """The weight of each term of a text."""
    arrays = unpack_features(transform.features, transform([text]))
    pairs = zip(arrays["term_ids"][0], arrays["term_weights"][0], strict=True)
    return {int(term): float(weight) for term, weight in pairs if term}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> TextTransform:
    return transform(tmp_path_factory.mktemp("transform"), [*MARKED, "mug", "1"])


def test_a_word_keeps_its_marks_and_joiners(marked: TextTransform) -> None:
    """Words of every script are one token each, no two of them the same, and none unknown."""
    found = {word: numbers(marked, f"mug, {word}!") for word in MARKED}
    assert {word: len(one) for word, one in found.items()} == dict.fromkeys(MARKED, 2)
    unknown = numbers(marked, "neverseen")[0]
    assert len({one[1] for one in found.values()} | {unknown}) == len(MARKED) + 1


@pytest.mark.parametrize(
    "text",
    [
        "\u2764\ufe0f mug",
        "mug\u200d\u2764\ufe0f",
        "\U0001f469\u200d\U0001f4bb mug\u200d",
        "\u0301 mug \u20e3",
        "\u200fmug\u200f",
        "\ufeffm\u00adug",
        "mug \U0001f3f4\U000e0067\U000e0062\U000e007f",
    ],
)
def test_what_belongs_to_no_letter_is_no_word(marked: TextTransform, text: str) -> None:
    """Emoji with their selectors and joiners, stray marks and marks of direction are cut off."""
    assert numbers(marked, text) == numbers(marked, "mug")


def test_a_digit_on_a_key_is_the_digit(marked: TextTransform) -> None:
    """The enclosing mark of a keycap emoji belongs to no language's word."""
    assert numbers(marked, "1\ufe0f\u20e3mug") == numbers(marked, "1 mug")


@pytest.mark.parametrize("spell", [str.upper, lambda text: unicodedata.normalize("NFD", text)])
def test_words_are_learnt_as_they_are_served(tmp_path: Path, spell: object) -> None:
    """Capitals and decomposed letters in training texts: the vocabulary is of what is served."""
    words = ("vi\u1ec7t", "\u0958\u0932\u092e", "mug")
    served = transform(tmp_path, [spell(word) for word in words])  # type: ignore[operator]
    unknown = numbers(served, "neverseen")
    assert unknown not in [numbers(served, word) for word in words]


def test_a_release_cuts_words_as_it_was_trained(tmp_path: Path) -> None:
    """How texts are cut is in the release: one of before, which cut at marks, still does."""
    module = tf.Module()

    def cut_at_marks(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(tf.strings.regex_replace(text, r"[^\p{L}\p{N}]+", " "))
        ids = tf.strings.to_hash_bucket_fast(words, 1_000) + 1
        return {"token_ids": tf.cast(ids.to_tensor(default_value=0, shape=(None, 4)), tf.int32)}

    signature = [tf.TensorSpec((None,), tf.string, name=TEXT_INPUT)]
    module.cut = tf.function(cut_at_marks, input_signature=signature, autograph=False)
    tf.saved_model.save(module, str(tmp_path), signatures={SIGNATURE: module.cut})
    specs = (FeatureSpec("token_ids", "int32", (4,)),)
    rows = unpack_features(specs, TextTransform(tmp_path, specs)(HINDI))["token_ids"]
    assert np.count_nonzero(rows, axis=1).tolist() == [2, 2, 2]
    assert len(np.unique(rows, axis=0)) == 1


SALES = [f"{size} {colour} mug no {n % 7}" for n, (size, colour) in enumerate(
    [(size, colour) for size in ("small", "large") for colour in ("red", "blue", "green")] * 4
)]  # fmt: skip


def test_terms_are_weighted_as_scikit_learn_does(tmp_path: Path) -> None:
    """Words and pairs of words by tf-idf with sublinear counts, each text of norm 1."""
    texts = [*SALES, "red mug mug red lamp"]
    served = transform_of(texts, tmp_path)
    theirs = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, tokenizer=str.split, token_pattern=None
    ).fit(texts)
    for text in (texts[0], texts[-1]):
        expected = sorted(theirs.transform([text]).data, reverse=True)
        assert list(weights(served, text).values()) == pytest.approx(expected, abs=2e-3)


def test_words_alone_have_tokens() -> None:
    """Pairs and beginnings are terms; what has no token shares the number after the last."""
    assert token_numbers([b"mug", b"red mug", b"teapo*", b"red"]).tolist() == [1, 3, 3, 2, 3]


def transform_of(texts: Sequence[str], folder: Path) -> TextTransform:
    return TextTransform(folder, analyse_texts(texts, folder).features)


def test_a_whole_description_counts(tmp_path: Path) -> None:
    """Not its first words alone; of a very long one the heaviest terms, in 2 KB with all else."""
    opening = "one of many things that we found at home and do not need any more " * 4
    texts = [f"{opening} {word}" for word in ("teapot", "lantern") * 8]
    served = transform_of(texts, tmp_path)
    teapot, lantern = (weights(served, text) for text in texts[:2])
    assert len(opening.split()) > MAX_TOKENS
    assert numbers(served, texts[0]) == numbers(served, texts[1])
    assert len(set(teapot) - set(lantern)) == len(set(lantern) - set(teapot)) >= 2
    assert sum(spec.size_bytes for spec in served.features) <= 2_048 - 512
    assert served.features[1].shape[0] <= MAX_TERMS_A_TEXT


@pytest.mark.parametrize(
    ("texts", "alike", "other"),
    [
        (("\u7ea2\u8272\u624b\u673a\u58f3", "\u84dd\u8272\u624b\u673a\u58f3"),
         "\u5356\u624b\u673a\u58f3", "\u82f9\u679c"),
        (("\u0e02\u0e32\u0e22\u0e19\u0e49\u0e33", "\u0e19\u0e49\u0e33\u0e14\u0e37\u0e48\u0e21"),
         "\u0e0b\u0e37\u0e49\u0e2d\u0e19\u0e49\u0e33", "\u0e1c\u0e25"),
        (("running shoes", "runner of shoes"), "runners", "boots"),
    ],
)  # fmt: skip
def test_parts_of_words_are_known(
    tmp_path: Path, texts: tuple[str, ...], alike: str, other: str
) -> None:
    """Characters of scripts without spaces, and beginnings of long words."""
    served = transform_of([*texts, *texts], tmp_path)
    assert weights(served, alike)
    assert not weights(served, other)


def test_hindi_is_learnt_as_english_is(tmp_path: Path) -> None:
    """Three words that differ in their vowel signs alone tell three labels apart."""
    chance = random.Random(1)
    lines = [
        {
            "item_id": f"h{number:04d}",
            "text": f"{chance.choice(OPENINGS)} {HINDI[number % 3]} {chance.randrange(9)}",
            "labels": {"thing": ("banana", "fort", "cola")[number % 3]},
        }
        for number in range(240)
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    made = train(manifest, str(tmp_path / "releases"), size_px=32, epochs=4, report=lambda _: None)
    assert made.evaluation["accuracy"]["thing"]["text_only"] > 0.95
