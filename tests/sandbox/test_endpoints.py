"""Every path and method of the API, and which kinds of token it lets in."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import pytest
import requests

from lexoffice_nb.sandbox.routes import ROUTES
from lexoffice_nb.sandbox.scopes import PARTNER_SCOPES
from tests.sandbox.bodies import article, contact, sales, voucher

NOWHERE = str(uuid.UUID(int=7))


class Row(NamedTuple):
    """An endpoint: what it answers to who is let in, the vendor's scope, and whether it is for partners only."""

    method: str
    path: str
    status: int
    scope: str | None = None
    partner: bool = False
    body: Any = None


def _sales(kind: str, scope: str) -> list[Row]:
    return [
        Row("POST", f"/{kind}", 400 if kind == "dunnings" else 406, f"{scope}.write", body={"lineItems": []}),
        Row("GET", f"/{kind}/{{{kind}}}", 200, f"{scope}.read"),
        Row("PUT", f"/{kind}/{{{kind}}}", 404, body={}),
        Row("GET", f"/{kind}/{{{kind}}}/file", 200, f"{scope}.read"),
        Row("GET", f"/{kind}/{{{kind}}}/document", 200, f"{scope}.read"),
        Row("POST", f"/{kind}/{{{kind}}}/sendmail", 202, "vouchers.sendmail", True, {"recipients": ["a@b.example"]}),
    ]


ROWS = [
    Row("GET", "/ping", 200),
    Row("GET", "/profile", 200, "profile.read"),
    Row("GET", "/voucherlist?voucherType=any&voucherStatus=any", 200, "voucherlist.read"),
    *_sales("invoices", "invoices"),
    *_sales("credit-notes", "credit-notes"),
    *_sales("quotations", "quotations"),
    *_sales("order-confirmations", "order-confirmations"),
    *_sales("delivery-notes", "delivery-notes"),
    *_sales("dunnings", "dunnings"),
    Row("GET", "/invoices/{invoices}/interaction-status", 200, "invoices.read", True),
    Row("PUT", "/invoices/{invoices}/interaction-status", 200, "invoices.read", True, {"status": "accepted"}),
    Row("GET", f"/down-payment-invoices/{NOWHERE}", 404, "invoices.read"),
    Row("GET", f"/down-payment-invoices/{NOWHERE}/file", 404, "invoices.read"),
    Row("GET", "/recurring-templates", 200, "recurring-templates.read"),
    Row("GET", f"/recurring-templates/{NOWHERE}", 404, "recurring-templates.read"),
    Row("GET", "/payments/{invoices}", 200, "payments.read"),
    Row("GET", "/vouchers?voucherNumber=V-1", 200, "vouchers.read"),
    Row("POST", "/vouchers", 406, "vouchers.write", body={}),
    Row("GET", "/vouchers/{vouchers}", 200, "vouchers.read"),
    Row("PUT", "/vouchers/{vouchers}", 406, "vouchers.write", body={}),
    Row("POST", "/vouchers/{vouchers}/files", 415, "vouchers.write files.write", body={}),
    Row("POST", "/files", 415, "files.write", body={}),
    Row("GET", "/files/{files}", 200, "files.read"),
    Row("GET", "/files/{files}/status", 200, "files.status", True),
    Row("GET", "/contacts", 200, "contacts.read"),
    Row("POST", "/contacts", 406, "contacts.write", body={}),
    Row("GET", "/contacts/{contacts}", 200, "contacts.read"),
    Row("PUT", "/contacts/{contacts}", 406, "contacts.write", body={}),
    Row("GET", "/contacts/{contacts}/bankaccounts", 200, "contacts.bankaccounts.read", True),
    Row("POST", "/contacts/{contacts}/bankaccounts", 406, "contacts.bankaccounts.write", True, {}),
    Row("GET", f"/contacts/{{contacts}}/bankaccounts/{NOWHERE}", 404, "contacts.bankaccounts.read", True),
    Row("PUT", f"/contacts/{{contacts}}/bankaccounts/{NOWHERE}", 404, "contacts.bankaccounts.write", True, {}),
    Row("DELETE", f"/contacts/{{contacts}}/bankaccounts/{NOWHERE}", 404, "contacts.bankaccounts.write", True),
    Row("GET", "/articles", 200, "articles.read"),
    Row("POST", "/articles", 406, "articles.write", body={}),
    Row("GET", "/articles/{articles}", 200, "articles.read"),
    Row("PUT", "/articles/{articles}", 406, "articles.write", body={}),
    Row("DELETE", f"/articles/{NOWHERE}", 404, "articles.write"),
    Row("GET", "/countries", 200),
    Row("GET", "/payment-conditions", 200),
    Row("GET", "/posting-categories", 200),
    Row("GET", "/print-layouts", 200, "dunnings.read"),
    Row("GET", "/event-subscriptions", 200),
    Row("POST", "/event-subscriptions", 406, body={}),
    Row("GET", f"/event-subscriptions/{NOWHERE}", 404),
    Row("DELETE", f"/event-subscriptions/{NOWHERE}", 404),
    Row("GET", "/organization", 200, "organization.read", True),
    Row("GET", "/partner-integrations", 200, None, True),
    Row("PUT", "/partner-integrations", 200, None, True, {"status": "ACTIVE"}),
    Row("GET", "/finance/accounts", 200, "finance.read", True),
    Row("POST", "/finance/accounts", 406, "finance.write", True, {}),
    Row("GET", f"/finance/accounts/{NOWHERE}", 404, "finance.read", True),
    Row("PUT", f"/finance/accounts/{NOWHERE}", 404, "finance.write", True, {}),
    Row("DELETE", f"/finance/accounts/{NOWHERE}", 404, "finance.write", True),
    Row("GET", "/finance/transactions", 200, "finance.read", True),
    Row("POST", "/finance/transactions", 406, "finance.write", True, [{}]),
    Row("GET", "/finance/transactions/latest-transaction", 400, "finance.read", True),
    Row("GET", f"/finance/transactions/{NOWHERE}", 404, "finance.read", True),
    Row("PUT", f"/finance/transactions/{NOWHERE}", 404, "finance.write", True, {}),
    Row("DELETE", f"/finance/transactions/{NOWHERE}", 404, "finance.write", True),
    Row("GET", f"/finance/transactions/{NOWHERE}/assignments", 404, "finance.read", True),
    Row("GET", "/cash-boxes", 200, "cashbox.read", True),
    Row("POST", "/cash-boxes", 406, "cashbox.write", True, {}),
    Row("GET", f"/cash-boxes/{NOWHERE}", 404, "cashbox.read", True),
    Row("PUT", f"/cash-boxes/{NOWHERE}", 404, "cashbox.write", True, {}),
    Row("DELETE", f"/cash-boxes/{NOWHERE}", 404, "cashbox.delete", True),
    Row("GET", f"/cash-boxes/{NOWHERE}/balances", 404, "cashbox.read", True),
    Row("POST", f"/cash-boxes/{NOWHERE}/balances", 404, "cashbox.write", True, {}),
    Row("POST", "/transaction-assignment-hint", 406, "transaction-assignment-hint.write", True, {}),
]
TABLE = pytest.mark.parametrize("row", ROWS, ids=[f"{row.method} {row.path.partition('?')[0]}" for row in ROWS])


