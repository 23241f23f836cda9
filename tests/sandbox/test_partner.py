"""The contract for partners: confidential client with PKCE, one live pair of tokens, plural scopes, no OpenID."""

from __future__ import annotations

import base64
import json
import logging
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from urllib.parse import quote_plus

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.sandbox.person import SignInFailed, sign_in
from lexoffice_nb.sandbox.process import find_or_start, stop

ANY = "/v1/voucherlist?voucherType=any&voucherStatus=any"
ODD = ":%&+=/ 50%41 ä\"'"


def error(response: requests.Response) -> tuple[int, str]:
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, response.json()["error"]


def alive(partner, token: str) -> bool:
    return partner.api("/v1/profile", token).status_code == 200


def sign_in_in_this_browser(partner, to: str, **changes: str) -> requests.Response:
    page = partner.open(to).text
    form = {name: page.split(f'name="{name}" value="')[1].split('"')[0] for name in ("csrf_token", "request", "for")}
    return partner.http.post(
        f"{partner.box.url}/sign-in",
        data={**form, "person": "demo", **changes},
        headers={"Origin": partner.box.url},
        allow_redirects=False,
    )


# --- authorization endpoint


@pytest.mark.parametrize("state", ["st/at&e=1", "a b+c%20ü#?", "x" * 500])
def test_allowing_gives_a_code_of_128_characters_with_the_state_unchanged_and_no_issuer(partner, read, state):
    answer = read(sign_in(partner.link(state=state)))
    assert answer.keys() == {"code", "state"}
    assert answer["state"] == state
    assert len(answer["code"]) == 128


def test_refusing_gives_access_denied_with_state_and_no_issuer(partner, read):
    answer = read(sign_in(partner.link(), allow=False))
    assert (answer["error"], answer["state"]) == ("access_denied", "st/at&e=1")
    assert not answer.keys() & {"iss", "code"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "invoices.read nonsense"}, "invalid_scope"),
        ({"scope": "invoice.read"}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "read write"}, "invalid_scope"),
        ({"connection_name": "<b>"}, "invalid_request"),
        ({"connection_name": "a;b"}, "invalid_request"),
        ({"connection_name": "a\n"}, "invalid_request"),
    ],
)
def test_a_bad_request_is_told_by_redirect_with_state_and_without_issuer(partner, read, changes, expected):
    location = partner.open(partner.link(**changes)).headers["Location"]
    assert location.startswith("http://127.0.0.1:8765/callback?")
    answer = read(location)
    assert (answer["error"], answer["state"]) == (expected, "st/at&e=1")
    assert not answer.keys() & {"iss", "code"}


def test_a_connection_name_of_letters_digits_and_the_vendors_signs_is_taken(partner):
    assert partner.code(connection_name='Büro Süd/Straße 1 ?.-{}"_\\:=,()')


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "http://127.0.0.1:8766/callback",
        "http://localhost:8765/callback",
        "http://[::1]:8765/callback",
        "http://127.0.0.1:8765/callback/",
        "http://127.0.0.1:8765/callback?x=1",
        "http://127.0.0.1:8765/Callback",
        "http://127.0.0.1/lexoffice-nb/paste",
        "https://127.0.0.1:8765/callback",
    ],
)
def test_any_but_the_one_registered_redirect_uri_is_an_error_page_and_no_redirect(partner, redirect_uri):
    response = partner.open(partner.link(redirect_uri=redirect_uri))
    assert (response.status_code, "Location" in response.headers) == (400, False)
    assert "redirect URI has to match" in response.text


def test_the_registered_redirect_uri_is_the_one_of_the_settings(own_partner):
    own_partner.box.settings.partner_redirect_uri = "http://127.0.0.1:49152/callback"
    assert own_partner.open(own_partner.link()).status_code == 400
    link = own_partner.link(redirect_uri="http://127.0.0.1:49152/callback")
    assert sign_in(link).startswith("http://127.0.0.1:49152/callback?code=")


