"""The pages, and what keeps strangers from using them."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
import requests

from lexoffice_nb.sandbox.scopes import PARTNER_SCOPES, SCOPES
from lexoffice_nb.sandbox.wording import scope_text
from lexoffice_nb.texts import de, en

FORMS = {
    "/sign-in": {"person": "demo"},
    "/consent": {"decision": "allow", "person": "demo"},
    "/addons/public-api": {"label": "x"},
    "/sign-out": {},
}


def hidden(page: str, name: str) -> str:
    return page.split(f'name="{name}" value="')[1].split('"')[0]


class Visitor:
    """A browser at the sandbox that can send its forms wrongly."""

    def __init__(self, client) -> None:
        self.client, self.http, self.url = client, client.http, client.box.url
        response = client.open(client.link())
        self.handle = response.headers["Location"].split("request=")[1]
        self.token = hidden(client.open(response.headers["Location"]).text, "csrf_token")

    def post(self, path: str, origin: str | None = "own", token: str | None = None, **form: str) -> requests.Response:
        headers = {} if origin is None else {"Origin": self.url if origin == "own" else origin}
        data = {"request": self.handle, "csrf_token": self.token if token is None else token, **FORMS[path], **form}
        return self.http.post(self.url + path, data=data, headers=headers, allow_redirects=False)

    def sign_in(self, person: str = "demo") -> requests.Response:
        response = self.post("/sign-in", person=person)
        assert response.status_code == 303
        self.token = hidden(self.client.open(response.headers["Location"]).text, "csrf_token")
        return response


@pytest.fixture
def visitor(client) -> Visitor:
    return Visitor(client)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "127.0.0.2:{port}",
        "localhost.:{port}",
        "127.0.0.1:{port}@evil.example",
        "127.1:{port}",
        "0.0.0.0:{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/.well-known/openid-configuration", "/v1/profile", "/sandbox/identity"])
def test_threat_14_a_request_for_another_host_is_misdirected(client, host, path):
    named = host.format(port=client.box.port)
    response = client.open(path, headers={"Host": named})
    assert response.status_code == 421
    assert client.box.instance not in response.text
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_threat_14_metadata_never_comes_from_the_host_header(client, host):
    named = f"{host}:{client.box.port}"
    response = client.open("/.well-known/openid-configuration", headers={"Host": named, "X-Forwarded-Host": "evil"})
    assert response.json()["issuer"] == client.box.url
    assert response.json()["token_endpoint"] == client.box.url + "/connect/token"


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1"])
def test_threat_14_a_form_from_another_origin_is_refused(visitor, path, origin):
    if path != "/sign-in":
        visitor.sign_in()
    assert visitor.post(path, origin=origin).status_code == 403


@pytest.mark.parametrize("path", FORMS)
def test_a_form_reached_by_the_other_name_of_this_machine_is_another_origin(visitor, path):
    origin = visitor.url.replace("127.0.0.1", "localhost")
    assert visitor.post(path, origin=origin).status_code == 403


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_without_this_browsers_token_is_refused(visitor, path, token):
    if path != "/sign-in":
        visitor.sign_in()
    assert visitor.post(path, token=token).status_code == 403


def test_the_same_forms_are_taken_from_our_own_pages(visitor):
    visitor.sign_in()
    assert visitor.post("/consent").headers["Location"].startswith("http://127.0.0.1:51234/callback?code=")
    assert visitor.post("/addons/public-api").status_code == 200
    assert visitor.post("/sign-out").headers["Location"] == "/"


def test_another_browsers_token_is_refused(visitor, client):
    with requests.Session() as other:
        token = hidden(other.get(f"{client.box.url}/sign-in").text, "csrf_token")
    assert visitor.post("/sign-in", token=token).status_code == 403


def test_another_browser_cannot_use_a_waiting_request(visitor, client):
    with requests.Session() as other:
        assert other.get(f"{client.box.url}/consent?request={visitor.handle}").status_code == 400
        assert other.get(f"{client.box.url}/sign-in?request={visitor.handle}").status_code == 400


def flood(client, number: int = 600, **options: dict[str, str]) -> None:
    """Authorization requests by nobody, straight into the application: over HTTP so many take too long."""
    app, path = client.box._server.app, client.link().removeprefix(client.box.url)
    for n in range(number):
        cookies = {name: value.format(n=n) for name, value in options.get("cookies", {}).items()}
        headers = {"Host": f"127.0.0.1:{client.box.port}"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        assert app.test_client(use_cookies=False).get(path, headers=headers).status_code == 303


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("signed_in", [False, True])
def test_a_flood_of_strangers_requests_does_not_push_out_the_one_a_person_looks_at(own, forged, signed_in):
    visitor = Visitor(own)
    (cookie,) = list(own.http.cookies)
    if signed_in:
        visitor.sign_in()
    flood(own, cookies={cookie.name: "{n:043}"} if forged else {})
    if not signed_in:
        visitor.sign_in()
    assert visitor.post("/consent").headers["Location"].startswith("http://127.0.0.1:51234/callback?code=")


def test_a_signed_in_browsers_unopened_request_outlives_a_flood(own):
    visitor = Visitor(own)
    visitor.sign_in()
    to_consent = own.open(own.link()).headers["Location"]
    flood(own)
    assert own.open(to_consent).status_code == 200


def test_one_browser_keeps_its_last_twenty_requests(own):
    visitor = Visitor(own)
    handles = [own.open(own.link()).headers["Location"] for _ in range(20)]
    assert own.open(f"/sign-in?request={visitor.handle}").status_code == 400
    assert {own.open(handle).status_code for handle in handles} == {200}


def test_a_flood_is_not_kept(own):
    Visitor(own)
    first = own.open(own.link(), cookies={"other": "x"}).headers["Location"]
    assert first.startswith("/sign-in?")
    with requests.Session() as newcomer:
        first = newcomer.get(own.link(), allow_redirects=False).headers["Location"]
        flood(own)
        assert newcomer.get(own.box.url + first).status_code == 400


def test_a_consent_is_given_once(visitor):
    visitor.sign_in()
    assert visitor.post("/consent").status_code == 303
    assert visitor.post("/consent").status_code == 400


def test_a_consent_without_a_person_is_refused(visitor):
    assert visitor.post("/consent").status_code == 400


def test_a_consent_meant_for_another_person_is_asked_again(visitor):
    visitor.sign_in("kanzlei")
    assert visitor.post("/consent", person="demo").headers["Location"] == f"/consent?request={visitor.handle}"


def test_signing_in_changes_the_cookie_and_the_old_one_is_worth_nothing(visitor, client):
    (before,) = list(client.http.cookies)
    visitor.sign_in()
    (after,) = list(client.http.cookies)
    assert before.name == after.name
    assert before.value != after.value
    planted = requests.get(
        f"{client.box.url}/addons/public-api", cookies={before.name: before.value}, allow_redirects=False
    )
    assert planted.headers["Location"] == "/sign-in"


def test_threat_13_the_cookie_is_named_for_its_sandbox_and_kept_from_scripts_and_strangers(client):
    header = client.open("/sign-in").headers["Set-Cookie"]
    assert header.startswith(f"lexoffice_sandbox_{client.box.instance.replace('-', '')[:16]}=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in header.split(";")}
    assert "Domain" not in header


def test_signing_out_ends_the_session_on_the_server(visitor, client):
    visitor.sign_in()
    (cookie,) = list(client.http.cookies)
    visitor.post("/sign-out")
    again = requests.get(
        f"{client.box.url}/addons/public-api", cookies={cookie.name: cookie.value}, allow_redirects=False
    )
    assert again.headers["Location"] == "/sign-in"


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nowhere", "/connect/authorize", "/connect/token", "/v1/profile"])
def test_every_answer_forbids_framing_sniffing_and_storing(client, path):
    headers = client.open(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "no-store" in headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in headers


def test_the_policy_allows_exactly_the_style_of_the_page(client):
    response = client.open("/sign-in")
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["Content-Security-Policy"]
    assert 'style="' not in response.text


def all_pages(visitor: Visitor, language: str) -> list[str]:
    client, asked = visitor.client, {"Accept-Language": language}
    pages = [client.open(path, headers=asked).text for path in ("/", f"/sign-in?request={visitor.handle}", "/nowhere")]
    visitor.sign_in()
    pages.append(client.open(f"/consent?request={visitor.handle}", headers=asked).text)
    pages.append(client.open("/addons/partner", headers=asked).text)
    pages.append(client.open("/addons/public-api", headers=asked).text)
    return pages


@pytest.mark.parametrize("language", ["en", "de"])
def test_pages_have_a_language_a_title_one_heading_one_main_and_no_password_or_script(visitor, language):
    for page in all_pages(visitor, f"{language}-XX,{language};q=0.9"):
        assert f'<html lang="{language}">' in page
        assert page.count("<h1>") == page.count("<main ") == 1
        assert "Sandbox</title>" in page
        assert "password" not in re.sub(r"There are no passwords here", "", page).lower()
        assert "<script" not in page
        assert page.count('class="primary"') <= 1
        assert not re.findall(r'(?:src|href|action)="(?!/|data:,)', page)


def test_a_company_made_of_html_is_shown_literally(own):
    own.box.settings.company_name = "<img src=x onerror=alert(1)> & Co. KG"
    for page in all_pages(Visitor(own), "en"):
        assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; Co. KG" in page


def test_an_api_key_is_shown_once_and_can_be_deleted(visitor, client):
    visitor.sign_in()
    page = visitor.post("/addons/public-api", label="<b>Auswertung</b>").text
    key = re.findall(r"<code>([\w-]{43})</code>", page)[0]
    assert client.api("/v1/profile", key).json()["companyName"] == "Muster & Söhne GmbH"
    listed = client.open("/addons/public-api").text
    assert key not in listed
    assert key[-4:] in listed
    assert "&lt;b&gt;Auswertung" in listed
    assert "<b>" not in listed + page
    doomed = re.findall(r'name="delete" value="([\w-]+)"', listed)[0]
    visitor.post("/addons/public-api", delete=doomed)
    assert client.api("/v1/profile", key).status_code == 401


def test_nobody_deletes_another_persons_key(visitor, client):
    key = client.box.make_api_key("kanzlei")
    visitor.sign_in("demo")
    visitor.post("/addons/public-api", delete=client.box.api_keys.of("kanzlei")[0].id)
    assert client.api("/v1/profile", key).status_code == 200


def test_the_consent_page_says_who_asks_for_what_and_where_it_leads(visitor, client):
    visitor.sign_in()
    page = client.open(f"/consent?request={visitor.handle}").text
    for expected in (
        "lexoffice-nb",
        "Muster &amp; Söhne GmbH",
        "127.0.0.1:51234",
        "Read your invoices",
        "invoice.read",
    ):
        assert expected in page


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_consent_page_promises_what_the_notebooks_card_promises(language):
    card = {"en": en.TEXTS, "de": de.TEXTS}[language]
    described = {key.removeprefix("scope."): words for key, words in card.items() if key.startswith("scope.")}
    compared = [scope for scope in described if scope in SCOPES]
    assert {"openid", "profile", "email", "offline_access", "invoice.read", "invoices.read"} <= set(compared)
    for scope in compared:
        shown = scope_text(scope, language)
        assert shown[1:] == described[scope][1:], scope
        assert shown[0] == described[scope][0].upper(), scope


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_scope_has_words(language):
    for scope in {*SCOPES, *PARTNER_SCOPES}:
        assert scope_text(scope, language)
