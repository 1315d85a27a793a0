"""A service's features in production, held against its views and against its training set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import DeclarationError, NotFound
from ..store.artifacts import Artifacts
from ..store.data_versions import SavedSkew, read_snapshot, read_snapshots, record_skew
from ..store.records import find_records, read_bodies
from ..types import Clock, Record
from .computed import plain
from .contract import Table
from .history import TIME, history, read_rows, thinned
from .leakage import (
    Knowledge,
    Leak,
    declared_leaks,
    measured_leaks,
    request_leaks,
    shared_rows,
)
from .relations import Sources
from .skew import FeatureSkew, Served, measure_skew
from .snapshots import Snapshot, read_set
from .time_travel import Travelled, leaks_of, travel
from .views import View, lineage

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; views cannot be loaded without it either
    pyarrow = None

MOST_MEASURED = 2_000
"""Requests, the newest, that a regular look holds against their views."""
MOST_TRAINED = 20_000
"""Rows of a training set that a regular look takes: as many say how a feature is distributed, and
it stays out of the way of requests."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE_YET = "a training set is saved by `roadworthy features history SERVICE --spine FILE --save`"


class SkewReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model sees in production what it saw in training.

    Attributes:
        service: Whose features.
        requests: Requests that were looked at, the newest.
        replayed: Of them, those whose input is kept, so that the views could be asked again.
        trained: What training values are from: a snapshot's id or a file; "" where there is none.
        says: The answer in a sentence.
        kept: Whether no feature is broken.
        features: What is known of each, worst first.
    """

    service: str
    requests: int
    replayed: int
    trained: str
    says: str
    kept: bool
    features: tuple[FeatureSkew, ...]


class LeakReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which features know what nobody can know when the model is asked.

    Attributes:
        service: Whose features.
        views: The views that were looked at.
        measured: What measured values are from: a snapshot's id or a file; "" where none was.
        says: The answer in a sentence.
        leaks: The features, with the evidence.
        time_travel: Each feature of the training set beside what was known then; empty where the
            training set does not say as of when its rows are.
    """

    service: str
    views: tuple[str, ...]
    measured: str
    says: str
    leaks: tuple[Leak, ...]
    time_travel: tuple[Travelled, ...] = ()


class Trained(msgspec.Struct, frozen=True):
    """A training set and where it is from.

    Attributes:
        name: A snapshot's id or a file; "" where there is none.
        rows: An Arrow table, or None.
        time: Its column that says as of when each row is.
    """

    name: str
    rows: Any
    time: str = TIME


def find_trained(
    views: Sequence[View],
    state: Engine,
    artifacts: Artifacts,
    file: Path | None = None,
    time: str = TIME,
) -> Trained:
    """Return the training set of a file, or the newest that was saved with all of these views.

    Raises:
        NotFound, StoreError, DeclarationError: The file or the artifact cannot be read.
    """
    if file is not None:
        return Trained(str(file), read_rows(file.absolute(), {}), time)
    wanted = {view.id: view.hash for view in views}
    for saved in read_snapshots(state):
        snapshot = msgspec.convert(saved.detail, Snapshot)
        if snapshot.artifact and wanted.items() <= snapshot.views.items():
            return Trained(snapshot.id, read_set(snapshot, artifacts), snapshot.time)
    return Trained("", None)


def audit_skew(
    service: str,
    views: Sequence[View],
    sources: Sources,
    state: Engine,
    trained: Trained,
    *,
    limit: int,
) -> SkewReport:
    """Hold the newest served vectors against the views' own values, and against training.

    Raises:
        NotFound: No request of the service was given features yet.
        DeclarationError: A source cannot be read.
    """
    found = _given(service, state, limit)
    if not found:
        raise NotFound(
            f"service `{service}`: expected requests that were given features, got none yet; "
            "declare `[features] views`, and let it answer"
        )
    return _measured_skew(service, views, sources, state, trained, found)