@pytest.mark.parametrize("client_id", [None, "", "lexoffice-nb", "partner-demo ", "x" * 37])
def test_an_unknown_client_is_an_error_page_and_no_redirect(partner, client_id):
    response = partner.open(partner.link(client_id=client_id))
    assert (response.status_code, "Location" in response.headers) == (400, False)
    assert "not registered here" in response.text


def test_the_partners_client_is_unknown_to_the_other_contract(client):
    assert client.open(client.link(client_id="partner-demo")).status_code == 400


@pytest.mark.parametrize("name", ["state", "scope", "code_challenge", "connection_name"])
def test_a_repeated_parameter_is_refused(partner, name):
    response = partner.open(partner.link() + f"&{name}=a&{name}=b")
    assert (response.status_code, "Location" in response.headers) == (400, False)


def test_an_authorization_request_is_a_get(partner):
    assert partner.http.post(partner.link()).status_code == 405


def test_there_is_nothing_of_openid(own_partner):
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/userinfo", "/jwks"):
        assert own_partner.open("/oauth2" + path).status_code == 404
        assert own_partner.open(f"{path}/oauth2").status_code in (403, 404)
    assert "oauth2" not in own_partner.open("/.well-known/openid-configuration").text
    assert own_partner.open(own_partner.link(prompt="none", max_age="x")).headers["Location"].startswith("/sign-in?")
    tokens = own_partner.tokens(nonce="n")
    assert "id_token" not in tokens
    assert own_partner.api("/connect/userinfo", tokens["access_token"]).status_code == 403


@pytest.mark.parametrize(("language", "all_of_them"), [("en", "Read your invoices"), ("de", "Rechnungen lesen")])
def test_a_request_without_scope_asks_for_all_of_the_clients_in_words(own_partner, language, all_of_them):
    to = own_partner.open(own_partner.link(scope=None)).headers["Location"]
    consent = sign_in_in_this_browser(own_partner, to).headers["Location"]
    page = own_partner.open(consent, headers={"Accept-Language": language}).text
    asked = re.findall(r"<li><span>([^<]+)</span><code>([^<]+)</code>", page)
    assert len(asked) == len(set(asked)) == 35
    for expected in (all_of_them, "Partner Demo", "127.0.0.1:8765", "voucherlist.read", "finance.write"):
        assert expected in page
    own_partner.box.settings.partner_legacy_scope = False
    assert own_partner.tokens(scope=None)["scope"].split() == [scope for _, scope in asked]


# --- token endpoint


def test_a_code_becomes_tokens(partner):
    response = partner.exchange(partner.code())
    tokens = response.json()
    assert response.headers["Cache-Control"] == "no-store"
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 14399, "read write")
    assert len(tokens["refresh_token"]) == 128
    assert alive(partner, tokens["access_token"])


def test_an_access_token_looks_like_a_long_jwt_with_personal_data(own_partner):
    token = own_partner.tokens()["access_token"]
    assert 4090 < len(token) <= 4096
    header, claims, signature = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["typ"] == "JWT"
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["email"] == "erika@muster-soehne.example"
    assert not alive(own_partner, f"{header}.{claims}.{signature[::-1]}")
    own_partner.box.settings.partner_access_token_length = 1500
    assert 1490 < len(own_partner.tokens()["access_token"]) <= 1500


def test_without_the_legacy_value_the_answer_names_the_granted_scopes(own_partner):
    own_partner.box.settings.partner_legacy_scope = False
    own_partner.box.settings.drop_scopes = ("voucherlist.read",)
    assert own_partner.tokens(scope="voucherlist.read contacts.read")["scope"] == "contacts.read"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "x" * 42}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:8766/callback"}, "invalid_grant"),
    ],
)
def test_a_failed_exchange_uses_the_code_up(partner, changes, expected):
    code = partner.code()
    assert error(partner.exchange(code, **changes)) == (400, expected)
    assert error(partner.exchange(code)) == (400, "invalid_grant")


