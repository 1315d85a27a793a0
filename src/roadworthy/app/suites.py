"""Suites from production, written beside a service, and what of production they lack."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ..errors import RequestError
from ..evaluate.cases import Case
from ..evaluate.coverage import Coverage, coverage_of, proposed
from ..evaluate.loading import load_cases
from ..evaluate.suites import BUILTIN
from ..improve.exported import check_new, leaving, write_lines
from ..improve.incidents import Incidents, incidents
from ..improve.requests import CaseMaker, LeftOut, facts_of, kept_requests
from ..improve.said import read_asked
from ..improve.sampled import Sampled, Wanted, sample
from ..improve.suites import SuiteWritten, write_suite
from ..release.registry import champion_id_of
from ..store.state import reading
from .examples import open_contracts
from .ground import Ground

MOST_NAMED = 20
"""Properties that an error names."""
MOST_REQUESTS = 20_000
"""Requests that a coverage map is made of; of more, so many are drawn."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def sample_suite(ground: Ground, wanted: Wanted) -> Sampled:
    """Draw a suite that is like what a service is asked.

    Raises:
        NotFound: There is no such service.
    """
    ground.check_declared(wanted.service)
    champion = champion_id_of(ground.state, wanted.service)
    return sample(ground.state, open_contracts(ground), wanted, champion)


def incident_suite(ground: Ground, service: str, since_us: int, until_us: int, n: int) -> Incidents:
    """Return as cases what went wrong with a service.

    Raises:
        NotFound: There is no such service.
    """
    ground.check_declared(service)
    champion = champion_id_of(ground.state, service)
    span = (since_us, until_us)
    return incidents(ground.state, open_contracts(ground), service, *span, n=n, champion=champion)


def correction_suite(
    ground: Ground, service: str, path: Path, *, only_corrections: bool, force: bool
) -> SuiteWritten:
    """Write as cases what people decided of a service's answers.

    Raises:
        NotFound: There is no such service.
        RequestError: There is such a file, and `force` is not set.
    """
    ground.check_declared(service)
    champion = champion_id_of(ground.state, service)
    contracts = open_contracts(ground)
    rows, _ = leaving(
        ground.state, contracts, service, champion=champion, only_corrections=only_corrections
    )
    return write_suite(rows, path, force=force)


def write_cases(cases: Sequence[Case], path: Path, *, force: bool = False) -> int:
    """Write cases as JSON lines, by id, and return how many: the same cases, the same bytes.

    Raises:
        RequestError: There is such a file, and `force` is not set.
        StoreError: It cannot be written.
    """
    check_new(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_lines(path, (_encode(case) for case in sorted(cases, key=lambda one: one.id)))


def read_coverage(
    ground: Ground,
    service: str,
    since_us: int,
    until_us: int,
    *,
    ways: int = 2,
    fields: Sequence[str] = (),
) -> Coverage:
    """Return which combinations of tags, fields and features production has and the suites lack.

    Args:
        ground: The project.
        service: Which one; its suites are those that its file in the working tree names.
        since_us: Requests from then on.
        until_us: Requests before then.
        ways: How many properties are combined.
        fields: Only these properties, like `tag:night` or `input.carrier`; by default all.

    Raises:
        NotFound: There is no such service.
        DeclarationError: Its file or a suite is wrong.
        RequestError: Neither a request nor a case has one of the properties.
    """
    declared = ground.load(service)
    names = [name for name in declared.evaluation.suites if not name.startswith(BUILTIN)]
    suites = load_cases(declared.folder, names)
    with reading(ground.state) as connection:
        span = (service, since_us, until_us)
        found = kept_requests(connection, open_contracts(ground), *span, LeftOut())
        drawn = heapq.nsmallest(
            MOST_REQUESTS,
            (
                (sha256(one.record.id.encode()).digest(), one.record.id, _facts_of_request(one))
                for one in found
            ),
        )
    facts = [facts for *_, facts in drawn]
    all_cases = [case for suite in suites for case in suite.cases]
    own = [facts_of(case.input, case.features, case.tags) for case in all_cases]
    _check_known(fields, {name for each in (*facts, *own) for name in each})
    rows = [_chosen(each, fields) for each in facts]
    cases = [_chosen(each, fields) for each in own]
    return coverage_of(rows, cases, ids=[id for _, id, _ in drawn], ways=ways)


def cases_for_gaps(ground: Ground, service: str, coverage: Coverage, n: int) -> list[Case]:
    """Return cases for the largest gaps, made of requests that have them.

    Raises:
        NotFound: There is no such service.
    """
    ground.check_declared(service)
    wanted = proposed(coverage, n)
    with reading(ground.state) as connection:
        asked = read_asked(connection, wanted)
    releases = {one.record.release for one in asked.values()}
    maker = CaseMaker(open_contracts(ground), releases | {champion_id_of(ground.state, service)})
    made = [maker.make(asked[id], "gap", tags=("gap",)) for id in wanted if id in asked]
    return list({case.id: case for case in made if case is not None}.values())


def _facts_of_request(one: Any) -> dict[str, Any]:
    features = (one.record.features or {}).get("values")
    return facts_of(one.input, features, one.record.tags)


def _check_known(fields: Sequence[str], known: Collection[str]) -> None:
    """Refuse a property that nothing has: nothing would be missing of it."""
    if known and (unknown := [name for name in fields if name not in known]):
        names = ", ".join(f"`{name:.60}`" for name in sorted(known)[:MOST_NAMED])
        raise RequestError(
            f"fields: expected properties of requests or cases ({names}), got `{unknown[0]:.60}`; "
            "fields of the input begin with `input.`, tags with `tag:`"
        )


def _chosen(facts: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return facts if not fields else {k: v for k, v in facts.items() if k in fields}
