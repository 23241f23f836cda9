"""A signed-in session on a real sandbox, and small real servers that answer as they are told."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from tests.boxes import with_a_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLBACK = "http://127.0.0.1:51234/callback"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Answer:
    """What a server sends; a `status` of 0 closes the connection without a word."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    promised: int | None = None
    stalls: float = 0.0

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """A real HTTP server on loopback that remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append(Seen(self.command, self.path, dict(self.headers), body))
                answers = server.answers.get(self.path.partition("?")[0], [Answer(404)])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                server.stopping.wait(answer.seconds)
                if not answer.status:
                    return
                # An own Date in place of the clock's.
                (self.send_response_only if "Date" in answer.headers else self.send_response)(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(answer.promised or len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                server.stopping.wait(answer.stalls)

            do_GET = do_POST = do_HEAD = do_CONNECT = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    use_language("en")
    yield
    use_language(None)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    with Sandbox(data_dir=with_a_key(tmp_path / "data")) as box:
        yield box


@pytest.fixture
def signed_in() -> Iterator[Callable[..., LexofficeSession]]:
    """Makes a session on a sandbox; `api` points it to another API than the sandbox's own."""
    sessions = []

    def make(box: Sandbox, *, api: str | None = None, scopes: str = "openid profile invoice.read contact.read") -> Any:
        provider = Provider.discover(box.url, name="sandbox")
        login = LexofficeLogin("lexoffice-nb", CALLBACK, scopes.split(), provider)
        login.handle_callback(sign_in(login.get_login_url()))
        if api:
            login.provider = replace(provider, api_base=api)
        sessions.append(LexofficeSession.from_login(login))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session(box: Sandbox, signed_in: Callable[..., LexofficeSession]) -> LexofficeSession:
    return signed_in(box)


@pytest.fixture(scope="session")
def quiet_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox of the tests that change and count nothing of it."""
    with Sandbox(data_dir=tmp_path_factory.mktemp("quiet") / "data") as box:
        yield box


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, server: Server, signed_in: Callable[..., LexofficeSession]
) -> LexofficeSession:
    """A session whose tokens are a sandbox's and whose API is the server that answers as it is told."""
    box = request.getfixturevalue("box" if "box" in request.fixturenames else "quiet_box")
    server.answers["/v1/profile"] = [Answer.of({"companyName": "Probe GmbH"})]
    session = signed_in(box, api=server.url)
    server.seen.clear()
    return session


@pytest.fixture
def answer() -> type[Answer]:
    return Answer
