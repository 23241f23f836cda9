"""The victim's browser: opens what it is told, signs in as `demo` and allows, and follows redirects on loopback."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

from lexoffice_nb.sandbox.person import _Forms
from lexoffice_nb.sandbox.workshop.journal import place
from lexoffice_nb.sandbox.workshop.serving import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox.workshop.journal import Marks

MOST_STEPS = 10
MOST_SECONDS = 10.0
_MOST_OCTETS = 1 << 18
_CLICKS = {("person", "demo"), ("decision", "allow")}
# In the order in which a browser tries them; `localhost` is both (RFC 6761, section 6.3).
_ADDRESSES = {"127.0.0.1": (IPV4,), "::1": (IPV6,), "localhost": (IPV6, IPV4)}
_UNQUOTED = "%/:=&?~#+!$,;'@()*[]"


class NotLoopback(ValueError):
    """The URL leads off this machine."""


@dataclass(frozen=True)
class Visit:
    """Where the browser ended: origin and path, and the status of that page, or None if nothing answered there."""

    ended_at: str
    status: int | None


@dataclass(frozen=True)
class _Page:
    url: str
    status: int
    location: str | None
    body: str


class VictimBrowser:
    """A browser with cookies.

    Args:
        marks: Mark its requests to the servers of this world.
        ours: The addresses (IP address and port) of those servers, at this moment.
        pages: The origins on whose forms it clicks, at this moment.
        goes_to: Is told each URL that a redirect leads to; if it says False, the request never arrives.
    """

    def __init__(
        self,
        marks: Marks,
        ours: Callable[[], set[tuple[str, int]]],
        pages: Callable[[], set[str]],
        goes_to: Callable[[str], bool],
    ) -> None:
        self._marks = marks
        self._ours = ours
        self._pages = pages
        self._goes_to = goes_to
        self._lock = threading.Lock()
        self._cookies: dict[str, dict[str, str]] = {}  # by host: cookies ignore ports (RFC 6265, section 8.5)

    def forget_cookies(self) -> None:
        """Be a new browser."""
        with self._lock:
            self._cookies.clear()

    def open(self, url: str) -> Visit:
        """Open a link, and go on until there is nothing to follow or to click.

        It gives up after `MOST_STEPS` requests or `MOST_SECONDS`.

        Raises:
            NotLoopback: The link itself leads off this machine; a redirect that does is not followed.
        """
        if _parts(url) is None:
            raise NotLoopback
        deadline = time.monotonic() + MOST_SECONDS
        form: str | None = None
        visit = Visit(place(url), None)
        for _ in range(MOST_STEPS):
            page = self._request(url, form, deadline)
            if page is None:
                return Visit(place(url), None)
            visit = Visit(place(url), page.status)
            if page.location is not None:
                url, form = urljoin(url, page.location), None
                if _parts(url) is None:
                    return visit
                if not self._goes_to(url):
                    return Visit(place(url), None)
                continue
            clicked = self._click(page)
            if clicked is None:
                return visit
            url, form = clicked
        return visit

    def _click(self, page: _Page) -> tuple[str, str] | None:
        if _origin(page.url) not in self._pages() or page.status != 200:
            return None
        parser = _Forms()
        parser.feed(page.body)
        for form in parser.forms:
            for button in form.buttons:
                if button in _CLICKS:
                    return urljoin(page.url, form.action), urlencode({**form.fields, button[0]: button[1]})
        return None

    def _request(self, url: str, form: str | None, deadline: float) -> _Page | None:
        parts = _parts(url)
        if parts is None or parts.hostname is None:
            return None
        port = parts.port or 80
        for address in _ADDRESSES[parts.hostname]:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            connection = http.client.HTTPConnection(address, port, timeout=left)
            try:
                connection.connect()
            except OSError:  # nobody there: the next address of the name
                connection.close()
                continue
            # The time-out of a socket is for each read; a page that drips would hold the browser for ever.
            alarm = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, [connection.sock])
            alarm.daemon = True
            alarm.start()
            try:
                page = self._talk(connection, (address, port), parts, form)
            except (OSError, http.client.HTTPException, ValueError):
                return None  # cut off, or no HTTP
            else:
                return page if time.monotonic() < deadline else None
            finally:
                alarm.cancel()
                connection.close()
        return None

    def _talk(
        self, connection: http.client.HTTPConnection, address: tuple[str, int], parts: SplitResult, form: str | None
    ) -> _Page:
        host = parts.hostname or ""
        headers = {"Host": parts.netloc, "Accept": "text/html", "Cookie": self._cookie_header(host)}
        if form is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": _origin(parts.geturl())}
        if address in self._ours():
            headers |= self._marks.new("browser", "victim")
        target = quote(_without_dots(parts.path) or "/", safe=_UNQUOTED)
        if parts.query:
            target += "?" + quote(parts.query, safe=_UNQUOTED)
        connection.request("GET" if form is None else "POST", target, form, headers)
        answer = connection.getresponse()
        self._take_cookies(host, answer.headers.get_all("Set-Cookie", []))
        location = answer.getheader("Location") if 300 <= answer.status < 400 else None
        body = "" if location else answer.read(_MOST_OCTETS).decode("utf-8", "replace")
        return _Page(parts.geturl(), answer.status, location, body)

    def _cookie_header(self, host: str) -> str:
        with self._lock:
            return "; ".join(f"{name}={value}" for name, value in self._cookies.get(host, {}).items())

    def _take_cookies(self, host: str, lines: list[str]) -> None:
        for line in lines:
            try:
                cookies = SimpleCookie(line)
            except CookieError:
                continue
            with self._lock:
                self._cookies.setdefault(host, {}).update({name: each.value for name, each in cookies.items()})


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was first
        connection.shutdown(socket.SHUT_RDWR)


def _parts(url: str) -> SplitResult | None:
    """A URL of this machine in its parts, without its fragment; None for every other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in _ADDRESSES or "@" in parts.netloc or port == 0:
        return None
    return parts._replace(fragment="")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _without_dots(path: str) -> str:
    """A path without `.` and `..`, written with percent signs or not, as every browser sends it."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        plain = segment.lower().replace("%2e", ".")
        last = number == len(segments) - 1
        if plain == "..":
            kept = kept[:-1]
        elif plain != ".":
            kept.append(segment)
            continue
        if last:
            kept.append("")
    return "/" + "/".join(kept)
