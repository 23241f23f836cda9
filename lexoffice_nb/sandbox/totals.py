"""The sums of a sales document, in exact arithmetic: tax is rounded once per rate, on the sum of the column."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lexoffice_nb.sandbox.problems import Issue, not_valid
from lexoffice_nb.sandbox.shapes import Exact

_RATE_PLACES = 2
_MOST_CENTS = 10**14


def rounded(value: Fraction, places: int = 2) -> Exact:
    """Rounded commercially: half away from zero."""
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Exact(-whole if value < 0 else whole, places)


def fill_in(document: dict[str, Any], priced: bool = True) -> None:
    """Put prices, line amounts, totals and tax amounts into a document that was checked.

    Args:
        document: Has `lineItems`, `taxConditions` and, if it is priced, `totalPrice`; its numbers are `Decimal`.
        priced: Whether it has totals; delivery notes have none.

    Raises:
        ApiProblem: 406, if the sum is beyond reason, or the discount more than there is to take it from.
    """
    gross = document["taxConditions"]["taxType"] == "gross"
    columns: dict[Decimal, int] = defaultdict(int)
    for item in document["lineItems"]:
        _fill_in_line(item, gross)
        for each in (item, *(item.get("subItems") or ())):
            if each.get("unitPrice") and not each.get("alternative") and not each.get("optional"):
                columns[each["unitPrice"]["taxRatePercentage"]] += each["lineItemAmount"].value
    for item in document["lineItems"]:
        for each in (item, *(item.get("subItems") or ())):
            _make_exact(each)
    if not priced:
        return
    sums = _discounted(columns, document["totalPrice"])
    amounts, net_sum, tax_sum = [], 0, 0
    for rate, cents in sorted(sums.items()):
        percent = Fraction(rate)
        tax = rounded(Fraction(cents) * percent / (100 + percent if gross else 100), 0).value
        net = cents - tax if gross else cents
        amounts.append({"taxRatePercentage": _percent(rate), "taxAmount": Exact(tax), "netAmount": Exact(net)})
        net_sum, tax_sum = net_sum + net, tax_sum + tax
    if abs(net_sum) > _MOST_CENTS:
        raise not_valid(Issue("totalPrice", "DIGITS"))
    price = document["totalPrice"]
    document["taxAmounts"] = amounts
    document["totalPrice"] = {
        "currency": "EUR",
        "totalNetAmount": Exact(net_sum),
        "totalGrossAmount": Exact(net_sum + tax_sum),
        "totalTaxAmount": Exact(tax_sum),
        "totalDiscountAbsolute": plain(price.get("totalDiscountAbsolute")),
        "totalDiscountPercentage": plain(price.get("totalDiscountPercentage")),
    }


def plain(number: Decimal | None) -> Exact | int | None:
    """A number for JSON: whole if it is, else with its places."""
    if number is None or number == number.to_integral_value():
        return None if number is None else int(number)
    places = max(2, -int(number.normalize().as_tuple().exponent))
    return rounded(Fraction(number), places)


def _fill_in_line(item: dict[str, Any], gross: bool) -> None:
    for each in item.get("subItems") or ():
        _fill_in_line(each, gross)
    price = item.get("unitPrice")
    if not price:
        return
    factor = 1 + Fraction(price["taxRatePercentage"]) / 100
    known = Fraction(price["grossAmount" if gross else "netAmount"])
    price["netAmount"] = unit_price(known / factor if gross else known)
    price["grossAmount"] = unit_price(known if gross else known * factor)
    left = (100 - Fraction(item.get("discountPercentage") or 0)) / 100
    item["lineItemAmount"] = rounded(Fraction(item["quantity"]) * known * left)


def unit_price(value: Fraction) -> Exact:
    """A price with the two places of money, or four where it needs them."""
    four = rounded(value, 4)
    return Exact(four.value // 100) if four.value % 100 == 0 else four


def _make_exact(item: dict[str, Any]) -> None:
    if item.get("unitPrice"):
        item["unitPrice"]["taxRatePercentage"] = _percent(item["unitPrice"]["taxRatePercentage"])
    if item["type"] != "text":
        item["quantity"] = plain(item["quantity"])
        item["discountPercentage"] = plain(item.get("discountPercentage") or Decimal(0))


def _percent(rate: Decimal) -> int | Exact:
    return int(rate) if rate == rate.to_integral_value() else rounded(Fraction(rate), _RATE_PLACES)


def _discounted(columns: dict[Decimal, int], price: dict[str, Any]) -> dict[Decimal, int]:
    percent, absolute = price.get("totalDiscountPercentage"), price.get("totalDiscountAbsolute")
    if percent:
        left = (100 - Fraction(percent)) / 100
        return {rate: rounded(cents * left, 0).value for rate, cents in columns.items()}
    if not absolute:
        return dict(columns)
    total, off = sum(columns.values()), rounded(Fraction(absolute) * 100, 0).value
    if off > total:
        raise not_valid(Issue("totalPrice.totalDiscountAbsolute"))
    # Shared out by what each column has; what rounding leaves over is the largest column's.
    shares = {rate: off * cents // total for rate, cents in columns.items()}
    shares[max(columns, key=lambda rate: columns[rate])] += off - sum(shares.values())
    return {rate: cents - shares[rate] for rate, cents in columns.items()}
