"""The documented endpoints of the API as one table: what there is, what it takes, and which scope covers it.

A row is an operation of a resource: `invoices.get` is `GET /v1/invoices/{id}`. Methods, completion, docstrings and
`docs/api.md` all come from here, so that what the vendor does not offer does not exist. Source: the vendor's API
documentation (https://developers.lexware.io/docs/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LARGEST_PAGE = 250
# The vendor shows no more rows of one query than these.
WINDOW = 10_000


_KINDS = {
    "text": "text",
    "uuid": "an id",
    "date": "a day, itself included (a date, or text such as 2025-03-01)",
    "flag": "True or False",
    "number": "a whole number",
    "choice": "",
}


@dataclass(frozen=True)
class Filter:
    """A query parameter.

    Attributes:
        name: the vendor's.
        kind: text, uuid, date, flag, number or choice.
        choices: the known values of a choice; others are sent with a warning, since the vendor adds some.
        default: what is sent where nobody says otherwise.
        required: whether the vendor refuses a request without it.
        several: whether it takes several values, joined by commas.
        escaped: whether the vendor wants its text HTML-escaped before it is URL-encoded.
        shortest: the fewest characters that the vendor searches for.
    """

    name: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    several: bool = False
    escaped: bool = False
    shortest: int = 1

    @property
    def wants(self) -> str:
        """Which values it takes, in words."""
        several = ", or a list of them" if self.several else ""
        shortest = f", at least {self.shortest} characters" if self.shortest > 1 else ""
        return (" | ".join(self.choices) or _KINDS[self.kind]) + several + shortest


@dataclass(frozen=True)
class Operation:
    """An endpoint, and how it is called.

    Attributes:
        resource: the resource's name in Python.
        name: the operation's.
        kind: how it is served: get, list (pages), array, create, send, update, delete, file or upload.
        method: the HTTP method.
        path: below the API's base, with the names of its parts in braces.
        does: what it does, in half a sentence.
        scope: the scope of the partner contract that covers it; empty where any sign-in will do.
        filters: its query parameters.
        formats: of a file: which there are.
        key: the member that tells one record from the others.
        version: the member that guards against changes by two people at once.
        axes: of a list: the dates by which a query of more than 10 000 rows is split.
        sort: of a list: an order that changes least while it is read.
        page: of a list: rows on a page.
        partner: whether it is there for clients of a partner contract only.
        deprecated: what to use instead of it.
    """

    resource: str
    name: str
    kind: str
    method: str
    path: str
    does: str
    scope: str = ""
    filters: tuple[Filter, ...] = ()
    formats: tuple[str, ...] = ()
    key: str = "id"
    version: str = "version"
    axes: tuple[str, ...] = ()
    sort: str = ""
    page: int = LARGEST_PAGE
    partner: bool = False
    deprecated: str = ""

    @property
    def call(self) -> str:
        """What people write: `invoices.get`."""
        return f"{self.resource}.{self.name}"

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the path's parts that a caller fills in."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def paper_scope(self) -> str:
        """The scope of the paper's contract that covers it; empty as `scope`, and where only partners are served."""
        if not self.scope or self.partner:
            return ""
        if self.scope == "profile.read":
            return "profile"
        thing, _, verb = self.scope.rpartition(".")
        if thing == "contacts" and verb == "read":
            return "contact.read"
        return f"invoice.{'read' if verb == 'read' else 'write'}"

    def scopes(self, *, by_paper: bool) -> tuple[str, ...]:
        """The scopes that cover it, in the names of the contract that a sign-in was made by."""
        return tuple(((self.paper_scope if by_paper else "") or self.scope).split())


VOUCHER_TYPES = (
    *("invoice", "salesinvoice", "downpaymentinvoice", "creditnote", "salescreditnote", "purchaseinvoice"),
    *("purchasecreditnote", "quotation", "orderconfirmation", "deliverynote", "any"),
)
VOUCHER_STATUSES = (
    *("draft", "open", "overdue", "paid", "paidoff", "voided", "transferred", "sepadebit", "accepted", "rejected"),
    *("unchecked", "blank", "any"),
)


