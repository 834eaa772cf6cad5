"""Views, questions, costs and row access on the BigQuery stand-in, through Google's own client."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery, storage
from google.oauth2.credentials import Credentials
from warehouse import DAY, HOUR, MONDAY, everything, failed, files_engine, prediction

from beam_pipeline.io.writers import rejected_row
from beam_pipeline.tables import TENANTS_TABLES, statements
from testudo.cloud.row_access import Grant
from testudo.commands.access import VIEWER, Access, tenants_views
from testudo.commands.dead_letters import Filters
from testudo.commands.engines import Answer, BigQueryEngine, FilesEngine
from testudo.commands.export import Export
from testudo.commands.rejected_rows import REJECTED_ROWS, find_rejected_rows
from testudo.environment import Environment
from testudo.environment_file import environment_from
from testudo.errors import CommandError
from testudo.local.resources import create_dataset
from testudo.local.stack import LocalStack
from transforms.outcomes import json_line

DATASET = "warehouse"
QUANTILE = re.compile(r"p\d\d_")
OPERATORS = "user:operator@example.com"
ANALYST = "user:analyst@acme.example"


def load(client: bigquery.Client, dataset: str) -> None:
    create_dataset(client.project, dataset)
    for table, rows in everything().items():
        assert not client.insert_rows_json(f"{client.project}.{dataset}.{table}", rows)


def client_of(project: str, principal: str) -> bigquery.Client:
    """A client that is this principal for the stand-in, which reads the name in the token."""
    claims = json.dumps({"email": principal.split(":")[1]}).encode()
    token = f"a.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.b"
    return bigquery.Client(project=project, credentials=Credentials(token=token))


@pytest.fixture(scope="module")
def warehouse(stack: LocalStack) -> BigQueryEngine:
    client = bigquery.Client(project=stack.project)
    load(client, DATASET)
    return BigQueryEngine(client, DATASET)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FilesEngine:
    return files_engine(tmp_path_factory.mktemp("files"), everything())


def plain(value: Any) -> Any:
    """The value without what two engines' clients make of it: zones, tenth digits, types."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, float):
        return f"{value:.5f}"
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def without_quantiles(answer: Answer) -> Answer:
    """They are approximate, and over few rows differ from engine to engine."""
    kept = [number for number, name in enumerate(answer.columns) if not QUANTILE.match(name)]
    return Answer(
        [answer.columns[one] for one in kept], [[row[one] for one in kept] for row in answer.rows]
    )


def sorted_rows(answer: Answer) -> list[Any]:
    return sorted(plain(answer.rows), key=str)


@pytest.mark.parametrize("name", [*statements("views")])
def test_views_say_the_same_in_bigquery_and_over_files(
    name: str, warehouse: BigQueryEngine, files: FilesEngine
) -> None:
    """Row by row, over the same rows."""
    sql = f"SELECT * FROM `{{dataset}}.{name}`"
    one, other = files.ask(sql), warehouse.ask(sql)
    assert one.columns == other.columns
    assert len(one.rows) > 0
    assert sorted_rows(one) == sorted_rows(other)


@pytest.mark.parametrize("name", [*statements("queries")])
def test_questions_take_their_values_beside_the_statement(
    name: str, warehouse: BigQueryEngine, files: FilesEngine
) -> None:
    """Alike on both engines, and fewer rows than of all time where time is asked of."""
    given = {"since": datetime(2026, 11, 4, tzinfo=UTC), "item_id": "item-51"}
    given["until"] = datetime(2026, 11, 5, tzinfo=UTC)
    sql = statements("queries")[name]
    one, other = files.ask(sql, given), warehouse.ask(sql, given)
    assert sorted_rows(without_quantiles(one)) == sorted_rows(without_quantiles(other))
    if "@since" in sql:
        assert one.rows != files.ask(sql).rows


def test_tenants_costs_are_the_jobs_costs_to_the_cent(warehouse: BigQueryEngine) -> None:
    """In all, and on each day."""
    sql = """SELECT day, SUM(t) AS tenants_usd, SUM(j) AS jobs_usd FROM (
      SELECT day, cost_usd AS t, 0.0 AS j FROM `{dataset}.tenant_costs`
      UNION ALL SELECT day, 0.0, cost_usd FROM `{dataset}.job_days`) GROUP BY day"""
    days = warehouse.ask(sql).rows
    assert len(days) == 10
    for _, tenants_usd, jobs_usd in days:
        assert tenants_usd == pytest.approx(jobs_usd, abs=1e-9)
        assert jobs_usd > 0.1
    tenants_usd, jobs_usd = (round(sum(day[one] for day in days), 2) for one in (1, 2))
    assert tenants_usd == jobs_usd


