"""A scripted person: opens the login link, signs in and decides, over real HTTP, as a browser would."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import threading
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_STEPS = 10
_TIMEOUT = 10
_VALUE = re.compile(r'=[^&\s"]*')
_changing_filters = threading.Lock()


class _QuietConnection(HTTPConnection):
    # `http.client` prints each header and body where this is set for all, which is the usual advice for debugging.
    debuglevel = 0


class _QuietAdapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *arguments: Any, **more: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **more)
        # The usual recipe to have it in a log gives the module a `print` of its own: then it is that log's to hide.
        if not hasattr(http.client, "print"):
            pool.ConnectionCls = _QuietConnection
        return pool


class _Dots(logging.Filter):
    """Puts dots for the values of queries into what this thread logs."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() == self._thread:
            record.msg = _dotted(record.msg)  # another filter may have put the arguments into it already
            if isinstance(record.args, tuple):
                record.args = tuple(map(_dotted, record.args))
        return True


def _dotted(value: object) -> Any:
    return _VALUE.sub("=••••", value) if isinstance(value, str) else value


@contextlib.contextmanager
def _discreet() -> Iterator[None]:
    """Keeps state, challenge and code out of urllib3's lines at DEBUG, which are the URLs of all requests."""
    logger, dots = logging.getLogger("urllib3.connectionpool"), _Dots()
    with _changing_filters:
        logger.filters = [*logger.filters, dots]  # another list: other threads may be going through the former one
    try:
        yield
    finally:
        with _changing_filters:
            logger.filters = [each for each in logger.filters if each is not dots]


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
    with _discreet(), requests.Session() as browser:
        browser.trust_env = False  # no proxy and no netrc between us and our own machine
        browser.mount("http://", _QuietAdapter())
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
