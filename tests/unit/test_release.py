"""Releases: immutable folders that are verified when fetched, and the pointer that chooses."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.facts import Score
from models.features import FeatureSpec
from models.manifest import MANIFEST, Kind, Manifest, ReleaseError, ScorerSpec
from models.release import (
    POINTER,
    Pointer,
    copy_releases,
    fetch_release,
    read_manifest,
    read_pointer,
    save_release,
    write_pointer,
)

EMBEDDING = FeatureSpec("embedding", "float16", (4,))
WORDS = FeatureSpec("token_ids", "int32", (2,))
SCORER = ScorerSpec("category", ("mug", "lamp"), ("embedding", "token_ids"))


def saved(
    root: Path,
    content: bytes = b"encoder",
    *,
    embedding: FeatureSpec = EMBEDDING,
    **evaluation: float,
) -> Manifest:
    """A release of three files, one of them in a folder of the text transform."""
    bundle = root.parent / "bundle"
    for name, data in {
        "encoder.tflite": content,
        "scorers/category.tflite": b"scorer",
        "text_transform/assets/words": b"mug\nlamp\n",
    }.items():
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(data)
    return save_release(
        bundle,
        str(root),
        task="listings",
        image_size_px=96,
        features={"image": (embedding,), "text": (WORDS,)},
        scorers=(SCORER,),
        evaluation=evaluation,
    )


def test_a_manifest_names_the_kinds_of_its_scorers(root: Path) -> None:
    """What they need besides too: a threshold, or how much numbers vary."""
    tags = ScorerSpec("tags", ("new", "red"), ("embedding",), Kind.MULTILABEL, threshold=0.35)
    price = ScorerSpec("price", (), ("embedding",), Kind.REGRESSION, spread=40.0)
    manifest = dataclasses.replace(saved(root), scorers=(SCORER, tags, price))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert (manifest.format, saved(root).format) == (2, 1)
    assert [one.columns for one in manifest.scorers] == [2, 2, 1]


def test_a_manifest_of_classification_alone_is_as_it_was(root: Path) -> None:
    """Its text and its id: workers of other versions read it, and it is the same release."""
    manifest = saved(root)
    fields = json.loads(manifest.to_json())
    assert fields["scorers"] == [
        {"name": "category", "labels": ["mug", "lamp"], "inputs": ["embedding", "token_ids"]}
    ]
    assert fields["format"] == 1
    assert manifest.release == "listings-fea7bbe96f62"


@pytest.mark.parametrize("other", [0, 3, "2"])
def test_a_manifest_of_another_format_is_refused(root: Path, other: object) -> None:
    """As is a kind that this version does not know."""
    fields = json.loads(saved(root).to_json())
    with pytest.raises(ReleaseError, match="this code reads 1 and 2"):
        Manifest.from_json(json.dumps(fields | {"format": other}))
    fields["scorers"][0]["kind"] = "ranking"
    with pytest.raises(ReleaseError, match="ranking"):
        Manifest.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "regression", "spread": 0},
        {"kind": "regression", "spread": float("nan")},
        {"kind": "regression", "labels": ["mug"]},
        {"kind": "multilabel", "labels": ["new"], "threshold": float("nan")},
        {"kind": "multilabel", "labels": ["new"], "threshold": 1.5},
        {"kind": "multilabel"},
    ],
    ids=str,
)
def test_a_scorer_that_cannot_be_is_refused(root: Path, wrong: dict[str, object]) -> None:
    """When the release is read: a worker would divide by that spread."""
    fields = json.loads(saved(root).to_json())
    fields["scorers"][0] = {"name": "own", "labels": [], "inputs": ["embedding"]} | wrong
    with pytest.raises(ReleaseError, match="scorer 'own'"):
        Manifest.from_json(json.dumps(fields))


def test_outputs_become_what_stands_in_a_row() -> None:
    """Probabilities; with what is chosen where labels are several; a number as a value."""
    tags = ScorerSpec("tags", ("new", "red"), (), Kind.MULTILABEL, threshold=0.35)
    price = ScorerSpec("price", (), (), Kind.REGRESSION)
    assert SCORER.scores([0.75, 0.25])[1] == Score("category", "lamp", 0.25)
    assert tags.scores([0.35, 0.34]) == [
        Score("tags", "new", 0.35, chosen=True),
        Score("tags", "red", 0.34, chosen=False),
    ]
    assert price.scores([-12.5]) == [Score("price", None, None, value=-12.5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def test_a_release_is_fetched_as_it_was_saved(root: Path, tmp_path: Path) -> None:
    """Every file, in its folder, with the manifest that describes them."""
    manifest = saved(root, accuracy=0.5)
    fetched, folder = fetch_release(str(root), manifest.release, tmp_path / "cache")
    assert fetched == manifest
    assert fetched.scorers == (SCORER,)
    assert fetched.evaluation == {"accuracy": 0.5}
    assert (folder / "text_transform/assets/words").read_bytes() == b"mug\nlamp\n"
    assert set(fetched.files) == {
        "encoder.tflite",
        "scorers/category.tflite",
        "text_transform/assets/words",
    }


def test_the_id_is_of_the_content(root: Path) -> None:
    """The same files give the same id; other files, or the same read otherwise, another."""
    first = saved(root)
    assert first.release.startswith("listings-")
    assert saved(root).release == first.release
    assert saved(root, b"other").release != first.release
    assert saved(root, embedding=dataclasses.replace(EMBEDDING, dtype="float32")).release not in {
        first.release,
        saved(root, b"other").release,
    }


def test_a_release_never_changes(root: Path) -> None:
    """Saving the same content again leaves the manifest of the first time."""
    first = saved(root, accuracy=0.5)
    before = (root / first.release / MANIFEST).read_bytes()
    assert saved(root, accuracy=0.7) == first
    assert (root / first.release / MANIFEST).read_bytes() == before


def test_a_changed_file_is_refused(root: Path, tmp_path: Path) -> None:
    """A file that is not the one that was released is never used, nor kept."""
    release = saved(root).release
    (root / release / "encoder.tflite").write_bytes(b"tampered")
    with pytest.raises(ReleaseError, match=r"encoder\.tflite is not the file"):
        fetch_release(str(root), release, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_is_refused(root: Path, tmp_path: Path) -> None:
    """An incomplete copy of a release is told by the file's name."""
    release = saved(root).release
    (root / release / "encoder.tflite").unlink()
    with pytest.raises(ReleaseError, match=r"cannot read encoder\.tflite"):
        fetch_release(str(root), release, tmp_path / "cache")


