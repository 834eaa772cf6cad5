"""A files-mode run as `testudo view` reads it: rows, and the messages that they name."""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from warehouse import MONDAY, SECOND, Row, failed, files_engine, prediction

from models.features import ImageLimits
from testudo.commands.engines import FilesEngine
from testudo.view.contents import Contents, refuse_images
from testudo.view.payloads import Payloads
from testudo.view.pictures import Pictures
from testudo.view.questions import Questions
from testudo.view.server import View, serve
from testudo.view.site import Site, Source

Scores = Sequence[tuple[str, str, float]]  # model, label, score


class Sending(NamedTuple):
    """One message and the row that became of it, without its payload_uri."""

    table: str
    row: Row
    data: bytes


def scored(item_id: str, number: int = 0, *, scores: Scores = (), **changes: Any) -> Sending:
    """An item that was predicted, later ones by their number; `data` is what was sent."""
    data = changes.pop("data", json.dumps({"item_id": item_id, "text": f"text of {item_id}"}))
    row = prediction(item_id, MONDAY + number * SECOND, **changes)
    if scores:
        row["scores"] = [dict(zip(("model", "label", "score"), one, strict=True)) for one in scores]
    return Sending("predictions", row, data if isinstance(data, bytes) else data.encode())


def dead(item_id: str, number: int = 0, **changes: Any) -> Sending:
    """An item that was not; `detail` and `reason` are the row's."""
    data = changes.pop("data", b"{}")
    detail = changes.pop("detail", "is no image")
    row = failed(item_id, MONDAY + number * SECOND, **changes)
    return Sending("dead_letters", row | {"detail": detail}, data)


def write_run(folder: Path, sent: Sequence[Sending]) -> Path:
    """The folder, with each message in an object of its own."""
    tables: dict[str, list[Row]] = {"predictions": [], "dead_letters": []}
    for number, (table, row, data) in enumerate(sent):
        place = f"payloads/dt=2026-11-02/{number:032x}.bin"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"before" + data + b"behind")
        # As written by a run whose --output was another name of the folder.
        tables[table].append(row | {"payload_uri": f"out/{place}#6-{6 + len(data)}"})
    files_engine(folder, tables)
    return folder


@contextlib.contextmanager
def viewing(folder: Path, *, refresh_s: int = 0) -> Iterator[View]:
    """The application over a run, as the command makes it; not yet on a port."""
    contents = Contents(Payloads(str(folder)), Pictures(ImageLimits()), refuse_images)
    try:
        questions = Questions(FilesEngine(folder))
        yield View(Site(Source("files in out", "all", refresh_s), questions, contents))
    finally:
        contents.close()


@contextlib.contextmanager
def served(view: View) -> Iterator[str]:
    """Its address, while it answers."""
    server = serve(view, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield view.address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
