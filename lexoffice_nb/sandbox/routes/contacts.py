"""Contacts: search, create, change."""

from __future__ import annotations

import html
import re
import uuid
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_found, not_valid
from lexoffice_nb.sandbox.routes.reading import shown
from lexoffice_nb.sandbox.validation import (
    check,
    country,
    email,
    flag,
    flag_argument,
    many,
    needed,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_SHORTEST_SEARCH = 3
_FIRST_NUMBERS = {"customer": 10001, "vendor": 70001}
_NAMES = {"salutation": text(25), "firstName": text(), "lastName": needed(text())}
_ADDRESS = record({**dict.fromkeys(("supplement", "street", "zip", "city"), text()), "countryCode": needed(country())})
_RULES = record(
    {
        "version": needed(whole()),
        "roles": needed(record({"customer": record({}), "vendor": record({})})),
        "company": record(
            {
                "name": needed(text()),
                "taxNumber": text(),
                "vatRegistrationId": text(),
                "allowTaxFreeInvoices": flag(),
                "contactPersons": many(
                    record({**_NAMES, "primary": flag(), "emailAddress": email(), "phoneNumber": text()}), 1
                ),
            }
        ),
        "person": record(_NAMES),
        "addresses": record({"billing": many(_ADDRESS, 1), "shipping": many(_ADDRESS, 1)}),
        "xRechnung": record({"buyerReference": text(), "vendorNumberAtCustomer": text()}),
        "emailAddresses": record(dict.fromkeys(("business", "office", "private", "other"), many(email(), 1))),
        "phoneNumbers": record(
            dict.fromkeys(("business", "office", "mobile", "private", "fax", "other"), many(text(), 1))
        ),
        "note": text(1000),
    }
)


def search(call: Call) -> dict[str, Any]:
    """`GET /v1/contacts`: by name; all filters must hold. Searched text is HTML-escaped, as the vendor wants it."""
    for argument in call.arguments:
        if len(call.arguments.getlist(argument)) > 1:
            raise ApiProblem(400, "bad_request_error", argument)
    name, address = _search(call, "name"), _search(call, "email")
    number, roles = call.arguments.get("number"), {role: flag_argument(call.arguments, role) for role in _FIRST_NUMBERS}
    if number is not None and not (number.isascii() and number.isdigit()):
        raise ApiProblem(400, "bad_request_error", "number")
    found = [
        each
        for each in call.books.listed("contacts")
        if (name is None or name.finds(html.escape(contact_name(each), quote=False)))
        and (address is None or any(address.finds(html.escape(one, quote=False)) for one in _addresses(each)))
        and (number is None or number in {str(role["number"]) for role in each["roles"].values() if role})
        and all(wanted is None or bool(each["roles"].get(role)) == wanted for role, wanted in roles.items())
    ]
    found.sort(key=lambda each: contact_name(each).casefold())
    page = paging.cut_page(found, call.arguments, "name", True)
    page["content"] = [shown(each) for each in page["content"]]
    return page


def create(call: Call) -> Reply:
    """`POST /v1/contacts`."""
    body = _checked(call)
    if body["version"] != 0:
        raise not_valid(Issue("version"))
    key, now = str(uuid.uuid4()), shapes.timestamp(call.now)
    return _keep(call, key, body, None, now)


def change(call: Call) -> Reply:
    """`PUT /v1/contacts/{id}`; a stale version is 406 here."""
    before = call.books.find("contacts", call.id, call.now.date())
    if before is None:
        raise not_found("Contact", call.id)
    body = _checked(call)
    groups = [*(before.get(name) or {} for name in ("addresses", "emailAddresses", "phoneNumbers"))]
    crowded = any(len(each or ()) > 1 for group in groups for each in group.values())
    if crowded or len((before.get("company") or {}).get("contactPersons") or ()) > 1:
        raise not_valid(Issue("contact"))
    if body["version"] != before["version"]:
        raise not_valid(Issue("version"))
    return _keep(call, before["id"], body, before, shapes.timestamp(call.now))


def contact_name(contact: dict[str, Any]) -> str:
    """The name as lists show it: persons family name first."""
    if contact.get("company"):
        return str(contact["company"]["name"])
    person = contact["person"]
    return f"{person['lastName']}, {person['firstName']}" if person.get("firstName") else str(person["lastName"])


def address_name(contact: dict[str, Any]) -> str:
    """The name as an address shows it."""
    if contact.get("company"):
        return str(contact["company"]["name"])
    return " ".join(filter(None, (contact["person"].get("firstName"), contact["person"]["lastName"])))


def _checked(call: Call) -> dict[str, Any]:
    body = check(_RULES, call.json())
    issues = []
    if not any(each is not None for each in body["roles"].values()):
        issues.append(Issue("roles", "NOTNULL"))
    if body["company"] is None and body["person"] is None:
        issues += [Issue("company.name", "NOTNULL"), Issue("person.lastName", "NOTNULL")]
    if body["company"] is not None and body["person"] is not None:
        issues.append(Issue("person"))
    if issues:
        raise not_valid(*issues)
    return body


def _keep(call: Call, key: str, body: dict[str, Any], before: dict[str, Any] | None, now: str) -> Reply:
    body["roles"] = {role: _role(call, role, before) for role in _FIRST_NUMBERS if body["roles"][role] is not None}
    created = (before or {}).get("_createdDate", now)
    document = {
        "id": key,
        "organizationId": call.books.ledger.organisation_id,
        **_filled(body),
        "version": 1 if before is None else before["version"] + 1,
        "archived": False if before is None else before["archived"],
        "_createdDate": created,
    }
    call.books.keep("contacts", document)
    version = document["version"]
    return action(call, 200, "contacts", key, created=created, updated=now, version=version)


def _role(call: Call, role: str, before: dict[str, Any] | None) -> dict[str, Any]:
    if before is not None and before["roles"].get(role):
        return dict(before["roles"][role])
    numbers = [each["roles"][role]["number"] for each in call.books.listed("contacts") if each["roles"].get(role)]
    return {"number": max([_FIRST_NUMBERS[role] - 1, *numbers]) + 1}


def _filled(value: dict[str, Any]) -> dict[str, Any]:
    # A group without a value is left out, as the vendor does.
    kept = {name: _filled(each) if isinstance(each, dict) else each for name, each in value.items()}
    return {name: each for name, each in kept.items() if each not in (None, {}, [], "")}


def _addresses(contact: dict[str, Any]) -> list[str]:
    groups = (contact.get("emailAddresses") or {}).values()
    return [one for group in groups for one in group or ()]


class _Search:
    """A text with `%` for anything, `_` for one character, and a backslash before those that mean themselves."""

    def __init__(self, wanted: str) -> None:
        # Part by part, each where it fits first: one expression for all would take ages for a name with many `%`.
        self._parts = [re.compile(self._part(each), re.I | re.S) for each in _ANYTHING.split(wanted)]

    @staticmethod
    def _part(wanted: str) -> str:
        found = re.findall(r"\\[_%\\]|_|.", wanted, re.S)
        return "".join("." if each == "_" else re.escape(each[-1]) for each in found)

    def finds(self, value: str) -> bool:
        """Whether the text is somewhere in the value."""
        place = 0
        for part in self._parts:
            if not (match := part.search(value, place)):
                return False
            place = match.end()
        return True


_ANYTHING = re.compile(r"(?<!\\)%+")


def _search(call: Call, name: str) -> _Search | None:
    wanted = call.arguments.get(name)
    if wanted is None:
        return None
    if len(wanted) < _SHORTEST_SEARCH:
        raise ApiProblem(400, "bad_request_error", name)
    return _Search(wanted)
