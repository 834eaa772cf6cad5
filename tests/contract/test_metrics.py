"""Metrics: the code's, the reference's, and what alerts and dashboard ask for are the same."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import _MetricsCollector
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy
from google.protobuf.json_format import ParseDict
from rigs.reference_texts import BEAM_METRICS, GOOGLE_METRICS, OWN_METRICS
from source import REPOSITORY, modules

from testudo.environment import Environment
from testudo.environment_file import environment_from
from testudo.provisioning.monitoring import alert_policy, alerts, monitoring
from testudo.provisioning.resources import Kind, Resource
from transforms.handlers import ImageHandler, ScorerHandler, TextHandler

REFERENCE = (REPOSITORY / "docs/reference.md").read_text(encoding="utf-8")
OPERATE = (REPOSITORY / "docs/operate.md").read_text(encoding="utf-8")
SUFFIXES = ("_COUNT", "_MAX", "_MEAN", "_MIN")
USER_COUNTER = "dataflow.googleapis.com/job/user_counter"
MINUTE_S = 60
OF_FILES = {"rows_written"}  # of no job that is watched


def declared() -> Iterator[tuple[str, str, str]]:
    """Namespace, name and kind of every metric that the code declares."""
    for tree in modules().values():
        for node in ast.walk(tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if re.fullmatch(r"(.*\.)?Metrics\.\w+", called):
                namespace, name = (ast.literal_eval(one) for one in node.args)
                yield namespace, name, called.rpartition(".")[2]


@pytest.fixture(scope="module")
def environment() -> Environment:
    """One with every resource that there can be, so that every alert is looked at."""
    values = {"project": "my-project", "delivery_attempts": 20, "notification_channels": ["c"]}
    return environment_from("production", values, "this test")


@pytest.fixture(scope="module")
def watching(environment: Environment) -> list[Resource]:
    return monitoring(environment)


def queries(value: Any) -> Iterator[str]:
    """Every PromQL query in a policy or a dashboard."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if name in ("query", "prometheusQuery") and isinstance(inner, str):
            yield inner
        elif isinstance(inner, dict | list):
            yield from queries(inner)


