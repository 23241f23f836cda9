"""The sockets of the loopback listener: the same port on 127.0.0.1 and ::1, shared with nobody."""

from __future__ import annotations

import errno
import socket
import sys

CONNECTIONS = 128
_HOST = "127.0.0.1"
_PORT_ATTEMPTS = 32


class PortTaken(OSError):
    """The port that was asked for is in use on 127.0.0.1 or ::1.

    Attributes:
        port: The port that was asked for.
    """

    def __init__(self, port: int) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"port {port} on this machine is in use by another program, which would receive the callback. "
            "Stop that program, or choose another port (0 takes a free one).",
        )
        self.port = port

    def __reduce__(self) -> tuple[type[PortTaken], tuple[int]]:
        return type(self), (self.port,)


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Binds and listens so that no other process can have the same address, and a re-run can have it again.

    Windows: SO_REUSEADDR would let any process take over the port, SO_EXCLUSIVEADDRUSE forbids exactly that. Linux
    and macOS: SO_REUSEADDR only passes over connections in TIME_WAIT; while a socket listens, nobody else can bind
    its address (macOS lets others have the wildcard address, but the more specific one, ours, gets the connections).
    SO_REUSEPORT, which does share a port, is never set.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)  # not inheritable, as all sockets of Python (PEP 446)
    try:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(CONNECTIONS)  # at once: a bound socket that does not listen could still be shared
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_taken(error: OSError) -> bool:
    # Windows answers EACCES where somebody else holds the port exclusively.
    return error.errno == errno.EADDRINUSE or (sys.platform == "win32" and error.errno == errno.EACCES)


def _listening_on_ipv6(port: int) -> socket.socket | None:
    """The same port on ::1, or None on a machine without IPv6."""
    if not socket.has_ipv6:
        return None
    try:
        return _listening(socket.AF_INET6, "::1", port)
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL):
            return None
        raise


def reserve(port: int) -> list[socket.socket]:
    """The listening sockets: 127.0.0.1 first, then ::1 with the same port."""
    for _ in range(_PORT_ATTEMPTS):
        sockets: list[socket.socket] = []
        try:
            sockets.append(_listening(socket.AF_INET, _HOST, port))
            second = _listening_on_ipv6(sockets[0].getsockname()[1])
        except OSError as error:
            for sock in sockets:
                sock.close()
            if not _is_taken(error):
                raise
            if port:
                raise PortTaken(port) from None
            continue  # somebody has this number on ::1: another one then
        return [*sockets, second] if second else sockets
    raise OSError(errno.EADDRINUSE, "no port was found that is free on both 127.0.0.1 and ::1")
