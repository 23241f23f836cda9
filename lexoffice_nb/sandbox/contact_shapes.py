"""Contacts, and the addresses of documents, in the vendor's JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.books import Customer, Voucher
    from lexoffice_nb.sandbox.ledger import Ledger

_CONTACT_PERSONS = (("Frau", "Helga", "Sommer"), ("Herr", "Mehmet", "Aydın"), ("Frau", "Ines", "Okafor"))


def address(voucher: Voucher) -> dict[str, Any]:
    """Whom a sales document is addressed to, by the name they had then."""
    customer = voucher.customer
    if customer is None:
        return {"name": "Laufkundschaft", "countryCode": "DE"}
    entry = customer.entry
    name = voucher.customer_name if entry.person is None else f"{entry.person[1]} {entry.person[2]}"
    person = _contact_person(customer)
    contact = None if person is None else f"{person['firstName']} {person['lastName']}"
    return {"contactId": customer.id, "name": name, **_street(customer), "contactPerson": contact}


def email(customer: Customer) -> str:
    """An address that leads nowhere: `.example` is reserved (RFC 2606)."""
    return f"kunde{customer.number or customer.vendor_number}@post.example"


def contact_document(ledger: Ledger, customer: Customer) -> dict[str, Any]:
    """`GET /v1/contacts/{id}`; groups without a value are left out."""
    entry, number = customer.entry, customer.number or customer.vendor_number or 0
    person = dict(zip(("salutation", "firstName", "lastName"), entry.person, strict=True)) if entry.person else None
    company = None
    if entry.person is None:
        at_work = _contact_person(customer)
        company = {
            "name": entry.name,
            "vatRegistrationId": entry.vat_id,
            "allowTaxFreeInvoices": entry.country != "DE",
            "contactPersons": None if at_work is None else [at_work],
        }
    elsewhere = {**_street(customer), "supplement": "Lager"} if number % 6 == 0 else None
    reference = entry.buyer_reference
    return {
        "id": customer.id,
        "organizationId": ledger.organisation_id,
        "version": 0,
        "roles": {
            "customer": None if customer.number is None else {"number": customer.number},
            "vendor": None if customer.vendor_number is None else {"number": customer.vendor_number},
        },
        "company": company,
        "person": person,
        "addresses": {"billing": [_street(customer)], "shipping": None if elsewhere is None else [elsewhere]},
        "xRechnung": None if reference is None else {"buyerReference": reference, "vendorNumberAtCustomer": "70123"},
        "emailAddresses": {"business" if entry.person is None else "private": [email(customer)]},
        # Numbers that are kept free for invented people.
        "phoneNumbers": {"business": [f"030 23125 {number % 1000:03}"]} if number % 2 else None,
        "note": "Zahlt gern mit Skonto." if number % 5 == 0 else None,
        "archived": entry.archived,
    }


def _street(customer: Customer) -> dict[str, Any]:
    entry = customer.entry
    return {"street": entry.street, "zip": entry.zip, "city": entry.city, "countryCode": entry.country}


def _contact_person(customer: Customer) -> dict[str, Any] | None:
    number = customer.number or customer.vendor_number or 0
    if customer.entry.person is not None or number % 3:
        return None
    salutation, first, last = _CONTACT_PERSONS[number % len(_CONTACT_PERSONS)]
    return {
        "salutation": salutation,
        "firstName": first,
        "lastName": last,
        "primary": True,
        "emailAddress": f"kontakt{number}@post.example",
    }
