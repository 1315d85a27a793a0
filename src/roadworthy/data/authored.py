"""Runs the rules that a contract's author wrote in SQL: one SELECT of one number each.

They read the table as the contract describes it, each value in its type, null where it has another;
and nothing else: other tables, files and settings of the database are refused (`sql_rules`).
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..errors import StoreError
from .batch import Plan
from .contract import Rule, Table, rules_of
from .report import RuleReport, expected_of
from .sources import Source
from .sql_rules import pure_query
from .sql_text import quoted

MOST_S = 60.0
"""A rule that takes longer is ended and counts as broken."""

_VIEW = "roadworthy_values"


def run_authored(table: Table, source: Source, plan: Plan) -> list[RuleReport]:
    """Return how the rules in SQL fared; one that cannot be run is broken."""
    rules = [rule for rule in rules_of(table) if rule.kind == "sql"]
    if not rules:
        return []
    names = _make_views(table, source, plan)
    return [_run(rule, table, source, names[0]) for rule in rules]


def _make_views(table: Table, source: Source, plan: Plan) -> Sequence[str]:
    """Make views of the typed values, under the names that the contract has for the table."""
    fields = {field.column: field for field in table.fields if field.name in plan.places}
    parts = [
        f"{plan.readings[fields[name].name].value if name in fields else quoted(name)}"
        f" AS {quoted(name)}"
        for name in source.columns
    ]
    source.run(f"CREATE TEMP VIEW {_VIEW} AS SELECT {', '.join(parts)} FROM {source.relation}")
    if source.dialect == "duckdb":
        for name in dict.fromkeys((table.physical_name, table.name)):
            if not name.startswith("roadworthy_"):
                source.run(f"CREATE TEMP VIEW {quoted(name)} AS SELECT * FROM {_VIEW}")
    return [_VIEW]


def _run(rule: Rule, table: Table, source: Source, view: str) -> RuleReport:
    assert rule.check is not None
    field = table.field(rule.field)
    query = rule.check.query.replace("${table}", view)
    query = query.replace("${column}", quoted(field.column) if field else "")
    value, problem = _value(query, source, (view, *_tables_of(table)))
    is_private = any(field.is_personal for field in table.fields)
    if problem and is_private:
        problem = "it cannot be run; what the database says may hold a personal value"
    is_kept = not problem and rule.check.limits.allow(value)
    return RuleReport(
        rule=rule.name,
        field=rule.field,
        kind=rule.kind,
        severity=rule.severity,
        failed=int(not is_kept),
        measured=value,
        expected=expected_of(rule, field),
        examples=({"problem": problem},) if problem else (),
        description=rule.check.description,
    )


def _tables_of(table: Table) -> set[str]:
    """Return the names of the table and of those that its foreign keys look values up in."""
    keys = [check.references.split(", ") for check in table.checks if check.references]
    others = {one.rpartition(".")[0] for listed in keys for one in listed}
    return {table.name, table.physical_name, *others}


def _value(query: str, source: Source, tables: Collection[str]) -> tuple[Any, str]:
    """Return the number that a query gives, or why it gives none."""
    query, problem = pure_query(query, source.dialect, tables)
    if problem:
        return None, problem
    try:
        rows = source.query(query, MOST_S)
    except StoreError as error:
        return None, str(error)[:300]
    if len(rows) != 1 or len(rows[0]) != 1:
        return None, f"expected one row of one column, got {len(rows)} rows"
    value = rows[0][0]
    if value is None:
        return None, "expected a number, got null"
    try:
        return float(value) if not isinstance(value, int) else value, ""
    except (TypeError, ValueError):
        return None, "expected a number, got another value"
