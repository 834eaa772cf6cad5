"""The tensorflow-transform graph of the texts, and its analysis on training texts.

Texts come in normalised (`models.text_transform.normalised`); `token_ids` go out:
int32, one a word, in the order of the words, 0 where there is none. How a text is
cut into words is part of the graph, and so of the release: other rules here change
no release that was trained before.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from models.features import FeatureSpec
from models.saved_model import SIGNATURE
from models.text_transform import TEXT_INPUT, normalised

MAX_TOKENS = 32
MAX_WORDS = 5_000
MIN_TEXTS_A_WORD = 2
TEXT_FEATURES = (FeatureSpec("token_ids", "int32", (MAX_TOKENS,)),)
VOCABULARY = "words"
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


def preprocessing_fn(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Normalised texts (n,) to `token_ids` (n, MAX_TOKENS), int64 as TFT wants it.

    The most frequent words have numbers from 1 on, all others share one.
    """
    words = split_words(inputs[TEXT_INPUT])
    ids = tft.compute_and_apply_vocabulary(
        words[:, :MAX_TOKENS],
        top_k=MAX_WORDS,
        frequency_threshold=MIN_TEXTS_A_WORD,
        num_oov_buckets=1,
        vocab_filename=VOCABULARY,
    )
    return {"token_ids": (ids + 1).to_tensor(default_value=0, shape=(None, MAX_TOKENS))}


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """The words of each of the normalised texts (n,), in time linear in their length."""
    visible = tf.strings.regex_replace(texts, INVISIBLE, "")
    return tf.strings.split(tf.strings.regex_replace(visible, WORD_AND_WHAT_IS_BEFORE, r"\1 "))


def analyse_texts(texts: Sequence[str], folder: Path) -> int:
    """Analyse `texts` as they will be served, and save the finished transform in `folder`.

    They are normalised here. The SavedModel has one signature, string `text` (n,)
    to TEXT_FEATURES, and loads without tensorflow-transform. Returns how many
    numbers `token_ids` can take. Runs Beam in this process, whatever runner is the
    default.
    """
    metadata = dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec({TEXT_INPUT: tf.io.FixedLenFeature([], tf.string)})
    )
    rows = [{TEXT_INPUT: text} for text in normalised(texts)]
    with tempfile.TemporaryDirectory() as scratch:
        with (
            beam.Pipeline(runner=FnApiRunner()) as pipeline,
            tft_beam.Context(temp_dir=f"{scratch}/temporary"),
        ):
            dataset = (pipeline | "Texts" >> beam.Create(rows), metadata)
            analysed = dataset | "Analyse" >> tft_beam.AnalyzeDataset(preprocessing_fn)
            _ = analysed | "Write" >> tft_beam.WriteTransformFn(f"{scratch}/analysed")
        output = tft.TFTransformOutput(f"{scratch}/analysed")
        _save_servable(output, folder)
        return int(output.vocabulary_size_by_name(VOCABULARY)) + 2


def _save_servable(output: tft.TFTransformOutput, folder: Path) -> None:
    """Save the transform anew, with our own signature and dtypes."""
    module = tf.Module()
    module.layer = output.transform_features_layer()

    def transform(text: tf.Tensor) -> dict[str, tf.Tensor]:
        features = module.layer({TEXT_INPUT: text})
        return {
            spec.name: tf.ensure_shape(
                tf.cast(features[spec.name], spec.dtype), (None, *spec.shape)
            )
            for spec in TEXT_FEATURES
        }

    signature = [tf.TensorSpec((None,), tf.string, name=TEXT_INPUT)]
    module.transform = tf.function(transform, input_signature=signature)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.transform})
