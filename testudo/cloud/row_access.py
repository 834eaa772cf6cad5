"""Row access policies: who sees which tenant's rows. Names, checks and statements; no calls.

BigQuery takes no query parameters in these statements, so everything that is
filled in is checked here against a form that has no quote, backslash or space.
A policy's name says whom and what it is for, so that listing the names is enough.
"""

import json
import re
from importlib import resources
from typing import NamedTuple

from beam_pipeline.tables import TENANTS_TABLES, fill, statements
from testudo.errors import CommandError

SCHEMA = json.loads(
    resources.files("transforms").joinpath("message.schema.json").read_text(encoding="utf-8")
)
TENANT = re.compile(SCHEMA["$defs"]["id"]["pattern"].strip("^$"))
PRINCIPAL = re.compile(
    r"(user|group|serviceAccount):[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
    r"|domain:[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
)
POLICY = re.compile(r"[a-z][a-z0-9_]{0,255}")
TENANTS, ALL = "tenant", "all_rows"  # what a policy's name begins with
SEPARATOR = "_x_"  # an escaped text has two hex digits after each underscore, never an x
ALL_ROWS = ""  # in place of a tenant; a tenant's id has one character at least


class Grant(NamedTuple):
    """A principal, as group:analysts@example.com, and the tenant whose rows it sees."""

    principal: str
    tenant: str = ALL_ROWS

    @property
    def policy(self) -> str:
        """tenant_x_acme_x_group_3aanalysts_40example_2ecom: no two grants share a name."""
        tenant = [TENANTS, _escaped(self.tenant)] if self.tenant else [ALL]
        return SEPARATOR.join([*tenant, _escaped(self.principal)])


def checked(grant: Grant) -> Grant:
    """The same grant. Raises CommandError."""
    problems = []
    if grant.tenant and not TENANT.fullmatch(grant.tenant):
        problems.append(f"--tenant: {grant.tenant!r} does not match {TENANT.pattern}")
    if not PRINCIPAL.fullmatch(grant.principal):
        problems.append(
            f"--principal: {grant.principal!r} is none of user:, group: or serviceAccount: with an "
            "address, or domain: with a name"
        )
    if not problems and not POLICY.fullmatch(grant.policy):
        problems.append("--tenant and --principal are too long together for a policy's name")
    if problems:
        raise CommandError("\n".join(problems))
    return grant


def grant_of(policy: str) -> Grant | None:
    """What a policy is for, by its name; None for one that was not made here."""
    match policy.split(SEPARATOR):
        case [kind, principal] if kind == ALL:
            return Grant(_unescaped(principal))
        case [kind, tenant, principal] if kind == TENANTS:
            return Grant(_unescaped(principal), _unescaped(tenant))
    return None


def granting(grant: Grant, dataset: str) -> list[str]:
    """The statements that give it, one for each table that has tenants."""
    name = "grant_tenant" if grant.tenant else "grant_all"
    return [_filled(name, grant, dataset, table) for table in TENANTS_TABLES]


def revoking(grant: Grant, dataset: str, table: str) -> str:
    return _filled("revoke", grant, dataset, table)


def _filled(name: str, grant: Grant, dataset: str, table: str) -> str:
    safe = checked(grant)
    values = {
        "{table}": table,
        "{policy}": safe.policy,
        "{principal}": safe.principal,
        "{tenant}": safe.tenant,
    }
    sql = fill(statements("access")[name], dataset)
    for mark, value in values.items():
        sql = sql.replace(mark, value)
    return sql


def _escaped(text: str) -> str:
    return re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):02x}", text)


def _unescaped(text: str) -> str:
    return re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
