"""A provider of another make: an issuer with a path, metadata in two documents, errors without `error`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import AccessDenied, DiscoveryError, LoginError, TokenEndpointError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.pkce import new_code_verifier
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.session import LexofficeSession
from tests.certified.path_issuer import CLIENT_ID, PathIssuer
from tests.certified.server import REDIRECT_URI
from tests.certified.signing_in import parameters_of, refused, source_of

if TYPE_CHECKING:
    from tests.certified.person import Person


def attempt_at(server: PathIssuer) -> LexofficeLogin:
    return LexofficeLogin(CLIENT_ID, REDIRECT_URI, ("openid", "invoice.read"), Provider.discover(server.issuer))


def logged_in(server: PathIssuer, person: Person) -> LexofficeLogin:
    attempt = attempt_at(server)
    attempt.handle_callback(person.allow(attempt.get_login_url()))
    return attempt


@pytest.mark.case("real/05-revocation-only-in-rfc8414", "real/06-path-openid", "real/06-path-rfc8414")
def test_both_documents_of_the_issuer_are_read_and_merged(path_issuer: PathIssuer) -> None:
    provider = Provider.discover(path_issuer.issuer)
    assert provider.issuer == f"{path_issuer.origin}/tenant/a"
    assert provider.token_endpoint == f"{path_issuer.issuer}/token"
    assert provider.revocation_endpoint == f"{path_issuer.issuer}/revoke"
    assert (provider.userinfo_endpoint, provider.iss_in_response, provider.openid) == (None, False, True)


@pytest.mark.parametrize(("suffix", "code"), [("/", "issuer_differs"), ("/b", "no_metadata")])
@pytest.mark.case("refuse/metadata-issuer")
def test_an_issuer_is_the_same_only_to_the_letter(path_issuer: PathIssuer, suffix: str, code: str) -> None:
    other = path_issuer.issuer + suffix
    refused(DiscoveryError, "discovery", code, lambda: Provider.discover(other))


def test_a_login_gives_tokens_and_claims(path_issuer: PathIssuer, person: Person) -> None:
    """`iss` is neither promised nor sent; `bearer` in small letters; the life as a string; no scope."""
    tokens = logged_in(path_issuer, person).tokens
    assert tokens is not None
    assert (tokens.claims["iss"], tokens.claims["aud"]) == (path_issuer.issuer, [CLIENT_ID])
    assert tokens.scope == ("openid", "invoice.read")
    assert tokens.expires_at is not None
    assert person.pages == ["Freigabe"]


def test_a_refusal_without_iss_and_words_is_access_denied(path_issuer: PathIssuer, person: Person) -> None:
    attempt = attempt_at(path_issuer)
    callback = person.deny(attempt.get_login_url())
    refused(AccessDenied, "callback", "access_denied", lambda: attempt.handle_callback(callback))
    assert [path for path, _ in path_issuer.asked] == []


@pytest.mark.case("real/12-no-id-token")
def test_a_renewal_without_an_id_token_keeps_the_claims(path_issuer: PathIssuer, person: Person) -> None:
    source = source_of(logged_in(path_issuer, person))
    old = source.tokens
    source.renew(old.access_token)
    new = source.tokens
    assert new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    assert (new.claims, new.id_token, new.scope) == (old.claims, old.id_token, old.scope)


def test_logout_revokes_at_the_endpoint_that_only_one_document_names(path_issuer: PathIssuer, person: Person) -> None:
    session = LexofficeSession.from_login(logged_in(path_issuer, person))
    tokens = session.tokens
    assert tokens.refresh_token is not None
    assert path_issuer.is_active(tokens.access_token.reveal())
    assert session.logout() == []
    assert [form["token_type_hint"] for path, form in path_issuer.asked if path == "/tenant/a/revoke"] == [
        "refresh_token",
        "access_token",
    ]
    assert not path_issuer.is_active(tokens.access_token.reveal())
    assert not path_issuer.is_active(tokens.refresh_token.reveal())


def test_an_error_without_a_name_is_told_by_its_status(path_issuer: PathIssuer, person: Person) -> None:
    attempt = attempt_at(path_issuer)
    code = Secret(parameters_of(person.allow(attempt.get_login_url()))["code"])
    error = refused(
        TokenEndpointError,
        "token",
        "token_other",
        lambda: attempt.endpoint.exchange(code, new_code_verifier(), REDIRECT_URI),
    )
    assert "HTTP 400" in str(error)


def test_a_renewal_that_is_refused_without_a_name_is_an_error_of_its_stage(
    path_issuer: PathIssuer, person: Person
) -> None:
    attempt = logged_in(path_issuer, person)
    source = source_of(attempt)
    attempt.endpoint.revoke(source.tokens.access_token, "access_token")
    with pytest.raises(LoginError) as caught:
        source.renew(source.tokens.access_token)
    assert caught.value.stage == "refresh"