@pytest.mark.parametrize(
    "name", ["../outside", "a/../../outside", "/outside", "..", "", ".", "a//outside", "outside\0"]
)
def test_a_file_name_that_leaves_the_release_is_refused(
    root: Path, tmp_path: Path, name: str
) -> None:
    """A manifest cannot make a worker write beyond its cache."""
    release = saved(root).release
    path = root / release / MANIFEST
    described = json.loads(path.read_text())
    described["files"] = {name: "0" * 64}
    path.write_text(json.dumps(described))
    with pytest.raises(ReleaseError, match="leaves the release"):
        fetch_release(str(root), release, tmp_path / "cache")
    assert not list(tmp_path.glob("**/outside"))


def test_a_scorer_is_one_of_the_releases_own_files(root: Path, tmp_path: Path) -> None:
    """Its name becomes a path too, to a file that no digest covers when it leads elsewhere."""
    release = saved(root).release
    path = root / release / MANIFEST
    described = json.loads(path.read_text())
    described["scorers"][0]["name"] = "../../outside"
    path.write_text(json.dumps(described))
    with pytest.raises(ReleaseError, match="leaves the release"):
        fetch_release(str(root), release, tmp_path / "cache")


@pytest.mark.parametrize("files", [["a"], "a", None, {"a": {"b": "c"}}, {"encoder.tflite": 7}])
def test_a_list_of_files_that_is_none_is_refused(root: Path, tmp_path: Path, files: object) -> None:
    """Whatever its type: an error of the release, not of the worker."""
    release = saved(root).release
    path = root / release / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(ReleaseError):
        fetch_release(str(root), release, tmp_path / "cache")


