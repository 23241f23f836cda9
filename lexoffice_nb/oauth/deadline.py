"""An end to every request, whatever the server does.

The time-outs of `requests` are per read: a server that sends one octet now and then, of its headers or of its body,
keeps a client waiting for hours. So the connection itself is shut down when the time is over.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import requests

from lexoffice_nb.oauth.quiet import QuietAdapter

if TYPE_CHECKING:
    from types import TracebackType


class Deadline:
    """The time that one request has in all, from the first connection to the last octet."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self.connected = False  # from then on, a request may have reached the server
        self._connections: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.name = "lexoffice-nb deadline"

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        while self._connections:
            self._connections.pop().close()

    def watch(self, connection: socket.socket) -> None:
        """Shuts a connection down when the time is over."""
        # A duplicate: TLS takes the original over before its handshake, which can drip as well.
        self._connections.append(connection.dup())
        if self.over:
            self._end()

    def _end(self) -> None:
        # First this, then the list; `watch` the other way round: so no connection is missed, and no lock is needed that
        # an interrupt could leave locked.
        self.over = True
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


class OneAnswerSession(requests.Session):
    """A session that looks at no redirect.

    Even where it follows none, requests reads its whole body, however long, and fails on a `Location` that is no URL.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Gives None: the caller sees the answer as it is."""
        return None


class DeadlineAdapter(QuietAdapter):
    """The adapter of a session that makes one request, and follows where it leads."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Gives the pool of connections for a request, to the server or to a proxy, each under the deadline."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if not issubclass(pool.ConnectionCls, _Watched):  # a pool that a redirect comes back to
            pool.ConnectionCls = _watched(pool.ConnectionCls, self._deadline)
        return pool


class _Watched:
    """Marks the connections that are under a deadline."""


def _watched(kind: type[Any], deadline: Deadline) -> type[Any]:
    def new_connection(self: Any) -> socket.socket:
        connection: socket.socket = kind._new_conn(self)
        deadline.watch(connection)
        return connection

    def connect(self: Any) -> None:
        kind.connect(self)  # TLS, or a proxy's tunnel, included
        deadline.connected = True

    return type(kind.__name__, (_Watched, kind), {"_new_conn": new_connection, "connect": connect})
