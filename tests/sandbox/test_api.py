"""The API's gateway, filters, pages and errors."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest
import requests

ANY = "/v1/voucherlist?voucherType=any&voucherStatus=any"


@pytest.fixture(scope="module")
def key(shared_box) -> str:
    return shared_box.make_api_key()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic eDp5", "Bearer ä"])
@pytest.mark.parametrize("path", ["/v1/profile", ANY, "/v1/invoices/x", "/v1/contacts"])
def test_without_a_live_token_the_answer_is_401_in_the_gateways_words(client, header, path):
    headers = {} if header is None else {"Authorization": header.encode("utf-8")}
    response = client.open(path, headers=headers)
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})


def test_a_token_in_the_query_is_no_token(client, key):
    assert client.open(f"/v1/profile?access_token={key}").status_code == 401


@pytest.mark.parametrize(
    ("scope", "open_paths"),
    [
        ("openid", set()),
        ("profile", {"/v1/profile"}),
        ("profile.read", {"/v1/profile"}),
        ("invoice.read", {ANY, "/v1/invoices/x"}),
        ("voucherlist.read", {ANY}),
        ("invoices.read", {"/v1/invoices/x"}),
        ("contact.read", {"/v1/contacts"}),
        ("contacts.read", {"/v1/contacts"}),
        ("invoice.write", set()),
    ],
)
def test_a_scope_opens_its_own_endpoints_and_no_other(client, scope, open_paths):
    token = client.tokens(scope=scope)["access_token"]
    paths = ("/v1/profile", ANY, "/v1/invoices/x", "/v1/contacts")
    assert {path for path in paths if client.api(path, token).status_code != 403} == open_paths


def test_the_profile_says_whose_books_these_are(client, key):
    body = client.api("/v1/profile", key).json()
    assert body["companyName"] == "Muster & Söhne GmbH"
    assert body["organizationId"] == client.box.ledger.organisation_id
    assert body["created"]["userEmail"].endswith(".example")
    assert uuid.UUID(body["connectionId"])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "voucherType=any",
        "voucherStatus=any",
        "voucherType=&voucherStatus=any",
        "voucherType=dunning&voucherStatus=any",
        "voucherType=any&voucherStatus=paymentordered",
        "voucherType=any&voucherStatus=overdue,open",
        "voucherType=any,invoice&voucherStatus=any",
        "voucherType=any&voucherStatus=any&size=251",
        "voucherType=any&voucherStatus=any&size=0",
        "voucherType=any&voucherStatus=any&page=-1",
        "voucherType=any&voucherStatus=any&page=x",
        "voucherType=any&voucherStatus=any&archived=maybe",
        "voucherType=any&voucherStatus=any&contactId=x",
        "voucherType=any&voucherStatus=any&voucherDateFrom=2025-13-01",
        "voucherType=any&voucherStatus=any&updatedDateTo=20250101",
        "voucherType=any&voucherStatus=any&sort=colour",
        "voucherType=any&voucherStatus=any&sort=voucherDate,SIDEWAYS",
    ],
)
def test_a_bad_query_is_400_in_the_regular_shape(client, key, query):
    response = client.api(f"/v1/voucherlist?{query}", key)
    body = response.json()
    assert response.status_code == body["status"] == 400
    assert body["error"] == "Bad Request"
    assert body["path"] == "/v1/voucherlist"
    assert {"timestamp", "traceId", "requestId", "message"} <= body.keys()


def test_pages_cover_all_rows_once_newest_first(client, key):
    total = client.api(ANY, key).json()["totalElements"]
    seen, number = [], 0
    while True:
        page = client.api(f"{ANY}&size=100&page={number}", key).json()
        seen += page["content"]
        assert page["numberOfElements"] == len(page["content"])
        counts = (page["number"], page["size"], page["totalPages"], page["totalElements"])
        assert counts == (number, 100, -(-total // 100), total)
        assert page["first"] == (number == 0)
        if page["last"]:
            break
        number += 1
    assert len({row["id"] for row in seen}) == len(seen) == total > 240
    assert [row["voucherDate"][:10] for row in seen] == sorted((row["voucherDate"][:10] for row in seen), reverse=True)
    assert page["sort"][0]["property"] == "voucherdate"
    assert client.api(f"{ANY}&page=99", key).json()["content"] == []
    assert client.api(ANY, key).json()["size"] == 25


@pytest.mark.parametrize("name", ["voucherDate", "voucherNumber", "createdDate", "updatedDate"])
def test_rows_sort_both_ways(client, key, name):
    up, down = ([row[name] for row in all_rows(client, key, f"sort={name},{way}")] for way in ("ASC", "DESC"))
    assert [value[:10] for value in up] == sorted(value[:10] for value in up)
    assert up == down[::-1]


def test_filters_take_whole_days_and_both_ends(client, key):
    rows = all_rows(client, key)
    for name in ("voucherDate", "createdDate", "updatedDate"):
        day = rows[77][name][:10]
        found = all_rows(client, key, f"{name}From={day}&{name}To={day}")
        assert {row["id"] for row in found} == {row["id"] for row in rows if row[name][:10] == day}
        since = all_rows(client, key, f"{name}From={day}")
        assert {row["id"] for row in since} == {row["id"] for row in rows if row[name][:10] >= day}


def test_filters_by_contact_number_and_archive(client, key):
    rows = all_rows(client, key)
    contact = next(row["contactId"] for row in rows if "contactId" in row)
    for query, test in (
        (f"contactId={contact}", lambda row: row.get("contactId") == contact),
        (f"voucherNumber={rows[5]['voucherNumber']}", lambda row: row["voucherNumber"] == rows[5]["voucherNumber"]),
        ("archived=true", lambda row: row["archived"]),
    ):
        found = all_rows(client, key, f"{query}")
        assert {row["id"] for row in found} == {row["id"] for row in rows if test(row)} != set()
    assert {row["voucherType"] for row in all_rows(client, key, types="creditnote")} == {"creditnote"}


def test_contacts_are_listed_by_name_and_searched_html_escaped(client, key):
    names = [contact_name(each) for each in client.api("/v1/contacts?size=250", key).json()["content"]]
    assert names == sorted(names, key=str.casefold)
    assert len(names) == len(client.box.ledger.contacts) >= 18
    search = quote("onerror=alert(1)&gt; &amp; Co")
    (found,) = client.api(f"/v1/contacts?name={search}", key).json()["content"]
    assert contact_name(found) == "<img src=x onerror=alert(1)> & Co. KG"
    assert client.api(f"/v1/contacts?name={quote('<img')}", key).json()["content"] == []
    assert client.api(f"/v1/contacts/{found['id']}", key).json() == found


@pytest.mark.parametrize(("path", "status"), [("?name=ab", 400), ("?size=251", 400), ("?customer=x", 400), ("/x", 404)])
def test_contact_errors_have_the_legacy_shape(client, key, path, status):
    response = client.api(f"/v1/contacts{path}", key)
    assert response.status_code == status
    assert response.json().keys() == {"requestId", "IssueList"}


def test_an_unknown_invoice_is_404_in_the_regular_shape(client, key):
    response = client.api(f"/v1/invoices/{uuid.uuid4()}", key)
    assert response.status_code == response.json()["status"] == 404


def test_unknown_paths_and_methods_are_the_gateways(client, key):
    assert client.api("/v1/nothing", key).status_code == 403
    assert key not in client.api("/v1/nothing", key).text
    response = client.http.put(f"{client.box.url}/v1/profile")
    assert (response.status_code, list(response.json())) == (405, ["message"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/nothing"),
        ("POST", "/v1/invoices/x/y"),
        ("GET", "/v1/transaction-assignment-hint"),
        ("GET", "/v1/invoices"),
    ],
)
def test_what_is_not_there_is_the_gateways_as_before(client, key, method, path):
    headers = {"Authorization": f"Bearer {key}"}
    response = requests.request(method, client.box.url + path, headers=headers, timeout=20)
    assert (response.status_code, list(response.json())) == (403, ["message"])


def test_the_rate_limit_counts_per_organisation_over_all_its_credentials(own):
    own.box.settings.rate_limit = 0.01
    keys = [own.box.make_api_key(), own.box.make_api_key()]
    answers = [own.api("/v1/profile", keys[number % 2]) for number in range(7)]
    assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
    assert answers[-1].json() == {"message": "Rate limit exceeded"}
    assert "Retry-After" not in answers[-1].headers
    assert own.api("/v1/profile", own.box.make_api_key("kanzlei")).status_code == 200


def all_rows(client, key: str, query: str = "", types: str = "any") -> list[dict]:
    rows: list[dict] = []
    while True:
        path = f"/v1/voucherlist?voucherType={types}&voucherStatus=any&size=250&page={len(rows) // 250}&{query}"
        page = client.api(path, key).json()
        rows += page["content"]
        if page["last"]:
            return rows


def contact_name(contact: dict) -> str:
    if "company" in contact:
        return contact["company"]["name"]
    return f"{contact['person']['lastName']}, {contact['person']['firstName']}"
