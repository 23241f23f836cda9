"""A listener of the attacker's: takes one request on a loopback address and remembers its URL."""

from __future__ import annotations

import http.client
import http.server
import os
import queue
import socket
import socketserver
import threading
import time

from lexoffice_nb.workshop.leaks import Leak
from lexoffice_nb.workshop.words import PortTaken, WorkshopError, say

_FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
_LIFE_SECONDS = 600.0
_PAGE = b"<!doctype html><title>Thank you</title><p>Thank you."


class NothingCame(WorkshopError, TimeoutError):
    """A listener was waited for, and nobody came."""


class Listener:
    """Listens from the moment it is made until it has caught a request, was waited for, or ten minutes are over.

    Args:
        host: `127.0.0.1` or `::1`.
        port: 0 for a free one.

    Attributes:
        url: Where it listens.

    Raises:
        PortTaken: Somebody else listens there (also an OSError).
        WorkshopError: Nobody can listen there.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, life: float = _LIFE_SECONDS) -> None:
        if host not in _FAMILIES:
            raise WorkshopError("no_listener", host=repr(host)[:40], port=port, reason="?")
        self._caught: queue.Queue[Leak] = queue.Queue()
        self._end = threading.Event()
        self._server = _listening(host, port, self._caught)
        shown = f"[{host}]" if ":" in host else host
        self._server.base = self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._serve, args=(life,), name="workshop listener", daemon=True)
        self._thread.start()

    def wait(self, seconds: float = 5.0) -> Leak:
        """Waits for a request and closes; gives its URL.

        Raises:
            NothingCame: Nothing came in that time (also a TimeoutError).
        """
        try:
            return self._caught.get(timeout=seconds)
        except queue.Empty:
            raise NothingCame("nothing_came", url=self.url, seconds=f"{seconds:g}") from None
        finally:  # an interrupt included
            self.close()

    def close(self) -> None:
        """Stops listening."""
        self._end.set()
        self._thread.join(2)

    @property
    def closed(self) -> bool:
        """Whether it has stopped listening."""
        return not self._thread.is_alive()

    def _serve(self, life: float) -> None:
        deadline = time.monotonic() + life
        with self._server:
            while not self._end.is_set() and time.monotonic() < deadline:
                self._server.handle_request()  # waits for a moment only

    def __repr__(self) -> str:
        return say("listener.closed" if self.closed else "listener.open", url=self.url)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # Elsewhere this option lets a second program take a port that is in use.
    allow_reuse_address = os.name == "posix"
    timeout = 0.05
    base = ""
    caught: queue.Queue[Leak]

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: what a client broke off would be printed into a cell."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 5
    server: _Server

    def do_GET(self) -> None:
        self.server.caught.put(Leak("callback_url", "where.listener", self.server.base + self.path))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_PAGE)))
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, *_: object) -> None:
        """Nothing: request lines carry codes."""


def _listening(host: str, port: int, caught: queue.Queue[Leak]) -> _Server:
    server = type("_ServerOfItsFamily", (_Server,), {"address_family": _FAMILIES[host]})(
        (host, 0), _Handler, bind_and_activate=False
    )
    server.caught = caught
    try:
        if server.address_family == socket.AF_INET6:
            server.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.server_address = (host, port)
        server.server_bind()
        server.server_activate()
    except (OSError, OverflowError, TypeError) as error:
        server.server_close()
        raise _why(host, port, error) from None
    except BaseException:
        server.server_close()
        raise
    return server  # type: ignore[no-any-return]


def _why(host: str, port: int, error: Exception) -> WorkshopError:
    if isinstance(error, OSError) and isinstance(port, int) and 0 < port < 65536 and _answers(host, port):
        return PortTaken("port_taken", host=host, port=port, who=_who(host, port))
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return WorkshopError("no_listener", host=host, port=str(port)[:20], reason=reason)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def _who(host: str, port: int) -> str:
    """Asks who is there, as anybody would who meets a taken port; the app's own log notes that somebody asked."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    connection.debuglevel = 0  # prints nothing, whatever the class was told
    try:
        connection.request("GET", "/")
        ours = b"Belegheft" in connection.getresponse().read(65536)
    except (OSError, http.client.HTTPException):
        return "who.somebody"
    finally:
        connection.close()
    return "who.app" if ours else "who.somebody"
