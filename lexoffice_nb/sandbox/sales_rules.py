"""What a sales document must be made of when it is created."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.ledger import BERLIN
from lexoffice_nb.sandbox.problems import Issue
from lexoffice_nb.sandbox.validation import (
    Rule,
    choice,
    country,
    flag,
    identifier,
    many,
    moment,
    needed,
    number,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TAX_TYPES = (
    *("net", "gross", "vatfree", "intraCommunitySupply", "constructionService13b", "externalService13b"),
    *("thirdPartyCountryService", "thirdPartyCountryDelivery", "photovoltaicEquipment"),
)
_TAXED = ("net", "gross")
_SHIPPING = ("service", "serviceperiod", "delivery", "deliveryperiod", "none")
_RATES = (0, 7, 19)
_LOWERED_RATES = (0, 5, 16)
_LOWERED = (date(2020, 7, 1), date(2020, 12, 31))


@dataclass(frozen=True)
class Kind:
    """A kind of sales document.

    Attributes:
        word: Its name in the list of vouchers, or an empty text if it is not in there.
        series: What its numbers begin with.
        title: Its heading, if none is sent.
        follows: The kinds that may precede it.
        own: The rules of its own fields.
        priced: Whether it has totals.
        shipped: Whether it needs to say when it is delivered.
        only_draft: Whether it stays a draft.
    """

    word: str
    series: str
    title: str
    follows: tuple[str, ...]
    own: dict[str, Rule] = field(default_factory=dict)
    priced: bool = True
    shipped: bool = True
    only_draft: bool = False

    @property
    def rules(self) -> Rule:
        """The rules of the whole document."""
        shipping = record(
            {"shippingType": needed(choice(*_SHIPPING)), "shippingDate": moment(), "shippingEndDate": moment()}
        )
        fields = {
            "voucherDate": needed(moment()),
            "language": choice("de", "en"),
            "address": needed(_ADDRESS),
            "lineItems": needed(many(_line(self.priced), 300, 1)),
            "totalPrice": needed(_TOTAL) if self.priced else record({}),
            "taxConditions": needed(_TAX),
            "shippingConditions": needed(shipping) if self.shipped else record({}),
            "printLayoutId": identifier(),
            "title": text(25),
            "introduction": text(2000),
            "remark": text(2000),
        }
        return record(fields | self.own)


_ADDRESS = record(
    {
        "contactId": identifier(),
        **dict.fromkeys(("name", "supplement", "street", "city", "zip"), text(255)),
        "countryCode": country(),
    }
)
_TOTAL = record(
    {
        "currency": needed(choice("EUR")),
        "totalDiscountAbsolute": number(0),
        "totalDiscountPercentage": number(0, 100),
    }
)
_TAX = record(
    {
        "taxType": needed(choice(*TAX_TYPES)),
        "taxSubType": choice("distanceSales", "electronicServices"),
        "taxTypeNote": text(255),
    }
)
_PRICE = record(
    {
        "currency": needed(choice("EUR")),
        "netAmount": number(None, 10**8, 4),
        "grossAmount": number(None, 10**8, 4),
        "taxRatePercentage": needed(number(0, 100)),
    }
)
_PAYMENT = record(
    {
        "paymentTermLabel": text(2000),
        "paymentTermDuration": whole(0, 3650),
        "paymentDiscountConditions": record(
            {"discountPercentage": needed(number(0, 100)), "discountRange": needed(whole(0, 3650))}
        ),
    }
)


def _line(priced: bool, nested: bool = False) -> Rule:
    remark = record({"type": choice("text"), "name": needed(text(255)), "description": text(2000)})
    fields = {
        "id": identifier(),
        "type": needed(choice("custom", "material", "service")),
        "name": needed(text(255)),
        "description": text(2000),
        "quantity": needed(number(0, 10**7, 4)),
        "unitName": text(255),
        "unitPrice": needed(_PRICE) if priced else _PRICE,
        "discountPercentage": number(0, 100),
        "alternative": flag(),
        "optional": flag(),
    }
    if not nested:
        fields["subItems"] = many(_line(priced, nested=True), 300)
    priced_line = record(fields)

    def apply(value: Any, place: str, issues: list[Issue]) -> Any:
        is_text = isinstance(value, dict) and value.get("type") == "text"
        return (remark if is_text else priced_line)(value, place, issues)

    return apply


KINDS = {
    "invoices": Kind(
        *("invoice", "RE", "Rechnung", ("quotations", "order-confirmations", "delivery-notes")),
        own={"paymentConditions": _PAYMENT, "xRechnung": record({"buyerReference": needed(text(255))})},
    ),
    "credit-notes": Kind("creditnote", "GS", "Rechnungskorrektur", ("invoices",)),
    "quotations": Kind(
        *("quotation", "AG", "Angebot", ()),
        own={"expirationDate": needed(moment()), "paymentConditions": _PAYMENT},
        shipped=False,
    ),
    "order-confirmations": Kind(
        *("orderconfirmation", "AB", "Auftragsbestätigung", ("quotations",)),
        own={"paymentConditions": _PAYMENT, "deliveryTerms": text(255)},
    ),
    "delivery-notes": Kind(
        *("deliverynote", "LS", "Lieferschein", ("quotations", "order-confirmations", "invoices")),
        own={"deliveryTerms": text(255)},
        priced=False,
    ),
    "dunnings": Kind("", "MA", "Mahnung", ("invoices",), only_draft=True),
}


def disagreements(kind: str, document: dict[str, Any]) -> Iterator[Issue]:
    """What is wrong between the fields of a document whose fields are right one by one."""
    address, conditions = document["address"], document["taxConditions"]
    if not address["contactId"]:
        if conditions["taxType"] not in _TAXED:
            yield Issue("address.contactId", "NOTNULL")
        for name in ("name", "countryCode"):
            if not address[name]:
                yield Issue(f"address.{name}", "NOTNULL")
    shipping = document["shippingConditions"] or {"shippingType": "none"}
    if shipping["shippingType"] != "none" and not shipping["shippingDate"]:
        yield Issue("shippingConditions.shippingDate", "NOTNULL")
    if shipping["shippingType"].endswith("period"):
        if not shipping["shippingEndDate"]:
            yield Issue("shippingConditions.shippingEndDate", "NOTNULL")
        elif shipping["shippingDate"] and _moment(shipping["shippingEndDate"]) < _moment(shipping["shippingDate"]):
            yield Issue("shippingConditions.shippingEndDate")
    rates = _rates(conditions, shipping.get("shippingDate") or document["voucherDate"])
    amount = "grossAmount" if conditions["taxType"] == "gross" else "netAmount"
    for place, item in lines(document):
        if item["type"] in ("material", "service") and not item["id"]:
            yield Issue(f"{place}.id", "NOTNULL")
        if kind != "quotations" and (item.get("subItems") or item.get("alternative") or item.get("optional")):
            yield Issue(f"{place}.subItems")
        price = item.get("unitPrice")
        if price and price[amount] is None:
            yield Issue(f"{place}.unitPrice.{amount}", "NOTNULL")
        if price and rates is not None and price["taxRatePercentage"] not in rates:
            yield Issue(f"{place}.unitPrice.taxRatePercentage")


def lines(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line item and what lies below it, with its place."""
    for number_, item in enumerate(document["lineItems"]):
        yield f"lineItems[{number_}]", item
        for sub, each in enumerate(item.get("subItems") or ()):
            yield f"lineItems[{number_}].subItems[{sub}]", each


def _rates(conditions: dict[str, Any], when: str) -> tuple[int, ...] | None:
    if conditions["taxType"] not in _TAXED:
        return (0,)
    if conditions["taxSubType"]:
        return None  # the buyer's country has its own rates
    day = _moment(when).astimezone(BERLIN).date()
    return _LOWERED_RATES if _LOWERED[0] <= day <= _LOWERED[1] else _RATES


def _moment(text_: str) -> datetime:
    return datetime.fromisoformat(text_)
