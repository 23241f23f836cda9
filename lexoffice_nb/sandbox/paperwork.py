"""Printed papers: a document of the books as a PDF page, the way a letter from its seller would look.

The pages use Roboto from the package font-roboto, because the fonts that every PDF reader has know Latin-1 only, and
PDF/A wants each font inside the file. Roboto has Latin, Greek and Cyrillic letters. A character that it lacks (Chinese,
Arabic, emoji, …) is printed as its base letter where it has one, otherwise as `?`; the e-invoice's XML keeps them all.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from lexoffice_nb.sandbox.shapes import Exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fpdf import FPDF

    from lexoffice_nb.sandbox.people import Organisation

_BERLIN = ZoneInfo("Europe/Berlin")
_FONT = "Roboto"
_BANK = "99999901"  # no bank has a number that begins with 9
_ROW = 35  # printed lines in a row of the table: one that does not fit on a page is an error

TITLES = {
    "invoices": "Rechnung",
    "credit-notes": "Rechnungskorrektur",
    "quotations": "Angebot",
    "order-confirmations": "Auftragsbestätigung",
    "delivery-notes": "Lieferschein",
    "down-payment-invoices": "Abschlagsrechnung",
    "dunnings": "Mahnung",
}
_REASONS = {
    "vatfree": "Kein Ausweis von Umsatzsteuer, da Kleinunternehmer gemäß § 19 UStG",
    "intraCommunitySupply": "Steuerfreie innergemeinschaftliche Lieferung",
    "constructionService13b": "Steuerschuldnerschaft des Leistungsempfängers (§ 13b UStG)",
    "externalService13b": "Steuerschuldnerschaft des Leistungsempfängers (§ 13b UStG)",
    "thirdPartyCountryService": "Nicht steuerbare Leistung im Drittland",
    "thirdPartyCountryDelivery": "Steuerfreie Ausfuhrlieferung",
    "photovoltaicEquipment": "Steuersatz 0 % nach § 12 Abs. 3 UStG",
}


@dataclass(frozen=True)
class Seller:
    """Who writes the papers; all of it invented. The IBAN has right check digits and leads to no bank."""

    name: str
    street: str
    zip: str
    city: str
    country: str
    vat_id: str
    tax_number: str
    email: str
    phone: str
    iban: str
    contact: str

    @classmethod
    def of(cls, organisation: Organisation) -> Seller:
        """The seller that an organisation is, the same one each time."""
        number = int.from_bytes(hashlib.sha256(organisation.key.encode()).digest()[:4])
        street, code, city, host, contact = _PLACES.get(organisation.key, _ELSEWHERE)
        return cls(
            name=organisation.name,
            street=street,
            zip=code,
            city=city,
            country="DE",
            vat_id=f"DE{900000000 + number % 99999999}",
            tax_number=f"99/{100 + number % 899}/{10000 + number % 89999}",
            email=f"rechnung@{host}.example",
            phone=f"+49 30 23125 {100 + number % 899}",  # numbers kept free for films and books
            iban=_iban("DE", f"{_BANK}{number:010}"),
            contact=contact,
        )


_PLACES = {
    "demo": ("Musterweg 7", "10115", "Berlin", "muster-soehne", "Erika Muster"),
    "kanzlei": ("Beispielallee 12", "48143", "Münster", "kanzlei-beispiel", "Jonas Beispiel"),
}
_ELSEWHERE = ("Hauptstraße 1", "60311", "Frankfurt am Main", "verkauf", "Buchhaltung")


def _iban(country: str, account: str) -> str:
    """An IBAN with its two check digits (ISO 13616, ISO 7064 mod 97-10)."""
    digits = "".join(str(int(each, 36)) for each in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02}{account}"


def number(value: Exact | Decimal | int | str | None) -> Decimal:
    """A number of a document, exact; an absent one is 0.

    Raises:
        TypeError: For a binary fraction, which no amount of money may have been.
    """
    match value:
        case None:
            return Decimal(0)
        case Exact(digits, places):
            return Decimal(digits).scaleb(-places)
        case Decimal() | int() | str():
            return Decimal(value)
    raise TypeError(f"a number of a document is exact, never {type(value).__name__}")


def day(moment: str) -> date:
    """The day in Berlin of a timestamp, whichever offset it was written with."""
    return datetime.fromisoformat(moment).astimezone(_BERLIN).date()


def moment_of(document: Mapping[str, Any]) -> datetime:
    """When the paper was made, in UTC: the date of the document, so that equal documents give equal bytes."""
    made = day(document.get("voucherDate") or document["createdDate"])
    return datetime.combine(made, time(), _BERLIN).astimezone(UTC)


def tax_reason(document: Mapping[str, Any]) -> str | None:
    """Why there is no tax on the document, in words, where the law wants to read it."""
    conditions = document.get("taxConditions") or {}
    reason: str | None = conditions.get("taxTypeNote") or _REASONS.get(conditions.get("taxType", "net"))
    return reason


def german(value: Exact | Decimal | int | str | None, places: int = 2) -> str:
    """A number the German way: `1.234,50`. It has `places` decimals, and more only where it needs them."""
    exact = number(value)
    shown = exact.normalize()
    digits = shown.as_tuple().exponent
    decimals = max(places, -digits if isinstance(digits, int) else 0)
    return f"{exact:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def pdf(document: Mapping[str, Any], kind: str, seller: Seller) -> bytes:
    """A document as a PDF file (PDF/A-3b), always the same bytes for the same document.

    Args:
        document: A sales document as `shapes` makes it.
        kind: The first segment of its path: "invoices", "credit-notes", …
        seller: Who wrote it.
    """
    return bytes(_print(document, kind, seller).output())


def _print(document: Mapping[str, Any], kind: str, seller: Seller) -> FPDF:
    from fpdf import FPDF

    title = _plain(document.get("title") or TITLES.get(kind, "Beleg"))
    page = FPDF(enforce_compliance="PDF/A-3B")
    for style, name in (("", "Regular"), ("B", "Bold")):
        page.add_font(_FONT, style, _font_file(name))
    made = moment_of(document)
    page.set_creation_date(made)
    page.set_lang("de-DE")
    page.set_xmp_metadata(_xmp(f"{title} {_plain(document.get('voucherNumber') or '')}".strip(), seller.name, made))
    page.set_margins(20, 18)
    page.set_auto_page_break(True, 22)
    page.add_page()
    _letter_head(page, document, kind, seller, title)
    _paragraph(page, document.get("introduction"))
    _lines(page, document)
    if kind != "delivery-notes" and document.get("totalPrice"):
        _sums(page, document)
    _closing(page, document, kind, seller)
    return page


def _letter_head(page: FPDF, document: Mapping[str, Any], kind: str, seller: Seller, title: str) -> None:
    page.set_font(_FONT, "", 8)
    _write(page, f"{seller.name} · {seller.street} · {seller.zip} {seller.city}")
    page.ln(4)
    page.set_font(_FONT, "", 11)
    address = document.get("address") or {}
    town = f"{address.get('zip') or ''} {address.get('city') or ''}".strip()
    country = address.get("countryCode")
    lines = [address.get(each) for each in ("name", "supplement", "street")] + [
        town,
        None if country == "DE" else country,
    ]
    for line in filter(None, lines):
        _write(page, line)
    page.ln(8)
    page.set_font(_FONT, "B", 15)
    _write(page, f"{title} {document.get('voucherNumber') or ''}")
    page.set_font(_FONT, "", 10)
    _write(page, f"Datum: {_date(document.get('voucherDate') or document['createdDate'])}")
    shipping = document.get("shippingConditions") or {}
    if shipping.get("shippingDate"):
        name = "Leistungsdatum" if str(shipping.get("shippingType", "")).startswith("service") else "Lieferdatum"
        until = f" bis {_date(shipping['shippingEndDate'])}" if shipping.get("shippingEndDate") else ""
        _write(page, f"{name}: {_date(shipping['shippingDate'])}{until}")
    if document.get("expirationDate"):
        _write(page, f"Gültig bis: {_date(document['expirationDate'])}")
    reference = (document.get("xRechnung") or {}).get("buyerReference")
    if reference:
        _write(page, f"Ihre Referenz: {reference}")
    for related in document.get("relatedVouchers") or ():
        if kind in ("credit-notes", "dunnings") and related.get("voucherNumber"):
            _write(page, f"Zu: {related['voucherNumber']}")
    page.ln(4)


def _lines(page: FPDF, document: Mapping[str, Any]) -> None:
    from fpdf.enums import MethodReturnValue, TableBordersLayout
    from fpdf.fonts import FontFace

    priced = any("unitPrice" in each for each in document.get("lineItems") or ())
    heads = ["Pos.", "Bezeichnung", "Menge", "Einheit"] + (["Einzelpreis", "USt.", "Betrag"] if priced else [])
    width = 64 if priced else 108  # of the text in the second column, in mm
    page.set_font(_FONT, "", 9)
    with page.table(
        width=170,
        col_widths=(10, 66, 17, 19, 22, 13, 23) if priced else (12, 110, 24, 24),
        text_align=("RIGHT", "LEFT", "RIGHT", "LEFT", "RIGHT", "RIGHT", "RIGHT")[: len(heads)],
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD"),
        line_height=4.6,
        padding=(0.8, 1),
    ) as table:
        table.row([_plain(each) for each in heads])
        for position, item in enumerate(document.get("lineItems") or (), start=1):
            cells = _cells(position, item, document, priced)
            printed: Any = page.multi_cell(width, None, cells[1], dry_run=True, output=MethodReturnValue.LINES)
            for start in range(0, max(1, len(printed)), _ROW):
                words = "\n".join(printed[start : start + _ROW])
                table.row([cells[0], words, *cells[2:]] if start == 0 else ["", words, *[""] * (len(cells) - 2)])
    page.ln(2)


def _cells(position: int, item: Mapping[str, Any], document: Mapping[str, Any], priced: bool) -> list[str]:
    words = "\n".join(filter(None, (item.get("name"), item.get("description"))))
    discount = number(item.get("discountPercentage"))
    if discount:
        words += f"\nabzüglich {german(discount, 0)} % Rabatt"
    cells = [str(position), _plain(words)]
    if item.get("type") == "text":
        return cells + [""] * (5 if priced else 2)
    cells += [german(item.get("quantity"), 0), _shorter(_plain(item.get("unitName") or ""), 30)]
    if not priced:
        return cells
    price = item.get("unitPrice") or {}
    side = "grossAmount" if (document.get("taxConditions") or {}).get("taxType") == "gross" else "netAmount"
    rate = f"{german(price.get('taxRatePercentage'), 0)} %"
    amount = "" if item.get("lineItemAmount") is None else german(item["lineItemAmount"])
    return [*cells, german(price.get(side)), rate, amount]


def _sums(page: FPDF, document: Mapping[str, Any]) -> None:
    total = document["totalPrice"]
    rows = []
    if total.get("totalDiscountPercentage"):
        rows.append(("Gesamtrabatt", f"{german(total['totalDiscountPercentage'], 0)} %", ""))
    elif total.get("totalDiscountAbsolute"):
        rows.append(("Gesamtrabatt", _euro(total["totalDiscountAbsolute"]), ""))
    rows.append(("Summe netto", _euro(total.get("totalNetAmount")), ""))
    for each in document.get("taxAmounts") or ():
        name = f"{german(each['taxRatePercentage'], 0)} % USt. auf {_euro(each['netAmount'])}"
        rows.append((name, _euro(each["taxAmount"]), ""))
    rows.append(("Gesamtbetrag", _euro(total.get("totalGrossAmount")), "B"))
    for each in document.get("downPaymentDeductions") or ():
        name = f"abzüglich {each.get('title') or 'Abschlag'} {each.get('voucherNumber') or ''}"
        rows.append((name, _euro(-number(each.get("receivedGrossAmount"))), ""))
    if document.get("claimedGrossAmount") is not None:
        rows.append(("Noch zu zahlen", _euro(document["claimedGrossAmount"]), "B"))
    for name, amount, style in rows:
        page.set_font(_FONT, style, 10)
        page.cell(140, 5.5, _shorter(_plain(name)), align="R")
        page.cell(30, 5.5, amount, align="R", new_x="LMARGIN", new_y="NEXT")
    page.ln(4)


def _closing(page: FPDF, document: Mapping[str, Any], kind: str, seller: Seller) -> None:
    page.set_font(_FONT, "", 10)
    _paragraph(page, tax_reason(document))
    terms = document.get("paymentConditions") or {}
    _paragraph(page, terms.get("paymentTermLabel"))
    if terms.get("paymentDiscountConditions"):
        discount = terms["paymentDiscountConditions"]
        percent, days = german(discount["discountPercentage"], 0), discount["discountRange"]
        _paragraph(page, f"Bei Zahlung innerhalb von {days} Tagen gewähren wir {percent} % Skonto.")
    if document.get("dueDate"):
        _paragraph(page, f"Fällig am {_date(document['dueDate'])}.")
    _paragraph(page, document.get("deliveryTerms"))
    _paragraph(page, document.get("remark"))
    page.ln(4)
    page.set_font(_FONT, "", 8)
    if kind in ("invoices", "down-payment-invoices", "dunnings"):
        _write(page, f"Bankverbindung: {seller.iban}")
    _write(page, f"Steuernummer {seller.tax_number} · USt-IdNr. {seller.vat_id}")
    _write(page, f"{seller.contact} · {seller.phone} · {seller.email}")
    _write(page, "Ein erfundener Beleg aus der Sandbox: Hier schuldet niemand etwas.")


def _paragraph(page: FPDF, text: str | None) -> None:
    if text:
        page.set_font(_FONT, "", 10)
        _write(page, text)
        page.ln(2)


def _write(page: FPDF, text: str) -> None:
    page.multi_cell(0, 1.25 * page.font_size, _plain(text), align="L", new_x="LMARGIN", new_y="NEXT")


def _euro(value: Exact | Decimal | int | str | None) -> str:
    return f"{german(value)} €"


def _date(moment: str) -> str:
    return f"{day(moment):%d.%m.%Y}"


def _shorter(text: str, longest: int = 70) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _font_file(name: str) -> str:
    from importlib.resources import files

    return str(files("font_roboto") / "files" / f"Roboto-{name}.ttf")


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the font can print."""
    from fontTools.ttLib import TTFont

    with TTFont(_font_file("Regular"), lazy=True) as font:
        return frozenset(font.getBestCmap())


def _plain(text: str) -> str:
    """The text in characters that the font has; line breaks stay, other control characters go."""
    return "".join(map(_printable, unicodedata.normalize("NFC", str(text))))


def _printable(character: str) -> str:
    if character == "\n":
        return character
    if character == "\t":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    if ord(character) in _glyphs():
        return character
    letters = "".join(each for each in unicodedata.normalize("NFKD", character) if ord(each) in _glyphs())
    return letters or ("" if unicodedata.combining(character) else "?")


def _xmp(title: str, author: str, made: datetime) -> str:
    """The metadata that make a PDF a PDF/A-3b (ISO 19005-3); all its dates are the document's."""
    stamp = made.isoformat(timespec="seconds")
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/"'
        f' xmp:CreateDate="{stamp}" xmp:ModifyDate="{stamp}" xmp:MetadataDate="{stamp}">'
        "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>"
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{escape(title)}</rdf:li></rdf:Alt></dc:title>'
        f"<dc:creator><rdf:Seq><rdf:li>{escape(author)}</rdf:li></rdf:Seq></dc:creator>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
