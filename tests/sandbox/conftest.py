"""A sandbox over real HTTP, and a small client of the tests' own that speaks to it."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.settings import SandboxSettings
from tests.boxes import with_a_key
from tests.sandbox.workshop_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[BaseHTTPRequestHandler], None]

CALLBACK = "http://127.0.0.1:51234/callback"
PARTNER_CALLBACK = "http://127.0.0.1:8765/callback"
ALL_SCOPES = "openid profile email invoice.read contact.read"


def query(url: str) -> dict[str, str]:
    """The parameters of a redirect, each sent once."""
    values = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(value) == 1 for value in values.values()), url
    return {name: value[0] for name, value in values.items()}


@dataclass
class Client:
    """A public client with PKCE; it checks nothing, so that the server's own refusals are seen."""

    prefix: ClassVar = "/connect"
    registered: ClassVar = {"client_id": "lexoffice-nb", "redirect_uri": CALLBACK}
    asked: ClassVar[dict[str, str]] = {"scope": ALL_SCOPES, "nonce": "n-0S6"}

    box: Sandbox
    http: requests.Session = field(default_factory=requests.Session)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def __post_init__(self) -> None:
        self.http.trust_env = False

    @property
    def named(self) -> dict[str, str]:
        """What a form says about who sends it."""
        return {"client_id": self.registered["client_id"]}

    def headers(self) -> dict[str, str]:
        """What the headers say about it."""
        return {}

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def link(self, **changes: str | None) -> str:
        """An authorization request; a change to None leaves the parameter out."""
        parameters = {
            "response_type": "code",
            **self.registered,
            **self.asked,
            "state": "st/at&e=1",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        } | changes
        kept = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.box.url}{self.prefix}/authorize?{urlencode(kept)}"

    def open(self, url: str, **options: Any) -> requests.Response:
        return self.http.get(url if url.startswith("http") else self.box.url + url, allow_redirects=False, **options)

    def code(self, person: str = "demo", **changes: str | None) -> str:
        return query(sign_in(self.link(**changes), person))["code"]

    def exchange(self, code: str, /, **changes: str | None) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.registered["redirect_uri"],
            **self.named,
            "code_verifier": self.verifier,
        } | changes
        return self.token(**{name: value for name, value in form.items() if value is not None})

    def refresh(self, token: str, **changes: str) -> requests.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, **self.named}
        return self.token(**form | changes)

    def token(self, **form: str) -> requests.Response:
        # Not through the session: threads share this object.
        return requests.post(self.box.url + self.prefix + "/token", data=form, headers=self.headers(), timeout=20)

    def tokens(self, person: str = "demo", **changes: str | None) -> dict[str, Any]:
        response = self.exchange(self.code(person, **changes))
        assert response.status_code == 200, response.text
        return response.json()

    def api(self, path: str, token: str) -> requests.Response:
        return requests.get(self.box.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def revoke(self, token: str) -> requests.Response:
        form = {"token": token, **self.named}
        return requests.post(self.box.url + self.prefix + "/revoke", data=form, headers=self.headers(), timeout=20)


@dataclass
class Partner(Client):
    """A confidential client with PKCE, by the contract for partners."""

    prefix: ClassVar = "/oauth2"
    registered: ClassVar = {"client_id": "partner-demo", "redirect_uri": PARTNER_CALLBACK}
    asked: ClassVar[dict[str, str]] = {"scope": "profile.read voucherlist.read"}

    authorization: str | None = None

    @property
    def named(self) -> dict[str, str]:
        return {}

    def headers(self) -> dict[str, str]:
        known = self.box.partner_client
        header = (
            basic(quote_plus(known.id), quote_plus(known.secret)) if self.authorization is None else self.authorization
        )
        return {"Authorization": header} if header else {}


def basic(client_id: str, secret: str) -> str:
    """An HTTP Basic header of two values as they are."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the tests of a module that change nothing of it."""
    with Sandbox(data_dir=with_a_key(tmp_path_factory.mktemp("sandbox") / "data")) as box:
        yield box


@pytest.fixture
def box(tmp_path: Any) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    with Sandbox(data_dir=with_a_key(tmp_path / "data")) as box:
        yield box


@pytest.fixture
def client(shared_box: Sandbox) -> Iterator[Client]:
    with requests.Session() as http:
        yield Client(shared_box, http)


@pytest.fixture
def own(box: Sandbox) -> Iterator[Client]:
    with requests.Session() as http:
        yield Client(box, http)


@pytest.fixture
def partner(shared_box: Sandbox) -> Iterator[Partner]:
    with requests.Session() as http:
        yield Partner(shared_box, http)


@pytest.fixture
def own_partner(box: Sandbox) -> Iterator[Partner]:
    with requests.Session() as http:
        yield Partner(box, http)


@pytest.fixture
def basic_header() -> Any:
    """Makes an HTTP Basic header of two values as they are."""
    return basic


@pytest.fixture
def read() -> Any:
    """Reads a redirect's parameters."""
    return query


@pytest.fixture(scope="session")
def client_of() -> Any:
    """Makes a client of a sandbox."""
    return Client


@pytest.fixture(scope="session")
def client_of_partners() -> Any:
    """Makes a partner's client of a sandbox."""
    return Partner


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of the workshop, for the tests of a module."""
    folder = with_a_key(tmp_path_factory.mktemp("workshop") / "data")
    with Sandbox(data_dir=folder, settings=SandboxSettings(workshop=True)) as box:
        yield World(box)


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """Starts servers that answer as a function says."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def do_POST(self) -> None:
                answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(5)
