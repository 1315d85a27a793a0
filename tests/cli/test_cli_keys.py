from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from command_line import run

from roadworthy.app import open_project
from roadworthy.store.actions import list_actions
from roadworthy.store.keys import load_keys
from roadworthy.types import DAY_US, Key


def stored(folder: Path, secret: str) -> Key | None:
    with open_project(folder) as project:
        return load_keys(project.state).get(hashlib.sha256(secret.encode()).digest())


def test_a_key_may_do_what_was_asked_for(shop: Path) -> None:
    words = ["--name", "app", "--scopes", "answer,read", "--services", "reply,triage"]
    words += ["--team", "ops", "--per-day-usd", "2.50", "--expires", "30d"]
    made = run("keys", "create", *words, "--project", shop, "--json").json
    key = stored(shop, made["key"])
    assert key is not None
    assert key.id == made["id"]
    assert (key.name, key.team, key.per_day_micro) == ("app", "ops", 2_500_000)
    assert key.scopes == {"answer", "read"}
    assert key.services == {"reply", "triage"}
    expected = time.time_ns() // 1000 + 30 * DAY_US
    assert key.expires_us == pytest.approx(expected, abs=60_000_000)
    assert made["per_day_usd"] == 2.5


def test_by_default_a_key_answers_everywhere(shop: Path) -> None:
    key = stored(shop, run("keys", "create", "--project", shop, "--json").json["key"])
    assert key is not None
    assert key.scopes == {"answer"}
    assert key.services == frozenset()
    assert key.expires_us is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scopes", "drive"], "scopes: expected some of"),
        (["--scopes", ""], "scopes: expected some of"),
        (["--services", "reply,nothing"], "got `nothing`"),
        (["--expires", "2001-01-01"], "expected a time to come"),
        (["--expires", "soon"], "expected a span like"),
        (["--per-day-usd", "-1"], "expected an amount in USD"),
        (["--name", " "], "expected a name"),
    ],
)
def test_a_key_that_makes_no_sense_is_wrong_usage(shop: Path, words: list[str], told: str) -> None:
    ran = run("keys", "create", *words, "--project", shop)
    assert ran.code == 2
    assert told in ran.err


def test_a_revoked_key_is_gone_and_the_act_has_a_name(shop: Path) -> None:
    made = run("keys", "create", "--project", shop, "--json").json
    ran = run("keys", "revoke", made["id"], "--project", shop, "--json")
    assert ran.json == {"id": made["id"], "state": "revoked"}
    assert stored(shop, made["key"]) is None
    with open_project(shop) as project:
        act = list_actions(project.state, limit=1)[0]
    assert (act.action, act.subject) == ("keys.revoke", made["id"])
    assert act.by.startswith("cli:")


def test_an_unknown_key_cannot_be_revoked(shop: Path) -> None:
    assert run("keys", "revoke", "k_nothing", "--project", shop).code == 4


def test_the_list_holds_valid_keys_and_with_all_every_one(shop: Path) -> None:
    made = run("keys", "create", "--name", "app", "--project", shop, "--json").json
    run("keys", "revoke", made["id"], "--project", shop)

    def states(*words: str) -> dict[str, str]:
        keys = run("keys", "list", *words, "--project", shop, "--json").json["keys"]
        return {key["name"]: key["state"] for key in keys}

    assert states() == {"init": "valid"}
    assert states("--all") == {"init": "valid", "app": "revoked"}


def test_no_list_shows_a_secret(shop: Path) -> None:
    made = run("keys", "create", "--project", shop, "--json").json
    for words in ((), ("--json",), ("--all",)):
        ran = run("keys", "list", *words, "--project", shop)
        assert made["id"] in ran.out
        assert made["key"] not in ran.out
