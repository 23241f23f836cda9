"""The REST API in the vendor's shapes: a table of routes, and one gateway before all of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request

from lexoffice_nb.sandbox import shapes
from lexoffice_nb.sandbox.authorization_header import bearer_token
from lexoffice_nb.sandbox.contacts import list_contacts
from lexoffice_nb.sandbox.ledger import BERLIN
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.problems import LEGACY, REGULAR, ApiProblem
from lexoffice_nb.sandbox.voucherlist import list_vouchers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.sandbox.api_keys import ApiKeys
    from lexoffice_nb.sandbox.grants import Bearer, Grants
    from lexoffice_nb.sandbox.ledger import Ledger
    from lexoffice_nb.sandbox.people import Person
    from lexoffice_nb.sandbox.settings import SandboxSettings

_BURST = 5


@dataclass(frozen=True)
class Call:
    """An API call that the gateway let through."""

    ledger: Ledger
    person: Person
    bearer: Bearer
    settings: SandboxSettings
    arguments: Mapping[str, str]
    path: Mapping[str, str]

    @property
    def now(self) -> datetime:
        """The time in Berlin, where the vendor's days begin."""
        return datetime.now(BERLIN)


@dataclass(frozen=True)
class Route:
    """An endpoint.

    Attributes:
        path: Below `/v1`, with Flask's placeholders.
        scopes: One of them is needed: the paper's name and the partner's. If there are none, any token will do.
        answer: Makes the body.
        errors: The shape of its error bodies.
    """

    path: str
    scopes: frozenset[str]
    answer: Callable[[Call], Any]
    errors: str = REGULAR


def _profile(call: Call) -> dict[str, Any]:
    name = call.settings.company_name or call.ledger.organisation.name
    return shapes.profile(call.ledger, call.person, name, call.bearer.connection)


def _voucherlist(call: Call) -> dict[str, Any]:
    return list_vouchers(call.ledger, call.arguments, call.now.date())


def _invoice(call: Call) -> dict[str, Any]:
    for invoice in call.ledger.invoices:
        if invoice.id == call.path["id"]:
            return shapes.invoice_document(call.ledger, invoice)
    raise ApiProblem(404, f"Invoice with id '{call.path['id'][:64]}' not found.")


def _contacts(call: Call) -> dict[str, Any]:
    return list_contacts(call.ledger, call.arguments)


def _contact(call: Call) -> dict[str, Any]:
    for customer in call.ledger.customers:
        if customer.id == call.path["id"]:
            return shapes.contact_document(call.ledger, customer)
    raise ApiProblem(404, "missing_entity", "id")


ROUTES = (
    Route("/profile", frozenset({"profile", "profile.read"}), _profile),
    Route("/voucherlist", frozenset({"invoice.read", "voucherlist.read"}), _voucherlist),
    Route("/invoices/<id>", frozenset({"invoice.read", "invoices.read"}), _invoice),
    Route("/contacts", frozenset({"contact.read", "contacts.read"}), _contacts, LEGACY),
    Route("/contacts/<id>", frozenset({"contact.read", "contacts.read"}), _contact, LEGACY),
)


def _not_imitated(_call: Call) -> Any:
    raise ApiProblem(501, "The sandbox does not imitate this yet.")


# What the vendor documents for writing. Whatever the scopes, the answer is that it is not here: "Forbidden" would have
# somebody search their own program for the reason.
_WRITES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("/articles", "/contacts", "/credit-notes", "/delivery-notes", "/dunnings", "/event-subscriptions"),
            *("/files", "/invoices", "/order-confirmations", "/quotations", "/vouchers", "/vouchers/<id>/files"),
        ),
        ("POST",),
    ),
    "/articles/<id>": ("PUT", "DELETE"),
    "/contacts/<id>": ("PUT",),
    "/event-subscriptions/<id>": ("DELETE",),
    "/vouchers/<id>": ("PUT",),
}


class _Buckets:
    """One token bucket for each organisation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, organisation: str, rate: float | None) -> bool:
        if rate is None:
            return True
        now = time.monotonic()
        with self._lock:
            level, then = self._levels.get(organisation, (float(_BURST), now))
            level = min(_BURST, level + (now - then) * rate)
            allowed = level >= 1
            self._levels[organisation] = (level - 1 if allowed else level, now)
        return allowed


def blueprint(grants: Grants, keys: ApiKeys, ledgers: Mapping[str, Ledger], settings: SandboxSettings) -> Blueprint:
    """The routes of the API."""
    routes, buckets = Blueprint("api", __name__, url_prefix="/v1"), _Buckets()

    def serve(route: Route, path: Mapping[str, str]) -> Response:
        token = bearer_token(request.headers.get("Authorization", ""))
        bearer = grants.bearer(token) or keys.bearer(token)
        if bearer is None:
            return message(401, "Unauthorized")
        person = PEOPLE[bearer.person]
        g.authorised_as = person.id
        if not buckets.take(person.organisation.key, settings.rate_limit):
            return message(429, "Rate limit exceeded")
        if bearer.scope is not None and route.scopes and not route.scopes & bearer.scope:
            return message(403, "Forbidden")
        call = Call(ledgers[person.organisation.key], person, bearer, settings, request.args, path)
        try:
            return answer(200, route.answer(call))
        except ApiProblem as problem:
            return answer(problem.status, problem.body(route.errors, request.path, call.now))

    for route in ROUTES:

        def view(route: Route = route, **path: str) -> Response:
            return serve(route, path)

        routes.add_url_rule(route.path, endpoint=route.path, view_func=view, methods=["GET"])
    for path, methods in _WRITES.items():

        def refuse(route: Route = Route(path, frozenset(), _not_imitated), **path: str) -> Response:
            return serve(route, path)

        routes.add_url_rule(path, endpoint=f"write {path}", view_func=refuse, methods=list(methods))
    return routes


def answer(status: int, body: Any) -> Response:
    """An answer in the vendor's JSON."""
    return Response(shapes.to_json(body), status, content_type="application/json")


def message(status: int, text: str) -> Response:
    """An answer of the gateway before the API."""
    return answer(status, {"message": text})


def unknown_route(status: int) -> Response:
    """What the gateway says where there is no route."""
    # Every path that can be read at all takes GET: where that is not allowed, there is nothing to read.
    if status == 404 or (status == 405 and request.method in ("GET", "HEAD")):
        return message(403, "Bearer not a valid key=value pair (missing equal-sign) in Authorization header")
    return message(status, "Method Not Allowed" if status == 405 else "Internal server error or rate limit exceeded")
