"""Bare lists, and subscriptions to events."""

from __future__ import annotations

import ipaddress
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lexoffice_nb.sandbox import catalogues, shapes
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.problems import Issue, not_found, not_valid
from lexoffice_nb.sandbox.validation import check, choice, needed, record, text

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_SUBSCRIPTIONS = "event-subscriptions"
_LAYOUTS = uuid.UUID("77a0c0b2-5d0c-4a55-9d59-63d5d2f0c7a4")
_PLAIN = ("created", "changed", "deleted")
EVENTS = (
    *(f"{thing}.{what}" for thing in ("article", "contact", "dunning", "recurring-template") for what in _PLAIN),
    *(
        f"{thing}.{what}"
        for thing in (
            *("credit-note", "delivery-note", "down-payment-invoice", "invoice", "order-confirmation", "quotation"),
            "voucher",
        )
        for what in (*_PLAIN, "status.changed")
    ),
    *("payment.changed", "token.revoked"),
)
_RULES = record({"eventType": needed(choice(*EVENTS)), "callbackUrl": needed(text(2000))})


def countries(_call: Call) -> tuple[dict[str, Any], ...]:
    """`GET /v1/countries`."""
    return catalogues.countries()


def posting_categories(_call: Call) -> tuple[dict[str, Any], ...]:
    """`GET /v1/posting-categories`."""
    return catalogues.posting_categories()


def payment_conditions(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/payment-conditions`."""
    return [
        {
            "id": _own(call, "payment condition"),
            "organizationDefault": True,
            "paymentTermLabelTemplate": "Zahlbar innerhalb von {paymentRange} Tagen",
            "paymentTermDuration": 14,
        }
    ]


def print_layouts(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/print-layouts`."""
    return [
        {"id": _own(call, "Standard"), "name": "Standard", "default": True},
        {"id": _own(call, "Modern"), "name": "Modern", "default": False},
    ]


def subscriptions(call: Call) -> dict[str, Any]:
    """`GET /v1/event-subscriptions`: a `content`, and nothing about pages."""
    return {"content": call.books.written(_SUBSCRIPTIONS)}


def subscription(call: Call) -> dict[str, Any]:
    """`GET /v1/event-subscriptions/{id}`."""
    found = call.books.find(_SUBSCRIPTIONS, call.id, call.now.date())
    if found is None:
        raise not_found("Event subscription", call.id)
    return found


def subscribe(call: Call) -> Reply:
    """`POST /v1/event-subscriptions`: kept; the sandbox calls nobody, so it looks at the address only."""
    body = check(_RULES, call.json())
    if not _may_be_called(body["callbackUrl"]):
        raise not_valid(Issue("callbackUrl"))
    key, now = str(uuid.uuid4()), shapes.timestamp(call.now)
    call.books.keep(
        _SUBSCRIPTIONS,
        {
            "subscriptionId": key,
            "organizationId": call.books.ledger.organisation_id,
            "createdDate": now,
            "eventType": body["eventType"],
            "callbackUrl": body["callbackUrl"],
        },
        key,
    )
    return action(call, 201, _SUBSCRIPTIONS, key, created=now, updated=now, version=0)


def unsubscribe(call: Call) -> Reply:
    """`DELETE /v1/event-subscriptions/{id}`."""
    subscription(call)
    call.books.forget(_SUBSCRIPTIONS, call.id.lower())
    return Reply(status=204)


def _may_be_called(url: str) -> bool:
    # The vendor asks the address by HEAD over TLS; one that it could never reach fails here too.
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host


def _own(call: Call, name: str) -> str:
    return str(uuid.uuid5(_LAYOUTS, f"{call.books.ledger.organisation_id}/{name}"))