def _sort(*names: str) -> Filter:
    return Filter("sort", "choice", tuple(f"{name},{way}" for name in names for way in ("ASC", "DESC")))


_FINALIZE = Filter("finalize", "flag")
_PRECEDING = Filter("precedingSalesVoucherId", "uuid")


def _row(call: str, kind: str, request: str, does: str, scope: str = "", **more: Any) -> Operation:
    """A row of the table: `_row("invoices.get", "get", "GET /v1/invoices/{id}", …)`."""
    resource, name = call.split(".")
    method, path = request.split(" ")
    return Operation(resource, name, kind, method, path, does, scope, **more)


def _file(name: str, path: str, title: str, scope: str, *, xml: bool = False) -> Operation:
    formats = ("pdf", "xml") if xml else ("pdf",)
    return _row(f"{name}.file", "file", f"GET {path}/{{id}}/file", f"the {title} as a file", scope, formats=formats)


def _sales(name: str, title: str, flags: tuple[Filter, ...], *, xml: bool = False) -> tuple[Operation, ...]:
    """A sales document: written once, and never changed or deleted through the API."""
    thing = name.replace("_", "-")
    path, read, write = f"/v1/{thing}", f"{thing}.read", f"{thing}.write"
    new = f"writes a new {title}; " + ("a draft unless told else" if _FINALIZE in flags else "it stays a draft")
    return (
        _row(f"{name}.create", "create", f"POST {path}", new, write, filters=flags),
        _row(f"{name}.get", "get", f"GET {path}/{{id}}", f"the {title} with its line items", read),
        _file(name, path, title, read, xml=xml),
        _row(f"{name}.document", "get", f"GET {path}/{{id}}/document", "the id of its file", read, deprecated="file"),
        _row(
            *(f"{name}.send_mail", "send", f"POST {path}/{{id}}/sendmail", f"sends the {title} by e-mail"),
            scope="vouchers.sendmail",
            partner=True,
        ),
    )


def _crud(
    name: str, path: str, titles: tuple[str, str], scope: str, key: str = "id", version: str = "version"
) -> tuple[Operation, ...]:
    """What a partner's client may read and change."""
    one, read, write = f"{path}/{{id}}", f"{scope}.read", f"{scope}.write"
    title, plural = titles
    delete = "cashbox.delete" if scope == "cashbox" else write
    return (
        _row(f"{name}.list", "array", f"GET {path}", f"all {plural}", read, partner=True),
        _row(f"{name}.get", "get", f"GET {one}", f"one {title}", read, partner=True),
        _row(f"{name}.create", "create", f"POST {path}", f"makes a new {title}", write, partner=True),
        _row(
            f"{name}.update",
            "update",
            f"PUT {one}",
            f"changes a {title}",
            write,
            key=key,
            version=version,
            partner=True,
        ),
        _row(f"{name}.delete", "delete", f"DELETE {one}", f"deletes a {title}", delete, partner=True),
    )


