"""What is written through the API: what must be there, what it adds up to, what is refused and how."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.routes import ROUTES
from lexoffice_nb.sandbox.shapes import Exact
from tests.sandbox.bodies import DAY, article, contact, line, sales, voucher


class Writer:
    """Somebody with an API key."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.key = box.make_api_key()
        self.http = requests.Session()
        self.http.trust_env = False

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        headers |= options.pop("headers", {})
        if body is not None:
            options["data"] = json.dumps(body, default=float)
        return self.http.request(method, f"{self.box.url}/v1{path}", headers=headers, timeout=20, **options)

    def get(self, path: str) -> Any:
        return json.loads(self.send("GET", path).text, parse_float=Decimal)

    def made(self, path: str, body: Any) -> Any:
        """What a written document looks like afterwards."""
        answer = self.send("POST", path, body)
        assert answer.ok, answer.text
        return self.get(f"{path.partition('?')[0]}/{answer.json()['id']}")

    def row(self, document: dict[str, Any]) -> dict[str, Any]:
        """Its row in the list of vouchers."""
        path = f"/voucherlist?voucherType=any&voucherStatus=any&voucherNumber={document['voucherNumber']}"
        (row,) = [each for each in self.get(path)["content"] if each["id"] == document["id"]]
        return row

    def refused(self, path: str, body: Any, status: int = 406, method: str = "POST") -> list[str]:
        """The fields that a refusal names, whichever shape it has."""
        answer = self.send(method, path, body)
        assert answer.status_code == status, answer.text
        said = answer.json()
        if "IssueList" in said:
            return [f"{each['i18nKey']} {each['source']}" for each in said["IssueList"]]
        assert (said["status"], said["path"]) == (status, f"/v1{path.partition('?')[0]}")
        return [f"{each['violation']} {each['field']}" for each in said.get("details", ())]


@pytest.fixture(scope="module")
def writer(shared_box) -> Any:
    writer = Writer(shared_box)
    with writer.http:
        yield writer


# -- sales documents


def test_a_new_invoice_is_a_draft_with_a_number_and_can_be_found(writer):
    answer = writer.send("POST", "/invoices", sales(title="Rechnung 1", remark="Danke"))
    assert answer.status_code == 201
    result = answer.json()
    assert list(result) == ["id", "resourceUri", "createdDate", "updatedDate", "version"]
    assert answer.headers["Location"] == result["resourceUri"] == f"{writer.box.url}/v1/invoices/{result['id']}"
    draft = writer.get(f"/invoices/{result['id']}")
    assert (draft["voucherStatus"], draft["version"], draft["title"]) == ("draft", 1, "Rechnung 1")
    assert draft["voucherNumber"].startswith("RE")
    assert not {"dueDate", "introduction"} & draft.keys()
    row = writer.row(draft)
    assert (row["voucherType"], row["voucherStatus"], row["totalAmount"]) == ("invoice", "draft", Decimal("119.00"))
    assert "openAmount" not in row
    assert writer.send("GET", f"/payments/{draft['id']}").status_code == 406


def test_finalize_opens_it_with_a_due_date_and_an_open_amount(writer):
    conditions = {"paymentTermDuration": 10, "paymentDiscountConditions": {"discountPercentage": 2, "discountRange": 5}}
    invoice = writer.made("/invoices?finalize=true", sales(paymentConditions=conditions))
    assert (invoice["voucherStatus"], invoice["dueDate"]) == ("open", "2025-03-11T00:00:00.000+01:00")
    row = writer.row(invoice)
    assert (row["voucherStatus"], row["openAmount"]) == ("overdue", Decimal("119.00"))
    payments = writer.get(f"/payments/{invoice['id']}")
    assert (payments["openAmount"], payments["paymentStatus"]) == (Decimal("119.00"), "openRevenue")


