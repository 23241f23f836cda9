"""The person's own providers.toml: what docs/add_a_provider.md promises about the file and about each key."""

from __future__ import annotations

import os
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import DiscoveryError, LoginError
from lexoffice_nb.oauth import metadata, presets
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from tests.oauth.misbehaving import CLIENT_ID, OPENID_DOCUMENT, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import parameters_of, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.oauth.conftest import StartProvider

BANK = {
    "authorization_endpoint": "https://login.bank.example/authorize",
    "token_endpoint": "https://login.bank.example/token",
    "api_base": "https://api.bank.example",
}
PLANTED = "hunter2-planted-in-the-file"
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the person's own file belongs; it is not there yet."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: folder)
    return folder / "providers.toml"


@pytest.fixture
def write(own_file: Path) -> Callable[..., None]:
    """Writes one entry, or a text, into the person's own file."""

    def write_one(text: str = "", *, name: str = "my-bank", **values: Any) -> None:
        lines = [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
        own_file.write_text(text or "\n".join(lines), "utf-8")
        own_file.chmod(0o600)

    return write_one


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f"'''{value}'''" if isinstance(value, str) else str(value)


def refused_as(code: str, name: str = "my-bank") -> LoginError:
    return refused(DiscoveryError, "discovery", code, lambda: Provider.named(name))


# --- an entry ---


def test_without_a_file_there_are_the_shipped_ones(own_file: Path) -> None:
    assert not own_file.exists()
    assert presets.names() == presets.shipped() == ("sandbox", "lexware", "paper")
    assert presets.preset("lexware").source == "shipped"


def test_an_entry_without_an_issuer_is_used_as_it_is(write: Callable[..., None]) -> None:
    """Its hosts do not exist, so a single request would end in an error."""
    write(**BANK, title="My bank", client_id="me", scopes=["accounts.read"])
    found = Provider.named("my-bank")
    assert presets.names()[3:] == ("my-bank",)
    assert {name: getattr(found, name) for name in BANK} == BANK
    assert (found.name, found.title, found.client_id) == ("my-bank", "My bank", "me")
    assert (found.source, found.shipped, found.openid, found.issuer) == ("user", False, False, None)
    assert (found.client_authentication, found.client_secret_encoding) == ("none", "form")


GOOD: dict[str, Any] = {
    "title": "My bank",
    "based_on": "lexware",
    "issuer": "https://issuer.example",
    "metadata_url": "https://issuer.example/odd",
    "authorization_endpoint": "https://a.example/authorize?tenant=7",
    "token_endpoint": "https://a.example/token",
    "revocation_endpoint": "https://a.example/revoke",
    "userinfo_endpoint": "https://a.example/userinfo",
    "end_session_endpoint": "https://a.example/out",
    "jwks_uri": "https://a.example/jwks",
    "api_base": "https://intranet/api",
    "key_page": "https://a.example/keys",
    "client_id": "me",
    "client_authentication": "client_secret_post",
    "client_secret_encoding": "raw",
    "openid": False,
    "scopes": ["a", "b:c"],
    "redirect_uri": "http://localhost:8765/callback",
    "resource": ["https://api.example"],
    "request_interval": 0.25,
}


def test_every_key_there_is_is_tried_here() -> None:
    assert set(GOOD) == set(presets._CHECKS)


@pytest.mark.parametrize("key", GOOD)
def test_each_key_reaches_the_provider(write: Callable[..., None], key: str) -> None:
    write(**{**BANK, key: GOOD[key]})
    values = presets.preset("my-bank").values
    if key == "based_on":
        assert values["redirect_uri"] == "http://127.0.0.1:8765/callback"
        return
    assert values[key] == GOOD[key]
    if key not in ("issuer", "metadata_url"):
        reached = getattr(Provider.named("my-bank"), key)
        assert reached == (tuple(GOOD[key]) if isinstance(GOOD[key], list) else GOOD[key])


URLS = [key for key, value in GOOD.items() if isinstance(value, str) and value.startswith("http")]
NO_TEXT: list[Any] = [7, True, ["x"], "", "   ", "x" * 501, "a\u202eb", "a\u0085b"]
NO_URL: list[Any] = [
    *(7, True, ["https://a.example"], "", "a.example", "//a.example", "http://a.example/x"),
    *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://a.example/x"),
    *("https://me@a.example/x", "https://me:pw@a.example/x", "https://a.example\\@b.example", "https://a b.example"),
    *("http://127.0.0.1@a.example/", "https://", "https://a.example:0/", f"https://a.example/{'x' * 2000}"),
]
BAD: list[tuple[str, Any]] = [
    *((key, value) for key in URLS for value in NO_URL),
    *((key, value) for key in ("title", "client_id") for value in NO_TEXT),
    *(("based_on", base) for base in (7, "", "sandbox", "paper", "nowhere", "my-bank")),
    *(("client_authentication", value) for value in ("private_key_jwt", "Basic", "", True, ["none"])),
    *(("client_secret_encoding", value) for value in ("FORM", "", 1, ["raw"])),
    *(("openid", value) for value in ("true", 1, 0, [])),
    *(("scopes", value) for value in ("a b", 7, ["a b"], [""], [7], [["a"]], ["a\u202eb"])),
    *(("resource", value) for value in ("https://a.example", ["a.example"], ["http://a.example"], [7])),
    *(("request_interval", value) for value in ("1", True, -0.1, 60.5, [1])),
]


KINDS = {
    **dict.fromkeys(URLS, ("user_provider_value", "a whole address that begins with https://")),
    "title": ("user_provider_text", "a text in quotation marks"),
    "client_id": ("user_provider_text", "a text in quotation marks"),
    "based_on": ("user_provider_choice", "one of these, in quotation marks: lexware"),
    "client_authentication": ("user_provider_choice", "none, client_secret_basic, client_secret_post"),
    "client_secret_encoding": ("user_provider_choice", "form, raw"),
    "openid": ("user_provider_switch", "true or false"),
    "scopes": ("user_provider_list", "scopes = ["),
    "resource": ("user_provider_addresses", "resource = ["),
    "request_interval": ("user_provider_seconds", "a number of seconds from 0 to 60"),
}


@pytest.mark.parametrize(("key", "value"), BAD, ids=[f"{key}-{number}" for number, (key, _) in enumerate(BAD)])
def test_a_value_that_cannot_be_used_is_named_by_its_key_with_what_that_takes(
    write: Callable[..., None], key: str, value: Any
) -> None:
    write(**{**BANK, key: value})
    code, takes = KINDS[key]
    error = refused_as(code)
    assert f" {key} " in error.what("en")
    assert takes in error.next("en")
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    "key", ["clientid", "Issuer", "scope", "token_endpont", "unverified", "address_file", "source", "label"]
)
def test_an_unknown_key_is_named_with_those_there_are(write: Callable[..., None], key: str) -> None:
    write(**BANK, **{key: PLANTED})
    error = refused_as("user_provider_key")
    assert repr(key) in str(error)
    assert str(presets.user_file()) in str(error)
    assert all(known in str(error) for known in presets._CHECKS)
    assert PLANTED not in str(error)


