"""OpenID Connect on top of OAuth: its parameters, ID tokens, discovery, keys and userinfo."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from flask import Blueprint, Response, jsonify, request
from joserfc import jwt

from lexoffice_nb.sandbox.authorization_header import bearer_token
from lexoffice_nb.sandbox.people import PEOPLE, Person
from lexoffice_nb.sandbox.scopes import SCOPES, words

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

    from lexoffice_nb.sandbox.grants import Grant, Grants
    from lexoffice_nb.sandbox.settings import SandboxSettings

PROMPTS = ("none", "login", "consent", "select_account")


class OpenIdError(OAuth2Error):  # type: ignore[misc]  # Authlib ships no types
    """An error of OpenID Connect Core, section 3.1.2.6."""


def metadata(issuer: str) -> dict[str, Any]:
    """The server's description (RFC 8414, section 2; OpenID Connect Discovery, section 3)."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/connect/authorize",
        "token_endpoint": f"{issuer}/connect/token",
        "revocation_endpoint": f"{issuer}/connect/revoke",
        "userinfo_endpoint": f"{issuer}/connect/userinfo",
        "jwks_uri": f"{issuer}/connect/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "scopes_supported": list(SCOPES),
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"),
            *("name", "given_name", "family_name", "email", "email_verified"),
        ],
        "prompt_values_supported": list(PROMPTS),
        "ui_locales_supported": ["en", "de"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
    }


def needed_sign_in(parameters: dict[str, str], auth_time: float) -> float:
    """The earliest sign-in that will do for a request (Core, sections 3.1.2.1 and 6).

    Raises:
        OAuth2Error: A parameter is not supported, or `prompt=none` asks for what needs the person.
    """
    fresh_since = _fresh_since(parameters)
    if "none" in parameters.get("prompt", "").split():
        # Consent is asked for every time: any program on this machine can call itself this client.
        raise OpenIdError(error="consent_required" if auth_time and auth_time >= fresh_since else "login_required")
    return fresh_since


def _fresh_since(parameters: dict[str, str]) -> float:
    for name in ("request", "request_uri"):
        if name in parameters:
            raise OpenIdError(error=f"{name}_not_supported")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query")
    prompts = set(parameters.get("prompt", "").split())
    if not prompts <= set(PROMPTS) or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("prompt has a value that is not supported")
    if prompts & {"login", "select_account"}:
        return time.time()
    max_age = parameters.get("max_age")
    if max_age is None:
        return 0.0
    if not (max_age.isascii() and max_age.isdigit()) or len(max_age) > 9:
        raise InvalidRequestError("max_age must be a number of seconds")
    return time.time() - int(max_age)


class IdTokens:
    """An extension of grants that puts an ID token into their answers.

    Args:
        url: The issuer.
        key: Signs them.
        settings: Their life, and the error of the server's clock.
    """

    def __init__(self, url: str, key: RSAKey, settings: SandboxSettings) -> None:
        self._url = url
        self._key = key
        self._settings = settings

    def __call__(self, grant: Any) -> None:
        """Extend a grant, as Authlib does with its own extensions."""
        grant.register_hook("after_create_token_response", self._sign)

    def _sign(self, endpoint_grant: Any, response: tuple[int, dict[str, Any], Any]) -> None:
        """Put an ID token into a token response (OpenID Connect Core, sections 2, 3.1.3.6 and 12.2)."""
        token, request = response[1], endpoint_grant.request
        if "openid" not in words(token["scope"]):
            return
        grant: Grant = request.authorization_code or request.refresh_token
        now = int(time.time() + self._settings.clock_offset)
        half = hashlib.sha256(token["access_token"].encode("ascii")).digest()[:16]
        claims = {
            "iss": self._url,
            "sub": request.user.subject,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self._settings.id_token_life,
            "auth_time": int(grant.auth_time + self._settings.clock_offset),
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode("ascii"),
            **({"nonce": grant.nonce} if grant.nonce else {}),
            **person_claims(request.user, token["scope"]),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": self._key.kid}
        token["id_token"] = jwt.encode(header, claims, self._key, algorithms=["RS256"])


def person_claims(person: Person, scope: str) -> dict[str, Any]:
    """The claims about a person that a scope opens (OpenID Connect Core, section 5.4)."""
    allowed, claims = words(scope), dict[str, Any]()
    if "profile" in allowed:
        given, family = person.name.split(" ", 1)
        claims |= {"name": person.name, "given_name": given, "family_name": family}
    if "email" in allowed:
        claims |= {"email": person.email, "email_verified": True}
    return claims


def blueprint(url: str, key: RSAKey, grants: Grants) -> Blueprint:
    """The endpoints that OpenID Connect adds."""
    routes = Blueprint("openid", __name__)

    @routes.get("/.well-known/openid-configuration")
    @routes.get("/.well-known/oauth-authorization-server")
    def describe() -> Response:
        return jsonify(metadata(url))

    @routes.get("/connect/jwks")
    def jwks() -> Response:
        return jsonify({"keys": [key.as_dict(private=False)]})

    @routes.route("/connect/userinfo", methods=["GET", "POST"])
    def userinfo() -> Response:
        """OpenID Connect Core, section 5.3; the errors of RFC 6750, section 3."""
        bearer = grants.bearer(bearer_token(request.headers.get("Authorization", "")))
        if bearer is None or bearer.scope is None:
            return _challenge("invalid_token" if request.headers.get("Authorization") else None, 401)
        if "openid" not in bearer.scope:
            return _challenge("insufficient_scope", 403)
        person = PEOPLE[bearer.person]
        return jsonify({"sub": person.subject, **person_claims(person, " ".join(bearer.scope))})

    return routes


def _challenge(code: str | None, status: int) -> Response:
    response = jsonify({"error": code} if code else {})
    response.status_code = status
    response.headers["WWW-Authenticate"] = f'Bearer error="{code}"' if code else "Bearer"
    return response
