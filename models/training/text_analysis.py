"""The tensorflow-transform graph of the texts, and its analysis on training texts.

Texts come in normalised (`models.text_transform.normalised`). Out go `token_ids`,
one for each of the first words, in their order, 0 where there is none; and
`term_ids` with `term_weights`, the whole text as tf-idf weights of its heaviest terms.
How a text is cut is part of the graph, and so of the release.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from models.features import FeatureSpec
from models.saved_model import SIGNATURE
from models.text_transform import TEXT_INPUT, normalised
from models.training.terms import (
    count_terms,
    is_word,
    rarity_of,
    split_terms,
    split_words,
    visible,
    weigh_terms,
)

MAX_TOKENS = 32
MAX_TERMS = 20_000  # int16 holds 32,767
MAX_WORDS = 5_000  # of the terms, the most frequent words, have a token of their own
MIN_TIMES = 2  # that a word or term is there in the training texts, or it is unknown
MAX_TERMS_A_TEXT = 192  # 768 bytes of the 2 KB that may cross to the join
TERMS_STEP = 16  # where no training text has as many, fewer cross
BATCH = 500
TERMS = "terms"
WORDS = "words"
TOKENS = FeatureSpec("token_ids", "int16", (MAX_TOKENS,))


class TextAnalysis(NamedTuple):
    """`features` of the transform; how many numbers `token_ids` and `term_ids` can take."""

    features: tuple[FeatureSpec, ...]
    vocabulary: int
    terms: int


def text_features(terms_a_text: int = MAX_TERMS_A_TEXT) -> tuple[FeatureSpec, ...]:
    return (
        TOKENS,
        FeatureSpec("term_ids", "int16", (terms_a_text,)),
        FeatureSpec("term_weights", "float16", (terms_a_text,)),
    )


def preprocessing_fn(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Normalised texts (n,) to the ids of all their terms, words first, and how many are words.

    The most frequent terms have numbers from 0 on, all others are -1.
    """
    texts = visible(inputs[TEXT_INPUT])
    words = split_words(texts)
    ids = tft.compute_and_apply_vocabulary(
        split_terms(texts, words),
        top_k=MAX_TERMS,
        frequency_threshold=MIN_TIMES,
        default_value=-1,
        vocab_filename=TERMS,
    )
    return {TERMS: ids, WORDS: words.row_lengths()}


def analyse_texts(texts: Sequence[str], folder: Path) -> TextAnalysis:
    """Analyse `texts` as they will be served, and save the finished transform in `folder`.

    They are normalised here. The SavedModel has one signature, string `text` (n,)
    to the features, and loads without tensorflow-transform. Runs Beam in this
    process, whatever runner is the default.
    """
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec({TEXT_INPUT: tf.io.FixedLenFeature([], tf.string)})
    )
    normal = normalised(texts)
    rows = [{TEXT_INPUT: text} for text in normal]
    with tempfile.TemporaryDirectory() as scratch:
        with (
            beam.Pipeline(runner=FnApiRunner()) as pipeline,
            tft_beam.Context(temp_dir=f"{scratch}/temporary"),
        ):
            dataset = (pipeline | "Texts" >> beam.Create(rows), metadata)
            analysed = dataset | "Analyse" >> tft_beam.AnalyzeDataset(preprocessing_fn)
            _ = analysed | "Write" >> tft_beam.WriteTransformFn(f"{scratch}/analysed")
        output = tft.TFTransformOutput(f"{scratch}/analysed")
        numbers = token_numbers(output.vocabulary_by_name(TERMS))
        features = _save_servable(output, folder, normal, numbers)
        return TextAnalysis(features, int(numbers.max()) + 1, len(numbers))


def _save_servable(
    output: tft.TFTransformOutput, folder: Path, texts: Sequence[bytes], numbers: np.ndarray
) -> tuple[FeatureSpec, ...]:
    """Save the transform anew, with the weights of terms, our own signature and dtypes."""
    module = tf.Module()
    module.layer = output.transform_features_layer()
    texts_with, most = _counted(module.layer, texts, len(numbers) - 1)
    rarity = tf.constant(rarity_of(texts_with, len(texts)))
    features = text_features(min(MAX_TERMS_A_TEXT, max(1, -(-most // TERMS_STEP)) * TERMS_STEP))
    heaviest = features[-1].shape[0]

    def transform(text: tf.Tensor) -> dict[str, tf.Tensor]:
        found = module.layer({TEXT_INPUT: text})
        ids, weights = weigh_terms(found[TERMS], rarity, heaviest=heaviest)
        tokens = _tokens(found[TERMS], found[WORDS], numbers)
        found = {TOKENS.name: tokens, "term_ids": ids, "term_weights": weights}
        return {
            spec.name: tf.ensure_shape(tf.cast(found[spec.name], spec.dtype), (None, *spec.shape))
            for spec in features
        }

    signature = [tf.TensorSpec((None,), tf.string, name=TEXT_INPUT)]
    module.transform = tf.function(transform, autograph=False, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.transform})
    return features


def token_numbers(terms: Sequence[bytes]) -> np.ndarray:
    """The token of each term, and of what is none: words from 1 on, and one more for all others."""
    words = [number for number, term in enumerate(terms) if is_word(term)][:MAX_WORDS]
    numbers = np.full(len(terms) + 1, len(words) + 1, np.int64)
    numbers[words] = np.arange(1, len(words) + 1)
    return numbers


def _tokens(ids: tf.RaggedTensor, words: tf.Tensor, numbers: np.ndarray) -> tf.Tensor:
    """The numbers of the first words, (n, MAX_TOKENS), 0 for none."""
    no_term = tf.constant(len(numbers) - 1, tf.int64)
    first = ids.to_tensor(-1, shape=(None, MAX_TOKENS))
    known = tf.gather(tf.constant(numbers), tf.where(first < 0, no_term, first))
    is_there = tf.range(MAX_TOKENS, dtype=tf.int64) < words[:, tf.newaxis]
    return tf.where(is_there, known, tf.zeros_like(first))


def _counted(layer: tf.Module, texts: Sequence[bytes], terms: int) -> tuple[np.ndarray, int]:
    """How many of `texts` have each term, and how many known ones a text has at most."""
    texts_with, most = np.zeros(terms, np.int64), 0
    count = tf.function(
        lambda text: count_terms(layer({TEXT_INPUT: text})[TERMS], terms)[:2],
        autograph=False,
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    for start in range(0, len(texts), BATCH):
        rows, found = (one.numpy() for one in count(tf.constant(texts[start : start + BATCH])))
        texts_with += np.bincount(found, minlength=terms)
        most = max(most, *np.bincount(rows, minlength=1))
    return texts_with, int(most)
