"""What only partners may ask: the organisation, the integration, what became of an invoice, contacts' bank accounts."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import shapes
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.paperwork import Seller
from lexoffice_nb.sandbox.problems import Issue, not_found, not_valid
from lexoffice_nb.sandbox.validation import check, choice, needed, record, text, whole

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_NAMESPACE = uuid.UUID("b1a6d4a0-3a3c-4b7e-9f6e-5e8f4f0f6d0a")
_INTEGRATION = "partner-integrations"
_INTERACTION = "interaction-status"
_STATUS = record({"status": needed(choice("transmitted", "accepted", "rejected"))})
_STATE = record({"status": needed(choice("OAUTH_CONNECTED", "ACTIVE"))})
_ACCOUNT = record(
    {
        "accountHolder": text(),
        "bankName": text(),
        "iban": needed(text(34)),
        "bic": text(11),
        "version": needed(whole()),
    }
)


def organization(call: Call) -> dict[str, Any]:
    """`GET /v1/organization`."""
    seller = Seller.of(call.books.ledger.organisation)
    return {
        "companyName": call.company,
        "address": {"street": seller.street, "zip": seller.zip, "city": seller.city, "countryCode": seller.country},
        "taxNumber": seller.tax_number,
        "vatIdentificationNumber": seller.vat_id,
        "organizationType": "Gesellschaft mit beschränkter Haftung",
        "organizationTypeKey": "GMBH",
        "branchOfIndustryName": "Erbringung von Dienstleistungen der Informationstechnologie",
        "branchOfIndustryWzCode": "62.02",
        "website": "https://www.post.example",
    }


def integration(call: Call) -> dict[str, Any]:
    """`GET /v1/partner-integrations`."""
    key = str(uuid.uuid5(_NAMESPACE, call.books.ledger.organisation_id))
    found = call.books.find(_INTEGRATION, key, call.now.date())
    return found or {"partnerId": key, "status": "OAUTH_CONNECTED"}


def change_integration(call: Call) -> dict[str, Any]:
    """`PUT /v1/partner-integrations`."""
    changed = integration(call) | check(_STATE, call.json())
    call.books.keep(_INTEGRATION, changed, changed["partnerId"])
    return changed


def interaction(call: Call) -> dict[str, Any]:
    """`GET /v1/invoices/{id}/interaction-status`."""
    invoice = _invoice(call)
    return call.books.find(_INTERACTION, invoice["id"], call.now.date()) or {"id": invoice["id"]}


def change_interaction(call: Call) -> dict[str, Any]:
    """`PUT /v1/invoices/{id}/interaction-status`."""
    changed = {"id": _invoice(call)["id"], **check(_STATUS, call.json())}
    call.books.keep(_INTERACTION, changed)
    return changed


def bank_accounts(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/contacts/{id}/bankaccounts`; the version of each is the contact's."""
    contact = _contact(call)
    return [{**each, "version": contact["version"]} for each in contact.get("_bankAccounts") or ()]


def bank_account(call: Call) -> dict[str, Any]:
    """`GET /v1/contacts/{id}/bankaccounts/{bid}`."""
    for each in bank_accounts(call):
        if each["id"] == call.path["bid"].lower():
            return each
    raise not_found("Bank account", call.path["bid"])


def add_bank_account(call: Call) -> Reply:
    """`POST /v1/contacts/{id}/bankaccounts`."""
    body = _checked(call)
    return _keep(call, 200, str(uuid.uuid4()), body)


def change_bank_account(call: Call) -> Reply:
    """`PUT /v1/contacts/{id}/bankaccounts/{bid}`; a stale version is 406, as for contacts."""
    key = bank_account(call)["id"]
    return _keep(call, 200, key, _checked(call))


def delete_bank_account(call: Call) -> Reply:
    """`DELETE /v1/contacts/{id}/bankaccounts/{bid}`."""
    return _keep(call, 204, bank_account(call)["id"], None)


def _checked(call: Call) -> dict[str, Any]:
    contact, body = _contact(call), check(_ACCOUNT, call.json())
    if body.pop("version") != contact["version"]:
        raise not_valid(Issue("version"))
    return body


def _keep(call: Call, status: int, key: str, body: dict[str, Any] | None) -> Reply:
    contact, now = _contact(call), shapes.timestamp(call.now)
    accounts = {each["id"]: each for each in contact.get("_bankAccounts") or ()}
    accounts.pop(key, None)
    if body is not None:
        accounts[key] = {"id": key, **body}
    version = contact["version"] + 1
    call.books.keep("contacts", {**contact, "_bankAccounts": list(accounts.values()), "version": version})
    if status == 204:
        return Reply(status=204)
    place = ("contacts", contact["id"], "bankaccounts", key)
    return action(call, status, *place, created=now, updated=now, version=version)


def _invoice(call: Call) -> dict[str, Any]:
    found = call.books.find("invoices", call.id, call.now.date())
    if found is None:
        raise not_found("Invoice", call.id)
    return found


def _contact(call: Call) -> dict[str, Any]:
    found = call.books.find("contacts", call.id, call.now.date())
    if found is None:
        raise not_found("Contact", call.id)
    return found