class Caller:
    """Sends requests with every kind of credential."""

    def __init__(self, box: Any, client_of: Any, client_of_partners: Any) -> None:
        self.url = f"{box.url}/v1"
        self.partners = client_of_partners(box)
        self.key = box.make_api_key()
        self.reader = client_of(box).tokens(scope="profile invoice.read contact.read")["access_token"]
        self.writer = client_of(box).tokens(scope="invoice.write")["access_token"]
        self.partner = self.partners.tokens(scope=" ".join(PARTNER_SCOPES))["access_token"]
        self.narrow: dict[str, str] = {}
        self.http = requests.Session()
        self.http.trust_env = False
        self.ids = self._things()

    def send(self, row: Row, token: str | None) -> requests.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = self.url + row.path.format(**self.ids)
        return self.http.request(row.method, url, headers=headers, json=row.body, timeout=20)

    def post(self, path: str, body: Any) -> str:
        answer = self.send(Row("POST", path, 0, body=body), self.key)
        assert answer.ok, answer.text
        return answer.json()["id"]

    def _things(self) -> dict[str, str]:
        self.ids: dict[str, str] = {}
        made = {"contacts": self.post("/contacts", contact()), "articles": self.post("/articles", article())}
        for kind in ("invoices", "credit-notes", "quotations", "order-confirmations", "delivery-notes"):
            made[kind] = self.post(f"/{kind}?finalize=true", sales(kind))
        made["dunnings"] = self.post(f"/dunnings?precedingSalesVoucherId={made['invoices']}", sales("dunnings"))
        made["vouchers"] = self.post("/vouchers", voucher())
        answer = self.http.post(
            f"{self.url}/files",
            headers={"Authorization": f"Bearer {self.key}"},
            files={"file": ("x.pdf", b"%PDF-1.7 of the endpoints' test")},
            data={"type": "voucher"},
            timeout=20,
        )
        return made | {"files": answer.json()["id"]}

    def with_scope(self, scope: str) -> str:
        # Of another organisation: a partner has one live token for each, and the one with all scopes is still needed.
        if scope not in self.narrow:
            self.narrow[scope] = self.partners.tokens("kanzlei", scope=scope)["access_token"]
        return self.narrow[scope]


