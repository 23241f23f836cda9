"""A server on loopback that answers every request with the bytes that it is told, whether these are HTTP or not."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import Any

BIGGEST_REQUEST = 100_000


class RawServer:
    """Answers one request per connection, whatever its method is, then closes the connection."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.methods: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: Any) -> None:
        # A listener that is only closed goes on waiting in another thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    @staticmethod
    def http(status: int, body: bytes = b"", **headers: str) -> bytes:
        """Writes an answer as HTTP has it; `_` in a header's name stands for `-`."""
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                self._read(connection)
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # else the system resets what has not arrived yet
                    pass

    def _read(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received and len(received) < BIGGEST_REQUEST:
            if not (part := connection.recv(65536)):
                return
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        self.methods.append(head.split(b" ", 1)[0].decode("latin-1"))
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        missing = min(int(length[1]) if length else 0, BIGGEST_REQUEST) - len(body)
        while missing > 0 and (part := connection.recv(65536)):
            missing -= len(part)
