"""`roadworthy data`: hold data against its contract, draft one from data, test at its volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..app import open_project
from ..data.contract import Contract
from ..data.odcs import load_contract
from ..data.profile import draft_of, profile
from ..data.registered import load_sources
from ..data.report import Report, RuleReport
from ..data.validate import references_of, validate, validate_sources
from ..declare.load import load_project
from .common import (
    NOT_KEPT,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    write_text,
)
from .data_diff import diff_command
from .data_loadtest import loadtest_command

_ADVICE = {
    "columns": "ask the producer for the columns, or change the contract and raise its version",
    "lines": "have the file written by a program that quotes its values, in UTF-8",
    "type": "convert the column where it is made",
    "required": "fill the values where they are made, or say in the contract that there are none",
    "minimum": "check the unit of the values first, then the range in the contract",
    "maximum": "check the unit of the values first, then the range in the contract",
    "enum": "correct the values, or add the new ones to the contract",
    "unique": "drop the rows that came twice",
    "primary_key": "drop the rows that came twice",
    "foreign_key": "load the missing rows of the other table first",
    "row_count": "look at what was delivered, and at how much of it was declared",
    "rows_per_day": "look whether a delivery was lost, cut off or came twice",
    "distinct_values": "look at new values; if they are right, declare more and test at that",
    "freshness": "look why the producer stopped",
    "future": "look at the clock, and the offset from UTC, of what makes these times",
    "sql": "read what the rule is for in the contract",
}


@click.group()
def data() -> None:
    """Hold data against its contract, compare contracts, draft one, test at declared volumes."""


def _pairs(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in value:
        name, is_pair, source = text.partition("=")
        if not (name and is_pair and source):
            raise click.BadParameter(f"expected TABLE=SOURCE, got `{text}`")
        found[name] = source
    return found


@data.command("validate")
@click.argument("words", nargs=-1, metavar="[CONTRACT SOURCE | NAME...]")
@click.option("--table", default="", help="Which table of the contract, where it has several.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    callback=_pairs,
    metavar="TABLE=SOURCE",
    help="Where a foreign key looks its values up; else in the project's source of the table.",
)
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path),
    help="Write bad rows here, as .parquet or .csv; for a project's sources a folder.",
)
@project_option
@json_option
@click.pass_context
@command
def validate_command(
    ctx: click.Context,
    words: tuple[str, ...],
    table: str,
    references: Mapping[str, str],
    quarantine: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Hold SOURCE against CONTRACT; or the project's sources against theirs, all or by NAME.

    SOURCE is a Parquet or CSV file (`*` for several), `file.duckdb#table`, `file.sqlite#table`, or
    `postgresql://...#table`; none of them is changed. Ends with 1 if a rule of severity `error` is
    broken or cannot be run, with 4 if the source cannot be read.
    """
    if words and words[0].lower().endswith((".yaml", ".yml")):
        if len(words) != 2:
            raise click.UsageError("name a contract and a source, or sources of the project")
        contract = load_contract(Path(words[0]))
        report = validate(
            contract,
            words[1],
            table=table,
            references=_known_references(contract, references, folder),
            quarantine=quarantine,
        )
        if as_json:
            print_json(_facts(report))
        else:
            _print(report, quarantine)
        ctx.exit(0 if report.kept else NOT_KEPT)
    with open_project(folder) as project:
        sources = load_sources(project.declaration)
        if quarantine is not None:
            quarantine.mkdir(parents=True, exist_ok=True)
        reports = validate_sources(sources, project.state, project.clock, words, quarantine)
    is_kept = all(report.kept for report in reports.values())
    if as_json:
        facts = {name: _facts(report) for name, report in reports.items()}
        print_json({"kept": is_kept, "sources": facts})
    else:
        for report in reports.values():
            _print(report, quarantine)
    ctx.exit(0 if is_kept else NOT_KEPT)


def _known_references(
    contract: Contract, given: Mapping[str, str], folder: Path
) -> Mapping[str, str]:
    """Return what is given, and beside it the sources of the project that lies in the folder."""
    asked = {
        check.references.partition(",")[0].rpartition(".")[0]
        for table in contract.tables
        for check in table.checks
        if check.kind == "foreign_key"
    }
    if asked <= given.keys() or not (folder / "roadworthy.toml").is_file():
        return given
    return {**references_of(load_sources(load_project(folder))), **given}


@data.command("profile")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), help="Write the draft here.")
@json_option
@command
def profile_command(source: str, out: Path | None, as_json: bool) -> None:
    """Draft a contract from SOURCE: types, ranges, enums, keys, freshness, as they are today."""
    found = profile(source)
    draft = draft_of(found)
    if out is not None:
        write_text(out, draft)
    if as_json:
        print_json({"source": found.name, "rows": found.rows, "columns": found.columns})
    elif out is None:
        click.echo(draft, nl=False)
    else:
        fields = "1 field" if len(found.columns) == 1 else f"{len(found.columns)} fields"
        said = "it says what was seen, you say what is right"
        print_line(f"wrote {out}: {fields} from {found.rows:,} rows; {said}")


def _facts(report: Report) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


def _print(report: Report, quarantine: Path | None) -> None:
    print_line(f"{_sentence(report)} ({report.seconds:.2f} s)", style="bold")
    if report.failed:
        columns = ("rule", "severity", "failed", "expected", "got", "examples")
        print_table("", columns, [_row(rule) for rule in report.failed])
    for rule in report.failed:
        if rule.not_run:
            print_line(f"{rule.rule} was not run: {rule.not_run}")
    for kind in dict.fromkeys(rule.kind for rule in report.failed if not rule.not_run):
        if kind in _ADVICE:
            print_line(f"{kind}: {_ADVICE[kind]}")
    if report.quarantined:
        print_line(f"wrote {report.quarantined:,} bad rows with their rules to {quarantine}")
    elif report.failed_rows:
        print_line("`--quarantine bad.parquet` writes the bad rows with their rules")


def _sentence(report: Report) -> str:
    what = f"contract `{report.contract}` {report.version}"
    rows = f"{report.rows:,} rows of {report.source}"
    if report.kept:
        return f"kept: {rows} keep the {len(report.rules)} rules of {what}"
    errors = [rule for rule in report.failed if rule.severity == "error"]
    unrun = sum(bool(rule.not_run) for rule in errors)
    broken, of = len(errors) - unrun, f"{len(report.rules)} rules of {what}"
    unsure = f"{unrun} {'was' if unrun == 1 else 'were'} not run" if unrun else ""
    if not broken:
        return f"not kept: of {of}, {unsure} on {rows}"
    whose = f"{report.failed_rows:,} of {rows}" if report.failed_rows else f"{rows} as a whole"
    more = f"; {unsure}" if unsure else ""
    return f"not kept: {broken} of {of} are broken, by {whose}{more}"


def _row(rule: RuleReport) -> list[str]:
    # How many rows break a rule is what was measured of them.
    got = "" if rule.measured in (None, rule.failed) else short_text(rule.measured)
    examples = "; ".join(_example(one) for one in rule.examples[:3])
    failed = "not run" if rule.not_run else f"{rule.failed:,}"
    return [rule.rule, rule.severity, failed, short_text(rule.expected), got, examples]


def _example(example: Mapping[str, Any]) -> str:
    if "line" in example:
        return "{file}:{line}:{column} {got}".format_map(example)
    return " ".join(f"{name} {short_text(value, 40)}" for name, value in example.items())


data.add_command(diff_command)
data.add_command(loadtest_command)

COMMANDS = {"data": data}
