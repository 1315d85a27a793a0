"""Who looks at the console: the log-in, the session and its end, and the tokens of forms."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from browser import Browser
from conftest import MakeProject
from control_plane import RISK, Plane
from roadworthy.app import open_project
from roadworthy.errors import Forbidden, Unauthenticated
from roadworthy.store.keys import revoke_key
from roadworthy.types import MICRO, SettableClock
from roadworthy.web.console.table import ACTS, PAGES
from roadworthy.web.session import COOKIE, LASTS_S, VISIT_COOKIE, Sessions, open_secret

SECRET = b"s" * 32


def sessions_of(plane: Plane, clock: SettableClock | None = None) -> Sessions:
    """Return what makes the cookies of a plane, by another clock if one is given."""
    secret = plane.project.folder / ".roadworthy" / "session.secret"
    return Sessions(secret.read_bytes(), clock)


def test_a_cookie_names_its_key_and_nothing_secret() -> None:
    cookie = Sessions(SECRET).open("k_1")
    assert Sessions(SECRET).read(cookie).key_id == "k_1"
    assert "rw_" not in cookie
    assert Sessions(SECRET).open("k_1") != cookie


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: cookie.replace("k_1", "k_2"),
        lambda cookie: cookie[:-1],
        lambda cookie: "",
        lambda cookie: "a.b.c.d",
        lambda cookie: "\xff" * 4096,
        lambda cookie: Sessions(b"t" * 32).open("k_1"),
        lambda cookie: cookie.replace(cookie.split(".")[1], "99999999999"),
    ],
)
def test_a_cookie_that_we_did_not_make_is_none(change: object) -> None:
    cookie = change(Sessions(SECRET).open("k_1"))  # type: ignore[operator]
    with pytest.raises(Unauthenticated):
        Sessions(SECRET).read(cookie)


def test_a_session_ends_after_twelve_hours() -> None:
    clock = SettableClock()
    sessions, start = Sessions(SECRET, clock), clock.now_us()
    cookie = sessions.open("k_1")
    clock.set(start + (LASTS_S - 2) * MICRO)
    sessions.read(cookie)
    clock.set(start + (LASTS_S + 1) * MICRO)
    with pytest.raises(Unauthenticated, match="ended"):
        sessions.read(cookie)


def test_a_session_that_was_ended_stays_so_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "session.ended"
    clock = SettableClock()
    before = Sessions(SECRET, clock, file)
    gone, kept = before.open("k_1"), before.open("k_1")
    before.end(gone)
    assert gone not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    after = Sessions(SECRET, clock, file)
    assert after.read(kept).key_id == "k_1"
    with pytest.raises(Unauthenticated, match="ended"):
        after.read(gone)
    clock.set(clock.now_us() + (LASTS_S - 60) * MICRO)
    with pytest.raises(Unauthenticated, match="ended"):
        Sessions(SECRET, clock, file).read(gone)


def test_what_has_ended_by_itself_is_not_remembered_for_ever(tmp_path: Path) -> None:
    file, clock = tmp_path / "session.ended", SettableClock()
    sessions = Sessions(SECRET, clock, file)
    sessions.end(sessions.open("k_1"))
    clock.set(clock.now_us() + (LASTS_S + 1) * MICRO)
    sessions.end(sessions.open("k_1"))
    assert len(file.read_text().splitlines()) == 1


def test_a_file_of_ended_sessions_that_cannot_be_kept_ends_them_in_this_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "session.ended").write_bytes(b"\xff\nhalf a li")
    sessions = Sessions(SECRET, ended=tmp_path / "gone" / "session.ended")
    assert Sessions(SECRET, ended=tmp_path / "session.ended").open("k_1")
    cookie = sessions.open("k_1")
    sessions.end(cookie)
    with pytest.raises(Unauthenticated, match="ended"):
        sessions.read(cookie)


def test_a_token_belongs_to_one_cookie() -> None:
    sessions = Sessions(SECRET)
    mine, yours = sessions.open("k_1"), sessions.open("k_1")
    sessions.check_token(mine, sessions.token(mine))
    for token in (sessions.token(yours), "", mine):
        with pytest.raises(Forbidden):
            sessions.check_token(mine, token)
    with pytest.raises(Forbidden):
        sessions.check_token("", sessions.token(""))


def test_the_secret_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "session.secret"
    secret = open_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_secret(path) == secret == path.read_bytes()


def test_a_secret_that_others_can_read_or_that_cannot_be_kept_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "session.secret"
    path.write_bytes(SECRET)
    path.chmod(0o644)
    assert open_secret(path) != SECRET
    path.chmod(0o600)
    path.write_bytes(b"")
    assert len(open_secret(path)) == 32
    assert len(open_secret(tmp_path / "gone" / "session.secret")) == 32


def test_who_is_not_logged_in_is_sent_there_and_back(shared: Plane) -> None:
    browser = Browser(shared)
    sent = browser.get("/services/risk?x=1&y=%2F")
    assert (sent.status, sent.headers["location"]) == (
        303,
        "/login?next=/services/risk%3Fx%3D1%26y%3D%252F",
    )
    assert browser.get("/login?next=/services/risk").status == 200
    back = browser.submit("/login", key=shared.secret, next="/services/risk")
    assert (back.status, back.headers["location"]) == (303, "/services/risk")
    assert browser.get("/services/risk").status == 200


def test_a_program_gets_an_error_instead_of_the_log_in(shared: Plane) -> None:
    refused = shared.ask("GET", "/", key="")
    assert (refused.status, refused.error["code"]) == (401, "unauthenticated")


def test_the_cookie_is_for_this_site_and_no_script(shared: Plane) -> None:
    cookie = Browser(shared).log_in(shared.secret).headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=k_")
    parts = cookie.split("; ")[1:]
    assert set(parts) == {"Path=/", f"Max-Age={LASTS_S}", "HttpOnly", "SameSite=Lax"}
    proxied = Browser(shared, x_forwarded_proto="https").log_in(shared.secret)
    assert proxied.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize("key", ["", "rw_wrong", "Bearer rw_x", "\u202e<b>", "x" * 100_000])
def test_a_wrong_key_is_refused_beside_its_field_and_not_repeated(shared: Plane, key: str) -> None:
    browser = Browser(shared)
    refused = browser.log_in(key)
    assert refused.status == 401
    assert 'aria-invalid="true"' in browser.page
    assert not key or key not in browser.page
    assert COOKIE not in browser.cookies
    assert browser.get("/").status == 303


def test_an_empty_log_in_asks_for_a_key_and_for_no_header(shared: Plane) -> None:
    browser = Browser(shared)
    browser.log_in(" ")
    assert "expected a key that begins with rw_, got nothing" in browser.text


def test_a_key_that_may_not_read_cannot_look(shared: Plane) -> None:
    _, secret = shared.make_key("answer")
    browser = Browser(shared)
    assert browser.log_in(secret).status == 403
    assert "lacks the scope" in browser.text


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil", "evil", "/login", ""],
)
def test_the_log_in_leads_to_no_other_site(shared: Plane, target: str) -> None:
    browser = Browser(shared)
    browser.get("/login")
    there = browser.submit("/login", key=shared.secret, next=target)
    assert there.headers["location"] == "/"


def test_a_log_in_that_comes_from_another_site_is_refused(shared: Plane) -> None:
    assert Browser(shared).post("/login", key=shared.secret).status == 403
    browser = Browser(shared)
    browser.get("/login")
    token = browser.token
    other = Browser(shared)
    other.get("/login")
    assert other.post("/login", key=shared.secret, csrf=token).status == 403
    assert COOKIE not in other.cookies


def test_a_revoked_key_ends_its_sessions_at_once(plane: Plane) -> None:
    key, secret = plane.make_key("read")
    browser = Browser(plane)
    browser.log_in(secret)
    assert browser.get("/").status == 200
    revoke_key(plane.project.state, plane.project.clock, key.id, by="test")
    plane.follow()
    assert browser.get("/").headers["location"] == "/login?next=/"


def test_a_key_that_has_expired_ends_its_sessions(plane: Plane) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    _, secret = plane.make_key("read", expires_us=clock.now_us() + 60 * MICRO)
    browser = Browser(plane)
    browser.log_in(secret)
    assert browser.get("/").status == 200
    clock.set(clock.now_us() + 61 * MICRO)
    assert browser.get("/").status == 303


def test_a_replay_that_jumps_through_a_year_ends_no_session(plane: Plane) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    browser = Browser(plane)
    browser.log_in(plane.secret)
    for year_us in (1_364_774_400 * MICRO, 1_385_000_000 * MICRO):
        clock.set(year_us)
        assert browser.get("/").status == 200


def test_a_session_of_yesterday_is_over(shared: Plane) -> None:
    yesterday = SettableClock(-(LASTS_S + 60) * MICRO)
    browser = Browser(shared)
    browser.cookies[COOKIE] = sessions_of(shared, yesterday).open(shared.admin.id)
    assert browser.get("/").status == 303
    browser.cookies[COOKIE] = sessions_of(shared).open(shared.admin.id)
    assert browser.get("/").status == 200


def test_who_logs_out_is_out_even_with_a_copy_of_the_cookie(shared: Plane) -> None:
    browser = Browser(shared)
    browser.log_in(shared.secret)
    browser.get("/")
    copy = browser.cookies[COOKIE]
    assert browser.post("/logout").status == 403
    browser.get("/")
    assert browser.submit("/logout").headers["location"] == "/login"
    assert COOKIE not in browser.cookies
    browser.cookies[COOKIE] = copy
    assert browser.get("/").status == 303


def test_who_logs_out_is_out_for_the_next_process_too(make_project: MakeProject) -> None:
    project = make_project({"risk": RISK})
    plane = Plane(project)
    browser = Browser(plane)
    browser.log_in(plane.secret)
    browser.get("/")
    copy = browser.cookies[COOKIE]
    browser.submit("/logout")
    project.close()
    with open_project(project.folder) as again:
        browser = Browser(Plane(again))
        browser.cookies[COOKIE] = copy
        assert browser.get("/").headers["location"] == "/login?next=/"


def test_an_act_needs_the_token_of_its_own_session(plane: Plane) -> None:
    browser, other = Browser(plane), Browser(plane)
    for one in (browser, other):
        one.log_in(plane.secret)
        one.get("/services/risk")
    stop = "/services/risk/stop"
    refused = [
        browser.post(stop, reason="x"),
        browser.post(stop, csrf=""),
        browser.post(stop, csrf=other.token),
        browser.post(stop, csrf=[other.token, other.token]),
    ]
    assert {answer.status for answer in refused} == {403}
    plane.follow()
    assert plane.answer("risk", {"wind": 1.0}).disposition == "answered"


@pytest.mark.parametrize("path", [act.path for act in ACTS])
def test_every_act_needs_its_token_and_happens_only_by_post(shared: Plane, path: str) -> None:
    browser = Browser(shared)
    browser.log_in(shared.secret)
    target = path.format(name="risk", id="k_1")
    before = [shared.get("/api/actions")["actions"], shared.get("/api/keys")["keys"]]
    assert browser.post(target, name="x", scopes="admin").status == 403
    assert browser.post(target, csrf="wrong", name="x", scopes="admin").status == 403
    if path not in {page.path for page in PAGES}:
        assert browser.get(target).status == 405
    assert [shared.get("/api/actions")["actions"], shared.get("/api/keys")["keys"]] == before


def test_the_cookie_before_the_log_in_is_for_this_site_and_no_script(shared: Plane) -> None:
    parts = Browser(shared).get("/login").headers["set-cookie"].split("; ")
    assert parts[0].startswith(f"{VISIT_COOKIE}=")
    assert set(parts[1:]) == {"Path=/", f"Max-Age={LASTS_S}", "HttpOnly", "SameSite=Lax"}


def test_a_form_of_another_site_changes_nothing_though_the_cookie_came_along(plane: Plane) -> None:
    browser = Browser(plane)
    browser.log_in(plane.secret)
    browser.headers["origin"] = "https://evil.example"
    for path in ("/services/risk/stop", "/keys", "/logout"):
        assert browser.post(path, name="x", scopes="admin").status == 403, path
    assert browser.post("/api/services/risk/stop").status == 401
    plane.follow()
    assert plane.answer("risk", {"wind": 1.0}).disposition == "answered"
    assert browser.get("/").status == 200


def test_a_form_that_another_site_sends_is_refused_even_with_the_token(plane: Plane) -> None:
    browser = Browser(plane)
    browser.log_in(plane.secret)
    browser.get("/services/risk")
    browser.headers["sec-fetch-site"] = "cross-site"
    assert browser.submit("/services/risk/stop").status == 403


def test_a_session_reads_the_api_and_acts_only_through_forms(plane: Plane) -> None:
    browser = Browser(plane)
    browser.log_in(plane.secret)
    assert browser.get("/api/home").status == 200
    assert browser.post("/api/services/risk/stop").status == 401
    key = {b"authorization": f"Bearer {plane.secret}".encode()}
    assert plane.ask("POST", "/services/risk/stop", b"", key="", headers=key).status == 401


def test_a_key_without_the_scope_reads_the_page_and_has_no_lever(plane: Plane) -> None:
    _, secret = plane.make_key("read")
    browser = Browser(plane)
    browser.log_in(secret)
    browser.get("/services/risk")
    assert "needs a key with the scope admin" in browser.text
    assert "/services/risk/stop" not in browser.page
    refused = browser.submit("/services/risk/stop")
    assert refused.status == 403
    assert browser.heading == "You may not do this."


def test_a_limited_key_sees_its_own_services_only(plane: Plane) -> None:
    _, secret = plane.make_key("read", "admin", services=["risk"])
    browser = Browser(plane)
    browser.log_in(secret)
    browser.get("/")
    assert "risk" in browser.text
    assert "reply" not in browser.text
    assert browser.get("/services/reply").status == 403
    browser.get("/services/risk")
    assert browser.submit("/services/reply/stop").status == 403
    assert browser.submit("/services/risk/stop").status == 303


def test_the_service_is_stopped_and_resumed_with_a_reason_and_the_keys_name(plane: Plane) -> None:
    browser = Browser(plane)
    browser.log_in(plane.secret)
    browser.get("/services/risk")
    done = browser.submit("/services/risk/stop", reason="too windy", model="")
    assert (done.status, done.headers["location"]) == (303, "/services/risk")
    plane.follow()
    browser.get("/services/risk")
    assert browser.heading == "risk is stopped."
    assert f"by key:{plane.admin.id}: too windy." in browser.text
    assert browser.submit("/services/risk/resume").status == 303
    plane.follow()
    browser.get("/services/risk")
    assert "stopped" not in browser.heading


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"reason": "x" * 1001}, "1000"),
        ({"colour": "red"}, "colour"),
        ({"reason": ["a", "b"]}, "once"),
        ({f"f{i}": "" for i in range(300)}, "fields"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_by_name(
    shared: Plane, fields: dict[str, object], word: str
) -> None:
    browser = Browser(shared)
    browser.log_in(shared.secret)
    browser.get("/services/risk")
    assert browser.submit("/services/risk/stop", **fields).status == 400
    assert word in browser.text


def test_a_form_of_more_than_a_megabyte_is_refused(shared: Plane) -> None:
    browser = Browser(shared)
    browser.log_in(shared.secret)
    browser.get("/services/risk")
    assert browser.submit("/services/risk/stop", reason="x" * (1 << 20)).status == 413
