"""The Keras models of a release, and how they are trained, all at once.

A small convolutional image encoder feeds one scorer for each label name. First
all of it is trained at once; then the scorers alone, on the embeddings that will
be served, which costs little and is what questions about both sides need. Each
step scores every item three times, with both inputs and with either alone, so
that a missing input is nothing new in service. One more loss has the embedding
predict the words of the text: it learns what people mention, which the labels
alone teach far more slowly.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from models.failures import Stage
from models.features import FeatureSpec
from models.manifest import presence_of
from models.training.text_analysis import TEXT_FEATURES

EMBEDDING = FeatureSpec("embedding", "float16", (128,))
SCORER_INPUTS = (
    FeatureSpec("embedding", "float32", EMBEDDING.shape),
    *TEXT_FEATURES,
    *map(presence_of, (Stage.IMAGE, Stage.TEXT)),
)
# Filters and stride of each 3x3 convolution: 30 million multiplications at 96 px.
CONVOLUTIONS = ((16, 2), (32, 2), (64, 2), (96, 1), (128, 1))
WORD_NUMBERS = 64  # numbers a word is embedded in
HIDDEN = 64
SHIFT_PX = 4
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
DROPOUT = 0.2
WORDS_WEIGHT = 1.0
SCORER_EPOCHS = 3  # of the scorers alone, for each epoch of the whole
# The inputs that are shown, image and text, and how much that view counts.
VIEWS = ((1, 1, 1.0), (1, 0, 0.25), (0, 1, 0.25))
MAX_PREDICTED_WORDS = 1_000  # the most frequent ones

_Arrays = Mapping[str, tf.Tensor]


class Network(NamedTuple):
    """`encoder`: {"image"} to embedding; `scorers`: SCORER_INPUTS to probabilities.

    `logits` are the scorers before the softmax, with the same weights. All share
    `word_table`, and `meaning`, which takes an embedding to where the table has
    the words for it.
    """

    encoder: keras.Model
    scorers: Mapping[str, keras.Model]
    logits: Mapping[str, keras.Model]
    word_table: layers.Embedding
    meaning: layers.Dense


def build_network(
    labels: Mapping[str, tuple[str, ...]], *, size_px: int, vocabulary: int
) -> Network:
    """A network with fresh weights; `vocabulary` is how many numbers token_ids take."""
    start = keras.initializers.RandomNormal(stddev=0.3)
    word_table = layers.Embedding(vocabulary, WORD_NUMBERS, start, name="word_table")
    meaning = layers.Dense(WORD_NUMBERS, name="meaning")
    logits, scorers = {}, {}
    for name, values in labels.items():
        inputs = {
            one.name: keras.Input(one.shape, dtype=one.dtype, name=one.name)
            for one in SCORER_INPUTS
        }
        answer = layers.Dense(len(values))(_merge(inputs, word_table, meaning))
        logits[name] = keras.Model(inputs, answer)
        scorers[name] = keras.Model(inputs, layers.Softmax()(answer))
    return Network(_encoder(size_px), scorers, logits, word_table, meaning)


def _encoder(size_px: int) -> keras.Model:
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    pixels = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters, stride in CONVOLUTIONS:
        pixels = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(pixels)
        pixels = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(pixels))
    pooled = layers.GlobalAveragePooling2D()(pixels)
    return keras.Model({"image": image}, layers.Dense(*EMBEDDING.shape)(pooled))


def _merge(
    inputs: Mapping[str, keras.KerasTensor], word_table: layers.Layer, meaning: layers.Layer
) -> keras.KerasTensor:
    """What a scorer knows of an item: either side, and how each word fits the picture."""
    real = ops.cast(ops.expand_dims(ops.not_equal(inputs["token_ids"], 0), -1), "float32")
    words = word_table(inputs["token_ids"])
    pictured = meaning(inputs["embedding"]) * inputs["has_image"]
    fits = layers.Dense(HIDDEN, activation="relu")(words * ops.expand_dims(pictured, 1))
    image = layers.Dense(HIDDEN, activation="relu")(inputs["embedding"]) * inputs["has_image"]
    text = layers.Dense(HIDDEN, activation="relu")(words)
    merged = ops.concatenate(
        [
            image,
            ops.max(text * real, axis=1),
            ops.max(fits * real, axis=1),
            inputs["has_image"],
            inputs["has_text"],
        ],
        axis=-1,
    )
    return layers.Dense(HIDDEN, activation="relu")(layers.Dropout(DROPOUT)(merged))


def fit_network(
    network: Network,
    arrays: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    *,
    epochs: int,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Train in place: all of it for `epochs`, then the scorers alone for longer.

    `arrays`: image (n, size_px, size_px, 3), token_ids, has_image, has_text;
    `answers`: int32 (n,) for each scorer. Reports mean losses and times.
    """

    def loss_of_all(arrays: _Arrays, answers: _Arrays) -> tf.Tensor:
        pixels = {"image": _shifted(arrays["image"])}
        embedding = network.encoder(pixels, training=True) * arrays["has_image"]
        words = WORDS_WEIGHT * _words_loss(network, embedding, arrays)
        return words + _scorers_loss(network, embedding, arrays, answers)

    def loss_of_scorers(arrays: _Arrays, answers: _Arrays) -> tf.Tensor:
        return _scorers_loss(network, arrays["embedding"], arrays, answers)

    heads = [network.word_table, network.meaning, *network.logits.values()]
    fit = partial(_fit, answers=answers, shuffle=np.random.default_rng(seed), report=report)
    fit(loss_of_all, [network.encoder, *heads], arrays, epochs=epochs)
    served = network.encoder.predict({"image": arrays["image"]}, verbose=0)
    embedding = served.astype(EMBEDDING.dtype).astype(np.float32) * arrays["has_image"]
    rest = {name: array for name, array in arrays.items() if name != "image"}
    fit(loss_of_scorers, heads, rest | {"embedding": embedding}, epochs=epochs * SCORER_EPOCHS)


