"""Releases in a store of the test's own, that need no files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from roadworthy.release.environment import Environment
from roadworthy.release.registry import Manifest, Release, add_release
from roadworthy.types import Clock


def a_release(
    engine: Engine, clock: Clock, content: str, service: str = "svc", **fields: Any
) -> Release:
    """Store a release whose one file has this content, and return it."""
    known = {
        "service": service,
        "declaration_hash": "d" * 64,
        "files": {"service.toml": "1" * 64, "model.onnx": content},
        "models": (),
        "providers": {},
        "packages": {"numpy": "2"},
        "environment": Environment("3.11.9", "linux-x86_64", {"numpy": "2"}),
        "commit": None,
    }
    return add_release(engine, clock, Manifest(**{**known, **fields}), "ada")
