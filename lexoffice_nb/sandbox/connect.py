"""The protocol's endpoints: metadata, authorize, token, revoke, userinfo, jwks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from flask import Blueprint, Response, jsonify, redirect, request

from lexoffice_nb.sandbox.authorization import CLIENT_ID, person_claims
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.scopes import SCOPES

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.authorization import Issuer
    from lexoffice_nb.sandbox.browser import Browser, WaitingRequests
    from lexoffice_nb.sandbox.pages import Pages

PROMPTS = ("none", "login", "consent", "select_account")
_PAGE_INSTEAD_OF_JSON = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"


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


def blueprint(issuer: Issuer, browser: Browser, waiting: WaitingRequests, pages: Pages) -> Blueprint:
    """The endpoints of one authorization server."""
    routes = Blueprint("connect", __name__)

    @routes.get("/.well-known/openid-configuration")
    @routes.get("/.well-known/oauth-authorization-server")
    def describe() -> Response:
        return jsonify(metadata(issuer.url))

    @routes.get("/connect/jwks")
    def jwks() -> Response:
        return jsonify({"keys": [issuer.key.as_dict(private=False)]})

    @routes.route("/connect/authorize", methods=["GET", "POST"])
    def authorize() -> AnyResponse:
        """RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2."""
        values = request.form if request.method == "POST" else request.args
        if _repeats(values):
            return pages.error("repeated_parameter")
        parameters = values.to_dict()
        try:
            redirect_uri = issuer.check_authorization_request(parameters)
        except OAuth2Error as error:
            if not error.redirect_uri:
                # Whoever asks cannot be answered: an unknown client or redirect URI could be anybody's.
                return pages.error("bad_redirect_uri" if parameters.get("client_id") == CLIENT_ID else "unknown_client")
            return redirect(issuer.named(error.redirect_uri, error.get_body()), 303)
        try:
            fresh_since = _needed_sign_in(parameters)
            signed_in = browser.person is not None and browser.auth_time >= fresh_since
            if "none" in parameters.get("prompt", "").split():
                # Consent is asked for every time: any program on this machine can call itself this client.
                raise OpenIdError(error="consent_required" if signed_in else "login_required")
        except OAuth2Error as error:
            error.state = parameters.get("state")
            return redirect(issuer.named(redirect_uri, error.get_body()), 303)
        handle = waiting.add(parameters, browser.cookie, fresh_since)
        return redirect(f"/{'consent' if signed_in else 'sign-in'}?request={handle}", 303)

    @routes.post("/connect/token")
    def token() -> AnyResponse:
        """RFC 6749, sections 4.1.3 and 6."""
        settings = issuer.settings
        if settings.html_token_endpoint:
            return Response(_PAGE_INSTEAD_OF_JSON, content_type="text/html")
        if settings.fail_token_endpoint is not None:
            return _error("temporarily_unavailable", settings.fail_token_endpoint)
        response = _unfit_form() or issuer.create_token_response()
        if settings.slow:
            time.sleep(settings.slow)
        return response

    @routes.post("/connect/revoke")
    def revoke() -> AnyResponse:
        """RFC 7009, section 2."""
        return _unfit_form() or issuer.create_endpoint_response("revocation")

    @routes.route("/connect/userinfo", methods=["GET", "POST"])
    def userinfo() -> AnyResponse:
        """OpenID Connect Core, section 5.3; the errors of RFC 6750, section 3."""
        bearer = issuer.grants.bearer(bearer_token())
        if bearer is None or bearer.scope is None:
            return _challenge("invalid_token" if request.headers.get("Authorization") else None, 401)
        if "openid" not in bearer.scope:
            return _challenge("insufficient_scope", 403)
        person = PEOPLE[bearer.person]
        return jsonify({"sub": person.subject, **person_claims(person, " ".join(bearer.scope))})

    return routes


def bearer_token() -> str:
    """The token of the Authorization header, the only place where one is taken from (RFC 6750, section 2.1)."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _needed_sign_in(parameters: dict[str, str]) -> float:
    """The earliest sign-in that will do, after a look at the OpenID parameters (Core, sections 3.1.2.1 and 6)."""
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


def _repeats(values: Any) -> bool:
    return any(len(all_values) > 1 for _, all_values in values.lists())


def _unfit_form() -> AnyResponse | None:
    """Refuse what is not one plain form by a public client (RFC 6749, sections 2.3 and 3.2)."""
    if request.args or request.mimetype != "application/x-www-form-urlencoded" or _repeats(request.form):
        return _error("invalid_request", 400)
    if "Authorization" in request.headers:
        response = _error("invalid_client", 401)
        response.headers["WWW-Authenticate"] = "Basic"
        return response
    return None


def _error(code: str, status: int) -> Response:
    response = jsonify({"error": code})
    response.status_code = status
    return response


def _challenge(code: str | None, status: int) -> Response:
    response = jsonify({"error": code} if code else {})
    response.status_code = status
    response.headers["WWW-Authenticate"] = f'Bearer error="{code}"' if code else "Bearer"
    return response
