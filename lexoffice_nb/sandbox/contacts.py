"""`GET /v1/contacts`."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes
from lexoffice_nb.sandbox.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.sandbox.ledger import Ledger

_SHORTEST_SEARCH = 3


def list_contacts(ledger: Ledger, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Contacts by name; all filters must hold. Searched text is HTML-escaped, as the vendor wants it."""
    try:
        found = [
            customer
            for customer in sorted(ledger.customers, key=lambda each: each.name.casefold())
            if _search("name", arguments, html.escape(customer.name, quote=False))
            and _search("email", arguments, shapes.email(customer))
            and arguments.get("number", str(customer.number)) == str(customer.number)
            and _flag("customer", arguments, default=True)
            and not _flag("vendor", arguments, default=False)
        ]
        return paging.cut_page([shapes.contact_document(ledger, each) for each in found], arguments, "name", True)
    except ApiProblem as problem:
        if problem.source:
            raise
        raise ApiProblem(400, "bad_request_error", problem.message) from None


def _search(name: str, arguments: Mapping[str, str], value: str) -> bool:
    wanted = arguments.get(name)
    if wanted is None:
        return True
    if len(wanted) < _SHORTEST_SEARCH:
        raise ApiProblem(400, "bad_request_error", name)
    return wanted.casefold() in value.casefold()


def _flag(name: str, arguments: Mapping[str, str], default: bool) -> bool:
    match arguments.get(name):
        case None:
            return default
        case "true":
            return True
        case "false":
            return False
    raise ApiProblem(400, "bad_request_error", name)
