"""SQL over files: what BigQuery documents for an expression, an error of its own, or a refusal."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot

from beam_pipeline.tables import fill, statements
from testudo.commands.demo_report import ACCURACY, IN_AND_OUT, OUTCOMES
from testudo.commands.dialect import SqlError, check_statement
from testudo.commands.engines import FilesEngine
from testudo.commands.proven import ALLOWED

REPOSITORY = Path(__file__).parents[2]
NOON = "TIMESTAMP '2026-11-24 12:00:00+00'"  # a Tuesday
LATE = "TIMESTAMP '2026-11-24 23:30:07.123456+00'"
TUESDAY = "DATE '2017-11-07'"
XS = "FROM UNNEST([2, NULL, 1]) AS x"
WORDS = "FROM UNNEST(['b', NULL, 'a', 'b']) AS x"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# What stands after SELECT, and the value that BigQuery's reference documents for it, in most cases
# as its own example. An expression of several rows gives a list of them.
PROVEN: list[tuple[str, Any]] = [
    # Numbers: a literal with a point is a FLOAT64, halves go away from zero.
    ("1 / 2", 0.5),
    ("0.1 + 0.2", 0.30000000000000004),
    ("2 * 3 - 1", 5),
    ("-3", -3),
    ("SAFE_DIVIDE(1, 0)", None),
    ("SAFE_DIVIDE(1, 4)", 0.25),
    ("DIV(7, 2)", 3),
    ("DIV(-7, 2)", -3),
    ("MOD(-7, 3)", -1),
    ("ROUND(2.5)", 3.0),
    ("ROUND(-2.5)", -3.0),
    ("ROUND(123.7, -1)", 120.0),
    ("ROUND(1.235, 2)", 1.24),
    ("TRUNC(-2.7)", -2.0),
    ("CEIL(2.1)", 3.0),
    ("FLOOR(-2.1)", -3.0),
    ("LN(1)", 0.0),
    ("LOG(100, 10)", 2.0),
    ("LOG(1)", 0.0),
    ("LOG10(100)", 2.0),
    ("EXP(0)", 1.0),
    ("SQRT(9)", 3.0),
    ("POW(2, 3)", 8.0),
    ("SIGN(-3)", -1),
    ("ABS(-3)", 3),
    ("GREATEST(1, 3, 2)", 3),
    ("GREATEST(1, NULL)", None),
    ("LEAST(1, NULL)", None),
    # Casts.
    ("CAST(2.5 AS INT64)", 3),
    ("CAST(-2.5 AS INT64)", -3),
    ("CAST(0.5 AS INT64)", 1),
    ("CAST('12' AS INT64)", 12),
    ("CAST(TRUE AS INT64)", 1),
    ("SAFE_CAST('1.5' AS INT64)", None),
    ("SAFE_CAST('12' AS INT64)", 12),
    ("SAFE_CAST('apple' AS FLOAT64)", None),
    ("CAST('1.5' AS FLOAT64)", 1.5),
    ("CAST(1.0 AS STRING)", "1"),
    ("CAST(0.9 AS STRING)", "0.9"),
    ("CAST(12 AS STRING)", "12"),
    ("CAST(TRUE AS STRING)", "true"),
    ("CAST(DATE '2026-11-24' AS STRING)", "2026-11-24"),
    ("CAST('2026-11-24' AS DATE)", date(2026, 11, 24)),
    ("CAST('2026-11-24 10:00:00+01' AS TIMESTAMP)", utc(2026, 11, 24, 9)),
    # Nothing.
    ("NULL < 1", None),
    ("2 NOT IN (1, NULL)", None),
    ("1 IN (1, NULL)", True),
    ("NULL IS NULL", True),
    ("(1 = 1) IS TRUE", True),
    ("1 IS DISTINCT FROM NULL", True),
    ("COALESCE(NULL, 1)", 1),
    ("IFNULL(NULL, 2)", 2),
    ("NULLIF(1, 1)", None),
    ("IF(1 <> 1, 1, 2)", 2),
    ("CASE 1 WHEN 1 THEN 'a' END", "a"),
    ("5 BETWEEN 1 AND 5 AND NOT 5 >= 6 OR 1 <= 0", True),
    # Texts: characters count, not bytes; positions begin at 1.
    ("CONCAT('a', 'b')", "ab"),
    ("CONCAT('a', NULL)", None),
    ("'a' || 'b'", "ab"),
    ("'a' || NULL", None),
    (r"'a\x41'", "aA"),
    (r"r'a\d'", r"a\d"),
    ("LENGTH('абв')", 3),
    ("LOWER('ABC')", "abc"),
    ("UPPER('abc')", "ABC"),
    ("SUBSTR('apple', 2)", "pple"),
    ("SUBSTR('apple', 2, 2)", "pp"),
    ("SUBSTR('apple', -2)", "le"),
    ("SUBSTR('apple', 0, 2)", "ap"),
    ("SUBSTR('apple', -10, 3)", "app"),
    ("SUBSTR('apple', 123)", ""),
    ("LEFT('apple', 3)", "app"),
    ("RIGHT('apple', 3)", "ple"),
    ("STRPOS('foo@example.com', '@')", 4),
    ("STRPOS('foo', '@')", 0),
    ("REPLACE('abab', 'a', 'x')", "xbxb"),
    ("TRIM('xxaxx', 'x')", "a"),
    ("LTRIM('xxa', 'x')", "a"),
    ("RTRIM('axx', 'x')", "a"),
    ("STARTS_WITH('bar', 'b')", True),
    ("ENDS_WITH('apple', 'e')", True),
    (r"'a_b' LIKE 'a\\_b'", True),
    (r"'axb' LIKE 'a\\_b'", False),
    ("'axyb' LIKE 'a%b'", True),
    ("'axb' NOT LIKE 'a_b'", False),
    (r"REGEXP_CONTAINS('foo@example.com', r'@[a-z]+\.com')", True),
    ("REGEXP_EXTRACT('foo@example.com', r'^[a-z]+')", "foo"),
    ("REGEXP_EXTRACT('foo@example.com', r'^([a-z]+)@')", "foo"),
    ("REGEXP_EXTRACT('123', r'[a-z]+')", None),
    ("REGEXP_EXTRACT_ALL('a1b22', r'[0-9]+')", ["1", "22"]),
    (r"REGEXP_REPLACE('a1b2', r'([0-9])', '<\\1>')", "a<1>b<2>"),
    ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a.b')", "1"),
    ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a')", None),
    ('JSON_VALUE(\'{"a": ["x", "y"]}\', \'$.a[1]\')', "y"),
    # Arrays: a place that is not there is an error (below), or nothing where it is safe.
    ("SPLIT('b,c,a')", ["b", "c", "a"]),
    ("SPLIT('b c a', ' ')", ["b", "c", "a"]),
    ("SPLIT('', ' ')", [""]),
    ("SPLIT('b c', ' ')[OFFSET(0)]", "b"),
    ("SPLIT('b c', ' ')[ORDINAL(1)]", "b"),
    ("SPLIT('b c', ' ')[SAFE_OFFSET(2)]", None),
    ("SPLIT('b c', ' ')[SAFE_OFFSET(-2)]", None),
    ("SPLIT('b c', ' ')[SAFE_ORDINAL(0)]", None),
    ("[1, 2][0]", 1),
    ("ARRAY_LENGTH([1, 2])", 2),
    ("ARRAY_TO_STRING(['a', 'b', NULL], '--')", "a--b"),
    ("ARRAY_TO_STRING(['a', 'b', NULL], '--', 'N')", "a--b--N"),
    ("ARRAY_CONCAT([1], [2])", [1, 2]),
    ("ARRAY_REVERSE([1, 2])", [2, 1]),
    ("GENERATE_ARRAY(10, 0, -5)", [10, 5, 0]),
    ("GENERATE_DATE_ARRAY('2026-11-01', '2026-11-02')", [date(2026, 11, 1), date(2026, 11, 2)]),
    ("ARRAY(SELECT x FROM UNNEST([3, 1]) AS x ORDER BY x)", [1, 3]),
    ("ARRAY(SELECT x FROM UNNEST([3]) AS x WHERE x > 5)", []),
    ("2 IN UNNEST([1, 2])", True),
    ("STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
    ("STRUCT(1 AS a).a", 1),
    # Days: weeks begin on Sunday, which is day 1; ISO weeks on Monday.
    ("EXTRACT(DAYOFWEEK FROM DATE '2026-11-22')", 1),
    ("EXTRACT(DAYOFWEEK FROM TIMESTAMP '2026-11-28 10:00:00+00')", 7),
    ("EXTRACT(ISOWEEK FROM DATE '2007-12-31')", 1),
    ("EXTRACT(ISOYEAR FROM DATE '2007-12-31')", 2008),
    ("EXTRACT(DAYOFYEAR FROM DATE '2026-02-01')", 32),
    ("EXTRACT(QUARTER FROM DATE '2026-11-01')", 4),
    ("EXTRACT(MONTH FROM DATE '2026-11-01')", 11),
    (f"EXTRACT(YEAR FROM {LATE})", 2026),
    (f"EXTRACT(DAY FROM {LATE})", 24),
    (f"EXTRACT(HOUR FROM {LATE})", 23),
    (f"EXTRACT(HOUR FROM {LATE} AT TIME ZONE 'Europe/Zurich')", 0),
    (f"EXTRACT(MINUTE FROM {LATE})", 30),
    (f"EXTRACT(SECOND FROM {LATE})", 7),
    (f"EXTRACT(DATE FROM {LATE})", date(2026, 11, 24)),
    (f"DATE({LATE})", date(2026, 11, 24)),
    (f"DATE({LATE}, 'Europe/Zurich')", date(2026, 11, 25)),
    ("DATE(2026, 11, 24)", date(2026, 11, 24)),
    (f"DATE_TRUNC({TUESDAY}, WEEK)", date(2017, 11, 5)),
    (f"DATE_TRUNC({TUESDAY}, WEEK(MONDAY))", date(2017, 11, 6)),
    (f"DATE_TRUNC({TUESDAY}, ISOWEEK)", date(2017, 11, 6)),
    (f"DATE_TRUNC({TUESDAY}, MONTH)", date(2017, 11, 1)),
    (f"DATE_TRUNC({TUESDAY}, QUARTER)", date(2017, 10, 1)),
    (f"DATE_TRUNC({TUESDAY}, YEAR)", date(2017, 1, 1)),
    ("DATE_DIFF(DATE '2010-07-07', DATE '2008-12-25', DAY)", 559),
    ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)", 1),
    ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK(MONDAY))", 1),
    ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK)", 0),
    ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', ISOWEEK)", 1),
    ("DATE_DIFF(DATE '2017-12-01', DATE '2017-11-30', MONTH)", 1),
    ("DATE_DIFF(DATE '2017-12-30', DATE '2014-12-30', YEAR)", 3),
    ("DATE_ADD(DATE '2008-12-25', INTERVAL 5 DAY)", date(2008, 12, 30)),
    ("DATE_ADD(DATE '2026-01-31', INTERVAL 1 MONTH)", date(2026, 2, 28)),
    ("DATE_SUB(DATE '2008-12-25', INTERVAL 1 WEEK)", date(2008, 12, 18)),
    ("DATE_ADD(DATE '2008-12-25', INTERVAL 1 + 1 DAY)", date(2008, 12, 27)),
    ("DATE '2026-11-24' + 1", date(2026, 11, 25)),
    ("LAST_DAY(DATE '2026-02-03')", date(2026, 2, 28)),
    (f"FORMAT_DATE('%b %d %y %a', {TUESDAY})", "Nov 07 17 Tue"),
    # Moments: differences are whole units that went by.
    ("TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', DAY)", utc(2008, 12, 25)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', HOUR)", utc(2008, 12, 25, 15)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', WEEK)", utc(2008, 12, 21)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2017-11-05 00:00:00+00', WEEK(MONDAY))", utc(2017, 10, 30)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2017-11-05 00:00:00+00', ISOWEEK)", utc(2017, 10, 30)),
    (
        "TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', DAY, 'America/Los_Angeles')",
        utc(2008, 12, 25, 8),
    ),
    (
        "TIMESTAMP_DIFF(TIMESTAMP '2010-07-07 10:20:00+00', TIMESTAMP '2008-12-25 15:30:00+00',"
        " HOUR)",
        13410,
    ),
    ("TIMESTAMP_DIFF(TIMESTAMP '2018-08-14', TIMESTAMP '2018-10-14', DAY)", -61),
    (
        "TIMESTAMP_DIFF(TIMESTAMP '2001-02-01 01:00:00', TIMESTAMP '2001-02-01 00:00:01', HOUR)",
        0,
    ),
    (f"TIMESTAMP_DIFF({LATE}, {NOON}, SECOND)", 41407),
    (f"TIMESTAMP_DIFF({NOON}, {LATE}, DAY)", 0),
    (f"TIMESTAMP_DIFF({LATE}, {NOON}, MILLISECOND)", 41407123),
    (
        "TIMESTAMP_ADD(TIMESTAMP '2008-12-25 15:30:00+00', INTERVAL 10 MINUTE)",
        utc(2008, 12, 25, 15, 40),
    ),
    (
        "TIMESTAMP_SUB(TIMESTAMP '2008-12-25 15:30:00+00', INTERVAL 10 MINUTE)",
        utc(2008, 12, 25, 15, 20),
    ),
    ("TIMESTAMP('2008-12-25 15:30:00+00')", utc(2008, 12, 25, 15, 30)),
    ("TIMESTAMP('2008-12-25 15:30:00', 'America/Los_Angeles')", utc(2008, 12, 25, 23, 30)),
    ("TIMESTAMP(DATE '2008-12-25')", utc(2008, 12, 25)),
    ("UNIX_SECONDS(TIMESTAMP '2008-12-25 15:30:00+00')", 1230219000),
    ("UNIX_MILLIS(TIMESTAMP '2008-12-25 15:30:00+00')", 1230219000000),
    ("UNIX_MICROS(TIMESTAMP '2008-12-25 15:30:00+00')", 1230219000000000),
    ("TIMESTAMP_SECONDS(1230219000)", utc(2008, 12, 25, 15, 30)),
    (f"FORMAT_TIMESTAMP('%F %T', {NOON})", "2026-11-24 12:00:00"),
    (f"FORMAT_TIMESTAMP('%A %B %j %H:%M', {LATE})", "Tuesday November 328 23:30"),
    ("CURRENT_TIMESTAMP() > TIMESTAMP '2026-01-01' AND CURRENT_DATE() > DATE '2026-01-01'", True),
    # Many rows into one.
    (f"COUNT(*) {XS}", 3),
    (f"COUNT(x) {XS}", 2),
    (f"COUNT(DISTINCT x) {WORDS}", 2),
    (f"COUNTIF(x > 1) {XS}", 1),
    (f"SUM(x) {XS}", 3),
    (f"AVG(x) {XS}", 1.5),
    (f"MIN(x) {XS}", 1),
    (f"MAX(x) {XS}", 2),
    ("ANY_VALUE(x) FROM UNNEST([3, 3]) AS x", 3),
    (f"LOGICAL_AND(x > 1) {XS}", False),
    (f"LOGICAL_OR(x > 1) {XS}", True),
    ("STDDEV(x) FROM UNNEST([10, 14, 18]) AS x", 4.0),
    ("VAR_SAMP(x) FROM UNNEST([10, 14, 18]) AS x", 16.0),
    ("APPROX_QUANTILES(x, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x", [1, 5, 10]),
    (
        "APPROX_QUANTILES(x, 100)[OFFSET(90)] FROM UNNEST([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) AS x",
        9,
    ),
    ("APPROX_COUNT_DISTINCT(x) FROM UNNEST([0, 1, 1, 2, 3, 5]) AS x", 5),
    (f"STRING_AGG(x) {WORDS}", "b,a,b"),
    (f"STRING_AGG(DISTINCT x, ' - ' ORDER BY x DESC) {WORDS}", "b - a"),
    (f"ARRAY_AGG(x IGNORE NULLS ORDER BY x DESC) {XS}", [2, 1]),
    # Order, windows, groups: NULL is the least.
    (f"x {XS} ORDER BY x", [(None,), (1,), (2,)]),
    (f"x {XS} ORDER BY x DESC", [(2,), (1,), (None,)]),
    (f"x {XS} ORDER BY x NULLS LAST LIMIT 2 OFFSET 1", [(2,), (None,)]),
    (f"DISTINCT x {WORDS} ORDER BY 1", [(None,), ("a",), ("b",)]),
    (f"x, ROW_NUMBER() OVER (ORDER BY x) {XS} ORDER BY 2", [(None, 1), (1, 2), (2, 3)]),
    (
        f"x, RANK() OVER (ORDER BY x DESC) {WORDS} ORDER BY 2, 1 LIMIT 3",
        [("b", 1), ("b", 1), ("a", 3)],
    ),
    (f"DENSE_RANK() OVER (ORDER BY x DESC) {WORDS} ORDER BY 1 DESC LIMIT 1", 3),
    (f"NTILE(2) OVER (ORDER BY x) {XS} ORDER BY 1 LIMIT 1", 1),
    (f"LAG(x, 1, 0) OVER (ORDER BY x) {XS} ORDER BY x LIMIT 1", 0),
    (f"LEAD(x) OVER (ORDER BY x) {XS} ORDER BY x LIMIT 1", 1),
    (f"FIRST_VALUE(x) OVER (ORDER BY x DESC) {XS} LIMIT 1", 2),
    (f"LAST_VALUE(x) OVER (ORDER BY x) {XS} ORDER BY x DESC LIMIT 1", 2),
    (
        "SUM(x) OVER w FROM UNNEST([1, 2]) AS x"
        " WINDOW w AS (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY 1",
        [(1,), (3,)],
    ),
    (f"x {XS} WHERE x > 0 QUALIFY RANK() OVER (ORDER BY x) = 1", 1),
    (f"x, COUNT(*) {WORDS} GROUP BY x HAVING COUNT(*) > 1", [("b", 2)]),
    # A name of the SELECT list goes before a column's.
    ("UPPER(x) AS x, COUNT(*) FROM UNNEST(['a', 'A']) AS x GROUP BY x", [("A", 2)]),
    (f"x, COUNT(*) {WORDS} GROUP BY ROLLUP (x) ORDER BY 2 DESC LIMIT 1", [(None, 4)]),
    # Tables and what is put together of them.
    ("COUNT(*) FROM `{dataset}.predictions`", 0),
    ("COUNT(*) FROM {dataset}.predictions AS p, UNNEST(p.scores) AS s", 0),
    ("* FROM (SELECT 1 AS a, 2 AS b)", [(1, 2)]),
    ("t.* EXCEPT (a) FROM (SELECT 1 AS a, 2 AS b) AS t", 2),
    ("t.* REPLACE (5 AS a) FROM (SELECT 1 AS a, 2 AS b) AS t", [(5, 2)]),
    ("s.a FROM UNNEST([STRUCT(1 AS a, 2 AS b)]) AS s", 1),
    ("x FROM (SELECT 1 AS k) AS t LEFT JOIN UNNEST([7]) AS x ON TRUE", 7),
    ("COUNT(*) FROM (SELECT 1 AS a) JOIN (SELECT 1 AS a) USING (a)", 1),
    ("a FROM (SELECT 1 AS a UNION ALL SELECT 1) ORDER BY a", [(1,), (1,)]),
    ("a FROM (SELECT 1 AS a UNION DISTINCT SELECT 1)", 1),
    ("a FROM (SELECT 1 AS a EXCEPT DISTINCT SELECT 2)", 1),
    ("a FROM (SELECT 1 AS a INTERSECT DISTINCT SELECT 1)", 1),
    ("EXISTS(SELECT 1 FROM UNNEST([1]) AS x WHERE x > 1)", False),
    ("(SELECT MAX(x) FROM UNNEST([1, 2]) AS x)", 2),
    ("a FROM (WITH t AS (SELECT 1 AS a) SELECT a FROM t)", 1),
]

# Errors in BigQuery too, and a word that they hold here.
ERRORS = [
    ("1 / 0", "division by zero"),
    ("1.5 / 0.0", "division by zero"),
    ("DIV(1, 0)", "division by zero"),
    ("MOD(1, 0)", "division by zero"),
    ("LN(0)", "logarithm"),
    ("SQRT(-1)", "square root"),
    ("CAST('1.5' AS INT64)", "1.5"),
    ("SPLIT('b c', ' ')[OFFSET(2)]", "array"),
    ("SPLIT('b c', ' ')[ORDINAL(0)]", "array"),
    ("SUBSTR('apple', 1, -1)", "SUBSTR"),
    ("(SELECT x FROM UNNEST([1, 2]) AS x)", "More than one row"),
    ("nothing", "nothing"),
    # BigQuery has a value, but what DuckDB has is another kind of thing.
    ("DATE '2026-11-24' - DATE '2026-11-20'", "INTERVAL"),
    (f"CAST({NOON} AS STRING)", "FORMAT_TIMESTAMP"),
    (f"DATE_TRUNC({NOON}, DAY)", "DATE"),
    (f"DATE_DIFF({LATE}, {NOON}, DAY)", "DATE"),
]

# DuckDB would give another value, or nobody has shown that it gives the same: named, and refused.
REFUSED = [
    "FORMAT('%05d', 10)",
    f"FORMAT_TIMESTAMP('%H', {NOON}, 'Europe/Zurich')",
    f"FORMAT_DATE('%e', {TUESDAY})",
    f"FORMAT_DATE('%Q', {TUESDAY})",
    "PARSE_TIMESTAMP('%Y-%m-%d', '2026-11-24')",
    f"EXTRACT(WEEK FROM {TUESDAY})",
    f"EXTRACT(WEEK(MONDAY) FROM {TUESDAY})",
    f"EXTRACT(MILLISECOND FROM {LATE})",
    f"TIMESTAMP_TRUNC({LATE}, ISOYEAR)",
    f"DATE_TRUNC({TUESDAY}, WEEK(TUESDAY))",
    "TIMESTAMP_MILLIS(1230219000000)",
    "IEEE_DIVIDE(1, 0)",
    "TRIM('  a ')",
    "LEFT('apple', -1)",
    "BYTE_LENGTH('абв')",
    "INITCAP('a b')",
    "INSTR('banana', 'an', 1, 2)",
    "REGEXP_EXTRACT('a1b2', r'[0-9]', 1, 2)",
    "ROUND(2.5, 0, 'ROUND_HALF_EVEN')",
    "FORMAT_DATETIME('%F', DATETIME '2026-11-24 10:00:00')",
    "GROUPING(x) FROM UNNEST([1]) AS x GROUP BY CUBE (x)",
    "INTERVAL '1-2' YEAR TO MONTH",
    "REVERSE('abc')",
    "CAST('t' AS BOOL)",
    "CAST(1.25 AS NUMERIC)",
    "SAFE_CAST('x' AS DATE)",
    "5 ^ 3",
    "FARM_FINGERPRINT('foo')",
    "RAND()",
    "SAFE.LN(0)",
    "my_dataset.my_function(1)",
    "JSON_VALUE('{\"a.b\": 1}', \"$.'a.b'\")",
    "x, o FROM UNNEST(['a']) AS x WITH OFFSET AS o",
    "STRING_AGG(x, '-' LIMIT 1) FROM UNNEST(['a']) AS x",
    "PERCENTILE_CONT(x, 0.5) OVER () FROM UNNEST([1]) AS x",
    "LAST_VALUE(x IGNORE NULLS) OVER (ORDER BY x) FROM UNNEST([1]) AS x",
    "AS STRUCT 1 AS a",
    "* FROM UNNEST([STRUCT(1 AS a)]) AS s",
    "* FROM `{dataset}.predictions` TABLESAMPLE SYSTEM (10 PERCENT)",
    "* FROM `{dataset}.predictions` FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
    "* FROM predictions",
    "* FROM information_schema.tables",
    "* FROM `/etc/hosts`",
    "* FROM read_csv('/etc/hosts')",
]

# No one statement that asks: refused before any engine sees it, over BigQuery too.
NO_STATEMENTS = {
    "SELECT 1; SELECT 2": "2 statements",
    "-- only a comment": "no statement",
    "": "no statement",
    "SELECT 'open": "line 1",
    "SELECT * FROM {other}.x": "{dataset}",
    "SELECT * FROM `{other}.x`": "{dataset}",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FilesEngine:
    return FilesEngine(tmp_path_factory.mktemp("files"))


def value(engine: FilesEngine, sql: str) -> Any:
    """The answer's only value, or its rows."""
    rows = engine.ask(f"SELECT {sql}").rows
    return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else list(map(tuple, rows))


