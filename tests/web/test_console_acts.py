"""Acts as forms: done when the next page is seen, said there once, and never done twice."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import get_args

import pytest
from visitor import Visitor

from control_plane import Plane
from roadworthy.types import Scope
from roadworthy.web.api import route_table
from roadworthy.web.scopes import SCOPES_ASKED
from roadworthy.web.session import DONE_COOKIE

SERVE = Path(__file__).parents[2] / "src" / "roadworthy" / "serve"


@pytest.fixture
def visitor(plane: Plane) -> Visitor:
    return Visitor(plane, plane.secret)


def test_the_page_after_an_act_shows_what_it_changed_and_says_who_did_it(
    plane: Plane, visitor: Visitor
) -> None:
    for _ in range(3):
        visitor.see("/services/risk")
        there = visitor.send("/services/risk/stop", reason="storm").headers["location"]
        stopped = visitor.see(there)
        assert stopped.headline == "risk is stopped."
        assert re.search(r"Stopped risk at \d\d:\d\d by test\.", stopped.words)
        assert "Stop risk" not in stopped.words
        back = visitor.send("/services/risk/resume")
        resumed = visitor.see(back.headers["location"])
        assert resumed.headline != "risk is stopped."
        assert re.search(r"Resumed risk at \d\d:\d\d by test\.", resumed.words)
        assert plane.answer("risk", {"wind": 1.0}).disposition == "answered"


def test_a_stop_is_taken_back_where_it_is_said(visitor: Visitor) -> None:
    visitor.see("/services/risk")
    visitor.send("/services/risk/stop", model="by-rule", reason="odd answers")
    shown = visitor.see("/services/risk")
    assert re.search(r"Stopped model by-rule of risk at \d\d:\d\d by test\. Resume", shown.words)
    (form,) = [found for _, found in shown.elements if found.get("class") == "done"]
    assert form["action"] == "/services/risk/resume"
    assert visitor.send("/services/risk/resume", model="by-rule").status == 303
    assert "Resumed model by-rule of risk" in visitor.see("/services/risk").words


def test_what_was_done_is_said_once_and_only_to_the_session_that_did_it(
    plane: Plane, visitor: Visitor
) -> None:
    visitor.see("/services/risk")
    visitor.send("/services/risk/stop")
    other = Visitor(plane, plane.secret)
    other.cookies[DONE_COOKIE] = visitor.cookies[DONE_COOKIE]
    assert "Stopped risk at" not in other.see("/").words
    assert "Stopped risk at" in visitor.see("/").words
    assert DONE_COOKIE not in visitor.cookies
    assert "Stopped risk at" not in visitor.see("/").words
    visitor.cookies[DONE_COOKIE] = "bm90IG91cnM=.forged"
    assert visitor.see("/").status == 200


def test_what_the_api_changed_is_seen_by_its_next_request(plane: Plane) -> None:
    for is_stopped in (True, False, True, False):
        plane.ask("POST", f"/api/services/risk/{'stop' if is_stopped else 'resume'}", {})
        shown = plane.get("/api/services/risk")["stopped"]
        assert (shown is not None) == is_stopped
    made = plane.ask("POST", "/api/keys", {"name": "one", "scopes": ["read"]}).json
    assert plane.ask("GET", "/api/home", key=made["key"]).status == 200
    plane.ask("DELETE", f"/api/keys/{made['id']}")
    assert plane.ask("GET", "/api/home", key=made["key"]).status == 401


def test_a_release_serves_when_the_page_after_its_promotion_is_seen(
    plane: Plane, visitor: Visitor
) -> None:
    file = plane.project.folder / "services/risk/service.toml"
    file.write_text(file.read_text().replace("20.0", "30.0"))
    built = plane.ask("POST", "/api/services/risk/releases").json["release"]
    visitor.see("/releases")
    visitor.send(f"/releases/{built}/promote")
    assert plane.serving.engine.releases["risk"].id == built
    assert f"Promoted {built.partition('@')[2][:6]} for risk" in visitor.see("/releases").words


def test_a_look_that_failed_is_made_up_for_by_the_next(plane: Plane) -> None:
    refresh, failed = plane.serving.refresh, asyncio.Event()

    async def fails() -> None:
        failed.set()
        raise OSError("the disk is away")

    plane.serving.refresh = fails  # type: ignore[method-assign]
    plane.serving.switchboard.stop("risk", by="test")
    plane.project.run(plane.serving.follow()).result(20)
    assert failed.is_set()
    assert "the disk is away" in plane.serving.trouble["watch"]
    plane.serving.refresh = refresh  # type: ignore[method-assign]
    plane.project.run(plane.serving.follow()).result(20)
    assert "watch" not in plane.serving.trouble
    assert "risk" in plane.serving.engine.stopped


def test_an_act_does_not_wait_for_a_release_that_opens_slowly(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.app.serving.FOLLOW_S", 0.01)
    refresh, may_open = plane.serving.refresh, asyncio.Event()

    async def slow() -> None:
        await may_open.wait()
        await refresh()

    async def let_it_open() -> None:
        may_open.set()

    plane.serving.refresh = slow  # type: ignore[method-assign]
    assert plane.ask("POST", "/api/services/risk/stop", {}).status == 200
    assert "risk" in plane.serving.engine.stopped, "it needs nothing that has to be opened"
    monkeypatch.undo()
    plane.project.run(let_it_open()).result(20)
    plane.project.run(plane.serving.follow()).result(20)
    assert "watch" not in plane.serving.trouble


def test_a_key_is_made_once_however_often_its_form_is_sent(plane: Plane, visitor: Visitor) -> None:
    visitor.see("/keys")
    before = len(plane.get("/api/keys")["keys"])
    once = visitor.once_for("/keys")["once"]
    fields = [("csrf", visitor.token), ("once", once), ("name", "twice"), ("scopes", "read")]
    first = visitor.post("/keys", **dict(fields))
    assert first.status == 200
    second = visitor.post("/keys", **dict(fields))
    assert (second.status, second.headers["location"]) == (303, "/keys")
    assert len(plane.get("/api/keys")["keys"]) == before + 1
    shown = visitor.see("/keys")
    assert "This form had been sent before; nothing was made again." in shown.words
    assert visitor.send("/keys", name="thrice", scopes="read").status == 200
    assert len(plane.get("/api/keys")["keys"]) == before + 2


def test_a_form_that_made_nothing_may_be_sent_again(plane: Plane, visitor: Visitor) -> None:
    visitor.see("/keys")
    fields = {"csrf": visitor.token, **visitor.once_for("/keys"), "scopes": "read"}
    assert visitor.post("/keys", **fields, name="").status == 400
    assert visitor.post("/keys", **fields, name="now").status == 200


def test_a_key_is_not_made_without_the_token_of_its_form(plane: Plane, visitor: Visitor) -> None:
    visitor.see("/keys")
    csrf, other = visitor.token, Visitor(plane, plane.secret)
    other.see("/keys")
    for once in ("", "a.b", other.once_for("/keys")["once"]):
        assert visitor.post("/keys", csrf=csrf, once=once, name="x", scopes="read").status == 403
    assert "x" not in {key["name"] for key in plane.get("/api/keys")["keys"]}


def test_a_form_offers_the_scopes_that_something_asks_for(visitor: Visitor) -> None:
    source = "".join(file.read_text() for file in SERVE.glob("*.py"))
    named = set(re.findall(r'"(\w+)" not in key\.scopes', source))
    named |= {s for part in re.findall(r"key\.scopes & \{(.*?)\}", source) for s in part.split('"')}
    asked = (named & set(get_args(Scope))) | {route.scope for route in route_table()}
    assert {choice.scope for choice in SCOPES_ASKED} == asked
    offered = {found["value"] for found in visitor.see("/keys").having("input", name="scopes")}
    assert offered == asked
    assert "push" in offered
    assert "budget" in offered


def test_a_model_is_stopped_with_a_reason(plane: Plane, visitor: Visitor) -> None:
    file = plane.project.folder / "services/risk/service.toml"
    spare = '[[models]]\nname = "spare"\nprovider = "rule"\nmodel = \'{"late": false}\'\n'
    file.write_text(f"{file.read_text()}\n{spare}")
    built = plane.ask("POST", "/api/services/risk/releases").json["release"]
    plane.ask("POST", f"/api/releases/{built}/promote")
    shown = visitor.see("/services/risk")
    assert len(shown.having("input", name="reason")) == 3
    wrong = visitor.send("/services/risk/stop", model="spare", reason="r" * 1001)
    assert wrong.status == 400
    (marked,) = [e for _, e in wrong.elements if e.get("aria-invalid") == "true"]
    assert len(wrong.having("p", id="wrong")) == 1
    assert wrong.unclosed == []
    assert marked["id"] not in ("why-stop", "why-resume")
    assert visitor.send("/services/risk/stop", model="spare", reason="it guesses").status == 303
    stop = plane.get("/api/services/risk")["stopped_models"]["spare"]
    assert (stop["reason"], stop["by"]) == ("it guesses", f"key:{plane.admin.id}")


def test_the_button_that_copies_a_secret_is_not_there_without_a_script(visitor: Visitor) -> None:
    visitor.see("/keys")
    made = visitor.send("/keys", name="one", scopes="read")
    (button,) = [found for _, found in made.elements if "data-copy" in found]
    assert "hidden" in button
    assert made.having("input", id=button["data-copy"] or "")[0]["value"].startswith("rw_")  # type: ignore[union-attr]
