"""Which of BigQuery's SQL passes to DuckDB: what tests/unit/test_dialect.py proves, and no more.

By sqlglot's names of functions and constructs. LIMITS says within which bounds some pass.
"""

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

STRUCTURE: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Select, exp.Subquery, exp.CTE, exp.With, exp.Union, exp.Except, exp.Intersect,
        exp.From, exp.Join, exp.Table, exp.TableAlias, exp.Unnest, exp.Where, exp.Group,
        exp.Rollup, exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.Limit, exp.Offset,
        exp.Distinct, exp.Window, exp.WindowSpec, exp.IgnoreNulls,
        exp.Star, exp.Column, exp.Identifier, exp.Alias, exp.Dot, exp.Parameter, exp.Var,
        exp.Literal, exp.RawString, exp.Boolean, exp.Null, exp.Interval, exp.DataType,
        exp.Array, exp.Struct, exp.PropertyEQ, exp.Bracket, exp.Paren, exp.WeekStart,
        exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript,
    }
)  # fmt: skip
OPERATORS: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.DPipe, exp.And, exp.Or, exp.Not,
        exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeNEQ, exp.In,
        exp.Between, exp.Like, exp.Case, exp.If, exp.Cast, exp.TryCast, exp.Exists, exp.AtTimeZone,
    }
)  # fmt: skip
FUNCTIONS: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.SafeDivide, exp.IntDiv, exp.Mod, exp.Round, exp.Trunc, exp.Ceil, exp.Floor, exp.Ln,
        exp.Log, exp.Exp, exp.Sqrt, exp.Pow, exp.Sign, exp.Abs, exp.Greatest, exp.Least,
        exp.Coalesce, exp.Nullif,
        exp.Concat, exp.Length, exp.Lower, exp.Upper, exp.Substring, exp.Left, exp.Right,
        exp.StrPosition, exp.Replace, exp.Trim, exp.StartsWith, exp.EndsWith, exp.RegexpLike,
        exp.RegexpExtract, exp.RegexpExtractAll, exp.RegexpReplace, exp.JSONExtractScalar,
        exp.Split, exp.ArraySize, exp.ArrayToString, exp.ArrayConcat, exp.ArrayReverse,
        exp.GenerateSeries, exp.GenerateDateArray,
        exp.Extract, exp.Date, exp.DateFromParts, exp.DateTrunc, exp.DateDiff, exp.DateAdd,
        exp.DateSub, exp.LastDay, exp.TimeToStr, exp.TsOrDsToDate, exp.TsOrDsToTimestamp,
        exp.Timestamp, exp.TimestampTrunc, exp.TimestampDiff, exp.TimestampAdd, exp.TimestampSub,
        exp.UnixSeconds, exp.UnixMillis, exp.UnixMicros, exp.UnixToTime,
        exp.CurrentTimestamp, exp.CurrentDate,
        exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.AnyValue, exp.LogicalAnd,
        exp.LogicalOr, exp.Stddev, exp.Variance, exp.ApproxQuantiles, exp.ApproxDistinct,
        exp.GroupConcat, exp.ArrayAgg,
        exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue,
        exp.LastValue,
    }
)  # fmt: skip
ALLOWED = STRUCTURE | OPERATORS | FUNCTIONS

ELAPSED_US = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
DAYS = {"DAY", "WEEK", "WEEK(MONDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR"}
STEPS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
PARTS = {"DAYOFWEEK", "ISOWEEK", "ISOYEAR", "DAYOFYEAR", "QUARTER", "MONTH", "YEAR", "DAY"}
PARTS |= {"HOUR", "MINUTE", "SECOND", "DATE"}
CASTS = {exp.DType.TEXT, exp.DType.BIGINT, exp.DType.DOUBLE, exp.DType.DATE, exp.DType.TIMESTAMPTZ}
SAFE_CASTS = {exp.DType.BIGINT, exp.DType.DOUBLE}
FORMATS = re.compile(r"(%[YmdHMSyjaAbB%]|[^%])*")


def unit_of(node: exp.Expr) -> str:
    """As DAY or WEEK(MONDAY)."""
    unit = node.args["unit"]
    text: str = unit.name if isinstance(unit, exp.Literal) else unit.sql("bigquery")
    return text.upper()


def _units(allowed: set[str]) -> Callable[[exp.Expr], bool]:
    return lambda node: unit_of(node) in allowed


def _whole(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and node.is_int


def _limit_of_query(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Query)


def _select(node: exp.Expr) -> bool:
    """No SELECT AS STRUCT; no star over UNNEST, whose columns BigQuery takes from a STRUCT."""
    star = any(isinstance(expression, exp.Star) for expression in node.args["expressions"])
    joined = [node.args.get("from_"), *(node.args.get("joins") or ())]
    unnested = any(part and isinstance(part.this, exp.Unnest) for part in joined)
    return not node.args.get("kind") and not (star and unnested)


LIMITS: Mapping[type[exp.Expr], Callable[[exp.Expr], bool]] = {
    exp.Select: _select,
    exp.Unnest: lambda node: not node.args.get("offset"),
    exp.Limit: _limit_of_query,
    exp.IgnoreNulls: lambda node: isinstance(node.this, exp.ArrayAgg),
    exp.Distinct: lambda node: not node.args.get("on"),
    exp.Cast: lambda node: node.args["to"].this in CASTS and not node.args.get("format"),
    exp.TryCast: lambda node: node.args["to"].this in SAFE_CASTS,
    exp.Round: lambda node: not node.args.get("truncate"),
    exp.StrPosition: lambda node: not (node.args.get("position") or node.args.get("occurrence")),
    exp.RegexpExtract: lambda node: not (node.args.get("position") or node.args.get("occurrence")),
    exp.Trim: lambda node: node.expression is not None,
    exp.Left: lambda node: _whole(node.expression),
    exp.Right: lambda node: _whole(node.expression),
    exp.JSONExtractScalar: lambda node: isinstance(node.expression, exp.JSONPath),
    exp.Extract: lambda node: node.name.upper() in PARTS,
    exp.DateTrunc: _units(DAYS),
    exp.TimestampTrunc: _units({*ELAPSED_US, *DAYS} - {"MICROSECOND"}),
    exp.DateDiff: _units(DAYS),
    exp.DateAdd: _units(STEPS),
    exp.DateSub: _units(STEPS),
    exp.TimestampDiff: _units({*ELAPSED_US}),
    exp.TimestampAdd: _units({*ELAPSED_US}),
    exp.TimestampSub: _units({*ELAPSED_US}),
    exp.LastDay: lambda node: not node.args.get("unit"),
    exp.UnixToTime: lambda node: node.args.get("scale") in (None, exp.UnixToTime.SECONDS),
    exp.CurrentDate: lambda node: node.this is None,
    exp.TimeToStr: lambda node: (
        not node.args.get("zone")
        and isinstance(node.args["format"], exp.Literal)
        and bool(FORMATS.fullmatch(node.args["format"].name))
    ),
}  # fmt: skip
