"""Whether a service's features know what nobody can know when its model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import DeclarationError, NotFound
from ..store.leakage import LeakageFound, Way
from .contract import Table
from .leakage import Cause, Leak, measured_leaks, request_leaks, shared_rows
from .relations import Sources
from .report import listed
from .time_travel import Travelled, leaks_of, travel
from .trained import HOW_TO_SAVE, Trained, columns_of
from .view_leaks import declared_leaks
from .views import View

_WAYS: Mapping[Cause, Way] = {
    "known_later": "declared",
    "label": "declared",
    "shared_rows": "test",
}
"""How a leak was seen; what is not here was measured by the label."""


class LeakReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which features know what nobody can know when the model is asked.

    Attributes:
        service: Whose features.
        views: The views that were looked at.
        measured: What measured values are from: a snapshot's id or a file; "" where none was.
        says: The answer in a sentence.
        leaks: The features, with the evidence.
        untraced: Views of which nothing can be said by what is declared, and why.
        time_travel: Each feature of the training set beside what was known then; empty where the
            training set does not say as of when its rows are.
    """

    service: str
    views: tuple[str, ...]
    measured: str
    says: str
    leaks: tuple[Leak, ...]
    untraced: tuple[str, ...] = ()
    time_travel: tuple[Travelled, ...] = ()


def audit_leakage(
    service: str,
    views: Sequence[View],
    sources: Sources,
    asked: Table | None,
    trained: Trained,
    label: str = "",
    test: Any = None,
) -> LeakReport:
    """Return the features of a service that know too much, by what is declared and measured.

    Args:
        service: Whose features.
        views: Its views.
        sources: What they read, with their contracts.
        asked: The contract of the service's input, where it has one.
        trained: A training set, for what is measured.
        label: The column of the training set that is the outcome; "" measures nothing.
        test: The rows of a test set, an Arrow table; none of them may be in the training set.

    Raises:
        NotFound: There is no training set to measure.
        DeclarationError: The training set has no such column, or it is no label, or shares no
            column with the test set; or a source cannot be read.
    """
    if trained.rows is None and (label or test is not None):
        raise NotFound(
            f"service `{service}`: expected a training set, got none; {HOW_TO_SAVE}, or name "
            "a file with `--training`"
        )
    leaks, untraced = declared_leaks(views, sources)
    leaks += request_leaks(asked) if asked is not None else []
    is_measured = bool(label)
    travelled: list[Travelled] = []
    if is_measured:
        leaks += _measured(trained.rows, label, views, asked)
        if _says_when(trained, views):
            travelled = travel(trained.rows, views, sources, label, time=trained.time)
            leaks += leaks_of(travelled, sum(trained.rows[label].to_pylist()))
    if test is not None:
        leaks += _shared(trained.rows, test)
    return LeakReport(
        service=service,
        views=tuple(view.id for view in views),
        measured=trained.name if is_measured or test is not None else "",
        says=_leak_sentence(leaks, untraced, is_measured=is_measured),
        leaks=tuple(leaks),
        untraced=tuple(untraced),
        time_travel=tuple(travelled),
    )


def found_by(
    report: LeakReport,
    contracts: Mapping[str, str],
    input_digest: str,
    *,
    by_label: bool,
    by_test: bool,
) -> LeakageFound:
    """Return what is remembered of an audit: what it looked at, and how many leaks it found.

    Args:
        report: The audit.
        contracts: SHA-256 of each contract of its sources, by source.
        input_digest: SHA-256 of the file that says what a request brings; empty without one.
        by_label: Whether a training set was measured by its label.
        by_test: Whether it was held against a test set.
    """
    leaks: dict[Way, int] = {"declared": 0}
    leaks |= {"label": 0} if by_label else {}
    leaks |= {"test": 0} if by_test else {}
    for leak in report.leaks:
        leaks[_WAYS.get(leak.cause, "label")] += 1
    return LeakageFound(
        views=tuple(sorted(report.views)),
        contracts=dict(contracts),
        input=input_digest,
        measured=report.measured,
        leaks=leaks,
        untraced=len(report.untraced),
        says=report.says,
    )


def _says_when(trained: Trained, views: Sequence[View]) -> bool:
    """Say whether the rows can be asked of the views again: they have a time and the entities."""
    needed = {column.name for view in views for column in (*view.entity, *view.request)}
    return needed | {trained.time} <= set(trained.rows.column_names)


def _shared(train: Any, test: Any) -> list[Leak]:
    """Return a leak if test rows are training rows too, by all columns that both sets have."""
    both = [name for name in train.column_names if name in test.column_names]
    if not both:
        there = ", ".join(f"`{name}`" for name in train.column_names[:40])
        raise DeclarationError(f"test: expected columns of the training set, got none of {there}")
    sides = (zip(*(s[name].to_pylist() for name in both), strict=True) for s in (train, test))
    leak = shared_rows(*map(list, sides))
    return [leak] if leak is not None else []


def _measured(rows: Any, label: str, views: Sequence[View], asked: Table | None) -> list[Leak]:
    if label not in rows.column_names:
        there = ", ".join(f"`{name}`" for name in rows.column_names[:40])
        raise DeclarationError(f"label: expected a column of the training set, got {there}")
    truth = rows[label].to_pylist()
    if any(value not in (True, False) for value in truth):
        raise DeclarationError(f"label: expected `{label}` to be true or false in each row")
    known = {name for view in views for name in view.names}
    known |= {field.name for field in asked.fields} if asked is not None else set()
    names = [name for name in rows.column_names if name != label and (name in known or not known)]
    return measured_leaks(columns_of(rows, names), truth)


def _leak_sentence(leaks: Sequence[Leak], untraced: Sequence[str], *, is_measured: bool) -> str:
    if leaks and not any(leak.feature for leak in leaks):
        return "the test set cannot say how good the model is"
    if leaks:
        names = listed(
            list(dict.fromkeys(f"`{leak.feature}`" for leak in leaks if leak.feature)), 5
        )
        return f"{names} cannot be known when the model is asked, or tell too much"
    how = "declared or measured" if is_measured else "declared"
    if untraced:
        how += f", as far as it can be traced: {len(untraced)} of the views cannot"
    return f"no leak is {how}" + (
        "" if is_measured else "; `--label COLUMN` measures a training set too"
    )
