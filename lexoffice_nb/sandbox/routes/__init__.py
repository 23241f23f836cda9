"""The endpoints of the API, as one table.

A scope of the paper is named in the singular, one of the vendor's contract for partners in the plural. The paper's
`invoice.read` opens documents, files and articles, `contact.read` contacts, and `invoice.write` every write.
"""

from __future__ import annotations

from lexoffice_nb.sandbox.calls import Route
from lexoffice_nb.sandbox.problems import LEGACY
from lexoffice_nb.sandbox.routes import (
    articles,
    contacts,
    files,
    finance,
    lists,
    papers,
    partners,
    reading,
    sales,
    vouchers,
)

_SALES = ("invoices", "credit-notes", "quotations", "order-confirmations", "delivery-notes", "dunnings")
_UPLOAD = 6 * 1024 * 1024


def _read(thing: str) -> tuple[str, ...]:
    return ("contact.read" if thing == "contacts" else "invoice.read", f"{thing}.read")


def _write(thing: str) -> tuple[str, ...]:
    return ("invoice.write", f"{thing}.write")


_ANY_SALES_VOUCHER = tuple(dict.fromkeys(scope for kind in _SALES for scope in _read(kind)))
_BANK_READ, _BANK_WRITE = ("contacts.bankaccounts.read",), ("contacts.bankaccounts.write",)
_FINANCE_READ, _FINANCE_WRITE = ("finance.read",), ("finance.write",)
_CASH_READ, _CASH_WRITE, _CASH_DELETE = ("cashbox.read",), ("cashbox.write",), ("cashbox.delete",)

_SALES_ROUTES = tuple(
    route
    for kind in _SALES
    for route in (
        Route("POST", f"/{kind}", _write(kind), sales.create),
        Route("GET", f"/{kind}/<id>", _read(kind), reading.document),
        Route("PUT", f"/{kind}/<id>", (), sales.not_editable),
        Route("GET", f"/{kind}/<id>/file", _read(kind), papers.file),
        Route("GET", f"/{kind}/<id>/document", _read(kind), papers.document_file),
        Route("POST", f"/{kind}/<id>/sendmail", ("vouchers.sendmail",), papers.send_by_email, partner=True),
    )
)

