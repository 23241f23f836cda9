"""Userinfo: what the provider says about the person who signed in (OpenID Connect Core section 5.3).

It comes as plain JSON, or signed like an ID token where the client is registered so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lexoffice_nb.errors import LoginError, UserinfoError, shielded
from lexoffice_nb.oauth.id_token import SKEW_SECONDS, IssuerKeys, is_number, signed_claims
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.trace import Recorder, observed
from lexoffice_nb.oauth.transport import Answer, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.oauth.provider import Provider

USERINFO_LIMIT = 256 * 1024
SIGNED = "application/jwt"
# What is wrong with an ID token -> what it is called here. Other codes (no connection, no keys) are good for both.
_CODES = {
    "id_token_malformed": "userinfo_malformed",
    "alg_not_allowed": "userinfo_alg",
    "header_crit": "userinfo_header",
    "header_key": "userinfo_header",
    "header_typ": "userinfo_header",
    "key_unknown": "userinfo_key",
    "key_ambiguous": "userinfo_key",
    "key_weak": "userinfo_key",
    "signature_bad": "userinfo_signature",
}


@shielded
def userinfo(
    provider: Provider,
    keys: IssuerKeys | None,
    client_id: str,
    access_token: Secret,
    subject: str,
    recorder: Recorder | None = None,
) -> Mapping[str, Any]:
    """Asks a provider who signed in; the access token goes to its userinfo endpoint only, redirects are not followed.

    Args:
        provider: the provider that gave the access token.
        keys: its keys, for an answer that is signed.
        client_id: whom a signed answer must be for, if it says so.
        access_token: the bearer.
        subject: the `sub` of the verified ID token, which the answer must repeat; where it is empty, none is believed.
        recorder: who may see the request, without its secrets.

    Returns:
        The claims.

    Raises:
        UserinfoError: if there is no such endpoint, or its answer is not to be believed; the value `status` is there
            where the answer is none.
        LoginError: if the provider does not answer; stage `userinfo`.
    """
    endpoint = provider.userinfo_endpoint
    if not endpoint:
        raise UserinfoError("userinfo_none")
    headers: dict[str, str | Secret] = {
        "Accept": f"application/json, {SIGNED}",
        "Authorization": Secret(f"Bearer {access_token.reveal()}"),
    }
    answer = observed(recorder, "GET", endpoint, stage="userinfo", limit=USERINFO_LIMIT, headers=headers)
    if answer.status == 200 and _kind(answer) == SIGNED:
        claims = _signed(answer, keys)
        _check_signed(claims, provider.issuer, client_id)
    elif (plain := _plain(answer)) is not None:
        claims = plain
    else:
        raise UserinfoError("userinfo_unreadable", host=Origin.of(endpoint).host, status=answer.status)
    # Tokens can be swapped: only the same subject makes it the same person (section 5.3.2).
    if not subject or claims.get("sub") != subject:
        raise UserinfoError("userinfo_sub")
    return claims


def _kind(answer: Answer) -> str:
    """The media type, without its parameters (RFC 9110 section 8.3.1)."""
    given = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    return given.partition(";")[0].strip().lower()


def _plain(answer: Answer) -> dict[str, Any] | None:
    try:
        claims = answer.json() if answer.status == 200 else None
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _signed(answer: Answer, keys: IssuerKeys | None) -> dict[str, Any]:
    compact = answer.body.decode("utf-8", "replace").strip()
    if compact.count(".") == 4:  # RFC 7516 section 3.1
        raise UserinfoError("userinfo_encrypted")
    if keys is None:
        raise UserinfoError("userinfo_key")
    try:
        return signed_claims(compact, keys)[1]
    except LoginError as error:
        raise UserinfoError(_CODES.get(error.code, error.code), stage="userinfo", **error.values) from None


def _check_signed(claims: Mapping[str, Any], issuer: str | None, client_id: str) -> None:
    """Checks what a signed answer says about itself; section 5.3.2 only recommends that it says so."""
    if "iss" in claims and claims["iss"] != issuer:
        raise UserinfoError("userinfo_iss")
    audience = claims.get("aud", client_id)
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise UserinfoError("userinfo_aud")
    now = time.time()
    times = [claims.get(name, now) for name in ("exp", "iat", "nbf")]
    if not all(is_number(moment) for moment in times):
        raise UserinfoError("userinfo_times")
    exp, iat, nbf = times
    if exp <= now - SKEW_SECONDS or max(iat, nbf) > now + SKEW_SECONDS:
        raise UserinfoError("userinfo_times")
