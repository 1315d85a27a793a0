"""The console in a real browser: every page, wide and narrow, light and dark, and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from browser_window import (
    PHONE,
    SCREENS,
    Seen,
    axe_source,
    browser_open,
    check_accessible,
    check_fits,
)
from data_stage import change_contract, served_data

from control_plane import Plane, listening, served

PAGES = (
    "/",
    "/services/{service}",
    "/services/reply",
    "/requests",
    "/costs",
    "/budgets",
    "/requests?service=risk&disposition=refused",
    "/requests?user=nobody",
    "/requests?since=1h",
    "/requests?since=lost&until=1h&disposition=lost",
    "/requests/{answered}",
    "/requests/{refused}",
    "/releases",
    "/releases/{release}",
    "/examples",
    "/examples?state=rejected",
    "/keys",
    "/providers",
    "/words",
    "/requests/rq_gone",
)
DATA_PAGES = (
    "/services/{service}/data",
    "/services/plain/data",
    "/sources/weather",
    "/sources/fleet",
    "/requests/{answered}",
)

pytestmark = pytest.mark.slow


class Stage:
    """A served project with traffic, and where it listens."""

    def __init__(
        self, plane: Plane, port: int, service: str = "risk", answering: str = "reply"
    ) -> None:
        self.plane = plane
        self.url = f"http://127.0.0.1:{port}"
        rows = plane.get("/api/requests?limit=200")["requests"]
        self.facts = {
            "service": service,
            "answered": next(
                row["id"]
                for row in rows
                if row["service"] == answering and row["disposition"] == "answered"
            ),
            "refused": next(row["id"] for row in rows if row["disposition"] == "refused"),
            "release": quote(plane.get("/api/releases")["releases"][0]["release"]),
        }

    def path(self, page: str) -> str:
        """Return where a page is, with the ids of this stage."""
        return self.url + page.format_map(self.facts)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with served(tmp_path_factory.mktemp("stage")) as plane, listening(plane) as port:
        for n in range(60):
            plane.answer("risk", {"wind": float(n)}, user=f"u_{n % 7}")
        for n in range(30):
            plane.answer("reply", {"text": "hello " * n}, user="a-very-long-name-" * 9)
        plane.ask("POST", "/api/services/risk/stop", {"reason": "trial"})
        plane.follow()
        plane.answer("risk", {"wind": 1.0})
        plane.ask("POST", "/api/services/risk/resume", {"reason": "trial"})
        plane.follow()
        correct(plane)
        yield Stage(plane, port)


def correct(plane: Plane) -> None:
    """Leave two examples: one that is accepted, and one that two keys contradict each other on."""
    _, other = plane.make_key("review")
    first, second = plane.get("/api/requests?service=risk&disposition=answered")["requests"][:2]
    for request, late, key in ((first, True, None), (second, True, None), (second, False, other)):
        said = {"source": "desk", "correction": {"late": late}}
        plane.ask("POST", f"/v1/requests/{request['id']}/outcome", said, key=key)
    plane.serving.writer.drain()
    plane.serving.jobs.run_now("examples")
    assert plane.get("/api/examples")["counts"][0]["checks"] == {"conflict": 1}


@pytest.fixture(scope="module")
def data_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service with data: broken rules, a stale value, a contract that has changed."""
    pytest.importorskip("duckdb")
    folder = tmp_path_factory.mktemp("data")
    with served_data(folder) as plane, listening(plane) as port:
        weather = folder / "data/weather.csv"
        weather.write_text(weather.read_text().replace(",12.5,41", ",12.5,5"))
        plane.serving.jobs.run_now("skew")
        change_contract(folder)
        yield Stage(plane, port, "wind", "wind")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser_open() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_source()


@pytest.fixture
def window(chromium: Any, stage: Stage) -> Iterator[Seen]:
    """Somebody with an admin key, logged in, before a wide screen."""
    seen = Seen(chromium, stage)
    seen.log_in()
    yield seen
    seen.context.close()


@pytest.fixture(scope="module", params=SCREENS)
def screen(request: pytest.FixtureRequest, chromium: Any, stage: Stage) -> Iterator[Seen]:
    width, scheme = request.param
    seen = Seen(chromium, stage, width, color_scheme=scheme)
    seen.log_in()
    yield seen
    seen.context.close()


@pytest.fixture(scope="module", params=SCREENS)
def data_screen(request: pytest.FixtureRequest, chromium: Any, data_stage: Stage) -> Iterator[Seen]:
    width, scheme = request.param
    seen = Seen(chromium, data_stage, width, color_scheme=scheme)
    seen.log_in()
    yield seen
    seen.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_its_screen_and_nothing_complains(screen: Seen, path: str) -> None:
    check_fits(screen, path)


