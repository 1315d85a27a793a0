"""A release, opened: all that answering needs is compiled, so that no request compiles anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..cost.ceilings import service_ceilings, user_ceiling
from ..cost.ledger import Ceiling
from ..cost.limits import NO_LIMITS, OwnLimits, limits_of
from ..cost.prices import Meter, Price, Rates, open_meter, usd_per_million
from ..declare.check_prompts import open_output
from ..declare.project import INSTANT_KINDS, PriceOverride, ProjectDeclaration, Provider
from ..declare.schemas import SchemaCheck, open_schema
from ..declare.service import Chat, ModelEntry, Rung, ServiceDeclaration
from ..errors import MissingExtra
from ..guard.slot import Guard, open_guard
from ..models.spec import ModelSpec
from ..plugins import load_plugin
from ..review.desk import Desk
from ..signals.tokens import Counter, open_counter
from ..types import (
    Answer,
    Call,
    CallSize,
    Clock,
    FeatureSource,
    Kind,
    Model,
    OpenSignals,
    OpenSource,
)
from .asking import Asking
from .breaker import Health, Timed
from .caches import open_cache
from .context import Context, open_context
from .continuing import MOST_CONTINUATIONS, Continued
from .counted import counter_for
from .failover import Failover, Link, accept_all
from .judge import OutputJudge
from .ladder import AbsentModel, HumanModel, LastGoodModel, StaleModel, StaticModel
from .request import AnswerCache, Router
from .retries import Policy, RetryBudget
from .routing import open_questions_of, open_router
from .rules import Rules
from .structured import larger_by_reask
from .summarising import Summariser
from .trimming import Trimmer
from .upstreams import Upstreams
from .window import Window

FREE = Meter(None, None, "free")
VECTORS = "vectors"
"""Folder below the artifacts that keeps what was computed of pages; it may be deleted."""
COUNTED_KINDS = frozenset({"openai", "anthropic", "gemini"})
"""Kinds whose models go by the names their makers gave them."""
OpenDesk = Callable[[ServiceDeclaration, str], Desk]
"""Opens the desk of a service with `[review]`, for a release of this id."""


class OpenRelease(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine needs of a release, ready to use.

    Attributes:
        late_us: Latency above which a request counts as late; None where nothing is promised.
        paid_links: The models and rungs that cost something.
        free_ladder: The rungs that cost nothing, for when the money is spent.
        declared_ladder: The rungs that say what the declaration holds, or ask a person, for when
            no model's answer could be shown.
        reads_input: Whether a contract or a guard looks at the input, so it must be decoded.
        context: What fills a call with passages and its prompt; None where neither is declared.
        features: What adds features to the input; None where no views are declared.
        desk: What decides whether an answer is given alone; None where every one is.
        last_good: The rung of the release that served before; None where none is declared.
        warnings: What is not as it was where it was built, for each record.
        cache: What gives answers again; None where none is declared.
        router: What chooses the model; None where the order of the file does.
        counters: Model → what counts tokens as it does.
        summariser: What writes what went out of a chat in few words; None where nothing does.
        user_ceiling: What each user may spend, under the beginning of the scopes of users.
        limits: How much it may be asked, and how much by each user.
        is_shared: Whether it counts in the budgets of its key, its tags and the project, too.
    """

    id: str
    kind: Kind
    declaration: ServiceDeclaration
    declaration_hash: str
    keeps_bodies: bool
    input_check: SchemaCheck | None
    input_guards: tuple[Guard, ...]
    judge: OutputJudge
    chain: Failover
    ladder: Failover | None
    free_ladder: Failover | None
    declared_ladder: Failover | None
    late_us: int | None
    paid_links: tuple[Link, ...]
    per_request_micro: int | None
    user_ceiling: Ceiling | None
    reads_input: bool
    service_ceilings: tuple[Ceiling, ...]
    context: Context | None = None
    features: FeatureSource | None = None
    desk: Desk | None = None
    last_good: LastGoodModel | None = None
    warnings: tuple[str, ...] = ()
    cache: AnswerCache | None = None
    router: Router | None = None
    counters: Mapping[str, Counter] = {}
    summariser: Summariser | None = None
    limits: OwnLimits = NO_LIMITS
    is_shared: bool = True

    @property
    def asks(self) -> Asking | None:
        """The small model that names what is wanted; None where none is asked."""
        return self.router if isinstance(self.router, Asking) else None

    @property
    def name(self) -> str:
        """Of its service."""
        return self.declaration.name

    @property
    def deadline_s(self) -> float:
        """How long an answer may take."""
        return self.declaration.objectives.deadline_ms / 1000

    @property
    def is_held(self) -> bool:
        """Whether an answer may be held back, so that a stream of it waits until it is whole."""
        if self.declaration.context.truncated == "next":
            return True
        return self.desk is not None or self.judge.has_checks

    @property
    def prefers_cheap(self) -> bool:
        """Whether the cheapest model is asked first once a ceiling is soon spent."""
        return self.is_shared and self.declaration.cost.on_soft == "cheapest"

    @property
    def chat(self) -> Chat | None:
        """How chats are read; None passes them through."""
        return self.declaration.chat

    def worst_case_micro(self, size: CallSize) -> int:
        """Return the most a request can cost: each paid try, under its ceiling."""
        total, ceiling = self.full_case_micro(size), self.per_request_micro
        return total if ceiling is None or total < ceiling else ceiling

    def full_case_micro(self, size: CallSize) -> int:
        """Return what all paid tries of a request together can cost."""
        total = sum([micro for _, micro in self.tries(size)])
        if self.last_good is not None:
            total += self.last_good.worst_case_micro(size)
        return total

    def kept_micro(self, size: CallSize, most: int) -> int:
        """Return what of `most`, set aside for a request, its own models cannot use up."""
        return max(0, most - sum([micro for _, micro in self.tries(size)]))

    @property
    def summarising_links(self) -> tuple[Link, ...]:
        """The model that writes summaries, where it costs something."""
        return () if self.summariser is None else self.summariser.chain.paid_links

    def tries(self, size: CallSize) -> list[tuple[Link, int]]:
        """Return its paid models and rungs, each with the most that its tries can cost."""
        found = [(link, link.worst_case_micro(size)) for link in self.paid_links]
        if self.chain.policy.reasks:
            larger = larger_by_reask(size)
            found += [(link, link.worst_case_micro(larger)) for link in self.chain.paid_links]
        if self.asks is not None:
            found += [(self.asks.link, self.asks.worst_case_micro(size))]
        return found

    @property
    def has_effects(self) -> bool:
        """Whether answering changes anything outside: no tool that writes can be declared yet."""
        return False

    @property
    def chains(self) -> tuple[Failover, ...]:
        """The models and all ladders there are."""
        chains = (self.chain, self.ladder, self.free_ladder, self.declared_ladder)
        own = None if self.summariser is None else self.summariser.chain
        asked = None if self.asks is None else self.asks.chain
        return tuple(chain for chain in (*chains, own, asked) if chain is not None)

    @property
    def is_paid(self) -> bool:
        """Whether any try of a request can cost something."""
        if self.paid_links or (self.asks is not None and self.asks.chain.paid_links):
            return True
        before = None if self.last_good is None else self.last_good.opened
        return before is not None and bool(before.chain.paid_links)

    async def close(self) -> None:
        """Close its models."""
        await self.chain.close()
        if self.ladder is not None:
            await self.ladder.close()
        if self.context is not None:
            self.context.close()
        if self.cache is not None:
            await self.cache.close()
        if self.router is not None:
            await self.router.close()


