"""The site that `make docs` builds reads without a network: it is opened as files, in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doc_pages import DOCS, ROOT

pytest.importorskip("sphinx", reason="needs `make docs`: sphinx")
pytest.importorskip("furo", reason="needs `make docs`: furo")
playwright = pytest.importorskip("playwright.sync_api", reason="needs `make setup`: playwright")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE, PHONE = 1440, 390
ALL = sorted(path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md"))

pytestmark = pytest.mark.slow
in_a_browser = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="needs chromium: `apt-get install chromium`"
)


def build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Build a site with the words of the Makefile."""
    recipe = re.search(r"sphinx-build (.+) -d ", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert recipe is not None
    command = [sys.executable, "-m", "sphinx", *recipe[1].split()]
    folders = ["-d", str(into / "doctrees"), str(source), str(into / "site")]
    return subprocess.run([*command, *folders], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("built")
    done = build(DOCS, into)
    assert done.returncode == 0, done.stderr
    return into / "site"


class Reader:
    """A window of a browser that notes what it complains about and what it asks others for."""

    def __init__(self, context: Any, site: Path) -> None:
        self.page = context.new_page()
        self.trouble: list[str] = []
        self._site = site
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((f"file://{self._site}/", "data:")):
            self.trouble.append(f"asked for {request.url}")

    def open(self, name: str) -> None:
        """Open a page of the site as a file."""
        self.page.goto(f"file://{self._site}/{name}")

    def text(self) -> str:
        """Return what is read on the page itself, without its side bars."""
        return str(self.page.inner_text("article"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def reader(browser: Any, site: Path) -> Iterator[Reader]:
    context = browser.new_context(viewport={"width": WIDE, "height": 900})
    yield Reader(context, site)
    context.close()


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    assert [name for name in ALL if not (site / name).is_file()] == []


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("__pycache__"))
    page = source / "explanation" / "money.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n[nowhere](../nowhere.md) ![none](../images/none.png)\n", "utf-8")
    done = build(source, tmp_path)
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "none.png" in done.stderr


@in_a_browser
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("index.html", "Your first service"),
        ("tutorial/first-service.html", "roadworthy init shop"),
        ("reference/declaration.html", "objectives.deadline_ms"),
        ("reference/http-api.html", "POST /v1/chat/completions"),
    ],
)
def test_a_page_reads_from_a_file(reader: Reader, name: str, says: str) -> None:
    reader.open(name)
    assert says in reader.text()
    assert reader.trouble == []


@in_a_browser
def test_every_page_shows_its_pictures_and_asks_nobody(reader: Reader) -> None:
    pictures = 0
    for name in ALL:
        reader.open(name.as_posix())
        images = reader.page.locator("article img")
        pictures += images.count()
        unread = images.evaluate_all("all => all.filter(one => !one.naturalWidth).length")
        assert unread == 0, name
    assert pictures > 0
    assert reader.trouble == []


@in_a_browser
def test_the_search_finds_a_page_without_a_network(reader: Reader) -> None:
    reader.open("search.html?q=ceiling")
    found = reader.page.locator("#search-results a")
    found.first.wait_for()
    assert "Keep costs under a ceiling" in found.all_inner_texts()
    assert reader.trouble == []


@in_a_browser
def test_a_page_is_read_on_a_phone_without_scrolling_sideways(browser: Any, site: Path) -> None:
    context = browser.new_context(viewport={"width": PHONE, "height": 800})
    reader = Reader(context, site)
    for name in ALL:
        reader.open(name.as_posix())
        wide = reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE, name
    context.close()


@in_a_browser
def test_the_site_is_dark_where_the_reader_is(browser: Any, site: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        reader = Reader(context, site)
        reader.open("index.html")
        seen[scheme] = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        context.close()
    assert seen["light"] == "rgb(255, 255, 255)"
    assert seen["dark"] != seen["light"]
