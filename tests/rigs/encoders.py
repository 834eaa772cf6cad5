"""One encoder by three runtimes: EfficientNet-Lite0 as an ONNX file, LiteRT and a SavedModel.

    PYTHONPATH=tests python -m rigs encoders

prints, for each, milliseconds of CPU an image and memory beyond the loaded model.
"""

import argparse
import re
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from models.features import FeatureSpec
from models.runtimes import open_model
from models.saved_model import SIGNATURE

EXAMPLE = Path(__file__).parents[2] / "docs/examples/onnx_encoder.py"
SIZE_PX = 224
DATA_SIZE = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batches", default="1,16,64", help="images a call, in this order (%(default)s)"
    )
    parser.add_argument("--images", type=int, default=96, help="at least, of each (%(default)s)")
    parser.add_argument("--file", type=Path, help="only this encoder, already made")


def main(arguments: argparse.Namespace) -> int:
    if arguments.file:
        _measure(arguments.file, [int(one) for one in arguments.batches.split(",")], arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'':16} {'batch':>6} {'ms CPU an image':>16} {'MB more':>8}", flush=True)
        for path in _encoders(Path(folder)):
            again = [sys.executable, "-m", "rigs", "encoders", f"--file={path}"]
            again += [f"--batches={arguments.batches}", f"--images={arguments.images}"]
            subprocess.run(again, check=True, stderr=subprocess.DEVNULL)
    return 0


def _encoders(folder: Path) -> list[Path]:
    """The same network three times."""
    import onnx
    import tensorflow as tf

    from models.training.encoders import open_encoder
    from models.training.export import export_litert

    onnx_file, litert, saved = (folder / f"encoder{end}" for end in (".onnx", ".tflite", ""))
    onnx.save(runpy.run_path(str(EXAMPLE))["efficientnet"](), onnx_file)
    encode = open_encoder("efficientnet-lite0", size_px=SIZE_PX)
    image = FeatureSpec("image", "uint8", (SIZE_PX, SIZE_PX, 3))
    export_litert(encode, (image,), output="embedding", path=litert)
    module = tf.Module()
    module.encode = encode
    module.serve = tf.function(lambda image: {"embedding": encode({"image": image})})
    wanted = tf.TensorSpec((None, *image.shape), tf.uint8, name="image")
    signature = module.serve.get_concrete_function(wanted)
    tf.saved_model.save(module, str(saved), signatures={SIGNATURE: signature})
    return [onnx_file, litert, saved]


def _measure(path: Path, batches: list[int], arguments: argparse.Namespace) -> None:
    """The least of several calls each: what else the machine does only adds to it."""
    model = open_model(path)
    loaded = _data_mb()
    for batch in batches:
        shape = (batch, SIZE_PX, SIZE_PX, 3)
        pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        spent = []
        for _ in range(max(3, arguments.images // batch)):
            started_s = time.process_time()
            model({"image": pictures})
            spent.append(time.process_time() - started_s)
        more = _data_mb() - loaded
        print(f"{path.name:16} {batch:6} {min(spent) * 1000 / batch:16.2f} {more:8.0f}", flush=True)


def _data_mb() -> float:
    size = DATA_SIZE.search(Path("/proc/self/status").read_text(encoding="ascii"))
    return int(size[1]) / 1000 if size else 0.0