def open_release(
    release_id: str,
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    folder: Path,
    rates: Rates,
    clock: Clock,
    open_signals: OpenSignals,
    open_source: OpenSource,
    open_desk: OpenDesk,
    upstreams: Upstreams | None = None,
) -> OpenRelease:
    """Open the release that was laid out in `folder`.

    Signals and sources are opened where they are needed; all that is served shares `upstreams`.

    Raises:
        DeclarationError, NotFound: A part is not there, does not fit, or costs nobody knows what.
        MissingExtra: The only model of the chain needs a package that is not installed.
    """
    desk = None if service.review is None else open_desk(service, release_id)
    asked = open_questions_of(service, open_signals)
    cache = open_cache(service, release_id, clock, asked.questions)
    opener = _Opener(service, project.providers, folder, rates, clock, desk, upstreams, cache)
    input_check = open_schema(folder, service.contract.input)
    input_guards, output_guards = _open_guards(service, folder)
    judge = _judge_of(service, folder, output_guards)
    links = [opener.link(entry) for entry in service.chain]
    rungs = [opener.rung(rung, number) for number, rung in enumerate(service.fallback, 1)]
    ladders = _ladders(rungs, judge, _declared_rungs(service))
    routed = open_router(service, release_id, links, opener.link, judge, folder, clock, asked)
    return OpenRelease(
        id=release_id,
        kind=service.kind,
        declaration=service,
        declaration_hash=service.hash,
        keeps_bodies=service.records.bodies == "full",
        input_check=input_check,
        input_guards=tuple(input_guards),
        judge=judge,
        chain=Failover("models", routed.links, routed.judge, _policy_of(service, judge)),
        warnings=routed.warnings,
        ladder=ladders.whole,
        free_ladder=ladders.free,
        declared_ladder=ladders.declared,
        late_us=_late_us(service),
        paid_links=tuple(link for link in (*links, *rungs) if not link.is_free),
        reads_input=_is_read(input_check, desk, routed.router, [*input_guards, *output_guards]),
        **_money_of(service),
        context=_context_of(service, output_guards, project, folder, open_signals, opener.trimmer),
        features=_features_of(service, input_check, open_source),
        desk=desk,
        last_good=_last_good(rungs),
        cache=cache,
        router=routed.router,
        counters=opener.counters,
        summariser=_open_summariser(service, (*links, *rungs), opener.trimmer),
    )


