"""Holds a batch against its contract: one statement finds what is broken, a second what breaks it.

The second runs only where something is broken or in doubt: it counts exactly, takes examples, and
marks the rows for the quarantine. Nothing is lost: a row that breaks a rule is written there as it
was, with the names of its rules.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound, RequestError
from ..store.data_versions import Validation, record_validation
from ..types import MICRO, Clock, SystemClock
from .addresses import name_of
from .authored import run_authored
from .batch import Measure, Plan, count_sql, fields_of_rule, plan_of, reference_of
from .columns import read
from .contract import Contract, Rule, Table, rules_of
from .details import Details, details_of
from .probes import hints_of, probe_sql, probes_of
from .quarantine import write_quarantine
from .relations import Sources
from .report import COLUMNS, LINES, Example, Report, RuleReport, expected_of
from .sources import Source, open_source, why_not_beside
from .volume import held_to

MOST_EXAMPLES = 5
_OF_BATCH = frozenset(("row_count", "rows_per_day", "distinct_values"))
"""Rules that count something of the batch as a whole, not the rows that break them."""
_KEYED = frozenset(("unique", "primary_key", "foreign_key"))


def validate(
    contract: Contract,
    source: Any,
    *,
    table: str = "",
    references: Mapping[str, Any] | None = None,
    quarantine: Path | None = None,
    clock: Clock | None = None,
) -> Report:
    """Hold a source against a table of a contract.

    Args:
        contract: What the producer promises.
        source: A file, a frame, an Arrow table or a table of a database; see `open_source`.
        table: The contract's table; may be left out where there is one.
        references: Table that a foreign key names → the source that holds it; the table itself
            needs none. A rule that lacks its reference is not run, and not kept.
        quarantine: Where rows that break an error rule are written, as `.parquet` or `.csv`.
        clock: What freshness is measured by.

    Raises:
        NotFound: The contract has no such table.
        RequestError: A reference lacks its column, or the quarantine cannot be of this kind.
        StoreError: The source cannot be read.
        MissingExtra: The extra `data` is not installed.
    """
    started = time.perf_counter()
    clock = clock or SystemClock()
    chosen = table_of(contract, table)
    opened_as, not_run = _references(chosen, source, references or {})
    wanted = [field.column for field in chosen.fields]
    with open_source(source, wanted, opened_as) as opened:
        run = _Run(chosen, opened, clock, not_run)
        rules, rows, details = run.judge()
        failed_rows = details.failed_rows + len(opened.bad_lines)
        quarantined = 0
        if quarantine is not None:
            quarantined = write_quarantine(quarantine, opened, run.plan, run.marking(rules))
    return Report(
        contract=contract.id,
        version=contract.version,
        table=chosen.name,
        source=opened.name,
        rows=rows,
        failed_rows=failed_rows,
        kept=not any(rule.failed and rule.severity == "error" for rule in rules),
        rules=rules,
        seconds=round(time.perf_counter() - started, 4),
        quarantined=quarantined,
    )


def table_of(contract: Contract, name: str) -> Table:
    """Return a table of a contract; without a name its only one.

    Raises:
        NotFound: There is none of the name.
        RequestError: There are several, and none is named.
    """
    names = ", ".join(f"`{table.name}`" for table in contract.tables)
    if not name and len(contract.tables) > 1:
        raise RequestError(f"expected `--table`, got none; contract `{contract.id}` has {names}")
    found = contract.table(name) if name else contract.tables[0]
    if found is None:
        raise NotFound(f"expected a table of contract `{contract.id}`: {names}, got `{name}`")
    return found


def _references(
    table: Table, source: Any, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return relation → source of each foreign key, and rule → why it cannot be looked at."""
    found: dict[str, Any] = {}
    not_run: dict[str, str] = {}
    for place, rule in enumerate(rules_of(table)):
        if rule.kind != "foreign_key" or rule.check is None:
            continue
        name = rule.check.references.partition(",")[0].rpartition(".")[0]
        if name not in given and name in (table.name, table.physical_name):
            given = {**given, name: source}
        if name not in given:
            not_run[rule.name] = (
                f"expected where the rows of `{name}` are, got nothing; name them with "
                f"`--reference {name}=SOURCE`, or declare a source of roadworthy.toml under a "
                f"contract of table `{name}`"
            )
        elif expected := why_not_beside(source, given[name]):
            not_run[rule.name] = (
                f"expected `{name}` to be {expected}, got `{name_of(given[name])}`; name another "
                f"with `--reference {name}=SOURCE`"
            )
        else:
            found[f"{reference_of(place)}_rows"] = given[name]
    return found, not_run


