"""A real set to train on: 1,906 emoji, their pictures, keywords and nine categories.

    python docs/examples/emoji.py .testudo/emoji
    testudo train --manifest .testudo/emoji/manifest.jsonl --task emoji --encoder efficientnet-lite0

Fetches two packages from npm's registry (75 MB, MIT): emoji-datasource-google and
emojilib, each of one version, whose digest is checked. Nothing of them is shipped.
"""

import argparse
import base64
import hashlib
import io
import json
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

REGISTRY = "https://registry.npmjs.org"
PACKAGES = {  # name and version -> SHA-512, as npm writes it
    ("emoji-datasource-google", "16.0.0"): (
        "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="
    ),
    ("emojilib", "4.0.3"): (
        "KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g=="
    ),
}
PICTURES = "package/img/google/64/"
SKIN_TONES = "Component"  # a category of five, which are parts of others
VARIATION = "\N{VARIATION SELECTOR-16}"  # one set has it where the other leaves it out


def main() -> None:
    """Write manifest and pictures into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    pictures, keywords = (_members(_fetch(*one)) for one in PACKAGES)
    lines = list(_items(pictures, keywords))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for line in lines:
        picture = pictures[PICTURES + Path(line["image"]).name]
        (folder / line["image"]).write_bytes(picture)
    manifest = folder / "manifest.jsonl"
    with manifest.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    print(f"{len(lines)} emoji in {manifest}")


def _fetch(name: str, version: str) -> bytes:
    """The package's archive. Raises ValueError when it is not the one that is meant."""
    url = f"{REGISTRY}/{name}/-/{name}-{version}.tgz"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - https, see REGISTRY
        data: bytes = answer.read()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != PACKAGES[name, version]:
        raise ValueError(f"{url} is not the file that was published")
    return data


def _members(archive: bytes) -> dict[str, bytes]:
    """The files that are needed, by name; nothing is unpacked to where the archive says."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        return {
            one.name: file.read()
            for one in packed
            if one.name.endswith(".json") or one.name.startswith(PICTURES)
            if (file := packed.extractfile(one))
        }


def _items(
    pictures: Mapping[str, bytes], keywords: Mapping[str, bytes]
) -> Iterator[dict[str, Any]]:
    words = {
        emoji.replace(VARIATION, ""): " ".join(found).replace("_", " ")
        for emoji, found in json.loads(keywords["package/dist/emoji-en-US.json"]).items()
    }
    for one in json.loads(pictures["package/emoji.json"]):
        emoji = "".join(chr(int(code, 16)) for code in one["unified"].split("-"))
        text = words.get(emoji.replace(VARIATION, ""))
        if text and one["category"] != SKIN_TONES and PICTURES + one["image"] in pictures:
            yield {
                "item_id": one["unified"],
                "image": f"images/{one['image']}",
                "text": text,
                "labels": {"category": one["category"]},
            }


if __name__ == "__main__":
    main()
