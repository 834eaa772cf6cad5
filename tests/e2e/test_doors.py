"""The pages of docs/examples: their commands run, each page in a folder where nothing is yet."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "docs/examples"
CPU_S = 240  # two minutes of two cores: what else the machine does counts for less
ALLOWED_S = 600
SAID = {  # what the last command of a page shows
    "keras": ["keras-", "category", "mismatch"],
    "onnx": ["mood-", "category", "mood", "good"],
    "functions": ["decided-", "of the release", '"action"'],
}


@pytest.mark.parametrize("page", sorted(EXAMPLES.glob("*.md")), ids=lambda path: path.stem)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """As a reader types them: one after the other, and the last one shows what is promised."""
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    bin_folder = Path(sys.executable).parent
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    own = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": own, "TF_CPP_MIN_LOG_LEVEL": "3"}
    before_s = _children_s()
    for block in blocks:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=ALLOWED_S,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert _children_s() - before_s < CPU_S
    for one in SAID[page.stem]:
        assert one in done.stdout, done.stdout


def _children_s() -> float:
    """Of CPU, that the commands of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