@pytest.mark.parametrize(
    ("items", "tax_type", "expected"),
    [
        # Two at 13.40 less half of it is 13.40; the tax is rounded on each column's sum.
        (
            [
                line(quantity=2, discountPercentage=50, unitPrice=("13.40", 19)),
                line(unitPrice=("8.32", 7)),
                line(unitPrice=("5", 0)),
            ],
            "net",
            {"0": ("5", "0"), "7": ("8.32", "0.58"), "19": ("13.40", "2.55"), "sum": ("26.72", "3.13", "29.85")},
        ),
        # Line by line the tax would be three times 0.01.
        ([line(unitPrice=("0.03", 19))] * 3, "net", {"19": ("0.09", "0.02"), "sum": ("0.09", "0.02", "0.11")}),
        ([line(unitPrice=("119", 19))], "gross", {"19": ("100", "19"), "sum": ("100", "19", "119")}),
        # Half a cent goes up, in decimal digits and not in the nearest binary ones.
        ([line(unitPrice=("1.005", 0))], "net", {"0": ("1.01", "0"), "sum": ("1.01", "0", "1.01")}),
        ([line(quantity="0.3333", unitPrice=("0.15", 0))], "net", {"0": ("0.05", "0"), "sum": ("0.05", "0", "0.05")}),
    ],
)
def test_totals_are_exact_and_tax_is_rounded_on_the_column(writer, items, tax_type, expected):
    name = "grossAmount" if tax_type == "gross" else "netAmount"

    def written(item: dict[str, Any]) -> str:
        price, rate = item["unitPrice"]
        text = json.dumps(item | {"unitPrice": "PRICE", "quantity": "QUANTITY"})
        text = text.replace('"QUANTITY"', str(item["quantity"]))
        return text.replace('"PRICE"', f'{{"currency":"EUR","{name}":{price},"taxRatePercentage":{rate}}}')

    body = json.dumps(sales(lineItems="LINES", taxConditions={"taxType": tax_type}))
    body = body.replace('"LINES"', f"[{','.join(map(written, items))}]")
    headers = {"Content-Type": "application/json"}
    answer = writer.send("POST", "/invoices", data=body, headers=headers)
    assert answer.status_code == 201, answer.text
    invoice = writer.get(f"/invoices/{answer.json()['id']}")
    net, tax, gross = map(Decimal, expected["sum"])
    total = invoice["totalPrice"]
    assert (total["totalNetAmount"], total["totalTaxAmount"], total["totalGrossAmount"]) == (net, tax, gross)
    assert {
        str(each["taxRatePercentage"]): (each["netAmount"], each["taxAmount"]) for each in invoice["taxAmounts"]
    } == {rate: tuple(map(Decimal, amounts)) for rate, amounts in expected.items() if rate != "sum"}


@pytest.mark.parametrize(
    ("discount", "expected"),
    [({"totalDiscountPercentage": 10}, "107.10"), ({"totalDiscountAbsolute": 50}, "59.50")],
)
def test_a_discount_on_the_whole_comes_off_before_the_tax(writer, discount, expected):
    invoice = writer.made("/invoices", sales(totalPrice={"currency": "EUR", **discount}))
    assert invoice["totalPrice"]["totalGrossAmount"] == Decimal(expected)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"voucherDate": None}, ["NOTNULL voucherDate"]),
        ({"voucherDate": "2025-03-01"}, ["PATTERN voucherDate"]),
        ({"voucherDate": "2025-03-01T00:00:00+01:00"}, ["PATTERN voucherDate"]),
        ({"voucherDate": "2025-02-30T00:00:00.000+01:00"}, ["PATTERN voucherDate"]),
        ({"voucherDate": "2025-03-01T00:00:00.000+0100"}, ["PATTERN voucherDate"]),
        ({"address": {}}, ["NOTNULL address.name", "NOTNULL address.countryCode"]),
        ({"address": {"contactId": "x"}}, ["PATTERN address.contactId"]),
        ({"address": {"contactId": str(uuid.UUID(int=9))}}, ["VALUE address.contactId"]),
        ({"lineItems": []}, ["SIZE lineItems"]),
        ({"lineItems": [line()] * 301}, ["SIZE lineItems"]),
        ({"lineItems": [line(name="x" * 256)]}, ["SIZE lineItems[0].name"]),
        ({"lineItems": [line(quantity=1.23456)]}, ["DIGITS lineItems[0].quantity"]),
        ({"lineItems": [line(quantity="1")]}, ["DIGITS lineItems[0].quantity"]),
        ({"lineItems": [line(discountPercentage=101)]}, ["DIGITS lineItems[0].discountPercentage"]),
        ({"lineItems": [line(type="material")]}, ["NOTNULL lineItems[0].id"]),
        ({"lineItems": [line(unitPrice=None)]}, ["NOTNULL lineItems[0].unitPrice"]),
        (
            {"lineItems": [line(unitPrice={"currency": "EUR", "netAmount": 1})]},
            ["NOTNULL lineItems[0].unitPrice.taxRatePercentage"],
        ),
        (
            {"lineItems": [line(unitPrice={"currency": "EUR", "netAmount": 1, "taxRatePercentage": 18})]},
            ["VALUE lineItems[0].unitPrice.taxRatePercentage"],
        ),
        ({"totalPrice": {}}, ["NOTNULL totalPrice.currency"]),
        ({"totalPrice": {"currency": "USD"}}, ["VALUE totalPrice.currency"]),
        ({"taxConditions": {"taxType": "vat"}}, ["VALUE taxConditions.taxType"]),
        (
            {"taxConditions": {"taxType": "vatfree"}},
            ["NOTNULL address.contactId", "VALUE lineItems[0].unitPrice.taxRatePercentage"],
        ),
        ({"shippingConditions": None}, ["NOTNULL shippingConditions"]),
        ({"shippingConditions": {"shippingType": "service"}}, ["NOTNULL shippingConditions.shippingDate"]),
        (
            {"shippingConditions": {"shippingType": "serviceperiod", "shippingDate": DAY}},
            ["NOTNULL shippingConditions.shippingEndDate"],
        ),
        ({"title": "x" * 26}, ["SIZE title"]),
        ({"address": {"name": "\ud800", "countryCode": "DE"}}, ["SIZE address.name"]),
        ({"introduction": "x" * 2001}, ["SIZE introduction"]),
        ({"remark": "x" * 2001}, ["SIZE remark"]),
        ({"printLayoutId": 7}, ["PATTERN printLayoutId"]),
    ],
)
def test_an_invoice_that_is_not_right_is_406_and_names_the_fields(writer, changes, fields):
    assert writer.refused("/invoices", sales(**changes)) == fields


