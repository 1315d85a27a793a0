"""Replays the recorded traffic of a service through a candidate, and stores what came of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import uvloop
from sqlalchemy import Connection, Row, select

from ..declare.review import Outcomes
from ..declare.service import ServiceDeclaration
from ..errors import Forbidden, RequestError
from ..evaluate.report import Report
from ..evaluate.traffic import Replayed, Side, Terms, Traffic, apart
from ..improve.sampled import Drawn, Pool, allocate
from ..review.evidence import Said, Truth
from ..serve.rehearsal import Rehearsal
from ..serve.replay import (
    DETERMINISTIC,
    OWN_CODE,
    Asked,
    Told,
    ask_again,
    in_one_form,
    similarity,
    told_of_record,
    told_of_rehearsal,
    worst_case_micro,
)
from ..signals.confident import raw_score
from ..store.evaluations import EvaluationHead, put_evaluation
from ..store.records import each_record, record_of
from ..store.state import reading
from ..store.tables import bodies, outcomes, records, reviews
from ..types import MICRO, Ids, Record
from .evaluation_jobs import release_of
from .ground import Ground
from .rehearsals import open_rehearsal
from .replays import kinds_of

MOST_REQUESTS = 100_000
CHUNK = 200
MOST_STRATA = 200
_BUDGET = "budget_exhausted"
_ALWAYS = ("label", "correction")
"""Kinds of outcomes that say what is right, whatever was answered."""

Progress = Callable[[str, int, int], None]

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class TrafficWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which traffic is replayed, and through what.

    Attributes:
        release: The candidate.
        limit: Only the newest so many; None takes all, at most `MOST_REQUESTS`.
        sample: Only so many, drawn so that dispositions and tags keep their shares; None draws
            none.
        is_paid: Whether it may cost something.
        budget_micro: The most that all of it may cost; it allows that too.
    """

    service: str
    release: str
    since_us: int
    until_us: int
    limit: int | None = None
    sample: int | None = None
    is_paid: bool = False
    budget_micro: int | None = None
    by: str = "python"


