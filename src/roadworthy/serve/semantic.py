"""Answers given to other questions that mean the same: guarded, scored, certified, and audited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..declare.caching import SemanticCache
from ..declare.service import ServiceDeclaration
from ..errors import ModelError
from ..risk.coin import is_drawn
from ..signals.marks import Marks, marks_of, why_not
from ..signals.personal import is_personal
from ..signals.reuse import NEIGHBOURS, SCORER, features_of, score_of
from ..signals.sameness import is_same
from ..types import Answer, Call, Ids, Pair
from .cache_keys import UnlikeAny, shelf_of
from .kept import Entry
from .request import Plan
from .shelves import Index, Near, Shelves
from .vectors import Questions

if TYPE_CHECKING:
    from .caches import ReleaseCache

MARKS_BYTES = 900
"""What the marks of a question take beside 20 bytes a letter (tracemalloc, 10,000 of banking77)."""
LEAST_SIMILARITY = 0.5
"""Cosine below which nothing is a would-be hit: it is no evidence, and never certified."""
MOST_CHARACTERS = 1_000
"""Of a question: of a longer one the embedder would not read all."""
_TOOLS = frozenset({"tools", "functions", "tool_choice", "function_call"})


class _Part(msgspec.Struct):
    role: str
    content: str


_last = msgspec.json.Decoder(list[msgspec.Raw])
_part = msgspec.json.Decoder(_Part)


class Found(msgspec.Struct):
    """What was looked for: where a question's answers lie, and the nearest that might do.

    Attributes:
        entry: Whose answer might do; None where no guard lets one pass.
        score: How sure it is that it does.
    """

    question: str
    shelf: bytes
    marks: Marks
    entry: Entry | None = None
    score: float = 0.0
    similarity: float = 0.0


class _Audit(NamedTuple):
    """Of a hit that was answered anew, unseen: the record of that, and what let it be given."""

    record_id: str
    certificate: str


class Semantic:
    """Finds the answers to questions that mean the same.

    Args:
        service: What is declared.
        questions: Makes vectors of questions.
        index: Where they are looked up; by default in this process.

    Attributes:
        scorer: What a score is from: the weights, and the embedder below them.
    """

    def __init__(
        self, service: ServiceDeclaration, questions: Questions, index: Index | None = None
    ) -> None:
        self.scorer = f"{SCORER}:{questions.embedder.name}"
        self._service = service.name
        self._declared = service.cache.semantic or SemanticCache(max_error=0.05)
        self._questions = questions
        self._variable = (service.chat and service.chat.variable) or "text"
        self._at_work: set[asyncio.Task[None]] = set()
        shelves = Shelves(questions.embedder.dimensions)
        self._index: Index = index or shelves
        self._row_bytes = shelves.row_bytes

    async def look(self, cache: ReleaseCache, plan: Plan, call: Call) -> Entry | None:
        """Return the entry whose answer a call may be given; notes on it what it found."""
        found = await self._find(cache, plan, call)
        if found is None:
            return None
        call.looked.alike = found
        threshold = cache.within.threshold_for(cache.release_id, self.scorer)
        if found.entry is None or threshold is None or found.score < threshold:
            return None
        return found.entry

    async def _find(self, cache: ReleaseCache, plan: Plan, call: Call) -> Found | None:
        question = self._questions.text(call)
        if not self._is_open(cache, plan, call, question):
            return None
        try:
            shelf = shelf_of(plan, call, cache.scope, self._variable)
            vector = await self._questions.vector(call)
        except (ModelError, UnlikeAny):
            return None  # then a model is asked, as if nothing were kept
        found = Found(question, shelf, marks_of(question))
        near = await self._index.near(shelf, vector, NEIGHBOURS)
        self._choose(cache, plan, found, near)
        return found

    def _is_open(self, cache: ReleaseCache, plan: Plan, call: Call, question: str) -> bool:
        """Whether a call is one whose answer another may share: a plain question and no more."""
        if not question.strip() or len(question) > MOST_CHARACTERS:
            return False
        if not _TOOLS.isdisjoint(call.body) or not _asks_plainly(call, question):
            return False
        if cache.scope == "user":
            return True
        check = plan.release.input_check
        personal = frozenset() if check is None else check.personal
        if any(call.input.get(name) is not None for name in personal):
            return False
        return not is_personal(question, "", _known_user(plan))

    def _choose(self, cache: ReleaseCache, plan: Plan, found: Found, near: list[Near]) -> None:
        """Note the nearest entry that no guard is against, and how sure it is that it does."""
        there: list[tuple[Entry, float]] = []
        for key, similarity in near:
            entry = cache.kept.peek(key)
            if entry is None or similarity < LEAST_SIMILARITY:
                continue
            if 0 <= plan.at_us - entry.at_us <= self._declared.ttl_us:
                there.append((entry, similarity))
        for place, (entry, similarity) in enumerate(there):
            if entry.marks is None or why_not(found.marks, entry.marks):
                continue
            agrees = [other is entry or _agree(entry, other) for other, _ in there]
            similarities = [one for _, one in there]
            features = features_of(similarities, agrees, place)
            found.entry, found.similarity = entry, similarity
            found.score = score_of(features)
            return

    def mark(self, entry: Entry, call: Call) -> None:
        """Note on an entry what others will be compared with."""
        found = call.looked.alike
        if found is not None and call.vector is not None:
            entry.shelf, entry.marks = found.shelf, found.marks
            entry.extra_bytes = self._row_bytes + MARKS_BYTES + 20 * len(found.question)

    def keep(self, entry: Entry, call: Call) -> None:
        """Let others find an entry."""
        if entry.shelf:
            self._index.add(entry.shelf, entry.key, call.vector)

    def drop(self, entry: Entry) -> None:
        """Let nobody find it any more."""
        if entry.shelf:
            self._index.remove(entry.shelf, entry.key)

    def settled(self, cache: ReleaseCache, plan: Plan, call: Call) -> None:
        """Hold what was, or would have been, given again against a fresh answer."""
        found: Found | None = call.looked.alike
        if cache.audits is None or found is None or found.entry is None:
            return
        if plan.cache is not None and plan.cache["kind"] == "semantic":
            self._audit(cache, plan, found, found.entry)
        elif plan.disposition == "answered" and plan.answer is not None and plan.error is None:
            share = min(self._declared.pairs_share, cache.within.pairs_share)
            if is_drawn(plan.id, share, "reuse"):
                self._begin(self._compare(cache, plan, found, found.entry, plan.answer, share))

    def _audit(self, cache: ReleaseCache, plan: Plan, found: Found, entry: Entry) -> None:
        """Let a hit be answered anew, unseen, where its coin says so; of an entry only once."""
        share = cache.within.audit_share
        if entry.is_audited or not is_drawn(plan.id, share, "reuse") or cache.audits is None:
            return
        told = partial(self._told, cache, plan, found, entry, share, cache.within.certificate)
        entry.is_audited = cache.audits.ask(plan, told)

    def _told(
        self,
        cache: ReleaseCache,
        plan: Plan,
        found: Found,
        entry: Entry,
        share: float,
        certificate: str,
        fresh: Answer | None,
        record_id: str,
    ) -> None:
        if fresh is None or cache.audits is None:
            entry.is_audited = False  # nothing came to compare: the next coin decides
            return
        audit = _Audit(record_id, certificate)
        self._begin(self._compare(cache, plan, found, entry, fresh, share, audit))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _compare(
        self,
        cache: ReleaseCache,
        plan: Plan,
        found: Found,
        entry: Entry,
        fresh: Answer,
        share: float,
        audit: _Audit | None = None,
    ) -> None:
        """Keep a pair, and no longer the entry of a hit that was wrong."""
        reused, embed = entry.answer().output, self._questions.embedder.embed
        try:
            # In a thread: where words do not decide, two vectors take 10 ms.
            is_right = await asyncio.to_thread(is_same, reused, fresh.output, embed)
        except ModelError:
            is_right = is_same(reused, fresh.output)
        pair = self._pair(cache, plan, found, entry, fresh.model, share, is_right=is_right)
        if audit is not None:
            pair = msgspec.structs.replace(
                pair, is_given=True, audit_id=audit.record_id, certificate=audit.certificate
            )
            if not is_right:
                cache.kept.drop(entry, "wrong")
        if cache.audits is not None:
            cache.audits.keep(pair)

    def _pair(
        self,
        cache: ReleaseCache,
        plan: Plan,
        found: Found,
        entry: Entry,
        reference: str,
        share: float,
        *,
        is_right: bool,
    ) -> Pair:
        now_us = cache.clock.now_us()
        return Pair(
            id=Ids(cache.clock).new("pr", now_us),
            at_us=plan.at_us,
            decision="reuse",
            service=self._service,
            release=cache.release_id,
            request_id=plan.id,
            scorer=self.scorer,
            score=found.score,
            share=share,
            unit=entry.source,
            entry=entry.source,
            model=entry.model,
            reference=reference,
            loss=0.0 if is_right else 1.0,
            known_at_us=now_us,
            tags=plan.caller.tags,
        )

    async def finish(self) -> None:
        """Wait until nothing is compared any more."""
        while self._at_work:
            await asyncio.gather(*self._at_work, return_exceptions=True)

    async def close(self) -> None:
        """End what is compared, and the thread that makes vectors."""
        for task in list(self._at_work):
            task.cancel()
        await self.finish()
        self._questions.close()


def open_semantic(service: ServiceDeclaration, questions: Questions) -> Semantic:
    """Open what finds answers to questions that mean the same."""
    return Semantic(service, questions)


def _asks_plainly(call: Call, question: str) -> bool:
    """Whether the last message is the question and no more: a user's, in one text."""
    try:
        last = _part.decode(_last.decode(call.body["messages"])[-1])
    except (msgspec.DecodeError, KeyError, IndexError):
        return False
    return last.role == "user" and last.content == question


def _known_user(plan: Plan) -> str:
    return "" if plan.caller.user.startswith("key:") else plan.caller.user


def _agree(one: Entry, other: Entry) -> bool:
    return one.output == other.output or is_same(one.answer().output, other.answer().output)
