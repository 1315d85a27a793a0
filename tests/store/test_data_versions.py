"""What is remembered of data: versions that never change, validations, saved training sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.errors import DeclarationError, NotFound
from roadworthy.store.actions import list_actions
from roadworthy.store.data_versions import (
    KEPT_SKEW_REPORTS,
    SavedSkew,
    SavedSnapshot,
    Validation,
    forget_examples,
    read_contracts,
    read_skew,
    read_snapshot,
    read_snapshots,
    read_validations,
    read_views,
    record_skew,
    record_validation,
    register_contract,
    register_view,
    save_snapshot,
)
from roadworthy.store.state import open_state
from roadworthy.types import SystemClock

CLOCK = SystemClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.dispose()


def register(engine: Engine, version: int, hash: str, view: str = "weather_now") -> bool:
    detail = {"view": {"text": f"{view} {version}"}}
    return register_view(
        engine, CLOCK, view=view, version=version, hash=hash, detail=detail, by="test"
    )


def test_a_version_of_a_view_is_registered_once(engine: Engine) -> None:
    assert register(engine, 1, "a" * 64)
    assert not register(engine, 1, "a" * 64)
    assert register(engine, 2, "b" * 64)
    assert register(engine, 1, "c" * 64, "planes")
    assert [(v.view, v.version) for v in read_views(engine)] == [
        ("planes", 1),
        ("weather_now", 1),
        ("weather_now", 2),
    ]
    (_, second) = read_views(engine, "weather_now")
    assert second.detail == {"view": {"text": "weather_now 2"}}
    acts = [(act.action, act.subject) for act in list_actions(engine)]
    assert acts.count(("features.apply", "weather_now@1")) == 1


def test_a_registered_version_with_other_content_is_refused(engine: Engine) -> None:
    register(engine, 1, "a" * 64)
    with pytest.raises(DeclarationError, match="raise `version` to 2 or higher"):
        register(engine, 1, "b" * 64)
    assert [version.hash for version in read_views(engine)] == ["a" * 64]


def test_every_wording_of_a_contract_is_kept(engine: Engine) -> None:
    def keep(version: str, digest: str) -> bool:
        return register_contract(
            engine, CLOCK, contract="weather", version=version, digest=digest, detail={}, by="test"
        )

    assert [keep("1.0.0", "a"), keep("1.0.0", "a"), keep("1.0.0", "b"), keep("2.0.0", "c")] == [
        True,
        False,
        True,
        True,
    ]
    assert [c.digest for c in read_contracts(engine, "weather")] == ["a", "b", "c"]
    assert read_contracts(engine, "planes") == []


def validation(at_us: int, source: str = "weather", failed: int = 0) -> Validation:
    return Validation(
        source=source,
        at_us=at_us,
        contract="weather",
        version="1.0.0",
        rows=10,
        failed_rows=failed,
        is_kept=not failed,
        detail={"rules": [{"rule": "temp_f.maximum", "failed": failed}]},
    )


def test_validations_are_read_newest_first(engine: Engine) -> None:
    for at_us in (3, 1, 2):
        record_validation(engine, validation(at_us, failed=at_us))
    record_validation(engine, validation(9, "planes"))
    found = read_validations(engine, "weather", since_us=2)
    assert found == [validation(3, failed=3), validation(2, failed=2)]
    assert [one.at_us for one in read_validations(engine, limit=2)] == [9, 3]


def skew(at_us: int, service: str = "wind") -> SavedSkew:
    return SavedSkew(service=service, at_us=at_us, detail={"says": f"at {at_us}", "features": []})


def test_the_newest_report_of_a_service_is_read_first(engine: Engine) -> None:
    assert read_skew(engine, "wind") == []
    for at_us in (3, 1, 2):
        record_skew(engine, skew(at_us))
    record_skew(engine, skew(9, "other"))
    assert read_skew(engine, "wind") == [skew(3)]
    assert read_skew(engine, "wind", limit=5) == [skew(3), skew(2), skew(1)]


def test_only_the_newest_reports_of_each_service_are_kept(engine: Engine) -> None:
    record_skew(engine, skew(5, "other"))
    for at_us in range(KEPT_SKEW_REPORTS + 3):
        record_skew(engine, skew(at_us))
    kept = [one.at_us for one in read_skew(engine, "wind", limit=1000)]
    assert kept == list(range(KEPT_SKEW_REPORTS + 2, 2, -1))
    assert read_skew(engine, "other") == [skew(5, "other")]


def test_what_reports_tell_of_forgotten_requests_is_taken_out(engine: Engine) -> None:
    told = [{"request": id, "served": 1, "offline": 2} for id in ("rq_1", "rq_2")]
    features = [{"feature": "wind", "examples": told}, {"feature": "temp", "examples": []}]
    detail = {"says": "some differ", "features": features}
    record_skew(engine, SavedSkew(service="wind", at_us=1, detail=detail))
    with engine.begin() as connection:
        forget_examples(connection, ["rq_1", "rq_9"])
    (report,) = read_skew(engine, "wind")
    assert [one["request"] for one in report.detail["features"][0]["examples"]] == ["rq_2"]
    assert report.detail["says"] == "some differ"


def test_a_training_set_is_remembered_once(engine: Engine) -> None:
    saved = SavedSnapshot(id="ts_1", at_us=1, by="test", rows=4, detail={"spine": "s"})
    assert save_snapshot(engine, saved)
    assert not save_snapshot(engine, saved)
    assert read_snapshot(engine, "ts_1") == saved
    assert read_snapshots(engine) == [saved]
    with pytest.raises(NotFound, match="no snapshot `ts_2`"):
        read_snapshot(engine, "ts_2")
