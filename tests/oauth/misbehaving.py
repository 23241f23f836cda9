"""A small real provider on loopback that does everything right, except for the one thing that a test changes."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwk, jws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENT_ID = "lexoffice-nb"
REDIRECT_URI = "http://127.0.0.1:51234/callback"
OPENID_DOCUMENT = "/.well-known/openid-configuration"
OAUTH_DOCUMENT = "/.well-known/oauth-authorization-server"
LEFT_OUT = object()
"""As a changed value: the member is left out."""


@functools.cache
def rsa_key(name: str = "one", bits: int = 2048) -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(bits, {"kid": name})


@functools.cache
def ec_key(curve: str = "P-256") -> jwk.ECKey:
    return jwk.ECKey.generate_key(curve, {"kid": f"ec-{curve}"})


@functools.cache
def okp_key(curve: str = "Ed25519") -> jwk.OKPKey:
    return jwk.OKPKey.generate_key(curve, {"kid": f"okp-{curve}"})


def public(key: Any, **changes: object) -> dict[str, Any]:
    """A key as it stands in a JWKS."""
    return changed(key.as_dict(private=False), changes)


def changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not LEFT_OUT}


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def at_hash(access_token: str, algorithm: Callable[[bytes], Any] = hashlib.sha256) -> str:
    digest = algorithm(access_token.encode()).digest()
    return base64url(digest[: len(digest) // 2])


def signed(header: Mapping[str, Any], claims: Any, key: Any) -> str:
    """A JWS; `key` is a key, or the octets of one for HS256, or None for no signature."""
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    message = ".".join(parts).encode()
    if key is None:
        signature = b""
    elif isinstance(key, bytes):
        signature = hmac.digest(key, message, "sha256")
    else:
        signature = jws.JWSRegistry.algorithms[header["alg"]].sign(message, key)
    return ".".join([*parts, base64url(signature)])


@dataclass(frozen=True)
class Raw:
    """An answer given octet by octet; each pause comes before one of the `slowly` pieces that follow the rest."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    slowly: tuple[bytes, ...] = ()
    pause: float = 0.0
    headers_end: bool = True


