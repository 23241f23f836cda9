"""A scripted person: opens the login link, signs in and decides, over real HTTP, as a browser would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

_MOST_STEPS = 10
_TIMEOUT = 10


class SignInFailed(RuntimeError):
    """The pages did not lead to a redirect; the message says where it ended."""


@dataclass
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(given.get("action", "")))
        elif self.forms and tag == "input" and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif self.forms and tag == "button" and "name" in given:
            self.forms[-1].buttons.append((given["name"], given.get("value", "")))


def sign_in(login_url: str, person: str = "demo", allow: bool = True) -> str:
    """Sign in as a person of the sandbox and allow, or refuse, what the login link asks for.

    Args:
        login_url: The authorization request (RFC 6749, section 4.1.1).
        person: `demo` or `kanzlei`.
        allow: Whether to allow.

    Returns:
        The redirect to the redirect URI, with a code or an error. It is not fetched.

    Raises:
        SignInFailed: The server showed an error page, or none of its pages could be used.
    """
    clicks = {("person", person), ("decision", "allow" if allow else "refuse")}
    with requests.Session() as browser:
        browser.trust_env = False  # no proxy and no netrc between us and our own machine
        response = browser.get(login_url, allow_redirects=False, timeout=_TIMEOUT)
        for _ in range(_MOST_STEPS):
            if response.is_redirect:
                location = urljoin(response.url, response.headers["Location"])
                if _origin(location) != _origin(login_url):
                    return location
                response = browser.get(location, allow_redirects=False, timeout=_TIMEOUT)
                continue
            response = _submit(browser, response, clicks)
    raise SignInFailed("the sign-in went round in circles")


def _submit(browser: requests.Session, page: requests.Response, clicks: set[tuple[str, str]]) -> requests.Response:
    parser = _Forms()
    parser.feed(page.text)
    for form in parser.forms:
        for button in form.buttons:
            if page.ok and button in clicks:
                return browser.post(
                    urljoin(page.url, form.action),
                    data={**form.fields, button[0]: button[1]},
                    headers={"Origin": _origin(page.url)},
                    allow_redirects=False,
                    timeout=_TIMEOUT,
                )
    raise SignInFailed(f"the page {urlsplit(page.url).path} ({page.status_code}) has no form for this person's choice")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
