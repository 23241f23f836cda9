"""A scripted person with a browser: opens the login link, signs in, allows or denies."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

_MOST_PAGES = 5
_MOST_REDIRECTS = 10
_TIMEOUT = 10


class NoWayOn(RuntimeError):
    """The provider showed a page that leads nowhere; the message is what it says."""


class _Page(HTMLParser):
    """The form of a page, the link to cancel, and the heading."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.heading, self.text = "", ""
        self.action: str | None = None
        self.cancel: str | None = None
        self.fields: dict[str, str] = {}
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._within = tag
        if tag == "form":
            self.action = given.get("action", "")
        elif tag in ("input", "button") and "name" in given:
            self.fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "a" and self.cancel is None:
            self.cancel = given.get("href", "")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "h1":
            self.heading += data
        if self._within not in ("style", "script"):
            self.text += data

    @property
    def asks_for_consent(self) -> bool:
        return self.fields.get("prompt") == "consent"


class Person:
    """A person at a browser that keeps its cookies until it is closed.

        with Person() as petra:
            callback_url = petra.allow(attempt.get_login_url())

    Attributes:
        pages: the headings of the pages that the last link led through.
    """

    def __init__(self, name: str = "petra") -> None:
        self.name = name
        self.pages: list[str] = []
        self._browser = requests.Session()
        self._browser.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def allow(self, login_url: str) -> str:
        """Signs in and allows; gives the URL that the browser is sent to, which is not opened."""
        return self._answer(login_url, allow=True)

    def deny(self, login_url: str) -> str:
        """Signs in and denies; gives the URL that the browser is sent to, which is not opened."""
        return self._answer(login_url, allow=False)

    def sign_out(self, end_session_url: str) -> None:
        """Opens the provider's log-out page and confirms (OpenID Connect RP-Initiated Logout)."""
        self.pages = []
        page = self._follow(self._open("GET", end_session_url), "")
        assert not isinstance(page, str)
        self._follow(self._fill_in(page), "")

    def _answer(self, login_url: str, *, allow: bool) -> str:
        redirect_uri = parse_qs(urlsplit(login_url).query).get("redirect_uri", [""])[0]
        self.pages = []
        response = self._open("GET", login_url)
        for _ in range(_MOST_PAGES):
            reached = self._follow(response, redirect_uri)
            if isinstance(reached, str):
                return reached
            page = _Page(reached.text)
            if page.asks_for_consent and not allow:
                response = self._open("GET", urljoin(reached.url, page.cancel))
            else:
                response = self._fill_in(reached)
        raise NoWayOn(f"more pages than there should be: {self.pages}")

    def _follow(self, response: requests.Response, redirect_uri: str) -> requests.Response | str:
        """Follows redirects to the next page, or gives the one that leads to the redirect URI."""
        for _ in range(_MOST_REDIRECTS):
            if not response.is_redirect:
                page = _Page(response.text)
                if not response.ok:
                    raise NoWayOn(f"{response.status_code}: {' '.join(page.text.split())}")
                self.pages.append(page.heading)
                return response
            target = urljoin(response.url, response.headers["Location"])
            if target.partition("?")[0] == redirect_uri.partition("?")[0]:
                return target
            response = self._open("GET", target)
        raise NoWayOn("redirects without end")

    def _fill_in(self, response: requests.Response) -> requests.Response:
        page = _Page(response.text)
        if page.action is None:
            raise NoWayOn(" ".join(page.text.split()))
        typed = {"login": self.name, "password": "good"}
        fields = {name: typed.get(name, value) for name, value in page.fields.items()}
        return self._open("POST", urljoin(response.url, page.action), data=fields)

    def _open(self, method: str, url: str, **options: Any) -> requests.Response:
        return self._browser.request(method, url, allow_redirects=False, timeout=_TIMEOUT, **options)
