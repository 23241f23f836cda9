"""The victim's app as an OAuth client: how it signs people in, renews, and calls the API, with checks as switches."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from lexoffice_nb.sandbox.database import new_secret
from lexoffice_nb.sandbox.paper import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.sandbox.workshop.defences import Defences
    from lexoffice_nb.sandbox.workshop.journal import Marks

_SCOPE = "openid profile offline_access"
_TIMEOUT = 10


@dataclass(frozen=True)
class Login:
    """A login under way: where it was begun, and what its answer has to fit."""

    server: str
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str | None = field(repr=False)


@dataclass(frozen=True)
class Tokens:
    """Tokens of one login, with the server that they are from; `expires_at` is a time of `time.monotonic`."""

    server: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float


@dataclass
class Session:
    """A browser that the app knows by its cookie."""

    owner: str
    cookie: str = field(default_factory=new_secret, repr=False)
    login: Login | None = None
    tokens: Tokens | None = None
    renewing: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Refused(Exception):
    """The app does not go on; `reason` is what the journal says."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class AppClient:
    """The app towards the servers.

    Args:
        issuer: Base URL of the server that it trusts.
        second: Base URL of the other server that people may choose.
        marks: Mark its requests to them.
        defences: What it checks at the moment.
        redirect_uri: Where answers to its logins are sent, at the moment.
    """

    def __init__(
        self,
        issuer: str,
        second: str,
        marks: Marks,
        defences: Callable[[], Defences],
        redirect_uri: Callable[[], str],
    ) -> None:
        self._issuer = issuer
        self._second = second
        self._marks = marks
        self._current = defences
        self._redirect_uri = redirect_uri

    @property
    def _defences(self) -> Defences:
        return self._current()

    # -- the login

    def begin_login(self, session: Session, at_second: bool) -> str:
        """The authorization request that a browser is sent to (RFC 6749, section 4.1.1)."""
        method = self._defences.pkce
        verifier = None if method == "none" else new_secret()
        server = self._second if at_second else self._issuer
        session.login = login = Login(server, self._redirect_uri(), new_secret(), verifier)
        asked = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": login.redirect_uri,
            "scope": _SCOPE,
            "state": login.state,
        }
        if verifier is not None:
            challenge = verifier if method == "plain" else _s256(verifier)
            asked |= {"code_challenge": challenge, "code_challenge_method": method}
        return f"{server}/connect/authorize?{urlencode(asked)}"

    def finish_login(self, session: Session, answer: Mapping[str, str]) -> None:
        """Check the answer and exchange its code.

        Raises:
            Refused: A check failed, or the server refused.
        """
        login, session.login = session.login, None
        if self._defences.checks_state and (login is None or not equal(login.state, answer.get("state", ""))):
            raise Refused("state_mismatch")
        # An app that does not compare the state takes whatever comes as an answer of its usual server.
        login = login or Login(self._issuer, self._redirect_uri(), "", None)
        if self._defences.checks_iss and answer.get("iss") != login.server:
            raise Refused("issuer_mismatch")
        code = answer.get("code")
        if not code:
            raise Refused("no_code")
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": login.redirect_uri}
        if login.verifier is not None:
            form["code_verifier"] = login.verifier
        session.tokens = self._ask_for_tokens(session, login.server, form)

    # -- the tokens

    def call_api(self, session: Session) -> dict[str, Any]:
        """The profile of whoever is signed in.

        Raises:
            Refused: Nobody is, any more or yet.
        """
        tokens = self._living_tokens(session)
        with self._http() as http:
            answer = http.get(
                f"{tokens.server}/v1/profile",
                headers={"Authorization": f"Bearer {tokens.access}", **self._marks.new("app", session.owner)},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        if answer.status_code != 200:
            session.tokens = None
            raise Refused("invalid_token", 401)
        profile: dict[str, Any] = answer.json()
        return {"companyName": profile.get("companyName"), "signedInAs": profile.get("created", {}).get("userName")}

    def _living_tokens(self, session: Session) -> Tokens:
        tokens = session.tokens
        if tokens is None:
            raise Refused("signed_out", 401)
        if time.monotonic() < tokens.expires_at:
            return tokens
        if not self._defences.single_flight:
            return self._renewed(session, tokens)
        with session.renewing:
            current = session.tokens
            if current is None:
                raise Refused("signed_out", 401)
            return current if current is not tokens else self._renewed(session, tokens)

    def _renewed(self, session: Session, tokens: Tokens) -> Tokens:
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh}
        try:
            session.tokens = renewed = self._ask_for_tokens(session, tokens.server, form)
        except Refused as refused:
            session.tokens = None
            refused.status = 401
            raise
        return renewed

    def _ask_for_tokens(self, session: Session, server: str, form: dict[str, str]) -> Tokens:
        with self._http() as http:
            answer = http.post(
                f"{server}/connect/token",
                data={"client_id": CLIENT_ID, **form},
                headers=self._marks.new("app", session.owner),
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        body = answer.json()
        if answer.status_code != 200:
            raise Refused(str(body.get("error", "server_error")))
        expires_at = time.monotonic() + float(body["expires_in"])
        return Tokens(server, body["access_token"], body["refresh_token"], expires_at)

    @staticmethod
    def _http() -> requests.Session:
        http = requests.Session()
        http.trust_env = False  # no proxy and no netrc between us and our own machine
        return http


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def equal(one: str, other: str) -> bool:
    """Whether two texts are equal, in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
