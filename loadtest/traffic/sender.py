"""The generator: sends a trace to a topic on schedule, from processes of its own.

Message i is sent by process i modulo their number. Each loads what the caller has
drawn, says that it is ready, and waits on its standard input for the moment to begin.
End of file there means that the caller is gone, or wants no more.
"""

import argparse
import gc
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import storage

from loadtest.traffic.open_loop import OpenLoop
from loadtest.traffic.payloads import Payloads
from loadtest.traffic.schedule import Schedule
from loadtest.traffic.senders import DUE, READY, SendError, Senders
from loadtest.traffic.sent import SENT, SentFile, join_shares, save_share
from loadtest.traffic.trace import load_trace
from testudo.cloud.million import LEAST_BYTES, TIB
from testudo.cloud.prices import Prices, read_prices

LIMIT_USD = 5.0
ATTRIBUTES_BYTES = 150  # ids and the idempotency key, with their names


def send(
    topic: str,
    trace_path: Path,
    *,
    prefix: str,
    image_bucket: str = "",
    start_at: float | None = None,
    processes: int = 1,
    report: Callable[[str], None],
    limit_usd: float = LIMIT_USD,
    region: str = "us-central1",
    stop: threading.Event | None = None,
) -> SentFile:
    """Send a trace to `topic` (projects/P/topics/T); item ids are `prefix` and a number.

    Begins at `start_at` (Unix time), or as soon as all processes are ready. Writes
    sent.parquet beside the trace, also when it is ended early, by `stop`, Ctrl-C or SIGTERM.
    `report` gets every second how many messages were due. Where no emulator is named by
    the environment, Pub/Sub bills: nothing is sent that would cost more than `limit_usd`.

    Raises SendError, BadTrace, NoImageBucket.
    """
    schedule = load_trace(trace_path)
    payloads = Payloads.draw(schedule.kinds, image_bucket=image_bucket)
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        _check_cost(schedule, payloads, limit_usd, region, report)
    _upload(payloads.uploads, topic.split("/")[1], image_bucket)
    target = trace_path.with_name(SENT)
    with tempfile.TemporaryDirectory(prefix="testudo-sender-") as name:
        drawn = Path(name) / "payloads.parquet"
        payloads.save(drawn)
        flags = {"topic": topic, "trace": trace_path, "payloads": drawn, "prefix": prefix}
        with Senders(Path(name), processes, flags) as senders:
            began = senders.begin(start_at)
            try:
                senders.wait(len(schedule.due_s), report, stop or threading.Event())
            finally:
                shares = senders.end()
                sent = join_shares(shares, target, began, whole=len(schedule.due_s))
    return sent


def published_bytes(schedule: Schedule, payloads: Payloads) -> float:
    """Of all messages, each as billed: with its attributes, and 1,000 at least."""
    sizes = [payloads.mean_bytes(kind) + ATTRIBUTES_BYTES for kind in range(len(schedule.kinds))]
    billed = np.maximum(sizes, LEAST_BYTES)
    return float(billed[schedule.kind].sum())


def cloud_cost(schedule: Schedule, payloads: Payloads, prices: Prices) -> float:
    """US dollars for every message published, and delivered to one subscription."""
    return 2 * published_bytes(schedule, payloads) / TIB * prices.usd["pubsub_tib"]


def _check_cost(
    schedule: Schedule,
    payloads: Payloads,
    limit_usd: float,
    region: str,
    report: Callable[[str], None],
) -> None:
    usd = cloud_cost(schedule, payloads, read_prices(region))
    if usd > limit_usd:
        raise SendError(
            f"Pub/Sub would bill {usd:.2f} USD for {len(schedule.due_s):,} messages, and "
            f"{limit_usd:.2f} USD is the limit: send fewer, or allow more with --limit_usd"
        )
    report(f"Pub/Sub will bill about {usd:.2f} USD for this")


def _upload(uploads: Mapping[str, bytes], project: str, image_bucket: str) -> None:
    if not uploads:
        return
    try:
        with storage.Client(project=project) as client:
            bucket = client.bucket(image_bucket)
            for name, data in uploads.items():
                bucket.blob(name).upload_from_string(data, content_type="image/jpeg")
    except GoogleAPICallError as error:
        raise SendError(f"{image_bucket} did not take a picture: {error}") from error


def main() -> int:
    """One of the processes, started by `send`."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Part of the load generator.")
    for name, kind in (
        ("topic", str), ("trace", Path), ("payloads", Path), ("prefix", str),
        ("share", int), ("of", int), ("out", Path),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, required=True)
    flags = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    loop = OpenLoop(
        flags.topic,
        load_trace(flags.trace),
        Payloads.load(flags.payloads),
        prefix=flags.prefix,
        share=flags.share,
        of=flags.of,
    )
    gc.freeze()  # what is there stays: a collection that went through it would cost milliseconds
    print(READY, flush=True)
    start = sys.stdin.readline()
    if not start:
        return 0
    threading.Thread(target=_stop_at_end, args=(stop,), daemon=True).start()
    cpu_s = time.process_time()
    done = loop.run(float(start), stop, lambda due: print(DUE, due, flush=True))
    save_share(flags.out, loop, done, time.process_time() - cpu_s)
    return 0


def _stop_at_end(stop: threading.Event) -> None:
    try:
        os.read(sys.stdin.fileno(), 1)  # no lock of the interpreter's is held meanwhile
    finally:
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