@pytest.mark.parametrize("path", DATA_PAGES)
def test_a_page_about_data_fits_its_screen_and_nothing_complains(
    data_screen: Seen, path: str
) -> None:
    check_fits(data_screen, path)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_passes_axe(screen: Seen, axe: str, path: str) -> None:
    check_accessible(screen, axe, path)


@pytest.mark.parametrize("path", DATA_PAGES)
def test_a_page_about_data_passes_axe(data_screen: Seen, axe: str, path: str) -> None:
    check_accessible(data_screen, axe, path)


def test_training_and_live_values_are_drawn_within_their_cell(data_screen: Seen) -> None:
    data_screen.page.goto(data_screen.stage.path("/services/{service}/data"))
    pictures = data_screen.page.locator("svg.pair")
    assert pictures.count() == 5
    for picture in pictures.all():
        cell, box = picture.locator("xpath=..").bounding_box(), picture.bounding_box()
        assert box["width"] > 100
        assert cell["x"] - 1 <= box["x"]
        assert box["x"] + box["width"] <= cell["x"] + cell["width"] + 1
        room = picture.locator("svg").evaluate("plot => plot.viewBox.baseVal.width")
        for line in picture.locator("path").all():
            drawn = line.evaluate("path => (b => [b.x, b.width, b.y])(path.getBBox())")
            assert drawn[:2] == [0, room]
            assert drawn[2] >= 0


def test_pages_about_data_read_the_same_without_script(chromium: Any, data_stage: Stage) -> None:
    texts = []
    for has_script in (True, False):
        seen = Seen(chromium, data_stage, java_script_enabled=has_script)
        seen.log_in()
        read = []
        for path in DATA_PAGES:
            seen.page.goto(data_stage.path(path))
            read.append(re.sub(r"\d+ s behind", "behind", text_of(seen)))
        texts.append(read)
        seen.context.close()
    assert texts[0] == texts[1]


def test_the_log_in_page_passes_axe_and_fits_a_phone(chromium: Any, stage: Stage, axe: str) -> None:
    seen = Seen(chromium, stage, PHONE)
    seen.page.goto(f"{stage.url}/login")
    seen.page.evaluate(axe)
    assert seen.page.evaluate("axe.run()")["violations"] == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert seen.complaints == []
    seen.context.close()


def test_who_is_sent_to_the_log_in_comes_back_to_where_they_wanted(
    chromium: Any, stage: Stage
) -> None:
    seen = Seen(chromium, stage)
    seen.page.goto(f"{stage.url}/requests?service=risk")
    assert "/login" in seen.page.url
    seen.page.get_by_label("Key").fill("rw_wrong")
    seen.page.get_by_role("button", name="Log in").click()
    assert seen.page.get_by_label("Key").get_attribute("aria-invalid") == "true"
    seen.page.get_by_label("Key").fill(stage.plane.secret)
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url(f"{stage.url}/requests?service=risk")
    seen.context.close()


