from __future__ import annotations

import hashlib
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from roadworthy.errors import NotFound, RequestError
from roadworthy.store.actions import list_actions
from roadworthy.store.keys import create_key, list_keys, load_keys, revoke_key
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import DAY_US, SettableClock, SystemClock

CLOCK = SettableClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def board(engine: Engine) -> Iterator[Switchboard]:
    board = Switchboard(engine, CLOCK)
    yield board
    board.close()


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def test_a_key_is_rw_and_43_url_safe_characters_and_no_two_are_alike(engine: Engine) -> None:
    secrets = {create_key(engine, CLOCK, name="n", scopes=["answer"], by="ada")[1] for _ in "abc"}
    assert len(secrets) == 3
    assert all(re.fullmatch(r"rw_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_a_key_is_found_by_the_digest_of_its_secret_with_all_it_may_do(engine: Engine) -> None:
    made, secret = create_key(
        engine,
        CLOCK,
        name="app",
        scopes=["read", "answer"],
        services=["flight-delay", "support-reply"],
        team="ops",
        per_day_micro=5_000_000,
        expires_us=CLOCK.now_us() + 60_000_000,
        by="ada",
    )
    assert load_keys(engine) == {digest(secret): made}
    assert made.scopes == {"read", "answer"}
    assert made.services == {"flight-delay", "support-reply"}
    assert (made.team, made.per_day_micro) == ("ops", 5_000_000)


def test_the_secret_is_kept_nowhere(engine: Engine, tmp_path: Path) -> None:
    _, secret = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(digest(secret) in content for content in files)
    assert not any(secret.encode()[:20] in content for content in files)


def test_a_key_past_its_expiry_is_still_loaded_so_that_it_can_be_told_so(engine: Engine) -> None:
    clock = SettableClock()
    clock.set(1_000_000_000)
    create_key(engine, clock, name="app", scopes=["answer"], expires_us=2_000_000_000, by="ada")
    clock.set(3_000_000_000)
    (key,) = load_keys(engine).values()
    assert key.expires_us == 2_000_000_000


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"scopes": ["answer", "root"]}, "scopes", "got root"),
        ({"scopes": []}, "scopes", "got none"),
        ({"name": " "}, "name", "got an empty one"),
        ({"per_day_micro": -1}, "per_day_usd", "got -1 micro-dollars"),
        ({"expires_us": 5}, "expires", "got a past one"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    engine: Engine, change: dict[str, object], param: str, message: str
) -> None:
    wanted: dict[str, object] = {"name": "app", "scopes": ["answer"], "by": "ada"}
    with pytest.raises(RequestError, match=message) as refused:
        create_key(engine, CLOCK, **(wanted | change))  # type: ignore[arg-type]
    assert refused.value.param == param
    assert list_keys(engine) == []


def test_a_revoked_key_is_listed_but_no_longer_loaded(engine: Engine) -> None:
    key, _ = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    other, secret = create_key(engine, CLOCK, name="other", scopes=["answer"], by="ada")
    revoke_key(engine, CLOCK, key.id, by="ada")
    assert load_keys(engine) == {digest(secret): other}
    assert [(e.key.name, e.revoked_at_us is None) for e in list_keys(engine)] == [
        ("app", False),
        ("other", True),
    ]


def test_revoking_again_changes_nothing(engine: Engine) -> None:
    key, _ = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    revoke_key(engine, CLOCK, key.id, by="ada")
    before = list_keys(engine)
    revoke_key(engine, CLOCK, key.id, by="bob")
    assert list_keys(engine) == before
    assert len(list_actions(engine, action="keys.revoke")) == 1


def test_revoking_an_unknown_key_is_refused_and_moves_nothing(
    engine: Engine, board: Switchboard
) -> None:
    with pytest.raises(NotFound, match="k_none"):
        revoke_key(engine, CLOCK, "k_none", by="ada")
    assert not board.poll()


def test_creating_and_revoking_are_written_down_without_the_secret(engine: Engine) -> None:
    key, secret = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    revoke_key(engine, CLOCK, key.id, by="bob")
    revoked, created = list_actions(engine)
    assert (created.action, created.by, created.subject) == ("keys.create", "ada", key.id)
    assert created.detail == {"name": "app", "scopes": ["answer"], "services": []}
    assert (revoked.action, revoked.by, revoked.subject) == ("keys.revoke", "bob", key.id)
    assert secret not in str(list_actions(engine))


def test_a_key_whose_action_cannot_be_written_is_not_created(
    engine: Engine, board: Switchboard
) -> None:
    nobody: str = None  # type: ignore[assignment]
    with pytest.raises(IntegrityError):
        create_key(engine, CLOCK, name="app", scopes=["answer"], by=nobody)
    assert load_keys(engine) == {}
    assert not board.poll()


def test_the_switchboard_tells_that_keys_changed(engine: Engine, board: Switchboard) -> None:
    before = board.epoch_of("keys")
    key, _ = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    assert board.poll()
    created = board.epoch_of("keys")
    revoke_key(engine, CLOCK, key.id, by="ada")
    assert board.poll()
    assert before < created < board.epoch_of("keys")


def revoke_elsewhere(url: str, key_id: str) -> None:
    engine = open_state(url)
    revoke_key(engine, SystemClock(), key_id, by="ada")
    engine.dispose()


@pytest.mark.slow
def test_a_key_revoked_by_another_process_is_gone_at_the_next_poll(
    engine: Engine, board: Switchboard
) -> None:
    key, secret = create_key(engine, CLOCK, name="app", scopes=["answer"], by="ada")
    assert board.poll()
    assert digest(secret) in load_keys(engine)
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=revoke_elsewhere, args=(str(engine.url), key.id))
    other.start()
    other.join(30)
    assert other.exitcode == 0
    assert board.poll()
    assert board.get("keys") == key.id
    assert load_keys(engine) == {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "n" * 201}, "name: expected at most 200 characters, got 201"),
        ({"expires_us": CLOCK.now_us() + 36_501 * DAY_US}, "expires: expected a time within 36500"),
    ],
)
def test_what_can_only_be_a_slip_of_the_keyboard_makes_no_key(
    engine: Engine, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        create_key(engine, CLOCK, **{"name": "n", "scopes": ["answer"], "by": "ada", **keys})
    assert list_keys(engine) == []