def _is_read(
    check: SchemaCheck | None, desk: Desk | None, router: Router | None, guards: list[Guard]
) -> bool:
    """Whether anything looks at the input, so that it must be decoded."""
    if check is not None or desk is not None or any(map(_reads_input, guards)):
        return True
    return isinstance(router, Rules) and router.reads_input


def _open_guards(service: ServiceDeclaration, folder: Path) -> tuple[list[Guard], list[Guard]]:
    """Return the guards of the input, and those of the output."""
    opened = [open_guard(entry, folder) for entry in service.guards]
    of_output = [guard for guard in opened if guard.on == "output"]
    return [guard for guard in opened if guard.on == "input"], of_output


def _open_summariser(
    service: ServiceDeclaration, links: Sequence[Link], trimmer: Trimmer
) -> Summariser | None:
    if service.context.overflow != "summarise":
        return None
    own = [link for link in links if link.name == service.context.summarise_with]
    return Summariser(Failover("summary", own, accept_all), trimmer)


def _money_of(service: ServiceDeclaration) -> dict[str, Any]:
    """Return what a release is told of its ceilings and limits."""
    name, cost = service.name, service.cost
    return {
        "per_request_micro": cost.per_request_micro,
        "user_ceiling": user_ceiling(name, cost),
        "service_ceilings": service_ceilings(name, cost),
        "limits": limits_of(name, service.limits),
    }


def _policy_of(service: ServiceDeclaration, judge: OutputJudge) -> Policy:
    declared = service.failover
    return Policy(
        order=declared.order,
        retries=declared.retries,
        budget=RetryBudget(declared.retry_share),
        restart_streams=declared.restart_streams,
        truncated=service.context.truncated,
        reasks=bool(judge.told) and service.contract.reasks > 0,
    )


def _judge_of(service: ServiceDeclaration, folder: Path, guards: list[Guard]) -> OutputJudge:
    check = open_output(service, folder)
    reads_json = service.kind == "generate"
    own = _declared_rungs(service)
    return OutputJudge(check, guards, reads_json=reads_json, declared=own)


def _context_of(
    service: ServiceDeclaration,
    guards: list[Guard],
    project: ProjectDeclaration,
    folder: Path,
    open_signals: OpenSignals,
    trimmer: Trimmer,
) -> Context | None:
    vectors = project.folder / project.store.artifacts / VECTORS
    return open_context(service, guards, folder, vectors, open_signals, trimmer)


def _features_of(
    service: ServiceDeclaration, check: SchemaCheck | None, open_source: OpenSource
) -> FeatureSource | None:
    if not service.features.views:
        return None
    fields = None if check is None else tuple(check.schema.get("properties", ()))
    return open_source(service.features.views, fields)


def _last_good(rungs: list[Link]) -> LastGoodModel | None:
    found = (rung.model for rung in rungs)
    return next((model for model in found if isinstance(model, LastGoodModel)), None)


