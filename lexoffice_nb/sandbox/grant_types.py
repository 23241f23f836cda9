"""The grants of RFC 6749: Authlib's, with what they leave open closed.

Stock Authlib lets an authorization request pass without PKCE, takes a challenge without a method as `plain`, and
looks up and deletes a code in two steps, so that all of a race can exchange it. The classes here require S256 and let
one statement of the database decide about codes and refresh tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from lexoffice_nb.sandbox.database import new_secret
from lexoffice_nb.sandbox.grants import Grant
from lexoffice_nb.sandbox.people import PEOPLE, Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authlib.oauth2.rfc6749 import OAuth2Request

    from lexoffice_nb.sandbox.clients import Client

_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


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
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    """RFC 6749, section 4.1, with codes that work once whatever the race."""

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
            code_challenge=self.challenge_of(sent),
        )
        code = new_secret(self.server.contract.code_octets)
        self.server.grants.issue_code(grant, code, self.server.settings.code_life)
        return code

    def challenge_of(self, sent: Mapping[str, str]) -> str:
        """The challenge that the code is bound to."""
        return sent["code_challenge"]

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Nothing to do: it was stored, hashed, when it was made."""

    def query_authorization_code(self, code: str, client: Client) -> Grant | None:
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
    """RFC 7009."""

    def authenticate_token(self, request: Any, client: Client) -> str:
        """The token as sent; an unknown one is no error (RFC 7009, section 2.2)."""
        self.check_params(request, client)
        return str(request.form["token"])

    def revoke_token(self, token: str, request: Any) -> None:
        """End the token, and with a refresh token its family."""
        self.server.grants.revoke(token, request.client.get_client_id())