def test_a_link_to_another_file_is_that_files_content(root: Path, tmp_path: Path) -> None:
    """A link is followed as any file is read; what is behind it must be what was released."""
    release = saved(root).release
    secret = tmp_path / "secret"
    secret.write_bytes(b"of somebody else")
    encoder = root / release / "encoder.tflite"
    encoder.unlink()
    encoder.symlink_to(secret)
    with pytest.raises(ReleaseError, match="is not the file"):
        fetch_release(str(root), release, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


OUTSIDE = [
    "../other",
    "a/../../other",
    "/other",
    "..",
    ".",
    "a/b",
    "a\\b",
    "",
    "a\0",
    "a\n",
    "\u00e4",
]


@pytest.mark.parametrize("release", OUTSIDE)
def test_a_release_lies_right_below_its_root(root: Path, tmp_path: Path, release: str) -> None:
    """A name that is a path is refused before anything is read, though a release be there."""
    (root / saved(root).release).rename(tmp_path / "other")
    with pytest.raises(ReleaseError, match="not the name of a release"):
        fetch_release(str(root), release, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("field", ["default", "canary", "tenants"])
def test_a_pointer_does_not_lead_out_of_the_releases(root: Path, field: str) -> None:
    """Neither for all, nor for a share, nor for one tenant."""
    root.mkdir()
    pointer: dict[str, object] = {"default": "a"}
    pointer[field] = {"acme": "../other"} if field == "tenants" else "../other"
    (root / POINTER).write_text(json.dumps(pointer))
    with pytest.raises(ReleaseError, match=r"'\.\./other' is not the name of a release"):
        read_pointer(str(root))


def test_copying_writes_below_its_target_alone(root: Path, tmp_path: Path) -> None:
    """A manifest's file names are checked before they become paths to write to."""
    release = saved(root).release
    write_pointer(str(root), Pointer(release))
    path = root / release / MANIFEST
    described = json.loads(path.read_text())
    (root / "outside").write_bytes(b"copied")
    described["files"]["../outside"] = "0" * 64
    path.write_text(json.dumps(described))
    with pytest.raises(ReleaseError, match="leaves the release"):
        copy_releases(str(root), str(tmp_path / "target"))
    assert not list(tmp_path.glob("target/**/outside"))


def test_a_release_that_is_not_there_is_told_by_name(root: Path, tmp_path: Path) -> None:
    """A pointer to nowhere names what it looked for."""
    with pytest.raises(ReleaseError, match="listings-none"):
        fetch_release(str(root), "listings-none", tmp_path / "cache")


def test_a_verified_copy_is_used_again(root: Path, tmp_path: Path) -> None:
    """The second stage of a worker does not download what the first one has."""
    release = saved(root).release
    _, folder = fetch_release(str(root), release, tmp_path / "cache")
    (root / release / "encoder.tflite").unlink()
    assert fetch_release(str(root), release, tmp_path / "cache")[1] == folder


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "release": "a"}', "\x00"]
)
def test_what_is_no_manifest_is_refused(root: Path, text: str) -> None:
    """Another format, or fields that are missing, are an error of the release."""
    (root / "a").mkdir(parents=True)
    (root / "a" / MANIFEST).write_text(text)
    with pytest.raises(ReleaseError):
        read_manifest(str(root), "a")


def test_a_tenant_with_a_release_of_its_own_gets_it() -> None:
    """The tenant's choice goes before the canary, and touches no other tenant."""
    pointer = Pointer("stable", canary="new", canary_share=1.0, tenants={"acme": "acmes"})
    assert pointer.choose("acme", "item-1") == "acmes"
    assert pointer.choose("bolt", "item-1") == "new"
    assert pointer.releases == {"stable", "new", "acmes"}


@given(st.text())
def test_without_a_canary_all_get_the_default(item_id: str) -> None:
    """A share without a canary, and a canary without a share, choose nothing."""
    assert Pointer("stable", canary_share=1.0).choose("acme", item_id) == "stable"
    assert Pointer("stable", canary="new").choose("acme", item_id) == "stable"


def test_the_canary_gets_its_share_and_keeps_it() -> None:
    """About a tenth of many items; whoever had it keeps it when the share grows."""
    ids = [f"item-{number}" for number in range(10_000)]
    tenth = {one for one in ids if Pointer("old", "new", 0.1).choose("t", one) == "new"}
    half = {one for one in ids if Pointer("old", "new", 0.5).choose("t", one) == "new"}
    assert 900 < len(tenth) < 1_100
    assert 4_800 < len(half) < 5_200
    assert tenth < half


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"default": ""}',
        '{"default": 5}',
        '{"default": "a", "unknown": 1}',
        '{"default": "a", "canary": null}',
        '{"default": "a", "canary_share": "0.5"}',
        '{"default": "a", "canary_share": 50}',
        '{"default": "a", "tenants": null}',
        '{"default": "a", "tenants": {"acme": ""}}',
        '{"default": "a", "tenants": {"acme": 1}}',
    ],
)
def test_a_broken_pointer_is_refused_when_it_is_read(root: Path, text: str) -> None:
    """A slip of whoever edits `current.json` must not reach the items."""
    root.mkdir()
    (root / POINTER).write_text(text)
    with pytest.raises(ReleaseError):
        read_pointer(str(root))


def test_a_pointer_is_read_as_it_was_written(root: Path) -> None:
    """With everything that it can say."""
    pointer = Pointer("a", canary="b", canary_share=0.25, tenants={"acme": "c"})
    write_pointer(str(root), pointer)
    assert read_pointer(str(root)) == pointer


def test_copying_brings_what_is_pointed_at(root: Path, tmp_path: Path) -> None:
    """Releases in use and the pointer; old releases stay behind."""
    old, new = saved(root, b"old"), saved(root, b"new")
    write_pointer(str(root), Pointer(new.release))
    target = tmp_path / "target"
    copy_releases(str(root), str(target))
    assert read_pointer(str(target)) == Pointer(new.release)
    assert fetch_release(str(target), new.release, tmp_path / "cache")[0] == new
    assert not (target / old.release).exists()
