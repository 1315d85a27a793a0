"""Text of others in every field that a page shows: it is words, it is cut, and it hides nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from sqlalchemy import text
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.release.environment import Commit
from roadworthy.release.registry import PinnedModel, add_release, read_release
from roadworthy.store.forget import forget_user
from roadworthy.types import MICRO, Attempt, Outcome, Record, Usage, Verdict

MARKUP = "<script>alert(1)</script>'\"&{{7*7}}</td>"
BIDI = "\u202eevil\u2066\u200f"
CONTROL = "\x00\x07\x1b[31m\x85"
EMOJI = "\U0001f600\U0001f3f3\ufe0f\u200d\U0001f308\U000e0041"
HOSTILE = f"{MARKUP}{BIDI}{CONTROL}{EMOJI}`"
HIDDEN = set("\u202e\u2066\u200f\x00\x07\x1b\x85")
LONG = HOSTILE * (1_000_000 // len(HOSTILE))
RECORD = "rq_0000000000010000aaaaaaaaaa"
MOST_BYTES = 120_000


def record(words: str, **more: Any) -> Record:
    """Return a record whose every text is `words`."""
    known: dict[str, Any] = {
        "id": RECORD,
        "at_us": 1_700_000_000 * MICRO,
        "service": "risk",
        "kind": "generate",
        "disposition": "fallback",
        "latency_us": 30,
        "timings": {"identify": 5, "call": 9, "decide": 1},
    }
    names: tuple[str, ...] = (
        "release",
        "model",
        "key",
        "team",
        "user",
        "entity",
        "conversation",
        "role",
        "parent",
    )
    names += ("error_code", "price_source", "protocol", "declaration_hash", "environment_hash")
    known |= dict.fromkeys(names, words)
    known |= {
        # Each tag has sums of its own, and a key of a megabyte for each would take a minute.
        "tags": (words, *(f"tag {n}" for n in range(1000 if len(words) < 1000 else 3))),
        "reasons": (words, f"guard_denied: {words}"),
        "scopes": (words,),
        "features": {words[:300]: words},
        "cache": {"kind": words},
        "attempts": (Attempt(words, words, 5, Usage(1, 2), 3, words, words),),
        "verdicts": (
            Verdict(words, "input", "deny", words),
            Verdict(words, "output", "ask", words),
        ),
        "input": json.dumps({"messages": [{"role": words, "content": words}]}).encode(),
        "output": json.dumps({"text": words}).encode(),
    }
    return Record(**{**known, **more})


def add(plane: Plane, *entries: Record | Outcome) -> None:
    async def append() -> None:
        for entry in entries:
            plane.serving.spool.append(entry)

    plane.project.run(append()).result(20)
    plane.serving.writer.drain()


def hostile_release(plane: Plane, words: str) -> str:
    """Keep a release whose every text is `words`, and return its id."""
    champion = plane.serving.engine.releases["risk"].id
    manifest = read_release(plane.project.state, champion).manifest
    changed = msgspec.structs.replace(
        manifest,
        files={words: "0" * 64, "service.toml": words},
        models=(PinnedModel(words, words, words, words, "digest", words),),
        packages={words: words},
        commit=Commit(words, is_dirty=True),
    )
    return add_release(plane.project.state, plane.project.clock, changed, words).id


def check_is_clean(shown: Shown) -> None:
    """A page whose words stay words: none of their markup, nothing hidden or open, not long."""
    assert shown.unclosed == []
    scripts = [found.get("src") or "" for found in shown.having("script")]
    assert all(script.startswith("/static/") for script in scripts)
    assert not HIDDEN & set(shown.source)
    forbidden = {"style", "onclick", "onload", "onerror"}
    assert not [name for name, found in shown.elements if forbidden & set(found)]
    assert "49" not in shown.headline
    assert len(shown.source.encode()) < MOST_BYTES
    title = shown.source.partition("<title>")[2].partition("</title>")[0]
    assert "alert" not in title


@pytest.fixture(
    scope="module",
    params=[HOSTILE, LONG],
    ids=["hostile", "a megabyte"],
)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Plane, dict[str, str]]]:
    """A project with a record, its child, its outcome, a release, keys and stops of such words."""
    words = request.param
    with served(tmp_path_factory.mktemp("hostile")) as plane:
        child = record(HOSTILE, id="rq_0000000000020000aaaaaaaaaa", parent=RECORD)
        truth = Outcome(
            id="oc_1",
            request_id=RECORD,
            kind=words,
            value={words: words},
            source=words,
            reason=words,
            at_us=1,
            known_at_us=2,
            by=words,
        )
        add(plane, record(words), child, truth)
        release = hostile_release(plane, words)
        key, _ = plane.make_key("read")
        with plane.project.state.begin() as connection:
            change = text("UPDATE keys SET name = :words, team = :words WHERE id = :id")
            connection.execute(change, {"words": words, "id": key.id})
        board = plane.serving.switchboard
        board.stop("risk", "by-rule", by="job:watch", reason=words)
        board.stop("risk", by=words, reason=words)
        plane.follow()
        yield plane, {"release": quote(release, safe="")}


@pytest.mark.parametrize(
    ("path", "has_words"),
    [
        ("/", True),
        ("/services/risk", True),
        ("/requests?service=risk&limit=200", True),
        (f"/requests/{RECORD}", True),
        ("/releases", True),
        ("/releases/{release}", True),
        ("/keys", True),
        ("/words", False),
        (f"/requests/{quote(HOSTILE)}", True),
        (f"/services/{quote(HOSTILE)}", True),
        (f"/releases/{quote(HOSTILE)}", True),
        (f"/{quote(HOSTILE)}", True),
        (f"/requests?user={quote(HOSTILE)}", True),
        (f"/requests?since={quote(HOSTILE)}", True),
        (f"/requests?disposition={quote(HOSTILE)}", True),
        (f"/requests?{quote(HOSTILE)}=x", True),
        (f"/login?next={quote(HOSTILE)}", False),
    ],
)
def test_a_page_shows_such_words_and_stays_whole(
    stage: tuple[Plane, dict[str, str]], path: str, has_words: bool
) -> None:
    plane, ids = stage
    shown = Visitor(plane, plane.secret).see(path.format_map(ids) if "{r" in path else path)
    assert shown.status in (200, 400, 404)
    check_is_clean(shown)
    values = [found.get("value") or "" for _, found in shown.elements]
    assert ("<script>alert(1)" in shown.words + " ".join(values)) == has_words


def test_the_words_of_a_deleted_user_are_nowhere_on_their_requests_page(plane: Plane) -> None:
    said = "my name is Ann Unforgettable"
    id = plane.answer("reply", {"text": said}, user="ann").request_id
    visitor = Visitor(plane, plane.secret)
    assert said in visitor.see(f"/requests/{id}").words
    project = plane.project
    drain = plane.serving.writer.drain
    forget_user(project.state, project.clock, plane.serving.spool, drain, "ann", by="cli:ada")
    shown = visitor.see(f"/requests/{id}")
    assert shown.status == 200
    assert said not in shown.source
    assert ">ann<" not in shown.source
    assert "it was deleted" in shown.words
    assert visitor.see("/requests?user=ann").headline == "No request matches."


def test_every_page_loads_while_the_database_is_being_written(plane: Plane) -> None:
    id = plane.answer("risk", {"wind": 1.0}).request_id
    release = quote(plane.serving.engine.releases["risk"].id, safe="")
    visitor = Visitor(plane, plane.secret)
    paths = ["/", "/services/risk", "/requests", f"/requests/{id}", "/releases", "/keys", "/words"]
    paths.append(f"/releases/{release}")
    file = plane.project.folder / ".roadworthy" / "state.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        for path in paths:
            started = time.monotonic()
            assert visitor.see(path).status == 200, path
            assert time.monotonic() - started < 1, path
        lock.execute("ROLLBACK")


def test_a_session_that_is_revoked_midway_shows_nothing_more_and_acts_no_more(
    plane: Plane,
) -> None:
    key, secret = plane.make_key("read", "admin")
    visitor = Visitor(plane, secret)
    assert visitor.see("/services/risk").status == 200
    assert plane.ask("DELETE", f"/api/keys/{key.id}").status == 200
    plane.follow()
    refused = visitor.send("/services/risk/stop", reason="too late")
    assert refused.status == 401
    assert "Log in" in refused.words
    assert "risk" not in refused.words
    assert not plane.serving.switchboard.stopped("risk")
    for path in ("/", "/requests", "/services/risk", "/nothing"):
        shown = visitor.see(path)
        assert shown.status in (303, 404)
        assert "Log out" not in shown.words
