"""`testudo access`: which principals see which tenant's rows in BigQuery."""

import argparse
from collections.abc import Iterator

from google.api_core.exceptions import Forbidden
from google.cloud.bigquery import Client
from rich.console import Console

from beam_pipeline.tables import NAMED, TENANTS_TABLES, statements
from testudo.cloud.row_access import ALL_ROWS, Grant, checked, grant_of, granting, revoking
from testudo.commands.engines import Answer
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.query import as_table
from testudo.commands.refused import google_errors
from testudo.environment import Environment
from testudo.errors import CommandError

EXAMPLE = "testudo access grant staging --tenant acme --principal user:a@example.com"
VIEWER = "roles/bigquery.dataViewer"
EVERYBODY = "all tenants"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("grant", "revoke", "list"))
    add_environment_arguments(parser)
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--tenant", help="the tenant whose rows are seen")
    whose.add_argument(
        "--all_tenants", action="store_true", help="every row, for operators; grant this first"
    )
    parser.add_argument("--principal", help="who, as group:analysts@example.com")


def main(arguments: argparse.Namespace) -> int:
    grant = None if arguments.action == "list" else grant_from(arguments)
    environment = environment_of(arguments)
    with google_errors("BigQuery"), Client(project=environment.project) as client:
        access = Access(client, environment)
        try:
            if grant is None:
                Console().print(as_table(access.listed()))
            elif arguments.action == "grant":
                access.grant(grant)
            else:
                access.revoke(grant)
        except Forbidden as error:
            raise CommandError(f"{error.message}\nneeded: roles/bigquery.dataOwner") from error
    if grant:
        whom = grant.tenant or EVERYBODY
        Console().print(f"{arguments.action}: {whom}, {grant.principal}", markup=False)
    return 0


def grant_from(arguments: argparse.Namespace) -> Grant:
    if not arguments.principal or not (arguments.tenant or arguments.all_tenants):
        raise CommandError("name --principal, and --tenant or --all_tenants")
    return checked(Grant(arguments.principal, arguments.tenant or ALL_ROWS))


class Access:
    """The policies of one dataset's tables, and who may read tables and views at all."""

    def __init__(self, client: Client, environment: Environment) -> None:
        self._client = client
        self._worker = Grant(f"serviceAccount:{environment.worker_email}")
        self._dataset = f"{environment.project}.{environment.dataset}"

    def grant(self, grant: Grant) -> None:
        """The policy first, then the right to read: never a moment in which all rows are seen."""
        if grant.tenant and not any(held.tenant == ALL_ROWS for _, held in self._grants()):
            raise CommandError(
                "once a table has a policy, whoever has none sees no row of it: first give "
                "operators all rows, with `testudo access grant ENVIRONMENT --all_tenants "
                "--principal group:operators@example.com`"
            )
        # The job only appends, for which it needs no row; what reads its own rows later would.
        for given in [grant] if grant.tenant else [grant, self._worker]:
            for policy_statement in granting(given, self._dataset):
                self._client.query_and_wait(policy_statement)
        self._let_read(grant.principal, may=True)

    def revoke(self, grant: Grant) -> None:
        """The right to read first, unless another grant of the principal needs it."""
        grants = list(self._grants())
        held = [table for table, held_grant in grants if held_grant == grant]
        if not held:
            raise CommandError(f"{grant.principal} has no such grant: see `testudo access list`")
        others = [other for _, other in grants if other != grant]
        if not grant.tenant and not any(not each.tenant for each in others if each != self._worker):
            raise CommandError(
                "this is the last grant of all rows: give it to another principal first"
            )
        if not any(other.principal == grant.principal for other in others):
            self._let_read(grant.principal, may=False)
        for table in held:
            self._client.query_and_wait(revoking(grant, self._dataset, table))

    def listed(self) -> Answer:
        rows = sorted({(grant.tenant or EVERYBODY, grant.principal) for _, grant in self._grants()})
        return Answer(["tenant", "principal"], rows)

    def _grants(self) -> Iterator[tuple[str, Grant]]:
        """Every policy that was made here, with its table."""
        for table in TENANTS_TABLES:
            for policy in self._policies(table):
                grant = grant_of(policy)
                if grant:
                    yield table, grant

    def _policies(self, table: str) -> Iterator[str]:
        """Google's client has no call for it; its connection has."""
        project, dataset = self._dataset.split(".")
        path = f"/projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies"
        query = {"pageSize": "1000"}
        while True:
            answer = self._client._connection.api_request(
                method="GET", path=path, query_params=query
            )
            for policy in answer.get("rowAccessPolicies", []):
                yield policy["rowAccessPolicyReference"]["policyId"]
            if not answer.get("nextPageToken"):
                return
            query = {**query, "pageToken": answer["nextPageToken"]}

    def _let_read(self, principal: str, *, may: bool) -> None:
        """Tables and the views over them; not what the jobs cost."""
        for name in (*TENANTS_TABLES, *tenants_views()):
            table = f"{self._dataset}.{name}"
            policy = self._client.get_iam_policy(table)
            members = {
                member
                for binding in policy.bindings
                if binding["role"] == VIEWER
                for member in binding["members"]
            }
            if (principal in members) != may:
                wanted = members | {principal} if may else members - {principal}
                others = [binding for binding in policy.bindings if binding["role"] != VIEWER]
                policy.bindings = [*others, {"role": VIEWER, "members": wanted}]
                self._client.set_iam_policy(table, policy)


def tenants_views() -> list[str]:
    """The views that read nothing but tables with tenants, and so show each its own."""
    open_names: list[str] = list(TENANTS_TABLES)
    for name, sql in statements("views").items():
        if set(NAMED.findall(sql)) <= set(open_names):
            open_names.append(name)
    return open_names[len(TENANTS_TABLES) :]
