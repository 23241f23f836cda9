"""A provider of another make: one of several tenants under one origin, with the habits of the servers one meets.

Its issuer has a path; only its RFC 8414 document names the revocation endpoint; it signs with ES256; it neither
promises nor sends `iss`; it says `bearer`, and the life of a token as a string; it leaves `scope` out, and the ID token
when it renews; its errors are JSON without `error`. What it has to check, it checks.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwk, jwt

CLIENT_ID = "lexoffice-nb"
TENANT = "/tenant/a"
_PAGE = """<!doctype html><title>Freigabe</title><h1>Freigabe</h1>
<form method="post" action="{action}"><input type="hidden" name="prompt" value="consent">
<input type="hidden" name="ticket" value="{ticket}"><input name="login"><button>Erlauben</button></form>
<a href="{action}?ticket={ticket}">Ablehnen</a>"""


class _Refused(Exception):
    """What the provider does not do, in its own words."""


@dataclass
class _Family:
    """One sign-in: the tokens that came of it die together."""

    person: str
    alive: bool = True
    refresh_token: str = ""
    access_tokens: set[str] = field(default_factory=set)


class PathIssuer:
    """The provider.

    Attributes:
        issuer: `http://127.0.0.1:PORT/tenant/a`.
        asked: `(path, form)` of each request with a form, in order.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._key = jwk.ECKey.generate_key("P-256", {"kid": "tenant-a-1", "use": "sig"})
        self._requests: dict[str, dict[str, str]] = {}
        self._codes: dict[str, tuple[dict[str, str], _Family]] = {}
        self._families: dict[str, _Family] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = self.origin + TENANT

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def is_active(self, token: str) -> bool:
        """Whether a token is good."""
        family = self._families.get(token)
        return family is not None and family.alive and token in {family.refresh_token, *family.access_tokens}

    # --- what it answers: a document, a page, or a place to go to ---

    def answer(self, method: str, path: str, query: dict[str, str], form: dict[str, str]) -> Any:
        with self._lock:
            if form:
                self.asked.append((path, form))
            match method, path:
                case "GET", "/tenant/a/.well-known/openid-configuration":
                    return self._description()
                case "GET", "/.well-known/oauth-authorization-server/tenant/a":
                    return {**self._description(), "revocation_endpoint": f"{self.issuer}/revoke"}
                case "GET", "/tenant/a/keys":
                    return {"keys": [self._key.as_dict(private=False)]}
                case "GET", "/tenant/a/authorize":
                    return self._ask(query)
                case "GET", "/tenant/a/decision":
                    return self._decided(self._requests.pop(query["ticket"]), None)
                case "POST", "/tenant/a/decision":
                    return self._decided(self._requests.pop(form["ticket"]), form["login"])
                case "POST", "/tenant/a/token":
                    return self._token(form)
                case "POST", "/tenant/a/revoke":
                    return self._revoke(form)
        return None

    def _description(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _ask(self, request: dict[str, str]) -> str:
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
        if wanted.items() - request.items() or not request.keys() >= {"code_challenge", "redirect_uri", "state"}:
            raise _Refused("this is no authorization request")
        ticket = secrets.token_urlsafe()
        self._requests[ticket] = request
        return _PAGE.format(action=html.escape(f"{TENANT}/decision"), ticket=ticket)

    def _decided(self, request: dict[str, str], person: str | None) -> _Redirect:
        answer = {"state": request["state"]}
        if person:
            answer["code"] = secrets.token_urlsafe()
            self._codes[answer["code"]] = request, _Family(person)
        else:
            answer["error"] = "access_denied"
        return _Redirect(f"{request['redirect_uri']}?{urlencode(answer)}")

    def _token(self, form: dict[str, str]) -> dict[str, Any]:
        if form.get("client_id") != CLIENT_ID:
            raise _Refused("unknown application")
        if form.get("grant_type") == "refresh_token":
            return self._renewed(form)
        request, family = self._codes.get(form.get("code", ""), ({}, _Family("", alive=False)))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        good = (
            request.get("redirect_uri") == form.get("redirect_uri")
            and request.get("code_challenge") == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        )
        if not good or family.refresh_token:
            family.alive = False  # also where the code comes a second time: one of the two stole it
            raise _Refused("code not accepted")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": family.person,
            "aud": [CLIENT_ID],
            "iat": now,
            "exp": now + 300,
            "nonce": request["nonce"],
        }
        header = {"alg": "ES256", "kid": self._key.kid}
        return {**self._tokens(family), "id_token": jwt.encode(header, claims, self._key, algorithms=["ES256"])}

    def _renewed(self, form: dict[str, str]) -> dict[str, Any]:
        token = form.get("refresh_token", "")
        family = self._families.get(token)
        if family is None or not self.is_active(token):
            if family is not None:
                family.alive = False
            raise _Refused("session ended")
        return self._tokens(family)

    def _tokens(self, family: _Family) -> dict[str, Any]:
        access_token = secrets.token_urlsafe(32)
        family.refresh_token = secrets.token_urlsafe(32)
        family.access_tokens.add(access_token)
        self._families[access_token] = self._families[family.refresh_token] = family
        return {
            "access_token": access_token,
            "token_type": "bearer",
            "expires_in": "3600",
            "refresh_token": family.refresh_token,
        }

    def _revoke(self, form: dict[str, str]) -> dict[str, Any]:
        if family := self._families.get(form["token"]):
            family.alive = False
        return {}


class _Redirect(str):
    """Where the browser is sent to."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    provider: PathIssuer


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._answer(dict(parse_qsl(body)))

    def _answer(self, form: dict[str, str]) -> None:
        url = urlsplit(self.path)
        try:
            answer = self.server.provider.answer(self.command, url.path, dict(parse_qsl(url.query)), form)
        except _Refused as refusal:
            self._send(400, "application/json", json.dumps({"code": 4001, "message": str(refusal)}))
            return
        match answer:
            case None:
                self._send(404, "text/html", "<h1>404</h1>")
            case _Redirect():
                self._send(302, "text/html", "", Location=answer)
            case str():
                self._send(200, "text/html; charset=utf-8", answer)
            case _:
                self._send(200, "application/json", json.dumps(answer))

    def _send(self, status: int, kind: str, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is http.server's
        """Nothing."""
