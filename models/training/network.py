"""How the encoder and the deep part of the scorers are trained.

First all of it is trained at once; then the scorers alone, on the embeddings that
will be served, which costs little and is what questions about both sides need. With
a frozen encoder that is all there is to train. Each step scores every item three
times, with both inputs and with either alone, so that a missing input is nothing new
in service. One more loss has the embedding predict the words of the text: it learns
what people mention, which the labels alone teach far more slowly.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from models.manifest import Kind
from models.training.architecture import DEEP_INPUTS, EMBEDDING, Network
from models.training.heads import Head, known, targets

SHIFT_PX = 4
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
WORDS_WEIGHT = 1.0
SCORER_EPOCHS = 6  # of the scorers alone, for each epoch of the whole
# The inputs that are shown, image and text, and how much that view counts.
VIEWS = ((1, 1, 1.0), (1, 0, 0.25), (0, 1, 0.25))
MAX_PREDICTED_WORDS = 1_000  # the most frequent ones
KNOWN = ".known"  # after a scorer's name: 1 for the items that have an answer for it, else 0

_Arrays = Mapping[str, tf.Tensor]


def fit_network(
    network: Network,
    heads: Mapping[str, Head],
    arrays: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    rows: np.ndarray,
    *,
    epochs: int,
    seed: int,
    report: Callable[[str], None],
) -> np.ndarray:
    """Train in place on `rows`: all of it for `epochs`, then the scorers alone for longer.

    `arrays`: token_ids, has_image, has_text, and image (n, size_px, size_px, 3), or
    embedding (n, numbers) where the encoder is frozen; `answers`, as
    models.training.heads has them, for each of `heads`; an item without one teaches the other
    scorers. Returns the embeddings of all n, as they are served. Reports losses and times.
    """

    def loss_of_all(arrays: _Arrays, answers: _Arrays) -> tf.Tensor:
        embedding = arrays.get("embedding")
        if network.encoder:
            pixels = {"image": _shifted(arrays["image"])}
            embedding = network.encoder(pixels, training=True) * arrays["has_image"]
        words = WORDS_WEIGHT * _words_loss(network, embedding, arrays)
        return words + _scorers_loss(network, heads, embedding, arrays, answers)

    def loss_of_scorers(arrays: _Arrays, answers: _Arrays) -> tf.Tensor:
        return _scorers_loss(network, heads, arrays["embedding"], arrays, answers)

    learnt = {name: targets(head, answers[name]) for name, head in heads.items()}
    learnt |= {f"{name}{KNOWN}": known(answers[name]).astype(np.float32) for name in heads}
    parts = [network.word_table, network.meaning, *network.logits.values()]
    shuffle = np.random.default_rng(seed)
    fit = partial(_fit, answers=learnt, rows=rows, shuffle=shuffle, report=report)
    longer = epochs * SCORER_EPOCHS
    read = {name: arrays[name] for name in DEEP_INPUTS if name in arrays}
    if not network.encoder:
        fit(loss_of_all, parts, read, epochs=longer)
        return arrays["embedding"]
    fit(loss_of_all, [network.encoder, *parts], read | {"image": arrays["image"]}, epochs=epochs)
    served = run_model(network.encoder, {"image": arrays["image"]})
    embedding = served.astype(EMBEDDING.dtype).astype(np.float32) * arrays["has_image"]
    fit(loss_of_scorers, parts, read | {"embedding": embedding}, epochs=longer)
    return embedding


def run_model(model: Callable[..., tf.Tensor], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a model gives for n >= 1 rows, BATCH of them at a time."""

    def run(arrays: _Arrays) -> tf.Tensor:
        return model(arrays, training=False)

    compiled = tf.function(run, autograph=False, input_signature=(_shapes(arrays),))
    count = len(next(iter(arrays.values())))
    parts = [
        compiled({name: array[start : start + BATCH] for name, array in arrays.items()}).numpy()
        for start in range(0, count, BATCH)
    ]
    return np.concatenate(parts)


def _shapes(columns: Mapping[str, np.ndarray]) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec((None, *a.shape[1:]), a.dtype) for name, a in columns.items()}


def _fit(
    loss_of: Callable[[_Arrays, _Arrays], tf.Tensor],
    parts: Sequence[keras.Layer],
    arrays: Mapping[str, np.ndarray],
    *,
    epochs: int,
    answers: Mapping[str, np.ndarray],
    rows: np.ndarray,
    shuffle: np.random.Generator,
    report: Callable[[str], None],
) -> None:
    """Bring `loss_of` of `rows` down by changing the weights of `parts`, which may share some."""
    weights = list({id(one): one for part in parts for one in part.trainable_variables}.values())
    batches = -(-len(rows) // BATCH)
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

    # Batches differ by an item; each size of its own would be traced anew, for ten seconds.
    compiled = tf.function(
        step, autograph=False, input_signature=(_shapes(arrays), _shapes(answers))
    )
    every = max(1, epochs // 8)
    start_s = time.monotonic()
    for epoch in range(1, epochs + 1):
        losses = [
            compiled(
                {name: array[some] for name, array in arrays.items()},
                {name: column[some] for name, column in answers.items()},
            ).numpy()
            for some in np.array_split(shuffle.permutation(rows), batches)
        ]
        if epoch % every == 0 or epoch == epochs:
            report(
                f"epoch {epoch} of {epochs}: loss {np.mean(losses):.3f}, "
                f"{time.monotonic() - start_s:.1f} s"
            )


def _scorers_loss(
    network: Network,
    heads: Mapping[str, Head],
    embedding: tf.Tensor,
    arrays: _Arrays,
    answers: _Arrays,
) -> tf.Tensor:
    """The loss of every scorer, with both inputs and with either alone.

    Every answer counts the same: a scorer that few items have one for weighs less.
    """
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
        logits = model(views, training=True)
        losses = LOSSES[heads[name].kind](_tiled(answers[name]), logits)
        there = _tiled(answers[f"{name}{KNOWN}"])
        loss += tf.reduce_sum(weight * there * losses) / tf.cast(count, tf.float32)
    return loss


def _tiled(array: tf.Tensor) -> tf.Tensor:
    return tf.tile(array, (len(VIEWS), *[1] * (len(array.shape) - 1)))


def _labels_loss(answers: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(answers, logits)
    return tf.reduce_sum(losses, axis=1)


def _number_loss(answers: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Huber's: squared up to one standard deviation, so that no outlier rules a batch."""
    off = tf.abs(answers - logits[:, 0])
    return tf.where(off <= 1, off**2 / 2, off - 0.5)


LOSSES = {
    Kind.CLASSIFICATION: tf.nn.sparse_softmax_cross_entropy_with_logits,
    Kind.MULTILABEL: _labels_loss,
    Kind.REGRESSION: _number_loss,
}


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
