"""What Google's launcher does with a Flex Template: checks its parameters, runs its entry.

The entry runs in a process of its own, which gets the launch request as flags and
`--template_location`: Beam then writes the job that it would submit as an object.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from google.cloud.dataflow_v1beta3 import Job
from google.protobuf.json_format import ParseError

from models.objects import OBJECTS

ENTRY = Path(__file__).parents[2] / "templates" / "image" / "launch.py"
ALLOWED_S = 300.0
SAID_CHARS = 4000
# Fields of a request's environment, and the flags that they become.
FLAGS = {
    "additionalExperiments": "experiments",
    "autoscalingAlgorithm": "autoscaling_algorithm",
    "diskSizeGb": "disk_size_gb",
    "kmsKeyName": "dataflow_kms_key",
    "machineType": "machine_type",
    "maxWorkers": "max_num_workers",
    "network": "network",
    "numWorkers": "num_workers",
    "sdkContainerImage": "sdk_container_image",
    "serviceAccountEmail": "service_account_email",
    "stagingLocation": "staging_location",
    "subnetwork": "subnetwork",
    "tempLocation": "temp_location",
}
# Settings that are no `--flag=value`, by field and value; numbers are the enums of the API.
SWITCHES = {
    ("enableStreamingEngine", True): "--enable_streaming_engine",
    ("ipConfiguration", 1): "--use_public_ips",
    ("ipConfiguration", 2): "--no_use_public_ips",
}
OTHERS = {"additionalPipelineOptions", "additionalUserLabels", "launcherMachineType"}
Parameter = dict[str, Any]
Key = tuple[str, str, str]  # project, location, job id
Finish = Callable[[Key, Job | None, str], None]


def launch_problems(parameter: Parameter) -> list[str]:
    """Why Dataflow would refuse the request, before anything is started."""
    try:
        spec = json.loads(OBJECTS.read(str(parameter.get("containerSpecGcsPath"))))
    except (OSError, ValueError) as error:
        return [f"containerSpecGcsPath: unable to open template file: {error}"]
    known = {parameter["name"]: parameter for parameter in spec["metadata"]["parameters"]}
    given = parameter.get("parameters") or {}
    problems = [f"{name}: Unrecognized parameter" for name in given if name not in known]
    problems += [
        f"{name}: Missing required parameter"
        for name, metadata in known.items()
        if not metadata.get("isOptional") and name not in given
    ]
    problems += [
        f"{name}: Parameter didn't match regex '{regex}'"
        for name, metadata in known.items()
        for regex in metadata.get("regexes", [])
        if name in given and not re.fullmatch(regex, given[name])
    ]
    environment = parameter.get("environment") or {}
    switches = {field for field, _ in SWITCHES}
    unknown = set(environment) - set(FLAGS) - switches - OTHERS
    return problems + [f"{name}: the stand-in does not know this field" for name in unknown]


def launch_flags(parameter: Parameter) -> Iterator[str]:
    """The command line of the entry, as Google's launcher makes it."""
    for name, value in (parameter.get("parameters") or {}).items():
        yield f"--{name}={value}"
    environment = parameter.get("environment") or {}
    for field, value in environment.items():
        if field == "additionalUserLabels":
            yield from (f"--labels={key}={text}" for key, text in value.items())
        elif field == "additionalPipelineOptions":
            yield from (f"--{option}" for option in value)
        elif field in FLAGS:
            values = value if isinstance(value, list) else [value]
            yield from (f"--{FLAGS[field]}={item}" for item in values)
        elif (field, value) in SWITCHES:
            yield SWITCHES[field, value]
    if parameter.get("update"):
        yield "--update"
    if mapping := parameter.get("transformNameMappings"):
        yield f"--transform_name_mapping={json.dumps(mapping)}"


class Launcher:
    """Runs launch entries: `command` and the flags, in the environment of this process."""

    def __init__(
        self,
        endpoint: str,
        lock: threading.Lock,
        command: Sequence[str] = (sys.executable, str(ENTRY)),
    ) -> None:
        self._endpoint = endpoint
        self._lock = lock
        self._command = command

    def start(self, key: Key, parameter: Parameter, finish: Finish) -> None:
        """Run the entry; `finish(key, job, what it said)` is called with the lock held."""
        project, location, job_id = key
        temp = parameter.get("environment", {}).get("tempLocation", f"gs://{project}/temp")
        job_object = f"{temp}/template_launches/{job_id}/job_object"
        flags = [
            *launch_flags(parameter),
            "--runner=DataflowRunner",
            f"--project={project}",
            f"--region={location}",
            f"--job_name={parameter['jobName']}",
            f"--template_location={job_object}",
            f"--dataflow_endpoint={self._endpoint}",
            "--no_auth",
        ]
        run = threading.Thread(target=self._run, args=(key, flags, job_object, finish), daemon=True)
        run.start()

    def _run(self, key: Key, flags: Sequence[str], job_object: str, finish: Finish) -> None:
        job, said = None, ""
        try:
            done = subprocess.run(
                [*self._command, *flags],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ALLOWED_S,
            )
            said = done.stderr[-SAID_CHARS:]
            if done.returncode == 0:
                job = Job.from_json(OBJECTS.read(job_object).decode())
        except (OSError, ValueError, subprocess.SubprocessError, ParseError) as error:
            said = f"{said}\n{error}"
        finally:  # also of what nobody thought of: whoever launched it waits
            with self._lock:
                finish(key, job, f"Error processing the template: {said}")
