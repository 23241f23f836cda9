"""A sandbox over real HTTP, and a small client of the tests' own that speaks to it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLBACK = "http://127.0.0.1:51234/callback"
ALL_SCOPES = "openid profile email invoice.read contact.read"


def query(url: str) -> dict[str, str]:
    """The parameters of a redirect, each sent once."""
    values = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(value) == 1 for value in values.values()), url
    return {name: value[0] for name, value in values.items()}


@dataclass
class Client:
    """A public client with PKCE; it checks nothing, so that the server's own refusals are seen."""

    box: Sandbox
    http: requests.Session = field(default_factory=requests.Session)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def __post_init__(self) -> None:
        self.http.trust_env = False

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def link(self, **changes: str | None) -> str:
        """An authorization request; a change to None leaves the parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": "lexoffice-nb",
            "redirect_uri": CALLBACK,
            "scope": ALL_SCOPES,
            "state": "st/at&e=1",
            "nonce": "n-0S6",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        } | changes
        kept = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.box.url}/connect/authorize?{urlencode(kept)}"

    def open(self, url: str, **options: Any) -> requests.Response:
        return self.http.get(url if url.startswith("http") else self.box.url + url, allow_redirects=False, **options)

    def code(self, person: str = "demo", **changes: str | None) -> str:
        return query(sign_in(self.link(**changes), person))["code"]

    def exchange(self, code: str, /, **changes: str | None) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "client_id": "lexoffice-nb",
            "code_verifier": self.verifier,
        } | changes
        return self.token(**{name: value for name, value in form.items() if value is not None})

    def refresh(self, token: str, **changes: str) -> requests.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "lexoffice-nb"}
        return self.token(**form | changes)

    def token(self, **form: str) -> requests.Response:
        # Not through the session: threads share this object.
        return requests.post(f"{self.box.url}/connect/token", data=form, timeout=20)

    def tokens(self, person: str = "demo", **changes: str | None) -> dict[str, Any]:
        response = self.exchange(self.code(person, **changes))
        assert response.status_code == 200, response.text
        return response.json()

    def api(self, path: str, token: str) -> requests.Response:
        return requests.get(self.box.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def revoke(self, token: str) -> requests.Response:
        form = {"token": token, "client_id": "lexoffice-nb"}
        return requests.post(f"{self.box.url}/connect/revoke", data=form, timeout=20)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the tests of a module that change nothing of it."""
    with Sandbox(data_dir=tmp_path_factory.mktemp("sandbox") / "data") as box:
        yield box


@pytest.fixture
def box(tmp_path: Any) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    with Sandbox(data_dir=tmp_path / "data") as box:
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
def read() -> Any:
    """Reads a redirect's parameters."""
    return query


@pytest.fixture
def client_of() -> Any:
    """Makes a client of a sandbox."""
    return Client
