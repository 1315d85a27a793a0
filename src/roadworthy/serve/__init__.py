"""How a request is answered: the engine, what it calls in order, and the protocols it is met by."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "kind": "serve/engine.py",
    "chat": "serve/chat.py",
    "chat.variable": "serve/chat.py",
    "chat.history": "serve/chat.py",
    "chat.client_system": "serve/chat.py",
    "chat.allow": "serve/chat.py",
    "prompt": "serve/context.py",
    "prompt.file": "serve/context.py",
    "context": "serve/context.py",
    "context.max_input_tokens": "serve/context.py",
    "contract": "serve/engine.py",
    "contract.input": "serve/engine.py",
    "contract.output": "serve/judge.py",
    "features": "serve/engine.py",
    "features.views": "serve/engine.py",
    "objectives": "serve/engine.py",
    "objectives.deadline_ms": "serve/failover.py",
    "objectives.latency_p95_ms": "serve/record.py",
    "cost": "serve/engine.py",
    "cost.on_exhausted": "serve/engine.py",
    "cost.on_soft": "serve/paying.py",
    "models": "serve/failover.py",
    "models.name": "serve/failover.py",
    "models.timeout_ms": "serve/failover.py",
    "models.max_output_tokens": "serve/failover.py",
    "routing": "serve/failover.py",
    "routing.strategy": "serve/failover.py",
    "fallback": "serve/ladder.py",
    "fallback.use": "serve/opened.py",
    "fallback.model": "serve/opened.py",
    "fallback.expression": "serve/opened.py",
    "fallback.output": "serve/ladder.py",
    "release.canary.steps": "serve/splits.py",
    "release.shadow.share": "serve/splits.py",
    "release.shadow.per_day_usd": "serve/shadows.py",
    "review.overflow": "serve/engine.py",
    "review.holding": "serve/record.py",
    "records": "serve/record.py",
    "records.bodies": "serve/record.py",
}
"""Declared key → the file that enforces it."""