_VOUCHERLIST = (
    Filter("voucherType", "choice", VOUCHER_TYPES, "any", required=True, several=True),
    Filter("voucherStatus", "choice", VOUCHER_STATUSES, "any", required=True, several=True),
    Filter("archived", "flag"),
    Filter("contactId", "uuid"),
    *(Filter(f"{what}Date{end}", "date") for what in ("voucher", "created", "updated") for end in ("From", "To")),
    Filter("voucherNumber", escaped=True),
    _sort("voucherDate", "voucherNumber", "createdDate", "updatedDate"),
)
_TEMPLATES = (_sort("createdDate", "updatedDate", "lastExecutionDate", "nextExecutionDate"),)
_CONTACTS = (
    Filter("email", escaped=True, shortest=3),
    Filter("name", escaped=True, shortest=3),
    Filter("number", "number"),
    Filter("customer", "flag"),
    Filter("vendor", "flag"),
)
_ARTICLES = (Filter("articleNumber"), Filter("gtin"), Filter("type", "choice", ("PRODUCT", "SERVICE")))
_NUMBER = (Filter("voucherNumber", required=True, escaped=True),)
_UPLOAD = (Filter("type", "choice", ("voucher", "attachment"), "voucher"),)
_ACCOUNT = (Filter("financialAccountId", "uuid", required=True),)
_SCANS = ("pdf", "jpg", "png", "xml")

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    _row("profile.get", "get", "GET /v1/profile", "whose account it is, and what its contract covers", "profile.read"),
    _row("voucherlist.list", "list", "GET /v1/voucherlist", "vouchers of all types, one row each", "voucherlist.read",
         filters=_VOUCHERLIST, axes=("createdDate", "voucherDate"), sort="createdDate,ASC"),
    *_sales("invoices", "invoice", (_FINALIZE, _PRECEDING), xml=True),
    _row("invoices.interaction_status", "get", "GET /v1/invoices/{id}/interaction-status",
         "what its recipient has done with an e-invoice", "invoices.read", partner=True),
    _row("invoices.set_interaction_status", "send", "PUT /v1/invoices/{id}/interaction-status",
         "notes what its recipient has done", "invoices.read", partner=True),
    *_sales("credit_notes", "credit note", (_FINALIZE, _PRECEDING), xml=True),
    *_sales("quotations", "quotation", (_FINALIZE,)),
    *_sales("order_confirmations", "order confirmation", (_FINALIZE, _PRECEDING)),
    *_sales("delivery_notes", "delivery note", (_FINALIZE, _PRECEDING)),
    *_sales("dunnings", "dunning", (Filter("precedingSalesVoucherId", "uuid", required=True),)),
    _row("down_payment_invoices.get", "get", "GET /v1/down-payment-invoices/{id}",
         "the down-payment invoice with its line items", "invoices.read"),
    _file("down_payment_invoices", "/v1/down-payment-invoices", "down-payment invoice", "invoices.read", xml=True),
    _row("recurring_templates.list", "list", "GET /v1/recurring-templates", "templates of recurring invoices",
         "recurring-templates.read", filters=_TEMPLATES, sort="createdDate,ASC"),
    _row("recurring_templates.get", "get", "GET /v1/recurring-templates/{id}", "the template with its line items",
         "recurring-templates.read"),
    _row("vouchers.list", "list", "GET /v1/vouchers", "bookkeeping vouchers of one number", "vouchers.read",
         filters=_NUMBER),
    _row("vouchers.get", "get", "GET /v1/vouchers/{id}", "the bookkeeping voucher with its items", "vouchers.read"),
    _row("vouchers.create", "create", "POST /v1/vouchers", "books a new voucher", "vouchers.write"),
    _row("vouchers.update", "update", "PUT /v1/vouchers/{id}", "changes a voucher", "vouchers.write"),
    _row("vouchers.upload", "upload", "POST /v1/vouchers/{id}/files", "attaches a file to a voucher",
         "vouchers.write files.write", formats=_SCANS),
    _row("contacts.list", "list", "GET /v1/contacts", "customers and vendors", "contacts.read", filters=_CONTACTS),
    _row("contacts.get", "get", "GET /v1/contacts/{id}", "the contact", "contacts.read"),
    _row("contacts.create", "create", "POST /v1/contacts", "makes a new contact", "contacts.write"),
    _row("contacts.update", "update", "PUT /v1/contacts/{id}", "changes a contact", "contacts.write"),
    *_crud("contact_bank_accounts", "/v1/contacts/{contact_id}/bankaccounts",
           ("bank account of a contact", "bank accounts of a contact"), "contacts.bankaccounts"),
    _row("articles.list", "list", "GET /v1/articles", "products and services", "articles.read", filters=_ARTICLES),
    _row("articles.get", "get", "GET /v1/articles/{id}", "the article", "articles.read"),
    _row("articles.create", "create", "POST /v1/articles", "makes a new article", "articles.write"),
    _row("articles.update", "update", "PUT /v1/articles/{id}", "changes an article", "articles.write"),
    _row("articles.delete", "delete", "DELETE /v1/articles/{id}", "deletes an article", "articles.write"),
    _row("payments.get", "get", "GET /v1/payments/{voucher_id}", "what was paid of a voucher, and how",
         "payments.read"),
    _row("payment_conditions.list", "array", "GET /v1/payment-conditions", "the terms of payment"),
    _row("posting_categories.list", "array", "GET /v1/posting-categories", "the categories of vouchers"),
    _row("countries.list", "array", "GET /v1/countries", "countries and how they are taxed"),
    # The scope to read any other kind of sales document opens it as well.
    _row("print_layouts.list", "array", "GET /v1/print-layouts", "the layouts of papers", "invoices.read"),
    _row("files.upload", "upload", "POST /v1/files", "uploads a receipt to be booked", "files.write",
         filters=_UPLOAD, formats=_SCANS),
    _row("files.get", "file", "GET /v1/files/{id}", "an uploaded file", "files.read"),
    _row("files.status", "get", "GET /v1/files/{id}/status", "how far an upload has come", "files.status",
         partner=True),
    _row("event_subscriptions.list", "array", "GET /v1/event-subscriptions", "who is told of which events"),
    _row("event_subscriptions.get", "get", "GET /v1/event-subscriptions/{id}", "one subscription"),
    _row("event_subscriptions.create", "create", "POST /v1/event-subscriptions",
         "has a public https address told of an event"),
    _row("event_subscriptions.delete", "delete", "DELETE /v1/event-subscriptions/{id}", "ends a subscription"),
    _row("organization.get", "get", "GET /v1/organization", "the organisation's own address and numbers",
         "organization.read", partner=True),
    _row("partner_integrations.get", "get", "GET /v1/partner-integrations", "how the integration stands",
         partner=True),
    _row("partner_integrations.update", "send", "PUT /v1/partner-integrations", "says how it stands", partner=True),
    *_crud("finance_accounts", "/v1/finance/accounts", ("bank account", "bank accounts"), "finance",
           "financialAccountId", "lockVersion"),
    _row("finance_transactions.create", "create", "POST /v1/finance/transactions",
         "brings in up to 25 transactions, as a list", "finance.write", partner=True),
    _row("finance_transactions.latest", "get", "GET /v1/finance/transactions/latest-transaction",
         "the newest transaction of an account", "finance.read", filters=_ACCOUNT, partner=True),
    _row("finance_transactions.get", "get", "GET /v1/finance/transactions/{id}", "one transaction", "finance.read",
         partner=True),
    _row("finance_transactions.update", "update", "PUT /v1/finance/transactions/{id}", "changes a transaction",
         "finance.write", key="financialTransactionId", version="lockVersion", partner=True),
    _row("finance_transactions.delete", "delete", "DELETE /v1/finance/transactions/{id}", "deletes a transaction",
         "finance.write", partner=True),
    _row("finance_transactions.assignments", "array", "GET /v1/finance/transactions/{id}/assignments",
         "the vouchers that a transaction pays", "finance.read", partner=True),
    *_crud("cash_boxes", "/v1/cash-boxes", ("cash box", "cash boxes"), "cashbox", "cashBoxId"),
    _row("cash_boxes.balances", "list", "GET /v1/cash-boxes/{id}/balances", "how much was in the cash box, day by day",
         "cashbox.read", key="balanceId", page=100, partner=True),
    _row("cash_boxes.add_balance", "create", "POST /v1/cash-boxes/{id}/balances", "notes how much is in the cash box",
         "cashbox.write", partner=True),
    _row("transaction_assignment_hint.create", "create", "POST /v1/transaction-assignment-hint",
         "says which transaction pays a voucher", "transaction-assignment-hint.write", partner=True),
)
# fmt: on


@cache
def resources() -> Mapping[str, Mapping[str, Operation]]:
    """Gives the operations of each resource, by name, in the table's order."""
    found: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        found.setdefault(operation.resource, {})[operation.name] = operation
    return found


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], Operation], ...]:
    return tuple((each.method, re.compile(re.sub(r"{\w+}", "[^/]+", each.path)), each) for each in OPERATIONS)


def operation_at(method: str, path: str) -> Operation | None:
    """Gives the operation that a request is, or None where the table has none.

    Args:
        method: the HTTP method.
        path: the path without its query.
    """
    fitting = [each for verb, pattern, each in _patterns() if verb == method.upper() and pattern.fullmatch(path)]
    # `/transactions/latest-transaction` looks like `/transactions/{id}`: the one with fewer gaps is meant.
    return min(fitting, key=lambda each: len(each.places), default=None)