@pytest.fixture(scope="module")
def caller(shared_box, client_of, client_of_partners) -> Any:
    caller = Caller(shared_box, client_of, client_of_partners)
    with caller.http:
        yield caller


@TABLE
def test_an_endpoint_answers_those_whom_it_is_for(caller, row):
    answers = {
        "nobody": caller.send(row, None),
        "key": caller.send(row, caller.key),
        "reader": caller.send(row, caller.reader),
        "writer": caller.send(row, caller.writer),
        "partner": caller.send(row, caller.partner),
    }
    own = 403 if row.partner else row.status
    reads = row.method == "GET"
    expected = {
        "nobody": 401,
        "key": own,
        "reader": own if reads or row.scope is None else 403,
        "writer": own if not reads or row.scope is None else 403,
        "partner": row.status,
    }
    assert {name: answer.status_code for name, answer in answers.items()} == expected
    assert all(answer.headers["x-amzn-RequestId"] for answer in answers.values())
    for answer in answers.values():
        if answer.status_code in (401, 403):
            assert answer.json() == {"message": "Unauthorized" if answer.status_code == 401 else "Forbidden"}


def test_a_scope_of_the_partners_contract_opens_its_endpoints_and_no_other(caller):
    for scope in sorted({row.scope for row in ROWS if row.scope}):
        token = caller.with_scope(scope)
        for row in ROWS:
            sales_voucher = row.path == "/print-layouts" and scope in {
                *("invoices.read", "credit-notes.read", "quotations.read", "order-confirmations.read"),
                "delivery-notes.read",
            }
            opened = row.scope is None or set(row.scope.split()) <= set(scope.split()) or sales_voucher
            if opened or (row.scope.partition(".")[2] in scope and row.method != "GET"):  # the near misses only
                assert (caller.send(row, token).status_code != 403) == opened, (scope, row)


def test_the_table_has_every_route_of_the_sandbox_and_no_other(caller):
    def shape(path: str) -> list[str]:
        parts = path.partition("?")[0].split("/")
        return ["*" if part[:1] in "<{" or part == NOWHERE else part for part in parts]

    assert sorted((row.method, shape(row.path)) for row in ROWS) == sorted(
        (route.method, shape(route.path)) for route in ROUTES
    )


def test_there_are_as_many_countries_as_the_vendor_has_and_each_once(caller):
    countries = caller.send(Row("GET", "/countries", 200), caller.key).json()
    assert len(countries) == len({each["countryCode"] for each in countries}) == 257
    by_code = {each["countryCode"]: each for each in countries}
    assert by_code["DE"] == {
        "countryCode": "DE",
        "countryNameEN": "Germany",
        "countryNameDE": "Deutschland",
        "taxClassification": "de",
    }
    assert by_code["XI"]["taxClassification"] == by_code["GR"]["taxClassification"] == "intraCommunity"
    assert by_code["GR_69"]["taxClassification"] == by_code["CH"]["taxClassification"] == "thirdPartyCountry"


def test_the_small_lists_are_bare_and_whole(caller):
    categories = caller.send(Row("GET", "/posting-categories", 200), caller.key).json()
    assert len({each["id"] for each in categories}) == len(categories) > 150
    assert {each["type"] for each in categories} == {"income", "outgo"}
    assert "8f8664a0-fd86-11e1-a21f-0800200c9a66" in {each["id"] for each in categories}
    (condition,) = caller.send(Row("GET", "/payment-conditions", 200), caller.key).json()
    assert condition["organizationDefault"] is True
    layouts = caller.send(Row("GET", "/print-layouts", 200), caller.key).json()
    assert [each["default"] for each in layouts].count(True) == 1


@pytest.mark.parametrize("sort", ["createdDate", "updatedDate,ASC", "lastExecutionDate,DESC", "nextExecutionDate"])
def test_templates_sort_by_their_dates_and_come_in_short(caller, sort):
    page = caller.send(Row("GET", f"/recurring-templates?sort={sort}", 200), caller.key).json()
    assert page["sort"][0]["property"] == sort.partition(",")[0]
    assert all("lineItems" not in each for each in page["content"])
    refused = caller.send(Row("GET", "/recurring-templates?sort=colour", 400), caller.key)
    assert refused.status_code == 400


