"""A whole text as weighted terms: words, pairs of words, beginnings of words, characters.

Functions of TensorFlow on normalised texts, part of the graph that a release carries:
other rules here change no release that was trained before. Terms are weighted as
scikit-learn's TfidfVectorizer does with `sublinear_tf`.
"""

import numpy as np
import tensorflow as tf

MAX_CHARS_READ = 100_000  # of a text; normalised, some characters become eighteen
MAX_WORDS_READ = 1_000  # of a text, and as many characters of scripts without spaces
PREFIX_CHARS = 5  # a longer word counts by its beginning too, whatever its ending is
# Shown as nothing, and no letter: soft hyphens, marks of direction, variation selectors, tags.
INVISIBLE = (
    r"[\x{AD}\x{34F}\x{61C}\x{180B}-\x{180F}\x{200E}\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{FE00}-\x{FE0F}\x{FEFF}\x{E0000}-\x{E0FFF}]"
)
# A letter or digit, and whatever belongs to it or follows it: more of them, the marks
# that most scripts write vowels with, and joiners (U+200C, U+200D) between two of these.
# Marks that enclose, as those of keycaps, belong to no word.
WORD = r"[\p{L}\p{N}](?:[\x{200C}\x{200D}]*[\p{L}\p{N}\p{Mn}\p{Mc}])*"
WORD_AND_WHAT_IS_BEFORE = rf"[^\p{{L}}\p{{N}}]*({WORD})?"
# The scripts that are written without spaces; U+30FC lengthens a vowel of Japanese.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\x{30FC}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
LETTER_AND_WHAT_IS_BEFORE = rf"[^{UNSPACED}]*([{UNSPACED}][\p{{Mn}}\p{{Mc}}]*)?"


def visible(texts: tf.Tensor) -> tf.Tensor:
    """The texts (n,) without what nobody sees, and not longer than any message's."""
    texts = tf.strings.substr(texts, 0, MAX_CHARS_READ, unit="UTF8_CHAR")
    return tf.strings.regex_replace(texts, INVISIBLE, "")


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """The words of each of the visible texts (n,), in time linear in their length."""
    return tf.strings.split(tf.strings.regex_replace(texts, WORD_AND_WHAT_IS_BEFORE, r"\1 "))


def split_terms(texts: tf.Tensor, words: tf.RaggedTensor) -> tf.RaggedTensor:
    """All terms of the visible texts, (n, None), as often as they are there.

    A word; "two words"; "prefi*"; and of scripts without spaces each letter with its
    marks, and every two and three neighbours.
    """
    words = words[:, :MAX_WORDS_READ]
    long = tf.ragged.boolean_mask(words, tf.strings.length(words, "UTF8_CHAR") > PREFIX_CHARS)
    beginnings = tf.strings.substr(long, 0, PREFIX_CHARS, unit="UTF8_CHAR") + "*"
    spaced = tf.strings.regex_replace(texts, LETTER_AND_WHAT_IS_BEFORE, r"\1 ")
    letters = tf.strings.split(spaced)[:, :MAX_WORDS_READ]
    neighbours = [tf.strings.ngrams(letters, length, separator="") for length in (2, 3)]
    pairs = tf.strings.ngrams(words, 2, separator=" ")
    return tf.concat([words, pairs, beginnings, letters, *neighbours], axis=1)


def is_word(term: bytes) -> bool:
    """Whether a term is no pair of words and no beginning of one."""
    return b" " not in term and not term.endswith(b"*")


def weigh_terms(
    ids: tf.RaggedTensor, rarity: tf.Tensor, *, heaviest: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The `heaviest` terms of each text by tf-idf, heaviest first.

    `ids` (n, None) count from 0; those below 0 are not known and left out. Returns ids
    that count from 1, 0 for none, and float32 weights of norm 1 together, both
    (n, heaviest).
    """
    rows, terms, counts = count_terms(ids, len(rarity))
    weights = (1 + tf.math.log(tf.cast(counts, tf.float32))) * tf.gather(rarity, terms)

    def table(values: tf.Tensor) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_value_rowids(values, rows, nrows=ids.nrows())
        dense = ragged.to_tensor(0)
        return tf.pad(dense, [[0, 0], [0, tf.maximum(0, heaviest - tf.shape(dense)[1])]])

    top, places = tf.math.top_k(table(weights), k=heaviest)
    kept = tf.gather(table(terms + 1), places, batch_dims=1)
    return kept, tf.math.l2_normalize(top, axis=1)


def count_terms(ids: tf.RaggedTensor, max_ids: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Row, term, and count of every different known term of each text, in the rows' order."""
    known = ids.flat_values >= 0
    rows = tf.boolean_mask(ids.value_rowids(), known)
    terms = tf.boolean_mask(ids.flat_values, known)
    pairs, _, counts = tf.unique_with_counts(rows * max_ids + terms)
    return pairs // max_ids, pairs % max_ids, counts


def rarity_of(texts_with: np.ndarray, texts: int) -> np.ndarray:
    """The weight of a term that stands once in a text, from how many of `texts` have it."""
    return (1 + np.log((1 + texts) / (1 + texts_with))).astype(np.float32)