def test_the_lowered_rates_of_2020_count_by_the_day_of_the_service(writer):
    lowered = line(unitPrice={"currency": "EUR", "netAmount": 1, "taxRatePercentage": 16})
    then = {"shippingType": "service", "shippingDate": "2020-12-31T00:00:00.000+01:00"}
    assert writer.made("/invoices", sales(lineItems=[lowered], shippingConditions=then))
    assert writer.refused("/invoices", sales(lineItems=[lowered]))
    assert writer.refused("/invoices", sales(shippingConditions=then))


@pytest.mark.parametrize("path", ["?finalize=1", "?finalize=", "?precedingSalesVoucherId=x"])
def test_a_bad_flag_is_400(writer, path):
    assert writer.refused(f"/invoices{path}", sales(), 400) == []


def test_each_kind_has_its_own_fields(writer):
    quotation = writer.made(
        "/quotations",
        sales("quotations", shippingConditions=None, lineItems=[line(), line(optional=True), line(alternative=True)]),
    )
    assert quotation["totalPrice"]["totalGrossAmount"] == Decimal("119.00")
    assert writer.refused("/quotations", sales()) == ["NOTNULL expirationDate"]
    confirmation = writer.made("/order-confirmations", sales(deliveryTerms="frei Haus"))
    assert (confirmation["deliveryTerms"], confirmation["electronicDocumentProfile"]) == ("frei Haus", "NONE")
    assert writer.refused("/order-confirmations", sales(deliveryTerms="x" * 256)) == ["SIZE deliveryTerms"]
    note = writer.made("/delivery-notes", sales(totalPrice=None, lineItems=[line(unitPrice=None)]))
    assert not {"totalPrice", "taxAmounts"} & note.keys()
    assert "totalAmount" not in writer.row(note)
    credit = writer.made("/credit-notes?finalize=true", sales("credit-notes"))
    assert not {"dueDate", "paymentConditions"} & credit.keys()
    assert writer.get(f"/payments/{credit['id']}")["paymentStatus"] == "openRevenue"