SECRETS = {
    **dict.fromkeys(["client_secret", "secret", "Client-Secret", "app_secret", "password"], "user_provider_secret"),
    **dict.fromkeys(["api_key", "apikey", "API_KEY", "key", "token", "access_token"], "user_provider_api_key"),
    **dict.fromkeys(["refresh_token", "id-token", "private_key"], "user_provider_api_key"),
}


@pytest.mark.parametrize(("key", "code"), SECRETS.items())
@pytest.mark.parametrize("shape", ["{key} = '{secret}'", "[my-bank.{key}]\nx = '{secret}'", "{key} = ['{secret}']"])
def test_a_secret_in_the_file_is_refused_and_never_repeated(
    write: Callable[..., None], key: str, code: str, shape: str
) -> None:
    endpoints = "\n".join(f"{name} = '{url}'" for name, url in BANK.items())
    write(f"[my-bank]\n{endpoints}\n{shape.format(key=key, secret=PLANTED)}")
    error = refused_as(code)
    assert f"({key})" in str(error)
    assert ("--api-key --provider my-bank" in error.next("en")) == (code == "user_provider_api_key")
    assert "LEXOFFICE_PROVIDER=my-bank" in error.next("en")
    # The first frames are those of this test; in what is below, somebody could look at every variable.
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if "lexoffice_nb" in frame.filename]
    everything = "".join([str(error), repr(error), repr(error.values), *(str(frame.locals) for frame in frames)])
    assert frames
    assert PLANTED not in everything
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("name", ["a", "7", "my-bank", "my_bank", "a" * 40])
def test_a_name_may_be(write: Callable[..., None], name: str) -> None:
    write(name=name, **BANK)
    assert Provider.named(name).name == name
    assert name in presets.names()


