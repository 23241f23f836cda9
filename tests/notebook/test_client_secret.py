"""A confidential client: where its secret comes from, where it goes, and where it never goes."""

from __future__ import annotations

import base64
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

import lexoffice_nb
from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.notebook import sign_in
from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_widget import LoginWidget
from lexoffice_nb.notebook.sign_in_request import GivenSecrets
from lexoffice_nb.notebook.terminal import sign_in_terminal
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in as allow
from tests.notebook.conftest import browse, eventually, our_threads
from tests.oauth import misbehaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.notebook.terminal_reader import Wake
    from lexoffice_nb.sandbox import Sandbox

NAME = "lexware-here"
SCOPES = ("profile.read", "voucherlist.read", "invoices.read", "credit-notes.read", "payments.read", "contacts.read")
WRONG = "not-the-secret-of-this-client"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def own_providers(homes: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Writes entries of the person's own."""
    file = Path(homes["XDG_CONFIG_HOME"], "lexoffice_nb", "providers.toml")

    def write(name: str, **values: object) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))

    yield write
    file.unlink(missing_ok=True)


@pytest.fixture
def partner(box: Sandbox, own_providers: Callable[..., None]) -> Sandbox:
    """The sandbox by the vendor's contract for partners."""
    box.settings.partner_redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    own_providers(
        NAME,
        based_on="lexware",
        **{f"{end}_endpoint": f"{box.url}/oauth2/{path}" for end, path in ENDS.items()},
        api_base=box.url,
        client_id=box.partner_client.id,
        redirect_uri=box.settings.partner_redirect_uri,
    )
    return box


ENDS = {"authorization": "authorize", "token": "token", "revocation": "revoke"}


@pytest.fixture
def seen(every_log: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the views are told; nothing of it, and no log, may show a secret (the secret is the list's first)."""
    shown: list[str] = []
    yield shown
    secret, *rest = shown
    logged = [record.getMessage() for record in every_log.get_records("call")]
    everything = "\n".join([*rest, *logged])
    basic = base64.b64encode(f"partner-demo:{quote_plus(secret)}".encode()).decode()
    assert len(rest) >= 3
    assert [line for line in logged if line.startswith("sign-in")]
    assert [form for form in (secret, quote_plus(secret), basic) if form in everything] == []


@pytest.fixture
def asking(new_flow: Callable[..., LoginFlow], partner: Sandbox) -> LoginFlow:
    """A sign-in that asks for the client secret."""
    flow = new_flow(provider=NAME)
    flow.prepare()
    assert (flow.state, flow.asks) == ("waiting", "client_secret")
    return flow


def watch(flow: LoginFlow, shown: list[str], secret: str) -> None:
    shown.append(secret)

    def look(_: object = None) -> None:
        shown.append(json.dumps(card(flow)))
        shown.append(repr((flow.trait_values(), flow, flow.session, flow.provider, flow._secrets, flow._attempt)))

    flow.observe(look, names="version")
    look()


def settle() -> None:
    eventually(lambda: "lexoffice-nb sign-in" not in our_threads())


def code_of(flow: LoginFlow) -> str | None:
    return flow.problem.code if flow.problem else None


def say(widget: LoginWidget, content: Any) -> None:
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


# --- from the environment ---------------------------------------------------------------------------------------------


def test_with_the_secret_of_the_environment_the_whole_sign_in_works(
    loaded: InteractiveShell, partner: Sandbox, monkeypatch: pytest.MonkeyPatch, seen: list[str]
) -> None:
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    monkeypatch.setenv("LEXOFFICE_CLIENT_SECRET", partner.partner_client.secret)
    monkeypatch.setenv("LEXOFFICE_PROVIDER", NAME)
    before = len(partner.requests)
    loaded.run_line_magic("lexoffice_login", f"--provider {NAME}")
    flow = sign_in._sign_ins["lexoffice"].flow
    watch(flow, seen, partner.partner_client.secret)
    eventually(lambda: flow.link)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(flow.link).query).items()}
    assert (asked["scope"], asked["code_challenge_method"]) == (" ".join(SCOPES), "S256")
    assert asked["redirect_uri"] == partner.settings.partner_redirect_uri
    assert "nonce" not in asked, "there is no ID token"
    assert browse(allow(flow.link))[0] == 200
    session = loaded.user_ns["lexoffice"]
    assert session.get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"
    assert session.account.company == "Muster & Söhne GmbH"

    first = session.tokens.access_token
    partner.settings.partner_access_token_life = 1
    session._source.renew(first)
    assert session.tokens.access_token != first
    assert session.get("/v1/profile").status_code == 200

    loaded.run_line_magic("lexoffice_logout", "")
    records = [r for r in partner.requests[before:] if r.path.startswith("/oauth2/")]
    assert [(r.grant_type, r.status) for r in records if r.path.endswith("/token")] == [
        ("authorization_code", 200),
        ("refresh_token", 200),
    ]
    assert {r.status for r in records if r.path.endswith("/revoke")} == {200}
    assert [r.path for r in records if r.path.endswith("/revoke")]


