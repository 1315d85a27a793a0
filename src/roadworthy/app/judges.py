"""What scorers may use of a project: its texts, the pages of a release, models that judge."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ..cost.ledger import Ledger
from ..declare.service import ServiceDeclaration
from ..errors import AllModelsFailed, DeclarationError, ModelError, ModelUnavailable
from ..evaluate.scorer import ScoringGround
from ..serve.opened import OpenRelease, open_release
from ..serve.rehearsal import Rehearsal
from ..types import Answer, Call, Embedder, FeatureSource, Support
from .desks import look_at_desk
from .ground import Ground
from .rooms import open_signals

DEADLINE_MS = 120_000
"""How long a model may take to judge an answer."""


class Judges:
    """Models that are asked how good an answer is: they pay from the evaluation's own budget.

    Each is a service of its own that passes straight through, so that its price, its limits and its
    failures are those of every other model.

    Args:
        ground: The project.
        service: Whose answers are judged.
        ledger: What they are paid from.
        budget_micro: The most that everything paid from it may cost; None sets no limit.
        loop: Where they are asked; whoever asks waits in a thread.
    """

    def __init__(
        self,
        ground: Ground,
        service: ServiceDeclaration,
        ledger: Ledger,
        budget_micro: int | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._ground = ground
        self._service = service
        self._ledger = ledger
        self._budget_micro = budget_micro
        self._loop = loop
        self._opened: dict[str, Rehearsal] = {}

    def ask(self, name: str, call: Call) -> Answer:
        """Ask a model by `provider/model`, and wait for it; never from the loop's own thread.

        Raises:
            DeclarationError: There is no such provider.
            ModelError: It did not answer, or there is no money left for it.
        """
        asked = self._ask(name, dict(call.body))
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    async def _ask(self, name: str, body: dict[str, msgspec.Raw]) -> Answer:
        rehearsal = self._opened.get(name)
        if rehearsal is None:
            rehearsal = self._opened[name] = self._open(name)
        rehearsed = await rehearsal.ask({}, body=body)
        reply, record = rehearsed.reply, rehearsed.record
        if reply is None or record is None or reply.disposition != "answered":
            raise _as_model_error(name, rehearsed.error)
        return Answer(
            model=reply.model,
            output=reply.output,
            completion=reply.completion,
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            attempts=record.attempts,
        )

    def _open(self, name: str) -> Rehearsal:
        ground = self._ground
        provider, _, model = name.partition("/")
        if provider not in ground.declaration.providers:
            known = ", ".join(f"`{each}`" for each in ground.declaration.providers)
            raise DeclarationError(
                f"evaluation.scorers.model: expected `provider/model` with a provider of this "
                f"project ({known}), got `{name:.80}`"
            )
        declared = ServiceDeclaration.model_validate(_passing(name, provider, model))
        return Rehearsal(
            self._open_release(declared),
            ground.clock,
            budget_micro=self._budget_micro,
            ledger=self._ledger,
        )

    def _open_release(self, declared: ServiceDeclaration) -> OpenRelease:
        ground = self._ground
        return open_release(
            "judge",
            declared,
            ground.declaration,
            self._service.folder,
            ground.rates,
            ground.clock,
            open_signals,
            _no_features,
            lambda service, id: look_at_desk(ground.declaration, service, id),
        )

    async def close(self) -> None:
        """Close the models that were asked."""
        for rehearsal in self._opened.values():
            await rehearsal.close()


def _passing(name: str, provider: str, model: str) -> dict[str, Any]:
    return {
        "name": "judge",
        "kind": "generate",
        "owners": {"product": "evaluation"},
        "objectives": {"deadline_ms": DEADLINE_MS},
        "cost": {},
        "models": [{"name": name, "provider": provider, "model": model}],
    }


def _no_features(views: Any, fields: Any) -> FeatureSource:
    raise DeclarationError("a judge has no features")


def _as_model_error(name: str, error: Exception | None) -> ModelError:
    if isinstance(error, AllModelsFailed | ModelError):
        return error
    return ModelUnavailable(f"`{name:.80}` did not judge: {error or 'no answer'}")


def scoring_ground(
    service: ServiceDeclaration, opened: OpenRelease, judges: Judges
) -> ScoringGround:
    """Return what the scorers of one release's answers may use."""

    def support() -> Support:
        found = None if opened.context is None else opened.context.support
        if found is None:
            raise DeclarationError(
                "evaluation.scorers: expected pages for the scorer `grounded`, got none - "
                "declare `[context] retrieval`, or use another scorer"
            )
        return found

    return ScoringGround(
        folder=service.folder, embedder=_embedder, support=support, ask_model=judges.ask
    )


def _embedder() -> Embedder:
    return open_signals().embedder()