class _Run:
    """One table held against one opened source."""

    def __init__(
        self, table: Table, source: Source, clock: Clock, not_run: Mapping[str, str]
    ) -> None:
        self._table = table
        self._source = source
        self._clock = clock
        self._not_run = not_run
        plan = plan_of(table, source.columns, source.dialect, clock.now_us())
        measures = tuple(one for one in plan.measures if one.rule.name not in not_run)
        self.plan: Plan = plan._replace(measures=measures)
        self._open_references()

    def judge(self) -> tuple[tuple[RuleReport, ...], int, Details]:
        """Return how each rule fared, how many rows there are, and which of them failed."""
        rows, measured, doubted = self._measure()
        asked = [m for m in self.plan.measures if m.rule in doubted or self._fails(m, measured)]
        asked = [m for m in asked if m.condition]
        personal = {field.name for field in self._table.fields if field.is_personal}
        details = details_of(self._source, self.plan, asked, personal, MOST_EXAMPLES)
        measured |= details.counts
        reports = [self._columns(), *self._lines()]
        reports += [self._report(m, measured, rows, details) for m in self.plan.measures]
        reports += run_authored(self._table, self._source, self.plan)
        reports += self._unmeasured()
        order = {rule.name: place for place, rule in enumerate(rules_of(self._table))}
        reports.sort(key=lambda report: order.get(report.rule, -1))
        return tuple(reports), rows + len(self._source.bad_lines), details

    def marking(self, rules: Sequence[RuleReport]) -> list[Measure]:
        """Return the measures by which rows are bad, of those rules that failed."""
        broken = {rule.rule for rule in rules if rule.failed and rule.severity == "error"}
        return [m for m in self.plan.measures if m.rule.name in broken and is_of_rows(m.rule)]

    def _measure(self) -> tuple[int, dict[str, Any], set[Rule]]:
        """Return the rows, what each rule measures, and the rules that are in doubt."""
        plan, source = self.plan, self._source
        if not source.is_columnar:
            row = source.rows(count_sql(plan, plan.measures, source.relation))[0]
            names = (measure.rule.name for measure in plan.measures)
            return row[0], dict(zip(names, row[1:], strict=True)), set()
        probes = probes_of(plan, hints_of(source, plan))
        row = source.rows(probe_sql(probes))[0]
        measured: dict[str, Any] = {measure.rule.name: 0 for measure in plan.measures}
        doubted: set[Rule] = set()
        for probe, answer in zip(probes, row[1:], strict=True):
            if probe.is_exact:
                measured[probe.measures[0].rule.name] = answer
            elif answer:
                doubted |= {measure.rule for measure in probe.measures}
        return row[0], measured, doubted

    def _fails(self, measure: Measure, measured: Mapping[str, Any]) -> bool:
        return bool(measure.condition) and bool(measured[measure.rule.name])

    def _report(
        self, measure: Measure, measured: Mapping[str, Any], rows: int, details: Details
    ) -> RuleReport:
        rule = measure.rule
        value, failed = measured[rule.name], 0
        if is_of_rows(rule):
            failed = value
        elif rule.kind == "freshness":
            value = self._age_s(value)
            failed = int(value is None or value > rule.check.max_age_s) if rule.check else 0
        elif rule.check is not None:
            count = value
            if rule.check.unit == "percent":
                value = round(100 * value / rows, 6) if rows else 0.0
            is_kept = rule.check.limits.allow(value)
            failed = 0 if is_kept else (1 if rule.kind in _OF_BATCH else max(count, 1))
        examples = details.examples.get(rule.name, ()) if failed else ()
        return self._told(rule, failed, value, examples)

    def _told(
        self, rule: Rule, failed: int, value: Any, examples: tuple[Example, ...], not_run: str = ""
    ) -> RuleReport:
        return RuleReport(
            rule=rule.name,
            field=rule.field,
            kind=rule.kind,
            severity=rule.severity,
            failed=failed,
            measured=value,
            expected=expected_of(rule, self._table.field(rule.field)),
            examples=examples,
            description=rule.check.description if rule.check else "",
            not_run=not_run,
        )

    def _age_s(self, newest_ms: int | None) -> float | None:
        if newest_ms is None:
            return None
        return round((self._clock.now_us() / MICRO * 1000 - newest_ms) / 1000, 3)

    def _unmeasured(self) -> list[RuleReport]:
        """Report rules that could not be measured: of several fields one of which is missing, say.

        The rule of the columns tells of a missing field, and its own rules are gone with it; but a
        key that also has other fields, and what is asked of the whole batch, is not kept by that.
        """
        settled = {measure.rule.name for measure in self.plan.measures} | self._not_run.keys()
        missing = {field.name for field in self.plan.missing}
        rules = rules_of(self._table)
        found = [
            self._told(rule, 1, None, (), self._not_run[rule.name])
            for rule in rules
            if rule.name in self._not_run
        ]
        found += [
            self._told(rule, 1, None, ({"missing": name},))
            for rule in rules
            if rule.name not in settled and (rule.check is not None or rule.kind == "primary_key")
            for name in [one for one in fields_of_rule(rule) if one in missing][:1]
            if rule.kind != "sql"
        ]
        return found

    def _columns(self) -> RuleReport:
        """Judge whether the columns of the contract are there; their order does not matter."""
        known = {field.column for field in self._table.fields}
        extra = [name for name in self._source.columns if name not in known]
        examples: list[Example] = [
            {"missing": field.column, **({"instead": extra} if extra else {})}
            for field in self.plan.missing
        ]
        examples += [
            {"missing": name, "file": file}
            for file, names in self._source.lacking.items()
            for name in names
            if name in known
        ]
        if self._table.is_closed:
            examples += [{"unexpected": name} for name in extra]
        return RuleReport(
            rule=COLUMNS,
            field="",
            kind=COLUMNS,
            severity="error",
            failed=len(examples),
            measured=len(known) - len(self.plan.missing),
            expected=f"the {len(known)} columns of the contract"
            + (" and no other" if self._table.is_closed else ""),
            examples=tuple(examples),
        )

    def _lines(self) -> list[RuleReport]:
        """Report lines of a text file that hold no row, if there are any."""
        bad = self._source.bad_lines
        if not bad:
            return []
        is_open = not any(field.is_personal for field in self._table.fields)
        examples = []
        for one in bad[:MOST_EXAMPLES]:
            example: dict[str, Any] = {"file": one.file, "line": one.line, "column": one.column}
            example |= {"expected": one.expected, "got": one.got}
            examples.append(example | ({"text": one.text[:200]} if is_open else {}))
        return [
            RuleReport(
                rule=LINES,
                field="",
                kind=LINES,
                severity="error",
                failed=len(bad),
                measured=len(bad),
                expected="a row in every line",
                examples=tuple(examples),
            )
        ]

    def _open_references(self) -> None:
        """Make the other side of each foreign key readable as values of the field's own type."""
        for measure in self.plan.measures:
            check = measure.rule.check
            if measure.rule.kind != "foreign_key" or check is None:
                continue
            name = reference_of(measure.place)
            columns = self._source.references[f"{name}_rows"]
            parts = []
            for at, (own, other) in enumerate(
                zip(check.fields, check.references.split(", "), strict=True)
            ):
                field, column = self._table.field(own), other.rpartition(".")[2]
                if column not in columns:
                    raise RequestError(f"expected a reference with column `{column}`, got none")
                assert field is not None
                as_there = msgspec.structs.replace(field, column=column)
                parts.append(
                    f"{read(as_there, columns[column], self._source.dialect).value} AS k{at}"
                )
            whole = " AND ".join(f"k{at} IS NOT NULL" for at in range(len(parts)))
            inner = f"SELECT {', '.join(parts)} FROM {name}_rows"
            view = f"CREATE TEMP VIEW {name} AS SELECT * FROM ({inner}) AS looked_up WHERE {whole}"
            self._source.run(view)