def test_scopes_that_the_server_calls_read_write_are_not_reported_as_missing(
    new_flow: Callable[..., LoginFlow], partner: Sandbox
) -> None:
    assert partner.settings.partner_legacy_scope
    flow = new_flow(GivenSecrets(client_secret=Secret(partner.partner_client.secret)), provider=NAME)
    flow.prepare()
    flow.answer(Secret(allow(flow.link)))
    assert flow.state == "signed_in"
    assert flow.session.tokens.scope == ("read", "write")
    assert not flow.session.receipt().missing()
    assert not [note for note in card(flow)["notes"] if "Not granted" in note]


def test_a_code_that_the_server_refused_is_spent_and_a_new_link_follows(
    new_flow: Callable[..., LoginFlow], partner: Sandbox
) -> None:
    flow = new_flow(GivenSecrets(client_secret=Secret(partner.partner_client.secret)), provider=NAME)
    flow.prepare()
    link = flow.link
    callback = allow(link)
    code = parse_qs(urlsplit(callback).query)["code"][0]
    partner.grants.use_code(code, partner.partner_client.id)
    flow.answer(Secret(callback))
    assert (flow.state, code_of(flow)) == ("failed", "invalid_grant")
    assert flow.link not in ("", link)
    flow.answer(Secret(allow(flow.link)))
    assert flow.state == "signed_in"


@pytest.mark.parametrize("secret", ["p&= /%+ü".replace("ü", "~"), "a:b", "%41"])
def test_a_secret_of_unusual_characters_comes_as_it_is(
    new_flow: Callable[..., LoginFlow], own_providers: Callable[..., None], secret: str
) -> None:
    """RFC 6749 section 2.3.1, with S256, and with nothing of the secret in the form or in an address."""
    with misbehaving.Provider() as server:
        own_providers("bank", issuer=server.issuer, client_id="me", client_authentication="client_secret_basic")
        server.claims = {"aud": "me"}
        flow = new_flow(GivenSecrets(client_secret=Secret(secret)), provider="bank", scopes=("openid",))
        flow.prepare()
        flow.answer(Secret(server.authorize(flow.link)))
        assert flow.state == "signed_in", flow.problem
        [sent] = server.forms
        [header] = [h["Authorization"] for h in server.headers if h.get("Authorization", "").startswith("Basic ")]
        assert base64.b64decode(header[6:]).decode() == f"me:{quote_plus(secret)}"
        assert sorted(sent) == ["code", "code_verifier", "grant_type", "redirect_uri"]
        assert not [target for target in server.targets if quote_plus(secret) in target]


def test_the_terminal_takes_it_from_the_environment_and_asks_for_nothing_else(
    new_flow: Callable[..., LoginFlow], partner: Sandbox
) -> None:
    flow, prompts = new_flow(GivenSecrets(client_secret=Secret(partner.partner_client.secret)), provider=NAME), []

    def read(prompt: str, _: Wake) -> Secret | None:
        prompts.append(prompt)
        return Secret(allow(flow.link))

    assert sign_in_terminal(flow, read).signed_in
    assert len(prompts) == 1


# --- from the card ----------------------------------------------------------------------------------------------------


def test_without_one_the_card_asks_for_it_in_a_box_of_its_own(asking: LoginFlow) -> None:
    drawn = card(asking)
    assert drawn["link"] is None
    assert (drawn["box"]["kind"], drawn["box"]["primary"]) == ("client_secret", True)
    assert (drawn["actions"], drawn["problem"]) == ([], None)


def test_the_secret_from_the_card_signs_in_and_is_shown_nowhere(
    asking: LoginFlow, partner: Sandbox, seen: list[str]
) -> None:
    watch(asking, seen, partner.partner_client.secret)
    widget = LoginWidget(asking)
    widget.comm.publish_msg = lambda kind, **content: seen.append(json.dumps(content, default=str))  # type: ignore[union-attr]
    try:
        say(widget, {"kind": "callback", "text": partner.partner_client.secret})  # the box of another moment
        settle()
        assert asking.asks == "client_secret"
        say(widget, {"kind": "client_secret", "text": f"  {partner.partner_client.secret}\n"})
        eventually(lambda: asking.link)
        seen.append(repr(widget) + json.dumps(widget.get_state(), default=str))
        assert (asking.asks, asking.listening, asking.problem) == ("callback", True, None)
        assert card(asking)["box"]["kind"] == "callback"
        assert browse(allow(asking.link))[0] == 200
        assert asking.state == "signed_in"
        assert asking.session.get("/v1/profile").status_code == 200
    finally:
        widget.close()