def _late_us(service: ServiceDeclaration) -> int | None:
    late_ms = service.objectives.latency_p95_ms
    return None if late_ms is None else int(late_ms * 1000)


class _Ladders(NamedTuple):
    """The ladder, and the parts of it that are left where money or passages are not."""

    whole: Failover | None
    free: Failover | None
    declared: Failover | None


def _ladders(rungs: list[Link], judge: OutputJudge, declared: frozenset[str]) -> _Ladders:
    return _Ladders(
        _ladder(rungs, judge),
        _ladder([rung for rung in rungs if rung.is_free], judge),
        _ladder([rung for rung in rungs if _needs_no_model(rung, declared)], judge),
    )


def _ladder(rungs: list[Link], judge: OutputJudge) -> Failover | None:
    return Failover("ladder", rungs, judge) if rungs else None


def _declared_rungs(service: ServiceDeclaration) -> frozenset[str]:
    """Return the names of the rungs that say what the declaration holds; no model shares them."""
    rungs = enumerate(service.fallback, 1)
    own = ("rule", "static")
    names = {f"{rung.use}:{number}" for number, rung in rungs if rung.use in own}
    return frozenset(names.difference(entry.name for entry in service.models))


def _needs_no_model(rung: Link, declared: Collection[str]) -> bool:
    """Whether a rung gives what no model wrote: the declaration's own words, or a person's."""
    return rung.name in declared or isinstance(rung.model, HumanModel)


def _reads_input(guard: Guard) -> bool:
    """Whether a guard looks at the input; one that does not say so might."""
    return "input" in getattr(guard, "reads", ("input",))


