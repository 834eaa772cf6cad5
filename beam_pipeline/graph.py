"""The only graph of Testudo: cloud, emulator, files and memory are values of `ends`."""

import apache_beam as beam

from beam_pipeline.config import Config
from beam_pipeline.endpoints import Endpoints
from transforms.events import ParseItems
from transforms.images import EncodeImages
from transforms.joins import JoinHalves, WindowByArrival
from transforms.payloads import KeepPayloads
from transforms.scores import ScoreItems
from transforms.texts import EncodeTexts


def build(pipeline: beam.Pipeline, config: Config, ends: Endpoints) -> None:
    """Messages in; one outcome an item out. Every edge is here."""
    parsed = (
        pipeline
        | "Read" >> ends.read
        | "Window" >> WindowByArrival(**config.windows)
        | "Keep" >> KeepPayloads(root=config.payloads)
        | "Parse" >> ParseItems(**config.parse)
    )
    images = parsed.items | "Images" >> EncodeImages(**config.images)
    texts = parsed.items | "Texts" >> EncodeTexts(**config.texts)
    joined = (images, texts) | "Join" >> JoinHalves(**config.windows)
    scored = joined.items | "Score" >> ScoreItems(**config.scores)
    dead_letters = (
        parsed.dead_letters,
        joined.dead_letters,
        scored.dead_letters,
    ) | "AllDeadLetters" >> beam.Flatten()

    scored.items | "Predictions" >> ends.predictions
    scored.items | "Archive" >> ends.archive
    dead_letters | "DeadLetters" >> ends.dead_letters