def test_filters_are_filled_in_and_found_again_in_the_address(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    window.page.get_by_label("Service").select_option("risk")
    window.page.get_by_label("User").fill("u_3")
    window.page.get_by_role("button", name="Filter").click()
    assert "service=risk" in window.page.url
    assert "q=u_3" in window.page.url
    assert window.headline == "9 requests match."
    assert window.page.locator("tbody tr").count() == 9
    assert window.page.get_by_label("User").input_value() == "u_3"
    assert window.page.get_by_label("Service").input_value() == "risk"


def test_paging_goes_to_the_end_and_back_to_the_newest(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    first = window.page.locator("a.row").first.get_attribute("href")
    seen: list[str] = []
    while True:
        seen += [row.get_attribute("href") for row in window.page.locator("a.row").all()]
        older = window.page.get_by_role("link", name="Older")
        if not older.count():
            break
        older.click()
    assert len(seen) == len(set(seen)) == 91
    window.page.get_by_role("link", name="Newest").click()
    assert window.page.locator("a.row").first.get_attribute("href") == first


def test_a_row_opens_by_keyboard_and_by_a_click_anywhere_on_it(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    rows = window.page.locator("a.row")
    second = rows.nth(1).get_attribute("href")
    window.page.keyboard.press("j")
    window.page.keyboard.press("j")
    window.page.keyboard.press("Enter")
    window.page.wait_for_url(window.stage.url + second)
    window.page.go_back()
    cell = window.page.locator("tbody tr").nth(1).locator("td").nth(4).bounding_box()
    window.page.mouse.click(cell["x"] + 5, cell["y"] + 5)
    window.page.wait_for_url(window.stage.url + second)


def test_keys_in_a_field_are_only_text(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    field = window.page.get_by_label("Tag")
    field.press_sequentially("jkj")
    assert field.input_value() == "jkj"
    assert field.evaluate("field => field === document.activeElement")


def test_the_walk_is_drawn_on_one_clock(window: Seen) -> None:
    window.page.goto(window.stage.path("/requests/{answered}"))
    boxes = [bar.bounding_box() for bar in window.page.locator(".walk rect:not(.sub)").all()]
    lefts = [box["x"] for box in boxes]
    assert len(lefts) >= 4
    assert lefts == sorted(lefts)
    cell = window.page.locator("tbody .walkcell").first.bounding_box()
    assert all(cell["x"] - 1 <= box["x"] for box in boxes)
    assert all(box["x"] + box["width"] <= cell["x"] + cell["width"] + 1 for box in boxes)


def test_pages_read_and_act_without_script(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, java_script_enabled=False)
    seen.log_in()
    seen.page.goto(f"{stage.url}/requests")
    seen.page.get_by_label("Disposition").select_option("refused")
    seen.page.get_by_role("button", name="Filter").click()
    assert seen.headline == "1 request matches."
    seen.page.locator("a.row").click()
    assert seen.headline == "risk refused this request: the service is stopped."
    assert seen.page.locator(".walk rect").count() >= 1
    seen.context.close()


def test_a_revoked_key_ends_its_session(chromium: Any, stage: Stage) -> None:
    key, secret = stage.plane.make_key("read")
    seen = Seen(chromium, stage)
    seen.log_in(secret)
    seen.page.goto(f"{stage.url}/requests")
    assert seen.page.locator("a.row").count() == 40
    stage.plane.ask("DELETE", f"/api/keys/{key.id}")
    stage.plane.follow()
    seen.page.reload()
    assert "/login" in seen.page.url
    assert seen.page.locator("a.row").count() == 0
    seen.context.close()


def test_a_key_is_made_copied_and_revoked(window: Seen) -> None:
    page = window.page
    page.goto(f"{window.stage.url}/keys")
    page.get_by_label("Name, for people").fill("dashboard")
    page.get_by_label("read:").check()
    page.get_by_role("button", name="Make the key").click()
    secret = page.get_by_label("Secret").input_value()
    window.stage.plane.follow()
    assert window.stage.plane.ask("GET", "/api/requests", key=secret).status == 200
    page.get_by_role("link", name="To the keys").click()
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke dashboard").click()
    window.stage.plane.follow()
    assert window.stage.plane.ask("GET", "/api/requests", key=secret).status == 401


def test_a_secret_is_copied_with_a_click_and_a_reload_makes_no_second_key(window: Seen) -> None:
    page, plane = window.page, window.stage.plane
    page.goto(f"{window.stage.url}/keys")
    page.get_by_label("Name, for people").fill("copied")
    page.get_by_label("read:").check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("Copied.").wait_for()
    made = len(plane.get("/api/keys")["keys"])
    page.reload()
    page.get_by_text("This form had been sent before").wait_for()
    assert len(plane.get("/api/keys")["keys"]) == made


def text_of(seen: Seen) -> str:
    """Return what a person reads in the main part of the page, without its stamp and its id."""
    words = " ".join(str(seen.page.locator("main").inner_text()).split())
    return re.sub(r"\d\d:\d\d:\d\d UTC|pg_\w+", "", words)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_reads_the_same_without_script(
    chromium: Any, stage: Stage, window: Seen, path: str
) -> None:
    plain = Seen(chromium, stage, java_script_enabled=False)
    plain.log_in()
    plain.page.goto(stage.path(path))
    window.page.goto(stage.path(path))
    assert text_of(plain) == text_of(window)
    plain.context.close()


def test_the_first_paint_does_not_wait_for_the_script(window: Seen) -> None:
    held: list[Any] = []
    window.page.goto(f"{window.stage.url}/words")  # nothing of the log-in is under way any more
    window.page.route("**/*.js", lambda route: held.append(route))
    window.page.goto(f"{window.stage.url}/requests", wait_until="commit")
    window.page.locator("a.row").first.wait_for(state="visible")
    painted = """new Promise(done => new PerformanceObserver(() => done(true)).observe(
        {type: 'paint', buffered: true}))"""
    assert window.page.evaluate(painted)
    assert len(held) == 1
    held[0].continue_()


class Watched:
    """A page on a clock that the test moves, and how often it was asked for."""

    def __init__(self, seen: Seen, path: str) -> None:
        seen.page.clock.install()
        seen.page.goto(f"{seen.stage.url}{path}")
        self.page, self.asked = seen.page, 0
        self.page.on("request", self._count)

    def _count(self, request: Any) -> None:
        self.asked += request.resource_type == "fetch"

    def half_a_minute_later(self) -> int:
        """Let it pass, and return how often the page was asked for by then."""
        self.page.clock.run_for(31_000)
        self.page.wait_for_load_state("networkidle")
        return self.asked


def test_a_live_page_shows_what_is_new_and_keeps_its_place(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage)
    seen.log_in()
    watched = Watched(seen, "/requests?user=u_live")
    assert seen.headline == "No request matches."
    stage.plane.answer("risk", {"wind": 1.0}, user="u_live")
    assert watched.half_a_minute_later() == 1
    seen.page.locator("a.row").wait_for()
    assert seen.headline == "1 request matches."
    seen.page.keyboard.press("j")
    focused = "document.activeElement.getAttribute('href')"
    row = seen.page.evaluate(focused)
    assert row.startswith("/requests/rq_")
    assert watched.half_a_minute_later() == 2
    assert seen.page.evaluate(focused) == row
    assert seen.complaints == []
    seen.context.close()


def test_a_page_is_not_asked_for_while_somebody_types_or_looks_elsewhere(window: Seen) -> None:
    watched = Watched(window, "/requests")
    field = window.page.get_by_label("Tag")
    field.fill("half a wor")
    assert watched.half_a_minute_later() == 0
    assert field.input_value() == "half a wor"
    field.evaluate("field => field.blur()")
    window.page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})"
    )
    assert watched.half_a_minute_later() == 0
    window.page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => false, configurable: true})"
    )
    assert watched.half_a_minute_later() == 1