def test_a_wrong_secret_is_named_and_asked_for_again(asking: LoginFlow, partner: Sandbox, seen: list[str]) -> None:
    watch(asking, seen, WRONG)
    asking.take_client_secret(Secret(WRONG))
    status, page = browse(allow(asking.link))
    assert status == 400
    assert WRONG not in page
    assert (asking.state, asking.asks, code_of(asking)) == ("waiting", "client_secret", "token_invalid_client")
    drawn = card(asking)
    assert (drawn["link"], drawn["box"]["kind"]) == (None, "client_secret")
    asking.take_client_secret(Secret(partner.partner_client.secret))
    assert (asking.asks, asking.problem) == ("callback", None)
    assert browse(allow(asking.link))[0] == 200
    assert asking.state == "signed_in"


def test_a_wrong_secret_of_the_environment_is_asked_for_as_well(
    new_flow: Callable[..., LoginFlow], partner: Sandbox
) -> None:
    flow = new_flow(GivenSecrets(client_secret=Secret(WRONG)), provider=NAME)
    flow.prepare()
    flow.answer(Secret(allow(flow.link)))
    assert (flow.state, flow.asks, code_of(flow)) == ("waiting", "client_secret", "token_invalid_client")
    flow.take_client_secret(Secret(partner.partner_client.secret))
    flow.answer(Secret(allow(flow.link)))
    assert flow.state == "signed_in"


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("", "client_secret_empty"),
        (" \r\n", "client_secret_empty"),
        ("two\nlines", "client_secret_malformed"),
        ("a\tb", "client_secret_malformed"),
        ("geheimü", "client_secret_malformed"),
        ("x" * 1025, "client_secret_malformed"),
    ],
)
def test_what_is_no_secret_is_named_and_nothing_is_sent(
    asking: LoginFlow, partner: Sandbox, pasted: str, code: str
) -> None:
    before = len(partner.requests)
    asking.take_client_secret(Secret(pasted))
    assert (asking.state, asking.asks, code_of(asking), asking.link) == ("waiting", "client_secret", code, "")
    assert len(partner.requests) == before
    asking.take_client_secret(Secret(partner.partner_client.secret))
    assert asking.asks == "callback"


