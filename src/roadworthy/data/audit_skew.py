"""A service's features in production, held against its views and against its training set."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound
from ..store.artifacts import Artifacts
from ..store.data_versions import SavedSkew, record_skew
from ..store.records import find_records, read_bodies
from ..types import MICRO, Clock, Record
from .computed import plain
from .history import TIME, history
from .relations import Sources
from .report import listed
from .skew import FeatureSkew, Served, measure_skew
from .trained import HOW_TO_SAVE, Trained, columns_of, find_trained, named_set, thinned_set
from .values import number_of, ordered
from .views import View, made_of

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; views cannot be loaded without it either
    pyarrow = None

MOST_MEASURED = 2_000
"""Requests, the newest, that a regular look holds against their views."""
MOST_READ = 50_000
"""Requests, the newest, among which those are looked for that were given features."""

_PAGE = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def audit_skew(
    service: str,
    views: Sequence[View],
    sources: Sources,
    state: Engine,
    trained: Trained,
    *,
    limit: int,
    personal: Collection[str] = (),
) -> SkewReport:
    """Hold the newest served vectors against the views' own values, and against training.

    What is told holds no value of a field that a contract marks as personal; `personal` names those
    of the request.

    Raises:
        NotFound: No request of the service was given features yet.
        DeclarationError: A source cannot be read.
    """
    found = _given(service, state, limit)
    if not found:
        raise NotFound(
            f"service `{service}`: expected requests that were given features, got none yet; "
            "start it with `roadworthy up`, and let it answer"
        )
    report = _measured_skew(service, views, sources, state, trained, found)
    return _without_personal(report, views, sources, personal)


def remember_skew(
    service: str,
    views: Sequence[View],
    sources: Sources,
    state: Engine,
    artifacts: Artifacts,
    clock: Clock,
    training: str = "",
    personal: Collection[str] = (),
) -> SkewReport | None:
    """Hold what a service was served lately against its views and training, and remember it.

    What is remembered holds no value of a field that a contract marks as personal. None where no
    request was given features yet.

    Args:
        service: Whose features; or the id of a release that does not serve yet: then what its
            service was served is held against the release's own views and training, and no
            single value is remembered.
        views: Its views.
        sources: What they read, with their contracts.
        state: The database.
        artifacts: Where training sets are.
        clock: What says when it was measured.
        training: The id of the training set that its release names; where there is none, or it is
            not saved here, the newest that was saved with all of these views.
        personal: The personal fields of its requests.

    Raises:
        NotFound, StoreError, DeclarationError: A training set or a source cannot be read.
    """
    asked, _, is_release = service.partition("@")
    found = _given(asked, state, MOST_MEASURED)
    if not found:
        return None
    named = named_set(training, state, artifacts)
    trained = thinned_set(named or find_trained(views, state, artifacts))
    report = _measured_skew(service, views, sources, state, trained, found)
    report = _without_personal(report, views, sources, personal)
    if is_release:
        features = tuple(map(_anonymous, report.features))
        report = msgspec.structs.replace(report, features=features)
    detail = msgspec.to_builtins(report)
    record_skew(state, SavedSkew(service=service, at_us=clock.now_us(), detail=detail))
    return report


def _given(service: str, state: Engine, limit: int) -> list[Record]:
    """Return the newest requests of a service that were given features.

    Newer ones may have had none: their release named no views, or their answer was kept from
    before. So pages are turned until there are enough, or `MOST_READ` were read.
    """
    given: list[Record] = []
    before = ""
    for _ in range(MOST_READ // _PAGE):
        page = find_records(
            state, service=service, arms=("champion",), before_id=before, limit=_PAGE
        )
        given += [record for record in page if record.features is not None]
        if len(given) >= limit or len(page) < _PAGE:
            break
        before = page[-1].id
    return given[:limit]


def _without_personal(
    report: SkewReport, views: Sequence[View], sources: Sources, request: Collection[str]
) -> SkewReport:
    """Return a report without values of features that are made of personal fields.

    Args:
        report: What was measured.
        views: Where its features are from.
        sources: What the views read.
        request: The personal fields of a request.
    """
    personal = {
        f"{name}.{column}"
        for name, source in sources.items()
        for field in source.table.fields
        if field.is_personal
        for column in (field.name, field.column)
    }
    made = {name for view in views for name, fields in made_of(view).items() if fields & personal}
    for view in views:
        texts = view.computed.items()
        made |= {
            name for name, text in texts if not {*re.findall(r"\w+", text)}.isdisjoint(request)
        }
    features = tuple(_anonymous(row) if row.feature in made else row for row in report.features)
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
    times = [c.name for view in views for c in view.features if c.type in ("date", "timestamp")]
    live = {name: [_values(record).get(name) for record in found] for name in names}
    live |= {name: _ages(live[name], [record.at_us for record in found]) for name in times}
    learned = columns_of(trained.rows, names) | _trained_ages(trained, times)
    replayed = list(_replay(views, sources, state, found))
    rows = [
        _in_seconds(row) if row.feature in times else row
        for row in measure_skew(learned, live, replayed)
    ]
    return SkewReport(
        service=service,
        requests=len(found),
        replayed=len(replayed),
        trained=trained.name,
        says=_skew_sentence(rows, len(replayed), trained.name),
        kept=not any(row.unequal or row.state == "breached" for row in rows),
        features=tuple(rows),
    )


def _trained_ages(trained: Trained, times: Sequence[str]) -> dict[str, list[float | None]]:
    """Return how old each date or time was; nothing where the rows do not say as of when."""
    columns = columns_of(trained.rows, [trained.time, *times])
    moments = [number_of(at) for at in columns[trained.time]]
    if None in moments:
        moments = []
    return {name: _ages(columns[name], moments) if moments else [] for name in times}


def _ages(values: Sequence[Any], at_us: Sequence[Any]) -> list[float | None]:
    """Return for each date or time the whole seconds by which it lies before its row's moment.

    A later moment is not another world: what a model learns from is how long ago it was.
    """
    pairs = ((number_of(ordered(value)), at) for value, at in zip(values, at_us, strict=False))
    return [None if us is None else float((at - us) // MICRO) for us, at in pairs]


def _in_seconds(row: FeatureSkew) -> FeatureSkew:
    bins = (*(f"{bin} s before" for bin in row.bins[:-1]), *row.bins[-1:])
    return msgspec.structs.replace(row, bins=bins)


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


def _skew_sentence(rows: Sequence[FeatureSkew], replayed: int, trained: str) -> str:
    unequal = [f"`{row.feature}`" for row in rows if row.unequal]
    far = [f"`{row.feature}`" for row in rows if row.state == "breached" and not row.unequal]
    parts = []
    if unequal:
        parts.append(f"served values of {listed(unequal, 5)} differ from what the views say")
    elif replayed:
        requests = "1 request" if replayed == 1 else f"{replayed:,} requests"
        parts.append(f"all values of {requests} are what the views say")
    else:
        parts.append("no input of these requests is kept, so that no value could be held against")
    moved = [f"`{row.feature}`" for row in rows if row.state == "at_risk"]
    if far:
        parts.append(f"{listed(far, 5)} {'is' if len(far) == 1 else 'are'} far from training")
    if moved:
        parts.append(
            f"{listed(moved, 5)} {'has' if len(moved) == 1 else 'have'} moved from training"
        )
    if trained and not (far or moved):
        parts.append("nothing is far from training")
    elif not trained:
        parts.append(f"there is no training set to hold them against: {HOW_TO_SAVE}")
    return "; ".join(parts)
