"""BigQuery's SQL for DuckDB: what is proven to mean the same there; all else is refused."""

import functools
import logging
import re
from collections.abc import Iterator

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError

from testudo.commands.proven import ALLOWED, LIMITS
from testudo.commands.rewrites import REWRITES
from testudo.errors import CommandError

SCHEMA = "files"
SHOWN_CHARS = 60
ELSEWHERE = "not answered over files as BigQuery would; ask the local stack (without --output)"


class SqlError(CommandError):
    """A statement that is not asked, and why, in one line."""


def check_statement(sql: str) -> None:
    """Raises SqlError for what is not one statement, or names another dataset in braces."""
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except SqlglotError as error:
        raise SqlError(_said(error, sql)) from error
    wholes = [part for part in _split(tokens) if part]
    if not wholes:
        raise SqlError("there is no statement in it")
    if len(wholes) > 1:
        raise SqlError(f"there are {len(wholes)} statements in it; ask one at a time")
    names = ((TokenType.L_BRACE, TokenType.VAR), (TokenType.L_BRACE, TokenType.IDENTIFIER))
    pairs = list(zip(tokens, [*tokens[1:], None], strict=True))
    braced = [b.text for a, b in pairs if b and (a.token_type, b.token_type) in names]
    quoted = [token.text for token in tokens if token.token_type is TokenType.IDENTIFIER]
    braced += re.findall(r"\{(\w*)\}", " ".join(quoted))
    if others := [name for name in braced if name != "dataset"]:
        raise SqlError(f"{{{others[0]}}} is not filled in; only {{dataset}} is")


@functools.cache  # it takes some milliseconds, and views are the same each time
def to_duckdb(sql: str) -> str:
    """The statement in DuckDB's SQL, with its tables in SCHEMA and values as BigQuery has them.

    Raises SqlError for what is no SELECT, or has no counterpart that is proven.
    """
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what is judged here
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except SqlglotError as error:
        raise SqlError(_said(error, sql)) from error
    except RecursionError as error:
        raise SqlError("its brackets are nested too deeply") from error
    if not isinstance(tree, exp.Query):
        raise SqlError(f"{_shown(tree)}: files answer SELECT only")
    if odd := dict.fromkeys(_refused(tree)):
        raise SqlError(f"{', '.join(odd)}: {ELSEWHERE}")
    _name_columns(tree)
    for select in tree.find_all(exp.Select):
        _group_by_place(select)
    for node in reversed(list(tree.walk())):  # children first
        if rewrite := REWRITES.get(type(node)):
            node.replace(rewrite(node))
    return tree.sql("duckdb", unsupported_level=ErrorLevel.IGNORE)


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _said(error: SqlglotError, sql: str) -> str:
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        return f"line {first['line']}, column {first['col']}: {first['description']}"
    return f"line {sql.count(chr(10)) + 1} or before: a text or a name is not closed"


def _shown(node: exp.Expr) -> str:
    text = " ".join(node.sql("bigquery", unsupported_level=ErrorLevel.IGNORE).split())
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _refused(tree: exp.Expr) -> Iterator[str]:
    """What is not allowed, the outer of two that stand within each other."""
    ours = {cte.alias for cte in tree.find_all(exp.CTE)}

    def refuses(node: exp.Expr) -> bool:
        if isinstance(node, exp.Table):
            return node.db != SCHEMA and (bool(node.db) or node.name not in ours)
        limit = LIMITS.get(type(node))
        return type(node) not in ALLOWED or (limit is not None and not limit(node))

    for node in tree.walk(bfs=False, prune=refuses):
        if refuses(node):
            yield _shown(node)


def _group_by_place(select: exp.Expr) -> None:
    """GROUP BY a name of the SELECT list: BigQuery takes that, DuckDB a column of the name."""
    group = select.args.get("group")
    places = {
        expression.alias.lower(): place
        for place, expression in enumerate(select.args["expressions"], 1)
        if isinstance(expression, exp.Alias)
    }
    for key in list(group.expressions) if group else ():
        if isinstance(key, exp.Column) and not key.table and key.name.lower() in places:
            key.replace(exp.Literal.number(places[key.name.lower()]))


def _name_columns(tree: exp.Query) -> None:
    """Columns without a name are f0_, f1_ and so on."""
    number = 0
    select = tree.find(exp.Select)
    for expression in list(select.expressions) if select else ():
        if not expression.output_name and not expression.is_star:
            expression.replace(exp.alias_(expression.copy(), f"f{number}_"))
            number += 1
