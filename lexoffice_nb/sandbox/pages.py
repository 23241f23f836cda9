"""The pages a person sees on the way: sign-in, consent, errors. They need no JavaScript and load nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request
from markupsafe import Markup

from lexoffice_nb.sandbox.paper import PASTE_REDIRECT_URI
from lexoffice_nb.sandbox.people import PEOPLE, Organisation
from lexoffice_nb.sandbox.wording import LANGUAGES, scope_text, text

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.browser import Browser, WaitingRequests
    from lexoffice_nb.sandbox.settings import SandboxSettings

# The template wraps it in <style>…</style> with not one character more, because the policy names its digest.
STYLE = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")

SECURITY_HEADERS = {
    # Without form-action: Chromium applies that to the redirect after the form as well, which leaves for the notebook.
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; frame-ancestors 'none'; base-uri 'none';"
        f" style-src 'sha256-{_STYLE_DIGEST}'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: under that policy browsers send "Origin: null" with forms, which no check could tell from a
    # stranger's. With same-origin nothing leaves this server either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


# Where a sign-in leads that no program asked for.
_LEADS_TO = {"keys": "/addons/public-api", "partner": "/addons/partner"}


class Pages:
    """Renders the pages of one sandbox."""

    def __init__(self, settings: SandboxSettings, browser: Browser) -> None:
        self.settings = settings
        self.browser = browser

    def company(self, organisation: Organisation) -> str:
        """An organisation's name as it is shown."""
        return self.settings.company_name or organisation.name

    def render(self, template: str, status: int = 200, language: str | None = None, **values: Any) -> Response:
        """A page in the language the browser asks for."""
        chosen = language or request.accept_languages.best_match(LANGUAGES) or "en"
        body = render_template(
            template,
            lang=chosen,
            style=Markup(STYLE),  # noqa: S704 - our own file
            csrf_token=self.browser.csrf_token,
            t=lambda key, **inserted: text(key, chosen, **inserted),
            scope_text=lambda scope: scope_text(scope, chosen),
            company=self.company,
            **values,
        )
        return make_response(body, status)

    def error(self, reason: str, status: int = 400) -> Response:
        """The error page: it redirects nowhere."""
        return self.render("error.html", status, reason=reason)


def blueprint(browser: Browser, waiting: WaitingRequests, pages: Pages) -> Blueprint:
    """The pages' routes."""
    routes = Blueprint("pages", __name__)

    def language(parameters: dict[str, str]) -> str | None:
        """The language the client asks for (OpenID Connect Core, section 3.1.2.1, `ui_locales`)."""
        wanted = (each.split("-")[0].lower() for each in parameters.get("ui_locales", "").split())
        return next((each for each in wanted if each in LANGUAGES), None)

    @routes.get("/")
    def home() -> Response:
        return pages.render("home.html")

    @routes.get("/sign-in")
    def sign_in_page() -> Response:
        handle = request.args.get("request", "")
        waiting_request = waiting.get(handle, browser.cookie)
        if handle and waiting_request is None:
            return pages.error("expired")
        # A name and not an address, or a stranger's link could lead anywhere after the sign-in.
        purpose = request.args.get("for", "")
        return pages.render(
            "sign_in.html",
            language=language(waiting_request.parameters) if waiting_request else None,
            client=waiting_request.issuer.client.name if waiting_request else None,
            people=list(PEOPLE.values()),
            handle=handle,
            purpose=purpose if purpose in _LEADS_TO else "keys",
        )

    @routes.post("/sign-in")
    def sign_in() -> AnyResponse:
        if not browser.sent_this_form():
            return pages.error("not_our_form", 403)
        handle = request.form.get("request", "")
        person = PEOPLE.get(request.form.get("person", ""))
        if person is None or (handle and waiting.get(handle, browser.cookie) is None):
            return pages.error("expired")
        browser.sign_in(person, waiting)
        to = _LEADS_TO.get(request.form.get("for", ""), _LEADS_TO["keys"])
        return redirect(f"/consent?request={handle}" if handle else to, 303)

    @routes.get("/consent")
    def consent_page() -> AnyResponse:
        handle = request.args.get("request", "")
        waiting_request = waiting.get(handle, browser.cookie)
        if waiting_request is None:
            return pages.error("expired")
        person = browser.person
        if person is None or browser.auth_time < waiting_request.fresh_since:
            return redirect(f"/sign-in?request={handle}", 303)
        redirect_uri = waiting_request.parameters["redirect_uri"]
        return pages.render(
            "consent.html",
            language=language(waiting_request.parameters),
            handle=handle,
            client=waiting_request.issuer.client.name,
            person=person,
            scopes=waiting_request.issuer.requested_scopes(waiting_request.parameters),
            destination=urlsplit(redirect_uri).netloc,
            paste=redirect_uri == PASTE_REDIRECT_URI,
        )

    @routes.post("/consent")
    def consent() -> AnyResponse:
        if not browser.sent_this_form():
            return pages.error("not_our_form", 403)
        person, auth_time = browser.person, browser.auth_time
        handle = request.form.get("request", "")
        shown = waiting.get(handle, browser.cookie)
        if shown is None or person is None or auth_time < shown.fresh_since:
            return pages.error("expired")
        # The page named a person; if another tab has signed in somebody else since, the click was not meant for them.
        if request.form.get("person") != person.id:
            return redirect(f"/consent?request={handle}", 303)
        taken = waiting.take(handle, browser.cookie)
        if taken is None:
            return pages.error("expired")
        allowed = request.form.get("decision") == "allow"
        return redirect(taken.issuer.answer(taken.parameters, person if allowed else None, auth_time), 303)

    @routes.post("/sign-out")
    def sign_out() -> AnyResponse:
        if not browser.sent_this_form():
            return pages.error("not_our_form", 403)
        browser.sign_out()
        return redirect("/", 303)

    return routes
