"""A browser without a screen: keeps cookies, follows redirects, reads forms, sends them."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

from control_plane import Answer, Plane

ACCEPT = {b"accept": b"text/html,application/xhtml+xml,*/*;q=0.8"}


class Browser:
    """Looks at the pages of a plane."""

    def __init__(self, plane: Plane, **headers: str) -> None:
        self.plane = plane
        self.cookies: dict[str, str] = {}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def log_in(self, secret: str, target: str = "/") -> Answer:
        """Fill in the form of the log-in page and send it."""
        self.get(f"/login?next={target}")
        return self.post("/login", key=secret, next=target, csrf=self.token)

    def get(self, target: str) -> Answer:
        """Ask for a page and keep what it says."""
        return self._ask("GET", target)

    def follow(self, target: str) -> Answer:
        """Ask for a page, and go where one is sent."""
        answer = self.get(target)
        while answer.status == 303:
            answer = self.get(answer.headers["location"].partition("#")[0])
        return answer

    def post(self, target: str, **fields: Any) -> Answer:
        """Send a form with just these fields."""
        return self._ask("POST", target, urlencode(fields, doseq=True).encode())

    def submit(self, target: str, **fields: Any) -> Answer:
        """Send a form with these fields and the tokens of the page that was seen last."""
        return self.post(target, csrf=self.token, **self.once_for(target), **fields)

    def once_for(self, target: str) -> dict[str, str]:
        """Return the field that a form has which may be sent once; the others have none."""
        found = re.search(r'name="once" value="([^"]+)"', self.page)
        return {"once": found[1]} if found and target == "/keys" else {}

    @property
    def token(self) -> str:
        """The token of the forms of the page that was seen last."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page)
        assert found is not None, self.page
        return found[1]

    @property
    def text(self) -> str:
        """What a person reads on the page that was seen last."""
        shown = re.sub(r"<(head|script|style)\b.*?</\1>", " ", self.page, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", "", shown)).split())

    @property
    def heading(self) -> str:
        """The h1 of the page that was seen last."""
        found = re.search(r"<h1>(.*?)</h1>", self.page, re.DOTALL)
        assert found is not None
        return html.unescape(found[1])

    def _ask(self, method: str, target: str, body: bytes | None = None) -> Answer:
        headers = {**ACCEPT, **{k.encode(): v.encode() for k, v in self.headers.items()}}
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers[b"cookie"] = pairs.encode()
        answer = self.plane.ask(method, target, body, key="", headers=headers)
        if "set-cookie" in answer.headers:
            name, _, rest = answer.headers["set-cookie"].partition("=")
            self.cookies[name] = rest.partition(";")[0]
            if "Max-Age=0" in rest:
                del self.cookies[name]
        self.page = answer.body.decode()
        return answer