def test_the_verifier_of_another_login_is_refused(partner):
    code, partner.verifier = partner.code(), "another-verifier-of-the-same-client-0123456789"
    assert error(partner.exchange(code)) == (400, "invalid_grant")


def test_a_code_lives_five_minutes_and_not_longer(own_partner):
    assert own_partner.box.settings.code_life == 300
    own_partner.box.settings.code_life = 0
    assert error(own_partner.exchange(own_partner.code())) == (400, "invalid_grant")


@pytest.mark.parametrize("grant_type", [None, "password", "client_credentials", "implicit"])
def test_there_are_two_grant_types(partner, grant_type):
    assert error(partner.exchange("x", grant_type=grant_type)) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic /w==",
        "Basic cGFydG5lci1kZW1v",
        "Bearer x",
        ("partner-demo", ""),
        ("partner-demo", "wrong"),
        ("lexoffice-nb", "wrong"),
        ("lexoffice-nb", ""),
    ],
)
def test_without_the_right_secret_the_answer_is_401_in_basic_and_nothing_is_used_up(
    partner, basic_header, authorization
):
    tokens, code = partner.tokens(), partner.code()
    partner.authorization = basic_header(*authorization) if isinstance(authorization, tuple) else authorization
    for response in (
        partner.exchange(code),
        partner.refresh(tokens["refresh_token"]),
        partner.revoke(tokens["access_token"]),
    ):
        assert error(response) == (401, "invalid_client")
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
    partner.authorization = None
    assert alive(partner, tokens["access_token"])
    assert partner.refresh(tokens["refresh_token"]).ok
    assert partner.exchange(code).ok


def test_the_secret_in_the_form_is_refused(partner):
    known, code = partner.box.partner_client, partner.code()
    assert error(partner.exchange(code, client_id=known.id, client_secret=known.secret)) == (400, "invalid_request")
    partner.authorization = ""
    assert error(partner.exchange(code, client_id=known.id, client_secret=known.secret)) == (401, "invalid_client")
    assert error(partner.exchange(code, client_id=known.id)) == (401, "invalid_client")


def test_a_client_id_in_the_form_must_be_the_one_of_the_header(partner):
    code = partner.code()
    assert error(partner.exchange(code, client_id="lexoffice-nb")) == (400, "invalid_request")
    assert partner.exchange(code, client_id="partner-demo").ok


@pytest.mark.parametrize(("raw", "encode"), [(False, quote_plus), (True, str)])
def test_credentials_come_form_encoded_or_raw_as_the_setting_says(
    tmp_path, client_of_partners, basic_header, raw, encode
):
    settings = SandboxSettings(partner_secret=ODD, partner_basic_raw=raw)
    assert "partner_secret" not in repr(settings)
    with Sandbox(data_dir=tmp_path / "data", settings=settings) as box, requests.Session() as http:
        partner = client_of_partners(box, http)
        other = str if encode is quote_plus else quote_plus
        code = partner.code()
        partner.authorization = basic_header("partner-demo", other(ODD))
        assert error(partner.exchange(code)) == (401, "invalid_client")
        partner.authorization = basic_header("partner-demo", encode(ODD))
        assert partner.exchange(code).ok


def test_token_requests_are_one_plain_form(partner):
    url, headers = f"{partner.box.url}/oauth2/token", partner.headers()
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    assert error(requests.post(url, json=form, headers=headers)) == (400, "invalid_request")
    assert error(requests.post(url + "?x=1", data=form, headers=headers)) == (400, "invalid_request")
    doubled = [*form.items(), ("refresh_token", "y")]
    assert error(requests.post(url, data=doubled, headers=headers)) == (400, "invalid_request")
    assert error(requests.get(url, headers=headers)) == (405, "invalid_request")


