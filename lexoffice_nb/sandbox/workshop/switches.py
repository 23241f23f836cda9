"""The issuer's checks as switches: subclasses of the ones that are always on.

They also note which check is under way, so that the journal can say which one refused a request. An OAuth error code
does not: `invalid_grant` has many causes. At authorize (and at a consent, which checks again) these are:

- `client`: no such client;
- `redirect_uri`: it begins with the registered one, and goes on; `redirect_uri_foreign`: it does not even do that;
- `response_type`;
- `challenge_missing`, `method` (PKCE's, not S256), `challenge` (malformed);

and at token:

- `grant_type`, `client` (unknown, or not the one that the code was issued to);
- `code_unknown`, `code_used`, `code_expired`;
- `redirect_uri`: not the one of the authorization request;
- `verifier`: missing or wrong; `challenge_missing`: there is a verifier, and there was no challenge;
- `refresh_token`: unknown, used, or ended.
"""

from __future__ import annotations

import hmac
import re
import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from flask import g

from lexoffice_nb.sandbox.authorization import Issuer
from lexoffice_nb.sandbox.database import digest
from lexoffice_nb.sandbox.grant_types import CodeGrant, S256Required
from lexoffice_nb.sandbox.grants import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.sandbox.clients import Client
    from lexoffice_nb.sandbox.database import Database
    from lexoffice_nb.sandbox.people import Person
    from lexoffice_nb.sandbox.workshop.defences import Defences

# Marks a stored challenge as plain; neither challenge nor verifier may contain a colon (RFC 7636, section 4.1).
_PLAIN = "plain:"
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def failed_check() -> str | None:
    """The check that was under way when the current request was refused; None if it was refused before."""
    found: str | None = g.get("check")
    return found


def _checking(name: str | None) -> None:
    g.check = name


def challenge_method(parameters: Mapping[str, str]) -> str:
    """How an authorization request uses PKCE: `none`, `plain` or `S256` (RFC 7636, section 4.3)."""
    if not parameters.get("code_challenge"):
        return "none"
    return "S256" if parameters.get("code_challenge_method") == "S256" else "plain"


