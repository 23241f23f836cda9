"""Electronic invoices after EN 16931: XRechnung 3.0 (UN/CEFACT CII) and ZUGFeRD (the same XML inside a PDF/A-3).

Both say what the document says: its tax per rate, its total and what is left to pay. EN 16931 knows net prices only and
reckons upwards from them (tax = basis x rate, rounded once per rate), so that an invoice with gross prices may come out
some cents beside its document. What is left over is stated openly and never spread over the lines:

- Lines that do not add up to the basis of their rate get one allowance or charge for the whole document
  (BG-20, BG-21), called "Gesamtrabatt" where the document has one, otherwise "Rundungsausgleich".
- A gross sum that no basis leads to (at 19 % about every sixth) keeps the tax of the document, has a basis that differs
  by a cent, and gets that cent back as the rounding amount (BT-114) with a note (BT-22).
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paperwork
from lexoffice_nb.sandbox.paperwork import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lexoffice_nb.sandbox.paperwork import Seller

XRECHNUNG = "urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0"
EN16931 = "urn:cen.eu:en16931:2017"
_PROCESS = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"  # the one that XRechnung 3.0 asks for (BT-23)

_CENT = Decimal("0.01")
_FINE = Decimal("0.000001")  # a net price made of a gross one: fine enough for thousands of pieces
_MOST_ROUNDING = Decimal("0.05")  # one cent for each rate that a document can have; more is no rounding

_COMMERCIAL_INVOICE, _CREDIT_NOTE, _PARTIAL_INVOICE, _PREPAYMENT_INVOICE = "380", "381", "326", "386"  # UNTDID 1001
_SEPA_TRANSFER, _CLEARING = "58", "97"  # UNTDID 4461

# UNECE Recommendation 20; what is not listed is C62, "one".
_UNITS = {
    "stunde": "HUR", "stunden": "HUR", "tag": "DAY", "tage": "DAY", "monat": "MON", "monate": "MON", "stück": "H87",
    "heft": "H87", "kg": "KGM", "km": "KMT", "m": "MTR", "m²": "MTK", "liter": "LTR", "pauschal": "LS",
}  # fmt: skip

# Category (UNTDID 5305) and code of the reason (VATEX) for each tax type without tax; S and Z are for net and gross.
_CATEGORIES: dict[str, tuple[str, str | None]] = {
    "vatfree": ("E", None),
    "intraCommunitySupply": ("K", "VATEX-EU-IC"),
    "constructionService13b": ("AE", "VATEX-EU-AE"),
    "externalService13b": ("AE", "VATEX-EU-AE"),
    "thirdPartyCountryService": ("O", "VATEX-EU-O"),
    "thirdPartyCountryDelivery": ("G", "VATEX-EU-G"),
}
_NEEDS_BUYERS_VAT_ID = ("K", "AE")


class NotAnEInvoice(ValueError):
    """The document lacks something that every electronic invoice of this kind must say; the message names it."""


@dataclass(frozen=True)
class Buyer:
    """What an e-invoice says of the buyer and the document does not: it is in the contact."""

    vat_id: str | None = None
    email: str = "rechnungseingang@post.example"


@dataclass(frozen=True)
class _Line:
    item: Mapping[str, Any]
    quantity: Decimal
    price: Decimal
    percent: Decimal
    raw: Decimal
    net: Decimal
    category: str
    rate: Decimal


@dataclass(frozen=True)
class _Rate:
    category: str
    rate: Decimal
    lines: Decimal
    basis: Decimal
    tax: Decimal


@dataclass(frozen=True)
class _Sums:
    rates: Sequence[_Rate]
    lines: Decimal
    allowances: Decimal
    charges: Decimal
    basis: Decimal
    tax: Decimal
    grand: Decimal
    rounding: Decimal
    prepaid: Decimal
    due: Decimal


def xrechnung(
    document: Mapping[str, Any], seller: Seller, *, kind: str = "invoices", buyer: Buyer | None = None
) -> bytes:
    """A document as an XRechnung 3.0 in CII; equal documents give equal bytes.

    Args:
        document: An invoice, credit note or down-payment invoice as `shapes` makes it.
        seller: Who wrote it.
        kind: "invoices", "credit-notes" or "down-payment-invoices"; the document itself does not tell.
        buyer: What the contact knows beyond the address of the document.

    Raises:
        NotAnEInvoice: Without a buyer reference (BR-DE-15), the buyer's town and post code (BR-DE-8, BR-DE-9), a VAT id
            where the buyer owes the tax (BR-AE-02, BR-IC-02), a line, or with totals that do not add up.
    """
    if not (document.get("xRechnung") or {}).get("buyerReference"):
        raise NotAnEInvoice("xRechnung.buyerReference is missing")
    address = document.get("address") or {}
    for name in ("city", "zip"):
        if not address.get(name):
            raise NotAnEInvoice(f"address.{name} is missing")
    return _xml(document, seller, kind, buyer or Buyer(), XRECHNUNG)


def zugferd(
    document: Mapping[str, Any], seller: Seller, *, kind: str = "invoices", buyer: Buyer | None = None
) -> bytes:
    """A document as ZUGFeRD, profile EN 16931: a PDF/A-3 with `factur-x.xml` inside; arguments as for `xrechnung`.

    Raises:
        NotAnEInvoice: As for `xrechnung`, but for what only XRechnung asks for.
    """
    page, xml = paperwork.pdf(document, kind, seller), _xml(document, seller, kind, buyer or Buyer(), EN16931)
    title = f"{document.get('title') or paperwork.TITLES[kind]} {document.get('voucherNumber') or ''}"
    metadata = {"author": seller.name, "keywords": "ZUGFeRD", "title": _text(title), "subject": _text(title)}
    return _embed(page, xml, metadata, paperwork.moment_of(document))


def _xml(document: Mapping[str, Any], seller: Seller, kind: str, buyer: Buyer, guideline: str) -> bytes:
    from drafthorse.models.document import Document
    from drafthorse.models.note import IncludedNote

    lines = _lines(document)
    sums = _add_up(document, lines)
    categories = {each.category for each in sums.rates}
    if categories.intersection(_NEEDS_BUYERS_VAT_ID) and not buyer.vat_id:
        raise NotAnEInvoice("the buyer's VAT id is missing")

    invoice = Document()
    if guideline == XRECHNUNG:
        invoice.context.business_parameter.id = _PROCESS
    invoice.context.guideline_parameter.id = guideline
    invoice.header.id = _text(document.get("voucherNumber"), "ohne Nummer")
    invoice.header.type_code = _type_code(kind, guideline)
    invoice.header.issue_date_time = paperwork.day(document.get("voucherDate") or document["createdDate"])
    for words in _notes(document, sums):
        note = IncludedNote()
        note.content = words
        invoice.header.notes.add(note)
    _parties(invoice.trade, document, seller, buyer, categories)
    for position, line in enumerate(lines, start=1):
        invoice.trade.items.add(_trade_line(position, line))
    _delivery(invoice.trade, document, categories)
    _settlement(invoice.trade.settlement, document, seller, kind, sums)
    return bytes(invoice.serialize(schema=None))


def _lines(document: Mapping[str, Any]) -> list[_Line]:
    tax_type = (document.get("taxConditions") or {}).get("taxType", "net")
    lines = [_line(item, tax_type) for item in document.get("lineItems") or () if item.get("type") != "text"]
    if not lines:
        raise NotAnEInvoice("lineItems has no line with a price")
    return lines


def _line(item: Mapping[str, Any], tax_type: str) -> _Line:
    price = item.get("unitPrice") or {}
    rate = number(price.get("taxRatePercentage"))
    quantity, percent = number(item.get("quantity")), number(item.get("discountPercentage"))
    gross = tax_type == "gross" and price.get("grossAmount") is not None
    unit = number(price.get("netAmount"))
    if gross:
        unit = (number(price["grossAmount"]) * 100 / (100 + rate)).quantize(_FINE, ROUND_HALF_UP)
    if unit < 0:  # a price is never negative (BR-27), a quantity may be
        unit, quantity = -unit, -quantity
    raw = _cents(quantity * unit)
    net = raw - _cents(raw * percent / 100)
    if not gross and item.get("lineItemAmount") is not None:
        net = number(item["lineItemAmount"])
    return _Line(item, quantity, unit, percent, raw, net, _category(tax_type, rate), rate)


def _category(tax_type: str, rate: Decimal) -> str:
    if tax_type in _CATEGORIES:
        return _CATEGORIES[tax_type][0]
    return "S" if rate else "Z"


def _add_up(document: Mapping[str, Any], lines: Sequence[_Line]) -> _Sums:
    columns: dict[Decimal, Decimal] = defaultdict(Decimal)
    for line in lines:
        columns[line.rate] += line.net
    category = {line.rate: line.category for line in lines}
    stated = {number(each["taxRatePercentage"]): each for each in document.get("taxAmounts") or ()}
    if not set(stated) <= set(columns):
        raise NotAnEInvoice("taxAmounts has a rate that no line has")
    rates = [_rate(category[rate], rate, column, stated.get(rate)) for rate, column in sorted(columns.items())]
    basis, tax = sum((each.basis for each in rates), Decimal(0)), sum((each.tax for each in rates), Decimal(0))
    total = (document.get("totalPrice") or {}).get("totalGrossAmount")
    gross = basis + tax if total is None else number(total)
    if abs(gross - basis - tax) > _MOST_ROUNDING:
        raise NotAnEInvoice("totalPrice is not the sum of taxAmounts")
    prepaid = _prepaid(document, gross)
    return _Sums(
        rates=rates,
        lines=sum((line.net for line in lines), Decimal(0)),
        allowances=sum((each.lines - each.basis for each in rates if each.lines > each.basis), Decimal(0)),
        charges=sum((each.basis - each.lines for each in rates if each.lines < each.basis), Decimal(0)),
        basis=basis,
        tax=tax,
        grand=basis + tax,
        rounding=gross - basis - tax,
        prepaid=prepaid,
        due=gross - prepaid,
    )


def _rate(category: str, rate: Decimal, column: Decimal, stated: Mapping[str, Any] | None) -> _Rate:
    """The sums of one rate: the document's tax, and the basis nearest to the document's that leads to it."""
    net = column if stated is None else number(stated["netAmount"])
    tax = _cents(net * rate / 100) if stated is None else number(stated["taxAmount"])
    for away in (Decimal(0), _CENT, -_CENT):
        if _cents((net + away) * rate / 100) == tax:
            return _Rate(category, rate, column, net + away, tax)
    raise NotAnEInvoice(f"taxAmounts: {tax} is not {rate.normalize():f} % of {net}")


def _prepaid(document: Mapping[str, Any], gross: Decimal) -> Decimal:
    claimed = document.get("claimedGrossAmount")
    if claimed is not None:
        return gross - number(claimed)
    deductions = document.get("downPaymentDeductions") or ()
    return sum((number(each.get("receivedGrossAmount")) for each in deductions), Decimal(0))


def _type_code(kind: str, guideline: str) -> str:
    if kind == "down-payment-invoices":
        return _PARTIAL_INVOICE if guideline == XRECHNUNG else _PREPAYMENT_INVOICE  # BR-DE-17 does not want 386
    return _CREDIT_NOTE if kind == "credit-notes" else _COMMERCIAL_INVOICE


def _notes(document: Mapping[str, Any], sums: _Sums) -> list[str]:
    texts = [item for item in document.get("lineItems") or () if item.get("type") == "text"]
    notes = [document.get("introduction"), document.get("remark")]
    notes += ["\n".join(filter(None, (each.get("name"), each.get("description")))) for each in texts]
    for each in document.get("downPaymentDeductions") or ():
        amount = paperwork.german(each.get("receivedGrossAmount"))
        notes.append(f"Abzug: {each.get('title') or 'Abschlag'} {each.get('voucherNumber') or ''}, {amount} EUR brutto")
    if sums.rounding:
        amount = paperwork.german(sums.rounding)
        notes.append(f"Bruttorechnung: Der Rundungsbetrag von {amount} EUR stellt den Gesamtbetrag des Belegs her.")
    return [words for words in map(_text, notes) if words]


def _parties(trade: Any, document: Mapping[str, Any], seller: Seller, buyer: Buyer, categories: set[str]) -> None:
    from drafthorse.models.party import TaxRegistration

    trade.agreement.buyer_reference = _text((document.get("xRechnung") or {}).get("buyerReference"))
    party = trade.agreement.seller
    party.name = seller.name
    party.contact.person_name = seller.contact
    party.contact.telephone.number = seller.phone
    party.contact.email.address = seller.email
    _address(
        party.address, {"street": seller.street, "zip": seller.zip, "city": seller.city, "countryCode": seller.country}
    )
    party.electronic_address.uri_ID = ("EM", seller.email)
    party.tax_registrations.add(TaxRegistration(id=("FC", seller.tax_number)))
    if "O" in categories:
        party.id = seller.tax_number  # outside the scope of VAT nobody has a VAT id (BR-O-02), and one id there must be
    else:
        party.tax_registrations.add(TaxRegistration(id=("VA", seller.vat_id)))

    address = document.get("address") or {}
    party = trade.agreement.buyer
    party.name = _text(address.get("name"), "Unbekannt")
    _address(party.address, address)
    party.electronic_address.uri_ID = ("EM", buyer.email)
    if buyer.vat_id and "O" not in categories:
        party.tax_registrations.add(TaxRegistration(id=("VA", buyer.vat_id)))


def _address(target: Any, address: Mapping[str, Any]) -> None:
    target.postcode = _text(address.get("zip"))
    target.line_one = _text(address.get("street"))
    target.line_two = _text(address.get("supplement"))
    target.city_name = _text(address.get("city"))
    # The vendor splits some countries by their tax areas ("ES_CN"); the norm has ISO 3166 only.
    target.country_id = (address.get("countryCode") or "DE").partition("_")[0]


def _trade_line(position: int, line: _Line) -> Any:
    from drafthorse.models.accounting import TradeAllowanceCharge
    from drafthorse.models.tradelines import LineItem

    trade_line = LineItem()
    trade_line.document.line_id = str(position)
    trade_line.product.name = _text(line.item.get("name"), f"Position {position}")
    trade_line.product.description = _text(line.item.get("description"))
    trade_line.agreement.net.amount = _short(line.price)
    unit = str(line.item.get("unitName") or "").casefold()
    trade_line.delivery.billed_quantity = (_short(line.quantity), _UNITS.get(unit, "C62"))
    tax = trade_line.settlement.trade_tax
    tax.type_code = "VAT"
    tax.category_code = line.category
    if line.category != "O":
        tax.rate_applicable_percent = _short(line.rate)
    if line.raw != line.net:
        change = TradeAllowanceCharge()
        change.indicator = line.net > line.raw
        if line.percent:
            change.calculation_percent = _short(line.percent)
            change.basis_amount = line.raw
        change.actual_amount = abs(line.raw - line.net)
        change.reason = "Rabatt" if line.percent else "Rundungsausgleich"
        trade_line.settlement.allowance_charge.add(change)
    trade_line.settlement.monetary_summation.total_amount = line.net
    return trade_line


def _delivery(trade: Any, document: Mapping[str, Any], categories: set[str]) -> None:
    shipping = document.get("shippingConditions") or {}
    first = shipping.get("shippingDate")
    if first and shipping.get("shippingEndDate"):
        trade.settlement.period.start = paperwork.day(first)
        trade.settlement.period.end = paperwork.day(shipping["shippingEndDate"])
    # Always a day (BT-72): without one the group would be empty, and the schema wants the group.
    done = shipping.get("shippingEndDate") or first or document.get("voucherDate") or document["createdDate"]
    trade.delivery.event.occurrence = paperwork.day(done)
    if "K" in categories:  # where the goods went makes them free of tax (BR-IC-12)
        address = document.get("address") or {}
        trade.delivery.ship_to.name = _text(address.get("name"), "Unbekannt")
        _address(trade.delivery.ship_to.address, address)


def _settlement(settlement: Any, document: Mapping[str, Any], seller: Seller, kind: str, sums: _Sums) -> None:
    from drafthorse.models.payment import PaymentMeans, PaymentTerms

    settlement.currency_code = "EUR"
    settlement.payment_reference = _text(document.get("voucherNumber"))
    means = PaymentMeans()
    if kind == "credit-notes":
        means.type_code = _CLEARING
    else:
        means.type_code = _SEPA_TRANSFER
        means.payee_account.iban = seller.iban
        means.payee_account.account_name = seller.name
    settlement.payment_means.add(means)
    _taxes(settlement, document, sums)
    terms = PaymentTerms()
    terms.description = _terms(document, kind)
    if document.get("dueDate"):
        terms.due = paperwork.day(document["dueDate"])
    settlement.terms.add(terms)
    for related in document.get("relatedVouchers") or ():
        if kind == "credit-notes" and related.get("voucherType") == "invoice" and related.get("voucherNumber"):
            settlement.invoice_referenced_document.issuer_assigned_id = _text(related["voucherNumber"])

    total = settlement.monetary_summation
    total.line_total = sums.lines
    total.charge_total = sums.charges
    total.allowance_total = sums.allowances
    total.tax_basis_total = sums.basis
    total.tax_total = (sums.tax, "EUR")
    if sums.rounding:
        total.rounding_amount = sums.rounding
    total.grand_total = sums.grand
    if sums.prepaid:
        total.prepaid_total = sums.prepaid
    total.due_amount = sums.due


def _taxes(settlement: Any, document: Mapping[str, Any], sums: _Sums) -> None:
    from drafthorse.models.accounting import ApplicableTradeTax, CategoryTradeTax, TradeAllowanceCharge

    total = document.get("totalPrice") or {}
    discounted = bool(number(total.get("totalDiscountAbsolute")) or number(total.get("totalDiscountPercentage")))
    tax_type = (document.get("taxConditions") or {}).get("taxType", "net")
    for each in sums.rates:
        tax = ApplicableTradeTax()
        tax.calculated_amount = each.tax
        tax.type_code = "VAT"
        if each.category not in ("S", "Z"):
            tax.exemption_reason = _text(paperwork.tax_reason(document))
            tax.exemption_reason_code = _CATEGORIES[tax_type][1] or ""
        tax.basis_amount = each.basis
        tax.category_code = each.category
        tax.rate_applicable_percent = _short(each.rate)
        settlement.trade_tax.add(tax)
        if each.lines != each.basis:
            change = TradeAllowanceCharge()
            change.indicator = each.lines < each.basis
            change.actual_amount = abs(each.lines - each.basis)
            reduced = discounted and each.lines > each.basis
            change.reason = "Gesamtrabatt" if reduced else "Rundungsausgleich"
            category = CategoryTradeTax()
            category.type_code = "VAT"
            category.category_code = each.category
            if each.category != "O":
                category.rate_applicable_percent = _short(each.rate)
            change.trade_tax.add(category)
            settlement.allowance_charge.add(change)


def _terms(document: Mapping[str, Any], kind: str) -> str:
    """The payment terms (BT-20); cash discount as XRechnung writes it, one line of its own (BR-DE-18)."""
    conditions = document.get("paymentConditions") or {}
    otherwise = "Der Betrag wird verrechnet oder erstattet." if kind == "credit-notes" else "Zahlbar sofort"
    # A line that begins with # would be read as a cash discount.
    words = (_text(conditions.get("paymentTermLabel")) or otherwise).replace("#", " ")
    discount = conditions.get("paymentDiscountConditions")
    if not discount:
        return words
    percent = number(discount["discountPercentage"]).quantize(_CENT, ROUND_HALF_UP)
    return f"{words}\n#SKONTO#TAGE={discount['discountRange']}#PROZENT={percent}#\n"


def _embed(page: bytes, xml: bytes, metadata: dict[str, str], made: datetime) -> bytes:
    import facturx

    file = io.BytesIO(page)
    facturx.generate_from_file(
        file,
        xml,
        flavor="factur-x",
        level="en16931",
        check_xsd=False,
        pdf_metadata=metadata,
        lang="de-DE",
        afrelationship="alternative",
        xmp_compression=False,
    )
    return _date_back(file.getvalue(), made)


def _date_back(page: bytes, made: datetime) -> bytes:
    """The file with the document's date in place of each "now" that embedding wrote."""
    from pypdf import PdfWriter
    from pypdf.generic import NameObject, StreamObject, TextStringObject

    writer = PdfWriter(clone_from=io.BytesIO(page))
    stamp = TextStringObject(f"D:{made:%Y%m%d%H%M%S}+00'00'")
    writer.add_metadata({"/CreationDate": stamp, "/ModDate": stamp})
    attached: Any = writer.root_object["/AF"]
    for each in attached:
        each.get_object()["/EF"]["/F"]["/Params"][NameObject("/ModDate")] = stamp
    xmp = writer.root_object["/Metadata"]
    if not isinstance(xmp, StreamObject):
        raise TypeError("factur-x wrote no metadata")
    moments = re.compile(rb"(<xmp:(?:Create|Modify)Date>)[^<]*")
    xmp.set_data(moments.sub(rb"\g<1>" + made.isoformat(timespec="seconds").encode(), xmp.get_data()))
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _short(value: Decimal) -> Decimal:
    """Without the zeros at the end, and never with an exponent."""
    return Decimal(f"{value.normalize():f}")


def _text(words: str | None, otherwise: str = "") -> str:
    """Text that XML 1.0 can hold: other characters are left out."""
    kept = re.sub(r"[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", str(words or "").replace("\r\n", "\n"))
    return kept.strip() or otherwise
