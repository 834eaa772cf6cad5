"""Thumbnails of what senders call pictures, made in a process that can do nothing else.

A decoder is the likeliest of all our code to be broken by a file. Here it runs with the rights
of an operator, so it has a process of its own, as in the job: without a variable that opens a
service, with bounded memory and time, and ended by whatever takes more.
"""

import json
import os
import sys
import threading
from io import BytesIO
from pathlib import Path

import msgpack
from PIL import Image

from models.exchange import ProcessEnded, Started
from models.features import ImageLimits, decode_image
from models.image_files import bare_image
from models.orientation import exif_orientation, xmp_orientation
from testudo.view.payloads import Unreadable

SIDE_PX = 320  # the longer one of a thumbnail
LEAST_PX = 8
QUALITY = 82
MAX_JPEG_BYTES = 500_000  # noise at this size has 60,000
ON_ITS_SIDE = range(5, 9)  # of EXIF's orientations
DECODE_S = 5.0  # of one picture
ALLOWED_S = 20.0  # with the start of the process
# -P: a folder `testudo` where the person happens to stand is not this package.
COMMAND = (sys.executable, "-P", "-m", "testudo.view.picture_process")
ROOT = str(Path(__file__).parents[2])
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def thumbnail(data: bytes, limits: ImageLimits) -> bytes:
    """A small JPEG of a picture as a viewer shows it, without a byte of its file.

    Raises Rejected, as `decode_image` does, which judges it by the job's limits.
    """
    square, facts = decode_image(data, size_px=SIDE_PX, limits=limits)
    width_px, height_px = facts.width_px, facts.height_px
    if _is_on_its_side(data):
        width_px, height_px = height_px, width_px
    longest_px = max(width_px, height_px)
    size = [max(LEAST_PX, round(one * SIDE_PX / longest_px)) for one in (width_px, height_px)]
    file = BytesIO()
    Image.fromarray(square).resize((size[0], size[1])).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _is_on_its_side(data: bytes) -> bool:
    """Whether the file says that width and height are to be exchanged."""
    bare = bare_image(data)
    orientation = bare.orientation
    if bare.format == "WEBP":
        with Image.open(BytesIO(bare.data), formats=(bare.format,)) as image:
            orientation = exif_orientation(image.info.get("exif", b"")) or xmp_orientation(
                image.info.get("xmp", b"")
            )
    return orientation in ON_ITS_SIDE


def _read(answer: bytes) -> bytes:
    """The thumbnail. Raises Unreadable with why there is none, and for what is no answer."""
    try:
        jpeg, why = msgpack.unpackb(answer)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise Unreadable("the decoder's answer cannot be read") from error
    if why or not isinstance(jpeg, bytes) or len(jpeg) > MAX_JPEG_BYTES:
        raise Unreadable(str(why) or "the decoder's answer is no thumbnail")
    return jpeg


class Pictures:
    """The process, started when the first picture is asked for; safe to use from threads."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._turn = threading.Lock()
        self._child: Started | None = None
        self._over = False

    def thumbnail(self, data: bytes) -> bytes:
        """As the function. Raises Unreadable for what is no picture, or ends the process."""
        with self._turn:
            try:
                answer = self._running().ask(data, allowed_s=ALLOWED_S)
            except ProcessEnded as ended:
                raise Unreadable(f"decoding it ended the decoder: {ended}") from ended
        return _read(answer)

    def close(self) -> None:
        """End the process in the middle of a picture too, and start no other."""
        self._over = True
        if self._child is not None:
            self._child.end()

    def _running(self) -> Started:
        if self._over:
            raise Unreadable("the server is ending", passes=True)
        if self._child is None or not self._child.usable:
            environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
            paths = filter(None, (ROOT, os.environ.get("PYTHONPATH")))
            environment["PYTHONPATH"] = os.pathsep.join(paths)
            self._child = Started((*COMMAND, json.dumps(vars(self._limits))), environment)
        return self._child
