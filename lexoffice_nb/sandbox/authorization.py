"""The authorization server: Authlib's grants, with what they leave open closed.

Stock Authlib lets an authorization request pass without PKCE, takes a challenge without a method as `plain`, and
looks up and deletes a code in two steps, so that all of a race can exchange it. The classes here require S256, let
one statement of the database decide about codes and refresh tokens, and sign ID tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from authlib.common.urls import add_params_to_uri
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    ClientMixin,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from joserfc import jwt

from lexoffice_nb.sandbox.grants import Grant, Grants
from lexoffice_nb.sandbox.people import PEOPLE, Person
from lexoffice_nb.sandbox.scopes import DEFAULT_SCOPE, SCOPES, words

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

    from lexoffice_nb.sandbox.settings import SandboxSettings

CLIENT_ID = "lexoffice-nb"
CLIENT_NAME = "lexoffice_nb"
PASTE_REDIRECT_URI = "http://127.0.0.1/lexoffice-nb/paste"
_LOOPBACK_REDIRECT_URI = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?/callback")
_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class NotebookClient(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """The one registered client: public, native, PKCE (RFC 8252)."""

    def get_client_id(self) -> str:
        """Its identifier."""
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        """None: `redirect_uri` has to be sent."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """The scope of a request, with the default for none (RFC 6749, section 3.3)."""
        return " ".join(words(scope)) or DEFAULT_SCOPE

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Exact match, with a free port for loopback addresses (RFC 8252, section 7.3; RFC 9700, section 2.1)."""
        if redirect_uri == PASTE_REDIRECT_URI:
            return True
        loopback = _LOOPBACK_REDIRECT_URI.fullmatch(redirect_uri)
        return loopback is not None and int(loopback[1] or 80) <= 65535

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A public client: only `none`."""
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        """Only `code`."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Codes and refresh tokens."""
        return grant_type in ("authorization_code", "refresh_token")


