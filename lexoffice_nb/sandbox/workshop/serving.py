"""Servers on the loopback addresses, of IPv4 and IPv6."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

from lexoffice_nb.sandbox.app import QuietHandler

if TYPE_CHECKING:
    from flask import Flask

IPV4, IPV6 = "127.0.0.1", "::1"
_PAIRS_TRIED = 20


class LoopbackServer:
    """Serves an application in a thread.

    Args:
        host: `IPV4` or `IPV6`.
        port: Port, or 0 for any.
        application: What it serves.

    Raises:
        OSError: The port is taken, or the machine has no such address.
    """

    def __init__(self, host: str, port: int, application: Flask) -> None:
        family = socket.AF_INET6 if host == IPV6 else socket.AF_INET
        # Bound here and not by Werkzeug, which ends the process when a port is taken.
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            if os.name == "posix":  # elsewhere this option lets a second server take a port that is in use
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen(128)
            self._server = make_server(
                host, port, application, threaded=True, request_handler=QuietHandler, fd=bound.fileno()
            )
        self.port = int(self._server.port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="lexoffice-workshop", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, and free the port."""
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


def has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((IPV6, 0))
    except OSError:
        return False
    return True


class TwoAddresses:
    """One application on the same port of 127.0.0.1 and, if wanted, of ::1.

    Args:
        application: What is served.
    """

    def __init__(self, application: Flask) -> None:
        self._application = application
        self._ipv4: LoopbackServer | None = None
        self._ipv6: LoopbackServer | None = None

    @property
    def port(self) -> int:
        """The port, once it listens."""
        assert self._ipv4 is not None, "it does not listen"  # noqa: S101 - a slip of ours, not of who asks
        return self._ipv4.port

    @property
    def holds_ipv6(self) -> bool:
        """Whether it listens on ::1 as well."""
        return self._ipv6 is not None

    def listen(self, *, hold_ipv6: bool) -> None:
        """Listen on 127.0.0.1, and on ::1 or not; at another port if somebody else has ::1 of this one.

        Raises:
            OSError: No port is free on both.
        """
        if self._ipv6 is not None and not hold_ipv6:
            self._ipv6.stop()
            self._ipv6 = None
        for _ in range(_PAIRS_TRIED):
            if self._ipv4 is None:
                self._ipv4 = LoopbackServer(IPV4, 0, self._application)
            if not hold_ipv6 or self._ipv6 is not None:
                return
            try:
                self._ipv6 = LoopbackServer(IPV6, self._ipv4.port, self._application)
            except OSError:
                self._ipv4.stop()
                self._ipv4 = None
            else:
                return
        raise OSError("no port is free on 127.0.0.1 and ::1")

    def stop(self) -> None:
        """Stop serving, and free the port."""
        for server in (self._ipv4, self._ipv6):
            if server is not None:
                server.stop()
        self._ipv4 = self._ipv6 = None