def selectors(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Metric and labels of each series that a query reads; raises ValueError for no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def note(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(query), note)
    for one in found:
        yield one.name, {each.name: each.value for each in one.matchers.matchers}


def in_promql(metric: str) -> str:
    """As Google writes it: the first slash a colon, every other mark an underscore."""
    domain, path = metric.split("/", 1)
    return ":".join(re.sub(r"\W", "_", one) for one in (domain, path))


def test_every_metric_is_listed_with_its_kind_and_unit() -> None:
    """The reference has one row a metric of the code, and no other; all share one namespace."""
    code = list(declared())
    assert {namespace for namespace, _, _ in code} == {"testudo"}
    assert sorted((name, kind) for _, name, kind in code) == sorted(
        (name, cells[0]) for name, cells in OWN_METRICS.items()
    )
    assert all(len(cells) == 3 and all(cells) for cells in OWN_METRICS.values())


def test_the_metrics_of_run_inference_are_listed() -> None:
    """All that this Beam counts, with their kinds."""
    kinds = {Metrics.DelegatingCounter: "counter", Metrics.DelegatingDistribution: "distribution"}
    counted = {
        one.metric_name.name: kinds[type(one)]
        for one in vars(_MetricsCollector("testudo_image")).values()
        if type(one) in kinds
    }
    assert {name: cells[0] for name, cells in BEAM_METRICS.items()} == counted
    assert all(len(cells) == 3 and all(cells) for cells in BEAM_METRICS.values())


def test_the_namespaces_of_the_models_are_named() -> None:
    """RunInference counts under a namespace a stage, which dashboards must know."""
    for handler in (ImageHandler, TextHandler, ScorerHandler):
        namespace = handler(releases="unused", batch_size=1).get_metrics_namespace()
        assert f"`{namespace}`" in REFERENCE


def test_alerts_and_dashboard_ask_for_listed_metrics_only(watching: list[Resource]) -> None:
    """Each query is PromQL, of a metric in the tables, and each listed one of Google's is used."""
    known = {in_promql(one): one for one in GOOGLE_METRICS}
    lists = {"counter": ("",), "distribution": SUFFIXES}
    names = {
        f"{name}{suffix}"
        for name, cells in {**OWN_METRICS, **BEAM_METRICS}.items()
        for suffix in lists[cells[0]]
    }
    used, counters = set(), set()
    for resource in watching:
        for query in queries(resource.fields):
            for metric, labels in selectors(query):
                assert metric in known, f"{resource.name}: {metric}"
                used.add(known[metric])
                if known[metric] == USER_COUNTER:
                    assert labels["metric_name"] in names, f"{resource.name}: {labels}"
                    counters.add(labels["metric_name"])
    assert used == set(GOOGLE_METRICS)
    assert set(OWN_METRICS) - OF_FILES <= counters, "a metric that nobody looks at"


@pytest.mark.parametrize("query", ["sum(", "rate(a:b[5m]) >", 'a{b="c"'])
def test_what_is_no_promql_would_be_found(query: str) -> None:
    """The check itself."""
    with pytest.raises(ValueError, match="."):
        list(selectors(query))


def test_every_selector_is_of_this_environment(
    environment: Environment, watching: list[Resource]
) -> None:
    """Two environments in one project do not ring for each other."""
    own = {environment.topic, environment.subscription, f"{environment.subscription}-dead-letters"}
    for resource in watching:
        for query in queries(resource.fields):
            for _, labels in selectors(query):
                job = labels.get("job_name", "")
                pubsubs = labels.get("topic_id", labels.get("subscription_id", ""))
                assert re.fullmatch(job, "testudo-production-20260101-000000") or pubsubs in own
                assert not job or not re.fullmatch(job, "testudo-production-eu-20260101-000000")


def test_policies_and_dashboard_are_what_cloud_monitoring_takes(watching: list[Resource]) -> None:
    """Google's own messages know every field; a policy is whole; a dashboard's tiles fit."""
    for resource in watching:
        if resource.kind is Kind.ALERT:
            policy = ParseDict(resource.fields, AlertPolicy.pb()())
            assert policy.combiner == AlertPolicy.ConditionCombinerType.OR
            assert policy.severity
            (condition,) = policy.conditions
            wait = condition.condition_prometheus_query_language
            assert wait.duration.seconds % MINUTE_S == 0
            assert wait.evaluation_interval.seconds >= 30
        else:
            board = ParseDict(resource.fields, Dashboard.pb()())
            for tile in board.mosaic_layout.tiles:
                assert tile.x_pos + tile.width <= board.mosaic_layout.columns <= 48


def test_the_only_alert_that_may_be_missing_is_that_of_the_dead_letter_topic() -> None:
    """It stands where Pub/Sub may dead-letter."""
    plain = environment_from("production", {"project": "my-project"}, "this test")
    made = {one.name.rpartition("/")[2] for one in monitoring(plain) if one.kind is Kind.ALERT}
    assert set(alerts()) - made == {"dead-letter-topic"}


def test_every_alert_says_what_to_do(environment: Environment) -> None:
    """A heading of docs/operate.md a policy, whole; the policy leads there."""
    text = OPERATE.split("\n## Alerts\n")[1].split("\n## ")[0]
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert sorted(headings) == alerts()
    for key in headings:
        section = text.split(f"### {key}\n")[1].split("\n### ")[0]
        for word in ("Means", "Look at", "Do", "Ignore"):
            assert f"- **{word}**" in section, f"{key}: {word}"
        content = alert_policy(environment, key)["documentation"]["content"]
        assert content.endswith(f"See docs/operate.md, {key}.")
