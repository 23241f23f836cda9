"""What a person makes or looks up for their own programs: API keys, and the partner client."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, request

from lexoffice_nb.sandbox.partner import PARTNER

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from lexoffice_nb.sandbox.api_keys import ApiKeys
    from lexoffice_nb.sandbox.browser import Browser
    from lexoffice_nb.sandbox.pages import Pages
    from lexoffice_nb.sandbox.partner import PartnerClient

_PARTNER_ADDRESSES = (("authorize", "/authorize"), ("token", "/token"), ("revoke", "/revoke"))


def blueprint(browser: Browser, pages: Pages, keys: ApiKeys, partner: PartnerClient, url: str) -> Blueprint:
    """The routes of these pages."""
    routes = Blueprint("addons", __name__)

    def keys_page(new_key: str | None = None) -> AnyResponse:
        person = browser.person
        if person is None:
            return redirect("/sign-in", 303)
        listed = [(key, datetime.fromtimestamp(key.created, UTC)) for key in keys.of(person.id)]
        return pages.render("keys.html", person=person, keys=listed, new_key=new_key)

    @routes.get("/addons/public-api")
    def public_api() -> AnyResponse:
        return keys_page()

    @routes.post("/addons/public-api")
    def change_keys() -> AnyResponse:
        if not browser.sent_this_form():
            return pages.error("not_our_form", 403)
        person = browser.person
        if person is None:
            return redirect("/sign-in", 303)
        if doomed := request.form.get("delete"):
            keys.delete(person.id, doomed)
            return redirect("/addons/public-api", 303)
        label = " ".join(request.form.get("label", "").split())[:60]
        return keys_page(keys.make(person.id, label))

    @routes.get("/addons/partner")
    def partner_page() -> AnyResponse:
        person = browser.person
        if person is None:
            return redirect("/sign-in?for=partner", 303)
        addresses = [(name, url + PARTNER.prefix + path) for name, path in _PARTNER_ADDRESSES]
        return pages.render(
            "partner.html",
            person=person,
            partner=partner,
            redirect_uri=pages.settings.partner_redirect_uri,
            addresses=addresses,
        )

    return routes
