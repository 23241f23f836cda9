"""The journal: every request that reached issuer, second server or app, with nothing secret in it.

The checks of the exercises judge from it alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lexoffice_nb.sandbox.database import digest, new_secret

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.database import Database

MOST_EVENTS = 10_000
_MOST_MARKS = 1000
# Of requests that differ in number and time only, so many are kept: nobody can push the others out by repeating one.
_MOST_EQUAL = 200
_MOST_EQUAL_OTHERS = 5
# Too short for a secret, however it is cut up: the shortest of ours has 43 characters.
_SAFE_PATH = 24


@dataclass(frozen=True)
class Event:
    """One request.

    Attributes:
        n: Its number, from 1.
        time: Seconds since the epoch at which the answer was ready.
        by: `browser`, `app` or `attacker`.
        at: `issuer`, `second` or `app`.
        what: What was asked for, as `authorize` or `token`.
        method: HTTP method.
        path: Path without its query, as a pattern; `…` for a path that leads nowhere.
        status: HTTP status of the answer.
        error: OAuth error code of the answer or of the redirect, or the app's reason.
        grant: Short name of the consent that the code or token belongs to, as `g1`.
        person: Whose consent that is, or who signs in.
        grant_type: At the token endpoint.
        pkce: At authorize `none`, `plain` or `S256`; at token `none` or `verifier`.
        to: Origin and path that the answer redirects to.
        session: Whose session of the app it was: `victim` or `attacker`.
        began: Seconds since the epoch at which the request came.
        check: At the issuer, which of its checks refused; the names are in `switches`.
        met: At the app, the address that was reached: `127.0.0.1` or `::1`.
    """

    n: int
    time: float
    by: str
    at: str
    what: str
    method: str
    path: str
    status: int
    error: str | None = None
    grant: str | None = None
    person: str | None = None
    grant_type: str | None = None
    pkce: str | None = None
    to: str | None = None
    session: str | None = None
    began: float | None = None
    check: str | None = None
    met: str | None = None


class Journal:
    """The last events, oldest first; of equal ones only the last few."""

    def __init__(self) -> None:
        self._events: OrderedDict[int, Event] = OrderedDict()
        self._equal: dict[tuple[object, ...], deque[int]] = {}
        self._next = 1
        self._changed = threading.Condition()
        self._closed = False

    @property
    def next(self) -> int:
        """The number that the next event gets."""
        with self._changed:
            return self._next

    def add(
        self,
        by: str,
        at: str,
        what: str,
        method: str,
        path: str,
        status: int,
        began: float | None = None,
        **more: str | None,
    ) -> None:
        """Write down a request."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            event = Event(number, time.time(), by, at, what, method, path, status, began=began, **more)
            self._events[number] = event
            self._equal.setdefault(_kind(event), deque()).append(number)
            self._make_room(event)
            self._changed.notify_all()

    def _make_room(self, event: Event) -> None:
        most = _MOST_EQUAL_OTHERS if event.what == "other" else _MOST_EQUAL
        if len(self._equal[_kind(event)]) > most:
            self._drop(self._equal[_kind(event)][0])
        if len(self._events) > MOST_EVENTS:
            self._drop(next(iter(self._events)))

    def _drop(self, number: int) -> None:
        kind = _kind(self._events.pop(number))
        self._equal[kind].popleft()  # the oldest of all is the oldest of its kind as well
        if not self._equal[kind]:
            del self._equal[kind]

    def since(self, number: int, wait: float = 0.0) -> list[Event]:
        """The events from a number on; if there is none, `wait` seconds may pass until there is."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next > number, wait)
            return [event for event in self._events.values() if event.n >= number]

    def close(self) -> None:
        """Let everybody go who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _kind(event: Event) -> tuple[object, ...]:
    return tuple(value for name, value in vars(event).items() if name not in ("n", "time", "began"))


@dataclass(frozen=True)
class Sender:
    """Who sent a request, and in whose session of the app."""

    by: str
    session: str | None = None


ATTACKER = Sender("attacker")
MARK_HEADER = "X-Workshop-Mark"


class Marks:
    """How the victim's browser and app show the journal that a request is theirs: a random value for each, used once.

    Once, because a request may end at an attacker, who could repeat it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[str, Sender] = {}

    def new(self, by: str, session: str | None = None) -> dict[str, str]:
        """The header that marks one request."""
        mark = new_secret()
        with self._lock:
            while len(self._marks) >= _MOST_MARKS:
                del self._marks[next(iter(self._marks))]
            self._marks[mark] = Sender(by, session)
        return {MARK_HEADER: mark}

    def take(self, mark: str) -> Sender:
        """Who made this mark; whoever has none is the attacker."""
        with self._lock:
            return self._marks.pop(mark, ATTACKER)


@dataclass(frozen=True)
class Trace:
    """The consent that a code or token comes from, by its short name, and whose it is."""

    grant: str
    person: str


class GrantNames:
    """Short names for consents, in the order in which they were met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}

    def name(self, family: str) -> str:
        """The short name of a family."""
        with self._lock:
            return self._names.setdefault(family, f"g{len(self._names) + 1}")


class Traces:
    """Finds the consent behind a code or token of one server."""

    def __init__(self, database: Database, names: GrantNames) -> None:
        self._database = database
        self._names = names

    def of(self, secret: str) -> Trace | None:
        """The consent behind a code, access token or refresh token, alive or not."""
        row = self._database.row(
            "SELECT id, person FROM families WHERE id IN (SELECT family FROM codes WHERE digest = ?"
            " UNION SELECT family FROM access_tokens WHERE digest = ?"
            " UNION SELECT family FROM refresh_tokens WHERE digest = ?)",
            *[digest(secret)] * 3,
        )
        return None if row is None else Trace(self._names.name(row[0]), row[1])


def without_secrets(path: str) -> str:
    """A path, unless it is long enough to hold a secret: an attacker may put one there, in one piece or in many."""
    return path if len(path) <= _SAFE_PATH else "/…"


def place(url: str) -> str:
    """Origin and path of a URL, without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{without_secrets(parts.path)}"[:300]