def test_codes_and_refresh_tokens_of_one_contract_are_nothing_to_the_other(own_partner, client_of):
    with requests.Session() as http:
        paper = client_of(own_partner.box, http)
        paper_tokens, partner_tokens = paper.tokens(), own_partner.tokens()
        for given, taken_to in ((paper, own_partner), (own_partner, paper)):
            bound = {"redirect_uri": given.registered["redirect_uri"], "code_verifier": given.verifier}
            assert error(taken_to.exchange(given.code(), **bound)) == (400, "invalid_grant")
        assert error(own_partner.refresh(paper_tokens["refresh_token"])) == (400, "invalid_grant")
        assert error(paper.refresh(partner_tokens["refresh_token"])) == (400, "invalid_grant")
        assert own_partner.revoke(paper_tokens["refresh_token"]).ok
        assert paper.revoke(partner_tokens["refresh_token"]).ok
        assert alive(paper, paper_tokens["access_token"])
        assert alive(own_partner, partner_tokens["access_token"])


# --- one live pair for each connection


def test_a_refresh_rotates_and_ends_the_former_access_token(partner):
    first = partner.tokens()
    second = partner.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (len(second["refresh_token"]), second["scope"], second["expires_in"]) == (128, "read write", 14399)
    assert alive(partner, second["access_token"])
    assert not alive(partner, first["access_token"])
    assert error(partner.refresh(first["refresh_token"])) == (400, "invalid_grant")


def test_a_new_login_ends_the_former_tokens_and_their_later_use_does_no_harm(partner):
    first = partner.tokens()
    second = partner.tokens()
    assert not alive(partner, first["access_token"])
    assert error(partner.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert alive(partner, second["access_token"])
    assert partner.refresh(second["refresh_token"]).ok


def test_another_organisation_and_the_other_contract_are_not_touched(own_partner, client_of):
    with requests.Session() as http:
        paper = client_of(own_partner.box, http)
        kept = [paper.tokens(), own_partner.tokens("kanzlei")]
        paper.tokens()
        own_partner.refresh(own_partner.tokens()["refresh_token"])
        assert [alive(own_partner, each["access_token"]) for each in kept] == [True, True]


def test_of_two_logins_at_once_the_later_exchange_has_the_live_pair(partner):
    one, two = partner.code(), partner.code()
    later, sooner = partner.exchange(two).json(), partner.exchange(one).json()
    assert not alive(partner, later["access_token"])
    assert alive(partner, sooner["access_token"])
    assert partner.refresh(sooner["refresh_token"]).ok


def test_a_renewal_that_a_login_overtook_does_not_end_the_new_tokens(partner):
    # The race without luck: the old token has been taken, and its renewal is about to be answered.
    grants, old = partner.box.grants, partner.tokens()["refresh_token"]
    family = grants.find_refresh_token(old).family
    assert grants.use_refresh_token(old, family)
    new = partner.tokens()
    grants.issue_tokens(family, "profile.read", ("a", 60), ("r", 60), only_pair=True)
    assert alive(partner, new["access_token"])
    assert not alive(partner, "a")
    assert error(partner.refresh("r")) == (400, "invalid_grant")


def test_of_eight_concurrent_exchanges_of_one_code_exactly_one_succeeds(partner):
    code = partner.code()
    with ThreadPoolExecutor(8) as threads:
        statuses = [each.status_code for each in threads.map(lambda _: partner.exchange(code), range(8))]
    assert sorted(statuses) == [200] + [400] * 7


def test_of_eight_concurrent_refreshes_exactly_one_succeeds(partner):
    tokens = partner.tokens()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: partner.refresh(tokens["refresh_token"]), range(8)))
    assert sorted(each.status_code for each in answers) == [200] + [400] * 7
    assert not alive(partner, tokens["access_token"])