def test_a_secret_is_taken_only_where_it_is_asked_for(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow()
    flow.prepare()
    link = flow.link
    flow.take_client_secret(Secret("x"))
    assert (flow.link, flow.problem, flow._secrets) == (link, None, GivenSecrets())


def test_the_terminal_asks_for_it_and_says_when_it_was_wrong(
    new_flow: Callable[..., LoginFlow], partner: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, prompts = new_flow(provider=NAME), []
    given = iter(["", WRONG, "CALLBACK", partner.partner_client.secret, "CALLBACK"])

    def read(prompt: str, _: Wake) -> Secret | None:
        prompts.append(prompt)
        line = next(given)
        return Secret(allow(flow.link) if line == "CALLBACK" else line)

    assert sign_in_terminal(flow, read).signed_in
    assert ["client secret" in prompt for prompt in prompts] == [True, True, False, True, False]
    shown = capsys.readouterr().out
    assert "Nothing was pasted" in shown
    assert "its secret is wrong" in shown
    assert WRONG not in shown
    assert partner.partner_client.secret not in shown


@pytest.mark.usefixtures("partner")
def test_a_tab_from_before_still_works_while_the_cell_asks_for_the_secret(
    loaded: InteractiveShell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret from the card is forgotten with its sign-in; the older link keeps the one that it was made with."""
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    lexoffice_nb.login(provider=NAME)
    first = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: first.asks == "client_secret")
    first.take_client_secret(Secret(box.partner_client.secret))
    callback = allow(first.link)
    lexoffice_nb.login(provider=NAME, scopes=("profile.read",))
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting")
    assert flow.asks == "client_secret"
    assert browse(callback)[0] == 200
    assert (flow.state, flow.session.signed_in) == ("signed_in", True)
    eventually(lambda: not our_threads(), 4)


# --- from the system's keyring ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="gnome-keyring is Linux's")
def test_the_secret_of_the_keyring_signs_in_and_a_locked_one_is_named(
    loaded: InteractiveShell, partner: Sandbox, monkeypatch: pytest.MonkeyPatch, seen: list[str]
) -> None:
    from tests.keyring_session import KeyringSession, forget_the_choice

    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    forget_the_choice()
    for name in ("PYTHON_KEYRING_BACKEND", "KEYRING_PROPERTY_SCHEME", "KEYRING_PROPERTY_PREFERRED_COLLECTION"):
        monkeypatch.delenv(name, raising=False)
    with KeyringSession() as private:
        private.store(f"lexoffice_nb/{NAME}", partner.partner_client.id, partner.partner_client.secret)
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private.environment["DBUS_SESSION_BUS_ADDRESS"])
        lexoffice_nb.login(provider=NAME)
        flow = sign_in._sign_ins["lexoffice"].flow
        watch(flow, seen, partner.partner_client.secret)
        eventually(lambda: flow.state == "waiting")
        assert (flow.asks, flow.problem) == ("callback", None)
        assert browse(allow(flow.link))[0] == 200
        assert flow.state == "signed_in"

        private.lock()
        lexoffice_nb.login("another", provider=NAME)
        locked = sign_in._sign_ins["another"].flow
        eventually(lambda: locked.state == "waiting")
        assert (locked.asks, code_of(locked), locked.link) == ("client_secret", "keyring_locked", "")
        locked.take_client_secret(Secret(partner.partner_client.secret))
        assert (locked.asks, locked.problem) == ("callback", None)


# --- where it never goes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [None, "lexware", "sandbox"])
def test_the_secret_of_the_environment_is_for_the_provider_that_the_environment_names(
    loaded: InteractiveShell, partner: Sandbox, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    monkeypatch.setenv("LEXOFFICE_CLIENT_SECRET", partner.partner_client.secret)
    monkeypatch.setenv("LEXOFFICE_API_KEY", "a-key-for-another-place")
    if named:
        monkeypatch.setenv("LEXOFFICE_PROVIDER", named)
    loaded.run_line_magic("lexoffice_login", f"--provider {NAME}")
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting")
    assert flow.asks == "client_secret"
    assert (flow._secrets.client_secret, flow._secrets.api_key) == (None, None)


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
def test_an_issuer_that_the_notebook_names_never_gets_the_secret_of_the_environment(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch, methods: list[str] | None
) -> None:
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    monkeypatch.setenv("LEXOFFICE_CLIENT_SECRET", WRONG)
    metadata = {} if methods is None else {"token_endpoint_auth_methods_supported": methods}
    with misbehaving.Provider(metadata=metadata) as server:
        server.metadata = {**server.metadata, "revocation_endpoint": f"{server.origin}/revoke"}
        loaded.run_line_magic("lexoffice_login", f"--issuer {server.issuer} --client-id {misbehaving.CLIENT_ID}")
        flow = sign_in._sign_ins["lexoffice"].flow
        eventually(lambda: flow.link)
        flow.answer(Secret(server.authorize(flow.link)))
        assert flow.state == "signed_in", flow.problem
        flow.session._source.renew(flow.session.tokens.access_token)
        flow.session.logout()
        assert len(server.forms) == 2
        assert server.revocations
        sent = json.dumps([server.forms, server.revocations, server.headers, server.targets])
        assert WRONG not in sent
        assert "client_secret" not in sent
        assert "Basic" not in sent


def test_a_public_client_of_the_persons_own_never_sends_it(
    new_flow: Callable[..., LoginFlow], own_providers: Callable[..., None]
) -> None:
    with misbehaving.Provider() as server:
        own_providers("bank", issuer=server.issuer, client_id=misbehaving.CLIENT_ID)
        flow = new_flow(GivenSecrets(client_secret=Secret(WRONG)), provider="bank", scopes=("openid",))
        flow.prepare()
        flow.answer(Secret(server.authorize(flow.link)))
        assert flow.state == "signed_in", flow.problem
        assert len(server.forms) == 1
        sent = json.dumps([server.forms, server.headers, server.targets])
        assert [word for word in (WRONG, "client_secret", "Basic") if word in sent] == []


@pytest.mark.parametrize("option", ["--client-secret x", "--client-secret=x", "--secret x"])
def test_on_the_line_of_a_cell_it_is_refused_with_the_reason(
    loaded: InteractiveShell, partner: Sandbox, option: str
) -> None:
    before = len(partner.requests)
    with pytest.raises(LexofficeError) as caught:
        loaded.run_line_magic("lexoffice_login", f"--provider {NAME} {option}")
    assert caught.value.code == "secret_in_cell"
    assert "LEXOFFICE_CLIENT_SECRET" in str(caught.value)
    assert len(partner.requests) == before


@pytest.mark.usefixtures("partner")
def test_an_entry_based_on_a_shipped_one_has_its_habits_and_is_the_persons_own() -> None:
    provider = Provider.named(NAME)
    assert (provider.source, provider.client_authentication, provider.openid) == ("user", "client_secret_basic", False)
    assert provider.scopes == SCOPES