class SwitchedPkce(S256Required):
    """PKCE, as strict as the issuer's defences say."""

    CODE_CHALLENGE_METHODS = {  # noqa: RUF012 - the name and shape are Authlib's
        **S256Required.CODE_CHALLENGE_METHODS,
        "plain": lambda verifier, challenge: hmac.compare_digest(verifier, challenge),
    }

    def validate_code_challenge(self, grant: Any, _result: None) -> None:
        """Let a request pass without a challenge, or with a plain one, if that defence is off."""
        sent, defences = grant.request.payload.data, grant.server.defences
        method = challenge_method(sent)
        _checking({"none": "challenge_missing", "plain": "method", "S256": "challenge"}[method])
        self._validate(grant, method, sent, defences)
        _checking(None)

    def _validate(self, grant: Any, method: str, sent: Mapping[str, str], defences: Defences) -> None:
        if method == "none" and not defences.pkce_required:
            return
        if method == "plain" and not defences.s256_only:
            if not _CHALLENGE.fullmatch(sent["code_challenge"]):
                raise InvalidRequestError("code_challenge must be 43 to 128 unreserved characters")
            return
        super().validate_code_challenge(grant, None)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Check the verifier: always, or only where there was a challenge."""
        as_strict = SwitchedPkce(required=grant.server.defences.pkce_required)
        has_verifier = bool(grant.request.form.get("code_verifier"))
        unasked = has_verifier and not self.get_authorization_code_challenge(grant.request.authorization_code)
        _checking("challenge_missing" if unasked else "verifier")
        super(SwitchedPkce, as_strict).validate_code_verifier(grant, result)
        _checking(None)

    def get_authorization_code_challenge(self, authorization_code: Grant) -> str:
        """The challenge that the code was bound to; nothing if there was none."""
        return authorization_code.code_challenge.removeprefix(_PLAIN)

    def get_authorization_code_challenge_method(self, authorization_code: Grant) -> str:
        """Its method."""
        return "plain" if authorization_code.code_challenge.startswith(_PLAIN) else "S256"


class SwitchedCodeGrant(CodeGrant):
    """Codes that can be used again if that defence is off."""

    def challenge_of(self, sent: Mapping[str, str]) -> str:
        """What the code is bound to."""
        method = challenge_method(sent)
        return {"none": "", "plain": _PLAIN}.get(method, "") + sent.get("code_challenge", "")

    def query_authorization_code(self, code: str, client: Client) -> Grant | None:
        """Take the code, or only look at it."""
        _checking(self.server.fault_of_code(code, client.get_client_id()))  # first: taking it changes the answer
        found: Grant | None
        if self.server.defences.codes_once:
            found = super().query_authorization_code(code, client)
        else:
            found = self.server.look_at_code(code, client.get_client_id())
        if found is not None:
            _checking("redirect_uri")  # what Authlib compares next
        return found


class SwitchedIssuer(Issuer):
    """An issuer whose checks can be switched off.

    Args:
        defences: What it checks at the moment.
        registered: The redirect URI that the client is registered with at the moment.
        database: Where its codes are.
        arguments: As those of an issuer.
    """

    code_grant = SwitchedCodeGrant
    pkce = SwitchedPkce

    def __init__(
        self,
        *arguments: Any,
        defences: Callable[[], Defences],
        registered: Callable[[], str],
        database: Database,
        **more: Any,
    ) -> None:
        self._defences = defences
        self._registered = registered
        self._database = database
        super().__init__(*arguments, **more)

    @property
    def defences(self) -> Defences:
        """What it checks at the moment."""
        return self._defences()

    def check_authorization_request(self, parameters: dict[str, str]) -> str:
        """Validate an authorization request; the checks are those of every issuer, and noted."""
        redirect_uri = parameters.get("redirect_uri", "")
        if self.query_client(parameters.get("client_id", "")) is None:
            _checking("client")
        elif not self.client.check_redirect_uri(redirect_uri):
            begins = redirect_uri.startswith(self._registered())
            _checking("redirect_uri" if begins else "redirect_uri_foreign")
        elif parameters.get("response_type") != "code":
            _checking("response_type")
        return super().check_authorization_request(parameters)

    def create_token_response(self, request: Any = None) -> Any:
        """Answer a token request."""
        _checking("grant_type")
        return super().create_token_response(request)

    def authenticate_client(self, request: Any, methods: list[str], endpoint: str = "token") -> Any:
        """The client that sent a request."""
        _checking("client")
        client = super().authenticate_client(request, methods, endpoint)
        _checking("refresh_token" if request.form.get("grant_type") == "refresh_token" else None)
        return client

    def fault_of_code(self, code: str, client_id: str) -> str:
        """Why a code is refused; `code_used` if there is no reason yet, as somebody may be first."""
        row = self._database.row(
            "SELECT c.used_at, c.expires, f.client_id FROM codes c JOIN families f ON f.id = c.family"
            " WHERE c.digest = ?",
            digest(code),
        )
        if row is None:
            return "code_unknown"
        used_at, expires, owner = row
        if used_at is None and expires <= time.time():
            return "code_expired"
        return "client" if used_at is None and owner != client_id else "code_used"

    def look_at_code(self, code: str, client_id: str) -> Grant | None:
        """What a code stands for, whether it was used before or not."""
        row = self._database.row(
            "SELECT f.id, f.client_id, f.person, f.scope, f.nonce, f.auth_time, c.redirect_uri, c.challenge"
            " FROM codes c JOIN families f ON f.id = c.family WHERE c.digest = ? AND c.expires > ? AND f.client_id = ?",
            *(digest(code), time.time(), client_id),
        )
        return None if row is None else Grant(*row)

    def answer(self, parameters: dict[str, str], person: Person | None, auth_time: float) -> str:
        """The Location of the authorization response; an error if the defences have changed while the person read."""
        try:
            return super().answer(parameters, person, auth_time)
        except OAuth2Error as error:
            error.state = parameters.get("state")
            return self.named(parameters["redirect_uri"], error.get_body())