@pytest.mark.parametrize("name", ["A", "-a", "_a", "a.b", "a" * 41, "a b", "ä", "", "a\u202eb", "a\n"])
def test_a_name_may_not_be(write: Callable[..., None], name: str) -> None:
    shown = name.replace("\n", "\\n")
    write(name=f'"{shown}"', **BANK)
    refused_as("user_provider_name", name)
    assert presets.names() == presets.shipped()


def test_an_entry_is_a_table(write: Callable[..., None]) -> None:
    write("my-bank = 'https://bank.example'")
    refused_as("user_provider_name")
    assert presets.names() == presets.shipped()


@pytest.mark.parametrize("left_out", BANK)
def test_an_entry_without_issuer_or_what_replaces_it_is_incomplete(write: Callable[..., None], left_out: str) -> None:
    write(**{key: value for key, value in BANK.items() if key != left_out})
    refused_as("user_provider_incomplete")


def test_an_entry_has_its_names_title_where_it_gives_none(write: Callable[..., None]) -> None:
    write(based_on="lexware", api_base="https://api.other.example")
    assert Provider.named("my-bank").title == "my-bank"
    write(**BANK)
    assert Provider.named("my-bank").title == "my-bank"


def test_what_is_based_on_lexware_takes_the_rest_from_it(write: Callable[..., None]) -> None:
    write(based_on="lexware", **BANK)
    found, base = Provider.named("my-bank"), Provider.named("lexware")
    assert {name: getattr(found, name) for name in BANK} == BANK
    taken = ("client_authentication", "openid", "redirect_uri", "scopes")
    assert [getattr(found, name) for name in taken] == [getattr(base, name) for name in taken]
    assert (found.source, base.source) == ("user", "shipped")


def test_what_is_based_on_lexware_without_an_address_of_its_own_is_at_its_addresses(write: Callable[..., None]) -> None:
    write(based_on="lexware", client_id="mine", api_base="https://api.other.example")
    found, base = Provider.named("my-bank"), Provider.named("lexware")
    assert [getattr(found, name) for name in metadata.ENDPOINTS] == [getattr(base, name) for name in metadata.ENDPOINTS]
    assert (found.key_page, found.api_base) == (base.key_page, "https://api.other.example")


@pytest.mark.parametrize("key", ["issuer", *metadata.ENDPOINTS])
def test_threat_01_with_an_address_of_its_own_it_has_none_of_the_others(write: Callable[..., None], key: str) -> None:
    """Else a token, a code or a secret of the one would go to the other."""
    write(based_on="lexware", **{key: "https://issuer.invalid/x"})
    if key == "issuer":
        assert not {*metadata.ENDPOINTS, "api_base", "key_page"} & presets.preset("my-bank").values.keys()
    else:
        refused_as("user_provider_incomplete")
    write(based_on="lexware", **{**BANK, key: "https://login.bank.example/x"})
    assert "lexware.de" not in str(presets.preset("my-bank").values)
    assert "lexware.io" not in str(presets.preset("my-bank").values)


def test_without_an_issuer_there_is_no_id_token(write: Callable[..., None]) -> None:
    write(**BANK, openid=True)
    assert " openid " in refused_as("user_provider_openid").what("en")


def test_an_authorization_endpoint_does_not_speak_for_the_client(write: Callable[..., None]) -> None:
    write(**{**BANK, "authorization_endpoint": "https://login.bank.example/authorize?scope=everything"})
    refused_as("endpoint_parameters")


@pytest.mark.parametrize(
    ("name", "code"),
    [("my-bonk", "unknown_provider_near"), ("lexwar", "unknown_provider_near"), ("q", "unknown_provider")],
)
def test_an_unknown_name_is_answered_with_the_own_ones_too_and_where_they_are(
    write: Callable[..., None], own_file: Path, name: str, code: str
) -> None:
    write(**BANK)
    error = refused_as(code, name)
    assert "sandbox, lexware, paper, my-bank" in str(error)
    assert str(own_file) in str(error)
    assert ("Did you mean" in str(error)) == (code == "unknown_provider_near")


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(write: Callable[..., None]) -> None:
    write(**BANK)
    assert "Did you mean my-bank?" in str(refused_as("unknown_provider_near", "mybank"))
    assert "Did you mean sandbox?" in str(refused_as("unknown_provider_near", "sanbox"))