def as_json(value: object, status: int = 200, **headers: str) -> Raw:
    return Raw(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class Provider:
    """The provider. Every argument names what differs from a good login.

    Args:
        metadata: members of the OpenID document.
        oauth_metadata: members of the RFC 8414 document; there is none without it.
        callback: parameters of the authorization response.
        token: members of the token response.
        header: members of the ID token's header.
        claims: claims of the ID token.
        key: what signs the ID token.
        jwks: the published keys.
        id_token: makes another ID token of the good one.
        raw: whole answers by path.
        path: the issuer's path.
        userinfo: answers at /userinfo, given the bearer; there is no such endpoint without it.
        strict: a refresh token is good once; whoever sends it again is refused, and counted in `replays`.
    """

    def __init__(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        oauth_metadata: Mapping[str, Any] | None = None,
        callback: Mapping[str, Any] | None = None,
        token: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        key: Any = LEFT_OUT,
        jwks: list[dict[str, Any]] | None = None,
        id_token: Callable[[str], str] = lambda token: token,
        raw: Mapping[str, Raw] | None = None,
        path: str = "",
        userinfo: Callable[[str], Raw] | None = None,
        strict: bool = False,
    ) -> None:
        self.metadata, self.oauth_metadata = metadata or {}, oauth_metadata
        self.callback, self.token = callback or {}, token or {}
        self.header, self.claims = header or {}, claims or {}
        self.key = rsa_key() if key is LEFT_OUT else key
        self.jwks = [public(rsa_key())] if jwks is None else jwks
        self.id_token, self.raw, self.path = id_token, dict(raw or {}), path
        self.userinfo = userinfo
        self.counts: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.revocations: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.ending = threading.Event()
        self.strict, self.replays = strict, 0
        self.arrived = threading.Semaphore(0)
        """Released whenever a token request has been processed, before it is answered."""
        self.gate: threading.Event | None = None
        """What is processed at the token endpoint is answered when this is set."""
        self.slow = 0.0
        """Seconds that each answer of the token endpoint takes."""
        self.cut = 0
        """How many of the next token requests are processed and never answered."""
        self._good: set[str] = set()
        self._granted: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = self.origin + path

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def authorize(self, login_url: str, **changes: object) -> str:
        """What the browser is sent to after a person has allowed everything."""
        request = dict(parse_qsl(urlsplit(login_url).query))
        code = secrets.token_urlsafe(32)
        self._granted[code] = request
        answer = {"code": code, "state": request["state"], "iss": self.issuer}
        uri = request["redirect_uri"]
        return f"{uri}{'&' if '?' in uri else '?'}{urlencode(changed(answer, {**self.callback, **changes}))}"

    @property
    def token_requests(self) -> int:
        return self.counts["/token"]

    def issue(self) -> str:
        """A refresh token that is good."""
        token = secrets.token_urlsafe(32)
        self._good.add(token)
        return token

    def is_good(self, refresh_token: str) -> bool:
        return refresh_token in self._good

    @property
    def renewals(self) -> int:
        return sum(form.get("grant_type") == "refresh_token" for form in self.forms)

    def goes_unanswered(self, path: str) -> bool:
        """Holds an answer of the token endpoint back, as it was told to; True where it is never given."""
        if path != "/token":
            return False
        with self._lock:
            cut, self.cut = self.cut > 0, max(0, self.cut - 1)
        self.arrived.release()
        self.ending.wait(self.slow)
        if self.gate is not None:
            self.gate.wait(20)
        return cut

    # --- what it answers ---

    def answer(self, method: str, path: str, form: dict[str, str], headers: Mapping[str, str]) -> Raw:
        with self._lock:
            self.counts[path] += 1
            self.headers.append(dict(headers))
            if path == "/token":
                self.forms.append(form)
            if path == "/revoke":
                self.revocations.append(form)
        if path in self.raw:
            return self.raw[path]
        if path == self.path + OPENID_DOCUMENT:
            return as_json(changed(self._description(), self.metadata))
        if path == OAUTH_DOCUMENT + self.path and self.oauth_metadata is not None:
            return as_json(changed(self._description(), self.oauth_metadata))
        if path == "/userinfo" and self.userinfo is not None:
            return self.userinfo(headers.get("Authorization", "").removeprefix("Bearer "))
        if path == "/jwks":
            return as_json({"keys": self.jwks})
        if (method, path) == ("POST", "/token"):
            return self._exchange(form)
        if (method, path) == ("POST", "/revoke"):
            self._good.discard(form.get("token", ""))
            return Raw()
        return Raw(404)

    def _description(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "jwks_uri": f"{self.origin}/jwks",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **({} if self.userinfo is None else {"userinfo_endpoint": f"{self.origin}/userinfo"}),
        }

    def _exchange(self, form: dict[str, str]) -> Raw:
        if form.get("grant_type") == "refresh_token":
            with self._lock:
                token = form["refresh_token"]
                used = self.strict and token not in self._good
                self.replays += used
                if self.strict:
                    self._good.discard(token)
            return as_json({"error": "invalid_grant"}, 400) if used else self._tokens({})
        request = self._granted.pop(form.get("code", ""), None)
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            request is None
            or challenge != request["code_challenge"]
            or form.get("redirect_uri") != request["redirect_uri"]
        ):
            return as_json({"error": "invalid_grant"}, 400)
        return self._tokens(request)

    def _tokens(self, request: Mapping[str, str]) -> Raw:
        access_token = str(self.token.get("access_token", secrets.token_urlsafe(32)))
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "person-1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "at_hash": at_hash(access_token),
            **({"nonce": request["nonce"]} if "nonce" in request else {}),
        }
        header = changed({"alg": "RS256", "kid": "one", "typ": "JWT"}, self.header)
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": self.issue(),
            "id_token": self.id_token(signed(header, changed(claims, self.claims), self.key)),
            "scope": request.get("scope", "openid profile"),
        }
        return as_json(changed(answer, self.token))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    provider: Provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that hangs up early is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        provider = self.server.provider
        provider.targets.append(self.path)
        raw = provider.answer(method, urlsplit(self.path).path, dict(parse_qsl(body)), self.headers)
        if provider.goes_unanswered(urlsplit(self.path).path):
            return
        self.send_response_only(raw.status)
        if "Date" not in raw.headers:
            self.send_header("Date", self.date_time_string())
        for name, value in raw.headers.items():
            self.send_header(name, value)
        if raw.headers_end:
            if not raw.slowly:
                self.send_header("Content-Length", str(len(raw.body)))
            self.end_headers()
        else:
            self.flush_headers()
        self.wfile.write(raw.body)
        for piece in raw.slowly:
            if provider.ending.wait(raw.pause):
                return
            self.wfile.write(piece)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is http.server's
        """Nothing."""


class CountingProxy:
    """An HTTP proxy that lets nothing through: it writes down what it was asked for and answers 502."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def refuse(self) -> None:
                asked.append(f"{self.command} {self.path}")
                self.send_error(502)

            do_GET = do_POST = do_CONNECT = refuse  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is http.server's
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
