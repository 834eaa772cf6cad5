"""`testudo release evaluate | compare | promote | canary | rollback | list | show`."""

import dataclasses
import json
from pathlib import Path

import pytest
from conftest import Releases
from release_variants import variant

from models.manifest import FUNCTIONS, GOLDEN, MANIFEST, Manifest
from models.release import POINTER, Pointer, read_pointer
from models.training.samples import write_listings
from testudo import cli
from testudo.promotions import RECORD, read_changes

INVERTED = (
    "from PIL import ImageOps\n\ndef prepare_image(image):\n    return ImageOps.invert(image)"
)
ITEMS = 70  # more than a batch


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Listings that no release here was trained on."""
    return write_listings(tmp_path_factory.mktemp("listings"), ITEMS, seed=77)


@pytest.fixture
def good(releases: Releases, tmp_path: Path) -> Manifest:
    """The same models under another name."""
    return variant(releases.root, releases.first, tmp_path, task="good")


@pytest.fixture
def worse(releases: Releases, tmp_path: Path) -> Manifest:
    """Its labels are in another order, and there is no golden item to say so."""
    return variant(
        releases.root,
        releases.first,
        tmp_path,
        task="worse",
        without=[GOLDEN],
        scorers=tuple(
            dataclasses.replace(one, labels=(*one.labels[1:], one.labels[0]))
            for one in releases.first.scorers
        ),
    )


@pytest.fixture
def broken(releases: Releases, tmp_path: Path) -> Manifest:
    """Pictures are inverted, which its golden items were not."""
    files = {FUNCTIONS: INVERTED}
    return variant(releases.root, releases.first, tmp_path, task="broken", files=files)


def release(releases: Releases, *words: str) -> int:
    return cli.main(["release", words[0], f"--releases={releases.root}", *words[1:]])


def test_a_release_is_evaluated_on_labelled_items(
    releases: Releases, items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracy by scorer with its interval, calibration, milliseconds, size; JSON for programs."""
    words = ("evaluate", releases.first.release, f"--manifest={items}")
    assert release(releases, *words, "--format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["items"] == ITEMS
    assert found["scorers"].keys() == {"category", "mismatch"}
    for one in found["scorers"].values():
        low, high = one["interval"]
        assert 0 <= low <= one["accuracy"] <= high <= 1
    assert found["item_ms"] > 0
    folder = Path(releases.root) / releases.first.release
    sizes = [(folder / name).stat().st_size for name in releases.first.files]
    assert found["size_bytes"] == sum(sizes)
    assert found["dead_letters"] == 0


def test_a_good_candidate_is_promoted_and_goes_back(
    releases: Releases, items: Path, good: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same answers are within chance; tenants stay; who, when and the figures are recorded."""
    before = Pointer(releases.first.release, "x", 0.5, {"acme": releases.second.release})
    releases.point(before)
    assert release(releases, "promote", good.release, f"--manifest={items}") == 0
    out = capsys.readouterr().out
    assert "all in all: within chance" in out
    assert "golden items" in out
    after = Pointer(good.release, tenants=before.tenants)
    assert read_pointer(releases.root) == after
    (change,) = read_changes(releases.root)
    assert change.what == "promote"
    assert change.at
    assert change.by
    assert change.override == ""
    assert change.before == dataclasses.asdict(before)
    assert change.figures["candidate"]["release"] == good.release
    assert change.figures["current"]["scorers"]["category"]["accuracy"] > 0
    assert release(releases, "rollback") == 0
    assert read_pointer(releases.root) == before
    assert release(releases, "rollback") == 2
    assert "has no change to take back" in capsys.readouterr().err


def test_a_worse_candidate_is_refused_with_the_table(
    releases: Releases, items: Path, worse: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1, and nothing is changed; unless a reason is given, which is recorded."""
    words = ("promote", worse.release, f"--manifest={items}")
    assert release(releases, *words) == 1
    said = capsys.readouterr()
    assert "category is surely less accurate, by" in said.out
    assert "WORSE" in said.out
    assert "nothing was changed" in said.err
    assert read_pointer(releases.root).default == releases.first.release
    assert not (Path(releases.root) / RECORD).exists()
    assert release(releases, *words, "--override=the old one is not ours") == 0
    assert read_pointer(releases.root).default == worse.release
    (change,) = read_changes(releases.root)
    assert change.override == "the old one is not ours"
    assert len(change.figures["refusals"]) >= 1


def test_a_broken_candidate_is_refused_whatever_the_reason(
    releases: Releases, items: Path, broken: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """No worker would use it: the golden item is named, with what was wanted and what it got."""
    words = ("promote", broken.release, f"--manifest={items}", "--override=because")
    assert release(releases, *words) == 1
    said = capsys.readouterr().err
    assert "image: ReleaseError: golden item 'listing-0-" in said
    assert "wanted" in said
    assert read_pointer(releases.root).default == releases.first.release
    assert release(releases, "use", broken.release) == 1
    assert "golden item" in capsys.readouterr().err
    assert read_pointer(releases.root) == Pointer(releases.first.release)


def test_anything_that_serves_is_better_than_what_does_not(
    releases: Releases,
    items: Path,
    good: Manifest,
    damaged: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A default that cannot be used is nothing to compare with, and no reason to keep it."""
    releases.point(Pointer(damaged))
    assert release(releases, "promote", good.release, f"--manifest={items}") == 0
    assert "there is nothing to compare with" in capsys.readouterr().err
    assert read_pointer(releases.root).default == good.release


def test_two_releases_are_compared_on_the_same_items(
    releases: Releases, items: Path, worse: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is worse in one direction is better in the other."""
    words = (worse.release, releases.first.release, f"--manifest={items}", "--format=json")
    assert release(releases, "compare", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "better"
    verdicts = {row["what"]: row["verdict"] for row in found["rows"]}
    assert verdicts["category: accuracy"] == "better"
    assert found["refusals"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "first-0", "--manifest=nowhere.jsonl"), "nowhere.jsonl"),
        (("show", "--release=none-1"), "--release: cannot read"),
        (("use", "none-1"), "cannot read"),
        (("canary", "none-1", "--share=0"), "none-1 is not the canary of"),
        (("canary", "none-1", "--share=2"), "--share: is 2, must be 0 to 1"),
        (("rollback",), "has no change to take back"),
        (("list", "staging"), "name an environment or --releases, not both"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    releases: Releases, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """Code 2, and nothing was done."""
    assert release(releases, *words) == 2
    assert said in capsys.readouterr().err
    assert read_pointer(releases.root) == Pointer(releases.first.release)


def test_labels_that_no_scorer_knows_are_refused(
    releases: Releases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a process is started; what there is, is named."""
    lines = [
        {"item_id": f"i{number}", "text": "a mug", "labels": {"colour": colour}}
        for number, colour in enumerate(("red", "blue"))
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert release(releases, "evaluate", releases.first.release, f"--manifest={path}") == 2
    assert "its labels are colour; first-" in capsys.readouterr().err


def test_a_canary_begins_and_ends(
    releases: Releases, good: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are recorded; rollback takes back the last one."""
    assert release(releases, "canary", good.release, "--share=0.05", "--unproven") == 0
    assert "5.0% of the items: good-" in capsys.readouterr().out
    with_canary = Pointer(releases.first.release, good.release, 0.05)
    assert read_pointer(releases.root) == with_canary
    assert release(releases, "canary", good.release, "--share=0") == 0
    assert read_pointer(releases.root) == Pointer(releases.first.release)
    assert release(releases, "rollback") == 0
    assert read_pointer(releases.root) == with_canary
    assert release(releases, "rollback") == 0
    assert read_pointer(releases.root) == Pointer(releases.first.release)


def test_what_was_changed_by_hand_is_not_rolled_back(
    releases: Releases, good: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not what the record says, so nobody knows what was before."""
    assert release(releases, "use", good.release, "--unproven") == 0
    releases.point(Pointer(releases.second.release))
    assert release(releases, "rollback") == 2
    assert "was changed by other means since" in capsys.readouterr().err
    assert read_pointer(releases.root).default == releases.second.release


def test_releases_are_listed_with_whom_they_score(
    releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest first, those with a broken manifest too; nothing else that lies there."""
    folder = Path(releases.root) / "odd-0123456789ab"
    folder.mkdir()
    (folder / MANIFEST).write_text("{")
    releases.point(
        Pointer(releases.first.release, releases.second.release, 0.05, {"acme": "none-1"})
    )
    assert release(releases, "list", "--format=json") == 0
    found = {row["release"]: row for row in json.loads(capsys.readouterr().out)}
    assert found.keys() == {
        "odd-0123456789ab",
        *(one.release for one in (releases.first, releases.second, releases.traps)),
    }
    first = found[releases.first.release]
    assert (first["task"], first["scores"]) == ("first", "everyone")
    assert first["accuracy"].keys() == {"category", "mismatch"}
    assert first["size_bytes"] > 100_000
    assert found[releases.second.release]["scores"] == "canary 5.0%"
    assert "not a manifest" in found["odd-0123456789ab"]["problem"]
    assert release(releases, "list") == 0
    assert "category 0." in capsys.readouterr().out


def test_a_release_is_shown_in_words(
    releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scorers with their labels and accuracy, features, files; without a name current.json."""
    assert release(releases, "show", f"--release={releases.first.release}") == 0
    out = capsys.readouterr().out
    for said in ("scores:      everyone", "bag, chair, clock", "embedding float16", "golden.json"):
        assert said in out
    assert release(releases, "show") == 0
    assert capsys.readouterr().out == f"everyone: {releases.first.release}\n"
    assert release(releases, "show", "--format=json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(
        (Path(releases.root) / POINTER).read_text()
    )
