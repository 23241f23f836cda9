"""The victim's browser: opens what it is told, signs in as `demo` and allows, and follows redirects on loopback."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

from lexoffice_nb.sandbox.person import _Forms
from lexoffice_nb.sandbox.workshop.journal import place
from lexoffice_nb.sandbox.workshop.untrusted import ADDRESSES, cookies_of, loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox.workshop.journal import Marks

MOST_STEPS = 10
MOST_SECONDS = 10.0
_MOST_OCTETS = 1 << 18
_CLICKS = {("person", "demo"), ("decision", "allow")}
_MOST_COOKIES = 20
_UNQUOTED = "%/:=&?~#+!$,;'@()*[]"


class NotLoopback(ValueError):
    """The URL leads off this machine."""


@dataclass(frozen=True)
class Visit:
    """Where the browser ended: origin and path, and the status of that page, or None if nothing answered there."""

    ended_at: str
    status: int | None


class _Cookies:
    """The cookies of one round, by host and port.

    Cookies ignore ports (RFC 6265, section 8.5), so every program of this machine could set those of the app. Here
    ports stand for what on the web are hosts, and there no stranger sets another host's cookies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, str]] = {}

    def header(self, place: str) -> str:
        with self._lock:
            return "; ".join(f"{name}={value}" for name, value in self._of.get(place, {}).items())

    def take(self, place: str, lines: list[str]) -> None:
        with self._lock:
            known = self._of.setdefault(place, {})
            for name, value in cookies_of(lines).items():
                if name in known or len(known) < _MOST_COOKIES:
                    known[name] = value


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
        self._cookies = _Cookies()

    def forget_cookies(self) -> None:
        """Be a new browser: what the former one was still opening ends before its next request."""
        with self._lock:
            self._cookies = _Cookies()

    def open(self, url: str) -> Visit:
        """Open a link, and go on until there is nothing to follow or to click.

        It gives up after `MOST_STEPS` requests or `MOST_SECONDS`.

        Raises:
            NotLoopback: The link itself leads off this machine; a redirect that does is not followed.
        """
        if loopback(url) is None:
            raise NotLoopback
        cookies = self._cookies
        deadline = time.monotonic() + MOST_SECONDS
        form: str | None = None
        visit = Visit(place(url), None)
        for _ in range(MOST_STEPS):
            page = self._request(url, form, deadline, cookies)
            if page is None:
                return Visit(place(url), None)
            visit = Visit(place(url), page.status)
            if page.location is not None:
                onward = _joined(url, page.location)
                if onward is None:
                    return visit
                url, form = onward, None
                with self._lock:  # so that a new round begins before what is seen here, or after it
                    if cookies is not self._cookies:
                        return visit
                    arrives = self._goes_to(url)
                if not arrives:
                    return Visit(place(url), None)
                continue
            clicked = self._click(page)
            if clicked is None or cookies is not self._cookies:
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

    def _request(self, url: str, form: str | None, deadline: float, cookies: _Cookies) -> _Page | None:
        parts = loopback(url)
        if parts is None or parts.hostname is None:
            return None
        port = parts.port or 80
        for address in ADDRESSES[parts.hostname]:
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
                page = self._talk(connection, (address, port), parts, form, cookies)
            except (OSError, http.client.HTTPException, ValueError):
                return None  # cut off, or no HTTP
            else:
                return page if time.monotonic() < deadline else None
            finally:
                alarm.cancel()
                connection.close()
        return None

    def _talk(
        self,
        connection: http.client.HTTPConnection,
        address: tuple[str, int],
        parts: SplitResult,
        form: str | None,
        cookies: _Cookies,
    ) -> _Page:
        host = f"{parts.hostname}:{address[1]}"
        headers = {"Host": parts.netloc, "Accept": "text/html", "Cookie": cookies.header(host)}
        if form is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": _origin(parts.geturl())}
        if address in self._ours():
            headers |= self._marks.new("browser", "victim")
        target = quote(_without_dots(parts.path) or "/", safe=_UNQUOTED)
        if parts.query:
            target += "?" + quote(parts.query, safe=_UNQUOTED)
        connection.request("GET" if form is None else "POST", target, form, headers)
        answer = connection.getresponse()
        cookies.take(host, answer.headers.get_all("Set-Cookie", []))
        location = answer.getheader("Location") if 300 <= answer.status < 400 else None
        body = "" if location else answer.read(_MOST_OCTETS).decode("utf-8", "replace")
        return _Page(parts.geturl(), answer.status, location, body)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was first
        connection.shutdown(socket.SHUT_RDWR)


def _joined(url: str, location: str) -> str | None:
    """Where a redirect leads; None if that is off this machine, or no URL at all."""
    try:
        onward = urljoin(url, location)
    except ValueError:
        return None
    return None if loopback(onward) is None else onward


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