def remember_skew(
    service: str,
    views: Sequence[View],
    sources: Sources,
    state: Engine,
    artifacts: Artifacts,
    clock: Clock,
    training: str = "",
) -> SkewReport | None:
    """Hold what a service was served lately against its views and training, and remember it.

    What is remembered holds no value of a field that a contract marks as personal. None where no
    request was given features yet.

    Args:
        service: Whose features.
        views: Its views.
        sources: What they read, with their contracts.
        state: The database.
        artifacts: Where training sets are.
        clock: What says when it was measured.
        training: The id of the training set that its release names; where there is none, or it is
            not saved here, the newest that was saved with all of these views.

    Raises:
        NotFound, StoreError, DeclarationError: A training set or a source cannot be read.
    """
    found = _given(service, state, MOST_MEASURED)
    if not found:
        return None
    named = _named(training, state, artifacts)
    trained = _thinned(named or find_trained(views, state, artifacts))
    report = _measured_skew(service, views, sources, state, trained, found)
    report = _without_personal(report, views, sources)
    detail = msgspec.to_builtins(report)
    record_skew(state, SavedSkew(service=service, at_us=clock.now_us(), detail=detail))
    return report


def _given(service: str, state: Engine, limit: int) -> list[Record]:
    """Return the newest requests of a service, as far as they were given features."""
    found = find_records(state, service=service, limit=limit)
    return [record for record in found if record.features is not None]


def _named(training: str, state: Engine, artifacts: Artifacts) -> Trained | None:
    """Return a training set by its id; None where it is not saved here with its rows."""
    if not training:
        return None
    try:
        saved = read_snapshot(state, training)
    except NotFound:
        return None
    snapshot = msgspec.convert(saved.detail, Snapshot)
    if not snapshot.artifact:
        return None
    return Trained(snapshot.id, read_set(snapshot, artifacts), snapshot.time)


def _thinned(trained: Trained) -> Trained:
    """Return a training set with every n-th row, where it has more than are looked at."""
    if trained.rows is None:
        return trained
    return msgspec.structs.replace(trained, rows=thinned(trained.rows, MOST_TRAINED))


def _without_personal(report: SkewReport, views: Sequence[View], sources: Sources) -> SkewReport:
    """Return a report without values of features that are made of personal fields."""
    personal = {
        f"{name}.{column}"
        for name, source in sources.items()
        for field in source.table.fields
        if field.is_personal
        for column in (field.name, field.column)
    }
    made_of = {k: v for view in views for k, v in knowledge_of(view).features.items()}
    features = tuple(
        _anonymous(row) if made_of.get(row.feature, frozenset()) & personal else row
        for row in report.features
    )
    return msgspec.structs.replace(report, features=features)


def _anonymous(row: FeatureSkew) -> FeatureSkew:
    bins = (*(f"value {n}" for n in range(1, len(row.bins))), *row.bins[-1:])
    return msgspec.structs.replace(row, bins=bins, examples=())


def _measured_skew(
    service: str,
    views: Sequence[View],
    sources: Sources,
    state: Engine,
    trained: Trained,
    found: Sequence[Record],
) -> SkewReport:
    names = [name for view in views for name in view.names]
    live = {name: [_values(record).get(name) for record in found] for name in names}
    replayed = list(_replay(views, sources, state, found))
    rows = measure_skew(_columns(trained.rows, names), live, replayed)
    return SkewReport(
        service=service,
        requests=len(found),
        replayed=len(replayed),
        trained=trained.name,
        says=_skew_sentence(rows, len(replayed), trained.name),
        kept=not any(row.unequal or row.state == "breached" for row in rows),
        features=tuple(rows),
    )


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
            f"service `{service}`: expected a training set, got none; {_NONE_YET}, or name a file "
            "with `--training`"
        )
    leaks = declared_leaks(
        [knowledge_of(view) for view in views], {name: s.table for name, s in sources.items()}
    )
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
        says=_leak_sentence(leaks, is_measured=is_measured),
        leaks=tuple(leaks),
        time_travel=tuple(travelled),
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


