"""Bank accounts and their transactions, cash boxes and their balances: for partners only.

The facts give these endpoints' paths and the name `lockVersion`, few of their fields; the others are plausible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging
from lexoffice_nb.sandbox.calls import Reply
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_found, not_valid
from lexoffice_nb.sandbox.routes.collections import Collection
from lexoffice_nb.sandbox.validation import (
    check,
    day,
    identifier,
    moment,
    needed,
    number,
    record,
    text,
    uuid_argument,
)

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_MOST_AT_ONCE = 25
_LARGEST_PAGE = 100

ACCOUNTS = Collection(
    *("finance/accounts", "financialAccountId", "lockVersion"),
    {
        "name": needed(text()),
        **dict.fromkeys(("type", "accountSystem", "bankName", "accountHolder", "iban", "bic"), text()),
        "externalReference": text(),
        "balance": number(None, 10**11),
        "balanceDate": moment(),
    },
)
TRANSACTIONS = Collection(
    *("finance/transactions", "financialTransactionId", "lockVersion"),
    {
        "financialAccountId": needed(identifier()),
        "amount": needed(number(None, 10**11)),
        "bookingDate": needed(moment()),
        **dict.fromkeys(("valueDate", "transactionDate"), moment()),
        **dict.fromkeys(("purpose", "additionalInfo"), text(2000)),
        **dict.fromkeys(
            ("recipientOrSenderName", "recipientOrSenderIban", "recipientOrSenderBic", "recipientOrSenderEmail"), text()
        ),
        **dict.fromkeys(("externalReference", "endToEndId"), text()),
    },
)
CASH_BOXES = Collection(
    "cash-boxes", "cashBoxId", "version", {"name": needed(text()), "openingBalance": number(None, 10**9)}
)
BALANCES = Collection(
    "cash-boxes/balances", "balanceId", "version", {"date": needed(day()), "amount": needed(number(None, 10**9))}
)
_HINT = record(
    {"voucherId": needed(identifier()), "externalReference": text(), "endToEndId": text()},
)
_HINTS = "transaction-assignment-hint"


def accounts(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/finance/accounts`."""
    return ACCOUNTS.listed(call)


def transactions(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/finance/transactions`, of one account if `financialAccountId` says which."""
    found = TRANSACTIONS.listed(call)
    if (account := call.arguments.get("financialAccountId")) is None:
        return found
    key = uuid_argument("financialAccountId", account)
    return [each for each in found if each["financialAccountId"] == key]


def add_transactions(call: Call) -> Reply:
    """`POST /v1/finance/transactions`: a list of 25 at most, all or none of them."""
    sent = call.json()
    if not isinstance(sent, list):
        raise ApiProblem(400, "JSON parse error: a list is expected")
    if not 1 <= len(sent) <= _MOST_AT_ONCE:
        raise not_valid(Issue("", "SIZE"))
    rules = record(TRANSACTIONS.fields)
    for each in sent:
        ACCOUNTS.found(call, check(rules, each)["financialAccountId"])
    return Reply([TRANSACTIONS.add(call, each) for each in sent], 201)


def latest_transaction(call: Call) -> dict[str, Any]:
    """`GET /v1/finance/transactions/latest-transaction?financialAccountId=`."""
    if "financialAccountId" not in call.arguments:
        raise ApiProblem(400, "Required request parameter 'financialAccountId' is not present")
    found = transactions(call)
    if not found:
        raise not_found("Transaction of account", call.arguments["financialAccountId"])
    return max(found, key=lambda each: str(each["bookingDate"]))


def assignments(call: Call) -> list[dict[str, Any]]:
    """`GET /v1/finance/transactions/{id}/assignments`: the vouchers that a hint names for it."""
    transaction = TRANSACTIONS.read(call)
    return [
        {"voucherId": hint["voucherId"], "financialTransactionId": transaction["financialTransactionId"]}
        for hint in call.books.written(_HINTS)
        if any(
            hint.get(name) and hint.get(name) == transaction.get(name) for name in ("externalReference", "endToEndId")
        )
    ]


def assignment_hint(call: Call) -> Reply:
    """`POST /v1/transaction-assignment-hint`."""
    body = check(_HINT, call.json())
    if not body["externalReference"] and not body["endToEndId"]:
        raise not_valid(Issue("externalReference", "NOTNULL"))
    today = call.now.date()
    if not any(call.books.find(kind, body["voucherId"], today) for kind in ("invoices", "credit-notes", "vouchers")):
        raise not_found("Voucher", body["voucherId"])
    call.books.keep(_HINTS, body, body["voucherId"])
    return Reply(body, 201)


def cash_boxes(call: Call) -> dict[str, Any]:
    """`GET /v1/cash-boxes`: a `content`, and nothing about pages."""
    return {"content": CASH_BOXES.listed(call)}


def balances(call: Call) -> dict[str, Any]:
    """`GET /v1/cash-boxes/{id}/balances`, in pages of 100 at most."""
    box = CASH_BOXES.read(call)["cashBoxId"]
    page, size = paging.page_number(call.arguments), paging.page_size(call.arguments, _LARGEST_PAGE)
    found = sorted(
        (each for each in BALANCES.listed(call) if each["cashBoxId"] == box), key=lambda each: str(each["date"])
    )
    return paging.envelope(found[page * size : (page + 1) * size], len(found), page, size, "date", True)


def add_balance(call: Call) -> Reply:
    """`POST /v1/cash-boxes/{id}/balances`."""
    box = CASH_BOXES.read(call)["cashBoxId"]
    new = BALANCES.add(call, call.json(), cashBoxId=box)
    return Reply(new, 201, {"Location": call.address("cash-boxes", box, "balances", new["balanceId"])})
