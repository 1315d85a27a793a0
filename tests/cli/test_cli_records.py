from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import run

from roadworthy.app import open_project
from roadworthy.store.actions import list_actions
from roadworthy.store.spool import Spool
from roadworthy.types import Record, SystemClock

ASKED = {"subject": "hello", "plan": "free", "amount_usd": 0}


@pytest.fixture(scope="module")
def once_answered(new_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project that has answered `triage` for ann and bob, and refused ann once."""
    shop = Path(shutil.copytree(new_shop, tmp_path_factory.mktemp("answered") / "shop"))
    with open_project(shop) as project:
        triage = project.service("triage")
        triage.answer(ASKED, user="ann")
        triage.answer(ASKED, user="bob")
        triage.answer({}, user="ann")
        project.service("reply").answer({"question": "May I?"}, user="ann")
    return shop


@pytest.fixture
def answered(once_answered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once_answered, tmp_path / "shop"))


def found(shop: Path, *words: str) -> list[tuple[str, str, str]]:
    ran = run("records", "list", *words, "--project", shop, "--json")
    assert ran.code == 0, ran.out
    return [(r["service"], r["user"], r["disposition"]) for r in ran.json["requests"]]


def test_records_are_listed_newest_first(answered: Path) -> None:
    assert found(answered) == [
        ("reply", "ann", "answered"),
        ("triage", "ann", "refused"),
        ("triage", "bob", "answered"),
        ("triage", "ann", "answered"),
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--service", "triage"], 3),
        (["--user", "ann"], 3),
        (["--user", "ann", "--service", "triage", "--disposition", "answered"], 1),
        (["--disposition", "refused"], 1),
        (["--error-code", "contract_violation"], 1),
        (["--model", "rehearsal"], 1),
        (["--key", "local"], 4),
        (["--team", "nobody"], 0),
        (["--release", "triage@000000000000"], 0),
        (["--slower-than-ms", "0"], 4),
        (["--slower-than-ms", "86400000"], 0),
        (["--since", "1h"], 4),
        (["--until", "1h"], 0),
        (["--since", "2001-01-01", "--until", "2001-01-02"], 0),
    ],
)
def test_records_are_filtered(answered: Path, words: list[str], count: int) -> None:
    assert len(found(answered, *words)) == count


def test_a_page_names_the_next_one(answered: Path) -> None:
    first = run("records", "list", "--limit", "3", "--project", answered, "--json").json
    assert first["before"] == first["requests"][-1]["id"]
    rest = run("records", "list", "--before", first["before"], "--project", answered, "--json").json
    assert len(rest["requests"]) == 1
    assert rest["before"] is None
    assert first["before"] in run("records", "list", "--limit", "3", "--project", answered).out


def test_a_person_reads_why_a_request_was_refused(answered: Path) -> None:
    out = run("records", "list", "--disposition", "refused", "--project", answered).out
    assert "contract_violation" in out


def test_what_a_caller_wrote_does_not_steer_the_terminal(shop: Path) -> None:
    with open_project(shop) as project:
        project.service("triage").answer(ASKED, user="\x1b[2Jann[bold]")
    out = run("records", "list", "--project", shop).out
    assert "\x1b" not in out
    assert r"\x1b[2Jann[bold]" in out


def test_times_are_utc_in_json(answered: Path) -> None:
    rows = run("records", "list", "--project", answered, "--json").json["requests"]
    at = datetime.fromisoformat(rows[0]["at"])
    assert at.tzinfo == UTC
    assert datetime.now(UTC) - at < timedelta(minutes=5)


def test_deleting_a_user_leaves_nothing_of_theirs_but_the_count(answered: Path) -> None:
    ran = run("records", "delete", "--user", "ann", "--yes", "--project", answered, "--json")
    assert (ran.json["records"], ran.json["bodies"]) == (3, 3)
    users = {user for _, user, _ in found(answered)}
    assert users == {"bob", ran.json["pseudonym"]}
    with open_project(answered) as project:
        act = list_actions(project.state, limit=1)[0]
    assert (act.action, act.subject) == ("records.delete", ran.json["pseudonym"])
    assert act.by.startswith("cli:")


def test_deleting_a_user_reaches_what_is_still_in_the_spool(shop: Path) -> None:
    folder = shop / ".roadworthy" / "spool"
    spool = Spool(folder, SystemClock())
    now_us = time.time_ns() // 1000
    body = b'{"text": "what ann wrote"}'
    spool.append(
        Record(
            id=f"rq_{now_us // 1000:012x}0000100000aaaa",
            at_us=now_us,
            service="reply",
            kind="generate",
            disposition="answered",
            user="ann",
            input=body,
        )
    )
    spool.close()
    ran = run("records", "delete", "--user", "ann", "--yes", "--project", shop, "--json")
    assert (ran.json["records"], ran.json["bodies"]) == (1, 1)
    assert not any(b"what ann wrote" in path.read_bytes() for path in folder.glob("*.spool"))


def test_nothing_is_deleted_unless_somebody_says_so(answered: Path) -> None:
    ran = run("records", "delete", "--user", "ann", "--project", answered, answer="y\n")
    assert ran.code == 2
    assert "expected `--yes`" in ran.err
    ran = run("records", "delete", "--user", " ", "--yes", "--project", answered)
    assert ran.code == 2
    assert ("triage", "ann", "answered") in found(answered)
