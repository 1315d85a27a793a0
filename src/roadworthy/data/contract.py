"""A data contract as frozen values, compiled from the Open Data Contract Standard 3.2.

The standard's own package checks the file; what is kept here is what a rule can be made of. All
problems of a file are told at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

LogicalType = Literal[
    "string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array"
]
Severity = Literal["error", "warning"]
Bound = float | int | str

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
"""What an `integer` may be: 64 bits, as columns hold it."""

RuleKind = Literal[
    "type",
    "required",
    "minimum",
    "exclusive_minimum",
    "maximum",
    "exclusive_maximum",
    "multiple_of",
    "min_length",
    "max_length",
    "pattern",
    "enum",
    "unique",
    "primary_key",
    "foreign_key",
    "row_count",
    "rows_per_day",
    "distinct_values",
    "null_values",
    "missing_values",
    "invalid_values",
    "duplicate_values",
    "sql",
    "freshness",
    "future",
]

ROW_RULES: frozenset[str] = frozenset(
    (
        *("type", "required", "minimum", "exclusive_minimum", "maximum", "exclusive_maximum"),
        *("multiple_of", "min_length", "max_length", "pattern", "enum"),
    )
)
"""Rules that one row keeps or breaks by itself: a live request is held to them as a batch is."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a table.

    Attributes:
        name: What records call it.
        column: What the column of the source is called; the name, unless `physicalName` is given.
        type: What its values mean.
        required: Whether null is refused. A NaN is a null.
        unique: Whether no two rows have the same value.
        key_position: Its place in the primary key, from 1; 0 outside it.
        minimum, maximum, exclusive_minimum, exclusive_maximum: Bounds of numbers, or of dates and
            timestamps in ISO 8601.
        multiple_of: What a number must be a multiple of.
        min_length, max_length: Of text, in Unicode code points.
        pattern: A regular expression that a text must hold, in the common subset of ECMA and RE2.
        enum: All values there are; empty where any will do.
        has_timezone: Whether a timestamp must say its offset; one that need not is read as UTC.
        is_personal: Whether values must not be shown in reports.
        available_at: When a value is known: a field of the table, or `label` for what is known only
            with the outcome; empty where it is known with the row.
        unit: What numbers count, such as `degF`.
        business_name: The term of the business it stands for.
        definition: What that term means.
        severity: How bad it is if a rule of this field is broken.
    """

    name: str
    column: str
    type: LogicalType = "string"
    required: bool = False
    unique: bool = False
    key_position: int = 0
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    multiple_of: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    enum: tuple[Any, ...] = ()
    has_timezone: bool = False
    is_personal: bool = False
    available_at: str = ""
    unit: str = ""
    business_name: str = ""
    definition: str = ""
    severity: Severity = "error"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a measured number must be: ODCS's operators, all that are given hold together.

    Attributes:
        at_least, more_than, at_most, less_than: Bounds.
        equal, unequal: One value.
        outside: The number must not lie between these two.
    """

    at_least: float | None = None
    more_than: float | None = None
    at_most: float | None = None
    less_than: float | None = None
    equal: Any = None
    unequal: Any = None
    outside: tuple[float, float] | None = None

    def allow(self, value: Any) -> bool:
        """Whether a measured value keeps them; a value that is not there keeps none."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return False
        return all(
            (
                self.at_least is None or value >= self.at_least,
                self.more_than is None or value > self.more_than,
                self.at_most is None or value <= self.at_most,
                self.less_than is None or value < self.less_than,
                self.equal is None or value == self.equal,
                self.unequal is None or value != self.unequal,
                self.outside is None or not self.outside[0] <= value <= self.outside[1],
            )
        )


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A quality rule of a table or a field that the whole batch keeps or breaks.

    Attributes:
        kind: What is measured.
        field: The field, or "" for the table.
        limits: What the measured number must be.
        unit: `rows`, or `percent` of all rows (0-100).
        query: Of `sql`: one SELECT of one number; `${table}` and `${column}` stand for them.
        values: Of `missing_values` what counts as missing; of `invalid_values` what is valid.
        pattern: Of `invalid_values`: what a valid text holds.
        fields: Of `duplicate_values` on a table: which fields together.
        references: Of `foreign_key`: table and field that hold each value, as `planes.tailnum`.
        max_age_s: Of `freshness`: how old the newest value of the field that is not in the future
            may be, in seconds. Of `rows_per_day`: how long ago the day ended that is counted.
        name: What reports call it.
        description: Why it is there.
        severity: How bad it is if it is broken.
    """

    kind: RuleKind
    field: str = ""
    limits: Limits = Limits()
    unit: Literal["rows", "percent"] = "rows"
    query: str = ""
    values: tuple[Any, ...] = ()
    pattern: str = ""
    fields: tuple[str, ...] = ()
    references: str = ""
    max_age_s: float = 0.0
    name: str = ""
    description: str = ""
    severity: Severity = "error"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold, with the name under which it is reported.

    Attributes:
        name: Stable: `<field>.<kind>`, or the name that its author gave a check.
        kind: What is asked.
        field: The field; "" for a rule of the table.
        value: What the kind compares with: a bound, a length, a pattern, the values of an enum.
        check: Of a rule of the whole batch, all of it.
        severity: How bad it is if it is broken.
    """

    name: str
    kind: RuleKind
    field: str = ""
    value: Any = None
    check: Check | None = None
    severity: Severity = "error"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table (ODCS: schema object) of a contract.

    Attributes:
        name: What the contract calls it.
        physical_name: What the source calls it.
        fields: In order.
        checks: Rules of the whole batch.
        is_closed: Whether a field that is not declared is an error.
        null_texts: What stands for null in a CSV file of it, beside an empty value: `NA`.
    """

    name: str
    physical_name: str
    fields: tuple[Field, ...]
    checks: tuple[Check, ...] = ()
    is_closed: bool = False
    null_texts: tuple[str, ...] = ()

    def field(self, name: str) -> Field | None:
        """Return a field by its name."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def key(self) -> tuple[str, ...]:
        """The fields of the primary key, in its order."""
        of_key = [field for field in self.fields if field.key_position]
        return tuple(f.name for f in sorted(of_key, key=lambda f: f.key_position))


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a producer promises of its data.

    Attributes:
        id: Its stable id.
        version: Its version, as its author counts.
        name: What people call it.
        owner: Who answers for the data.
        status: ODCS's lifecycle word, such as `active`.
        tables: In order.
        digest: SHA-256 of the file.
    """

    id: str
    version: str
    tables: tuple[Table, ...]
    digest: str
    name: str = ""
    owner: str = ""
    status: str = ""

    def table(self, name: str) -> Table | None:
        """Return a table by its name or physical name."""
        return next((t for t in self.tables if name in (t.name, t.physical_name)), None)


