"""`testudo loadtest calibrate`: what an item costs on this machine, from which plans are made.

One process of the pipeline on a local stack of its own, at several rates and with two
sizes of picture; decoding is timed for more sizes outside of it. Then the proof: runs of
another size, and of two processes, are predicted and measured. docs/capacity.md says what
is fitted.
"""

import argparse
import contextlib
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from loadtest.capacity import proof
from loadtest.capacity.bench import CALIBRATION_RUNS, Bench, calibration_of
from loadtest.capacity.calibration import Calibration
from loadtest.capacity.images import Picture
from loadtest.commands.flags import OUT, Flags, add_job_arguments
from loadtest.measuring.rig import Rig
from loadtest.records import write_record
from loadtest.report.quantities import share
from loadtest.report.section import Table
from loadtest.report.terminal import rich_table
from loadtest.report.trial_sections import proof_table
from testudo.local.jobs import BUNDLES, DATAFLOW

EXAMPLE = "testudo loadtest calibrate --bundles dataflow"


FILE, PROOF = "calibration.json", "proof.json"
ALSO, ONLY, NO = "also", "only", "no"
MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT / "calibration",
        help=f"folder of {FILE}, {PROOF} and of the runs (%(default)s)",
    )
    parser.add_argument(
        "--bundles",
        choices=BUNDLES,
        default=DATAFLOW,
        help="how the job's bundles are made, see `testudo run`; of both, a plan shows the range "
        "(%(default)s)",
    )
    parser.add_argument(
        "--proof",
        choices=(ALSO, ONLY, NO),
        default=ALSO,
        help=f"predict runs that were not fitted and measure them: `{ALSO}`, `{ONLY}` for the "
        f"calibration in --out, or `{NO}` (%(default)s)",
    )
    parser.add_argument(
        "--picture",
        default="960x720 JPEG",
        metavar="SIZE",
        help="of the proof, one that was not calibrated on (%(default)s)",
    )
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="that each run sends for (%(default)g)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the traffic (%(default)s)")
    add_job_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 when the proof fails: a figure is not within its limit."""
    picture = _checked(arguments)
    console = Console(stderr=True)
    found = _measured(arguments, picture, console)
    if found is None:
        return 0
    write_record(found, arguments.out / PROOF)
    Console().print(rich_table(proof_table(found)))
    return 0 if found.holds else 1


def _checked(arguments: argparse.Namespace) -> Picture:
    """Raises CommandError with everything that is wrong."""
    flags = Flags(arguments)
    flags.within(5, 600, "seconds")
    flags.at_least(0, "seed")
    flags.release_in_use()
    picture = flags.read("picture", lambda: Picture.named(arguments.picture), ValueError)
    if flags.problems or picture is None:
        raise flags.error()
    return picture


def _measured(
    arguments: argparse.Namespace, picture: Picture, console: Console
) -> proof.Proof | None:
    """The proof; None where none is wanted. Saves and shows a calibration as soon as it is made."""
    if arguments.proof == ONLY:
        made = Calibration.load(arguments.out / FILE)
    runs = {
        ALSO: CALIBRATION_RUNS + 2 * proof.RUNS, ONLY: 2 * proof.RUNS, NO: CALIBRATION_RUNS,
    }[arguments.proof]  # fmt: skip
    with _running_bench(arguments, console, runs, processes=1) as bench:
        if arguments.proof != ONLY:
            made = calibration_of(bench, arguments.releases, machine(), arguments.bundles)
            made.save(arguments.out / FILE)
            Console().print(rich_table(cost_table(made)))
            print(f"Saved: {arguments.out / FILE}")
        if arguments.proof == NO:
            return None
        rows = [proof.prove(made, picture, bench)]
    done = runs - proof.RUNS
    with _running_bench(arguments, console, runs, processes=2, done=done) as bench:
        rows.insert(0, proof.prove(made, Picture.named(made.reference), bench))
    return proof.Proof(calibrated_on=made.machine, made_at=made.made_at, rows=rows)


@contextlib.contextmanager
def _running_bench(
    arguments: argparse.Namespace, console: Console, total: int, *, processes: int, done: int = 0
) -> Iterator[Bench]:
    """A rig of its own. Raises Failed."""

    def report(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    releases = str(arguments.releases)
    flags = [f"--bundles={arguments.bundles}"]
    with Rig(arguments.home, releases, processes=processes, flags=flags, report=report) as rig:
        yield Bench(
            rig=rig,
            folder=arguments.out,
            seconds=arguments.seconds,
            seed=arguments.seed,
            console=console,
            total=total,
            done=done,
        )


def machine() -> str:
    """The processor's name, where the system has it."""
    try:
        found = MODEL_NAME.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    name = found[1].strip() if found else platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def cost_table(made: Calibration) -> Table:
    """What an item of the reference costs, by role."""
    reference = Picture.named(made.reference)
    return Table(
        caption=f"CPU of an item, {made.reference}, bundles as on {made.bundles}",
        columns=["role", "ms an item", "idle, share of a core", "+-"],
        rows=[
            [
                role,
                f"{1000 * made.item_s(role, reference):.2f}",
                f"{cost.idle_share:.3f}",
                share(cost.spread),
            ]
            for role, cost in made.roles.items()
        ],
    )