# --- Refused rows ------------------------------------------------------------------------------


def test_refused_rows_stand_in_the_order_of_the_views(stack: LocalStack) -> None:
    """Each is open, predicted or superseded by what is newer than it in the tables."""
    with bigquery.Client(project=stack.project) as client:
        create_dataset(client.project, "refused")
        predictions = [prediction(one, message_id="9") for one in "abc"]
        letters = [failed(one, message_id="11") for one in "bd"]
        for table, rows in (("predictions", predictions), ("dead_letters", letters)):
            assert not client.insert_rows_json(f"{client.project}.refused.{table}", rows)
        states = {"a13": "open", "b10": "superseded", "c8": "predicted", "d12": "open"}
        refused = [prediction(one[0], message_id=one[1:], latency_s=9.0) for one in states]
        lines = [json_line(rejected_row(("t", row, [{"reason": "invalid"}]))) for row in refused]
        bucket = storage.Client(project=stack.project).create_bucket("refused-rows")
        name = f"{REJECTED_ROWS}/dt=2999-01-01/rows.jsonl"
        bucket.blob(name).upload_from_string("\n".join(lines))
        found = find_rejected_rows(
            client, "refused", bucket.client, f"gs://{bucket.name}", Filters()
        )
    assert {one.item_id + one.message_id: one.state for one in found} == states


# --- Row access ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(stack: LocalStack) -> Environment:
    """A dataset for these tests alone, with rows."""
    values = {"project": stack.project, "dataset": "guarded"}
    load(bigquery.Client(project=stack.project), values["dataset"])
    return environment_from("local", values, "the test")


@pytest.fixture
def access(environment: Environment) -> Iterator[Access]:
    """Without any policy before, nor after."""
    with bigquery.Client(project=environment.project) as client:
        yield Access(client, environment)
        place = f"{client.project}.{environment.dataset}"
        for table in TENANTS_TABLES:
            client.query_and_wait(f"DROP ALL ROW ACCESS POLICIES ON `{place}.{table}`")
        for name in (*TENANTS_TABLES, *tenants_views()):
            policy = client.get_iam_policy(f"{place}.{name}")
            policy.bindings = []
            client.set_iam_policy(f"{place}.{name}", policy)


def tenants_of(environment: Environment, principal: str, name: str) -> set[str]:
    """The tenants whose rows a principal sees of a table or view."""
    engine = BigQueryEngine(client_of(environment.project, principal), environment.dataset)
    return {row[0] for row in engine.ask(f"SELECT tenant_id FROM `{{dataset}}.{name}`").rows}


WITH_TENANTS = ("predictions", "dead_letters", "latest_predictions", "outcomes_by_hour")


def test_an_analyst_sees_its_tenants_rows_alone(access: Access, environment: Environment) -> None:
    """In tables and in views over them; operators and the job's account see all."""
    access.grant(Grant(OPERATORS))
    access.grant(Grant(ANALYST, "acme"))
    for name in WITH_TENANTS:
        assert tenants_of(environment, ANALYST, name) == {"acme"}
        assert tenants_of(environment, OPERATORS, name) == {"acme", "bolt", "cedar"}
        worker = f"serviceAccount:{environment.worker_email}"
        assert tenants_of(environment, worker, name) == {"acme", "bolt", "cedar"}


def test_who_has_no_policy_sees_nothing(access: Access, environment: Environment) -> None:
    """From the first policy on, whatever the right to read the table."""
    stranger = "user:stranger@example.com"
    assert tenants_of(environment, stranger, "predictions") == {"acme", "bolt", "cedar"}
    access.grant(Grant(OPERATORS))
    for name in WITH_TENANTS:
        assert tenants_of(environment, stranger, name) == set()


def test_policies_of_one_principal_add_up(access: Access, environment: Environment) -> None:
    """An analyst of two tenants sees both; a revoked one is gone, the other stays."""
    for grant in (Grant(OPERATORS), Grant(ANALYST, "acme"), Grant(ANALYST, "bolt")):
        access.grant(grant)
    assert tenants_of(environment, ANALYST, "predictions") == {"acme", "bolt"}
    access.revoke(Grant(ANALYST, "acme"))
    assert tenants_of(environment, ANALYST, "predictions") == {"bolt"}
    assert ("acme", ANALYST) not in access.listed().rows
    assert ("bolt", ANALYST) in access.listed().rows


def test_operators_come_first(access: Access, environment: Environment) -> None:
    """A tenant's policy alone would leave everybody else without a row."""
    with pytest.raises(CommandError, match="--all_tenants"):
        access.grant(Grant(ANALYST, "acme"))
    assert tenants_of(environment, OPERATORS, "predictions") == {"acme", "bolt", "cedar"}
    access.grant(Grant(OPERATORS))
    with pytest.raises(CommandError, match="last grant of all rows"):
        access.revoke(Grant(OPERATORS))
    with pytest.raises(CommandError, match="no such grant"):
        access.revoke(Grant(ANALYST, "acme"))


