"""The only graph of Testudo: cloud, emulator, files and memory are values of `ends`."""

import apache_beam as beam

from beam_pipeline.config import Config
from beam_pipeline.endpoints import Endpoints
from models.failures import Stage
from transforms.dead_letters import check_consumed
from transforms.events import ParseItems
from transforms.images import EncodeImages
from transforms.joins import JoinParts, WindowByArrival
from transforms.payloads import KeepPayloads
from transforms.scores import ScoreItems
from transforms.texts import EncodeTexts


def build(pipeline: beam.Pipeline, config: Config, ends: Endpoints) -> None:
    """Messages in; one outcome an item out.

    Every edge between stages is here. What an end does with its service, it does within:
    quotas turn messages away in Read, acknowledgements follow a write (beam_pipeline.endpoints).
    """
    parsed = (
        pipeline
        | "Read" >> ends.read
        | "Window" >> WindowByArrival()
        | "Keep" >> KeepPayloads(root=config.payloads)
        | "Parse"
        >> ParseItems(
            releases=config.releases,
            refresh_s=config.release_refresh_s,
            max_message_bytes=config.max_message_bytes,
            keep_unknown=config.keep_unknown,
        )
    )
    images = parsed.items | "Images" >> EncodeImages(
        releases=config.releases,
        batch_size=config.image_batch_size,
        access=config.image_access,
        limits=config.image_limits,
        calls=config.calls,
    )
    texts = parsed.items | "Texts" >> EncodeTexts(
        releases=config.releases, batch_size=config.text_batch_size, calls=config.calls
    )
    joined = {Stage.IMAGE: images, Stage.TEXT: texts} | "Join" >> JoinParts()
    scored = joined.items | "Score" >> ScoreItems(
        releases=config.releases, batch_size=config.score_batch_size, calls=config.calls
    )
    dead_letters = (
        parsed.dead_letters,
        joined.dead_letters,
        scored.dead_letters,
    ) | "AllDeadLetters" >> beam.Flatten()

    scored.items | "Predictions" >> ends.predictions
    dead_letters | "DeadLetters" >> ends.dead_letters
    check_consumed(pipeline)
