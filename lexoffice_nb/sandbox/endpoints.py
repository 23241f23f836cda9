"""The endpoints of a contract: authorize, token, revoke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import OAuth2Error
from flask import Blueprint, Response, jsonify, redirect, request

from lexoffice_nb.sandbox.authorization_header import basic_credentials

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.authorization import Issuer
    from lexoffice_nb.sandbox.browser import Browser, WaitingRequests
    from lexoffice_nb.sandbox.pages import Pages
    from lexoffice_nb.sandbox.throttle import Throttle

_PAGE_INSTEAD_OF_JSON = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"


def blueprint(
    issuer: Issuer, browser: Browser, waiting: WaitingRequests, pages: Pages, throttle: Throttle | None = None
) -> Blueprint:
    """The endpoints of one authorization server."""
    contract, client = issuer.contract, issuer.client
    routes = Blueprint(contract.prefix.strip("/"), __name__, url_prefix=contract.prefix)

    @routes.before_request
    def within_the_rate() -> Response | None:
        if throttle is None or throttle.lets_in():
            return None
        if request.endpoint == f"{routes.name}.authorize":
            return pages.error("too_many", 429)
        return _json({"message": "Rate limit exceeded"}, 429)

    @routes.route("/authorize", methods=list(contract.authorize_methods))
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
                return pages.error("bad_redirect_uri" if parameters.get("client_id") == client.id else "unknown_client")
            return redirect(issuer.named(error.redirect_uri, error.get_body()), 303)
        auth_time = browser.auth_time if browser.person is not None else 0.0
        try:
            fresh_since = contract.check(parameters, auth_time)
        except OAuth2Error as error:
            error.state = parameters.get("state")
            return redirect(issuer.named(redirect_uri, error.get_body()), 303)
        handle = waiting.add(issuer, parameters, browser.cookie, fresh_since, signed_in=browser.person is not None)
        signed_in = auth_time and auth_time >= fresh_since
        return redirect(f"/{'consent' if signed_in else 'sign-in'}?request={handle}", 303)

    @routes.post("/token")
    def token() -> AnyResponse:
        """RFC 6749, sections 4.1.3 and 6."""
        settings = issuer.settings
        if settings.html_token_endpoint:
            return Response(_PAGE_INSTEAD_OF_JSON, content_type="text/html")
        if settings.fail_token_endpoint is not None:
            return _error("temporarily_unavailable", settings.fail_token_endpoint)
        response = _unfit_form(issuer) or _in_basic(issuer.create_token_response())
        if settings.slow:
            time.sleep(settings.slow)
        return response

    @routes.post("/revoke")
    def revoke() -> AnyResponse:
        """RFC 7009, section 2."""
        return _unfit_form(issuer) or _in_basic(issuer.create_endpoint_response("revocation"))

    return routes


def _repeats(values: Any) -> bool:
    return any(len(all_values) > 1 for _, all_values in values.lists())


def _unfit_form(issuer: Issuer) -> AnyResponse | None:
    """Refuse what is not one plain form with one authentication of the client (RFC 6749, sections 2.3 and 3.2)."""
    form = request.form
    if request.args or request.mimetype != "application/x-www-form-urlencoded" or _repeats(form):
        return _error("invalid_request", 400)
    if "Authorization" not in request.headers:
        return None
    if issuer.client.authentication == "none":
        return _in_basic(_error("invalid_client", 401))
    credentials = basic_credentials(request.headers["Authorization"], issuer.settings.partner_basic_raw)
    named_twice = credentials is not None and form.get("client_id", credentials[0]) != credentials[0]
    return _error("invalid_request", 400) if named_twice or "client_secret" in form else None


def _in_basic(response: AnyResponse) -> AnyResponse:
    """A refused authentication says which scheme it was (RFC 6749, section 5.2; RFC 7617, section 2)."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="lexoffice sandbox", charset="UTF-8"'
    return response


def _error(code: str, status: int) -> Response:
    return _json({"error": code}, status)


def _json(body: dict[str, str], status: int) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