def test_keys_above_any_table_are_said_to_belong_to_nobody(write: Callable[..., None]) -> None:
    write("issuer = 'https://bank.example'\nclient_id = 'me'")
    error = refused_as("user_providers_no_table")
    assert "issuer stands above" in error.what("en")
    assert "[my-bank]" in error.next("en")
    _the_shipped_ones_work()


@pytest.mark.parametrize("name", ["my.company", "my-company", "my_company", "my"])
def test_a_name_with_a_dot_is_explained(write: Callable[..., None], name: str) -> None:
    write("[my.company]\nissuer = 'https://bank.example'")
    error = refused_as("user_provider_dotted", name)
    assert "[my.company]" in error.what("en")
    assert "--provider my-company" in error.next("en")
    assert presets.names() == presets.shipped()


def test_a_change_counts_at_the_next_call(write: Callable[..., None], own_file: Path) -> None:
    write(**BANK, client_id="one")
    assert Provider.named("my-bank").client_id == "one"
    write(**BANK, client_id="two")
    assert Provider.named("my-bank").client_id == "two"
    own_file.unlink()
    refused_as("unknown_provider")


# --- what is asked for ---


def test_a_sign_in_asks_for_the_entrys_scopes_and_resource(write: Callable[..., None]) -> None:
    write(**BANK, scopes=["accounts.read", "cards.read"], resource=["https://api.bank.example"])
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.named("my-bank"))
    asked = parameters_of(attempt.get_login_url())
    assert (asked["scope"], asked["resource"]) == ("accounts.read cards.read", "https://api.bank.example")
    named = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["cards.read"], Provider.named("my-bank"))
    assert parameters_of(named.get_login_url())["scope"] == "cards.read"


def test_an_entry_without_scopes_and_discovery_asks_for_none(write: Callable[..., None]) -> None:
    write(**BANK)
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.named("my-bank"))
    assert "scope" not in parameters_of(attempt.get_login_url())


# --- with discovery ---


def test_what_an_entry_names_wins_over_what_was_discovered(write: Callable[..., None], start: StartProvider) -> None:
    server = start()
    write(issuer=server.issuer, token_endpoint=f"{server.origin}/mine", scopes=["x"], api_base="https://api.example")
    found = Provider.named("my-bank")
    assert (found.token_endpoint, found.authorization_endpoint, found.jwks_uri) == (
        f"{server.origin}/mine",
        f"{server.origin}/authorize",
        f"{server.origin}/jwks",
    )
    assert (found.scopes, found.api_base, found.source, found.openid) == (("x",), "https://api.example", "user", True)
    assert (found.name, found.title) == ("my-bank", "my-bank")


def test_an_override_is_checked_like_what_was_discovered(write: Callable[..., None], start: StartProvider) -> None:
    server = start()
    write(issuer=server.issuer, authorization_endpoint=f"{server.origin}/authorize?state=mine")
    refused_as("endpoint_parameters")


NEARER = [
    *("http://127.0.0.1:8888/x", "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://127.1/x"),
    *("https://10.0.0.1/x", "https://192.168.1.1/x", "https://169.254.169.254/x", "https://[fe80::1]/x"),
    *("https://intranet/x", "https://printer.local/x", "https://[::ffff:127.0.0.1]/x"),
]


@pytest.mark.parametrize("root", ["issuer", "authorization_endpoint"])
@pytest.mark.parametrize("key", [name for name in metadata.ENDPOINTS if name != "authorization_endpoint"])
@pytest.mark.parametrize("url", NEARER)
def test_threat_22_no_entry_of_a_remote_provider_leads_nearer(
    write: Callable[..., None], root: str, key: str, url: str
) -> None:
    """Said before anybody is asked: the issuer's host does not exist."""
    write(**{**BANK, root: "https://issuer.invalid", key: url})
    assert f" {key} " in refused_as("user_provider_nearer").what("en")


@pytest.mark.parametrize("key", ["metadata_url", "api_base", "key_page"])
def test_no_entry_of_a_remote_provider_is_over_plain_http(write: Callable[..., None], key: str) -> None:
    write(**{**BANK, "issuer": "https://issuer.invalid", key: "http://127.0.0.1:8888/x"})
    assert f" {key} " in refused_as("user_provider_nearer").what("en")