def replay_traffic(
    ground: Ground, wanted: TrafficWanted, progress: Progress = lambda what, done, of: None
) -> Report:
    """Ask a candidate what was asked in a span, compare, and store what came of it.

    Inputs and answers of single requests are in what is returned, and not in what is stored: there
    they are under their ids, as long as their bodies are kept.

    It must not be called from a thread in which an event loop runs.

    Args:
        ground: The project.
        wanted: Which requests, and which release.
        progress: Told after every chunk.

    Raises:
        NotFound: There is no such service or release.
        RequestError: There are no requests to replay.
        Forbidden: It can cost something, and nobody has allowed that.
        DeclarationError, StoreError: The release cannot be opened.
    """
    ground.check_declared(wanted.service)
    release = release_of(ground, wanted.service, wanted.release)
    with reading(ground.state) as connection:
        ids = _choose(connection, wanted)
    if not ids:
        raise RequestError(
            f"expected requests of `{wanted.service}` in that time, got none; choose another "
            "`--since`"
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(_replay(ground, wanted, release.id, ids, progress))
    _store(ground, report)
    return report


def _choose(connection: Connection, wanted: TrafficWanted) -> list[str]:
    """Return the ids of the requests that are asked again, oldest first."""
    span = (connection, wanted.since_us, wanted.until_us)
    chunks = each_record(*span, service=wanted.service)
    if wanted.sample is None:
        newest: deque[str] = deque(maxlen=min(wanted.limit or MOST_REQUESTS, MOST_REQUESTS))
        newest.extend(record.id for chunk in chunks for record in chunk)
        return list(newest)
    pools: dict[tuple[str, ...], Pool] = {}
    for record in (record for chunk in chunks for record in chunk):
        name: tuple[str, ...] = (record.disposition, ",".join(sorted(record.tags)))
        if name not in pools and len(pools) >= MOST_STRATA:
            name = (record.disposition,)
        chance = int.from_bytes(hashlib.sha256(record.id.encode()).digest()[:16], "big")
        pools.setdefault(name, Pool(wanted.sample)).add(Drawn(chance, record.id, record.release))
    counts = {name: (pool.requests, len(pool)) for name, pool in pools.items()}
    shares = allocate(counts, wanted.sample)
    return sorted(one.request_id for name, n in shares.items() for one in pools[name].first(n))


class _Known(msgspec.Struct, frozen=True):
    """A request with all that is stored of it."""

    asked: Asked
    said: tuple[Said, ...]


async def _replay(
    ground: Ground, wanted: TrafficWanted, release_id: str, ids: Sequence[str], progress: Progress
) -> Report:
    budget = wanted.budget_micro
    rehearsal = open_rehearsal(ground, release_id, budget_micro=budget)
    try:
        if rehearsal.opened.is_paid and budget is None and not wanted.is_paid:
            _refuse_paid(ground, rehearsal, ids)
        declared = rehearsal.opened.declaration
        evaluation = declared.evaluation
        traffic = Traffic(Terms(evaluation.sure, evaluation.max_regression))
        compare = _Comparing(declared, kinds_of(ground, release_id))
        spent, notes = await _ask_all(ground, rehearsal, ids, compare, traffic, progress)
    finally:
        await rehearsal.close()
    clock = ground.clock
    report = traffic.report(
        id=Ids(clock).new("ev"),
        service=wanted.service,
        release=release_id,
        at_us=clock.now_us(),
        by=wanted.by,
        cost_micro=spent,
        notes=(*notes, *compare.notes, *traffic.notes),
    )
    baseline = compare.baseline
    return msgspec.structs.replace(report, baseline="" if baseline == release_id else baseline)


def _refuse_paid(ground: Ground, rehearsal: Rehearsal, ids: Sequence[str]) -> None:
    """Refuse what costs something, with what the first requests can come to.

    Raises:
        Forbidden: Always.
    """
    with reading(ground.state) as connection:
        some = [one.asked for one in _read(connection, ids[:CHUNK]) if one.asked.input]
    each = [worst_case_micro(rehearsal.opened, asked) for asked in some] or [0]
    worst = sum(each) / len(each) * len(ids) / MICRO
    raise Forbidden(
        f"models of `{rehearsal.opened.id}` charge: {len(ids):,} requests can cost about "
        f"${worst:,.2f} at most; set a limit with `--budget-usd`, or say `--paid`"
    )


async def _ask_all(
    ground: Ground,
    rehearsal: Rehearsal,
    ids: Sequence[str],
    compare: _Comparing,
    traffic: Traffic,
    progress: Progress,
) -> tuple[int, list[str]]:
    """Ask everything, a chunk at a time, and return what it cost and what was left out."""
    spent, done, without_body, is_broke = 0, 0, 0, False
    concurrency = rehearsal.opened.declaration.evaluation.concurrency
    async for known, told in _answers(ground, rehearsal, ids, concurrency):
        done += 1
        if told is None:
            without_body += 1
        else:
            spent += told.cost_micro
            if any(reason.startswith(f"{_BUDGET}:") for reason in told.reasons):
                is_broke = True
                break
            traffic.add(compare.pair(known, told))
        if done % CHUNK == 0 or done == len(ids):
            progress("requests", done, len(ids))
    notes = []
    if without_body:
        notes.append(f"{without_body:,} requests were left out: their bodies were not kept")
    if is_broke:
        notes.append(f"the budget was spent after {traffic.requests:,} of {len(ids):,} requests")
    return spent, notes


async def _answers(
    ground: Ground, rehearsal: Rehearsal, ids: Sequence[str], concurrency: int
) -> AsyncIterator[tuple[_Known, Told | None]]:
    """Yield each request with what the candidate answers; None where it cannot be asked again."""
    gate = asyncio.Semaphore(concurrency)

    async def ask(known: _Known) -> Told | None:
        if known.asked.input is None:
            return None
        async with gate:
            return told_of_rehearsal(await ask_again(rehearsal, known.asked))

    for start in range(0, len(ids), CHUNK):
        with reading(ground.state) as connection:
            found = list(_read(connection, ids[start : start + CHUNK]))
        for known, told in zip(found, await asyncio.gather(*map(ask, found)), strict=True):
            yield known, told


def _read(connection: Connection, ids: Sequence[str]) -> Iterator[_Known]:
    """Yield the requests of these ids, oldest first, with their bodies and outcomes."""
    rows = connection.execute(select(records).where(records.c.id.in_(ids)).order_by(records.c.id))
    kept = [record_of(row) for row in rows]
    body = _by_request(connection, bodies, ids)
    held = _by_request(connection, reviews, ids)
    told = _by_request(connection, outcomes, ids)
    for record in kept:
        row = next(iter(body.get(record.id, ())), None)
        draft = next((r for r in held.get(record.id, ()) if r.id == record.review), None)
        is_held = record.disposition == "review" and draft is not None
        input = row.input if row is not None else None
        asked = Asked(
            record=record,
            input=input or (draft.input if draft is not None else None) or None,
            output=row.output if row is not None else None,
            draft=draft.draft if is_held and draft is not None else b"",
        )
        said = [
            Said(one.kind, one.value, one.source, one.known_at_us)
            for one in told.get(record.id, ())
        ]
        yield _Known(asked, tuple(said))


def _by_request(
    connection: Connection, table: Any, ids: Sequence[str]
) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(select(table).where(table.c.request_id.in_(ids))):
        found.setdefault(row.request_id, []).append(row)
    return found


class _Comparing:
    """Makes of a request and a candidate's answer what is counted.

    Args:
        declared: The candidate's declaration: its `[outcomes]` say what is right.
        kinds: Model → kind of its provider.
    """

    def __init__(self, declared: ServiceDeclaration, kinds: Mapping[str, str]) -> None:
        self._declared = declared
        self._outcomes: Outcomes = declared.outcomes
        self._truth = Truth(declared.outcomes.right)
        self._is_text = declared.kind == "generate"
        self._fields = dict.fromkeys((*declared.evaluation.slices, *declared.outcomes.groups))
        self._is_exact = set(kinds.values()) <= DETERMINISTIC | OWN_CODE
        self._answered: dict[str, int] = {}

    @property
    def baseline(self) -> str:
        """The release that answered most; empty where none did."""
        return max(self._answered, key=self._answered.__getitem__, default="")

    @property
    def notes(self) -> Iterator[str]:
        """What a reader must know."""
        if len(self._answered) > 1:
            shares = sorted(self._answered.items(), key=lambda item: -item[1])
            told = ", ".join(f"`{name}` {count:,}" for name, count in shares[:5])
            yield f"several releases answered: {told}"
        if not self._is_exact:
            yield "models of the candidate may answer otherwise each time"
        yield "latency is measured in this process, without a network to the caller"

    def pair(self, known: _Known, told: Told) -> Replayed:
        """Return a request as it was answered, beside the candidate's answer."""
        record = known.asked.record
        self._answered[record.release] = self._answered.get(record.release, 0) + 1
        input = _fields_of(known.asked)
        recorded = told_of_record(known.asked)
        given = in_one_form(recorded.output, told.output)
        alike = None
        if self._is_text and None not in given and given[0] != given[1]:
            alike = similarity(*given)
        far = apart(*given, alike)
        before = self._side(recorded, given[0], known.said)
        after = self._side(told, given[1], self._of_candidate(known.said, given))
        return Replayed(
            id=record.id,
            unit=_unit_of(record, input, self._outcomes),
            slices=tuple(self._slices_of(record, input)),
            recorded=before,
            replayed=after,
            distance=far.distance,
            differs=far.differs,
            why=far.why,
            tags=record.tags,
            input=input,
        )

    def _side(self, told: Told, output: Any, said: Sequence[Said]) -> Side:
        verdicts = self._truth.verdicts(self._compared(output), said) if output is not None else ()
        is_right = None if not verdicts else verdicts == {True}
        score = None if output is None else raw_score(output)
        brier = None if score is None or is_right is None else (score - is_right) ** 2
        return Side(
            disposition=told.disposition,
            output=output,
            error_code=told.error_code,
            latency_us=told.latency_us,
            cost_micro=told.cost_micro,
            is_right=is_right,
            brier=brier,
        )

    def _of_candidate(self, said: Sequence[Said], given: tuple[Any, Any]) -> list[Said]:
        """Return what of all that was said holds of the candidate's answer too.

        That the given answer was right or wrong is said of that answer: of another one it says
        nothing, but that another label is wrong where the given one was right.
        """
        recorded, replayed = given
        if self._compared(recorded) == self._compared(replayed) or recorded == replayed:
            return list(said)
        found = [one for one in said if one.kind in _ALWAYS]
        both = [isinstance(output, dict) and "label" in output for output in given]
        if all(both) and self._outcomes.right is None:
            right = (one for one in said if one.kind in ("correct", "audit"))
            found += [one._replace(value="false") for one in right if _decode(one.value) is True]
        return found

    def _compared(self, output: Any) -> bytes:
        """Return what a label is compared with, as JSON; empty where nothing is."""
        if output is None:
            return b""
        if self._outcomes.right is not None:
            return _encode(output)
        if self._is_text:
            return b""
        has_label = isinstance(output, dict) and "label" in output
        return _encode(output["label"] if has_label else output)

    def _slices_of(self, record: Record, input: Mapping[str, Any]) -> Iterator[str]:
        yield from (f"tag:{tag}" for tag in record.tags)
        for name in self._fields:
            if name in input:
                yield f"{name}={_word(input[name])}"


def _fields_of(asked: Asked) -> dict[str, Any]:
    found = {} if asked.input is None else _decode(asked.input)
    return found if isinstance(found, dict) else {"input": found}


def _unit_of(record: Record, input: Mapping[str, Any], declared: Outcomes) -> str:
    if declared.unit == "user":
        return record.user
    if declared.unit == "entity":
        return "|".join(_word(input.get(name)) for name in declared.entity)
    if declared.unit == "conversation":
        return record.conversation or record.user
    return record.id


def _word(value: Any) -> str:
    return value[:80] if isinstance(value, str) else _encode(value).decode()[:80]


def _store(ground: Ground, report: Report) -> None:
    """Store a report without what people wrote: who asks to be forgotten must not be in it."""
    bare = tuple(
        msgspec.structs.replace(one, input={}, output=None, baseline_output=None, why="")
        for one in report.results
    )
    head = EvaluationHead(
        id=report.id,
        service=report.service,
        release=report.release,
        baseline=report.baseline,
        kind="replay",
        at_us=report.at_us,
        by=report.by,
        verdict=report.verdict,
    )
    stored = _encode(msgspec.structs.replace(report, results=bare))
    facts = {"requests": report.asked, "cost_usd": report.cost_micro / MICRO}
    with ground.state.begin() as connection:
        put_evaluation(connection, ground.clock, head, stored, facts)
