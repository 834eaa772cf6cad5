"""ScoreItems on real scorers: each joined item leaves with scores, or as a dead letter."""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import pytest
from builders import Ran, created, envelope, joined, run
from conftest import Releases

from models.failures import Reason, Stage
from models.features import FeatureSpec, pack_features
from models.manifest import Manifest
from transforms.records import Joined
from transforms.scores import ScoreItems


def score(items: Iterable[Joined], releases: Releases, *, batch_size: int = 8) -> Ran:
    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        outcomes = created(pipeline, items, Joined) | ScoreItems(
            releases=releases.root, batch_size=batch_size
        )
        return {"scored": outcomes.items, "dead": outcomes.dead_letters}

    ran = run(connect)
    assert "bugs" not in ran.counters
    return Ran({"scored": [], "dead": [], **ran.records}, ran.counters)


def packed(specs: tuple[FeatureSpec, ...], seed: int) -> bytes:
    """Plausible features: small embeddings, ids of the first words."""
    random = np.random.default_rng(seed)
    (one,) = pack_features(
        specs, {spec.name: random.integers(0, 3, (1, *spec.shape)) for spec in specs}
    )
    return one


def ready(manifest: Manifest, number: int, **changes: bytes) -> Joined:
    return joined(
        number,
        envelope=envelope(number, release=manifest.release),
        features={
            Stage.IMAGE: packed(manifest.features[Stage.IMAGE], number),
            Stage.TEXT: packed(manifest.features[Stage.TEXT], number + 100),
        }
        | changes,
    )


def scores_of(ran: Ran) -> dict[str, list[float]]:
    return {
        one.joined.envelope.item_id: [score.score for score in one.scores]
        for one in ran.records["scored"]
    }


def test_every_scorer_of_the_release_scores_every_item(releases: Releases) -> None:
    """Labels in the manifest's order, probabilities that sum to one for each scorer."""
    ran = score([ready(releases.first, number) for number in range(20)], releases)
    assert len(ran.records["scored"]) == 20
    assert ran.records["dead"] == []
    for one in ran.records["scored"]:
        labelled = [(each.model, each.label) for each in one.scores]
        assert labelled == [
            (scorer.name, label) for scorer in releases.first.scorers for label in scorer.labels
        ]
        for scorer in releases.first.scorers:
            total = sum(each.score for each in one.scores if each.model == scorer.name)
            assert total == pytest.approx(1, abs=1e-3)
    assert len({tuple(one) for one in scores_of(ran).values()}) == 20


def test_an_absent_side_is_another_input_than_a_side_of_zeros(releases: Releases) -> None:
    """Scorers are told what is absent; all four kinds of item are scored."""
    zeros = bytes(sum(spec.size_bytes for spec in releases.first.features[Stage.IMAGE]))
    ran = score(
        [
            ready(releases.first, 1),
            ready(releases.first, 1, text=b""),
            ready(releases.first, 1, image=b""),
            ready(releases.first, 1, image=zeros),
        ],
        releases,
    )
    assert len({tuple(score.score for score in one.scores) for one in ran.records["scored"]}) == 4


def test_a_batch_of_two_releases_is_scored_by_each_its_own(releases: Releases) -> None:
    """The same features get other scores from another release, whoever shares the batch."""
    items = [ready(releases.first, number) for number in range(6)]
    others = [
        one._replace(envelope=envelope(number + 6, release=releases.second.release))
        for number, one in enumerate(items)
    ]
    mixed = scores_of(score([*items, *others], releases, batch_size=12))
    alone = scores_of(score(items, releases)) | scores_of(score(others, releases))
    assert mixed.keys() == alone.keys()
    for name, expected in alone.items():
        assert mixed[name] == pytest.approx(expected, abs=1e-5)
    for number in range(6):
        assert mixed[f"item-{number}"] != pytest.approx(mixed[f"item-{number + 6}"], abs=1e-5)


def test_poison_in_a_batch_costs_only_itself(releases: Releases) -> None:
    """Features of another length break the call; the other 15 items have their scores."""
    items = [ready(releases.first, number) for number in range(16)]
    items[5] = items[5]._replace(features=items[5].features | {"image": b"short"})
    ran = score(items, releases, batch_size=16)
    assert scores_of(ran).keys() == {f"item-{number}" for number in range(16) if number != 5}
    (dead,) = ran.records["dead"]
    assert dead.envelope.item_id == "item-5"
    assert [one[:2] for one in dead.failures] == [(Stage.SCORE, Reason.MODEL_FAILED)]


def test_a_canarys_item_that_cannot_be_scored_is_counted(releases: Releases) -> None:
    """Scoring is the third place where an item may become a dead letter."""
    lost = joined(1, envelope=envelope(1, release="listings-none", canary=True))
    ran = score([lost, ready(releases.first, 2)], releases)
    assert [one.envelope.item_id for one in ran.records["dead"]] == ["item-1"]
    assert ran.counters == {"dead_letters": 1, "canary_dead_letters": 1}