def test_a_description_is_not_fetched_from_nearer_than_its_issuer(
    write: Callable[..., None], start: StartProvider
) -> None:
    server = start()
    write(issuer="https://issuer.invalid", metadata_url=server.origin.replace("http:", "https:") + "/x")
    refused_as("endpoint_not_allowed")
    assert server.counts == {}


@pytest.mark.parametrize("end", ["?x=1", "#x"])
def test_an_issuer_has_neither_query_nor_fragment(write: Callable[..., None], end: str) -> None:
    write(issuer="https://issuer.invalid" + end)
    refused_as("issuer_not_allowed")


def test_a_description_elsewhere_is_the_only_one_that_is_read(write: Callable[..., None], start: StartProvider) -> None:
    server = start()
    server.raw["/odd/description"] = as_json(server._description())
    write(issuer=server.issuer, metadata_url=f"{server.origin}/odd/description")
    assert Provider.named("my-bank").token_endpoint == f"{server.origin}/token"
    assert server.counts == {"/odd/description": 1}


@pytest.mark.parametrize("change", ["{}/", "{}x", "x{}"])
def test_a_description_elsewhere_names_its_issuer_exactly(
    write: Callable[..., None], start: StartProvider, change: str
) -> None:
    server = start()
    server.raw["/odd"] = as_json({**server._description(), "issuer": change.format(server.issuer)})
    write(issuer=server.issuer, metadata_url=f"{server.origin}/odd")
    refused_as("issuer_differs")


def test_a_description_that_is_not_there_is_said_so(write: Callable[..., None], start: StartProvider) -> None:
    write(issuer=start(raw={OPENID_DOCUMENT: Raw(404)}).issuer)
    refused_as("no_metadata")


# --- the shipped names ---


@pytest.mark.parametrize("name", ["sandbox", "lexware", "paper"])
def test_threat_01_a_users_file_cannot_redefine_a_shipped_name(write: Callable[..., None], name: str) -> None:
    """The half of threat 1 about tokens that follow a configuration is where tokens are kept."""
    before = {other: presets.preset(other) for other in presets.shipped()}
    write(name=name, **BANK)
    assert refused_as("user_provider_shipped", name).values["name"] == name
    assert Provider.preset(name) == {}
    for other in {"sandbox", "lexware", "paper"} - {name}:
        assert presets.preset(other) == before[other]
        assert presets.preset(other).source == "shipped"
    assert presets.names() == presets.shipped()


def test_threat_01_neither_does_one_that_is_based_on_it(write: Callable[..., None]) -> None:
    write(name="lexware", based_on="lexware", token_endpoint="https://evil.example/token")
    refused_as("user_provider_shipped", "lexware")
    write(name="mine", based_on="lexware", token_endpoint="https://evil.example/token")
    refused_as("user_provider_incomplete", "mine")
    assert Provider.named("lexware").token_endpoint == "https://app.lexware.de/oauth2/token"


@pytest.mark.parametrize("name", ["sandbox", "lexware", "paper"])
def test_threat_01_a_shipped_names_issuer_is_not_the_users_by_a_refused_entry(
    write: Callable[..., None], name: str
) -> None:
    write(name=name, issuer="https://evil.example")
    assert presets.source_of("https://evil.example") == "notebook"


# --- whose an issuer is ---


@pytest.mark.parametrize(
    ("issuer", "source"),
    [
        ("https://bank.example", "user"),
        ("https://bank.example/", "notebook"),
        ("https://Bank.example", "notebook"),
        ("https://bank.example.evil.example", "notebook"),
        ("https://bank.examp1e", "notebook"),
        ("", "notebook"),
    ],
)
def test_an_issuer_is_the_users_if_spelled_as_in_the_file(write: Callable[..., None], issuer: str, source: str) -> None:
    write(issuer="https://bank.example")
    assert presets.source_of(issuer) == source


def test_an_entry_that_is_refused_vouches_for_no_issuer(write: Callable[..., None]) -> None:
    write(issuer="https://bank.example", client_secret="x")
    assert presets.source_of("https://bank.example") == "notebook"


# --- the file ---