def test_an_older_page_stays_as_it_was(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    older = window.page.get_by_role("link", name="Older").get_attribute("href")
    assert Watched(window, older).half_a_minute_later() == 0


def test_a_live_page_whose_session_ended_goes_to_the_log_in(chromium: Any, stage: Stage) -> None:
    key, secret = stage.plane.make_key("read")
    seen = Seen(chromium, stage)
    seen.log_in(secret)
    watched = Watched(seen, "/requests")
    stage.plane.ask("DELETE", f"/api/keys/{key.id}")
    stage.plane.follow()
    watched.half_a_minute_later()
    seen.page.wait_for_url(re.compile(r"/login\?next=/requests$"))
    assert seen.page.locator("a.row").count() == 0
    seen.context.close()


def test_everything_is_reached_by_tab_and_shows_where_one_is(window: Seen) -> None:
    page = window.page
    page.goto(f"{window.stage.url}/requests")
    reached: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
                const at = document.activeElement, style = getComputedStyle(at);
                return [at.className || at.name || at.textContent.trim(), style.outlineStyle,
                        parseFloat(style.outlineWidth)];
            }"""
        )
        assert place[1] != "none", place
        assert place[2] >= 1, place
        reached.append(place[0])
    assert reached[0] == "skip"
    wanted = ["brand", "Requests", "Log out", "service", "disposition", "since", "tag", "row id"]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)


def test_a_filter_and_a_row_are_used_by_tab_and_enter_alone(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, java_script_enabled=False)
    page = seen.page
    page.goto(f"{stage.url}/login")
    page.locator("#key:focus").wait_for()  # the page gives it the focus
    page.keyboard.insert_text(stage.plane.secret)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.url}/")
    page.goto(f"{stage.url}/requests")
    page.get_by_label("User").focus()
    page.keyboard.insert_text("u_3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests?*q=u_3*")
    row = page.locator("a.row").first
    for _ in range(40):
        page.keyboard.press("Tab")
        if row.evaluate("row => row === document.activeElement"):
            break
    target = row.get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.url}{target}")
    seen.context.close()


def test_a_wrong_field_has_the_focus_and_keeps_what_was_typed(window: Seen) -> None:
    page = window.page
    page.goto(f"{window.stage.url}/keys")
    page.get_by_label("Name, for people").fill("dashboard")
    page.get_by_label("read:").check()
    page.get_by_label("Ends, UTC").fill("2001-01-31T14:00")
    page.get_by_role("button", name="Make the key").click()
    wrong = page.get_by_label("Ends, UTC")
    assert wrong.evaluate("field => field === document.activeElement")
    assert wrong.input_value() == "2001-01-31T14:00"
    assert wrong.bounding_box()["y"] < 900
    assert "Expected a UTC time to come" in page.locator("#wrong").inner_text()
    assert page.get_by_label("Name, for people").input_value() == "dashboard"
    assert page.get_by_label("read:").is_checked()
    wrong.fill("2098-01-31T14:00")
    page.get_by_role("button", name="Make the key").click()
    assert page.get_by_label("Secret").input_value().startswith("rw_")
    assert window.complaints == []


def test_the_head_of_a_long_list_stays_in_sight(window: Seen) -> None:
    window.page.goto(f"{window.stage.url}/requests")
    window.page.locator("a.row").last.scroll_into_view_if_needed()
    head = window.page.locator(".sticky thead th").first.bounding_box()
    assert -1 <= head["y"] < 5


def test_what_one_touches_on_a_phone_is_large_enough(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, PHONE, has_touch=True)
    seen.log_in()
    for path in ("/requests", "/keys", "/services/reply"):
        seen.page.goto(stage.path(path))
        kinds = "main :is(button, select, summary, input:not([type=hidden], [type=checkbox]))"
        boxes = [part.bounding_box() for part in seen.page.locator(kinds).all()]
        assert [box for box in boxes if box and box["height"] < 44] == [], path
    seen.context.close()


def test_pictures_on_a_phone_are_whole_and_keep_to_the_margin(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, PHONE)
    seen.log_in()
    seen.page.goto(stage.path("/services/risk"))
    cut = seen.page.locator(".scroll").all()
    edges = [(box["x"], box["x"] + box["width"]) for box in (part.bounding_box() for part in cut)]
    dots = [dot.bounding_box() for dot in seen.page.locator(".stack .point").all()]
    assert dots
    left, right = edges[0]
    assert [d for d in dots if d["x"] < left or d["x"] + d["width"] > right] == []
    margin = seen.page.locator("h1").bounding_box()["x"]
    words = [word.bounding_box() for word in seen.page.locator(".plot .tick").all()]
    assert [word for word in words if word["x"] < margin - 1] == []
    seen.context.close()


def test_words_on_a_phone_have_room_for_sentences(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, PHONE)
    seen.log_in()
    seen.page.goto(stage.path("/words"))
    meanings = [cell.bounding_box() for cell in seen.page.locator(".words td:nth-child(2)").all()]
    assert min(box["width"] for box in meanings) > 300
    seen.context.close()


def test_a_printed_page_is_paper_with_ink_and_without_levers(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, color_scheme="dark")
    seen.log_in()
    seen.page.goto(f"{stage.url}/services/reply")
    seen.page.emulate_media(media="print", color_scheme="dark")
    ground, ink = seen.page.evaluate(
        "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
    )
    assert (ground, ink) == ("rgb(255, 255, 255)", "rgb(21, 25, 30)")
    assert seen.page.get_by_role("button").filter(visible=True).count() == 0
    assert seen.page.locator("nav").filter(visible=True).count() == 0
    assert seen.page.locator("h1").is_visible()
    seen.context.close()


def test_nothing_on_a_page_moves_by_itself(window: Seen) -> None:
    for path in PAGES:
        window.page.goto(window.stage.path(path))
        assert window.page.evaluate("document.getAnimations().length") == 0
        moving = """[...document.querySelectorAll('*')].filter(one => {
            const style = getComputedStyle(one);
            return style.animationName !== 'none' || style.transitionDuration !== '0s'
                || style.scrollBehavior !== 'auto';
        }).length"""
        assert window.page.evaluate(moving) == 0


def test_a_key_of_several_services_has_pages_that_fit_it(chromium: Any, stage: Stage) -> None:
    _, secret = stage.plane.make_key("read", "admin", services=["reply", "risk"])
    seen = Seen(chromium, stage)
    seen.log_in(secret)
    words = seen.page.get_by_role("navigation", name="Pages").inner_text().split()
    assert words == ["Home", "Requests", "Releases", "Costs"]
    for word in words:
        seen.page.get_by_role("link", name=word, exact=True).click()
        shown = seen.page.locator("main").inner_text()
        assert "risk" in shown, word
        assert "reply" in shown, word
    seen.page.goto(f"{stage.url}/requests")
    assert seen.page.get_by_label("Service").locator("option").all_inner_texts() == [
        "any",
        "reply",
        "risk",
    ]
    assert seen.complaints == []
    seen.context.close()
