"""What the pages show: the same value as their twins, whole and safe, whatever is in it."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from past import remember
from sqlalchemy import text

from browser import Browser
from conftest import MakeProject
from control_plane import RISK, Plane
from roadworthy.types import HOUR_US, MICRO, SettableClock
from roadworthy.web.console.render import ASSETS, POLICY
from roadworthy.web.console.table import PAGES

HOSTILE = '<b onclick="x()">&amp;</b>\'\u202e\u2066\u200f\x07\x1b[31m\U0001f600'
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
KNOWN = [page.path for page in PAGES if "{" not in page.path] + ["/services/risk"]


@pytest.fixture
def browser(plane: Plane) -> Browser:
    """Somebody with an admin key, logged in."""
    browser = Browser(plane)
    browser.log_in(plane.secret)
    return browser


@pytest.fixture
def guest(shared: Plane) -> Browser:
    """Somebody who only looks, at a project that others look at too."""
    browser = Browser(shared)
    browser.log_in(shared.secret)
    return browser


def row(plane: Plane, name: str = "risk") -> Any:
    return next(r for r in plane.get("/api/home")["services"] if r["name"] == name)


class Tags(HTMLParser):
    """Collects what a policy without inline code forbids, and what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong += [f"{tag} {name}" for name, _ in attrs if name == "style" or name[:2] == "on"]
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.wrong.append(tag)
        if tag not in {"meta", "link", "input", "br", "hr", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", [*KNOWN, "/login", "/nothing", "/services/nothing"])
def test_every_page_keeps_the_policy_and_is_whole(guest: Browser, path: str) -> None:
    answer = guest.get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    tags = Tags(guest.page)
    assert (tags.wrong, tags.open) == ([], [])
    assert guest.page.count("<h1>") == guest.page.count("<main") == 1
    ids = re.findall(r' id="([^"]+)"', guest.page)
    assert len(ids) == len(set(ids))
    assert len(answer.body) < 60_000


def test_the_policy_is_the_promised_one() -> None:
    assert POLICY == (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def test_every_page_links_to_a_twin_that_is_there(guest: Browser) -> None:
    for path in KNOWN:
        assert guest.get(path).status == 200, path
        twin = re.search(r'<a href="([^"]+)">This page as JSON', guest.page)
        assert twin is not None, path
        answer = guest.get(twin[1])
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), path


def test_style_and_script_are_small_need_no_key_and_stay_in_caches(shared: Plane) -> None:
    nobody = Browser(shared)
    nobody.get("/login")
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', nobody.page)
    assert len(found) == 2
    for path in (*found, *(f"/static/{name}" for name in ASSETS)):
        asset = nobody.get(path)
        assert asset.status == 200
        assert "immutable" in asset.headers["cache-control"]
        assert len(asset.body) < 20_000
    sheets = {name: len(asset.body) for name, asset in ASSETS.items() if name.endswith(".css")}
    whole = next(size for name, size in sheets.items() if name.startswith("console."))
    assert whole + max(size for size in sheets.values() if size != whole) < 20_000
    assert nobody.get("/static/console.css").status == 404
    assert nobody.get("/static/..%2Fpages.py").status == 404


def test_home_says_what_its_twin_says(plane: Plane, browser: Browser) -> None:
    remember(plane, 30)
    remember(plane, 3, disposition="fallback")
    browser.get("/")
    home = plane.get("/api/home")
    assert browser.heading == home["says"]
    said = [words for service in home["services"] for words in service["says"]]
    said += [words for service in home["services"] for words in service["cost"]["says"]]
    said += [service["ship"]["says"] for service in home["services"]]
    assert len(said) > 6
    assert [words for words in said if words not in browser.text] == []
    names = re.findall(r'class="first" href="/services/([^"]+)"', browser.page)
    assert names == [service["name"] for service in home["services"]]


def test_the_page_of_a_service_says_what_its_twin_says(plane: Plane, browser: Browser) -> None:
    remember(plane, 100, latency_us=700_000, is_late=True, cost_micro=1234)
    browser.get("/services/risk")
    page = plane.get("/api/services/risk/page")
    assert browser.heading == page["says"] == "risk breaks one of its two promises."
    for words in (*page["service"]["says"], *page["service"]["cost"]["says"]):
        assert words in browser.text
    assert page["service"]["says"] == row(plane)["says"]
    for key in page["keys"]:
        assert key["path"] in browser.text
    assert "$0.12" in browser.text


def test_a_service_without_traffic_collects_and_shows_no_zero(
    plane: Plane, browser: Browser
) -> None:
    promise = row(plane)["promises"][0]
    assert (promise["state"], promise["measured"], promise["n"]) == ("collecting", None, 0)
    browser.get("/")
    assert "No promise is broken; two wait for more requests." in browser.heading
    assert "Collecting No request in the last 24 hours." in browser.text
    assert "0 of 20 requests" in browser.text
    assert "0%" not in re.sub(r"[≤≥] \S+", "", browser.text)
    browser.get("/services/risk")
    assert "risk has not answered anything in the last 24 hours." in browser.text


def test_a_service_without_promises_is_off(plane: Plane, browser: Browser) -> None:
    assert row(plane, "reply")["state"] == "off"
    browser.get("/services/reply")
    assert browser.heading == "reply promises nothing that is measured."


def test_below_twenty_requests_there_is_no_share(plane: Plane, browser: Browser) -> None:
    remember(plane, 19, is_late=True)
    assert row(plane)["promises"][0]["measured"] is None
    browser.get("/")
    assert "19 of 20 requests" in browser.text
    remember(plane, 1, is_late=True)
    assert row(plane)["promises"][0]["state"] == "breached"


def test_what_is_broken_comes_first_and_says_since_when(plane: Plane, browser: Browser) -> None:
    now_us = plane.project.clock.now_us()
    hour_us = now_us - now_us % HOUR_US
    remember(plane, 500, at_us=hour_us - 5 * HOUR_US)
    for hours in (2, 1):
        remember(plane, 100, at_us=hour_us - hours * HOUR_US, is_late=True)
    home = plane.get("/api/home")
    assert home["services"][0]["name"] == "risk"
    assert (home["broken"], home["services"][0]["state"]) == (1, "breached")
    since = time.gmtime((hour_us - 2 * HOUR_US) // MICRO)
    words = f"{since.tm_hour:02}:00: 200 of 700 requests in 24 h were slower than 500 ms."
    assert words in home["services"][0]["says"][0]
    assert home["says"].startswith("One promise is broken")
    browser.get("/")
    assert browser.text.index("risk") < browser.text.index("reply")
    assert "Find out why it is slow." in browser.text


def test_failures_of_a_month_spend_the_budget_of_a_good_day(plane: Plane) -> None:
    now_us = plane.project.clock.now_us()
    remember(plane, 500, at_us=now_us - 20 * 24 * HOUR_US, disposition="failed")
    remember(plane, 1000)
    found = row(plane)
    assert found["budget"] == {
        "days": 30,
        "requests": 1500,
        "failed": 500,
        "allowed": 15.0,
        "spent_share": pytest.approx(500 / 15),
    }
    assert found["state"] == "breached"
    assert "The error budget of 30 days is spent." in found["says"]
    remember(plane, 1, at_us=now_us - 31 * 24 * HOUR_US, disposition="failed")
    assert row(plane)["budget"]["failed"] == 500


def test_a_stopped_service_keeps_and_breaks_nothing(plane: Plane, browser: Browser) -> None:
    remember(plane, 100, is_late=True)
    plane.serving.switchboard.stop("risk", by="key:k_1", reason="storm.")
    plane.follow()
    home = plane.get("/api/home")
    assert (home["broken"], row(plane)["state"]) == (0, "off")
    assert "by key:k_1: storm." in row(plane)["says"][0]
    browser.get("/")
    assert "One thing needs a person." in browser.heading
    assert "Resume it, or leave it off." in browser.text


def test_a_day_that_will_cost_too_much_is_seen_before_it_does(plane: Plane) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    noon_us = 4_102_488_000 * MICRO  # 1 January 2100
    clock.set(noon_us)
    spent: dict[str, Any] = {"service": "reply", "scopes": ("service:reply",)}
    remember(plane, 19, at_us=noon_us - MICRO, cost_micro=150_000, **spent)
    plane.serving.ledger._turn_to(noon_us)
    cost = row(plane, "reply")["cost"]
    assert (cost["state"], cost["by_midnight_usd"]) == ("healthy", None), "19 are no pace"
    remember(plane, 1, at_us=noon_us - MICRO, cost_micro=150_000, **spent)
    plane.serving.ledger._turn_to(noon_us)
    cost = row(plane, "reply")["cost"]
    assert (cost["state"], cost["settled_usd"]) == ("at_risk", 3.0)
    assert cost["by_midnight_usd"] == pytest.approx(6.0, abs=0.001)
    assert cost["reached_at"].startswith("2100-01-01T20:00")
    assert cost["says"][0] == "$3.00 of $5.00."
    assert "reached at about 20:00. Requests then are refused." in cost["says"][1]
    home = plane.get("/api/home")
    assert home["says"].endswith("One thing needs a person, the first by 20:00.")
    remember(plane, 1, at_us=noon_us - MICRO, cost_micro=2_000_000, **spent)
    plane.serving.ledger._turn_to(noon_us)
    assert row(plane, "reply")["cost"]["state"] == "breached"


def test_a_page_lives_in_the_year_of_the_projects_clock(plane: Plane, browser: Browser) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    clock.set(1_364_817_600 * MICRO)
    remember(plane, 30)
    browser.get("/")
    assert "As of 1 Apr 2013, 12:00:0" in browser.text
    assert "30 requests in 24 h" in browser.text
    assert browser.get("/services/risk").status == 200
    clock.set(0)
    assert {browser.get(path).status for path in KNOWN} == {200}


def test_files_that_differ_from_what_is_served_need_a_person(
    plane: Plane, browser: Browser
) -> None:
    path = plane.project.folder / "services" / "risk" / "service.toml"
    assert row(plane)["todos"] == []
    before = path.read_text()
    path.write_text(before.replace("20.0", "21.0"))
    assert row(plane)["todos"][0]["why"] == "service.toml changed."
    browser.get("/services/risk")
    assert "roadworthy release build risk" in browser.text
    path.write_text("name = ")
    assert "cannot be released" in row(plane)["todos"][0]["why"]
    path.write_text(before)
    assert row(plane)["todos"] == []


def test_a_release_that_is_newer_than_the_champion_is_a_candidate(
    plane: Plane, browser: Browser
) -> None:
    path = plane.project.folder / "services" / "risk" / "service.toml"
    first = plane.serving.engine.releases["risk"].id
    assert row(plane)["ship"]["candidate"] is None
    path.write_text(path.read_text().replace("20.0", "21.0"))
    built = plane.project.build_release("risk", by="ada")
    ship = row(plane)["ship"]
    assert (ship["candidate"]["release"], ship["candidate"]["by"]) == (built.id, "ada")
    assert ship["word"] == "Not yet"
    assert ship["says"].startswith("Nothing has compared")
    plane.project.promote(built.id, by="ada")
    plane.follow()
    assert row(plane)["ship"]["candidate"] is None
    plane.project.promote(first, by="ada")
    plane.follow()
    assert row(plane)["ship"]["candidate"]["release"] == built.id
    assert browser.get("/").status == 200


def test_what_is_degraded_stands_on_top_without_a_path(plane: Plane, browser: Browser) -> None:
    plane.serving.presence.trouble = {"spool": f"expected a file - {plane.project.folder}/spool"}
    browser.get("/")
    assert "Degraded The spool is not where it was opened" in browser.text
    assert str(plane.project.folder) not in browser.page
    assert "One thing needs a person." in browser.heading


def hostile_service(name: str) -> str:
    written = HOSTILE.encode("unicode_escape").decode()
    quoted = re.sub(r"\\x(..)", r"\\u00\1", written).replace('"', '\\"')
    return (
        RISK.replace('name = "risk"', f'name = "{name}"')
        .replace("Say whether", f"{quoted} Say")
        .replace('"ada"', f'"{quoted}"')
    )


def test_hostile_text_is_shown_and_does_nothing(make_project: MakeProject) -> None:
    plane = Plane(make_project({"risk": hostile_service("risk")}))
    plane.serving.switchboard.stop("risk", "by-rule", by=HOSTILE, reason=HOSTILE)
    plane.serving.switchboard.stop("risk", by=HOSTILE, reason=HOSTILE)
    _, secret = plane.make_key("read", "admin")
    with plane.project.state.begin() as connection:
        connection.execute(text("UPDATE keys SET name = :name"), {"name": HOSTILE})
    plane.follow()
    browser = Browser(plane)
    browser.log_in(secret)
    remember(plane, 30, model=HOSTILE)
    for path in ("/", "/services/risk", "/nothing/%3Cb%3E%E2%80%AE", "/login?next=%3Cb%3E"):
        answer = browser.get(path)
        assert answer.status in {200, 404}, path
        assert not UNSEEN.search(browser.page), path
        assert "<b onclick" not in browser.page, path
        assert "<i>" not in browser.page, path
        assert (Tags(browser.page).wrong, Tags(browser.page).open) == ([], []), path
    browser.get("/services/risk")
    assert '<b onclick="x()">&amp;</b>' in browser.text
    assert "\N{REPLACEMENT CHARACTER}" in browser.text
    assert "\N{GRINNING FACE}" in browser.text


def test_a_megabyte_of_text_does_not_make_a_megabyte_of_page(
    plane: Plane, browser: Browser
) -> None:
    plane.serving.switchboard.stop("risk", by="x", reason="é" * (1 << 20))
    plane.follow()
    for path in ("/", "/services/risk"):
        assert len(browser.get(path).body) < 60_000
        assert "… (1,048," in browser.text


def test_a_page_that_is_not_there_says_so_to_a_person_and_to_a_program(shared: Plane) -> None:
    browser = Browser(shared)
    assert browser.get("/nothing").status == 404
    assert browser.heading == "There is no such page."
    refused = shared.ask("GET", "/nothing")
    assert (refused.status, refused.error["code"]) == (404, "not_found")
    assert browser.get("/api/nothing").headers["content-type"] == "application/json"


def test_an_error_has_an_id_that_the_servers_log_has_too(
    guest: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "roadworthy.web")
    answer = guest.get("/nope")
    assert "no page /nope" in guest.text
    id = answer.headers["x-roadworthy-request-id"]
    assert f"status 404 · request {id}" in guest.text
    assert f"{id}: 404 not_found at GET '/nope'" in caplog.text


def test_an_error_says_its_code_and_no_more(guest: Browser) -> None:
    assert guest.get("/services/nothing").status == 404
    assert "code not_found · status 404" in guest.text
    assert "risk" in guest.text  # the services there are


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/", "GET"), ("GET", "/logout", "POST"), ("PUT", "/login", "GET, POST")],
)
def test_a_page_takes_its_own_methods_only(
    shared: Plane, method: str, path: str, allowed: str
) -> None:
    refused = shared.ask(method, path, b"")
    assert (refused.status, refused.headers["allow"]) == (405, allowed)


def test_a_page_can_be_asked_for_its_head(guest: Browser, shared: Plane) -> None:
    assert shared.ask("HEAD", "/").status == 200


def test_an_unknown_parameter_of_a_page_is_refused(guest: Browser) -> None:
    assert guest.get("/?colour=red").status == 400
    assert "unknown parameter colour" in guest.text


def test_a_store_that_fails_gives_a_page_that_says_so(plane: Plane, browser: Browser) -> None:
    with plane.project.state.begin() as connection:
        connection.execute(text("DROP TABLE rollups"))
    assert browser.get("/").status == 503
    assert browser.heading == "The store does not answer. Serving goes on."
    assert "SELECT" not in browser.page


def test_a_store_that_is_being_written_holds_up_no_page(plane: Plane, browser: Browser) -> None:
    with closing(sqlite3.connect(plane.project.folder / ".roadworthy" / "state.db")) as lock:
        lock.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert {browser.get(path).status for path in KNOWN} == {200}
        assert time.monotonic() - started < 2
        lock.rollback()


@pytest.mark.slow
def test_an_act_on_a_locked_store_fails_in_time_with_a_page(plane: Plane, browser: Browser) -> None:
    browser.get("/services/risk")
    with closing(sqlite3.connect(plane.project.folder / ".roadworthy" / "state.db")) as lock:
        lock.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert browser.submit("/services/risk/stop").status == 503
        assert time.monotonic() - started < 10
        lock.rollback()
    assert "Serving goes on." in browser.heading


@pytest.mark.slow
def test_home_is_small_and_quick_with_twenty_services(make_project: MakeProject) -> None:
    names = [f"service-{number:02}" for number in range(20)]
    services = {name: RISK.replace('name = "risk"', f'name = "{name}"') for name in names}
    plane = Plane(make_project(services))
    browser = Browser(plane)
    browser.log_in(plane.secret)
    for name in names:
        remember(plane, 25, service=name)
    assert len(browser.get("/").body) <= 80_000
    took = []
    for _ in range(5):
        started = time.monotonic()
        browser.get("/")
        took.append(time.monotonic() - started)
    assert min(took) < 0.1


def test_a_project_without_services_says_what_to_do(make_project: MakeProject) -> None:
    plane = Plane(make_project({}))
    browser = Browser(plane)
    browser.log_in(plane.secret)
    browser.get("/")
    assert browser.heading == "There is no service yet."
    assert "roadworthy init shop" in browser.text


def test_the_console_comes_with_the_package() -> None:
    root = Path(__file__).parents[2] / "src" / "roadworthy" / "web" / "console"
    for page in PAGES:
        assert (root / "templates" / page.template).is_file()
