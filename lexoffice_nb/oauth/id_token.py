"""The ID token: its signature by one key and one algorithm that we chose, then its claims.

OpenID Connect Core sections 3.1.3.7 and 12.2, RFC 8725. joserfc checks the signature and decides nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from lexoffice_nb.errors import IdTokenError, shielded
from lexoffice_nb.oauth.pkce import base64url
from lexoffice_nb.oauth.trace import Recorder, observed
from lexoffice_nb.oauth.transport import Answer, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lexoffice_nb.oauth.tokens import Secret

TOKEN_LIMIT = 64 * 1024
JWKS_LIMIT = 512 * 1024
SKEW_SECONDS = 60
REFETCH_SECONDS = 60
# Algorithm -> the key type and curve it needs and the hash of its at_hash. Nothing else is accepted, whatever a header
# says.
ALGORITHMS = {
    "RS256": ("RSA", None, hashlib.sha256),
    "PS256": ("RSA", None, hashlib.sha256),
    "ES256": ("EC", "P-256", hashlib.sha256),
    "EdDSA": ("OKP", "Ed25519", hashlib.sha512),
}
LEAST_RSA_OCTETS = 256
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


@dataclass(frozen=True)
class ExpectedClaims:
    """What the ID token of an attempt must say.

    A refreshed token (`subject` given) may leave the nonce and `auth_time` out, but not change them.

    Attributes:
        issuer: who must have made it.
        client_id: whom it must be for.
        nonce: which attempt it must belong to.
        access_token: what its `at_hash`, if there is one, must fit.
        subject: who signed in, where that is known already.
        clock_ahead: seconds by which this machine's clock is ahead of the provider's, where that is known.
        max_age: the seconds that were sent as `max_age`: the person's sign-in at the provider may be older by no more.
        begun: when the authorization request was made, in seconds since 1970; `max_age` counts from there. Without it,
            from now on.
        auth_time: the `auth_time` of the ID token that is being refreshed.
    """

    issuer: str
    client_id: str
    nonce: str
    access_token: Secret
    subject: str | None = None
    clock_ahead: float | None = None
    max_age: int | None = None
    begun: float | None = None
    auth_time: object = None


class IssuerKeys:
    """The keys at an issuer's `jwks_uri`, fetched when they are first needed and once more for an unknown kid."""

    def __init__(self, jwks_uri: str, recorder: Recorder | None = None) -> None:
        self._uri = jwks_uri
        self._recorder = recorder
        self._keys: list[Mapping[str, Any]] = []
        self._refetched = float("-inf")
        self._lock = threading.Lock()

    def key_for(self, header: Mapping[str, Any]) -> Mapping[str, Any]:
        """Gives the one key that fits a token's kid and algorithm.

        Raises:
            IdTokenError: `key_unknown` or `key_ambiguous`.
        """
        with self._lock:
            fitting = self._fitting(header)
            # A provider may have changed its keys just now; the pause keeps forged kids from becoming a flood.
            # Without a kid only fresh keys tell whether the provider still signs with the one that fits.
            doubtful = not fitting or "kid" not in header
            if not self._keys:
                self._fetch()
                fitting = self._fitting(header)
            elif doubtful and time.monotonic() - self._refetched > REFETCH_SECONDS:
                self._refetched = time.monotonic()
                self._fetch()
                fitting = self._fitting(header)
        if not fitting:
            raise IdTokenError("key_unknown")
        if len(fitting) > 1:
            raise IdTokenError("key_ambiguous")
        return fitting[0]

    def prefetch(self) -> None:
        """Fetches the keys if there are none yet, while the person signs in. It never raises: `key_for` says why."""
        with self._lock, suppress(Exception):
            if not self._keys:
                self._fetch()

    def _fitting(self, header: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        algorithm = header["alg"]
        kid = header.get("kid")
        return [
            key
            for key in self._keys
            if (key.get("kty"), key.get("crv")) == ALGORITHMS[algorithm][:2]
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
            and (kid is None or key.get("kid") == kid)
        ]

    def _fetch(self) -> None:
        host = Origin.of(self._uri).host
        answer = observed(self._recorder, "GET", self._uri, title="jwks", stage="id_token", limit=JWKS_LIMIT)
        keys = _keys(answer)
        if keys is None:
            raise IdTokenError("jwks_unreadable", host=host)
        self._keys = keys


def _keys(answer: Answer) -> list[Mapping[str, Any]] | None:
    try:
        document = answer.json() if answer.status == 200 else None
    except ValueError:
        return None
    keys = document.get("keys") if isinstance(document, dict) else None
    return [k for k in keys if isinstance(k, dict)] if isinstance(keys, list) else None


@shielded
def verify_id_token(token: Secret, keys: IssuerKeys, expected: ExpectedClaims) -> Mapping[str, Any]:
    """Checks an ID token and gives its claims, read-only.

    Raises:
        IdTokenError: with a code that names the one thing that was wrong.
        LoginError: if the issuer's keys cannot be fetched.
    """
    compact = token.reveal()
    if len(compact) > TOKEN_LIMIT:
        raise IdTokenError("id_token_too_long")
    algorithm, claims = signed_claims(compact, keys)
    _check_claims(claims, expected)
    _check_at_hash(claims, algorithm, expected.access_token)
    return MappingProxyType(claims)


def signed_claims(compact: str, keys: IssuerKeys) -> tuple[str, dict[str, Any]]:
    """Gives the algorithm and the claims of a JWT that the issuer signed. What the claims say is not checked.

    Raises:
        IdTokenError: if it is no such thing.
        LoginError: if the issuer's keys cannot be fetched.
    """
    header, claims = _parse(compact)
    _check_header(header)
    _check_signature(compact, header["alg"], keys.key_for(header))
    return header["alg"], claims


def _parse(compact: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = compact.split(".")
    if len(parts) != 3 or not all(parts):
        raise IdTokenError("id_token_malformed")
    try:
        header, claims = (json.loads(_decode(part).decode("utf-8")) for part in parts[:2])
    except (ValueError, RecursionError):
        raise IdTokenError("id_token_malformed") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise IdTokenError("id_token_malformed")
    return header, claims


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise IdTokenError("alg_not_allowed")
    if "crit" in header or "b64" in header:
        raise IdTokenError("header_crit")
    # A key that the token brings along proves nothing about who signed it.
    if any(name in header for name in ("jwk", "jku", "x5u")):
        raise IdTokenError("header_key")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise IdTokenError("header_typ")
    if "kid" in header and not isinstance(header["kid"], str):
        raise IdTokenError("key_unknown")


def _check_signature(compact: str, algorithm: str, key: Mapping[str, Any]) -> None:
    """Checks the octets that were signed; joserfc's own reading of the header refuses members that it does not know."""
    import joserfc.errors
    from joserfc import jwk, jws

    kinds: dict[str, Any] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}
    signed, _, signature = compact.rpartition(".")
    good = False
    try:
        if key["kty"] == "RSA" and len(_decode(key["n"]).lstrip(b"\0")) < LEAST_RSA_OCTETS:
            raise IdTokenError("key_weak")
        public = kinds[key["kty"]].import_key({name: key[name] for name in _PUBLIC_MEMBERS if name in key})
        good = jws.JWSRegistry.algorithms[algorithm].verify(signed.encode(), _decode(signature), public)
    except (joserfc.errors.JoseError, ValueError, TypeError, KeyError):
        good = False
    if not good:
        raise IdTokenError("signature_bad")


def _check_claims(claims: Mapping[str, Any], expected: ExpectedClaims) -> None:
    if claims.get("iss") != expected.issuer:
        raise IdTokenError("iss_other")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or (expected.subject is not None and subject != expected.subject):
        raise IdTokenError("sub_bad")
    _check_audience(claims, expected.client_id)
    _check_times(claims, expected.clock_ahead)
    _check_auth_time(claims, expected)
    nonce = claims.get("nonce")
    left_out = nonce is None and expected.subject is not None
    if not left_out and not (isinstance(nonce, str) and _equal(nonce, expected.nonce)):
        raise IdTokenError("nonce_other")


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences: Sequence[object] = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise IdTokenError("aud_other")
    if (len(audiences) > 1 and "azp" not in claims) or claims.get("azp", client_id) != client_id:
        raise IdTokenError("azp_other")


def _check_times(claims: Mapping[str, Any], clock_ahead: float | None) -> None:
    now = time.time()
    exp, iat, nbf = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if not is_number(exp) or not is_number(iat) or not is_number(nbf):
        raise IdTokenError("times_missing")
    wrong = None
    if exp <= now - SKEW_SECONDS:
        wrong = "exp_past"
    elif iat > now + SKEW_SECONDS or nbf > now + SKEW_SECONDS:
        wrong = "iat_future"
    if wrong:
        raise _untimely(wrong, clock_ahead)


def _check_auth_time(claims: Mapping[str, Any], expected: ExpectedClaims) -> None:
    """OpenID Connect Core sections 3.1.3.7 (point 13) and, of a refreshed token, 12.2."""
    auth_time = claims.get("auth_time")
    if auth_time is not None and expected.auth_time is not None and auth_time != expected.auth_time:
        raise IdTokenError("auth_time_other")
    if expected.max_age is None:
        return
    if not is_number(auth_time):
        raise IdTokenError("auth_time_missing")
    now = time.time()
    # From the request on: what the person did at the provider after signing in (allowing, say) makes no sign-in old.
    since = now if expected.begun is None else expected.begun
    if auth_time > now + SKEW_SECONDS:
        raise _untimely("iat_future", expected.clock_ahead)
    if auth_time < since - expected.max_age - SKEW_SECONDS:
        raise _untimely("auth_time_old", expected.clock_ahead)


def _untimely(code: str, clock_ahead: float | None) -> IdTokenError:
    """What is wrong with a time; where this machine's clock is, that."""
    if clock_ahead is not None and abs(clock_ahead) > SKEW_SECONDS:
        code = "clock_fast" if clock_ahead > 0 else "clock_slow"
    return IdTokenError(code, minutes=max(1, round(abs(clock_ahead or 0) / 60)))


def is_number(value: object) -> TypeGuard[float]:
    """Tells whether a claim is a time that can be compared (RFC 7519 section 2, NumericDate)."""
    # json.loads takes NaN, Infinity and 1e999, and no comparison with those refuses anything
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _check_at_hash(claims: Mapping[str, Any], algorithm: str, access_token: Secret) -> None:
    if "at_hash" not in claims:
        return
    digest = ALGORITHMS[algorithm][2](access_token.reveal().encode("ascii")).digest()
    if not _equal(str(claims["at_hash"]), base64url(digest[: len(digest) // 2])):
        raise IdTokenError("at_hash_other")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
