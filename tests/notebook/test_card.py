"""The card as data, in every state."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.sign_in_request import SignInRequest
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox import Sandbox

PARTS = {
    *("kind", "version", "lang", "state", "title", "status", "rows", "scopes"),
    *("link", "box", "remember", "problem", "notes", "actions", "texts"),
}


@pytest.fixture
def flow(new_flow: Callable[..., LoginFlow]) -> LoginFlow:
    flow = new_flow()
    flow.prepare()
    return flow


def values_of(drawn: dict) -> str:
    return " | ".join(f"{row['label']}: {row['value']}" for row in drawn["rows"])


def test_before_the_provider_is_found_there_is_nothing_to_click(new_flow: Callable[..., LoginFlow]) -> None:
    drawn = card(new_flow())
    assert set(drawn) == PARTS
    assert (drawn["state"], drawn["link"], drawn["box"], drawn["actions"]) == ("ready", None, None, [])
    assert "sandbox" in drawn["status"]["text"]


def test_while_it_waits_it_says_who_asks_whom_for_what_and_where_the_link_leads(flow: LoginFlow) -> None:
    drawn = card(flow)
    assert drawn["state"] == "waiting"
    assert drawn["link"]["href"] == flow.link
    assert values_of(drawn) == "Asked by: this notebook (lexoffice-nb) | Provider: Sandbox on this machine"
    assert [item["mark"] for item in drawn["scopes"]["items"]] == ["asked"] * 4
    assert drawn["box"]["kind"] == "callback"
    assert not drawn["box"]["primary"]
    assert "host" not in drawn["link"]  # the view reads it off the very link that opens


def test_a_client_of_any_length_is_cut_and_harmless(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(client_id="see https://evil.example \u202e" + "x" * 5000)
    flow.prepare()
    asked_by = card(flow)["rows"][0]["value"]
    assert asked_by.startswith("this notebook (see https[:]//evil.example x")
    assert len(asked_by) < 80


def test_without_a_client_nothing_empty_is_named(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(provider="lexware")
    flow.prepare()
    assert "Asked by: this notebook |" in values_of(card(flow))


def test_an_issuer_is_never_called_sandbox(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    """Neither before it is found, nor when it cannot be, nor by a host of that name."""
    flow = new_flow(issuer="http://127.0.0.1:1", client_id="x")
    assert card(flow)["title"] == "Sign in – 127.0.0.1"
    flow.prepare()
    assert (flow.state, card(flow)["title"]) == ("failed", "Sign in – 127.0.0.1")
    found = new_flow(issuer=box.url, client_id="lexoffice-nb")
    found.prepare()
    found.provider = replace(found.provider, name="sandbox", title="sandbox")
    assert card(found)["title"] == "Sign in – sandbox (chosen by this notebook)"


def test_a_shipped_provider_has_its_title_before_it_is_found(new_flow: Callable[..., LoginFlow]) -> None:
    assert card(new_flow(provider="lexware"))["title"] == "Sign in – Lexware Office (formerly lexoffice)"
    assert card(new_flow())["title"] == "Sign in – Sandbox on this machine"


def test_a_way_back_that_leads_to_another_machine_is_named(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(redirect_uri="https://hub.example/callback")
    flow.prepare()
    assert "Sends you back to: hub.example" in values_of(card(flow))


def test_the_host_that_the_code_goes_to_is_named_where_the_provider_says_so(flow: LoginFlow) -> None:
    class Elsewhere(type(flow.provider)):  # type: ignore[misc]
        code_goes_to = "token.elsewhere.example"

    flow.provider = Elsewhere(**vars(flow.provider))
    assert "The code goes to: token.elsewhere.example" in values_of(card(flow))


def test_it_names_the_variable_and_once_signed_in_how_to_use_it(box: Sandbox) -> None:
    flow = LoginFlow(SignInRequest(), variable="tax")
    flow.prepare()
    assert "Variable: tax" in values_of(card(flow))
    flow.answer(Secret(sign_in(flow.link)))
    drawn = card(flow)
    assert "Variable: tax" in values_of(drawn)
    assert drawn["notes"] == ['Use it as tax, for example tax.get("/v1/profile")']
    flow.session.logout()


def test_where_nothing_listens_the_box_comes_first_and_says_why(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(loopback=False)
    flow.prepare()
    box = card(flow)["box"]
    assert box["primary"]
    assert "That is as it should be" in box["hint"]
    assert box["placeholder"] == "http://127.0.0.1:1/callback?code=…"


def test_a_provider_that_this_notebook_chose_is_labelled(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    flow = new_flow(issuer=box.url, client_id="lexoffice-nb")
    flow.prepare()
    assert "Provider: 127.0.0.1 (chosen by this notebook)" in values_of(card(flow))


def test_signed_in_it_is_the_receipt_and_has_no_link_and_no_box(flow: LoginFlow) -> None:
    flow.answer(Secret(sign_in(flow.link)))
    drawn = card(flow)
    assert (drawn["state"], drawn["link"], drawn["box"], drawn["actions"]) == ("signed_in", None, None, [])
    assert "Organisation: Muster & Söhne GmbH" in values_of(drawn)
    assert {item["mark"] for item in drawn["scopes"]["items"]} == {"granted"}


def test_a_scope_that_was_not_granted_is_marked(flow: LoginFlow, box: Sandbox) -> None:
    box.settings.drop_scopes = ("contact.read",)
    flow.answer(Secret(sign_in(flow.link)))
    marks = {item["name"]: item["mark"] for item in card(flow)["scopes"]["items"]}
    assert marks == {"openid": "granted", "profile": "granted", "invoice.read": "granted", "contact.read": "refused"}


def test_after_the_log_out_it_does_not_say_that_anybody_is_signed_in(flow: LoginFlow) -> None:
    flow.answer(Secret(sign_in(flow.link)))
    flow.session.logout()
    drawn = card(flow)
    assert (drawn["state"], drawn["status"]["text"], drawn["rows"]) == ("closed", "Signed out", [])
    assert (drawn["status"]["icon"], drawn["notes"]) == ("info", ["Run the cell again to sign in."])


def test_a_refused_answer_is_explained_and_the_new_link_stands_there(flow: LoginFlow) -> None:
    flow.answer(Secret(sign_in(flow.link, allow=False)))
    drawn = card(flow)
    assert (drawn["state"], drawn["actions"]) == ("failed", [])
    assert drawn["link"]["href"] == flow.link
    assert "refused" in drawn["problem"]["what"]
    assert drawn["problem"]["next"]


def test_a_failure_without_a_link_offers_to_try_again(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow(provider="nobody")
    flow.prepare()
    drawn = card(flow)
    assert [action["name"] for action in drawn["actions"]] == ["again"]
    assert (drawn["link"], drawn["box"]) == (None, None)


def test_a_closed_sign_in_has_no_link_and_no_box(flow: LoginFlow) -> None:
    flow.close()
    drawn = card(flow)
    assert (drawn["state"], drawn["link"], drawn["box"], drawn["problem"]) == ("closed", None, None, None)
    assert (drawn["status"]["icon"], drawn["notes"]) == ("info", ["Run the cell again to sign in."])


def test_for_an_api_key_the_link_leads_to_the_key_page(new_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    flow = new_flow(api_key=True)
    flow.prepare()
    drawn = card(flow)
    assert drawn["link"]["href"] == f"{box.url}/addons/public-api"
    assert (drawn["box"]["kind"], drawn["box"]["primary"], drawn["scopes"]) == ("key", True, None)
    assert "It may: everything that the key allows" in values_of(drawn)
    flow.try_key(Secret("wrong"))
    drawn = card(flow)
    assert drawn["problem"]["what"].startswith("Sandbox on this machine does not know this API key")
    assert drawn["link"]
    assert drawn["box"]


def test_a_proxy_and_a_bundle_of_certificates_are_named_before_the_sign_in(
    new_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = new_flow(provider="lexware", api_key=True)
    flow.prepare()
    monkeypatch.setenv("HTTPS_PROXY", "http://name:word@proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/company.pem")
    notes = " ".join(card(flow)["notes"])
    assert "proxy.example:3128" in notes
    assert "word" not in notes
    assert "/etc/ssl/company.pem" in notes


def test_a_hostile_company_name_stays_text(flow: LoginFlow, box: Sandbox) -> None:
    box.settings.company_name = "<img src=x onerror=alert(1)> https://evil.example \x1b[31m\u202e" + "x" * 500
    flow.answer(Secret(sign_in(flow.link)))
    name = next(row["value"] for row in card(flow)["rows"] if row["strong"])
    assert name.isprintable()
    assert "://" not in name
    assert len(name) <= 200


@pytest.mark.parametrize("end", ["waiting", "signed_in", "failed"])
def test_it_is_plain_json_in_both_languages(flow: LoginFlow, end: str) -> None:
    if end != "waiting":
        flow.answer(Secret(sign_in(flow.link, allow=end == "signed_in")))
    assert flow.state == end
    english = json.dumps(card(flow))
    use_language("de")
    german = json.dumps(card(flow))
    assert json.loads(german)["lang"] == "de"
    assert json.loads(german)["status"]["text"] != json.loads(english)["status"]["text"]


def test_it_holds_no_secret_at_any_time(new_flow: Callable[..., LoginFlow]) -> None:
    flow, seen = new_flow(), []
    flow.observe(lambda _: seen.append(json.dumps(card(flow))), names="version")
    flow.prepare()
    verifier = flow._attempt._attempts[-1].verifier.reveal()  # type: ignore[union-attr]
    callback = sign_in(flow.link)
    code = callback.partition("code=")[2].partition("&")[0]
    flow.answer(Secret(callback))
    tokens = flow.session.tokens
    secrets = [verifier, code, *(t.reveal() for t in (tokens.access_token, tokens.refresh_token, tokens.id_token) if t)]
    assert len(secrets) == 5
    assert len(seen) >= 3
    assert not [secret for secret in secrets if secret in " ".join(seen)]
