"""The one place with the names and types of all columns, and where in the vendor's JSON each comes from.

Money is DECIMAL, a day is the DATE that the first ten characters of the vendor's timestamp name: it is Berlin's day
already, and any conversion could only move it. Amounts are positive also in credit notes, as they come. Names are the
vendor's, in snake case. `overdue` is never stored: it depends on the day on which one asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Raised whenever a stored file of before could be read wrongly.
VERSION = 2

TEXT, DAY, WHOLE, FLAG = "VARCHAR", "DATE", "INTEGER", "BOOLEAN"
MONEY = "DECIMAL(18,2)"
EXACT = "DECIMAL(18,4)"  # unit prices and quantities have up to four places
PERCENT = "DECIMAL(7,4)"


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        type: its type in DuckDB.
        path: where it comes from: JSON pointers separated by blanks, the first that is there; `#` is the position in
            the list that the table is made of, counted from 1, and a path that begins with `^` is the document's own.
        says: what it is, in half a sentence of English; `says()` has it in other languages.
    """

    type: str
    path: str
    says: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        source: what it is made of: rows (of the list of vouchers), documents, payments or contacts.
        columns: by name.
        items: the list in each record that has a row for each of its entries: JSON pointers, the first that is there.
            Empty for a table with one row for each record.
        says: what a row is.
    """

    source: str
    columns: Mapping[str, Column]
    items: str = ""
    says: str = ""


TABLES: Mapping[str, Table] = {
    "vouchers": Table(
        source="rows",
        says="a voucher of any type, as the list has it",
        columns={
            "id": Column(TEXT, "/id", "its id"),
            "voucher_type": Column(TEXT, "/voucherType", "invoice, creditnote, …"),
            "voucher_status": Column(TEXT, "/voucherStatus", "draft, open, paid, …; overdue is stored as open"),
            "voucher_number": Column(TEXT, "/voucherNumber", "its number"),
            "voucher_date": Column(DAY, "/voucherDate", "its date"),
            "due_date": Column(DAY, "/dueDate", "when it is due"),
            "created_date": Column(DAY, "/createdDate", "when it was made"),
            "updated_date": Column(DAY, "/updatedDate", "when it was changed last"),
            "updated_at": Column(TEXT, "/updatedDate", "the same, to the millisecond, as the API writes it"),
            "contact_id": Column(TEXT, "/contactId", "whom it is for; none for the collective contact"),
            "contact_name": Column(TEXT, "/contactName", "what the contact was called then"),
            "total_amount": Column(MONEY, "/totalAmount", "gross, as a rule"),
            "open_amount": Column(MONEY, "/openAmount", "what is not paid yet"),
            "currency": Column(TEXT, "/currency", "EUR"),
            "archived": Column(FLAG, "/archived", "whether it is archived"),
        },
    ),
    "documents": Table(
        source="documents",
        says="a document: sales documents and bookkeeping vouchers",
        columns={
            "id": Column(TEXT, "/id", "its id, as in vouchers"),
            "kind": Column(TEXT, "/kind", "its endpoint: invoices, credit-notes, vouchers, …"),
            "voucher_type": Column(TEXT, "/type /voucherType", "of a bookkeeping voucher: salesinvoice, …"),
            "voucher_status": Column(TEXT, "/voucherStatus", "draft, open, paid, …"),
            "voucher_number": Column(TEXT, "/voucherNumber", "its number"),
            "voucher_date": Column(DAY, "/voucherDate", "its date"),
            "due_date": Column(DAY, "/dueDate", "when it is due"),
            "shipping_date": Column(DAY, "/shippingConditions/shippingDate /shippingDate", "when it was delivered"),
            "updated_at": Column(TEXT, "/updatedDate", "when it was changed last, as the API writes it"),
            "contact_id": Column(TEXT, "/address/contactId /contactId", "whom it is for"),
            "contact_name": Column(TEXT, "/address/name /contactName", "the name on it"),
            "country_code": Column(TEXT, "/address/countryCode", "of the address on it"),
            "tax_type": Column(TEXT, "/taxConditions/taxType /taxType", "net, gross, vatfree, …"),
            "net_amount": Column(MONEY, "/totalPrice/totalNetAmount", "net total; none for bookkeeping vouchers"),
            "tax_amount": Column(MONEY, "/totalPrice/totalTaxAmount /totalTaxAmount", "tax in all"),
            "gross_amount": Column(MONEY, "/totalPrice/totalGrossAmount /totalGrossAmount", "gross total"),
            "total_discount_absolute": Column(MONEY, "/totalPrice/totalDiscountAbsolute", "taken off the whole"),
            "total_discount_percentage": Column(PERCENT, "/totalPrice/totalDiscountPercentage", "the same, in percent"),
            "currency": Column(TEXT, "/totalPrice/currency", "EUR"),
            "version": Column(WHOLE, "/version", "counts the changes"),
            "archived": Column(FLAG, "/archived", "whether it is archived"),
            "closing_invoice": Column(FLAG, "/closingInvoice", "whether it settles down payments"),
            "claimed_gross_amount": Column(MONEY, "/claimedGrossAmount", "what is left after them"),
            "recurring_template_id": Column(TEXT, "/recurringTemplateId", "what it was made by"),
            "listed_at": Column(TEXT, "/listedDate", "what the list called its last change when it was read"),
        },
    ),
    "line_items": Table(
        source="documents",
        says="a line of a document",
        items="/lineItems /voucherItems",
        columns={
            "document_id": Column(TEXT, "^/id", "whose line it is"),
            "kind": Column(TEXT, "^/kind", "the document's endpoint"),
            "position": Column(WHOLE, "#", "from 1"),
            "type": Column(TEXT, "/type", "custom, material, service, text; none for bookkeeping vouchers"),
            "article_id": Column(TEXT, "/id", "the article, if it is one"),
            "name": Column(TEXT, "/name", "what it says"),
            "quantity": Column(EXACT, "/quantity", "how much"),
            "unit_name": Column(TEXT, "/unitName", "of what"),
            "unit_net_amount": Column(EXACT, "/unitPrice/netAmount", "net price of one"),
            "unit_gross_amount": Column(EXACT, "/unitPrice/grossAmount", "gross price of one"),
            "tax_rate": Column(PERCENT, "/unitPrice/taxRatePercentage /taxRatePercent", "in percent"),
            "discount": Column(PERCENT, "/discountPercentage", "in percent"),
            "amount": Column(MONEY, "/lineItemAmount /amount", "net or gross, as the document is"),
            "tax_amount": Column(MONEY, "/taxAmount", "of bookkeeping vouchers"),
            "category_id": Column(TEXT, "/categoryId", "the posting category of a bookkeeping voucher"),
        },
    ),
    "tax_amounts": Table(
        source="documents",
        says="a tax rate of a sales document",
        items="/taxAmounts",
        columns={
            "document_id": Column(TEXT, "^/id", "whose tax it is"),
            "kind": Column(TEXT, "^/kind", "the document's endpoint"),
            "tax_rate": Column(PERCENT, "/taxRatePercentage", "in percent"),
            "net_amount": Column(MONEY, "/netAmount", "what is taxed"),
            "tax_amount": Column(MONEY, "/taxAmount", "the tax"),
        },
    ),
    "deductions": Table(
        source="documents",
        says="a down payment that a closing invoice deducts",
        items="/downPaymentDeductions",
        columns={
            "document_id": Column(TEXT, "^/id", "the closing invoice"),
            "down_payment_id": Column(TEXT, "/id", "the down-payment invoice"),
            "voucher_type": Column(TEXT, "/voucherType", "what kind of voucher that is"),
            "tax_rate": Column(PERCENT, "/taxRatePercentage", "in percent"),
            "net_amount": Column(MONEY, "/receivedNetAmount", "what was received, net"),
            "tax_amount": Column(MONEY, "/receivedTaxAmount", "its tax"),
            "gross_amount": Column(MONEY, "/receivedGrossAmount", "gross"),
        },
    ),
    "related_vouchers": Table(
        source="documents",
        says="a voucher that belongs to a document",
        items="/relatedVouchers",
        columns={
            "document_id": Column(TEXT, "^/id", "the document"),
            "related_id": Column(TEXT, "/id", "the other one"),
            "voucher_type": Column(TEXT, "/voucherType", "what the other one is"),
        },
    ),
    "payments": Table(
        source="payments",
        says="how far a voucher is paid",
        columns={
            "voucher_id": Column(TEXT, "/voucherId", "the voucher"),
            "open_amount": Column(MONEY, "/openAmount", "what is not paid yet"),
            "payment_status": Column(TEXT, "/paymentStatus", "balanced, openRevenue, openExpense"),
            "paid_date": Column(DAY, "/paidDate", "when it was paid in full"),
            "listed_at": Column(TEXT, "/listedDate", "what the list called the voucher's last change when it was read"),
        },
    ),
    "payment_items": Table(
        source="payments",
        says="a payment, or what counts as one",
        items="/paymentItems",
        columns={
            "voucher_id": Column(TEXT, "^/voucherId", "the voucher"),
            "position": Column(WHOLE, "#", "from 1"),
            "type": Column(TEXT, "/paymentItemType", "manualPayment, cashDiscount, …"),
            "posting_date": Column(DAY, "/postingDate", "when"),
            "amount": Column(MONEY, "/amount", "how much, positive"),
        },
    ),
    "contacts": Table(
        source="contacts",
        says="a customer or vendor",
        columns={
            "id": Column(TEXT, "/id", "its id"),
            "customer_number": Column(WHOLE, "/roles/customer/number", "its number as a customer"),
            "vendor_number": Column(WHOLE, "/roles/vendor/number", "its number as a vendor"),
            "company": Column(TEXT, "/company/name", "a company's name"),
            "first_name": Column(TEXT, "/person/firstName", "of a person"),
            "last_name": Column(TEXT, "/person/lastName", "of a person"),
            "zip": Column(TEXT, "/addresses/billing/0/zip", "of its first billing address"),
            "city": Column(TEXT, "/addresses/billing/0/city", "of the same"),
            "country_code": Column(TEXT, "/addresses/billing/0/countryCode", "of the same"),
            "vat_registration_id": Column(TEXT, "/company/vatRegistrationId", "of a company"),
            "archived": Column(FLAG, "/archived", "whether it is archived"),
        },
    ),
}


def says(table: str, column: str, language: str) -> str:
    """Gives what a column is, in half a sentence.

    Args:
        table: the table's name.
        column: the column's.
        language: en or de.
    """
    if language == "de":
        from lexoffice_nb.books import schema_de

        return schema_de.COLUMNS[table][column]
    return TABLES[table].columns[column].says


# Which endpoint has the whole document of a row of the list; other types have none that is known.
ENDPOINTS: Mapping[str, str] = {
    "invoice": "invoices",
    "downpaymentinvoice": "down-payment-invoices",
    "creditnote": "credit-notes",
    "quotation": "quotations",
    "orderconfirmation": "order-confirmations",
    "deliverynote": "delivery-notes",
    **dict.fromkeys(("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote"), "vouchers"),
}
