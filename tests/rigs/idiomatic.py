"""A pipeline as the public examples of Beam write it, on the same messages and weights.

Parse; decode the whole picture with Pillow and resize it to an array of float32; bring array and
text together by CoGroupByKey; RunInference with a model handler that runs TensorFlow in the worker;
Beam's own WriteToBigQuery. The encoder is a Keras model with the weights of the release's LiteRT
file, the text transform the release's SavedModel; the scorers run in TensorFlow's own LiteRT, as
they are. It acknowledges what it has read, as Dataflow does, keeps no payload, and one bad
message stops it.
"""

import base64
import io
import json
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery
from apache_beam.io.gcp.bigquery_tools import RetryStrategy
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.transforms.window import FixedWindows, GlobalWindows
from PIL import Image

from beam_pipeline.config import Config
from beam_pipeline.endpoints import Endpoints, Then
from models.features import FeatureSpec, normalise_text, pack_features
from models.kernels import scorer_inputs
from models.manifest import ENCODER, TEXT_TRANSFORM, Manifest
from models.release import fetch_release, read_manifest, read_pointer
from models.saved_model import load_signature
from rigs.batches import count_batch
from transforms.records import Message

WINDOW_S = 1
BATCH_SIZE = 16
Row = dict[str, Any]


def keras_encoder(path: str) -> Any:
    """The Keras model of a LiteRT encoder: what convolutions, a mean and a dense layer it has."""
    import keras
    from ai_edge_litert.interpreter import Interpreter

    file = Interpreter(path)
    file.allocate_tensors()
    shapes = {one["index"]: one["shape"] for one in file.get_tensor_details()}
    model = keras.Sequential([keras.layers.Rescaling(1 / 127.5, offset=-1.0)])
    weights = []
    for step in file._get_ops_details():
        source, *values = step["inputs"]
        if step["op_name"] == "CONV_2D":
            filters, bias = (file.get_tensor(index) for index in values)
            stride = shapes[source][1] // shapes[step["outputs"][0]][1]
            layer = keras.layers.Conv2D(
                len(filters), 3, strides=int(stride), padding="same", activation="relu"
            )
            weights.append((layer, [filters.transpose(1, 2, 3, 0), bias]))
        elif step["op_name"] == "FULLY_CONNECTED":
            matrix, bias = (file.get_tensor(index) for index in values)
            layer = keras.layers.Dense(len(matrix))
            weights.append((layer, [matrix.T, bias]))
        elif step["op_name"] == "MEAN":
            layer = keras.layers.GlobalAveragePooling2D()
        else:
            continue
        model.add(layer)
    model.build((None, *shapes[file.get_input_details()[0]["index"]][1:]))
    for layer, values in weights:
        layer.set_weights(values)
    return model


class Models:
    """The release's models, loaded into TensorFlow."""

    def __init__(self, manifest: Manifest, folder: Any) -> None:
        _, self._texts = load_signature(folder / TEXT_TRANSFORM)  # sets TensorFlow's threads
        import tensorflow as tf

        self._tf = tf
        self._turn = threading.Lock()  # an interpreter is of one thread at a time
        self.manifest = manifest
        self._encoder = tf.function(keras_encoder(str(folder / ENCODER)), reduce_retracing=True)
        self._scorers = {
            one.name: tf.lite.Interpreter(str(folder / one.path), num_threads=1)
            for one in manifest.scorers
        }

    def scores(self, arrays: Sequence[np.ndarray], texts: Sequence[str]) -> list[Row]:
        features = {
            "image": self._packed("image", {"embedding": self._encoder(np.stack(arrays)).numpy()}),
            "text": self._packed("text", self._token_ids(texts)),
        }
        items = [
            dict(zip(features, packed, strict=True))
            for packed in zip(*features.values(), strict=True)
        ]
        inputs = scorer_inputs(self.manifest, items)
        scores: list[list[Row]] = [[] for _ in arrays]
        for scorer in self.manifest.scorers:
            with self._turn:
                runner = self._scorers[scorer.name].get_signature_runner()
                found = runner(**{name: inputs[name] for name in scorer.inputs})["scores"]
            for own, values in zip(scores, found.tolist(), strict=True):
                own += [
                    {"model": scorer.name, "label": label, "score": value}
                    for label, value in zip(scorer.labels, values, strict=True)
                ]
        return [{"scores": own} for own in scores]

    def _token_ids(self, texts: Sequence[str]) -> Mapping[str, np.ndarray]:
        batch = self._tf.constant([normalise_text(text).encode() for text in texts])
        found = self._texts(text=batch)
        return {spec.name: found[spec.name].numpy() for spec in self._specs("text")}

    def _packed(self, branch: str, arrays: Mapping[str, np.ndarray]) -> list[bytes]:
        return pack_features(self._specs(branch), arrays)

    def _specs(self, branch: str) -> tuple[FeatureSpec, ...]:
        return next(specs for stage, specs in self.manifest.features.items() if stage == branch)