def test_reading_is_granted_where_rows_are_filtered(
    access: Access, environment: Environment
) -> None:
    """On tables and their views, never on what the jobs cost; and taken away at the last."""
    access.grant(Grant(OPERATORS))
    access.grant(Grant(ANALYST, "acme"))
    access.grant(Grant(ANALYST, "acme"))  # again does no harm

    def readable() -> set[str]:
        with bigquery.Client(project=environment.project) as client:
            names = (*TENANTS_TABLES, *statements("views"), "job_costs")
            policies = {
                name: client.get_iam_policy(f"{client.project}.{environment.dataset}.{name}")
                for name in names
            }
        return {
            name
            for name, policy in policies.items()
            for binding in policy.bindings
            if binding["role"] == VIEWER and ANALYST in binding["members"]
        }

    assert readable() == {*TENANTS_TABLES, *tenants_views()}
    access.revoke(Grant(ANALYST, "acme"))
    assert readable() == set()


def test_rows_are_appended_as_before(access: Access, environment: Environment) -> None:
    """Streaming inserts read nothing, so no policy stands in their way."""
    access.grant(Grant(OPERATORS))
    writer = client_of(environment.project, "user:writer@example.com")
    row = everything()["predictions"][0] | {"item_id": "appended"}
    table = f"{environment.project}.{environment.dataset}.predictions"
    assert not writer.insert_rows_json(table, [row])
    reader = BigQueryEngine(client_of(environment.project, OPERATORS), environment.dataset)
    sql = "SELECT COUNT(*) FROM `{dataset}.predictions` WHERE item_id = @item_id"
    assert reader.ask(sql, {"item_id": "appended"}).rows == [(1,)]


@pytest.fixture(scope="module")
def featured(stack: LocalStack) -> Iterator[bigquery.Client]:
    """Three items of a day, one of them twice, and one of the day after."""
    with bigquery.Client(project=stack.project) as client:
        create_dataset(stack.project, "featured")
        rows = [
            prediction("a", MONDAY, release="old"),
            prediction("a", MONDAY + HOUR, release="new"),
            prediction("b", MONDAY, tenant_id="bolt"),
            prediction("c", MONDAY),
            prediction("late", MONDAY + DAY),
        ]
        for row in rows:
            row["image_features"] = base64.b64encode(row["item_id"].encode()).decode()
        rows[2]["decisions"] = '{"action":"review","why":{"dear":true}}'
        assert not client.insert_rows_json(f"{stack.project}.featured.predictions", rows)
        yield client


def test_what_a_release_decided_can_be_asked_for(featured: bigquery.Client) -> None:
    """By its path in the JSON, also in a view; rows of releases without `decide` have none."""
    sql = """
    SELECT item_id, JSON_VALUE(decisions, '$.action') AS action,
      JSON_VALUE(decisions, '$.why.dear') AS dear
    FROM `{dataset}.latest_predictions` WHERE decisions IS NOT NULL
    """
    assert BigQueryEngine(featured, "featured").ask(sql).rows == [("b", "review", "true")]


def exported(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_a_day_is_exported_with_its_features(featured: bigquery.Client, tmp_path: Path) -> None:
    """Each item once, by its latest row, into a folder here or a bucket."""
    export = Export(featured, "featured", MONDAY.date())
    assert export.from_here(f"{tmp_path}/all", tenant_id="", release="") == 3
    found = {row["item_id"]: row for row in exported(tmp_path / "all")}
    assert {name: row["image_features"] for name, row in found.items()} == {
        "a": b"a",
        "b": b"b",
        "c": b"c",
    }
    assert found["a"]["release"] == "new"
    assert found["a"]["text_features"] is None
    assert [one["model"] for one in found["a"]["scores"]] == ["category", "category"]
    assert export.from_here(f"{tmp_path}/tenant", tenant_id="bolt", release="") == 1
    assert export.from_here(f"{tmp_path}/release", tenant_id="", release="old") == 1


def test_bigquery_itself_exports_the_same(
    featured: bigquery.Client, stack: LocalStack, tmp_path: Path
) -> None:
    """By the statement of a cloud; the stand-in puts the file where its objects are."""
    export = Export(featured, "featured", MONDAY.date())
    export.by_bigquery("gs://exported/dt=2026-11-02", tenant_id="", release="")
    (folder,) = stack.home.rglob("exported")
    assert sorted(row["item_id"] for row in exported(folder)) == ["a", "b", "c"]