def _fit(
    loss_of: Callable[[_Arrays, _Arrays], tf.Tensor],
    parts: Sequence[keras.Layer],
    arrays: Mapping[str, np.ndarray],
    *,
    epochs: int,
    answers: Mapping[str, np.ndarray],
    shuffle: np.random.Generator,
    report: Callable[[str], None],
) -> None:
    """Bring `loss_of` down by changing the weights of `parts`, which may share some."""
    weights = list({id(one): one for part in parts for one in part.trainable_variables}.values())
    count = len(arrays["token_ids"])
    batches = -(-count // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * batches, warmup_target=LEARNING_RATE, warmup_steps=batches // 2
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, global_clipnorm=1.0)
    optimizer.build(weights)

    def step(arrays: _Arrays, answers: _Arrays) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(arrays, answers)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def shapes(columns: Mapping[str, np.ndarray]) -> dict[str, tf.TensorSpec]:
        return {name: tf.TensorSpec((None, *a.shape[1:]), a.dtype) for name, a in columns.items()}

    # Batches differ by an item; each size of its own would be traced anew, for ten seconds.
    compiled = tf.function(step, input_signature=(shapes(arrays), shapes(answers)))
    every = max(1, epochs // 8)
    start_s = time.monotonic()
    for epoch in range(1, epochs + 1):
        losses = [
            compiled(
                {name: array[rows] for name, array in arrays.items()},
                {name: column[rows] for name, column in answers.items()},
            ).numpy()
            for rows in np.array_split(shuffle.permutation(count), batches)
        ]
        if epoch % every == 0 or epoch == epochs:
            report(
                f"epoch {epoch} of {epochs}: loss {np.mean(losses):.3f}, "
                f"{time.monotonic() - start_s:.1f} s"
            )


def _scorers_loss(
    network: Network, embedding: tf.Tensor, arrays: _Arrays, answers: _Arrays
) -> tf.Tensor:
    """Cross-entropy of every scorer, with both inputs and with either alone."""
    # All views in one batch: a call for each would be traced for each, seconds of every training.
    count = tf.shape(embedding)[0]
    image, text, weight = (
        tf.repeat(tf.constant(column, tf.float32), count) for column in zip(*VIEWS, strict=True)
    )

    def seen(array: tf.Tensor, shown: tf.Tensor) -> tf.Tensor:
        return tf.tile(array, (len(VIEWS), 1)) * tf.cast(shown[:, tf.newaxis], array.dtype)

    views = {
        "embedding": seen(embedding, image),
        "token_ids": seen(arrays["token_ids"], text),
        "has_image": seen(arrays["has_image"], image),
        "has_text": seen(arrays["has_text"], text),
    }
    loss = 0.0
    for name, model in network.logits.items():
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.tile(answers[name], (len(VIEWS),)), model(views, training=True)
        )
        loss += tf.reduce_sum(weight * losses) / tf.cast(count, tf.float32)
    return loss


def _words_loss(network: Network, embedding: tf.Tensor, arrays: _Arrays) -> tf.Tensor:
    """Cross-entropy of the words that the picture suggests against those of the text."""
    table = network.word_table.embeddings[1:MAX_PREDICTED_WORDS]  # 0 is no word
    logits = tf.matmul(network.meaning(embedding), table, transpose_b=True)
    words = tf.reduce_max(tf.one_hot(arrays["token_ids"] - 1, logits.shape[-1]), axis=1)
    share = words / tf.maximum(tf.reduce_sum(words, axis=1, keepdims=True), 1.0)
    losses = tf.nn.softmax_cross_entropy_with_logits(share, logits)
    return tf.reduce_mean(losses * arrays["has_image"][:, 0])


def _shifted(images: tf.Tensor) -> tf.Tensor:
    """A batch moved by up to SHIFT_PX either way, edges repeated."""
    size_px = images.shape[1]
    around = [[0, 0], [SHIFT_PX, SHIFT_PX], [SHIFT_PX, SHIFT_PX], [0, 0]]
    padded = tf.pad(images, around, "SYMMETRIC")
    top, left = tf.unstack(tf.random.uniform((2,), 0, 2 * SHIFT_PX + 1, tf.int32))
    return padded[:, top : top + size_px, left : left + size_px, :]