class _Opener:
    """Opens one release's models, each with its meter.

    One whose package is not installed counts as down beside others, like one without its key.
    """

    def __init__(
        self,
        service: ServiceDeclaration,
        providers: Mapping[str, Provider],
        folder: Path,
        rates: Rates,
        clock: Clock,
        desk: Desk | None,
        upstreams: Upstreams | None,
        cache: AnswerCache | None,
    ) -> None:
        self._desk = desk
        self._cache = cache
        self._upstreams = upstreams or Upstreams()
        self._service = service
        self._providers = providers
        self._folder = folder
        self._rates = rates
        self._clock = clock
        self.counters: dict[str, Counter] = {}

    def link(self, entry: ModelEntry) -> Link:
        """Open one `[[models]]` entry."""
        provider = self._providers[entry.provider]
        ceiling, now_us = self._service.cost.per_request_micro, self._clock.now_us()
        meter = meter_at(provider, entry.model, self._rates, ceiling, now_us)
        window = self._window(entry, provider)
        model = self._open_or_absent(entry, provider)
        continues = self._service.context.truncated == "continue"
        key = os.environ.get(provider.api_key_env, "") if provider.api_key_env else ""
        deadline_s = self._service.objectives.deadline_ms / 1000
        timeout_s = None if entry.timeout_ms is None else entry.timeout_ms / 1000
        is_instant = provider.kind in INSTANT_KINDS
        return Link(
            model=Continued(model, meter) if continues else model,
            meter=meter,
            is_instant=is_instant,
            timeout_s=timeout_s,
            max_output_tokens=self._most_output(entry),
            provider=entry.provider,
            weight=entry.weight,
            context_tokens=None if window is None else window.tokens,
            window=window,
            counter=counter_for(entry.model, self.counters[entry.name]),
            continues=MOST_CONTINUATIONS if continues else 0,
            health=self._health(entry, provider, key),
            pace=None if is_instant else self._upstreams.pace_of(entry.provider, provider),
            usual_s=timeout_s or deadline_s / max(len(self._service.chain), 1),
        )

    @cached_property
    def trimmer(self) -> Trimmer:
        """What keeps chats within their tokens; vocabularies that this needs are read now."""
        context = self._service.context
        counters = [self.counters[entry.name] for entry in self._service.chain]
        if context.max_input_tokens is not None or context.max_history_tokens is not None:
            for counter in counters:
                if counter.vocabulary is not None:
                    counter.vocabulary.read()
        return Trimmer(context, counters)

    def _most_output(self, entry: ModelEntry) -> int | None:
        limits = (entry.max_output_tokens, self._service.context.max_output_tokens)
        return min((limit for limit in limits if limit is not None), default=None)

    def _window(self, entry: ModelEntry, provider: Provider) -> Window | None:
        """Return the context window of a model that reads chats, declared or published."""
        counts = provider.kind in COUNTED_KINDS
        counter = open_counter(entry.model) if counts else Counter()
        self.counters[entry.name] = counter
        if self._service.kind != "generate":
            return None
        tokens = entry.context_tokens
        if tokens is not None and counter.vocabulary is not None:
            counter.vocabulary.read()
        if tokens is None and counts:
            tokens = self._rates.window(provider.base_url or "", entry.model)
        return None if tokens is None else Window(tokens, counter)

    def _health(self, entry: ModelEntry, provider: Provider, key: str) -> Health | None:
        shared = self._upstreams.health_of(entry.provider, provider, entry.model, key)
        if shared is None and self._service.failover.order == "fastest":
            return Timed(entry.provider, entry.model, 0.0)
        return shared

    def _open_or_absent(self, entry: ModelEntry, provider: Provider) -> Model:
        try:
            return self._open(entry.name, provider, entry.model)
        except MissingExtra as missing:
            if self._service.chain == (entry,):
                raise
            return AbsentModel(entry.name, missing)

    def _open(self, name: str, provider: Provider, upstream: str) -> Model:
        variable = provider.api_key_env
        spec = ModelSpec(
            name=name,
            upstream=upstream,
            folder=self._folder,
            base_url=provider.base_url or "",
            api_key=os.environ.get(variable, "") if variable else None,
            max_connections=provider.max_connections,
            clock=self._clock,
        )
        model: Model = load_plugin("models", provider.kind)(spec)
        return model

    def rung(self, rung: Rung, number: int) -> Link:
        """Open one rung of the ladder."""
        name = f"{rung.use}:{number}"
        if rung.use == "static":
            return Link(model=StaticModel(name, rung.output or {}), meter=FREE, is_instant=True)
        if rung.use == "last_good":
            return Link(model=LastGoodModel(name), meter=FREE)
        if rung.use == "stale_cache":
            stale = StaleModel(name, self._find_stale)
            return Link(model=stale, meter=FREE, is_instant=True)
        if rung.use == "human":
            human = HumanModel(name, self._takes_one)
            return Link(model=human, meter=FREE, is_instant=True)
        if rung.use == "rule":
            model = self._open(name, Provider(kind="rule"), rung.expression or "")
            return Link(model=model, meter=FREE, is_instant=True)
        return self.link(self._service.model_named(rung.model or ""))

    def _find_stale(self, call: Call) -> Answer | None:
        return None if self._cache is None else self._cache.find_stale(call)

    def _takes_one(self) -> bool:
        return self._desk is not None and self._desk.takes_one(self._clock.now_us())


def meter_of(
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    entry: ModelEntry,
    rates: Rates,
    now_us: int,
) -> Meter:
    """Return what the answers of one declared model cost, without opening it.

    Raises:
        DeclarationError: Its price is unknown and no ceiling stands in for it.
    """
    provider = project.providers[entry.provider]
    return meter_at(provider, entry.model, rates, service.cost.per_request_micro, now_us)


def meter_at(
    provider: Provider, model: str, rates: Rates, ceiling_micro: int | None, now_us: int
) -> Meter:
    """Return what the answers of a provider's model cost, as prices stand now and will.

    Raises:
        DeclarationError: Its price is unknown and no ceiling stands in for it.
    """
    prices = provider.prices.get(model, ())
    always = [price_of(one) for one in prices if one.effective_from is None]
    return open_meter(
        kind=provider.kind,
        base_url=provider.base_url or "",
        model=model,
        override=always[0] if always else None,
        rates=rates,
        ceiling_micro=ceiling_micro,
        later=[(one.effective_from, price_of(one)) for one in prices if one.effective_from],
        now_us=now_us,
    )


def price_of(override: PriceOverride) -> Price:
    """Return the declared price of one model."""
    return usd_per_million(
        override.input_usd_per_million,
        override.output_usd_per_million,
        override.cached_input_usd_per_million,
        override.request_usd or Decimal(0),
        write_usd=override.cache_write_usd_per_million,
        audio_input_usd=override.audio_input_usd_per_million,
        audio_output_usd=override.audio_output_usd_per_million,
    )
