"""Windows of a real browser, what they complain about, and whether a page is accessible."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

import pytest

from control_plane import Plane

playwright = pytest.importorskip("playwright.sync_api", reason="needs `make setup`: playwright")

NO_BROWSER = "needs a browser: `make setup` brings one, or `apt-get install chromium`"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = "axe-core@4.14.1"
WIDE, PHONE = 1440, 390
SCREENS = [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")]


class Served(Protocol):
    """A served project, and where it listens.

    Attributes:
        url: Without a slash at its end.
    """

    plane: Plane
    url: str

    def path(self, page: str) -> str:
        """Return where a page is, with the ids of this stage."""


def give_up(reason: str) -> None:
    """Skip what cannot be tested on this machine; where everything must be tested, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def browser_open() -> Iterator[Any]:
    """Start Debian's chromium, or Playwright's own."""
    with playwright.sync_playwright() as started:
        path = shutil.which("chromium") or started.chromium.executable_path
        if not Path(path).exists():
            give_up(NO_BROWSER)
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def axe_source() -> str:
    """Return the accessibility checker, which npm brings once into a folder of its own."""
    folder = Path(gettempdir()) / "roadworthy-axe"
    file = folder / f"{AXE}.js"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            give_up("needs npm to bring axe-core")
        packed = subprocess.run(
            [str(npm), "pack", "--silent", AXE],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if packed.returncode:
            give_up(f"npm could not bring {AXE}: {packed.stderr[-200:]}")
        with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
            source = archive.extractfile("package/axe.min.js")
            assert source is not None
            file.write_bytes(source.read())
    return file.read_text()


class Seen:
    """A window of the browser: what it complained about, and what it asked others for."""

    def __init__(self, chromium: Any, stage: Served, width: int = WIDE, **more: Any) -> None:
        self.stage = stage
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, **more)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note_request)

    def _note(self, message: Any) -> None:
        # The one complaint that is no fault: the page itself is a 404, or says what is wrong.
        is_own = "404 (Not Found)" in message.text or "400 (Bad Request)" in message.text
        if message.type in ("error", "warning") and not is_own:
            self.complaints.append(message.text)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((self.stage.url, "data:")):
            self.complaints.append(f"asked for {request.url}")

    def log_in(self, secret: str | None = None) -> None:
        self.page.goto(f"{self.stage.url}/login")
        self.page.get_by_label("Key").fill(secret or self.stage.plane.secret)
        self.page.get_by_role("button", name="Log in").click()

    @property
    def headline(self) -> str:
        return str(self.page.locator("h1").inner_text())


def check_fits(screen: Seen, path: str) -> None:
    """Check that a page is there, no wider than its screen, and that nothing complains."""
    screen.complaints.clear()
    response = screen.page.goto(screen.stage.path(path))
    assert response.status == (404 if "gone" in path else 400 if "lost" in path else 200)
    assert screen.headline
    room = screen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert room[0] <= room[1]
    assert screen.complaints == []


def check_accessible(screen: Seen, axe: str, path: str) -> None:
    """Check that axe finds no fault on a page, with all that can be opened on it open."""
    screen.page.goto(screen.stage.path(path))
    for details in screen.page.locator("details").all():
        details.evaluate("part => part.open = true")
    screen.page.evaluate(axe)
    found = screen.page.evaluate("axe.run()")
    faults = [
        f"{fault['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
        for fault in found["violations"]
        for node in fault["nodes"][:3]
    ]
    assert faults == []
    assert found["passes"]
