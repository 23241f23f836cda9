"""The browser's side of a sign-in: its cookie, its forms' protection, and the requests that wait for a person."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import g, request

from lexoffice_nb.sandbox.database import digest, new_secret
from lexoffice_nb.sandbox.people import PEOPLE, Person

if TYPE_CHECKING:
    from flask import Response

    from lexoffice_nb.sandbox.authorization import Issuer
    from lexoffice_nb.sandbox.sessions import Sessions

WAITING_LIFE = 15 * 60
_MOST_WAITING = 500
_MOST_PER_BROWSER = 20
# How certain it is that a person is waiting. A cookie that comes with a request proves nothing: anybody can invent one.
_NEW, _CAME_BACK, _SIGNED_IN = range(3)


@dataclass(frozen=True)
class WaitingRequest:
    """A valid authorization request that waits for its person's sign-in and consent.

    Attributes:
        issuer: The authorization server that it was sent to.
        parameters: The request as it was sent.
        browser: Digest of the cookie of the browser that brought it.
        fresh_since: The person must have signed in at or after this time (`prompt=login`, `max_age`).
        created: When it came.
        rank: Whether its browser has come back for it with the cookie, or is signed in.
    """

    issuer: Issuer
    parameters: dict[str, str]
    browser: str
    fresh_since: float
    created: float
    rank: int = _NEW


class WaitingRequests:
    """Authorization requests between the link and the consent; in memory, because they live for minutes.

    There is room for so many of one browser, and for so many of all. Where there is no more, those go first whose
    browser never came back, so that a flood of requests without cookies cannot push out the one that a person is
    looking at; among equals the one goes that was not used for longest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, WaitingRequest] = {}

    def add(
        self, issuer: Issuer, parameters: dict[str, str], cookie: str, fresh_since: float, *, signed_in: bool
    ) -> str:
        """Keep a request for this browser; returns its handle."""
        handle, now, browser = new_secret(), time.time(), digest(cookie)
        with self._lock:
            alive = {h: w for h, w in self._waiting.items() if w.created > now - WAITING_LIFE}
            own = [h for h, w in alive.items() if w.browser == browser]
            for oldest in own[: max(0, len(own) + 1 - _MOST_PER_BROWSER)]:
                del alive[oldest]
            while len(alive) >= _MOST_WAITING:
                del alive[min(alive, key=lambda h: alive[h].rank)]  # the first of the lowest: order is order of use
            rank = _SIGNED_IN if signed_in else _NEW
            alive[handle] = WaitingRequest(issuer, parameters, browser, fresh_since, now, rank)
            self._waiting = alive
        return handle

    def get(self, handle: str, cookie: str) -> WaitingRequest | None:
        """The request of this handle, if this same browser brought it and it is not too old."""
        with self._lock:
            waiting = self._waiting.get(handle)
            if waiting is None or waiting.created <= time.time() - WAITING_LIFE:
                return None
            if not hmac.compare_digest(waiting.browser, digest(cookie)):
                return None
            del self._waiting[handle]
            self._waiting[handle] = used = replace(waiting, rank=max(waiting.rank, _CAME_BACK))
        return used

    def take(self, handle: str, cookie: str) -> WaitingRequest | None:
        """Like `get`, once."""
        waiting = self.get(handle, cookie)
        if waiting is None:
            return None
        with self._lock:
            return self._waiting.pop(handle, None)

    def follow(self, old_cookie: str, new_cookie: str) -> None:
        """A browser got a new cookie at its sign-in: its waiting requests go with it."""
        old, new = digest(old_cookie), digest(new_cookie)
        with self._lock:
            self._waiting = {
                h: replace(w, browser=new, rank=_SIGNED_IN) if w.browser == old else w for h, w in self._waiting.items()
            }


class Browser:
    """The browser that sent the current request."""

    def __init__(self, sessions: Sessions, cookie_name: str) -> None:
        self._sessions = sessions
        self._cookie_name = cookie_name

    @property
    def cookie(self) -> str:
        """The value of its cookie; a new one is made, and sent with the answer, if it has none."""
        if "cookie" not in g:
            g.cookie = request.cookies.get(self._cookie_name, "")
            if len(g.cookie) < 43:
                self._renew(new_secret())
        return str(g.cookie)

    def _renew(self, value: str) -> None:
        g.cookie = g.new_cookie = value

    @property
    def person(self) -> Person | None:
        """Who is signed in."""
        session = self._sessions.get(self.cookie)
        return None if session is None else PEOPLE.get(session.person)

    @property
    def auth_time(self) -> float:
        """When the person signed in; 0 if nobody is."""
        session = self._sessions.get(self.cookie)
        return 0.0 if session is None else session.auth_time

    @property
    def csrf_token(self) -> str:
        """What this browser's forms carry. It follows from the cookie, and the cookie does not follow from it."""
        return hmac.new(self.cookie.encode(), b"forms", hashlib.sha256).hexdigest()

    def sign_in(self, person: Person, waiting: WaitingRequests) -> None:
        """Sign in under a new cookie, so that a cookie planted earlier is worth nothing."""
        old = self.cookie
        self._sessions.end(old)
        self._renew(self._sessions.start(person.id))
        waiting.follow(old, self.cookie)

    def sign_out(self) -> None:
        """Sign out and forget the cookie."""
        self._sessions.end(self.cookie)
        self._renew(new_secret())

    def sent_this_form(self) -> bool:
        """Whether the current POST comes from a form of ours in this same browser: its token and its `Origin`."""
        own_origin = f"http://{request.host}"  # the host was checked against ours before anything else
        token = request.form.get("csrf_token", "").encode("utf-8", "surrogatepass")
        return request.headers.get("Origin") == own_origin and secrets.compare_digest(token, self.csrf_token.encode())

    def attach_cookie(self, response: Response) -> None:
        """Send a cookie that was made during this request."""
        if "new_cookie" in g:
            # No Secure: the server is plain http on loopback, where several browsers refuse to store such a cookie.
            response.set_cookie(self._cookie_name, g.new_cookie, httponly=True, samesite="Lax", path="/")
