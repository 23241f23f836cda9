"""Invoices as the vendor's JSON has them, as many as one likes: each follows from its number, in whole cents.

One file of JSON lines, as the books keep bodies: ASCII, no blanks. What all of it adds up to is counted in integers
beside, before any reader has seen it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINES = 5  # of each invoice
RATES = (19, 7)
CUSTOMERS = 500
_FIRST_DAY = date(2021, 1, 1)
_DAYS = 5 * 365
_MASK = (1 << 64) - 1
_WORDS = ("Beratung", "Wartung", "Schulung", "Lizenz", "Montage", "Entwurf", "Prüfung", "Lieferung")


@dataclass
class Totals:
    """What the invoices add up to, in cents, but for the lines' count."""

    lines: int = 0
    amount: int = 0
    net: int = 0
    tax: int = 0
    gross: int = 0
    tax_by_rate: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, RATES), 0))


def write(path: Path, count: int) -> Totals:
    """Writes that many invoices, and beside them a file of what they add up to."""
    totals = Totals()
    days = [(_FIRST_DAY + timedelta(n)).isoformat() for n in range(_DAYS + 15)]
    with path.open("w", encoding="ascii") as file:
        for n in range(count):
            file.write(_invoice(n, days, totals))
    path.with_suffix(".totals").write_text(json.dumps(asdict(totals)), "ascii")
    return totals


def read_totals(path: Path) -> Totals:
    return Totals(**json.loads(path.with_suffix(".totals").read_text("ascii")))


def _stirred(n: int) -> int:
    h = (n * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    return h ^ (h >> 27)


def _euro(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _half_up(cents: int, percent: int) -> int:
    return (cents * percent * 2 + 100) // 200


def _invoice(n: int, days: list[str], totals: Totals) -> str:
    h = _stirred(n)
    day = h % _DAYS
    who = (h >> 16) % CUSTOMERS
    nets = dict.fromkeys(RATES, 0)
    lines = []
    for position in range(LINES):
        g = _stirred(n * LINES + position + (1 << 40))
        rate = RATES[g % 5 == 0]
        price, quantity = 100 + (g >> 8) % 50_000, 1 + (g >> 32) % 9
        amount = price * quantity
        nets[rate] += amount
        ware = (g >> 40) % 64
        lines.append(
            f'{{"id":"{ware:08x}-0000-4000-8000-00000000a11e","type":"service","name":"{_WORD[ware % 8]} {ware}",'
            f'"description":"Nach Aufwand, siehe Anlage zu Position {position + 1}.","quantity":{quantity},'
            f'"unitName":"Stunde","unitPrice":{{"currency":"EUR","netAmount":{_euro(price)},'
            f'"grossAmount":{_euro(price + _half_up(price, rate))},"taxRatePercentage":{rate}}},'
            f'"discountPercentage":0,"lineItemAmount":{_euro(amount)}}}'
        )
    taxes = {rate: _half_up(net, rate) for rate, net in nets.items() if net}
    net, tax = sum(nets.values()), sum(taxes.values())
    totals.lines += LINES
    totals.amount += net
    totals.net += net
    totals.tax += tax
    totals.gross += net + tax
    for rate, cents in taxes.items():
        totals.tax_by_rate[str(rate)] += cents
    amounts = ",".join(
        f'{{"taxRatePercentage":{rate},"taxAmount":{_euro(cents)},"netAmount":{_euro(nets[rate])}}}'
        for rate, cents in taxes.items()
    )
    moment = f"{days[day]}T{8 + (h >> 32) % 10:02}:15:30.000+01:00"
    return (
        f'{{"id":"{h >> 32:08x}-0000-4000-8000-{n:012x}","organizationId":"aa93e8a8-2aa3-470b-b914-caad8a255dd8",'
        f'"createdDate":"{moment}","updatedDate":"{moment}","version":3,"language":"de","archived":false,'
        f'"voucherStatus":"paid","voucherNumber":"RE{n + 1:07}","voucherDate":"{days[day]}T00:00:00.000+01:00",'
        f'"dueDate":"{days[day + 14]}T00:00:00.000+01:00",'
        f'"address":{{"contactId":"{who:08x}-0000-4000-8000-c0117ac7c0de",'
        f'"name":"Kundschaft {who} GmbH","supplement":null,"street":"Musterweg {who}","city":"Freiburg","zip":"79112",'
        f'"countryCode":"DE"}},"xRechnung":null,"electronicDocumentProfile":"NONE","lineItems":[{",".join(lines)}],'
        f'"totalPrice":{{"currency":"EUR","totalNetAmount":{_euro(net)},"totalGrossAmount":{_euro(net + tax)},'
        f'"totalTaxAmount":{_euro(tax)}}},"taxAmounts":[{amounts}],"taxConditions":{{"taxType":"net","taxTypeNote":null}},'
        '"paymentConditions":{"paymentTermLabel":"14 Tage netto","paymentTermLabelTemplate":"14 Tage netto",'
        '"paymentTermDuration":14,"paymentDiscountConditions":null},'
        f'"shippingConditions":{{"shippingDate":"{days[day]}T00:00:00.000+01:00","shippingType":"service"}},'
        '"closingInvoice":false,"claimedGrossAmount":null,"downPaymentDeductions":null,"recurringTemplateId":null,'
        '"relatedVouchers":[],"title":"Rechnung","introduction":"Unsere Leistungen stellen wir Ihnen in Rechnung.",'
        '"remark":"Vielen Dank f\\u00fcr Ihr Vertrauen.","files":null,"kind":"invoices",'
        f'"listedDate":"{moment}"}}\n'
    )


_WORD = [json.dumps(word)[1:-1] for word in _WORDS]