def knowledge_of(view: View) -> Knowledge:
    """Return what a view declares of when its rows are known; computed features count as well."""
    stored = lineage(view)
    features = dict(stored)
    for name, expression in view.computed.items():
        read = [stored[word] for word in re.findall(r"\w+", expression) if word in stored]
        features[name] = frozenset[str]().union(*read)
    return Knowledge(
        view=view.id,
        features=features,
        conditions=view.reads.conditions,
        created=view.reads.outputs[view.created_time],
    )


def _replay(
    views: Sequence[View], sources: Sources, state: Engine, found: Sequence[Record]
) -> Iterator[Served]:
    """Yield each served vector beside what the views say of its entities at its moment."""
    columns = [column for view in views for column in (*view.entity, *view.request)]
    asked: list[tuple[Record, dict[str, Any]]] = []
    for record in found:
        body = read_bodies(state, record.id)[0]
        if body is not None:
            sent = msgspec.json.decode(body)
            row = {c.name: plain(sent.get(c.name), c.type) for c in columns}
            asked.append((record, row | {TIME: _EPOCH + timedelta(microseconds=record.at_us)}))
    if not asked:
        return
    spine = pyarrow.Table.from_pylist([row for _, row in asked])
    kinds = {c.name: c.type for view in views for c in view.features}
    for (record, _), row in zip(asked, history(views, spine, sources).to_pylist(), strict=True):
        said = {
            name: plain(row[name], kinds[name]) if name in kinds else row[name]
            for view in views
            for name in view.names
        }
        yield Served(record.id, _values(record), said)


def _values(record: Record) -> dict[str, Any]:
    values: dict[str, Any] = (record.features or {}).get("values", {})
    return values


def _columns(rows: Any, names: Iterable[str]) -> dict[str, list[Any]]:
    if rows is None:
        return {name: [] for name in names}
    there = set(rows.column_names)
    return {name: rows[name].to_pylist() if name in there else [] for name in names}


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
    return measured_leaks(_columns(rows, names), truth)


def _skew_sentence(rows: Sequence[FeatureSkew], replayed: int, trained: str) -> str:
    unequal = [f"`{row.feature}`" for row in rows if row.unequal]
    far = [f"`{row.feature}`" for row in rows if row.state == "breached" and not row.unequal]
    parts = []
    if unequal:
        parts.append(f"served values of {_listed(unequal)} differ from what the views say")
    elif replayed:
        requests = "1 request" if replayed == 1 else f"{replayed:,} requests"
        parts.append(f"all values of {requests} are what the views say")
    else:
        parts.append("no input of these requests is kept, so that no value could be held against")
    moved = [f"`{row.feature}`" for row in rows if row.state == "at_risk"]
    if far:
        parts.append(f"{_listed(far)} {'is' if len(far) == 1 else 'are'} far from training")
    if moved:
        parts.append(f"{_listed(moved)} {'has' if len(moved) == 1 else 'have'} moved from training")
    if trained and not (far or moved):
        parts.append("nothing is far from training")
    elif not trained:
        parts.append(f"there is no training set to hold them against: {_NONE_YET}")
    return "; ".join(parts)


def _leak_sentence(leaks: Sequence[Leak], *, is_measured: bool) -> str:
    if leaks and not any(leak.feature for leak in leaks):
        return "the test set cannot say how good the model is"
    if leaks:
        names = _listed(list(dict.fromkeys(f"`{leak.feature}`" for leak in leaks if leak.feature)))
        return f"{names} cannot be known when the model is asked, or tell too much"
    how = "declared or measured" if is_measured else "declared"
    return f"no leak is {how}" + (
        "" if is_measured else "; `--label COLUMN` measures a training set too"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
