"""`roadworthy features skew` and `leakage`: whether features are what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ..app import Project, open_project
from ..data.audit_leakage import LeakReport, audit_leakage, found_by
from ..data.audit_skew import SkewReport, audit_skew
from ..data.consumed import asked_tables, source_contracts
from ..data.features import Features
from ..data.history import TIME, read_rows
from ..data.skew import FeatureSkew
from ..data.time_travel import Travelled
from ..data.trained import Trained, find_trained, named_set
from ..data.views import View
from ..declare.schemas import open_schema, split_table
from ..declare.service import ServiceDeclaration
from ..declare.training import read_training
from ..errors import NotFound
from ..store.artifacts import digest_of
from ..store.leakage import LeakageFound, record_leakage
from .common import (
    INCONCLUSIVE,
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
)

_LIMIT = 2000
_file = click.Path(path_type=Path, dir_okay=False)
_training_option = click.option(
    "--training",
    type=_file,
    help="Parquet or CSV file of the training set; else the newest that was saved.",
)
_leaked_option = click.option(
    "--training",
    type=_file,
    help="Parquet or CSV file of the training set; else the one that the service names, or the "
    "newest that was saved.",
)


@contextmanager
def opened_features(folder: Path) -> Iterator[tuple[Project, Features]]:
    """Open a project with its feature views."""
    with open_project(folder) as project:
        found = Features(project.declaration, project.state, project.clock)
        try:
            yield project, found
        finally:
            found.close()


DATA_PARTS = ("contract", "features")
"""What of a service's file says which data it reads: its models need not be there yet."""


def _views(found: Features, declared: ServiceDeclaration) -> list[View]:
    return [found.view(view) for view in declared.features.views]


@click.command("skew")
@click.argument("service")
@_training_option
@click.option("--limit", default=_LIMIT, show_default=True, help="Newest requests looked at.")
@project_option
@json_option
@command
def skew_command(
    service: str, training: Path | None, limit: int, folder: Path, as_json: bool
) -> None:
    """See whether SERVICE is served the features that its model was trained on.

    Each served value is held against what the view says of the same entity at the same moment, and
    live values against those of training. Ends with 1 where a feature is broken, with 3 where too
    little is known of all.
    """
    with opened_features(folder) as (project, found):
        declared = project.load(service, DATA_PARTS)
        views = _views(found, declared)
        if not views:
            raise NotFound(f"service `{service}` names no views in `[features]`")
        trained = find_trained(views, project.state, project.artifacts, training)
        check = open_schema(project.folder / "services" / service, declared.contract.input)
        report = audit_skew(
            service,
            views,
            found.sources,
            project.state,
            trained,
            limit=limit,
            personal=() if check is None else check.personal,
        )
    if as_json:
        print_json(report)
    else:
        _print_skew(report)
    if not report.kept:
        raise SystemExit(NOT_KEPT)
    if all(row.state == "collecting" for row in report.features):
        raise SystemExit(INCONCLUSIVE)


def _print_skew(report: SkewReport) -> None:
    print_line(f"{report.service}: {report.says}", style="bold")
    columns = ("feature", "state", "served as the view", "missing, training", "live", "stability")
    print_table("features", columns, map(_skew_row, report.features))
    for row in report.features:
        for example in row.examples:
            served, offline = short_text(example.served), short_text(example.offline)
            print_line(
                f"{example.request}  {row.feature}: served {served}, the view says {offline}"
            )


def _skew_row(row: FeatureSkew) -> tuple[str, ...]:
    apart = row.stability
    return (
        row.feature,
        row.state.replace("_", " "),
        f"{row.compared - row.unequal:,} of {row.compared:,}" if row.compared else "-",
        "-" if row.missing_trained is None else f"{row.missing_trained:.1%}",
        "-" if row.missing_live is None else f"{row.missing_live:.1%}",
        "-" if apart is None else f"{apart.value:.2f} ({apart.low:.2f} to {apart.high:.2f})",
    )


@click.command("leakage")
@click.argument("service")
@_leaked_option
@click.option("--label", default="", help="Column of the training set that is the outcome.")
@click.option(
    "--time",
    default=TIME,
    show_default=True,
    help="Column of a file of `--training` that says as of when; a saved set knows its own.",
)
@click.option("--test", type=_file, help="Parquet or CSV file of the test set.")
@project_option
@json_option
@command
def leakage_command(
    service: str,
    training: Path | None,
    label: str,
    time: str,
    test: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Find features of SERVICE that know what nobody can know when the model is asked.

    By what contracts and views declare; with `--label`, by what a training set shows too: one
    feature that tells the label alone, or is missing where the label is one way, or holds what was
    not known yet at its row's time. With `--test`, by rows that training and test share. What is
    found is kept: the gate `leakage` of the service's releases is measured by it. Ends with 1 where
    there is a leak, with 3 where there is none and a view cannot be traced.
    """
    with opened_features(folder) as (project, found):
        declared = project.load(service, DATA_PARTS)
        views = _views(found, declared)
        asked = next(iter(asked_tables(declared, project.declaration)), None)
        trained = _trained(project, declared, views, training, time)
        told = None if test is None else read_rows(test.absolute(), {})
        report = audit_leakage(service, views, found.sources, asked, trained, label, told)
        kept = _found(project, declared, report, by_label=bool(label), by_test=test is not None)
        record_leakage(project.state, project.clock, service, kept, by=acting())
    if as_json:
        print_json(report)
    else:
        _print_leakage(report)
    if report.leaks:
        raise SystemExit(NOT_KEPT)
    if report.untraced:
        raise SystemExit(INCONCLUSIVE)


def _trained(
    project: Project,
    declared: ServiceDeclaration,
    views: list[View],
    file: Path | None,
    time: str,
) -> Trained:
    """Return the training set of a file, or the one that the service names, or the newest."""
    if file is None and declared.features.training is not None:
        named = read_training(declared.folder / declared.features.training).id
        if (found := named_set(named, project.state, project.artifacts)) is not None:
            return found
    return find_trained(views, project.state, project.artifacts, file, time)


def _found(
    project: Project,
    declared: ServiceDeclaration,
    report: LeakReport,
    *,
    by_label: bool,
    by_test: bool,
) -> LeakageFound:
    """Return what is remembered of an audit, with the contracts by which it was judged."""
    known = source_contracts(declared, project.declaration, project.state)
    contracts = {source: one.contract.digest for source, one in sorted(known.items())}
    asked = declared.contract.input
    file = "" if asked is None else digest_of(declared.folder / split_table(asked)[0])
    return found_by(report, contracts, file, by_label=by_label, by_test=by_test)


def _print_leakage(report: LeakReport) -> None:
    print_line(f"{report.service}: {report.says}", style="bold")
    for leak in report.leaks:
        print_line(f"  {leak.why}")
    for why in report.untraced:
        print_line(f"  {why}")
    if not report.time_travel:
        return
    columns = ("feature", "not as known", "area", "as known", "created times dealt anew")
    print_table("time travel", columns, map(_travel_row, report.time_travel))


def _travel_row(row: Travelled) -> tuple[str, ...]:
    areas = (row.area, row.area_as_known, row.area_shuffled)
    return (row.feature, f"{row.unequal:,} of {row.rows:,}", *(f"{area:.3f}" for area in areas))
