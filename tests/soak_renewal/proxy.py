"""A proxy between the client and the token endpoint: it holds requests and answers up, and loses them.

It carries octets and reads none of them. Our client opens a connection for each token request, so here a connection is
a request and its answer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER_SECONDS = 20
_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing it is a reset


def passes() -> bool:
    """Lets it through at once."""
    return True


class Proxy:
    """The proxy.

    Attributes:
        on_request: called before the first octets of a request go on; False closes the connection instead.
        on_answer: the same for its answer, which the server has sent already.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self.on_request: Callable[[], bool] = passes
        self.on_answer: Callable[[], bool] = passes

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def settle(self) -> None:
        """Waits for the end of all connections that there are; for those whose client has gone."""
        for thread in self._threads[1:]:
            thread.join(_ANSWER_SECONDS)

    def url(self, url: str) -> str:
        """The same URL, through the proxy."""
        return url.replace(f"127.0.0.1:{self._target[1]}", f"127.0.0.1:{self.port}")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            for end in (client, server):
                end.settimeout(_ANSWER_SECONDS)
            back = threading.Thread(target=self._carry, args=(server, client, self.on_answer))
            back.start()
            self._carry(client, server, self.on_request)
            back.join()

    @staticmethod
    def _carry(source: socket.socket, goal: socket.socket, may_pass: Callable[[], bool]) -> None:
        """Carries one direction to its end; whoever has gone meanwhile is no reason to stop the other direction."""
        first = True
        with contextlib.suppress(OSError):
            while octets := source.recv(_CHUNK):
                if first and not may_pass():
                    for end in (source, goal):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        end.shutdown(socket.SHUT_RDWR)
                    return
                first = False
                goal.sendall(octets)
        with contextlib.suppress(OSError):
            goal.shutdown(socket.SHUT_WR)