class TensorFlowHandler(ModelHandler[Mapping[str, Any], Row, Models]):
    """Array and text of an item -> its scores, in the worker's own process."""

    def __init__(self, releases: str) -> None:
        super().__init__(min_batch_size=BATCH_SIZE, max_batch_size=BATCH_SIZE)
        self._releases = releases

    def load_model(self) -> Models:
        release = read_pointer(self._releases).default
        return Models(*fetch_release(self._releases, release, Path(tempfile.mkdtemp())))

    def run_inference(
        self,
        batch: Sequence[Mapping[str, Any]],
        model: Models,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Row]:
        for stage in ("image", "text", "score"):  # one handler calls all three
            count_batch(stage, len(batch))
        arrays = [one["images"][0] for one in batch]
        return model.scores(arrays, [one["texts"][0] for one in batch])


def parsed(message: Message) -> tuple[str, Row]:
    return message.message_id, json.loads(message.data)


def pixels(keyed: tuple[str, Row], *, size_px: int) -> tuple[str, np.ndarray]:
    """Every pixel is decoded, then most are thrown away."""
    message_id, fields = keyed
    image = Image.open(io.BytesIO(base64.b64decode(fields["image"]))).convert("RGB")
    return message_id, np.asarray(image.resize((size_px, size_px)), np.float32)


def text_of(keyed: tuple[str, Row]) -> tuple[str, str]:
    return keyed[0], keyed[1]["text"]


def row_of(scored: tuple[str, Row]) -> Row:
    message_id, scores = scored
    now = datetime.now(UTC).isoformat()
    ids = {"item_id": message_id, "tenant_id": "tenant", "message_id": message_id}
    return {**ids, "processed_at": now, **scores}


def build(pipeline: beam.Pipeline, config: Config, ends: Endpoints) -> None:
    """The whole pipeline; of `ends` it takes how to read, and to acknowledge."""
    release = read_pointer(config.releases).default
    size_px = read_manifest(config.releases, release).image_size_px
    messages = pipeline | "Read" >> ends.read
    if isinstance(ends.predictions, Then):
        messages | "Id" >> beam.Map(_id).with_output_types(str) | "Ack" >> ends.predictions.then
    items = (
        messages
        | "Window" >> beam.WindowInto(FixedWindows(WINDOW_S))
        | "Parse" >> beam.Map(parsed).with_output_types(tuple[str, Row])
    )
    images = items | "Decode" >> beam.Map(partial(pixels, size_px=size_px)).with_output_types(
        tuple[str, np.ndarray]
    )
    texts = items | "Text" >> beam.Map(text_of).with_output_types(tuple[str, str])
    (
        {"images": images, "texts": texts}
        | "Join" >> beam.CoGroupByKey()
        | "Infer" >> RunInference(KeyedModelHandler(TensorFlowHandler(config.releases)))
        | "ToRow" >> beam.Map(row_of).with_output_types(Row)
        | "Unwindow" >> beam.WindowInto(GlobalWindows())
        | "Predictions"
        >> WriteToBigQuery(
            config.predictions_table,
            create_disposition=BigQueryDisposition.CREATE_NEVER,
            method=WriteToBigQuery.Method.STREAMING_INSERTS,
            insert_retry_strategy=RetryStrategy.RETRY_ON_TRANSIENT_ERROR,
        )
    )


def _id(message: Message) -> str:
    return message.message_id