def test_a_credit_note_for_an_invoice_is_paid_off_and_lowers_what_is_open(writer):
    invoice = writer.made("/invoices?finalize=true", sales(lineItems=[line(quantity=2)]))
    path = f"/credit-notes?finalize=true&precedingSalesVoucherId={invoice['id']}"
    first = writer.made(path, sales("credit-notes"))
    assert first["voucherStatus"] == writer.row(first)["voucherStatus"] == "paidoff"
    assert first["relatedVouchers"][0]["id"] == invoice["id"]
    assert writer.row(invoice)["openAmount"] == Decimal("119.00")
    writer.made(path, sales("credit-notes"))
    assert (writer.row(invoice)["openAmount"], writer.row(invoice)["voucherStatus"]) == (0, "paid")
    payments = writer.get(f"/payments/{invoice['id']}")
    assert [each["paymentItemType"] for each in payments["paymentItems"]] == ["partPaymentCreditNote"] * 2
    assert payments["paymentStatus"] == "balanced"
    assert len(writer.get(f"/invoices/{invoice['id']}")["relatedVouchers"]) == 2


def test_a_credit_note_for_a_drawn_invoice_changes_its_row_and_payments(writer):
    path = "/voucherlist?voucherType=invoice&voucherStatus=overdue&size=250"
    row = next(each for each in writer.get(path)["content"] if each["openAmount"] > 200)
    writer.made(f"/credit-notes?finalize=true&precedingSalesVoucherId={row['id']}", sales("credit-notes"))
    after = writer.row(row)
    assert row["openAmount"] - after["openAmount"] == Decimal("119.00")
    assert Decimal(writer.get(f"/payments/{row['id']}")["openAmount"]) == after["openAmount"]


def test_a_dunning_stays_a_draft_and_fits_its_invoice(writer):
    invoice = writer.made("/invoices?finalize=true", sales())
    path = f"/dunnings?finalize=true&precedingSalesVoucherId={invoice['id']}"
    assert writer.made(path, sales("dunnings"))["voucherStatus"] == "draft"
    gross = line(unitPrice={"currency": "EUR", "grossAmount": 1, "taxRatePercentage": 19})
    other = sales("dunnings", taxConditions={"taxType": "gross"}, lineItems=[gross])
    assert writer.refused(path, other) == ["VALUE taxConditions.taxType"]
    assert writer.refused("/dunnings", sales("dunnings"), 400) == []
    assert writer.refused(f"/dunnings?precedingSalesVoucherId={uuid.uuid4()}", sales("dunnings"), 404) == []
    draft = writer.made("/invoices", sales())
    assert writer.refused(f"/dunnings?precedingSalesVoucherId={draft['id']}", sales("dunnings")) == []


def test_an_invoice_for_a_contact_takes_its_address(writer):
    buyer = writer.made("/contacts", contact())
    invoice = writer.made("/invoices", sales(address={"contactId": buyer["id"]}))
    assert (invoice["address"]["name"], invoice["address"]["city"]) == ("Möbel & Mehr GmbH", "Berlin")
    assert writer.row(invoice)["contactId"] == buyer["id"]
    free = line(unitPrice={"currency": "EUR", "netAmount": 1, "taxRatePercentage": 0})
    tax = {"taxType": "constructionService13b"}
    assert writer.made("/invoices", sales(address={"contactId": buyer["id"]}, lineItems=[free], taxConditions=tax))
    nowhere = writer.made("/contacts", contact(addresses=None))
    assert writer.refused("/invoices", sales(address={"contactId": nowhere["id"]})) == ["VALUE address.contactId"]


# -- contacts


def test_a_contact_is_numbered_found_and_changed_with_its_version(writer):
    answer = writer.send("POST", "/contacts", contact(note="neu"))
    assert (answer.status_code, answer.headers["Location"]) == (200, answer.json()["resourceUri"])
    found = writer.get(f"/contacts/{answer.json()['id']}")
    others = [each for each in writer.get("/contacts?customer=true&size=250")["content"] if each["id"] != found["id"]]
    assert found["roles"]["customer"]["number"] > max(each["roles"]["customer"]["number"] for each in others) > 10000
    assert not {"createdDate", "updatedDate", "person", "phoneNumbers"} & found.keys()
    changed = {**found, "note": "anders", "roles": {"customer": {}, "vendor": {}}}
    answer = writer.send("PUT", f"/contacts/{found['id']}", changed)
    assert (answer.status_code, answer.json()["version"]) == (200, found["version"] + 1)
    after = writer.get(f"/contacts/{found['id']}")
    assert (after["note"], after["roles"]["customer"]) == ("anders", found["roles"]["customer"])
    assert after["roles"]["vendor"]["number"] > 70000
    assert writer.refused(f"/contacts/{found['id']}", changed, 406, "PUT") == ["invalid_value version"]


