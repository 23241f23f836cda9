"""What the journal notes of a request to the issuer or to the second server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from lexoffice_nb.sandbox.authorization_header import bearer_token
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.workshop.journal import ATTACKER, MARK_HEADER, Sender, place
from lexoffice_nb.sandbox.workshop.switches import challenge_method, failed_check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from lexoffice_nb.sandbox.workshop.journal import Journal, Marks, Trace

_WHAT = {
    "/connect/authorize": "authorize",
    "/sign-in": "sign_in",
    "/consent": "consent",
    "/connect/token": "token",
    "/connect/revoke": "revoke",
    "/connect/userinfo": "userinfo",
    "/operator": "operator",
}
_CHECKED = ("authorize", "consent", "token")
_UNNOTED = ("/workshop/", "/sandbox/")
_ERRORS = frozenset({
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
    *("invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable"),
    *("invalid_token", "insufficient_scope", "login_required", "consent_required"),
    *("request_not_supported", "request_uri_not_supported"),
})  # fmt: skip
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GRANT_TYPES = frozenset({"authorization_code", "refresh_token"})


def sender() -> Sender:
    """Who sent the current request."""
    found: Sender = g.get("sender", ATTACKER)
    return found


def recognise_senders(app: Flask, marks: Marks) -> None:
    """Let an application know who sent a request."""

    @app.before_request
    def recognise() -> None:
        g.began = time.time()
        g.sender = marks.take(request.headers.get(MARK_HEADER, ""))


def note(journal: Journal, at: str, what: str, response: Response, **more: str | None) -> None:
    """Write the current request down."""
    journal.add(
        by=sender().by,
        at=at,
        what=what,
        method=request.method if request.method in _METHODS else "other",
        # As the application names it: in a path that is none of its own, or in a variable part, may be a secret.
        path=request.url_rule.rule if request.url_rule is not None else "…",
        status=response.status_code,
        began=g.get("began"),  # not there for a request that another check has ended before
        to=place(urljoin(request.url, response.location)) if response.location else None,
        **more,
    )


def observe(app: Flask, at: str, journal: Journal, marks: Marks, trace: Callable[[str], Trace | None]) -> None:
    """Write down every request to a sandbox.

    Args:
        app: The sandbox as an application.
        at: What the journal calls it.
        journal: Where to.
        marks: By which victim's browser and app are recognised.
        trace: Finds the consent behind a code or token, of whichever server it is.
    """
    recognise_senders(app, marks)

    @app.after_request
    def write_down(response: Response) -> Response:
        if request.path.startswith(_UNNOTED):
            return response
        what = "api" if request.path.startswith("/v1/") else _WHAT.get(request.path, "other")
        form = _form()
        answered = _parameters(response.location)
        found = trace(_secret(what, form, answered))
        person = found.person if found else None
        if what == "sign_in" and person is None:
            person = _known(form.get("person"), PEOPLE)
        error = _error(what, response, answered)
        is_refused = error is not None or response.status_code >= 400
        note(
            *(journal, at, what, response),
            error=error,
            grant=found.grant if found else None,
            person=person,
            grant_type=_grant_type(form) if what == "token" else None,
            pkce=_pkce(what, form),
            session=sender().session,
            check=failed_check() if is_refused and what in _CHECKED else None,
        )
        return response


def _form() -> Mapping[str, str]:
    try:
        return request.form
    except HTTPException:  # too large to be read
        return {}


def _parameters(location: str | None) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location or "").query).items()}


def _secret(what: str, form: Mapping[str, str], answered: Mapping[str, str]) -> str:
    match what:
        case "token":
            return form.get("code") or form.get("refresh_token", "")
        case "revoke":
            return form.get("token", "")
        case "api" | "userinfo":
            return bearer_token(request.headers.get("Authorization", ""))
    return answered.get("code", "")


def _error(what: str, response: Response, answered: Mapping[str, str]) -> str | None:
    if what in ("token", "revoke", "userinfo") and response.status_code >= 400:
        body = response.get_json(silent=True)
        error = body.get("error") if isinstance(body, dict) else None
        return _known(error, _ERRORS) or ("unknown" if error else None)
    if what in ("authorize", "consent"):
        return _known(answered.get("error"), _ERRORS)
    return None


def _grant_type(form: Mapping[str, str]) -> str | None:
    asked = form.get("grant_type")
    return None if asked is None else _known(asked, _GRANT_TYPES) or "unknown"


def _pkce(what: str, form: Mapping[str, str]) -> str | None:
    if what == "authorize":
        return challenge_method(form if request.method == "POST" else request.args)
    if what == "token" and form.get("grant_type") == "authorization_code":
        return "verifier" if form.get("code_verifier") else "none"
    return None


def _known(value: object, known: object) -> str | None:
    # A secret may be sent in any place, so only names that are ours are written down.
    return value if isinstance(value, str) and value in known else None  # type: ignore[operator]