BROKEN: dict[str, tuple[bytes, str]] = {
    "no_toml": (b"[my-bank]\nissuer = 'x' 'hunter2'\n", "line 2"),
    "a_table_twice": (b"[hunter2]\n[hunter2]\n", "line 2"),
    "a_key_twice": (b"[my-bank]\nx = 1\nx = 'hunter2'\n", "line 3"),
    "not_utf_8": (b"[my-bank]\ntitle = '\xff'\n", "UTF-8"),
    "nested_without_end": (b"x = " + b"[" * 100_000, "TOML"),
    "a_number_without_end": (b"x = " + b"1" * 10_000, "TOML"),
    "300_kib": (b"# " + b"x" * 300 * 1024, "256 KiB"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_read_harms_no_shipped_name(own_file: Path, content: bytes, said: str) -> None:
    own_file.write_bytes(content)
    own_file.chmod(0o600)
    error = refused_as("user_providers_unreadable")
    assert any(words in str(error) for words in said.split("|"))
    assert str(own_file) in str(error)
    assert "hunter2" not in str(error)
    _the_shipped_ones_work()


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        ("[my-bank]\nissuer = https://bank.example\n", "user_providers_quotes", "2"),
        ("[my-bank]\nopenid = True\n", "user_providers_quotes", "2"),
        ("[my-bank]\ntitle = 'hunter2\n\n", "user_providers_quotes", "2"),
        ('[my-bank]\ntitle = "hunter2', "user_providers_quotes", "2"),
        ("[my-bank]\ntitle = 'hunter2", "user_providers_quotes", "2"),
        ("[my-bank]\nscopes = [hunter2]\n", "user_providers_quotes", "2"),
        ("\n[my-bank\nissuer = 'https://bank.example'", "user_providers_sign", "2"),
        ("[my hunter2]\n", "user_providers_sign", "1"),
        ("[my-bank]\n\nissuer 'https://bank.example'", "user_providers_sign", "3"),
        ("[my-bank]\nissuer: 'https://bank.example'", "user_providers_sign", "2"),
        ("[my-bank]\nhunter2\n\n", "user_providers_sign", "2"),
        ("[my-bank]\nscopes = ['hunter2' 'b']\n", "user_providers_sign", "2"),
    ],
)
def test_the_commonest_mistakes_in_the_file_are_said_in_words(
    own_file: Path, content: str, code: str, line: str
) -> None:
    own_file.write_text(content, "utf-8")
    own_file.chmod(0o600)
    error = refused_as(code)
    assert f"ine {line} of {own_file}" in error.what("en")
    assert f"Zeile {line} von {own_file}" in error.what("de")
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error.values)
    _the_shipped_ones_work()


def _the_shipped_ones_work() -> None:
    assert Provider.named("lexware").shipped
    assert {presets.preset(name).source for name in presets.names()} == {"shipped"}
    assert presets.names() == presets.shipped()
    assert presets.source_of("https://bank.example") == "notebook"


def test_a_file_of_just_256_kib_is_read(write: Callable[..., None], own_file: Path) -> None:
    write(**BANK)
    with own_file.open("a") as file:
        file.write("\n#" + "x" * (presets.FILE_LIMIT - own_file.stat().st_size - 2))
    assert own_file.stat().st_size == presets.FILE_LIMIT
    assert Provider.named("my-bank").source == "user"


def test_a_file_from_an_editor_of_windows_is_read(own_file: Path) -> None:
    lines = "\r\n".join(["[my-bank]", *(f"{key} = '{value}'" for key, value in BANK.items())])
    own_file.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    own_file.chmod(0o600)
    assert Provider.named("my-bank").source == "user"


def test_a_folder_in_its_place_harms_no_shipped_name(own_file: Path) -> None:
    own_file.mkdir()
    refused_as("user_providers_unreadable")
    _the_shipped_ones_work()


def test_a_file_in_place_of_its_folder_harms_no_shipped_name(own_file: Path) -> None:
    own_file.parent.rmdir()
    own_file.parent.write_text("")
    refused_as("user_providers_unreadable")
    _the_shipped_ones_work()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_its_place_is_not_waited_for(own_file: Path) -> None:
    os.mkfifo(own_file, 0o600)
    done = threading.Event()

    def look() -> None:
        refused_as("user_providers_unreadable")
        _the_shipped_ones_work()
        done.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(5)
    assert done.is_set()