@pytest.mark.parametrize(
    ("changes", "issues"),
    [
        ({"version": None}, ["missing_entity version"]),
        ({"version": 1}, ["invalid_value version"]),
        ({"roles": None}, ["missing_entity roles"]),
        ({"roles": {}}, ["missing_entity roles"]),
        ({"company": None}, ["missing_entity company.name", "missing_entity person.lastName"]),
        ({"company": {}}, ["missing_entity company.name"]),
        ({"person": {"lastName": "X"}}, ["invalid_value person"]),
        ({"company": None, "person": {"lastName": "X", "salutation": "x" * 26}}, ["invalid_value person.salutation"]),
        ({"note": "x" * 1001}, ["invalid_value note"]),
        ({"emailAddresses": {"business": ["nobody"]}}, ["invalid_email emailAddresses.business[0]"]),
        ({"addresses": {"billing": [{"countryCode": "DE"}] * 2}}, ["invalid_value addresses.billing"]),
        ({"addresses": {"shipping": [{}]}}, ["missing_entity addresses.shipping[0].countryCode"]),
        ({"phoneNumbers": {"fax": ["1", "2"]}}, ["invalid_value phoneNumbers.fax"]),
    ],
)
def test_a_contact_that_is_not_right_is_406_in_the_legacy_shape(writer, changes, issues):
    assert writer.refused("/contacts", contact(**changes)) == issues


def test_contacts_are_searched_with_wildcards_and_html_escaped(writer):
    mark = uuid.uuid4().hex[:8]
    name = f"{mark} A_B 100% <&>"
    key = writer.made("/contacts", contact(company={"name": name}, emailAddresses={"other": [f"{mark}@c.example"]}))[
        "id"
    ]

    def found(**query: str) -> bool:
        path = "&".join(f"{field}={quote(value)}" for field, value in query.items())
        return key in [each["id"] for each in writer.get(f"/contacts?size=250&{path}")["content"]]

    assert found(name=f"{mark} A_B")
    assert found(name=f"{mark} a_b 100% &lt;&amp;&gt;")
    assert not found(name=f"{mark} A_B 100% <&>")
    assert found(name=f"{mark} A\\_B 100\\%")
    assert not found(name=f"{mark} A\\__B")
    assert found(name=f"{mark}%&lt;")
    assert not found(name=f"{mark}\\%&lt;")
    assert found(email=f"{mark}_c")
    assert found(name=mark, customer="true", vendor="false")
    assert not found(name=mark, vendor="true")
    number = writer.get(f"/contacts/{key}")["roles"]["customer"]["number"]
    assert found(number=str(number))
    assert writer.send("GET", "/contacts?name=abc&name=abd").status_code == 400


# -- articles


