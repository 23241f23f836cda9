"""The documents behind the rows: each kind has its own fields, and they agree with one another."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from lexoffice_nb.sandbox import documents, shapes
from lexoffice_nb.sandbox.ledger import build_ledgers
from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.voucher_rows import VoucherRows

DAY = date(2025, 11, 20)
PATHS = {
    "invoice": "invoices",
    "creditnote": "credit-notes",
    "downpaymentinvoice": "down-payment-invoices",
    "quotation": "quotations",
    "orderconfirmation": "order-confirmations",
    "deliverynote": "delivery-notes",
    "dunning": "dunnings",
    **dict.fromkeys(("salesinvoice", "salescreditnote", "purchaseinvoice", "purchasecreditnote"), "vouchers"),
}
STATUSES = {
    "invoice": {"draft", "open", "paid", "voided"},
    "creditnote": {"draft", "open", "paidoff", "voided"},
    "downpaymentinvoice": {"draft", "open", "paid"},
    "quotation": {"draft", "open", "accepted", "rejected"},
    "orderconfirmation": {"draft", "open"},
    "deliverynote": {"draft", "open"},
    "dunning": {"draft"},
    "salesinvoice": {"open", "paid", "voided", "sepadebit", "unchecked"},
    "salescreditnote": {"open", "paidoff"},
    "purchaseinvoice": {"open", "paid", "transferred", "unchecked"},
    "purchasecreditnote": {"open", "paidoff"},
}


@pytest.fixture(scope="module")
def ledgers():
    return build_ledgers(1, DAY)


@pytest.fixture(scope="module")
def ledger(ledgers):
    return ledgers["demo"]


def read(ledger, kind: str, key: str) -> dict | None:
    """A document as a client gets it: exact numbers, and nothing that is null."""
    found = documents.find(ledger, kind, key, DAY)
    return None if found is None else json.loads(shapes.to_json(found), parse_float=Decimal)


def all_of(ledger, kind: str) -> list[dict]:
    return [read(ledger, PATHS[kind], each.id) for each in (*ledger.invoices, *ledger.others) if each.kind == kind]


def test_every_row_has_its_document_and_they_say_the_same(ledger):
    rows, seen = VoucherRows.of(ledger), set()
    for voucher in (*ledger.invoices, *ledger.others):
        document = read(ledger, PATHS[voucher.kind], voucher.id)
        seen.add((voucher.kind, document["voucherStatus"]))
        if voucher.kind == "dunning":
            with pytest.raises(KeyError):
                rows.get(voucher.id)
            continue
        row = json.loads(shapes.to_json(rows.get(voucher.id)), parse_float=Decimal)
        for name in ("id", "voucherStatus", "voucherNumber", "voucherDate", "createdDate", "updatedDate"):
            assert document[name] == row[name]
        assert document.get("dueDate") == row.get("dueDate")
        contact = document.get("contactId") or document.get("address", {}).get("contactId")
        assert contact == row.get("contactId")
        total = document.get("totalGrossAmount", document.get("totalPrice", {}).get("totalGrossAmount"))
        assert total == row.get("totalAmount")
    assert seen == {(kind, status) for kind, statuses in STATUSES.items() for status in statuses}
    rows.close()


def test_a_document_is_found_under_its_own_kind_only(ledger):
    for voucher in (ledger.invoices[0], ledger.others[0], ledger.others[-1]):
        found = {kind for kind in {*PATHS.values(), "contacts", "articles"} if read(ledger, kind, voucher.id)}
        assert found == {PATHS[voucher.kind]}
    assert read(ledger, "invoices", "00000000-0000-4000-8000-000000000000") is None
    assert read(ledger, "nonsense", ledger.invoices[0].id) is None


@pytest.mark.parametrize("organisation", ["demo", "kanzlei"])
def test_every_document_adds_up(ledgers, organisation):
    ledger = ledgers[organisation]
    for voucher in (*ledger.invoices, *ledger.others):
        document = read(ledger, PATHS[voucher.kind], voucher.id)
        if "voucherItems" in document:
            gross = sum(
                each["amount"] + (each["taxAmount"] if document["taxType"] == "net" else 0)
                for each in document["voucherItems"]
            )
            assert gross == document["totalGrossAmount"]
            assert sum(each["taxAmount"] for each in document["voucherItems"]) == document["totalTaxAmount"]
        elif "totalPrice" in document:
            total = document["totalPrice"]
            lines = [
                each
                for each in document["lineItems"]
                if each["type"] != "text" and not each.get("optional") and not each.get("alternative")
            ]
            base = "totalGrossAmount" if document["taxConditions"]["taxType"] == "gross" else "totalNetAmount"
            assert sum(each["lineItemAmount"] for each in lines) == total[base]
            assert sum(each["taxAmount"] for each in document["taxAmounts"]) == total["totalTaxAmount"]
            assert total["totalNetAmount"] + total["totalTaxAmount"] == total["totalGrossAmount"]


def test_each_kind_has_the_fields_of_its_own_endpoint(ledger):
    fields = {kind: set().union(*all_of(ledger, kind)) for kind in PATHS}
    every = {"id", "organizationId", "version", "language", "archived", "address", "lineItems", "relatedVouchers"}
    assert all(every <= fields[kind] for kind, path in PATHS.items() if path != "vouchers")
    invoice = {"dueDate", "paymentConditions", "xRechnung", "shippingConditions", "closingInvoice", "totalPrice"}
    assert invoice <= fields["invoice"]
    assert not fields["creditnote"] & {"dueDate", "paymentConditions", "xRechnung", "closingInvoice"}
    assert "expirationDate" in fields["quotation"]
    assert not fields["quotation"] & {"shippingConditions", "dueDate"}
    assert "deliveryTerms" in fields["orderconfirmation"] & fields["deliverynote"]
    assert not fields["deliverynote"] & {"totalPrice", "taxAmounts", "paymentConditions"}
    assert "paymentConditions" not in fields["dunning"]
    assert "closingInvoiceId" in fields["downpaymentinvoice"]
    assert not fields["invoice"] & {"expirationDate", "deliveryTerms", "closingInvoiceId"}
    lines = [line for each in all_of(ledger, "quotation") for line in each["lineItems"]]
    assert any(line.get("optional") for line in lines)
    assert any(part["alternative"] for line in lines for part in line.get("subItems", ()))
    assert {each["voucherStatus"] for each in all_of(ledger, "dunning")} == {"draft"}
    voucher = {"type", "taxType", "useCollectiveContact", "voucherItems", "files", "contactName", "contactId"}
    assert voucher <= fields["salesinvoice"]
    assert "shippingDate" not in fields["purchaseinvoice"]


def test_vouchers_that_led_to_one_another_name_each_other(ledger):
    kinds = set()
    for voucher in (*ledger.invoices, *ledger.others):
        if voucher.kind not in PATHS or PATHS[voucher.kind] == "vouchers":
            continue
        for related in read(ledger, PATHS[voucher.kind], voucher.id)["relatedVouchers"]:
            other = read(ledger, PATHS[related["voucherType"]], related["id"])
            assert other["voucherNumber"] == related["voucherNumber"]
            if {voucher.kind, related["voucherType"]} & {"invoice", "quotation"}:
                assert voucher.id in {each["id"] for each in other["relatedVouchers"]}
            kinds.add((voucher.kind, related["voucherType"]))
    for kind in ("creditnote", "downpaymentinvoice", "quotation", "deliverynote", "dunning"):
        assert {(kind, "invoice"), ("invoice", kind)} <= kinds


def test_a_closing_invoice_claims_what_its_down_payments_left(ledger):
    closing = [each for each in all_of(ledger, "invoice") if each["closingInvoice"]]
    assert {each["voucherStatus"] for each in closing} == {"paid", "open"}
    for invoice in closing:
        for each in invoice["downPaymentDeductions"]:
            part = read(ledger, "down-payment-invoices", each["id"])
            assert part["closingInvoiceId"] == invoice["id"]
            assert part["totalPrice"]["totalGrossAmount"] == each["receivedGrossAmount"]
            assert each["receivedNetAmount"] + each["receivedTaxAmount"] == each["receivedGrossAmount"]
            assert part["voucherDate"] == each["voucherDate"] < invoice["voucherDate"]
            assert read(ledger, "payments", each["id"])["paymentStatus"] == "balanced"
        received = sum(each["receivedGrossAmount"] for each in invoice["downPaymentDeductions"])
        assert invoice["claimedGrossAmount"] == invoice["totalPrice"]["totalGrossAmount"] - received > 0
        if invoice["voucherStatus"] == "open":
            assert read(ledger, "payments", invoice["id"])["openAmount"] == invoice["claimedGrossAmount"]
    assert any(len(each["downPaymentDeductions"]) == 2 for each in closing)
    assert not [
        each for each in all_of(ledger, "invoice") if not each["closingInvoice"] and "claimedGrossAmount" in each
    ]


def test_a_credit_note_out_of_an_invoice_lowers_what_is_open_of_it(ledger):
    linked = [each for each in all_of(ledger, "creditnote") if each["relatedVouchers"]]
    statuses = Counter()
    for note in linked:
        assert note["voucherStatus"] == "paidoff"
        (invoice,) = [read(ledger, "invoices", each["id"]) for each in note["relatedVouchers"]]
        payment, amount = read(ledger, "payments", invoice["id"]), note["totalPrice"]["totalGrossAmount"]
        assert Decimal(payment["openAmount"]) == invoice["totalPrice"]["totalGrossAmount"] - amount
        assert [item["amount"] for item in payment["paymentItems"]] == [amount]
        assert payment["paymentItems"][0]["paymentItemType"] == "partPaymentCreditNote"
        assert note["address"] == invoice["address"]
        statuses[invoice["voucherStatus"]] += 1
    assert statuses["open"] >= 2
    assert statuses["paid"] == 1
    alone = next(each for each in all_of(ledger, "creditnote") if each["voucherStatus"] == "open")
    assert read(ledger, "payments", alone["id"])["paymentStatus"] == "openRevenue"


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("day", [date(2024, 2, 29), date(2025, 1, 1), date(2025, 3, 31), date(2026, 11, 22)])
def test_whatever_the_seed_every_case_is_there(seed, day):
    ledger = build_ledgers(seed, day)["demo"]
    invoices = ledger.invoices
    assert len(invoices) == 240
    assert Counter(each.profile for each in invoices) >= Counter({"XRechnung": 4, "EN16931": 6})
    assert all(each.buyer_reference for each in invoices if each.profile == "XRechnung")
    taxes = {each.tax_type for each in invoices}
    assert taxes == {"net", "gross", "constructionService13b", "intraCommunitySupply"}
    assert sum(each.closing for each in invoices) == 2
    assert {"cashDiscount", "irrecoverableReceivable"} <= {item.kind for each in invoices for item in each.payments}
    assert sum(each.template is not None for each in invoices) == 6
    late = {(day - each.due).days for each in invoices if each.shown_status(day) == "overdue"}
    assert {15, 46, 95} <= late
    found = {(each.kind, each.status) for each in (*invoices, *ledger.others)}
    assert {(kind, status) for kind, statuses in STATUSES.items() for status in statuses} <= found
    for voucher in (*invoices, *ledger.others):
        assert voucher.day <= day
        assert voucher.created.timestamp() <= voucher.updated.timestamp()
        assert all(voucher.day <= item.day <= day for item in voucher.payments)
        if voucher.open is not None and voucher.status != "voided":
            assert sum(item.amount for item in voucher.payments) + voucher.open == voucher.claimed
    assert ledger.by_id[ledger.amount_as_text].shown_status(day) in ("open", "overdue")


def test_tax_free_invoices_bear_no_tax_and_say_why(ledgers):
    free = [each for each in all_of(ledgers["demo"], "invoice") if "taxTypeNote" in each["taxConditions"]]
    assert Counter(each["taxConditions"]["taxType"] for each in free) == {
        "constructionService13b": 3,
        "intraCommunitySupply": 3,
    }
    small = all_of(ledgers["kanzlei"], "invoice")
    assert {each["taxConditions"]["taxType"] for each in small} == {"vatfree"}
    for invoice in (*free, *small):
        assert {each["taxRatePercentage"] for each in invoice["taxAmounts"]} == {0}
        assert invoice["totalPrice"]["totalTaxAmount"] == 0
        assert {line["unitPrice"]["taxRatePercentage"] for line in invoice["lineItems"] if "unitPrice" in line} == {0}
    abroad = next(each for each in free if each["taxConditions"]["taxType"] == "intraCommunitySupply")
    assert abroad["address"]["countryCode"] == "AT"


def test_the_small_business_says_so_in_its_profile(client):
    body = client.api("/v1/profile", client.box.make_api_key("kanzlei")).json()
    assert (body["smallBusiness"], body["taxType"]) == (True, "vatfree")


def test_electronic_invoices_have_what_they_need(ledger):
    found = Counter(each["electronicDocumentProfile"] for each in all_of(ledger, "invoice"))
    assert found == {"NONE": 230, "EN16931": 6, "XRechnung": 4}
    for invoice in all_of(ledger, "invoice"):
        needs_reference = invoice["electronicDocumentProfile"] == "XRechnung"
        assert ("xRechnung" in invoice) == needs_reference
        if needs_reference:
            contact = read(ledger, "contacts", invoice["address"]["contactId"])
            assert contact["xRechnung"]["buyerReference"] == invoice["xRechnung"]["buyerReference"]


def test_skonto_is_offered_with_the_terms_and_taken_in_time(ledger):
    taken = 0
    for invoice in all_of(ledger, "invoice"):
        offer = invoice["paymentConditions"].get("paymentDiscountConditions")
        if invoice["voucherStatus"] == "draft":
            continue
        for item in read(ledger, "payments", invoice["id"])["paymentItems"]:
            if item["paymentItemType"] == "cashDiscount":
                taken += 1
                exact = invoice["totalPrice"]["totalGrossAmount"] * offer["discountPercentage"] / 100
                assert abs(item["amount"] - exact) <= Decimal("0.005")
                days = datetime.fromisoformat(item["postingDate"]) - datetime.fromisoformat(invoice["voucherDate"])
                assert days <= timedelta(offer["discountRange"], hours=1)
    assert taken >= 5


def test_payments_of_what_is_not_booked_are_refused_and_of_an_offer_unknown(ledger):
    statuses = Counter()
    for voucher in (*ledger.invoices, *ledger.others):
        if voucher.status in ("draft", "unchecked") and voucher.kind in ("invoice", "creditnote", "purchaseinvoice"):
            with pytest.raises(ApiProblem) as refused:
                documents.find(ledger, "payments", voucher.id, DAY)
            assert refused.value.status == 406
            statuses[voucher.status] += 1
        if voucher.kind in ("quotation", "deliverynote", "dunning"):
            assert read(ledger, "payments", voucher.id) is None
        if voucher.status == "voided":
            payment = read(ledger, "payments", voucher.id)
            assert (payment["openAmount"], payment["paymentStatus"], payment["paymentItems"]) == (0, "balanced", [])
    assert set(statuses) == {"draft", "unchecked"}


def test_a_renamed_customer_has_the_former_name_on_older_rows_only(ledger):
    rows = VoucherRows.of(ledger)
    (contact,) = [each for each in ledger.customers if each.entry.former]
    query = {"voucherType": "any", "voucherStatus": "any", "size": "250", "contactId": contact.id}
    names = {"before": set(), "since": set()}
    for row in rows.page(query, DAY)["content"]:
        old = (DAY - date.fromisoformat(row["voucherDate"][:10])).days > 365
        if row["voucherType"] == "invoice":
            names["before" if old else "since"].add(row["contactName"])
    assert names == {"before": {"Fahrrad Fuchs"}, "since": {"Fahrrad Fuchs GmbH"}}
    assert read(ledger, "contacts", contact.id)["company"]["name"] == "Fahrrad Fuchs GmbH"
    rows.close()


def test_contacts_are_customers_vendors_or_both_by_their_numbers(ledger):
    roles = Counter()
    for contact in documents.listed(ledger, "contacts"):
        found = json.loads(shapes.to_json(contact))
        assert ("company" in found) != ("person" in found)
        assert not {"createdDate", "updatedDate"} & found.keys()
        roles[tuple(sorted(found["roles"]))] += 1
        for role, first in (("customer", 10001), ("vendor", 70001)):
            if role in found["roles"]:
                assert first <= found["roles"][role]["number"] < first + 100
        assert len(found["addresses"]["billing"]) == 1
    assert roles == {("customer",): 19, ("vendor",): 6, ("customer", "vendor"): 1}


def test_templates_are_listed_in_short_and_have_invoices(ledger):
    listed = [json.loads(shapes.to_json(each)) for each in documents.listed(ledger, "recurring-templates")]
    assert {each["recurringTemplateSettings"]["executionStatus"] for each in listed} == {"ACTIVE", "ENDED"}
    assert not {"lineItems", "taxAmounts"} & set().union(*listed)
    whole = read(ledger, "recurring-templates", listed[0]["id"])
    assert whole["lineItems"]
    assert whole["recurringTemplateSettings"] == listed[0]["recurringTemplateSettings"]
    made = [each for each in all_of(ledger, "invoice") if each.get("recurringTemplateId") == whole["id"]]
    assert len(made) == 6
    assert {each["totalPrice"]["totalGrossAmount"] for each in made} == {Decimal("415.31")}
    assert {each["address"]["contactId"] for each in made} == {whole["address"]["contactId"]}


def test_articles_and_bookkeeping_vouchers_are_listed(ledger):
    articles = [json.loads(shapes.to_json(each), parse_float=Decimal) for each in documents.listed(ledger, "articles")]
    assert [each["title"] for each in articles] == sorted((each["title"] for each in articles), key=str.casefold)
    assert {each["type"] for each in articles} == {"PRODUCT", "SERVICE"}
    assert {each["price"]["taxRate"] for each in articles} <= {0, 7, 19}
    known = {each["id"] for each in articles}
    used = {line.get("id") for each in all_of(ledger, "invoice") for line in each["lineItems"]}
    assert used - {None} <= known
    assert used & known
    vouchers = documents.listed(ledger, "vouchers")
    assert {each["type"] for each in vouchers} == {kind for kind, path in PATHS.items() if path == "vouchers"}
    assert len(documents.listed(ledger, "nonsense")) == 0
