"""Files mode as it is measured: the graph's own entry, over files, in this process.

python -m rigs.files --messages=FILE --releases=FOLDER --items=N --few=N
"""

import itertools
import tempfile
from functools import partial
from pathlib import Path

from beam_pipeline.main import make_pipeline
from rigs.costs import difference, measured_run, tell


def first_lines(messages: Path, count: int, target: Path) -> None:
    with messages.open("rb") as lines, target.open("wb") as wanted:
        wanted.writelines(itertools.islice(lines, count))


def run(folder: Path, releases: str, count: int) -> None:
    """Run the graph over the file of `count` messages in `folder`. Raises what the job raises."""
    make_pipeline(
        [
            f"--input_file={folder / f'{count}.jsonl'}",
            f"--output={folder / 'output'}",
            f"--releases={releases}",
        ]
    ).run().wait_until_finish()


def main() -> None:
    wanted = measured_run()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (wanted.few, wanted.few + wanted.items):
            first_lines(wanted.messages, count, folder / f"{count}.jsonl")
        one = partial(run, folder, wanted.releases)
        tell(difference(one, few=wanted.few, items=wanted.items))


if __name__ == "__main__":
    main()
