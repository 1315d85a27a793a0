"""Gathers what is known of two releases from the stores, and compares them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Engine, select

from ..errors import NotFound, RequestError, StoreError
from ..evaluate.report import Report
from ..release import bundle, registry
from ..release.compare import Comparison, Side, compare, flat
from ..release.registry import SERVICE_FILE, Release
from ..store.artifacts import Artifacts
from ..store.certificates import Certificate, list_certificates
from ..store.evaluations import newest_evaluation
from ..store.rollups import Summary, summarise, summarise_by
from ..store.tables import drafts, outcomes
from ..types import HOUR_US
from .token_changes import change_of_releases

MOST_TEXT_BYTES = 256_000
"""Of a file that is compared line by line; a larger one counts as data."""
MOST_OUTCOMES = 20_000
"""Outcomes of one release that are looked at, the newest."""

_decode = msgspec.json.decode


def compare_releases(
    state: Engine, artifacts: Artifacts, a: str, b: str, *, since_us: int = 0
) -> Comparison:
    """Compare two releases of one service: quality, latency, cost, and everything that differs.

    Args:
        state: The state database.
        artifacts: Keep the files of the releases.
        a: Id of the one.
        b: Id of the other.
        since_us: What was answered before does not count.

    Raises:
        NotFound: There is no such release.
        RequestError: They are of two services.
    """
    ours, theirs = (registry.read_release(state, id) for id in (a, b))
    if ours.service != theirs.service:
        raise RequestError(
            f"expected two releases of one service, got one of `{ours.service}` and one of "
            f"`{theirs.service}`"
        )
    tokens = change_of_releases(state, ours, theirs)
    a_side, b_side = (_side(state, artifacts, one, since_us) for one in (ours, theirs))
    return compare(a_side, b_side, tokens)


def _side(state: Engine, artifacts: Artifacts, release: Release, since_us: int) -> Side:
    declared = bundle.read_declared(release.manifest, artifacts)
    live, span_us = _live(state, release, since_us)
    texts, gone = _texts(release, artifacts)
    own = {} if declared is None else declared.model_dump(mode="json", by_alias=True)
    by_expression = declared is not None and declared.outcomes.right is not None
    right, judged = (0, 0) if by_expression else _judged(state, release.id, since_us)
    return Side(
        release=release,
        is_champion=registry.champion_id_of(state, release.service) == release.id,
        declared=dict(flat(own)),
        texts=texts,
        gone=tuple(gone),
        report=newest_report(state, release.id),
        live=live,
        span_us=span_us,
        right=right,
        judged=judged,
        certificate=_certificate(state, release),
    )


def _live(state: Engine, release: Release, since_us: int) -> tuple[Summary, int]:
    of = {"service": release.service, "since_us": since_us, "release": release.id}
    hours = summarise_by(state, "hour_us", **of)  # type: ignore[arg-type]
    if not hours:
        return Summary(), 0
    return summarise(state, **of), max(hours) - min(hours) + HOUR_US  # type: ignore[arg-type]


def _texts(release: Release, artifacts: Artifacts) -> tuple[dict[str, str], list[str]]:
    """Return the files of a release that are text, and those that are gone or damaged."""
    found, gone = {}, []
    for name, digest in release.manifest.files.items():
        try:
            path = artifacts.path(digest)
            if path.stat().st_size > MOST_TEXT_BYTES and name != SERVICE_FILE:
                continue
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        except (NotFound, StoreError, OSError):
            gone.append(name)
            continue
        if "\0" not in text:
            found[name] = text
    return found, gone


def newest_report(state: Engine, release_id: str) -> Report | None:
    """Return what the newest evaluation of a release found; None where there was none.

    Raises:
        StoreError: What is stored is not what was written.
    """
    found = newest_evaluation(state, release_id)
    return None if found is None else _decode(found.report, type=Report)


def _certificate(state: Engine, release: Release) -> Certificate | None:
    found = list_certificates(state, release.service)
    return next((one for one in found if one.release == release.id), None)


def _judged(state: Engine, release_id: str, since_us: int) -> tuple[int, int]:
    """Return how many answers of a release were right, and of how many that is known."""
    query = (
        select(drafts.c.request_id, drafts.c.predicted, outcomes.c.kind, outcomes.c.value)
        .join(outcomes, outcomes.c.request_id == drafts.c.request_id)
        .where(
            drafts.c.release == release_id,
            drafts.c.at_us >= since_us,
            outcomes.c.kind.in_(("label", "correct", "audit")),
            outcomes.c.source != "planted",
        )
        .order_by(drafts.c.at_us.desc())
        .limit(MOST_OUTCOMES)
    )
    verdicts: dict[str, bool] = {}
    with state.connect() as connection:
        for request_id, predicted, kind, value in connection.execute(query):
            is_right = _is_right(predicted, kind, _decode(value))
            if is_right is not None:
                verdicts[request_id] = verdicts.get(request_id, True) and is_right
    return sum(verdicts.values()), len(verdicts)


def _is_right(predicted: bytes, kind: str, value: Any) -> bool | None:
    if kind == "label":
        return None if not predicted else bool(_decode(predicted) == value)
    return value if isinstance(value, bool) else None
