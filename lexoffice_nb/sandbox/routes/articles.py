"""Articles: search, create, change, delete."""

from __future__ import annotations

import uuid
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import paging, shapes, totals
from lexoffice_nb.sandbox.calls import Reply, action
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_found, not_valid
from lexoffice_nb.sandbox.routes.reading import shown
from lexoffice_nb.sandbox.validation import Rule, check, choice, needed, number, record, text, whole

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

_TYPES = ("PRODUCT", "SERVICE")
_RATES = (0, 7, 19)
_FIELDS: dict[str, Rule] = {
    "title": needed(text()),
    "description": text(2000),
    "type": needed(choice(*_TYPES)),
    "articleNumber": text(),
    "gtin": text(14),
    "note": text(1000),
    "unitName": needed(text()),
    "price": needed(
        record(
            {
                "netPrice": number(0, 10**8, 4),
                "grossPrice": number(0, 10**8, 4),
                "leadingPrice": needed(choice("NET", "GROSS")),
                "taxRate": needed(number(0, 100)),
            }
        )
    ),
}
_NEW = record(_FIELDS)
_CHANGED = record(_FIELDS | {"version": needed(whole())})


def search(call: Call) -> dict[str, Any]:
    """`GET /v1/articles`, by title; all filters must hold."""
    wanted = {name: call.arguments[name] for name in ("articleNumber", "gtin", "type") if name in call.arguments}
    if wanted.get("type", _TYPES[0]) not in _TYPES:
        raise ApiProblem(400, f"Value must be one of: [{', '.join(_TYPES)}]")
    found = [
        each for each in call.books.listed("articles") if all(each.get(name) == value for name, value in wanted.items())
    ]
    found.sort(key=lambda each: each["title"].casefold())
    page = paging.cut_page(found, call.arguments, "title", True)
    page["content"] = [shown(each) for each in page["content"]]
    return page


def create(call: Call) -> Reply:
    """`POST /v1/articles`."""
    body, now = _checked(call, new=True), shapes.timestamp(call.now)
    document = {
        "id": str(uuid.uuid4()),
        "organizationId": call.books.ledger.organisation_id,
        "createdDate": now,
        "updatedDate": now,
        "archived": False,
        **body,
        "version": 0,
    }
    return _keep(call, 201, document)


def change(call: Call) -> Reply:
    """`PUT /v1/articles/{id}`; a stale version is 409."""
    before = _found(call)
    body = _checked(call, new=False)
    if body.pop("version") != before["version"]:
        raise ApiProblem(409, "The version of the article is not the current one.")
    changed = {**before, **body, "updatedDate": shapes.timestamp(call.now), "version": before["version"] + 1}
    return _keep(call, 200, changed)


def delete(call: Call) -> Reply:
    """`DELETE /v1/articles/{id}`."""
    call.books.forget("articles", _found(call)["id"])
    return Reply(status=204)


def _found(call: Call) -> dict[str, Any]:
    found = call.books.find("articles", call.id, call.now.date())
    if found is None:
        raise not_found("Article", call.id)
    return found


def _checked(call: Call, new: bool) -> dict[str, Any]:
    body = check(_NEW if new else _CHANGED, call.json())
    price = body["price"]
    leading = "netPrice" if price["leadingPrice"] == "NET" else "grossPrice"
    if price[leading] is None:
        raise not_valid(Issue(f"price.{leading}", "NOTNULL"))
    if price["taxRate"] not in _RATES:
        raise not_valid(Issue("price.taxRate"))
    known, factor = Fraction(price[leading]), 1 + Fraction(price["taxRate"]) / 100
    body["price"] = {
        "netPrice": totals.unit_price(known) if leading == "netPrice" else totals.rounded(known / factor),
        "grossPrice": totals.rounded(known * factor) if leading == "netPrice" else totals.unit_price(known),
        "leadingPrice": price["leadingPrice"],
        "taxRate": int(price["taxRate"]),
    }
    return body


def _keep(call: Call, status: int, document: dict[str, Any]) -> Reply:
    call.books.keep("articles", document)
    dates = {"created": document["createdDate"], "updated": document["updatedDate"]}
    return action(call, status, "articles", document["id"], version=document["version"], **dates)