ROUTES = (
    Route("GET", "/ping", (), reading.ping),
    Route("GET", "/profile", ("profile", "profile.read"), reading.profile),
    Route("GET", "/voucherlist", _read("voucherlist"), reading.voucherlist),
    *_SALES_ROUTES,
    Route("GET", "/invoices/<id>/interaction-status", ("invoices.read",), partners.interaction, partner=True),
    Route("PUT", "/invoices/<id>/interaction-status", ("invoices.read",), partners.change_interaction, partner=True),
    Route("GET", "/down-payment-invoices/<id>", _read("invoices"), reading.document),
    Route("GET", "/down-payment-invoices/<id>/file", _read("invoices"), papers.file),
    Route("GET", "/recurring-templates", _read("recurring-templates"), reading.recurring_templates),
    Route("GET", "/recurring-templates/<id>", _read("recurring-templates"), reading.document),
    Route("GET", "/payments/<id>", _read("payments"), reading.payments),
    Route("GET", "/vouchers", _read("vouchers"), vouchers.search, LEGACY),
    Route("POST", "/vouchers", _write("vouchers"), vouchers.create, LEGACY),
    Route("GET", "/vouchers/<id>", _read("vouchers"), reading.document, LEGACY),
    Route("PUT", "/vouchers/<id>", _write("vouchers"), vouchers.change, LEGACY),
    Route(
        *("POST", "/vouchers/<id>/files", ("invoice.write", "vouchers.write files.write"), files.attach, LEGACY),
        octets=_UPLOAD,
    ),
    Route("POST", "/files", _write("files"), files.upload, LEGACY, octets=_UPLOAD),
    Route("GET", "/files/<id>", _read("files"), files.download, LEGACY),
    Route("GET", "/files/<id>/status", ("files.status",), files.status, LEGACY, partner=True),
    Route("GET", "/contacts", _read("contacts"), contacts.search, LEGACY),
    Route("POST", "/contacts", _write("contacts"), contacts.create, LEGACY),
    Route("GET", "/contacts/<id>", _read("contacts"), reading.document, LEGACY),
    Route("PUT", "/contacts/<id>", _write("contacts"), contacts.change, LEGACY),
    Route("GET", "/contacts/<id>/bankaccounts", _BANK_READ, partners.bank_accounts, LEGACY, partner=True),
    Route("POST", "/contacts/<id>/bankaccounts", _BANK_WRITE, partners.add_bank_account, LEGACY, partner=True),
    Route("GET", "/contacts/<id>/bankaccounts/<bid>", _BANK_READ, partners.bank_account, LEGACY, partner=True),
    Route("PUT", "/contacts/<id>/bankaccounts/<bid>", _BANK_WRITE, partners.change_bank_account, LEGACY, partner=True),
    Route(
        *("DELETE", "/contacts/<id>/bankaccounts/<bid>", _BANK_WRITE, partners.delete_bank_account, LEGACY),
        partner=True,
    ),
    Route("GET", "/articles", _read("articles"), articles.search),
    Route("POST", "/articles", _write("articles"), articles.create),
    Route("GET", "/articles/<id>", _read("articles"), reading.document),
    Route("PUT", "/articles/<id>", _write("articles"), articles.change),
    Route("DELETE", "/articles/<id>", _write("articles"), articles.delete),
    Route("GET", "/countries", (), lists.countries),
    Route("GET", "/payment-conditions", (), lists.payment_conditions),
    Route("GET", "/posting-categories", (), lists.posting_categories),
    Route("GET", "/print-layouts", _ANY_SALES_VOUCHER, lists.print_layouts),
    Route("GET", "/event-subscriptions", (), lists.subscriptions),
    Route("POST", "/event-subscriptions", (), lists.subscribe),
    Route("GET", "/event-subscriptions/<id>", (), lists.subscription),
    Route("DELETE", "/event-subscriptions/<id>", (), lists.unsubscribe),
    Route("GET", "/organization", ("organization.read",), partners.organization, partner=True),
    Route("GET", "/partner-integrations", (), partners.integration, partner=True),
    Route("PUT", "/partner-integrations", (), partners.change_integration, partner=True),
    Route("GET", "/finance/accounts", _FINANCE_READ, finance.accounts, partner=True),
    Route("POST", "/finance/accounts", _FINANCE_WRITE, finance.ACCOUNTS.create, partner=True),
    Route("GET", "/finance/accounts/<id>", _FINANCE_READ, finance.ACCOUNTS.read, partner=True),
    Route("PUT", "/finance/accounts/<id>", _FINANCE_WRITE, finance.ACCOUNTS.change, partner=True),
    Route("DELETE", "/finance/accounts/<id>", _FINANCE_WRITE, finance.ACCOUNTS.delete, partner=True),
    Route("GET", "/finance/transactions", _FINANCE_READ, finance.transactions, partner=True),
    Route("POST", "/finance/transactions", _FINANCE_WRITE, finance.add_transactions, partner=True),
    Route("GET", "/finance/transactions/latest-transaction", _FINANCE_READ, finance.latest_transaction, partner=True),
    Route("GET", "/finance/transactions/<id>", _FINANCE_READ, finance.TRANSACTIONS.read, partner=True),
    Route("PUT", "/finance/transactions/<id>", _FINANCE_WRITE, finance.TRANSACTIONS.change, partner=True),
    Route("DELETE", "/finance/transactions/<id>", _FINANCE_WRITE, finance.TRANSACTIONS.delete, partner=True),
    Route("GET", "/finance/transactions/<id>/assignments", _FINANCE_READ, finance.assignments, partner=True),
    Route("GET", "/cash-boxes", _CASH_READ, finance.cash_boxes, partner=True),
    Route("POST", "/cash-boxes", _CASH_WRITE, finance.CASH_BOXES.create, partner=True),
    Route("GET", "/cash-boxes/<id>", _CASH_READ, finance.CASH_BOXES.read, partner=True),
    Route("PUT", "/cash-boxes/<id>", _CASH_WRITE, finance.CASH_BOXES.change, partner=True),
    Route("DELETE", "/cash-boxes/<id>", _CASH_DELETE, finance.CASH_BOXES.delete, partner=True),
    Route("GET", "/cash-boxes/<id>/balances", _CASH_READ, finance.balances, partner=True),
    Route("POST", "/cash-boxes/<id>/balances", _CASH_WRITE, finance.add_balance, partner=True),
    Route(
        *("POST", "/transaction-assignment-hint", ("transaction-assignment-hint.write",), finance.assignment_hint),
        partner=True,
    ),
)