def is_of_rows(rule: Rule) -> bool:
    """Return whether rows break a rule: alone, or because of other rows."""
    return rule.check is None or rule.kind in _KEYED


def validate_sources(
    sources: Sources,
    engine: Engine,
    clock: Clock,
    names: Sequence[str] = (),
    quarantine: Path | None = None,
) -> dict[str, Report]:
    """Hold a project's sources against their contracts, and remember how each fared.

    Args:
        sources: All sources of the project.
        engine: The state database.
        clock: What freshness is measured by.
        names: Which; without them all.
        quarantine: The folder for bad rows, one Parquet file a source.

    Raises:
        NotFound: There is no source of a name, or none at all.
        StoreError: A source cannot be read.
    """
    chosen = {name: sources[name] for name in names or sources if name in sources}
    if unknown := [name for name in names if name not in sources]:
        there = ", ".join(f"`{name}`" for name in sources) or "none"
        raise NotFound(f"expected a source of roadworthy.toml, got `{unknown[0]}`; there: {there}")
    if not chosen:
        raise NotFound("expected `[sources.<name>]` in roadworthy.toml, got none")
    references = references_of(sources)
    reports = {}
    for name, one in chosen.items():
        report = reports[name] = validate(
            held_to(one.contract, one.table, one.volume),
            one.url,
            table=one.table.name,
            references=references,
            quarantine=quarantine / f"{name}.parquet" if quarantine else None,
            clock=clock,
        )
        record_validation(engine, _as_validation(name, report, clock))
    return reports


def references_of(sources: Sources) -> dict[str, str]:
    """Return where a foreign key finds each table: it may name the table, or the source."""
    found = {one.table.physical_name: one.url for one in sources.values()}
    found |= {one.table.name: one.url for one in sources.values()}
    return found | {name: one.url for name, one in sources.items()}


def _as_validation(name: str, report: Report, clock: Clock) -> Validation:
    return Validation(
        source=name,
        at_us=clock.now_us(),
        contract=report.contract,
        version=report.version,
        rows=report.rows,
        failed_rows=report.failed_rows,
        is_kept=report.kept,
        detail=msgspec.to_builtins(report),
    )