@pytest.mark.parametrize(("sql", "documented"), PROVEN, ids=[sql for sql, _ in PROVEN])
def test_files_give_what_bigquery_documents(files: FilesEngine, sql: str, documented: Any) -> None:
    """The same value of the same kind: a day is no moment, 3.0 no 3."""
    found = value(files, sql)
    assert found == documented
    assert type(found) is type(documented)


@pytest.mark.parametrize(("sql", "told"), ERRORS)
def test_what_has_no_value_is_an_error(files: FilesEngine, sql: str, told: str) -> None:
    """Not infinity, not nothing."""
    with pytest.raises(duckdb.Error, match=re.escape(told)):
        value(files, sql)


@pytest.mark.parametrize("sql", REFUSED)
def test_what_may_mean_something_else_is_refused(files: FilesEngine, sql: str) -> None:
    """By its name, with where to ask instead."""
    with pytest.raises(SqlError, match="local stack") as told:
        value(files, sql)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("sql", ["DROP TABLE {dataset}.predictions", "SELEC 1", "SHOW TABLES"])
def test_files_are_only_asked(files: FilesEngine, sql: str) -> None:
    """Whatever is no SELECT is refused in one line."""
    with pytest.raises(SqlError) as told:
        files.ask(sql)
    assert "\n" not in str(told.value)
    assert value(files, "COUNT(*) FROM {dataset}.predictions") == 0


