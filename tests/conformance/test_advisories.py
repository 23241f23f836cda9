"""What went wrong in libraries, and is written up in their advisories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests.utils

from lexoffice_nb.errors import CallbackError, DiscoveryError, IdTokenError, LoginError, StateMismatch
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.transport import is_allowed, is_loopback
from lexoffice_nb.session import LexofficeSession
from tests.conformance.signing_in import api_of, logged_in, refused, refused_callback
from tests.oauth.misbehaving import CLIENT_ID, Raw, as_json, at_hash, public, rsa_key
from tests.oauth.signing_in import attempt_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.oauth.conftest import StartProvider

AGAIN = "Start again; if it happens again, tell the provider."
TELL = "Tell the provider; nothing was kept."


def test_the_login_that_these_differ_from_is_good(start: StartProvider) -> None:
    assert logged_in(start()).claims["sub"] == "person-1"


@pytest.mark.parametrize("crit", [["x-of-theirs"], ["exp"], [], "exp", None])
@pytest.mark.case("advisory/unknown-crit")
def test_no_crit_is_passed_over(start: StartProvider, crit: object) -> None:
    server = start(header={"crit": crit, "x-of-theirs": 1})
    refused(IdTokenError, "id_token", "header_crit", TELL, lambda: logged_in(server))


@pytest.mark.parametrize("signature", ["", "AAAA"])
@pytest.mark.case("advisory/alg-none")
def test_an_unsigned_token_is_not_believed(start: StartProvider, signature: str) -> None:
    server = start(header={"alg": "none"}, key=None, id_token=lambda token: token + signature)
    code, remedy = ("alg_not_allowed", "RS256") if signature else ("id_token_malformed", "Start again")
    refused(IdTokenError, "id_token", code, remedy, lambda: logged_in(server))


@pytest.mark.case("advisory/key-from-header")
def test_a_key_in_the_header_does_not_take_the_place_of_one_that_is_missing(start: StartProvider) -> None:
    evil = rsa_key("evil")
    server = start(jwks=[], key=evil, header={"kid": "evil", "jwk": public(evil)})
    refused(IdTokenError, "id_token", "header_key", TELL, lambda: logged_in(server))
    server = start(jwks=[], key=evil, header={"kid": "evil", "x5c": ["AAAA"]})
    refused(IdTokenError, "id_token", "key_unknown", "Start again in a minute", lambda: logged_in(server))


@pytest.mark.parametrize("value", [at_hash("another token"), "", None, 7, [at_hash("x")]])
@pytest.mark.case("advisory/at-hash-fails-closed")
def test_an_at_hash_that_cannot_be_right_is_refused(start: StartProvider, value: object) -> None:
    server = start(claims={"at_hash": value})
    refused(IdTokenError, "id_token", "at_hash_other", AGAIN, lambda: logged_in(server))


@pytest.mark.case("advisory/at-hash-fails-closed")
def test_an_alg_without_a_hash_is_refused_before_its_at_hash_could_be_passed_over(start: StartProvider) -> None:
    server = start(header={"alg": "RS512"})
    refused(IdTokenError, "id_token", "alg_not_allowed", "RS256, PS256", lambda: logged_in(server))


@pytest.mark.case("advisory/state-of-another-session")
def test_the_state_of_one_attempt_is_refused_by_another_of_the_same_process(start: StartProvider) -> None:
    """An attacker's own, valid callback in the victim's session."""
    server = start()
    theirs, mine = attempt_at(server), attempt_at(server)
    callback = server.authorize(theirs.get_login_url())
    mine.get_login_url()
    remedy = "use the newest login link"
    refused(StateMismatch, "callback", "state_mismatch", remedy, lambda: mine.handle_callback(callback))
    assert server.token_requests == 0
    assert theirs.handle_callback(callback).claims["sub"] == "person-1"


@pytest.mark.parametrize("part", [slice(None, -1), slice(1, None), slice(None, 7), slice(0, 0)])
@pytest.mark.case("advisory/partial-issuer")
def test_a_part_of_an_issuer_is_not_that_issuer(start: StartProvider, part: slice) -> None:
    server = start()
    server.claims = {"iss": server.issuer[part]}
    refused(IdTokenError, "id_token", "iss_other", AGAIN, lambda: logged_in(server))
    server.claims = {"iss": f"{server.issuer}.evil.example"}
    refused(IdTokenError, "id_token", "iss_other", AGAIN, lambda: logged_in(server))
    server = start()
    server.metadata = {"issuer": server.issuer[part]}
    remedy = "Use the issuer exactly"
    refused(DiscoveryError, "discovery", "issuer_differs", remedy, lambda: Provider.discover(server.issuer))
    refused_callback(
        start(),
        lambda server, url: server.authorize(url, iss=server.issuer[part]),
        CallbackError,
        "iss_differs",
        AGAIN,
    )


@pytest.mark.parametrize("url", ["http://localhost:80@attacker.example", "http://127.0.0.1:80@attacker.example/"])
@pytest.mark.case("advisory/loopback-at-sign")
def test_what_stands_before_an_at_sign_is_no_host(url: str) -> None:
    assert not is_loopback(url)
    assert not is_allowed(url)
    remedy = "Check --issuer"
    refused(DiscoveryError, "discovery", "issuer_not_allowed", remedy, lambda: Provider.discover(url))
    provider = Provider("p", "P", "https://p.example/a", "https://p.example/t", "https://p.example")
    refused(
        LoginError,
        "authorize",
        "redirect_uri_not_allowed",
        "Check --redirect-uri",
        lambda: LexofficeLogin(CLIENT_ID, url, provider=provider),
    )


@pytest.mark.case("advisory/loopback-at-sign")
def test_nor_is_it_one_in_metadata_or_in_a_callback(start: StartProvider) -> None:
    server = start(metadata={"token_endpoint": "http://localhost:80@attacker.example/token"})
    remedy = "Ask the provider; nothing was sent."
    refused(DiscoveryError, "discovery", "endpoint_not_allowed", remedy, lambda: Provider.discover(server.issuer))
    refused_callback(
        start(),
        lambda server, url: server.authorize(url).replace("127.0.0.1:51234", "127.0.0.1:51234@attacker.example", 1),
        CallbackError,
        "callback_elsewhere",
        "Paste the address that begins with",
    )


@pytest.mark.case("advisory/jwks-flood")
def test_a_hundred_forged_kids_have_the_keys_fetched_once_more(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    for number in range(100):
        server.header = {"kid": f"forged-{number}"}
        callback = server.authorize(attempt.get_login_url())
        with pytest.raises(IdTokenError):
            attempt.handle_callback(callback)
    assert server.counts["/jwks"] == 2


@pytest.mark.case("advisory/netrc-crafted-url")
def test_a_crafted_url_draws_nothing_out_of_netrc(
    start: StartProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of requests took the host before the colon for the machine of the entry."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrc-secret\ndefault login me password netrc-secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = start(raw={"/v1/profile": as_json({}), "/userinfo": Raw(404), "/x": as_json({})})
    assert requests.utils.get_netrc_auth(server.origin) == ("me", "netrc-secret")
    with LexofficeSession.from_login(api_of(server)) as session:
        bearer = f"Bearer {session.tokens.access_token.reveal()}"
        elsewhere = start(raw={"/x": as_json({})})
        for url in (
            f"http://127.0.0.1:@{elsewhere.origin.removeprefix('http://')}/x",
            f"http://127.0.0.1@{elsewhere.origin.removeprefix('http://')}/x",
            f"{elsewhere.origin}/x",
        ):
            session.get(url)
        session.get(f"{server.origin}/x")
        assert [sent.get("Authorization") for sent in elsewhere.headers] == [None, None, None]
        assert {sent.get("Authorization") for sent in server.headers} <= {None, bearer}
    assert "netrc-secret" not in str(server.headers) + str(elsewhere.headers)
