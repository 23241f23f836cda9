"""No switch drops a check: what there is to set is listed here, and nothing more."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from lexoffice_nb.oauth import id_token, transport
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenEndpoint
from tests.oauth.misbehaving import REDIRECT_URI

SWITCH_WORDS = (
    "verify",
    "insecure",
    "allow",
    "skip",
    "check",
    "strict",
    "unsafe",
    "plain",
    "trust",
    "debug",
    "disable",
)


def parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "cls"}  # type: ignore[arg-type]


@pytest.mark.case("statement/14-verification")
def test_threat_38_a_login_has_no_switch_that_drops_a_check() -> None:
    assert parameters(LexofficeLogin) == {
        *("client_id", "redirect_uri", "scopes", "provider", "client_secret"),
        *("resource", "max_age"),  # more to ask for; `max_age` adds a check
    }
    assert parameters(LexofficeLogin.get_login_url) == set()
    # What was caught is taken to the letter, so `caught` forgives less.
    assert parameters(LexofficeLogin.handle_callback) == {"callback_url", "caught"}


def test_threat_38_a_login_has_no_public_attribute_beside_these() -> None:
    provider = Provider("p", "P", "https://p.example/a", "https://p.example/t", "https://p.example")
    attempt = LexofficeLogin("me", REDIRECT_URI, provider=provider)
    attempt.get_login_url()
    assert {name for name in dir(attempt) if not name.startswith("_")} == {
        "begun_at",
        "client_id",
        "endpoint",
        "get_login_url",
        "handle_callback",
        "keys",
        "max_age",
        "open",
        "open_seconds",
        "provider",
        "redirect_uri",
        "resource",
        "retire",
        "scopes",
        "steps",
        "tokens",
    }


@pytest.mark.case("statement/14-verification")
def test_threat_38_no_setting_of_the_protocol_is_named_like_a_switch() -> None:
    named = {
        *parameters(LexofficeLogin),
        *parameters(transport.fetch),
        *parameters(id_token.verify_id_token),
        *(field.name for field in dataclasses.fields(Provider)),
        *(field.name for field in dataclasses.fields(TokenEndpoint)),
        *(field.name for field in dataclasses.fields(id_token.ExpectedClaims)),
    }
    assert {name for name in named if any(word in name for word in SWITCH_WORDS)} == set()


@pytest.mark.case("statement/21-fixed-list")
def test_threat_38_the_algorithms_are_a_fixed_list() -> None:
    assert set(id_token.ALGORITHMS) == {"RS256", "PS256", "ES256", "EdDSA"}
    assert (id_token.SKEW_SECONDS, id_token.TOKEN_LIMIT, id_token.JWKS_LIMIT) == (60, 64 * 1024, 512 * 1024)


@pytest.mark.case("statement/14-verification")
def test_threat_38_no_environment_variable_drops_a_check() -> None:
    """The only ones that this layer reads name a proxy or another set of certificates."""
    source = inspect.getsource(transport)
    assert source.count("os.environ") == 3
    assert 'os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")' in source
    assert "verify=ca_bundle() or True" in source