def test_of_eight_concurrent_logins_one_pair_lives(partner):
    codes = [partner.code() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = [each.json() for each in threads.map(partner.exchange, codes)]
    assert sum(alive(partner, each["access_token"]) for each in answers) == 1
    assert sum(partner.refresh(each["refresh_token"]).ok for each in answers) == 1


# --- revocation endpoint


def test_revoking_a_refresh_token_also_ends_the_access_token(partner):
    tokens = partner.tokens()
    assert partner.revoke(tokens["refresh_token"]).status_code == 200
    assert not alive(partner, tokens["access_token"])
    assert error(partner.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


def test_revoking_an_access_token_ends_it_alone_and_an_unknown_one_is_no_error(partner):
    tokens = partner.tokens()
    assert partner.revoke(tokens["access_token"]).status_code == 200
    assert partner.revoke("nonsense").status_code == 200
    assert not alive(partner, tokens["access_token"])
    assert partner.refresh(tokens["refresh_token"]).ok


# --- rate limit


def test_past_its_limit_the_authorization_server_answers_429_and_uses_nothing_up(own_partner, client_of):
    tokens, code, settings = own_partner.tokens(), own_partner.code(), own_partner.box.settings
    settings.partner_rate_limit = 1
    assert error(own_partner.refresh("nonsense")) == (400, "invalid_grant")
    for response in (own_partner.refresh(tokens["refresh_token"]), own_partner.revoke(tokens["refresh_token"])):
        assert response.status_code == 429
        assert response.json() == {"message": "Rate limit exceeded"}
    page = own_partner.open(own_partner.link())
    assert (page.status_code, page.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    with pytest.raises(SignInFailed, match="429"):
        own_partner.code()
    assert alive(own_partner, tokens["access_token"])
    with requests.Session() as http:
        assert client_of(own_partner.box, http).tokens()
    settings.partner_rate_limit = None
    assert own_partner.refresh(tokens["refresh_token"]).ok
    assert own_partner.exchange(code).ok


def test_the_authorization_server_is_there_again_after_a_while(own_partner):
    own_partner.box.settings.partner_rate_limit, own_partner.box.settings.partner_rate_pause = 1, 0.3
    assert [own_partner.refresh("nonsense").status_code for _ in range(2)] == [400, 429]
    time.sleep(0.35)
    assert own_partner.refresh("nonsense").status_code == 400


# --- what the tokens open


@pytest.mark.parametrize(
    ("scope", "open_paths"),
    [
        ("profile.read", {"/v1/profile"}),
        ("voucherlist.read", {ANY}),
        ("invoices.read", {"/v1/invoices/x"}),
        ("contacts.read", {"/v1/contacts"}),
        ("invoices.write payments.read organization.read", set()),
    ],
)
def test_a_plural_scope_opens_its_own_endpoints_and_no_other(partner, scope, open_paths):
    token = partner.tokens(scope=scope)["access_token"]
    paths = ("/v1/profile", ANY, "/v1/invoices/x", "/v1/contacts")
    assert {path for path in paths if partner.api(path, token).status_code != 403} == open_paths


def test_the_person_who_signed_in_opens_their_own_books(partner):
    token = partner.tokens("kanzlei")["access_token"]
    assert partner.api("/v1/profile", token).json()["companyName"] == "Steuerkanzlei Beispiel PartG mbB"


# --- the secret, and where it is


def test_the_page_shows_the_client_to_who_is_signed_in_and_to_nobody_else(partner):
    known = partner.box.partner_client
    stranger = partner.open("/addons/partner")
    assert (stranger.status_code, stranger.headers["Location"]) == (303, "/sign-in?for=partner")
    assert known.secret not in stranger.text
    assert sign_in_in_this_browser(partner, stranger.headers["Location"]).headers["Location"] == "/addons/partner"
    page = partner.open("/addons/partner")
    expected = ["http://127.0.0.1:8765/callback", *(f"{partner.box.url}/oauth2/{e}" for e in ("authorize", "token"))]
    assert [each for each in (known.id, known.secret, *expected) if f"<code>{each}</code>" not in page.text] == []
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("purpose", ["", "keys", "nonsense", "//evil.example", "http://evil.example"])
def test_a_sign_in_leads_to_our_own_pages_only(partner, purpose):
    by_link = sign_in_in_this_browser(partner, f"/sign-in?for={quote_plus(purpose)}")
    by_form = sign_in_in_this_browser(partner, "/sign-in", **{"for": purpose})
    assert by_link.headers["Location"] == by_form.headers["Location"] == "/addons/public-api"


def test_the_secret_is_random_stays_over_a_restart_and_is_not_in_its_own_repr(tmp_path):
    with Sandbox(data_dir=tmp_path / "one") as one, Sandbox(data_dir=tmp_path / "two") as two:
        known = one.partner_client
        assert known.id == two.partner_client.id == "partner-demo"
        assert known.secret != two.partner_client.secret
        assert len(known.secret) == 43
        assert known.secret not in repr(known) + repr(one) + repr(one.settings)
    with Sandbox(data_dir=tmp_path / "one") as one:
        assert one.partner_client == known
    assert stat.S_IMODE((tmp_path / "one" / "partner-secret").stat().st_mode) == 0o600


def everything_secret(partner, read) -> list[str]:
    """Signs in, renews, fails, revokes; returns every secret that was seen on the way."""
    code = read(sign_in(partner.link()))["code"]
    first = partner.exchange(code).json()
    second = partner.refresh(first["refresh_token"]).json()
    partner.api("/v1/profile", second["access_token"])
    partner.exchange(code, grant_type=second["refresh_token"])
    partner.exchange(code, client_secret=partner.box.partner_client.secret)
    partner.revoke(second["refresh_token"])
    known = partner.box.partner_client.secret
    header = partner.headers()["Authorization"].split()[1]
    tokens = [each[name] for each in (first, second) for name in ("access_token", "refresh_token")]
    return [known, header, code, partner.verifier, *tokens]


def test_no_secret_is_in_a_file_but_its_own_nor_in_a_record_nor_logged(own_partner, read, tmp_path, caplog, capfd):
    for name in (None, "authlib", "authlib.oauth2.rfc6749.grants.authorization_code", "werkzeug"):
        caplog.set_level(logging.DEBUG, name)
    secrets = everything_secret(own_partner, read)
    files = [path for path in (tmp_path / "data").iterdir() if path.name != "partner-secret"]
    assert "grants.sqlite3" in {path.name for path in files}
    for path in files:
        assert not [secret for secret in secrets if secret.encode() in path.read_bytes()], path
    ours = [record for record in caplog.records if not record.name.startswith("urllib3")]  # that is the test itself
    said = "".join(capfd.readouterr()) + "\n".join(record.getMessage() for record in ours)
    said += "\n".join(str(asdict(record)) for record in own_partner.box.requests)
    assert not [secret for secret in secrets if secret in said]


def test_the_records_say_who_asked_for_what(own_partner, read, basic_header):
    everything_secret(own_partner, read)
    own_partner.authorization = basic_header("erika%40muster", "x")
    own_partner.refresh("x")
    found = [(each.path, each.status, each.grant_type, each.client_id) for each in own_partner.box.requests]
    assert [each for each in found if each[0].startswith("/oauth2/")] == [
        ("/oauth2/authorize", 303, None, "partner-demo"),
        ("/oauth2/token", 200, "authorization_code", "partner-demo"),
        ("/oauth2/token", 200, "refresh_token", "partner-demo"),
        ("/oauth2/token", 400, "unknown", "partner-demo"),
        ("/oauth2/token", 400, "authorization_code", "partner-demo"),
        ("/oauth2/revoke", 200, None, "partner-demo"),
        ("/oauth2/token", 401, "refresh_token", "unknown"),
    ]
    assert [each.authorised_as for each in own_partner.box.requests if each.path == "/v1/profile"] == ["demo"]


def test_the_process_of_a_user_keeps_this_contract_too(partner, tmp_path):
    folder = tmp_path / "data"
    address = find_or_start(folder=folder)
    try:
        url = partner.link().replace(partner.box.url, address.url)
        assert sign_in(url).startswith("http://127.0.0.1:8765/callback?code=")
        secret = (folder / "partner-secret").read_text()
    finally:
        stop(folder=folder)
    assert secret not in (folder / "sandbox.log").read_text()