def test_an_article_lives_and_dies(writer):
    made = writer.made("/articles", article(gtin="9783648170632"))
    assert made["price"] == {"netPrice": 100, "grossPrice": 119, "leadingPrice": "NET", "taxRate": 19}
    for query in ("gtin=9783648170632", "articleNumber=B-1", "type=SERVICE"):
        assert made["id"] in [each["id"] for each in writer.get(f"/articles?size=250&{query}")["content"]]
    changed = {**made, "title": "Anders"}
    assert writer.send("PUT", f"/articles/{made['id']}", changed).json()["version"] == made["version"] + 1
    assert writer.refused(f"/articles/{made['id']}", changed, 409, "PUT") == []
    gone = writer.send("DELETE", f"/articles/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert writer.send("GET", f"/articles/{made['id']}").status_code == 404
    wrong = writer.send("GET", "/articles?type=service")
    assert (wrong.status_code, wrong.json()["message"]) == (400, "Value must be one of: [PRODUCT, SERVICE]")
    assert writer.refused("/articles", article(price={"leadingPrice": "NET", "taxRate": 19})) == [
        "NOTNULL price.netPrice"
    ]


# -- bookkeeping vouchers


def test_a_voucher_is_written_found_by_number_and_changed(writer):
    number = uuid.uuid4().hex[:10]
    made = writer.made("/vouchers", voucher(voucherNumber=number))
    assert made["voucherDate"] == "2025-03-01T00:00:00.000+01:00"
    assert writer.get(f"/vouchers?voucherNumber={number}")["content"] == [made]
    assert writer.row(made)["contactName"] == "Sammellieferant"
    assert writer.get(f"/payments/{made['id']}")["paymentStatus"] == "openExpense"
    answer = writer.send("PUT", f"/vouchers/{made['id']}", made | {"remark": "x"})
    assert answer.json()["version"] == made["version"] + 1
    stale = writer.send("PUT", f"/vouchers/{made['id']}", made)
    assert (stale.status_code, list(stale.json())) == (409, ["requestId", "IssueList"])
    missing = writer.send("GET", "/vouchers")
    assert (missing.status_code, "voucherNumber parameter is required" in missing.text) == (400, True)


@pytest.mark.parametrize(
    ("changes", "issues"),
    [
        ({"type": "invoice"}, ["invalid_value type"]),
        ({"voucherStatus": "paid"}, ["invalid_value voucherStatus"]),
        ({"voucherStatus": "unchecked", "taxType": "net"}, ["invalid_value taxType"]),
        ({"voucherDate": "1.3.2025"}, ["invalid_value voucherDate"]),
        ({"totalGrossAmount": 120}, ["invalid_value totalGrossAmount"]),
        ({"taxType": "net"}, ["invalid_value totalGrossAmount"]),
        ({"totalTaxAmount": 18.99}, ["invalid_value totalTaxAmount"]),
        ({"useCollectiveContact": False}, ["missing_entity contactId"]),
        ({"version": None}, ["missing_entity version"]),
        ({"files": [str(uuid.UUID(int=3))]}, ["invalid_value files"]),
    ],
)
def test_a_voucher_that_is_not_right_is_406_in_the_legacy_shape(writer, changes, issues):
    assert writer.refused("/vouchers", voucher(**changes)) == issues


def test_what_was_paid_of_a_voucher_stays_paid_when_it_is_changed(writer):
    document = writer.made("/vouchers", voucher(voucherNumber=uuid.uuid4().hex[:10]))
    rows = writer.box.voucher_rows["demo"]
    rows.put(rows.get(document["id"]) | {"openAmount": Exact(2000)})  # 99 euros came in: no program can write that
    document["voucherItems"].append(document["voucherItems"][0] | {"amount": 10, "taxAmount": 0, "taxRatePercent": 0})
    document["totalGrossAmount"] += 10
    assert writer.send("PUT", f"/vouchers/{document['id']}", document).ok
    assert writer.row(document)["openAmount"] == 30
    assert writer.get(f"/payments/{document['id']}")["openAmount"] == 30


def test_what_the_books_hold_can_be_read_and_written_back(writer):
    path = "/voucherlist?voucherType=purchaseinvoice,salesinvoice&voucherStatus=any&size=40"
    vouchers = [writer.get(f"/vouchers/{row['id']}") for row in writer.get(path)["content"]]
    vouchers = [each | {"voucherStatus": "open"} for each in vouchers]
    contacts, articles = (writer.get(f"/{kind}?size=250")["content"] for kind in ("contacts", "articles"))
    for kind, documents in (("vouchers", vouchers), ("contacts", contacts), ("articles", articles)):
        for document in documents:
            answer = writer.send("PUT", f"/{kind}/{document['id']}", document)
            assert answer.ok, (answer.text, document)
            after = writer.get(f"/{kind}/{document['id']}")
            own = {"version", "updatedDate", "voucherStatus"}
            assert {name: value for name, value in after.items() if name not in own} == {
                name: value for name, value in document.items() if name not in own
            }


def test_a_voucher_for_a_contact_has_no_collective_one_and_no_name_of_its_own(writer):
    buyer = writer.made("/contacts", contact())["id"]
    assert writer.refused("/vouchers", voucher(contactId=buyer, contactName="X")) == [
        "collective_customer_not_applicable useCollectiveContact",
        "custom_contact_name_for_referenced_contact_not_allowed contactName",
    ]
    assert writer.made("/vouchers", voucher(contactId=buyer, useCollectiveContact=False))["contactId"] == buyer


# -- what holds for all


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", "{}", 415),
        ("application/json", "", 400),
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", '{"a": NaN}', 400),
        ("application/json", '{"a": 1e999999999}', 400),
        ("application/json", "9" * 5000, 400),
        ("application/json", "[" * 100_000, 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", '{"title": "\\ud800"}', 406),
        ("application/json", " " * (1 << 20) + "{}", 413),
    ],
)
@pytest.mark.parametrize("path", ["/invoices", "/contacts"])
def test_a_body_that_cannot_be_read_is_refused_in_the_endpoints_shape(writer, path, content_type, body, status):
    answer = writer.send("POST", path, data=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json().keys() & {"IssueList" if path == "/contacts" else "timestamp", "message"}


def test_what_was_written_is_there_after_a_restart(tmp_path):
    with Sandbox(data_dir=tmp_path / "data") as box:
        first = Writer(box)
        buyer = first.made("/contacts", contact())
        invoice = first.made("/invoices?finalize=true", sales(address={"contactId": buyer["id"]}))
        row = first.row(invoice)
        gone = first.get("/articles?size=1")["content"]
        for each in gone:
            assert first.send("DELETE", f"/articles/{each['id']}").ok
        first.http.close()
    with Sandbox(data_dir=tmp_path / "data") as box:
        again = Writer(box)
        assert again.get(f"/invoices/{invoice['id']}") == invoice
        assert again.get(f"/contacts/{buyer['id']}") == buyer
        assert buyer in again.get("/contacts?size=250")["content"]
        assert again.row(invoice) == row
        assert all(again.send("GET", f"/articles/{each['id']}").status_code == 404 for each in gone)
        assert again.made("/invoices", sales())["voucherNumber"] != invoice["voucherNumber"]
        again.http.close()


def test_many_at_once_get_numbers_of_their_own(writer):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        keys = [each.json()["id"] for each in pool.map(lambda _: writer.send("POST", "/invoices", sales()), range(16))]
    assert len({writer.get(f"/invoices/{key}")["voucherNumber"] for key in keys}) == 16


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_GOOD = {
    **{
        kind: sales(kind)
        for kind in ("invoices", "credit-notes", "quotations", "order-confirmations", "delivery-notes")
    },
    "contacts": contact(),
    "articles": article(),
    "vouchers": voucher(),
    "event-subscriptions": {"eventType": "x", "callbackUrl": "https://a.example"},
}


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for name, each in inner for place in _places(each, (*at, name)))]


