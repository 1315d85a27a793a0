"""Contracts are read whole: what they promise is compiled, what nothing keeps is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadworthy.data.contract import Check, Contract, Field, Limits, rules_of
from roadworthy.data.odcs import load_contract
from roadworthy.errors import DeclarationError

Loaded = Contract


def written(folder: Path, properties: list[Any], **more: Any) -> Path:
    """Write a contract of one table `t` and return its file; `table` adds to the table."""
    typed = [{"logicalType": "string", **one} for one in properties]
    table = {"name": "t", "properties": typed, **more.pop("table", {})}
    contract = {"apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0"}
    path = folder / "c.odcs.yaml"
    whole = {**contract, "status": "active", "schema": [table], **more}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def field_of(folder: Path, **keys: Any) -> Field:
    return load_contract(written(folder, [{"name": "f", **keys}])).tables[0].fields[0]


def problems_of(path: Path) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        load_contract(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_property_becomes_a_field(tmp_path: Path) -> None:
    field = field_of(
        tmp_path,
        physicalName="F_COLUMN",
        logicalType="number",
        required=True,
        unique=True,
        primaryKey=True,
        businessName="temperature",
        description="Two metres above ground.",
        classification="restricted",
        logicalTypeOptions={"minimum": -40, "exclusiveMaximum": 130.5, "multipleOf": 0.5},
        customProperties=[
            {"property": "unit", "value": "degF"},
            {"property": "availableAt", "value": "known_at"},
            {"property": "severity", "value": "warning"},
        ],
    )
    assert field == Field(
        name="f",
        column="F_COLUMN",
        type="number",
        required=True,
        unique=True,
        key_position=1,
        minimum=-40,
        exclusive_maximum=130.5,
        multiple_of=0.5,
        is_personal=True,
        available_at="known_at",
        unit="degF",
        business_name="temperature",
        definition="Two metres above ground.",
        severity="warning",
    )


def test_an_integer_that_is_said_to_be_small_has_bounds(tmp_path: Path) -> None:
    field = field_of(
        tmp_path, logicalType="integer", logicalTypeOptions={"format": "u8", "maximum": 900}
    )
    assert (field.minimum, field.maximum) == (0, 255)


def test_a_format_is_a_pattern_and_a_password_is_personal(tmp_path: Path) -> None:
    email = field_of(tmp_path, logicalType="string", logicalTypeOptions={"format": "email"})
    assert "@" in email.pattern
    secret = field_of(tmp_path, logicalType="string", logicalTypeOptions={"format": "password"})
    assert secret.is_personal


def test_quality_rules_become_checks(tmp_path: Path) -> None:
    quality = [
        {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent", "severity": "info"},
        {"metric": "invalidValues", "arguments": {"validValues": ["a"]}, "mustBe": 0},
        {"type": "text", "description": "Looks right."},
        {"type": "sql", "query": "SELECT MAX({property}) FROM {object}", "mustBeBetween": [1, 2]},
    ]
    table = {
        "quality": [
            {
                "metric": "duplicateValues",
                "arguments": {"properties": ["f", "g"]},
                "mustBe": 0,
                "name": "once",
            },
            {"metric": "rowCount", "mustNotBeBetween": [1, 9]},
        ],
        "relationships": [{"from": "t.g", "to": "other.id", "type": "foreignKey"}],
    }
    path = written(
        tmp_path,
        [{"name": "f", "quality": quality}, {"name": "g"}],
        table=table,
        slaProperties=[
            {"property": "retention", "value": 3, "unit": "y"},
        ],
    )
    assert load_contract(path).tables[0].checks == (
        Check(kind="duplicate_values", fields=("f", "g"), limits=Limits(equal=0), name="once"),
        Check(kind="row_count", limits=Limits(outside=(1, 9))),
        Check(
            kind="foreign_key",
            field="g",
            fields=("g",),
            references="other.id",
            name="g.foreign_key",
        ),
        Check(
            kind="null_values",
            field="f",
            unit="percent",
            limits=Limits(less_than=5),
            severity="warning",
        ),
        Check(kind="invalid_values", field="f", values=("a",), limits=Limits(equal=0)),
        Check(
            kind="sql",
            field="f",
            query="SELECT MAX(${column}) FROM ${table}",
            limits=Limits(at_least=1, at_most=2),
        ),
    )


def test_freshness_is_read_from_the_service_levels(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [{"name": "at", "logicalType": "timestamp"}],
        slaProperties=[{"property": "freshness", "value": 2, "unit": "d", "element": "t.at"}],
    )
    (check,) = load_contract(path).tables[0].checks
    assert (check.kind, check.field, check.max_age_s) == ("freshness", "at", 172_800)


def test_a_key_without_positions_is_in_the_order_of_its_fields(tmp_path: Path) -> None:
    path = written(tmp_path, [{"name": "b", "primaryKey": True}, {"name": "a", "primaryKey": True}])
    table = load_contract(path).tables[0]
    assert table.key == ("b", "a")
    assert [rule.name for rule in rules_of(table)][-1] == "primary_key"


NUMBER = {"name": "f", "logicalType": "number"}
BAD: list[tuple[Any, str]] = [
    ({"logicalType": "nummer"}, "logicalType: expected one of string"),
    ({"logicalType": "vector"}, "logicalType"),
    ({"requird": True}, "requird: expected a key of ODCS 3.2"),
    (
        {"logicalType": "number", "logicalTypeOptions": {"minimum": 9, "maximum": 3}},
        "expected a minimum below the maximum, got 9 and 3",
    ),
    (
        {"logicalType": "number", "logicalTypeOptions": {"exclusiveMinimum": 3, "maximum": 3}},
        "a minimum below the maximum",
    ),
    (
        {
            "logicalType": "date",
            "logicalTypeOptions": {"minimum": "2013-02-01", "maximum": "2013-01-31"},
        },
        "a minimum below the maximum",
    ),
    (
        {"logicalType": "date", "logicalTypeOptions": {"minimum": "01.02.2013"}},
        "minimum: expected a date in ISO 8601",
    ),
    (
        {"logicalType": "string", "logicalTypeOptions": {"minLength": 9, "maxLength": 3}},
        "minLength <= maxLength",
    ),
    (
        {
            "logicalType": "number",
            "logicalTypeOptions": {"maximum": 3},
            "enum": [{"value": 2}, {"value": 4}],
        },
        "enum[1].value: expected a value that keeps `maximum`, got `4`",
    ),
    (
        {"logicalType": "string", "enum": [{"value": False}]},
        "expected a value of type string, got `False` (bool)",
    ),
    (
        {
            "logicalType": "string",
            "logicalTypeOptions": {"pattern": "^[a-z]$"},
            "enum": [{"value": "A"}],
        },
        "keeps `pattern`",
    ),
    (
        {"logicalType": "string", "logicalTypeOptions": {"pattern": "(?<=a)b"}},
        "a pattern that all engines read alike",
    ),
    ({"logicalType": "string", "logicalTypeOptions": {"pattern": "["}}, "not closed"),
    ({"logicalType": "string", "logicalTypeOptions": {"format": "iban"}}, "one of email, uuid"),
    ({"logicalType": "integer", "logicalTypeOptions": {"format": "u128"}}, "one of i8"),
    (
        {"logicalType": "timestamp", "logicalTypeOptions": {"defaultTimezone": "Europe/Berlin"}},
        "write each value with its offset",
    ),
    (
        {"logicalType": "date", "logicalTypeOptions": {"format": "dd.MM.yyyy"}},
        "dates and times travel as ISO 8601",
    ),
    ({"logicalType": "object", "properties": [NUMBER]}, "within a value is not checked"),
    ({"quality": [{"metric": "nullValues", "mustBeLessThan": 0}]}, "a limit that a count can keep"),
    (
        {"quality": [{"metric": "nullValues", "mustBeGreaterThan": 101, "unit": "percent"}]},
        "a share of 0 to 100 percent",
    ),
    ({"quality": [{"metric": "nullValues"}]}, "exactly one of `mustBe`"),
    ({"quality": [{"metric": "nullValues", "mustBe": 0, "mustNotBe": 1}]}, "exactly one of"),
    (
        {"quality": [{"metric": "nullValues", "mustBeBetween": [3, 1]}]},
        "the smaller number first",
    ),
    ({"quality": [{"metric": "rowCount", "mustBe": 1}]}, "`rowCount` at the table"),
    ({"quality": [{"metric": "invalidValues", "mustBe": 0}]}, "`validValues` or `pattern`"),
    (
        {"quality": [{"type": "sql", "query": "SELECT 1 FROM ${tabel}", "mustBe": 1}]},
        "got `${tabel}`",
    ),
    (
        {"quality": [{"type": "custom", "engine": "soda", "implementation": "x"}]},
        "which nothing here runs",
    ),
    (
        {"quality": [{"metric": "nullValues", "mustBe": 0, "severity": "awful"}]},
        "severity: expected error, warning or info, got `awful`",
    ),
    ({"relationships": [{"to": "id"}]}, "to: expected `table.field`, got `id`"),
]


@pytest.mark.parametrize(("keys", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_a_contract_that_cannot_hold_says_where(
    keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    problems = problems_of(written(tmp_path, [{"name": "f", **keys}]))
    assert any(said in problem for problem in problems), problems
    assert all("c.odcs.yaml:" in problem for problem in problems)


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    options = {"minimum": 2, "maximum": 1}
    path = written(
        tmp_path,
        [
            {**NUMBER, "logicalTypeOptions": options},
            {**NUMBER, "name": "F"},
            {"name": "k", "primaryKey": True, "primaryKeyPosition": 2},
        ],
        slaProperties=[{"property": "freshness", "value": 2, "element": "t.f"}],
    )
    text = "\n".join(problems_of(path))
    assert "a minimum below the maximum" in text
    assert "`F`, as properties[0] has" in text
    assert "`primaryKeyPosition`" in text
    assert "slaProperties[0].element: expected `table.field` of a date or timestamp" in text
    line = next(n for n, t in enumerate(path.read_text().splitlines(), 1) if "slaProp" in t)
    assert f"c.odcs.yaml:{line + 3}" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty file"),
        ("- 1\n", "got another"),
        ("a: [1\n", "a syntax error"),
        ("id: c\nid: d\n", "id: expected a key once, got it again, first in line 1"),
        (
            "a: &a [1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            + "".join(
                f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n"
                for p, c in zip("bcdef", "cdefg", strict=True)
            ),
            "aliases grow",
        ),
        ("a: &a [*a]\n", "aliases grow"),
        ("a: !!python/object:os.system x\n", "a syntax error"),
        ("kind: DataContract\n", "id: expected a value, got none"),
        ("apiVersion: v2.2.0\nkind: DataContract\nid: c\nversion: '1'\nstatus: a\n", "v3.0.0"),
        ("apiVersion: v3.2.0\nkind: DataContract\nid: c\nversion: '1'\nstatus: a\n", "one table"),
    ],
)
def test_a_file_that_is_no_contract_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.odcs.yaml"
    path.write_text(text)
    assert any(said in problem for problem in problems_of(path)), problems_of(path)


def test_a_file_that_is_not_utf8_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.odcs.yaml"
    assert "got none" in problems_of(path)[0]
    path.write_bytes("id: é\n".encode("latin-1"))
    assert "save it as UTF-8" in problems_of(path)[0]


def test_a_field_without_a_type_is_refused_for_that_alone(tmp_path: Path) -> None:
    path = written(tmp_path, [{"name": "f"}])
    path.write_text(path.read_text().replace("logicalType: string", "physicalType: int"))
    (problem,) = problems_of(path)
    assert "properties[0].logicalType: expected one of string" in problem


def test_a_date_in_yaml_stays_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [{"name": "f", "logicalType": "date", "logicalTypeOptions": {"minimum": "2013-01-01"}}],
    )
    path.write_text(path.read_text().replace("'2013-01-01'", "2013-01-01"))
    assert load_contract(path).tables[0].fields[0].minimum == "2013-01-01"


NUMBERS: list[tuple[Any, Any, str]] = [
    ("number", {"maximum": 10**400}, "maximum: expected a finite number, got `1000"),
    ("number", {"multipleOf": 10**400}, "multipleOf: expected a finite number, got `1000"),
    ("integer", {"minimum": 2**70}, "a minimum <= 9223372036854775807, as 64 bits hold, got `118"),
    ("integer", {"maximum": -(2**70)}, "a maximum >= -9223372036854775808, as 64 bits hold"),
    ("integer", {"minimum": float("inf")}, "got none, or a number that is not finite"),
    ("integer", {"minimum": "1e5"}, "expected number, got `1e5` (text)"),
    ("number", {"multipleOf": 0}, "multipleOf: expected > 0, got `0`"),
    ("string", {"maxLength": 2**70}, "maxLength: expected at most 2147483647, got `118"),
    ("string", {"pattern": "a" * 100_000}, "got 100000 characters; at most 1000"),
    ("string", {"pattern": "(" * 400 + ")" * 400}, "got more than 100 groups within each other"),
    ("string", {"pattern": "(a{900}){900}"}, "repetition of a repetition that makes 810,000"),
]


@pytest.mark.parametrize(("kind", "options", "said"), NUMBERS)
def test_what_no_engine_has_room_for_is_a_problem_of_the_file(
    kind: str, options: Any, said: str, tmp_path: Path
) -> None:
    keys = {"name": "f", "logicalType": kind, "logicalTypeOptions": options}
    (problem,) = problems_of(written(tmp_path, [keys]))
    assert said in problem
    assert len(problem) < 400


QUALITY: list[tuple[Any, str]] = [
    ({"mustBe": "x"}, "mustBe: expected a finite number, got `x` (text)"),
    ({"mustBe": [1]}, "mustBe: expected a finite number, got `[1]` (list)"),
    ({"mustBe": float("nan")}, "mustBe: expected a finite number, got `nan`"),
    ({"mustBe": 10**400}, "mustBe: expected a finite number, got `1000"),
    ({"mustBe": 0.5}, "expected a limit that a count can keep, got exactly 0.5"),
    ({"mustBe": -1}, "expected a limit that a count can keep, got exactly -1"),
    ({"mustBeLessThan": "x"}, "mustBeLessThan: expected a number, got `x` (text)"),
    ({"mustBeBetween": [10**400, 1]}, "mustBeBetween: expected two finite numbers"),
    ({"mustBeBetween": 3}, "mustBeBetween: expected two numbers, the smaller first, got `3`"),
    ({"mustBeBetween": ["a", "b"]}, "mustBeBetween: expected two numbers, the smaller first"),
    ({}, "expected exactly one of `mustBe`, `mustNotBe`"),
    ({"mustBe": 1, "mustNotBe": 2}, "got `mustBe` and `mustNotBe`"),
    ({"metric": "nulls", "mustBe": 1}, "metric: expected one of nullValues, missingValues"),
    ({"metric": None, "mustBe": 1}, "metric: expected one of nullValues"),
    ({"metric": 3, "mustBe": 1}, "metric: expected one of nullValues"),
    ({"metric": "invalidValues", "mustBe": 0}, "arguments: expected `validValues` or `pattern`"),
]
ARGUMENTS: list[tuple[str, Any, str]] = [
    ("invalidValues", {"validValues": 3}, "validValues: expected a list of one value or more"),
    ("invalidValues", {"validValues": "abc"}, "validValues: expected a list of one value or more"),
    ("invalidValues", {"validValues": None}, "validValues: expected a list of one value or more"),
    ("invalidValues", {"validValues": []}, "validValues: expected a list of one value or more"),
    ("invalidValues", {"pattern": 3}, "pattern: expected a pattern, in quotes, got `3`"),
    ("invalidValues", {"pattern": "a" * 9999}, "got 9999 characters; at most 1000"),
    ("missingValues", {"missingValues": 3}, "missingValues: expected a list of one value or more"),
    ("duplicateValues", {"properties": 3}, "properties: expected a list of one value or more"),
]


@pytest.mark.parametrize(("rule", "said"), QUALITY)
def test_a_quality_rule_with_a_wrong_limit_is_a_problem_of_the_file(
    rule: dict[str, Any], said: str, tmp_path: Path
) -> None:
    whole = {"metric": "nullValues", **rule}
    problems = problems_of(written(tmp_path, [{"name": "f", "quality": [whole]}]))
    assert len(problems) == 1
    assert "quality[0]" in problems[0]
    assert said in problems[0]


@pytest.mark.parametrize(("metric", "arguments", "said"), ARGUMENTS)
def test_a_quality_rule_with_a_wrong_argument_is_a_problem_of_the_file(
    metric: str, arguments: Any, said: str, tmp_path: Path
) -> None:
    rule = {"metric": metric, "mustBe": 0, "arguments": arguments}
    (problem,) = problems_of(written(tmp_path, [{"name": "f", "quality": [rule]}]))
    assert said in problem


@pytest.mark.parametrize("names", [[3, [1]], ["g"], None])
def test_duplicates_are_looked_for_in_fields_that_there_are(names: Any, tmp_path: Path) -> None:
    rule = {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": names}}
    problems = problems_of(written(tmp_path, [{"name": "f"}], table={"quality": [rule]}))
    assert all("arguments.properties: expected" in problem for problem in problems)


@pytest.mark.parametrize("element", ["t.a.b", "a.b"])
def test_a_field_with_a_dot_in_its_name_can_be_fresh(element: str, tmp_path: Path) -> None:
    level = {"property": "freshness", "value": 1, "unit": "h", "element": element}
    keys = {"name": "a.b", "logicalType": "date"}
    (table,) = load_contract(written(tmp_path, [keys], slaProperties=[level])).tables
    assert [check.field for check in table.checks] == ["a.b"]


def test_a_freshness_beyond_all_time_is_a_problem_of_the_file(tmp_path: Path) -> None:
    for value in (10**400, 10**30, "9" * 400):
        level = {"property": "freshness", "value": value, "unit": "h", "element": "t.f"}
        path = written(tmp_path, [{"name": "f", "logicalType": "date"}], slaProperties=[level])
        (problem,) = problems_of(path)
        assert problem.startswith("slaProperties[0].value: expected a")


def test_an_enum_is_held_to_a_pattern_in_linear_time(tmp_path: Path) -> None:
    options = {"pattern": "^(a+)+$"}
    keys = {"name": "f", "enum": [{"value": "a" * 60 + "!"}], "logicalTypeOptions": options}
    started = time.perf_counter()
    (problem,) = problems_of(written(tmp_path, [keys]))
    assert "expected a value that keeps `pattern`" in problem
    assert time.perf_counter() - started < 5
