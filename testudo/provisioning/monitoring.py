"""Alert policies and the dashboard: the files of templates/monitoring, filled for an environment.

The files are in Cloud Monitoring's own format; queries are PromQL, because only
it can tell a ratio, or that one thing comes and another does not. Counters of
a Beam job are gauges there, hence `delta` and not `rate`.
"""

import json
from importlib import resources
from string import Template
from typing import Any

from testudo.environment import Environment
from testudo.provisioning.resources import Fields, Kind, Resource, labels_of

# By this label a policy is known again, whatever its title is changed to.
ALERT_LABEL = "testudo_alert"
DEAD_LETTER_TOPIC = "dead-letter-topic"
LEAST_LATENCY_ALERT_S = 60.0  # Dataflow measures its lag once a minute


def monitoring(environment: Environment) -> list[Resource]:
    """The alert on the dead-letter topic stands only where there is such a topic."""
    place = f"projects/{environment.project}"
    policies = [
        Resource(Kind.ALERT, f"{place}/alertPolicies/{key}", alert_policy(environment, key), ())
        for key in alerts()
        if key != DEAD_LETTER_TOPIC or environment.delivery_attempts
    ]
    board = {**_filled(environment, "dashboard.json"), "labels": _dashboard_labels(environment)}
    return [*policies, Resource(Kind.DASHBOARD, f"{place}/dashboards/{environment.name}", board)]


def alerts() -> list[str]:
    """The names of all alerts: of the files, and of the headings in docs/operate.md."""
    folder = resources.files("templates").joinpath("monitoring/alerts")
    return sorted(file.name.removesuffix(".json") for file in folder.iterdir())


def alert_policy(environment: Environment, key: str) -> Fields:
    policy: dict[str, Any] = _filled(environment, f"alerts/{key}.json")
    policy["enabled"] = True
    policy["userLabels"] = {ALERT_LABEL: key, **labels_of(environment)}
    if environment.notification_channels:  # else those that somebody chose by hand stay
        policy["notificationChannels"] = list(environment.notification_channels)
    return policy


def _dashboard_labels(environment: Environment) -> Fields:
    """A dashboard's labels are a set of names, whose values stay empty."""
    return {"testudo": "", environment.name: ""}


def _filled(environment: Environment, name: str) -> dict[str, Any]:
    text = resources.files("templates").joinpath("monitoring", name).read_text(encoding="utf-8")
    filled: dict[str, Any] = json.loads(Template(text).substitute(placeholders(environment)))
    return filled


def placeholders(environment: Environment) -> dict[str, str]:
    """Names are checked by the environment, so that none can break out of JSON or of a query."""
    return {
        "environment": environment.name,
        "jobs": f"testudo-{environment.name}-[0-9]{{8}}-[0-9]{{6}}",  # as launched
        "topic": environment.topic,
        "subscription": environment.subscription,
        "delivery_attempts": str(environment.delivery_attempts),
        "latency_goal_s": f"{environment.latency_goal_s:g}",
        "latency_alert_s": f"{max(LEAST_LATENCY_ALERT_S, 3 * environment.latency_goal_s):g}",
        "max_workers": str(environment.max_num_workers),
        "costly_workers": f"{environment.max_num_workers / 2:g}",
    }
