"""What is written otherwise for DuckDB, so that it gives BigQuery's value or error."""

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from testudo.commands.proven import ELAPSED_US, unit_of

# A type is a type at run time only: `typeof` is known when a statement is bound.
MACROS = """
CREATE MACRO bq_divisor(x) AS CASE WHEN x = 0 THEN error('division by zero') ELSE x END;
CREATE MACRO bq_less(x) AS CASE WHEN typeof(x) = 'DATE'
  THEN error('a day less a day is an INTERVAL in BigQuery: use DATE_DIFF') ELSE x END;
CREATE MACRO bq_at(list, place) AS CASE WHEN place < 0 OR place >= len(list)
  THEN error('the array has no place ' || place) ELSE list[place + 1] END;
CREATE MACRO bq_safe_at(list, place) AS
  CASE WHEN place BETWEEN 0 AND len(list) - 1 THEN list[place + 1] END;
CREATE MACRO bq_substr(s, start, chars) AS CASE WHEN chars < 0
  THEN error('SUBSTR: a length below 0')
  ELSE substr(s, CASE WHEN start < 0 THEN greatest(length(s) + start + 1, 1)
    ELSE greatest(start, 1) END, chars) END;
CREATE MACRO bq_string(x) AS CASE
  WHEN typeof(x) = 'DOUBLE' THEN regexp_replace(CAST(x AS VARCHAR), '\\.0$', '')
  WHEN typeof(x) LIKE 'TIMESTAMP%' THEN error('a TIMESTAMP as text: use FORMAT_TIMESTAMP')
  ELSE CAST(x AS VARCHAR) END;
CREATE MACRO bq_safe_int64(x) AS CASE
  WHEN typeof(x) = 'DOUBLE' THEN TRY_CAST(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
  WHEN typeof(x) <> 'VARCHAR' OR regexp_full_match(CAST(x AS VARCHAR), '[+-]?[0-9]+')
  THEN TRY_CAST(x AS BIGINT) END;
CREATE MACRO bq_int64(x) AS CASE WHEN x IS NULL THEN NULL ELSE coalesce(bq_safe_int64(x),
  error('not an INT64: ' || CAST(x AS VARCHAR))) END;
CREATE MACRO bq_day(d) AS
  CASE WHEN typeof(d) IN ('DATE', '"NULL"') THEN d ELSE error('not a DATE: use DATE(...)') END;
CREATE MACRO bq_elapsed(later, earlier, unit_us) AS
  (epoch_us(later) - epoch_us(earlier)) // unit_us;
"""


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _checked(name: str) -> Callable[[exp.Expr], exp.Expr]:
    """The same operator, its right operand passed through a macro."""

    def check(node: exp.Expr) -> exp.Expr:
        node.set("expression", _call(name, node.expression))
        return node

    return check


def _literal(node: exp.Expr) -> exp.Expr:
    """DuckDB takes 0.1 for a decimal number, BigQuery for a FLOAT64."""
    if node.is_string or not re.fullmatch(r"\d*\.\d*", node.name):
        return node
    return exp.Literal.number(f"{node.name}e0")


def _place(node: exp.Expr) -> exp.Expr:
    (place,) = node.expressions
    if node.args.get("offset"):
        place = exp.Sub(this=exp.Paren(this=place), expression=exp.Literal.number(1))
    return _call("bq_safe_at" if node.args.get("safe") else "bq_at", node.this, place)


def _cast(node: exp.Expr) -> exp.Expr:
    kind, safe = node.args["to"].this, isinstance(node, exp.TryCast)
    if kind is exp.DType.BIGINT:
        return _call("bq_safe_int64" if safe else "bq_int64", node.this)
    return _call("bq_string", node.this) if kind is exp.DType.TEXT else node


def _substring(node: exp.Expr) -> exp.Expr:
    chars = node.args.get("length") or exp.Length(this=node.this.copy())
    return _call("bq_substr", node.this, node.args["start"], chars)


def _extract(node: exp.Expr) -> exp.Expr:
    part = node.name.upper()
    if part == "DATE":
        return exp.cast(node.expression, "DATE")
    if part == "ISOWEEK":
        node.set("this", exp.var("WEEK"))
    return exp.paren(node + 1) if part == "DAYOFWEEK" else node


def _of_days(node: exp.Expr) -> exp.Expr:
    """A function of days: refuses moments, and gives a day."""
    node.set("this", _call("bq_day", node.this))
    return exp.cast(node, "DATE")


def _days_apart(node: exp.Expr) -> exp.Expr:
    for name in ("this", "expression"):
        node.set(name, _call("bq_day", node.args[name]))
    return node


def _elapsed(node: exp.Expr) -> exp.Expr:
    unit_us = exp.Literal.number(ELAPSED_US[unit_of(node)])
    return _call("bq_elapsed", node.this, node.expression, unit_us)


def _quantiles(node: exp.Expr) -> exp.Expr:
    """Exact ones: values that are there, as BigQuery's documented examples."""
    parts = int(node.expression.name)
    places = [exp.Literal.number(number / parts) for number in range(parts + 1)]
    return _call("quantile_disc", node.this, exp.Array(expressions=places))


def _field(node: exp.Expr) -> exp.Expr:
    """A field of a STRUCT loses its name in DuckDB where a macro stands for its value."""
    if isinstance(node.expression, exp.Anonymous):
        node.set("expression", exp.case().when(exp.true(), node.expression.copy()))
    return node


REWRITES: Mapping[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Literal: _literal,
    exp.Div: _checked("bq_divisor"),
    exp.IntDiv: _checked("bq_divisor"),
    exp.Mod: _checked("bq_divisor"),
    exp.Sub: _checked("bq_less"),
    exp.Bracket: _place,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Substring: _substring,
    exp.Like: lambda node: exp.Escape(this=node.copy(), expression=exp.Literal.string("\\")),
    exp.Extract: _extract,
    exp.DateTrunc: _of_days,
    exp.DateAdd: _of_days,
    exp.DateSub: _of_days,
    exp.DateDiff: _days_apart,
    exp.TimestampDiff: _elapsed,
    exp.ApproxQuantiles: _quantiles,
    exp.PropertyEQ: _field,
    exp.ApproxDistinct: lambda node: exp.Count(this=exp.Distinct(expressions=[node.this])),
}
