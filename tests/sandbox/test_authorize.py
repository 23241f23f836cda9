"""The authorization endpoint, up to the redirect."""

from __future__ import annotations

import time

import pytest

from lexoffice_nb.sandbox.person import SignInFailed, sign_in

PASTE = "http://127.0.0.1/lexoffice-nb/paste"


def test_metadata_is_the_same_at_both_addresses_and_names_what_the_server_does(client):
    documents = [
        client.open(f"/.well-known/{name}").json() for name in ("openid-configuration", "oauth-authorization-server")
    ]
    assert documents[0] == documents[1]
    found = documents[0]
    assert found["issuer"] == client.box.url
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["response_types_supported"] == ["code"]
    for name in ("authorization", "token", "revocation", "userinfo"):
        assert found[f"{name}_endpoint"].startswith(client.box.url + "/connect/")


def test_allowing_gives_a_code_with_state_and_issuer(client, read):
    answer = read(sign_in(client.link()))
    assert answer.keys() == {"code", "state", "iss"}
    assert answer["state"] == "st/at&e=1"
    assert answer["iss"] == client.box.url


def test_refusing_gives_access_denied_with_state_and_issuer(client, read):
    answer = read(sign_in(client.link(), allow=False))
    assert answer["error"] == "access_denied"
    assert answer["error_description"] == "The person refused."
    assert (answer["state"], answer["iss"]) == ("st/at&e=1", client.box.url)
    assert "code" not in answer


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 42 + "~"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": 'ä"\n\\'}, "unsupported_response_type"),
        ({"scope": 'ä"\n\\'}, "invalid_scope"),
        ({"scope": "openid nonsense"}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "https://example.com"}, "request_uri_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
    ],
)
def test_a_bad_request_of_a_known_client_is_told_by_redirect_with_state_and_issuer(client, read, changes, error):
    response = client.open(client.link(**changes))
    assert response.status_code in (302, 303)
    assert response.headers["Location"].startswith("http://127.0.0.1:51234/callback?")
    answer = read(response.headers["Location"])
    assert answer["error"] == error
    assert (answer["state"], answer["iss"]) == ("st/at&e=1", client.box.url)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://[::1]:8000/callback",
        "http://localhost:8000/callback",
        "http://127.0.0.1/callback",
        PASTE,
    ],
)
def test_loopback_redirect_uris_are_accepted_on_any_port(client, redirect_uri):
    callback = sign_in(client.link(redirect_uri=redirect_uri))
    assert callback.startswith(redirect_uri + "?code=")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "https://127.0.0.1:8000/callback",
        "http://127.0.0.1:8000/callback/",
        "http://127.0.0.1:8000/Callback",
        "http://127.0.0.1:8000/callback?x=1",
        "http://127.0.0.1:8000/callback#x",
        "http://127.0.0.1:8000/callback\n",
        "http://127.0.0.1:8000/a/../callback",
        'http://127.0.0.1:8000/"ä\\',
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.2:8000/callback",
        "http://127.0.0.1.example.com:8000/callback",
        "http://localhost.example.com:8000/callback",
        "http://localhost:80@attacker.example/callback",
        "http://user@127.0.0.1:8000/callback",
        "http://0.0.0.0:8000/callback",
        "http://127.0.0.1:8000/lexoffice-nb/paste",
        PASTE + "/",
        "javascript:alert(1)",
    ],
)
def test_any_other_redirect_uri_is_an_error_page_and_no_redirect(client, redirect_uri):
    response = client.open(client.link(redirect_uri=redirect_uri))
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("client_id", [None, "", "someone-else", "lexoffice-nb ", 'ä"\n\\'])
def test_an_unknown_client_is_an_error_page_and_no_redirect(client, client_id):
    response = client.open(client.link(client_id=client_id))
    assert (response.status_code, "Location" in response.headers) == (400, False)


@pytest.mark.parametrize("name", ["state", "redirect_uri", "client_id", "code_challenge", "nonce", "prompt"])
def test_a_repeated_parameter_is_refused(client, name):
    response = client.open(client.link() + f"&{name}=a&{name}=b")
    assert (response.status_code, "Location" in response.headers) == (400, False)


def test_prompt_none_needs_a_login_and_then_still_a_consent(client, read):
    def error() -> str:
        return read(client.open(client.link(prompt="none")).headers["Location"])["error"]

    assert error() == "login_required"
    sign_in_in_this_browser(client)
    assert error() == "consent_required"


def test_a_signed_in_browser_goes_straight_to_consent(client):
    sign_in_in_this_browser(client)
    assert client.open(client.link()).headers["Location"].startswith("/consent?")


@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}])
def test_a_wanted_fresh_login_cannot_be_skipped_by_going_to_the_consent_page(client, changes):
    sign_in_in_this_browser(client)
    time.sleep(0.01)
    to_login = client.open(client.link(**changes)).headers["Location"]
    assert to_login.startswith("/sign-in?")
    assert client.open(to_login.replace("/sign-in", "/consent")).headers["Location"] == to_login
    page = client.open(to_login)
    after = client.http.post(
        f"{client.box.url}/sign-in",
        data={"csrf_token": hidden(page.text, "csrf_token"), "request": to_login.split("=")[1], "person": "demo"},
        headers={"Origin": client.box.url},
        allow_redirects=False,
    )
    assert client.open(after.headers["Location"]).status_code == 200


def test_max_age_that_is_not_over_needs_no_new_login(client):
    sign_in_in_this_browser(client)
    assert client.open(client.link(max_age="3600")).headers["Location"].startswith("/consent?")


def test_a_request_without_scope_gets_the_default(client):
    assert client.tokens(scope=None)["scope"] == "openid profile invoice.read"


def test_the_scripted_person_says_where_it_got_stuck(client):
    with pytest.raises(SignInFailed, match="/sign-in"):
        sign_in(client.link(), person="nobody")


def hidden(page: str, name: str) -> str:
    return page.split(f'name="{name}" value="')[1].split('"')[0]


def sign_in_in_this_browser(client) -> None:
    page = client.open("/sign-in")
    form = {"csrf_token": hidden(page.text, "csrf_token"), "request": "", "person": "demo"}
    client.http.post(f"{client.box.url}/sign-in", data=form, headers={"Origin": client.box.url}, allow_redirects=False)