def _replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    if isinstance(value, dict):
        return value | {at[0]: _replaced(value[at[0]], at[1:], new)}
    return [_replaced(each, at[1:], new) if n == at[0] else each for n, each in enumerate(value)]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_whatever_a_body_holds_the_answer_is_the_vendors(writer, data):
    kind = data.draw(st.sampled_from(sorted(_GOOD)))
    place = data.draw(st.sampled_from(_places(_GOOD[kind])))
    body = _replaced(_GOOD[kind], place, data.draw(_VALUES))
    finalize = data.draw(st.sampled_from(["", "?finalize=true"]))
    answer = writer.send("POST", f"/{kind}{finalize}", body)
    assert answer.status_code in (200, 201, 400, 406), answer.text
    if answer.status_code < 300:
        assert writer.send("GET", f"/{kind}/{answer.json()['id']}").ok
    else:
        assert answer.json().keys() & {"details", "IssueList", "message"}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    route=st.sampled_from([each for each in ROUTES if each.method == "GET" and not each.partner]),
    key=st.text(min_size=1, max_size=8),
    query=st.dictionaries(
        st.sampled_from(
            [
                "page",
                "size",
                "sort",
                "name",
                "email",
                "number",
                "type",
                "voucherNumber",
                "voucherType",
                "voucherStatus",
                "contactId",
                "archived",
                "customer",
                "voucherDateFrom",
                "finalize",
            ]
        ),
        st.text(max_size=8) | st.sampled_from(["any", "1", "250", "999999", "true", "%%%", "\\\\\\", "___"]),
        max_size=4,
    ),
)
def test_whatever_a_query_holds_the_answer_is_the_vendors(writer, route, key, query):
    path = route.path.replace("<id>", quote(key.encode("utf-8", "replace"), safe=""))
    answer = writer.send("GET", path, params={name: value.encode("utf-8", "replace") for name, value in query.items()})
    assert answer.status_code in (200, 400, 403, 404, 406) or "search window" in answer.text, answer.text
    assert answer.json() is not None
