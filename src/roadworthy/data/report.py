"""What holding a source against its contract found, as values and as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .contract import Check, Field, Limits, Rule, Severity
from .patterns import FORMATS

Example = Mapping[str, Any]

COLUMNS, LINES = "columns", "lines"
"""Rules of every batch: the columns of the contract are there, and every line holds a row."""


class RuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule fared.

    Attributes:
        failed: How many rows break it; 1 where a measure of the whole batch does.
        measured: What was measured: rows, percent, seconds, or what the author's SQL gave.
        examples: Up to five of what breaks it; values of personal fields are left out.
        not_run: Why it could not be measured, and what to do; then `failed` is 1, so that nothing
            counts as kept that nobody has looked at.
    """

    rule: str
    field: str
    kind: str
    severity: Severity
    failed: int
    measured: Any
    expected: str
    examples: tuple[Example, ...] = ()
    description: str = ""
    not_run: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How one source fared.

    Attributes:
        contract: The contract's id.
        rows: All rows; a line of a text file that holds none counts as one.
        failed_rows: Rows that break a rule of severity `error`, each once: alone, or because
            another row has the same key.
        kept: Whether every rule of severity `error` held.
        quarantined: Rows that were written to the quarantine.
    """

    contract: str
    version: str
    table: str
    source: str
    rows: int
    failed_rows: int
    kept: bool
    rules: tuple[RuleReport, ...]
    seconds: float
    quarantined: int = 0

    @property
    def failed(self) -> tuple[RuleReport, ...]:
        """The rules that did not hold, errors first."""
        broken = [rule for rule in self.rules if rule.failed]
        return tuple(sorted(broken, key=lambda rule: (rule.severity != "error", -rule.failed)))


_LONG = 10_000
_NAMES = {pattern: name for name, pattern in FORMATS.items()}
_SIGNS = {
    "minimum": ">=",
    "exclusive_minimum": ">",
    "maximum": "<=",
    "exclusive_maximum": "<",
}


def expected_of(rule: Rule, field: Field | None) -> str:
    """Return what a rule asks for, in words."""
    if rule.check is not None:
        return _of_check(rule.check)
    if rule.kind in _SIGNS:
        unit = f" {field.unit}" if field and field.unit else ""
        return f"{_SIGNS[rule.kind]} {rule.value}{unit}"
    zoned = " with its offset" if field and field.has_timezone else ""
    words = {
        "type": f"{rule.value}{zoned}",
        "required": "a value",
        "multiple_of": f"a multiple of {rule.value}",
        "min_length": f">= {rule.value} characters",
        "max_length": f"<= {rule.value} characters",
        "pattern": f"a text that matches `{rule.value}`",
        "unique": "each value once",
        "future": "a time that has come",
    }
    if rule.kind == "pattern" and (form := _NAMES.get(rule.value)):
        return f"a text of format {form}"
    if rule.kind == "enum":
        return f"one of {listed(rule.value)}"
    if rule.kind == "primary_key":
        return f"each {' and '.join(rule.value)} once"
    return words[rule.kind]


def _of_check(check: Check) -> str:
    limits = limits_text(check.limits)
    unit = "%" if check.unit == "percent" else " rows"
    match check.kind:
        case "foreign_key":
            return f"a value that is in {check.references}"
        case "freshness":
            return f"<= {check.max_age_s:g} s old"
        case "sql":
            return limits
        case "row_count":
            return f"{limits} rows"
        case "rows_per_day":
            return f"{limits} rows of a day"
        case "distinct_values":
            return f"{limits} different values"
    what = check.kind.removesuffix("_values").replace("null", "without a value")
    return f"{limits}{unit} {what}"


def limits_text(limits: Limits) -> str:
    """Return limits in words, such as `> 30`."""
    if limits.at_least is not None and limits.at_most is not None:
        return f"{_number(limits.at_least)} to {_number(limits.at_most)}"
    if limits.outside is not None:
        return f"not {_number(limits.outside[0])} to {_number(limits.outside[1])}"
    given = (
        (">=", limits.at_least),
        (">", limits.more_than),
        ("<=", limits.at_most),
        ("<", limits.less_than),
        ("exactly", limits.equal),
        ("not", limits.unequal),
    )
    return " and ".join(f"{sign} {_number(value)}" for sign, value in given if value is not None)


def _number(value: float) -> str:
    """Return a number whole: `400,000`, not `4e+05`."""
    is_whole = float(value).is_integer() and abs(value) >= _LONG
    return f"{value:,.0f}" if is_whole else f"{value:g}"


def listed(values: Sequence[Any], most: int = 10) -> str:
    """Return values for a sentence: the first of them, and how many more there are."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
