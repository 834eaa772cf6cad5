"""Grants: what may be named in them, and the statements that are made of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipeline.tables import TENANTS_TABLES
from testudo.cli import main
from testudo.cloud.row_access import POLICY, Grant, checked, grant_of, granting, revoking
from testudo.commands.access import tenants_views
from testudo.errors import CommandError

ANALYSTS = "group:analysts@example.com"


@pytest.mark.parametrize(
    "principal",
    [
        ANALYSTS,
        "user:a.b+c@example.co.uk",
        "serviceAccount:job@my-project.iam.gserviceaccount.com",
        "domain:example.com",
    ],
)
@pytest.mark.parametrize("tenant", ["acme", "A.b_c:d-1", "a" * 100, ""])
def test_a_grant_has_a_policy_that_tells_what_it_is_for(principal: str, tenant: str) -> None:
    """So that listing the names of policies is enough."""
    grant = checked(Grant(principal, tenant))
    assert POLICY.fullmatch(grant.policy)
    assert grant_of(grant.policy) == grant


@pytest.mark.parametrize(
    "principal",
    [
        "", "analysts@example.com", "group:", "group:a", "allUsers", "allAuthenticatedUsers",
        "group:a@b", "user:a@example.com') FILTER USING (TRUE) --", "user:a'b@example.com",
        "user:a@exam ple.com", "user:a@example.com\n", "user:a\\@example.com", "GROUP:a@b.example",
        "user:`a`@example.com", "user:{tenant}@example.com",
    ],
)  # fmt: skip
def test_a_principal_of_another_form_is_refused(principal: str) -> None:
    """It goes into a statement as text."""
    with pytest.raises(CommandError, match="--principal"):
        checked(Grant(principal, "acme"))


@pytest.mark.parametrize("tenant", ["a'b", "a b", "a\n", "ü", "a`", "a\\", "a" * 129, "{table}"])
def test_a_tenant_that_no_message_may_have_is_refused(tenant: str) -> None:
    """By the pattern of the messages' own schema."""
    with pytest.raises(CommandError, match="--tenant"):
        granting(Grant(ANALYSTS, tenant), "testudo")


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Both values, each with what it must look like."""
    with pytest.raises(CommandError) as refused:
        checked(Grant("nobody", "a b"))
    assert len(str(refused.value).splitlines()) == 2


@given(*[st.from_regex(r"[A-Za-z0-9._:-]{1,20}", fullmatch=True)] * 2)
def test_no_two_tenants_share_a_policy(one: str, other: str) -> None:
    """Also not where names of policies are compared without regard to case."""
    policies = {Grant(ANALYSTS, tenant).policy.lower() for tenant in (one, other)}
    assert len(policies) == len({one, other})


def test_names_of_other_policies_are_left_alone() -> None:
    """Whoever made them by hand keeps them."""
    assert grant_of("apac_filter") is None
    assert grant_of("other_x_group_3aa") is None


def test_each_table_with_tenants_gets_its_policy() -> None:
    """With the tenant's rows alone, and nothing left to be filled in."""
    statements = granting(Grant(ANALYSTS, "acme"), "my-project.testudo")
    assert len(statements) == len(TENANTS_TABLES)
    for table, sql in zip(TENANTS_TABLES, statements, strict=True):
        assert f"ON `my-project.testudo.{table}`\n" in sql
        assert sql.endswith(f"GRANT TO ('{ANALYSTS}')\nFILTER USING (tenant_id = 'acme')\n")
        assert not re.search(r"[{}]", sql)


def test_operators_see_every_row() -> None:
    """By the filter that BigQuery asks for where something else than a query reads a table."""
    assert granting(Grant(ANALYSTS), "testudo")[0].endswith("FILTER USING (TRUE)\n")


def test_what_was_granted_is_revoked_by_the_same_name() -> None:
    """On the table that is named."""
    grant = Grant(ANALYSTS, "acme")
    assert revoking(grant, "testudo", "replays").endswith(
        f"DROP ROW ACCESS POLICY {grant.policy} ON `testudo.replays`\n"
    )


def test_views_over_what_jobs_cost_are_not_for_tenants() -> None:
    """Over one tenant's rows alone they would give it the whole bill."""
    assert set(tenants_views()) >= {"latest_predictions", "outcomes_by_hour", "drift"}
    assert not {"tenant_costs", "job_days"} & set(tenants_views())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tenant=acme"], "name --principal, and --tenant or --all_tenants"),
        ([f"--principal={ANALYSTS}"], "name --principal, and --tenant or --all_tenants"),
        (["--tenant=a b", "--principal=x"], "--tenant: 'a b' does not match"),
    ],
)
def test_a_wrong_grant_is_refused_before_anything_is_asked(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No environment is looked at, and BigQuery is not called."""
    assert main(["access", "grant", "nowhere", *words]) == 2
    assert told in capsys.readouterr().err
