"""The check of what the pipeline's flags name, as the job makes it at its start.

It runs in a process of its own, which ends when its time is up: the job's checks wait for
their services as long as a job does.

python -m testudo.doctor.inputs --flag=value ...
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from testudo.doctor.findings import Finding, Subject, failed, ok
from testudo.local.jobs import python_path

SHARE = 0.9  # of the check's time: what is left is for ending the process
LAST_CHARS = 300


def inputs(subject: Subject) -> Finding:
    """Whether all is there that the pipeline's flags name."""
    flags = [f"--{name}={value}" for name, value in subject.environment.pipeline_flags.items()]
    allowed_s = SHARE * subject.timeout_s
    try:
        done = subprocess.run(
            [sys.executable, "-m", "testudo.doctor.inputs", *flags],
            env={**os.environ, "PYTHONPATH": python_path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=allowed_s,
        )
    except subprocess.TimeoutExpired:
        return failed(
            f"no answer within {allowed_s:g} s",
            "Pub/Sub, BigQuery or Cloud Storage hangs, or is not reached from here.",
            "Run it again, with a longer --timeout_s.",
        )
    if done.returncode:
        return failed(
            f"the check ended with code {done.returncode}: {done.stderr.strip()[-LAST_CHARS:]}",
            "This is a bug of testudo, or this machine lacks memory.",
            "Report it, with these words.",
        )
    problems = json.loads(done.stdout)
    if problems:
        return failed(
            "; ".join(problems),
            "The job would end at its start.",
            f"testudo provision {subject.environment.name}; `testudo release push` for a release",
        )
    return ok(
        "subscription, tables and columns, buckets, current.json and its releases",
        "A job finds what it needs at its start.",
    )


def main(flags: Sequence[str]) -> int:
    """Print the problems as a JSON list; none is an empty one."""
    from beam_pipeline.checks import check  # with Beam, two seconds
    from beam_pipeline.config import ConfigError
    from beam_pipeline.options import config_from

    problems: list[str] = []
    try:
        config, _ = config_from(list(flags))
        check(config)
    except ConfigError as error:
        problems = error.problems
    print(json.dumps(problems))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