@pytest.mark.parametrize(("sql", "told"), NO_STATEMENTS.items())
def test_what_is_not_one_statement_is_refused(sql: str, told: str) -> None:
    """In one line, whichever engine was to answer it."""
    with pytest.raises(SqlError, match=re.escape(told)) as refused:
        check_statement(sql)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "sql", ["SELECT 1;", "SELECT ';'", "SELECT r'a{2}' -- {other}", 'SELECT "{dataset}"']
)
def test_one_statement_is_one(sql: str) -> None:
    """Semicolons and braces within texts and comments are none."""
    check_statement(sql)


def test_only_what_is_proven_is_allowed() -> None:
    """Every function and construct of the list stands in the table or in a file of ours."""
    ours = [sql for kind in ("queries", "views") for sql in statements(kind).values()]
    ours += [ACCURACY, IN_AND_OUT, OUTCOMES, *(f"SELECT {sql}" for sql, _ in PROVEN)]
    trees = [sqlglot.parse_one(fill(sql, "files"), read="bigquery") for sql in ours]
    proven = {type(node) for tree in trees for node in tree.walk()}
    assert sorted(one.__name__ for one in ALLOWED - proven) == []


def test_the_functions_over_files_are_documented() -> None:
    """docs/use.md lists those of the table, and no others."""
    text = (REPOSITORY / "docs/use.md").read_text(encoding="utf-8")
    section = text.split("\n## SQL over files\n")[1].split("\n## ")[0]
    documented = set(re.findall(r"\b[A-Z][A-Z_0-9]*(?=[,.`])", section.split("\n\n")[2]))
    proven = {name for sql, _ in PROVEN for name in re.findall(r"\b([A-Z][A-Z_0-9]*)\(", sql)}
    assert documented == proven - {"OFFSET", "ORDINAL", "SAFE_OFFSET", "SAFE_ORDINAL"} - {
        "WEEK", "UNNEST", "STRUCT", "ARRAY", "EXISTS",
    }  # fmt: skip
