"""The issuer's checks as switches: subclasses of the ones that are always on."""

from __future__ import annotations

import hmac
import re
import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error

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

    def validate_code_challenge(self, grant: Any, result: None) -> None:
        """Let a request pass without a challenge, or with a plain one, if that defence is off."""
        sent, defences = grant.request.payload.data, grant.server.defences
        method = challenge_method(sent)
        if method == "none" and not defences.pkce_required:
            return
        if method == "plain" and not defences.s256_only:
            if not _CHALLENGE.fullmatch(sent["code_challenge"]):
                raise InvalidRequestError("code_challenge must be 43 to 128 unreserved characters")
            return
        super().validate_code_challenge(grant, result)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Check the verifier: always, or only where there was a challenge."""
        as_strict = SwitchedPkce(required=grant.server.defences.pkce_required)
        super(SwitchedPkce, as_strict).validate_code_verifier(grant, result)

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
        if self.server.defences.codes_once:
            return super().query_authorization_code(code, client)
        return self.server.look_at_code(code, client.get_client_id())  # type: ignore[no-any-return]


class SwitchedIssuer(Issuer):
    """An issuer whose checks can be switched off.

    Args:
        defences: What it checks at the moment.
        database: Where its codes are.
        arguments: As those of an issuer.
    """

    code_grant = SwitchedCodeGrant
    pkce = SwitchedPkce

    def __init__(self, *arguments: Any, defences: Callable[[], Defences], database: Database, **more: Any) -> None:
        self._defences = defences
        self._database = database
        super().__init__(*arguments, **more)

    @property
    def defences(self) -> Defences:
        """What it checks at the moment."""
        return self._defences()

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