def test_a_subscription_comes_and_goes(caller):
    body = {"eventType": "invoice.created", "callbackUrl": "https://hooks.example.org/x"}
    made = caller.send(Row("POST", "/event-subscriptions", 201, body=body), caller.key)
    path = f"/event-subscriptions/{made.json()['id']}"
    assert made.status_code == 201
    assert made.headers["Location"] == made.json()["resourceUri"] == caller.url + path
    listed = caller.send(Row("GET", "/event-subscriptions", 200), caller.key).json()
    assert listed.keys() == {"content"}
    assert caller.send(Row("GET", path, 200), caller.key).json() in listed["content"]
    gone = caller.send(Row("DELETE", path, 204), caller.key)
    assert (gone.status_code, gone.content) == (204, b"")
    assert caller.send(Row("GET", path, 404), caller.key).status_code == 404


@pytest.mark.parametrize("url", ["http://hooks.example.org/", "https://localhost/", "https://127.0.0.1/", "https://[x"])
def test_a_callback_that_nobody_could_call_is_406(caller, url):
    body = {"eventType": "invoice.created", "callbackUrl": url}
    assert caller.send(Row("POST", "/event-subscriptions", 406, body=body), caller.key).status_code == 406


def test_accounts_and_their_transactions(caller):
    def call(method: str, path: str, body: Any = None) -> requests.Response:
        return caller.send(Row(method, path, 0, body=body), caller.partner)

    account = call("POST", "/finance/accounts", {"name": "Giro", "balance": 12.5}).json()
    assert account["balance"] == 12.5
    key, path = account["financialAccountId"], f"/finance/accounts/{account['financialAccountId']}"
    first = {"financialAccountId": key, "amount": 10.1, "bookingDate": "2025-03-01T00:00:00.000+01:00"}
    later = first | {"bookingDate": "2025-03-02T00:00:00.000+01:00", "endToEndId": "E2E"}
    made = call("POST", "/finance/transactions", [later, first])
    assert (made.status_code, [each["amount"] for each in made.json()]) == (201, [10.1, 10.1])
    latest = call("GET", f"/finance/transactions/latest-transaction?financialAccountId={key}").json()
    assert latest == made.json()[0]
    assert len(call("GET", f"/finance/transactions?financialAccountId={key}").json()) == 2
    assert call("POST", "/finance/transactions", [first] * 26).status_code == 406
    hint = {"voucherId": caller.ids["invoices"], "endToEndId": "E2E"}
    assert call("POST", "/transaction-assignment-hint", hint).status_code == 201
    assigned = call("GET", f"/finance/transactions/{latest['financialTransactionId']}/assignments").json()
    assert [each["voucherId"] for each in assigned] == [caller.ids["invoices"]]
    changed = {"name": "Girokonto", "lockVersion": 0}
    assert call("PUT", path, changed).json()["lockVersion"] == 1
    assert call("PUT", path, changed).status_code == 409
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404


def test_cash_boxes_and_their_balances(caller):
    def call(method: str, path: str, body: Any = None) -> requests.Response:
        return caller.send(Row(method, path, 0, body=body), caller.partner)

    box = call("POST", "/cash-boxes", {"name": "Laden"}).json()
    assert box in call("GET", "/cash-boxes").json()["content"]
    path = f"/cash-boxes/{box['cashBoxId']}/balances"
    assert call("POST", path, {"date": "2025-02-30", "amount": 1}).status_code == 406
    assert call("POST", path, {"date": "2025-02-28", "amount": 17.25}).status_code == 201
    assert [each["amount"] for each in call("GET", path).json()["content"]] == [17.25]
    assert call("GET", f"{path}?size=101").status_code == 400


def test_bank_accounts_have_the_contacts_version(caller):
    def call(method: str, path: str, body: Any = None) -> requests.Response:
        return caller.send(Row(method, path, 0, body=body), caller.partner)

    key = caller.post("/contacts", contact())
    path = f"/contacts/{key}/bankaccounts"
    version = call("GET", f"/contacts/{key}").json()["version"]
    body = {"accountHolder": "A", "iban": "DE02120300000000202051", "version": version}
    made = call("POST", path, body).json()
    assert made["version"] == version + 1 == call("GET", f"/contacts/{key}").json()["version"]
    stale = call("PUT", f"{path}/{made['id']}", body)
    assert (stale.status_code, stale.json()["IssueList"][0]["source"]) == (406, "version")
    assert call("PUT", f"{path}/{made['id']}", body | {"version": version + 1, "bankName": "B"}).ok
    assert [each["bankName"] for each in call("GET", path).json()] == ["B"]
    assert call("DELETE", f"{path}/{made['id']}").status_code == 204
    assert call("GET", path).json() == []