_VALUED: tuple[RuleKind, ...] = (
    *("minimum", "exclusive_minimum", "maximum", "exclusive_maximum"),
    *("multiple_of", "min_length", "max_length", "pattern"),
)


def rules_of(table: Table) -> tuple[Rule, ...]:
    """Return everything that must hold of a table, in a stable order: fields first, then checks."""
    rules = [rule for field in table.fields for rule in _rules_of_field(field)]
    if table.key:
        rules.append(Rule(name="primary_key", kind="primary_key", value=table.key))
    for check in table.checks:
        if check.kind == "freshness":
            # Judged by the newest time that has come; a later one is wrong by itself.
            name = f"{check.field}.future"
            rules.append(Rule(name=name, kind="future", field=check.field, severity="warning"))
        rules.append(
            Rule(
                name=check.name or f"{check.field or table.name}.{check.kind}",
                kind=check.kind,
                field=check.field,
                check=check,
                severity=check.severity,
            )
        )
    return tuple(_with_own_names(rules))


def _rules_of_field(field: Field) -> Iterator[Rule]:
    def rule(kind: RuleKind, value: Any = None) -> Rule:
        return Rule(
            name=f"{field.name}.{kind}",
            kind=kind,
            field=field.name,
            value=value,
            severity=field.severity,
        )

    yield rule("type", field.type)
    if field.required or field.key_position:
        yield rule("required")
    for kind in _VALUED:
        value = getattr(field, kind)
        if value is not None and value != "":
            yield rule(kind, value)
    if field.enum:
        yield rule("enum", field.enum)
    if field.unique:
        yield rule("unique")


def _with_own_names(rules: list[Rule]) -> Iterator[Rule]:
    seen: dict[str, int] = {}
    for rule in rules:
        count = seen[rule.name] = seen.get(rule.name, 0) + 1
        yield rule if count == 1 else msgspec.structs.replace(rule, name=f"{rule.name}_{count}")
