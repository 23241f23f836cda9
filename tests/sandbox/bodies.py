"""Bodies of requests that the API takes."""

from __future__ import annotations

from typing import Any

DAY = "2025-03-01T00:00:00.000+01:00"


def line(**changes: Any) -> dict[str, Any]:
    """A line item of 100 euros net at 19 %."""
    return {
        "type": "custom",
        "name": "Beratung",
        "quantity": 1,
        "unitName": "Stunde",
        "unitPrice": {"currency": "EUR", "netAmount": 100, "taxRatePercentage": 19},
        **changes,
    }


def sales(kind: str = "invoices", **changes: Any) -> dict[str, Any]:
    """A sales document of a kind; a change to None leaves the field out."""
    body: dict[str, Any] = {
        "voucherDate": DAY,
        "address": {"name": "Laufkundschaft", "countryCode": "DE"},
        "lineItems": [line()],
        "totalPrice": {"currency": "EUR"},
        "taxConditions": {"taxType": "net"},
        "shippingConditions": {"shippingType": "service", "shippingDate": DAY},
    }
    if kind == "quotations":
        body["expirationDate"] = "2025-04-01T00:00:00.000+02:00"
    return {name: value for name, value in (body | changes).items() if value is not None}


def contact(**changes: Any) -> dict[str, Any]:
    """A company that buys."""
    body = {
        "version": 0,
        "roles": {"customer": {}},
        "company": {"name": "Möbel & Mehr GmbH", "vatRegistrationId": "DE123456788"},
        "addresses": {"billing": [{"street": "Weg 1", "zip": "10115", "city": "Berlin", "countryCode": "DE"}]},
        "emailAddresses": {"business": ["einkauf@moebel.example"]},
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


def article(**changes: Any) -> dict[str, Any]:
    """A service of 100 euros net."""
    return {
        "title": "Beratung",
        "type": "SERVICE",
        "unitName": "Stunde",
        "articleNumber": "B-1",
        "price": {"netPrice": 100, "leadingPrice": "NET", "taxRate": 19},
        **changes,
    }


def voucher(**changes: Any) -> dict[str, Any]:
    """A purchase of 119 euros."""
    body = {
        "type": "purchaseinvoice",
        "voucherNumber": "V-1",
        "voucherDate": "2025-03-01",
        "totalGrossAmount": 119,
        "totalTaxAmount": 19,
        "taxType": "gross",
        "useCollectiveContact": True,
        "voucherItems": [
            {
                "amount": 119,
                "taxAmount": 19,
                "taxRatePercent": 19,
                "categoryId": "16d04a28-fd91-11e1-a21f-0800200c9a66",
            }
        ],
        "version": 0,
    }
    return {name: value for name, value in (body | changes).items() if value is not None}