@pytest.mark.skipif(os.name != "posix", reason="links and modes are those of POSIX")
def test_a_file_that_may_not_be_read_harms_no_shipped_name(write: Callable[..., None], own_file: Path) -> None:
    if os.geteuid() == 0:  # may read every file, but follows no link in a circle either
        own_file.parent.mkdir(parents=True, exist_ok=True)
        own_file.symlink_to(own_file)
    else:
        write(**BANK)
        own_file.chmod(0)
    refused_as("user_providers_unreadable")
    _the_shipped_ones_work()


# --- whose the file is ---

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")


@posix
@pytest.mark.parametrize("mode", [0o602, 0o606, 0o646, 0o666, 0o777])
def test_a_file_that_everybody_can_write_is_not_used(write: Callable[..., None], own_file: Path, mode: int) -> None:
    write(**BANK)
    own_file.chmod(mode)
    assert str(own_file) in str(refused_as("user_providers_writable"))
    _the_shipped_ones_work()


@posix
@pytest.mark.parametrize("mode", [0o702, 0o777])
def test_a_file_in_a_folder_that_everybody_can_write_is_not_used(
    write: Callable[..., None], own_file: Path, mode: int
) -> None:
    """Whoever can write there can put another file in its place."""
    write(**BANK)
    own_file.parent.chmod(mode)
    error = refused_as("user_providers_writable")
    assert str(own_file.parent) in str(error)
    assert str(own_file) not in str(error)
    _the_shipped_ones_work()


@posix
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o644])
def test_a_file_that_others_can_read_at_most_is_used(write: Callable[..., None], own_file: Path, mode: int) -> None:
    write(**BANK)
    own_file.chmod(mode)
    assert Provider.named("my-bank").source == "user"


@posix
@pytest.mark.parametrize(
    ("group", "members", "first", "used"),
    [
        ("me", [], True, True),
        ("me", ["me"], True, True),
        ("me", ["me", "colleague"], True, False),
        ("me", ["colleague"], True, False),
        ("users", [], True, False),
        ("me", [], False, False),
        (None, [], True, False),
    ],
)
def test_a_group_may_write_it_only_if_it_is_the_persons_alone(
    write: Callable[..., None],
    own_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str | None,
    members: list[str],
    first: bool,
    used: bool,
) -> None:
    grp, pwd = pytest.importorskip("grp"), pytest.importorskip("pwd")
    write(**BANK)
    own_file.chmod(0o660)
    number = own_file.stat().st_gid
    person = pwd.struct_passwd(("me", "x", os.getuid(), number if first else number + 1, "", "/", "/"))

    def look_up(asked: int) -> Any:
        if group is None:
            raise KeyError(asked)
        return grp.struct_group((group, "x", asked, members))

    monkeypatch.setattr(pwd, "getpwuid", lambda _: person)
    monkeypatch.setattr(grp, "getgrgid", look_up)
    if used:
        assert Provider.named("my-bank").source == "user"
    else:
        refused_as("user_providers_writable")
        _the_shipped_ones_work()


@as_root
def test_a_file_of_somebody_else_is_not_used(write: Callable[..., None], own_file: Path) -> None:
    write(**BANK)
    os.chown(own_file, 12345, -1)
    refused_as("user_providers_writable")
    _the_shipped_ones_work()


@as_root
def test_a_link_to_a_file_of_somebody_else_is_not_used(
    write: Callable[..., None], own_file: Path, tmp_path: Path
) -> None:
    write(**BANK)
    theirs = own_file.rename(tmp_path / "theirs.toml")
    own_file.symlink_to(theirs)
    assert Provider.named("my-bank").source == "user"
    os.chown(theirs, 12345, -1)
    refused_as("user_providers_writable")
    _the_shipped_ones_work()


def test_nothing_of_posix_is_asked_for_elsewhere(
    write: Callable[..., None], own_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system without owners, groups and non-blocking files."""
    write(**BANK)
    own_file.chmod(0o666)

    class Elsewhere:
        name = "nt"

        def __getattr__(self, asked: str) -> Any:
            if asked in ("getuid", "geteuid", "getgid", "O_NONBLOCK", "O_NOFOLLOW"):
                raise AttributeError(asked)
            return getattr(os, asked)

    monkeypatch.setattr(presets, "os", Elsewhere())
    assert Provider.named("my-bank").source == "user"
