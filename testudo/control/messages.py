"""The stand-in for what is said of jobs: Dataflow's messages, and Cloud Logging's view of them."""

import json
import re
from datetime import datetime

from google.cloud.dataflow_v1beta3 import Job, JobMessage, JobMessageImportance
from google.protobuf.timestamp_pb2 import Timestamp

from testudo.control.launcher import Key
from testudo.control.server import Body, Request, Route, route

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class MessagesService:
    """Messages in memory, by the job's key; a job that said nothing has none."""

    def __init__(self) -> None:
        self._said: dict[Key, list[JobMessage]] = {}

    def routes(self, job: str) -> list[Route]:
        """`job` is the path of one job."""
        return [
            route("GET", f"{job}/messages", self._messages),
            route("POST", "/v2/entries:list", self._entries),
        ]

    def say(self, key: Key, text: str, importance: JobMessageImportance) -> None:
        kept = self._said.setdefault(key, [])
        kept.append(
            JobMessage(
                id=f"{len(kept):06d}", time=now(), message_text=text, message_importance=importance
            )
        )

    def _messages(self, request: Request) -> Body:
        path = request.path
        messages = self._said.get((path["project"], path["location"], path["job"]), [])
        least = int(request.query.get("minimumImportance") or 0)
        shown = [each for each in messages if _rank(each.message_importance) >= _rank(least)]
        return {"jobMessages": [as_json(message) for message in shown]}

    def _entries(self, request: Request) -> Body:
        """Cloud Logging's view of the same messages, newest first."""
        asked = request.body.get("filter", "")
        wanted = re.search(r'job_id="([^"]*)"', asked)
        least = re.search(r"severity>=(\w+)", asked)
        after = re.search(r'timestamp>"([^"]*)"', asked)
        entries = [
            {
                "logName": f"projects/{key[0]}/logs/dataflow.googleapis.com%2Fjob-message",
                "resource": {"type": "dataflow_step", "labels": {"job_id": key[2]}},
                "timestamp": as_json(message)["time"],
                "severity": _severity(message),
                "textPayload": message.message_text,
                "insertId": message.id,
            }
            for key, messages in self._said.items()
            for message in messages
            if wanted
            and key[2] == wanted[1]
            and (not least or _severity(message) in SEVERITIES[SEVERITIES.index(least[1]) :])
            and (not after or message.time > datetime.fromisoformat(after[1]))
        ]
        return {"entries": entries[::-1]}


def _severity(message: JobMessage) -> str:
    """Of a message as Cloud Logging has it: ERROR and WARNING, and INFO for all the rest."""
    name = JobMessageImportance(message.message_importance).name.rpartition("_")[2]
    return name if name in SEVERITIES[2:] else "INFO"


def _rank(importance: int) -> int:
    """Unknown, debug, detailed, basic, warning, error: Dataflow's order, not its numbers'."""
    return (0, 1, 2, 5, 3, 4).index(importance)


def now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


def as_json(message: Job | JobMessage) -> Body:
    """A message as Google's REST writes it."""
    text = type(message).to_json(message, always_print_fields_with_no_presence=False)
    return dict(json.loads(text))
