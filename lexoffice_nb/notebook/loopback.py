"""The listener on 127.0.0.1 that catches the callback of a sign-in (RFC 8252, sections 7.3 and 8.3).

One thread reads all connections through a selector, so a browser's idle preconnects and slow senders cost nothing;
a second one calls ``on_callback``, so that one call ends before the next begins. Nothing here reads the code or the
state: whoever made the authorization request judges the URL (RFC 6749, section 4.1.2; RFC 9207). Nothing is ever logged
or printed, because every request may carry an authorization code.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import queue
import re
import selectors
import socket
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

from lexoffice_nb.notebook.loopback_page import FAILED, NOT_FOUND, OVER, Page, response
from lexoffice_nb.notebook.loopback_sockets import CONNECTIONS, PortTaken, reserve

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_REQUEST_LINE_LIMIT = 16 * 1024
_HEAD_LIMIT = 64 * 1024
_READ_SECONDS = 10.0  # for the whole request: a sender of one byte a second must not have ten seconds for each byte
_SEND_SECONDS = 5.0
_LINGER_SECONDS = 1.0

__all__ = ["FAILED", "NOT_FOUND", "LoopbackListener", "Page", "PortTaken"]

# --- the request ----------------------------------------------------------------------------------------------------


class _BadRequestError(Exception):
    """The bytes are no HTTP request that a browser would send."""


@dataclass(frozen=True, repr=False)  # a repr would show the code
class _Request:
    """The head of a request (RFC 9112, section 2.1); header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, list[str]]

    @classmethod
    def parse(cls, head: bytes) -> _Request:
        """Reads request line and headers, without the empty line at the end."""
        try:
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, version = first.split(" ")
        except ValueError:
            raise _BadRequestError from None
        if version not in ("HTTP/1.0", "HTTP/1.1") or not re.fullmatch(r"[!-\"$-~]+", target):
            raise _BadRequestError
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line:
                raise _BadRequestError
            headers.setdefault(name.lower(), []).append(value.strip())
        path, _, query = target.partition("?")
        return cls(method, path, query, headers)

    def is_prefetch(self) -> bool:
        """Whether the browser only guesses that the person will come (``Sec-Purpose``, Fetch standard)."""
        said = (value for name in ("sec-purpose", "purpose", "x-moz") for value in self.headers.get(name, ()))
        return any("prefetch" in value.lower() or "prerender" in value.lower() for value in said)

    def is_visit(self) -> bool:
        """Whether a person's tab comes here, and no page asks on its own (``Sec-Fetch-*``, Fetch Metadata)."""
        expected = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        return all(self.headers.get(name, [value]) == [value] for name, value in expected.items())

    def is_answer(self) -> bool:
        """Whether the query can be an authorization response (RFC 6749, sections 4.1.2 and 4.1.2.1)."""
        return any(name in ("code", "state", "error") for name, _ in parse_qsl(self.query, keep_blank_values=True))


# --- the listener ---------------------------------------------------------------------------------------------------


class _Phase(enum.Enum):
    READING = enum.auto()  # the request
    WAITING = enum.auto()  # for on_callback
    SENDING = enum.auto()
    LINGERING = enum.auto()  # until the browser has closed too: closing over unread bytes would reset the answer


@dataclass(eq=False, repr=False)
class _Connection:
    sock: socket.socket
    deadline: float
    answers: bool  # False: came to ::1, where everything is refused
    phase: _Phase = _Phase.READING
    received: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""


