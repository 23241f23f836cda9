"""What is only read: profile, list of vouchers, documents, payments, templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes
from lexoffice_nb.sandbox.problems import ApiProblem, not_found

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_LIST_FIELDS = (
    *("id", "organizationId", "title", "createdDate", "updatedDate", "address", "totalPrice", "paymentConditions"),
    "recurringTemplateSettings",
)
_PAID = ("invoices", "credit-notes", "down-payment-invoices", "vouchers")


def profile(call: Call) -> dict[str, Any]:
    """`GET /v1/profile`."""
    return shapes.profile(call.books.ledger, call.person, call.company, call.bearer.connection)


def ping(call: Call) -> dict[str, Any]:
    """`GET /v1/ping`, which old programs know."""
    return {"userEmail": call.person.email}


def voucherlist(call: Call) -> dict[str, Any]:
    """`GET /v1/voucherlist`."""
    return call.books.rows.page(call.arguments, call.now.date())


def document(call: Call) -> dict[str, Any]:
    """`GET /v1/{kind}/{id}`."""
    found = call.books.find(call.kind, call.id, call.now.date())
    if found is None:
        raise not_found(call.kind, call.id)
    return shown(found)


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """A document without what the sandbox has noted on it for itself."""
    return {name: value for name, value in found.items() if not name.startswith("_")}


def payments(call: Call) -> dict[str, Any]:
    """`GET /v1/payments/{voucherId}`; 406 for a draft."""
    today = call.now.date()
    found = call.books.find("payments", call.id, today)
    if found is not None:
        return found
    for kind in _PAID:
        voucher = call.books.find(kind, call.id, today)
        if voucher is not None and voucher["voucherStatus"] in ("draft", "unchecked", "blank"):
            raise ApiProblem(406, f"Requesting payments is not possible in state {voucher['voucherStatus']}.")
    raise not_found("payments", call.id)


def recurring_templates(call: Call) -> dict[str, Any]:
    """`GET /v1/recurring-templates`, in the short form of the list."""
    sent = call.arguments.get("sort", "createdDate,DESC")
    property_, _, direction = sent.partition(",")
    if property_ not in ("createdDate", "updatedDate", "lastExecutionDate", "nextExecutionDate") or direction not in (
        *("", "ASC", "DESC"),
    ):
        raise paging.invalid("sort", sent)

    def key(each: dict[str, Any]) -> tuple[str, str]:
        return each.get(property_) or each["recurringTemplateSettings"].get(property_) or "", each["id"]

    ascending = direction != "DESC"
    found = sorted(call.books.listed("recurring-templates"), key=key, reverse=not ascending)
    page = paging.cut_page(found, call.arguments, property_, ascending)
    page["content"] = [_short(each) for each in page["content"]]
    return page


def _short(template: dict[str, Any]) -> dict[str, Any]:
    short = {name: template[name] for name in _LIST_FIELDS if name in template}
    short["address"] = {name: short["address"].get(name) for name in ("contactId", "name")}
    return short