class StoredRequest(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    """An authorization request that was validated earlier and waited for the person."""

    def __init__(self, issuer: str, parameters: dict[str, str]) -> None:
        super().__init__("GET", f"{issuer}/connect/authorize", headers={})
        self.payload = BasicOAuth2Payload(parameters)
        self.auth_time = 0.0


class S256Required(CodeChallenge):  # type: ignore[misc]  # Authlib ships no types
    """PKCE with S256, for every request (RFC 7636, section 4.4.1; RFC 9700, section 2.1.1)."""

    CODE_CHALLENGE_METHODS = {  # noqa: RUF012 - the name and shape are Authlib's
        "S256": lambda verifier, challenge: hmac.compare_digest(_s256(verifier), challenge)
    }

    def validate_code_challenge(self, grant: Any, _result: None) -> None:
        """Refuse a request whose challenge is missing, malformed, or not S256."""
        sent = grant.request.payload.data
        if not sent.get("code_challenge"):
            raise InvalidRequestError("code_challenge is required")
        # A missing method means plain (RFC 7636, section 4.3), and plain protects nobody who can read the request.
        if sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        if not _S256_CHALLENGE.fullmatch(sent["code_challenge"]):
            raise InvalidRequestError("code_challenge must be 43 base64url characters")


def _s256(verifier: str) -> str:
    return _base64url(hashlib.sha256(verifier.encode("ascii")).digest())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    """RFC 6749, section 4.1, with codes that work once whatever the race."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 - the name and shape are Authlib's

    def generate_authorization_code(self) -> str:
        """A code bound to client, redirect URI, challenge and person; only its digest is kept."""
        request = self.request
        sent = request.payload.data
        grant = Grant(
            family=str(uuid.uuid4()),
            client_id=request.client.get_client_id(),
            person=request.user.id,
            scope=request.scope,
            nonce=sent.get("nonce") or None,
            auth_time=request.auth_time,
            redirect_uri=sent["redirect_uri"],
            code_challenge=sent["code_challenge"],
        )
        return str(self.server.grants.issue_code(grant, self.server.settings.code_life))

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Nothing to do: it was stored, hashed, when it was made."""

    def query_authorization_code(self, code: str, client: NotebookClient) -> Grant | None:
        """Take the code. It is used up now, even if redirect URI or verifier turn out wrong."""
        grant: Grant | None = self.server.grants.use_code(code, client.get_client_id())
        return grant

    def delete_authorization_code(self, authorization_code: Grant) -> None:
        """Nothing to do: a used code is remembered, so that its reuse is noticed."""

    def authenticate_user(self, authorization_code: Grant) -> Person | None:
        """Who allowed it."""
        return PEOPLE.get(authorization_code.person)


class RotatingRefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib ships no types
    """RFC 6749, section 6, with rotation and reuse detection (RFC 9700, section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 - the name and shape are Authlib's
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Grant | None:
        """What a live refresh token stands for."""
        grant: Grant | None = self.server.grants.find_refresh_token(refresh_token)
        return grant

    def authenticate_user(self, refresh_token: Grant) -> Person | None:
        """Who allowed it."""
        return PEOPLE.get(refresh_token.person)

    def create_token_response(self) -> Any:
        """New tokens for the first request that takes the old one; the family ends at a second."""
        if not self.server.grants.use_refresh_token(
            self.request.form["refresh_token"], self.request.refresh_token.family
        ):
            raise InvalidGrantError()
        return super().create_token_response()

    def revoke_old_credential(self, refresh_token: Grant) -> None:
        """Nothing to do: it was taken before the new ones were made."""


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib ships no types
    """RFC 7009 for the public client."""

    CLIENT_AUTH_METHODS = ["none"]  # noqa: RUF012 - the name and shape are Authlib's

    def authenticate_token(self, request: Any, client: NotebookClient) -> str:
        """The token as sent; an unknown one is no error (RFC 7009, section 2.2)."""
        self.check_params(request, client)
        return str(request.form["token"])

    def revoke_token(self, token: str, request: Any) -> None:
        """End the token, and with a refresh token its family."""
        self.server.grants.revoke(token, request.client.get_client_id())


class Issuer(AuthorizationServer):  # type: ignore[misc]  # Authlib ships no types
    """The authorization server of one sandbox."""

    def __init__(self, url: str, key: RSAKey, grants: Grants, settings: SandboxSettings) -> None:
        super().__init__()
        self.url = url
        self.key = key
        self.grants = grants
        self.settings = settings
        self.scopes_supported = SCOPES
        self.register_grant(CodeGrant, [S256Required(required=True), self._add_id_token])
        self.register_grant(RotatingRefreshGrant, [self._add_id_token])
        self.register_endpoint(Revocation)

    def query_client(self, client_id: str) -> NotebookClient | None:
        """The registered client of this name."""
        return NotebookClient() if client_id == CLIENT_ID else None

    def create_oauth2_request(self, request: Any) -> Any:
        """Authlib's view of a request: a stored one as it is, else the one that Flask serves."""
        return request if isinstance(request, StoredRequest) else super().create_oauth2_request(request)

    def check_authorization_request(self, parameters: dict[str, str]) -> str:
        """Validate an authorization request (RFC 6749, section 4.1.1); returns its redirect URI.

        Raises:
            OAuth2Error: With a `redirect_uri` if the error may be sent there.
        """
        # Authlib quotes what was sent in its descriptions, and fails on characters that RFC 6749 forbids there.
        redirect_uri = parameters.get("redirect_uri", "")
        if self.query_client(parameters.get("client_id", "")) is None:
            raise InvalidClientError()
        if not NotebookClient().check_redirect_uri(redirect_uri):
            raise InvalidRequestError()
        if parameters.get("response_type") != "code":
            state = parameters.get("state")
            raise OAuth2Error(error="unsupported_response_type", redirect_uri=redirect_uri, state=state)
        return str(self.get_consent_grant(StoredRequest(self.url, parameters)).redirect_uri)

    def requested_scopes(self, parameters: dict[str, str]) -> list[str]:
        """The scopes a request asks for, the default ones if it names none."""
        return words(NotebookClient().get_allowed_scope(parameters.get("scope")))

    def answer(self, parameters: dict[str, str], person: Person | None, auth_time: float) -> str:
        """The Location of the authorization response; without a person it is `access_denied`."""
        request = StoredRequest(self.url, parameters)
        request.auth_time = auth_time
        grant = self.get_consent_grant(request)
        return self.named(self.create_authorization_response(request, grant_user=person, grant=grant).location, [])

    def named(self, location: str, parameters: list[tuple[str, str]]) -> str:
        """An authorization response, or an error, that says who sends it (RFC 9207, section 2)."""
        return str(add_params_to_uri(location, [*parameters, ("iss", self.url)]))

    def generate_token(
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """The fields of a token response; the tokens themselves come with `save_token`."""
        granted = [each for each in words(scope) if each not in self.settings.drop_scopes]
        return {"token_type": "Bearer", "expires_in": self.settings.access_token_life, "scope": " ".join(granted)}

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Make and store the tokens of a response."""
        # After Authlib's own log line, which would write them down.
        grant = request.authorization_code or request.refresh_token
        token["access_token"], token["refresh_token"] = self.grants.issue_tokens(
            grant.family, token["scope"], self.settings.access_token_life, self.settings.refresh_token_life
        )

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuse unknown scopes (RFC 6749, section 3.3)."""
        if not set(words(scope)) <= set(SCOPES):
            raise InvalidScopeError()

    def _add_id_token(self, grant: Any) -> None:
        grant.register_hook("after_create_token_response", self._sign_id_token)

    def _sign_id_token(self, endpoint_grant: Any, response: tuple[int, dict[str, Any], Any]) -> None:
        """Put an ID token into a token response (OpenID Connect Core, sections 2, 3.1.3.6 and 12.2)."""
        token, request = response[1], endpoint_grant.request
        if "openid" not in words(token["scope"]):
            return
        grant: Grant = request.authorization_code or request.refresh_token
        now = int(time.time() + self.settings.clock_offset)
        half = hashlib.sha256(token["access_token"].encode("ascii")).digest()[:16]
        claims = {
            "iss": self.url,
            "sub": request.user.subject,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self.settings.id_token_life,
            "auth_time": int(grant.auth_time + self.settings.clock_offset),
            "at_hash": _base64url(half),
            **({"nonce": grant.nonce} if grant.nonce else {}),
            **person_claims(request.user, token["scope"]),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key.kid}
        token["id_token"] = jwt.encode(header, claims, self.key, algorithms=["RS256"])


def person_claims(person: Person, scope: str) -> dict[str, Any]:
    """The claims about a person that a scope opens (OpenID Connect Core, section 5.4)."""
    allowed, claims = words(scope), dict[str, Any]()
    if "profile" in allowed:
        given, family = person.name.split(" ", 1)
        claims |= {"name": person.name, "given_name": given, "family_name": family}
    if "email" in allowed:
        claims |= {"email": person.email, "email_verified": True}
    return claims