class LoopbackListener:
    """Waits on 127.0.0.1 for the callback of an authorization request (RFC 8252, section 7.3).

    It binds and serves at once, in two daemon threads, until :meth:`close`. Only a GET of the exact path with the
    exact ``Host`` and a query with ``code``, ``state`` or ``error`` reaches ``on_callback``; anything else is refused
    and does not end the wait. ``localhost`` is refused too, unless the redirect URI is registered with it (RFC 8252,
    section 8.3, advises against it: a browser would send Jupyter's cookies along). As it may resolve to ::1, the same
    port is held there, and what arrives is refused: no other process can receive the callback.

    Args:
        on_callback: Gets the callback URL as received and gives the page to show. Called in a thread of the listener,
            one call at a time, never begun after :meth:`close`. What it raises becomes the ``failed`` page, without
            details.
        host: The host of the redirect URI; ``localhost`` only for servers that take no other.
        port: The port; 0 takes a free one. A fixed one is for authorization servers that compare the whole URI.
        path: The path of the redirect URI.
        not_found: The page of every refusal (404, 405, 414, 421, ...), in the person's language.
        failed: The page shown when ``on_callback`` raises.
        over: The page of a callback that comes when the wait has ended already: nothing went wrong.

    Attributes:
        redirect_uri: What to send as ``redirect_uri``.
        port: The port that is really bound.

    Raises:
        PortTaken: If the port that was asked for is in use on 127.0.0.1 or ::1.
        ValueError: If ``path`` is not a plain absolute path.
    """

    def __init__(
        self,
        on_callback: Callable[[str], Page],
        *,
        host: Literal["127.0.0.1", "localhost"] = "127.0.0.1",
        port: int = 0,
        path: str = "/callback",
        not_found: Page = NOT_FOUND,
        failed: Page = FAILED,
        over: Page = OVER,
    ) -> None:
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or set(path) & set("?# "):
            raise ValueError("the path of a loopback redirect URI starts with / and has no space, query or fragment")
        self._on_callback, self._path, self._not_found, self._failed = on_callback, path, not_found, failed
        self._over = over
        self._listening = reserve(port)
        self.port: int = self._listening[0].getsockname()[1]
        self._host = f"{host}:{self.port}"
        self.redirect_uri = f"http://{self._host}{path}"
        self._answers_ipv6 = host == "localhost"
        self._connections: dict[_Connection, None] = {}  # in the order of their arrival
        self._callbacks: queue.SimpleQueue[tuple[_Connection, str] | None] = queue.SimpleQueue()
        self._answers: deque[tuple[_Connection, bytes]] = deque()
        self._lock = threading.Lock()
        self._end = math.inf  # when what is still open is cut off; finite once closed
        self._ports_free = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._reader = threading.Thread(target=self._serve, name=f"loopback-{self.port}", daemon=True)
        self._caller = threading.Thread(target=self._call_back, name=f"loopback-{self.port}-callback", daemon=True)
        _OPEN.add(self)
        self._watch()
        self._reader.start()
        self._caller.start()

    def __repr__(self) -> str:
        return f"<LoopbackListener {self.redirect_uri} {'closed' if self.closed else 'open'}>"

    def __enter__(self) -> LoopbackListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called: no callback is taken any more."""
        return self._end != math.inf

    def close(self, *, after: float = 0.0) -> None:
        """Frees both ports, ends the open connections and the threads. Idempotent, and callable from any thread.

        When it returns, the ports are free. A running ``on_callback`` is not interrupted: its thread ends when it
        returns.

        Args:
            after: Seconds that answers under way have left to reach the browser. Inside ``on_callback`` use this, or
                the tab shows an error instead of the page; the call then returns at once. From another thread it waits
                for these answers, so that a program may exit afterwards.
        """
        with self._lock:
            self._end = min(self._end, time.monotonic() + max(after, 0.0))
        self._wake()
        self._ports_free.wait(1.0)
        inside_callback = threading.current_thread() is self._caller
        if not (inside_callback and after > 0):
            self._reader.join(after + 0.5)
        if not inside_callback:
            self._caller.join(0.5)

    # -- the thread that calls on_callback

    def _call_back(self) -> None:
        while self._call_back_once():
            pass

    def _call_back_once(self) -> bool:  # a function of its own, so that no URL stays in a waiting frame
        job = self._callbacks.get()
        if job is None:
            return False
        connection, url = job
        self._answers.append((connection, self._answer_to(url)))
        self._wake()
        return True

    def _answer_to(self, url: str) -> bytes:
        if self.closed:  # a second tab, in the queue while the first one ended the wait
            return response(self._over)
        try:
            return response(self._on_callback(url))
        except BaseException:  # noqa: BLE001 - whatever it is, it must neither be printed nor end the wait
            return response(self._failed)

    # -- the thread that reads and writes

    def _watch(self) -> None:
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._clear_wake)
        for number, sock in enumerate(self._listening):
            answers = number == 0 or self._answers_ipv6
            self._selector.register(sock, selectors.EVENT_READ, partial(self._accept, sock, answers))

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody is left to wake
            self._waker.send(b"!")

    def _clear_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(1024):
                pass

    def _serve(self) -> None:
        try:
            while not self._finished():
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                while self._answers:
                    self._send(*self._answers.popleft())
                self._drop_overdue()
        except Exception:  # noqa: BLE001, S110 - threading would print it, with the request in it
            pass
        finally:
            self._release()

    def _finished(self) -> bool:
        if not self.closed:
            return False
        self._stop_accepting()
        return not self._connections or time.monotonic() >= self._end

    def _stop_accepting(self) -> None:
        for sock in self._listening:
            self._forget(sock)
        self._listening = []
        for connection in [c for c in self._connections if c.phase is _Phase.READING]:
            self._drop(connection)
        self._ports_free.set()

    def _release(self) -> None:
        with self._lock:
            self._end = min(self._end, time.monotonic())
        self._stop_accepting()
        for connection in list(self._connections):
            self._drop(connection)
        self._callbacks.put(None)
        self._selector.close()
        with self._lock:
            self._woken.close()
            self._waker.close()

    def _patience(self) -> float | None:
        first = min((c.deadline for c in self._connections), default=math.inf)
        first = min(first, self._end)
        return None if first == math.inf else max(first - time.monotonic(), 0.0)

    def _drop_overdue(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections if c.deadline <= now]:
            self._drop(connection)

    def _accept(self, listening: socket.socket, answers: bool) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError:  # out of file descriptors: make room instead of spinning
            if not self._drop_oldest_reader():
                time.sleep(0.05)
            return
        if len(self._connections) >= CONNECTIONS and not self._drop_oldest_reader():
            sock.close()
            return
        sock.setblocking(False)
        connection = _Connection(sock, time.monotonic() + _READ_SECONDS, answers)
        self._connections[connection] = None
        self._selector.register(sock, selectors.EVENT_READ, partial(self._advance, connection))

    def _drop_oldest_reader(self) -> bool:
        oldest = next((c for c in self._connections if c.phase is _Phase.READING), None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None

    def _forget(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(sock)
        sock.close()

    def _drop(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)
        self._forget(connection.sock)

    def _advance(self, connection: _Connection) -> None:
        try:
            if connection.phase is _Phase.READING:
                self._read(connection)
            elif connection.phase is _Phase.SENDING:
                self._send(connection, connection.unsent)
            elif not connection.sock.recv(65536):
                self._drop(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(connection)

    def _read(self, connection: _Connection) -> None:
        data = connection.sock.recv(65536)
        if not data:
            self._drop(connection)
            return
        received = connection.received
        received += data
        line_end = received.find(b"\r\n")
        head_end = received.find(b"\r\n\r\n")
        if max(line_end, len(received) if line_end < 0 else 0) > _REQUEST_LINE_LIMIT:
            self._refuse(connection, 414)
        elif head_end > _HEAD_LIMIT or (head_end < 0 and len(received) > _HEAD_LIMIT):
            self._refuse(connection, 431)
        elif head_end >= 0:
            self._handle(connection, bytes(received[:head_end]))

    def _handle(self, connection: _Connection, head: bytes) -> None:
        try:
            request = _Request.parse(head)
            status = self._refusal(connection, request)
        except _BadRequestError:
            self._refuse(connection, 400)
            return
        if status:
            self._refuse(connection, status, request.method)
            return
        connection.phase, connection.deadline = _Phase.WAITING, math.inf
        connection.received.clear()
        self._selector.unregister(connection.sock)
        self._callbacks.put((connection, f"{self.redirect_uri}?{request.query}"))

    def _refusal(self, connection: _Connection, request: _Request) -> Literal[0, 404, 405, 421, 503]:
        """The status of the refusal, or 0 for a callback."""
        if not connection.answers or request.headers.get("host") != [self._host]:
            return 421  # DNS rebinding, localhost, [::1]: not the address that was registered
        if request.path != self._path:
            return 404
        if request.method != "GET":
            return 405
        if not request.is_visit():
            return 404
        if request.is_prefetch():
            return 503  # the code must not be used up by a guess; the real visit comes afterwards
        return 0 if request.is_answer() else 404

    def _refuse(self, connection: _Connection, status: int, method: str = "GET") -> None:
        headers = ("Allow: GET",) if status == 405 else ()
        page = replace(self._not_found, ok=False, status=status)
        self._send(connection, response(page, with_body=method != "HEAD", headers=headers))

    def _send(self, connection: _Connection, data: bytes) -> None:
        if connection not in self._connections:
            return
        if connection.phase is not _Phase.SENDING:
            connection.phase, connection.deadline = _Phase.SENDING, time.monotonic() + _SEND_SECONDS
            connection.received.clear()
        try:
            connection.unsent = data[connection.sock.send(data) :]
            if not connection.unsent:
                connection.sock.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            connection.unsent = data
        except OSError:
            self._drop(connection)
            return
        if connection.unsent:
            self._listen_for(connection, selectors.EVENT_WRITE)
        else:
            connection.phase, connection.deadline = _Phase.LINGERING, time.monotonic() + _LINGER_SECONDS
            self._listen_for(connection, selectors.EVENT_READ)

    def _listen_for(self, connection: _Connection, event: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.sock)
        self._selector.register(connection.sock, event, partial(self._advance, connection))

    def _leave_to_parent(self) -> None:
        """In a forked child: gives up its copies of the sockets, or the port would stay taken after a close."""
        self._end, self._lock = 0.0, threading.Lock()
        self._ports_free = threading.Event()
        self._ports_free.set()
        for sock in (*self._listening, *(c.sock for c in self._connections), self._woken, self._waker):
            sock.close()
        self._selector.close()  # without unregister: that would reach into the parent's epoll


_OPEN: weakref.WeakSet[LoopbackListener] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for listener in list(_OPEN):
        listener._leave_to_parent()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_leave_all_to_parent)
