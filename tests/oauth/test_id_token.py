"""ID tokens (OpenID Connect Core section 3.1.3.7, RFC 8725): each wrong one differs from a good one in one place."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws, jwt

from lexoffice_nb.errors import IdTokenError, LoginError
from lexoffice_nb.oauth import id_token
from tests.conformance.marking import marked
from tests.oauth.misbehaving import (
    CLIENT_ID,
    LEFT_OUT,
    Raw,
    as_json,
    at_hash,
    base64url,
    ec_key,
    okp_key,
    public,
    rsa_key,
    signed,
)
from tests.oauth.signing_in import attempt_at, log_in, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

ACCESS = "access-token-of-this-test"
PEM = rsa_key().as_pem(private=False)


def now(seconds: float = 0) -> int:
    return int(time.time() + seconds)


def header_part(token: str, header: dict[str, Any]) -> str:
    """The same token under another header; its signature is that of the good one."""
    return ".".join([base64url(json.dumps(header).encode()), *token.split(".")[1:]])


def claims_part(token: str, octets: bytes) -> str:
    """The same token about something else, signed well."""
    head = token.split(".")[0]
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    message = f"{head}.{base64url(octets)}"
    return f"{message}.{base64url(jws.JWSRegistry.algorithms[header['alg']].sign(message.encode(), rsa_key()))}"


def flipped(token: str) -> str:
    head, body, signature = token.split(".")
    octets = bytearray(base64.urlsafe_b64decode(signature + "=="))
    octets[0] ^= 1
    return f"{head}.{body}.{base64url(bytes(octets))}"


CLAIMS: dict[str, tuple[dict[str, object], str]] = {
    "iss_other": ({"iss": "https://evil.example"}, "iss_other"),
    "iss_missing": ({"iss": LEFT_OUT}, "iss_other"),
    "iss_in_a_list": ({"iss": ["https://evil.example"]}, "iss_other"),
    "sub_missing": ({"sub": LEFT_OUT}, "sub_bad"),
    "sub_empty": ({"sub": ""}, "sub_bad"),
    "sub_a_number": ({"sub": 7}, "sub_bad"),
    "sub_null": ({"sub": None}, "sub_bad"),
    "aud_other": ({"aud": "another-client"}, "aud_other"),
    "aud_missing": ({"aud": LEFT_OUT}, "aud_other"),
    "aud_empty": ({"aud": ""}, "aud_other"),
    "aud_an_empty_list": ({"aud": []}, "aud_other"),
    "aud_longer": ({"aud": CLIENT_ID + "-2"}, "aud_other"),
    "aud_shorter": ({"aud": CLIENT_ID[:-1]}, "aud_other"),
    "aud_an_object": ({"aud": {CLIENT_ID: True}}, "aud_other"),
    "aud_in_another_case": ({"aud": CLIENT_ID.upper()}, "aud_other"),
    "aud_several_without_azp": ({"aud": [CLIENT_ID, "another"]}, "azp_other"),
    "azp_of_another": ({"azp": "another"}, "azp_other"),
    "azp_null": ({"azp": None}, "azp_other"),
    "azp_of_another_of_several": ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "azp_other"),
    "exp_past": ({"exp": now(-3600), "iat": now(-7200)}, "exp_past"),
    "exp_missing": ({"exp": LEFT_OUT}, "times_missing"),
    "exp_a_string": ({"exp": str(now(300))}, "times_missing"),
    "exp_true": ({"exp": True}, "times_missing"),
    "exp_not_a_number": ({"exp": float("nan")}, "times_missing"),
    "exp_infinite": ({"exp": float("inf")}, "times_missing"),
    "iat_missing": ({"iat": LEFT_OUT}, "times_missing"),
    "iat_a_string": ({"iat": "now"}, "times_missing"),
    "iat_minus_infinite": ({"iat": float("-inf")}, "times_missing"),
    "iat_in_the_future": ({"iat": now(3600), "exp": now(7200)}, "iat_future"),
    "nbf_in_the_future": ({"nbf": now(3600)}, "iat_future"),
    "nbf_a_string": ({"nbf": "0"}, "times_missing"),
    "nbf_null": ({"nbf": None}, "times_missing"),
    "nonce_other": ({"nonce": "x" * 43}, "nonce_other"),
    "nonce_missing": ({"nonce": LEFT_OUT}, "nonce_other"),
    "nonce_empty": ({"nonce": ""}, "nonce_other"),
    "nonce_null": ({"nonce": None}, "nonce_other"),
    "nonce_a_number": ({"nonce": 7}, "nonce_other"),
    "at_hash_of_another_token": ({"at_hash": at_hash("another token")}, "at_hash_other"),
    "at_hash_of_another_algorithm": ({"at_hash": at_hash(ACCESS, hashlib.sha512)}, "at_hash_other"),
    "at_hash_empty": ({"at_hash": ""}, "at_hash_other"),
    "at_hash_null": ({"at_hash": None}, "at_hash_other"),
}
KEY_IN_HEADER = public(rsa_key("evil"))
HEADERS: dict[str, tuple[dict[str, object], str]] = {
    "alg_missing": ({"alg": LEFT_OUT}, "alg_not_allowed"),
    "alg_a_list": ({"alg": ["RS256"]}, "alg_not_allowed"),
    "alg_in_another_case": ({"alg": "rs256"}, "alg_not_allowed"),
    "alg_too_weak": ({"alg": "RS1"}, "alg_not_allowed"),
    "crit": ({"crit": ["exp"]}, "header_crit"),
    "crit_empty": ({"crit": []}, "header_crit"),
    "b64_false": ({"b64": False}, "header_crit"),
    "b64_false_and_crit": ({"b64": False, "crit": ["b64"]}, "header_crit"),
    "jwk": ({"jwk": KEY_IN_HEADER}, "header_key"),
    "jku": ({"jku": "https://evil.example/jwks"}, "header_key"),
    "x5u": ({"x5u": "https://evil.example/cert"}, "header_key"),
    "typ_of_an_access_token": ({"typ": "at+jwt"}, "header_typ"),
    "typ_of_a_log_out": ({"typ": "logout+jwt"}, "header_typ"),
    "kid_unknown": ({"kid": "two"}, "key_unknown"),
    "kid_empty": ({"kid": ""}, "key_unknown"),
    "kid_a_number": ({"kid": 1}, "key_unknown"),
    "kid_a_path": ({"kid": "../../dev/null"}, "key_unknown"),
    "alg_of_another_key_type": ({"alg": "ES256"}, "key_unknown"),
}
SHAPES: dict[str, tuple[Callable[[str], str], str]] = {
    "a_changed_signature": (flipped, "signature_bad"),
    "another_padding_scheme": (lambda t: header_part(t, {"alg": "PS256", "kid": "one"}), "signature_bad"),
    "a_shorter_signature": (lambda t: t[:-8], "signature_bad"),
    "a_signature_that_is_no_base64": (lambda t: t.rpartition(".")[0] + ".!!!!", "signature_bad"),
    "two_parts": (lambda t: t.rpartition(".")[0], "id_token_malformed"),
    "four_parts": (lambda t: t + ".x", "id_token_malformed"),
    "five_parts_as_if_encrypted": (lambda _: "a.b.c.d.e", "id_token_malformed"),
    "an_empty_signature": (lambda t: t.rpartition(".")[0] + ".", "id_token_malformed"),
    "no_jwt": (lambda _: "opaque", "id_token_malformed"),
    "a_header_that_is_no_json": (lambda t: "AAAA." + t.partition(".")[2], "id_token_malformed"),
    "a_header_that_is_an_array": (lambda t: base64url(b"[1]") + "." + t.partition(".")[2], "id_token_malformed"),
    "a_header_in_utf_16": (lambda t: base64url('{"alg":"RS256"}'.encode("utf-16")) + "." + t.partition(".")[2], "id_token_malformed"),  # noqa: E501
    "deep_claims": (lambda t: claims_part(t, b"[" * 30_000), "id_token_malformed"),
    "claims_that_are_an_array": (lambda t: claims_part(t, b"[]"), "id_token_malformed"),
    "claims_that_are_no_json": (lambda t: claims_part(t, b"sub=1"), "id_token_malformed"),
    "more_than_64_kib": (lambda t: t + "A" * id_token.TOKEN_LIMIT, "id_token_too_long"),
}  # fmt: skip


# The cases of the checklist that these are.
CASES_OF_CLAIMS = {
    "iss_other": "refuse/iss-other",
    "iss_missing": "refuse/iss-missing",
    "sub_missing": "refuse/sub-missing",
    "sub_empty": "refuse/sub-empty",
    "sub_a_number": "refuse/sub-not-a-string",
    "sub_null": "refuse/sub-not-a-string",
    "aud_other": "refuse/aud-other",
    "aud_missing": "refuse/aud-missing",
    "aud_empty": "refuse/aud-empty",
    "aud_an_empty_list": "refuse/aud-empty",
    "aud_longer": "refuse/aud-substring",
    "aud_shorter": "refuse/aud-substring",
    "aud_several_without_azp": "refuse/several-aud-without-azp",
    "azp_of_another": "refuse/azp-other",
    "azp_of_another_of_several": "refuse/azp-other",
    "exp_past": "refuse/exp-past",
    "exp_missing": "refuse/exp-missing",
    "exp_a_string": "refuse/exp-not-a-number",
    "exp_true": "refuse/exp-not-a-number",
    "exp_not_a_number": "refuse/exp-not-a-number",
    "exp_infinite": "refuse/exp-not-a-number",
    "iat_missing": "refuse/iat-missing",
    "iat_in_the_future": "refuse/iat-future",
    "nbf_in_the_future": "refuse/nbf-future",
    "nonce_other": "refuse/nonce-other",
    "nonce_missing": "refuse/nonce-missing",
    "nonce_empty": "refuse/nonce-empty",
    "at_hash_of_another_token": "refuse/at-hash-wrong",
    "at_hash_empty": "advisory/at-hash-fails-closed",
    "at_hash_null": "advisory/at-hash-fails-closed",
}
CASES_OF_HEADERS = {
    "crit": ("refuse/crit", "statement/22-crit"),
    "crit_empty": ("refuse/crit", "statement/22-crit"),
    "b64_false": "refuse/b64-false",
    "b64_false_and_crit": "refuse/b64-false",
    "jwk": "refuse/header-jwk",
    "jku": "refuse/header-jku",
    "x5u": "refuse/header-x5u",
    "typ_of_an_access_token": "statement/22-typ",
    "typ_of_a_log_out": "statement/22-typ",
    "alg_of_another_key_type": ("refuse/alg-not-of-the-key", "statement/22-kty"),
}
CASES_OF_SHAPES = {
    "a_changed_signature": "refuse/signature-bad",
    "two_parts": "refuse/not-three-parts",
    "four_parts": "refuse/not-three-parts",
    "five_parts_as_if_encrypted": "refuse/not-three-parts",
    "no_jwt": "refuse/not-three-parts",
    "more_than_64_kib": "statement/24-id-token",
}


def refuse(server: misbehaving.Provider, code: str) -> IdTokenError:
    attempt = attempt_at(server)
    callback = server.authorize(attempt.get_login_url())
    error = refused(IdTokenError, "id_token", code, lambda: attempt.handle_callback(callback))
    assert attempt.tokens is None
    assert isinstance(error, IdTokenError)
    return error


@pytest.mark.parametrize(("claims", "code"), marked(CLAIMS, CASES_OF_CLAIMS))
def test_these_claims_are_refused(start: StartProvider, claims: dict[str, object], code: str) -> None:
    refuse(start(token={"access_token": ACCESS}, claims=claims), code)


@pytest.mark.parametrize(("header", "code"), marked(HEADERS, CASES_OF_HEADERS))
def test_these_headers_are_refused(start: StartProvider, header: dict[str, object], code: str) -> None:
    """Under the good token's signature, so that only the order of the checks decides which reason is named."""

    def under(token: str) -> str:
        members = {"alg": "RS256", "kid": "one", "typ": "JWT", **header}
        return header_part(token, {k: v for k, v in members.items() if v is not LEFT_OUT})

    refuse(start(id_token=under), code)


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": True}, {"jwk": KEY_IN_HEADER}, {"jku": "x"}]
)
def test_they_are_refused_under_a_good_signature_too(start: StartProvider, header: dict[str, object]) -> None:
    refuse(start(header=header), "header_key" if "crit" not in header else "header_crit")


@pytest.mark.case("advisory/key-from-header")
def test_the_key_in_the_header_is_not_used(start: StartProvider) -> None:
    refuse(start(key=rsa_key("evil"), header={"jwk": KEY_IN_HEADER}), "header_key")
    refuse(start(key=rsa_key("evil"), header={"x5c": ["AAAA"]}), "signature_bad")


@pytest.mark.parametrize(("change", "code"), marked(SHAPES, CASES_OF_SHAPES))
def test_these_shapes_are_refused(start: StartProvider, change: Callable[[str], str], code: str) -> None:
    refuse(start(id_token=change), code)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "none ", ""])
@pytest.mark.parametrize("advertised", [False, True])
@pytest.mark.case("refuse/alg-none", "refuse/alg-none-any-spelling", "refuse/alg-none-advertised")
def test_alg_none_is_refused_in_any_spelling_even_when_advertised(
    start: StartProvider, alg: str, advertised: bool
) -> None:
    metadata = {"id_token_signing_alg_values_supported": [alg, "RS256"]} if advertised else {}
    refuse(start(metadata=metadata, id_token=lambda t: header_part(t, {"alg": alg, "kid": "one"})), "alg_not_allowed")
    refuse(start(metadata=metadata, header={"alg": alg}, key=None), "id_token_malformed")


@pytest.mark.parametrize("secret", [PEM, PEM.strip(), json.dumps(public(rsa_key())).encode(), b""])
@pytest.mark.case("refuse/hs256-public-key")
def test_hs256_keyed_with_the_public_key_is_refused(start: StartProvider, secret: bytes) -> None:
    refuse(start(header={"alg": "HS256"}, key=secret), "alg_not_allowed")


def test_a_signature_by_another_key_is_refused(start: StartProvider) -> None:
    refuse(start(key=rsa_key("evil")), "signature_bad")


KEYS: dict[str, tuple[list[dict[str, Any]], dict[str, object], str]] = {
    "no_keys": ([], {}, "key_unknown"),
    "use_enc": ([public(rsa_key(), use="enc")], {}, "key_unknown"),
    "alg_of_the_key_is_another": ([public(rsa_key(), alg="PS256")], {}, "key_unknown"),
    "a_symmetric_key": ([{"kty": "oct", "k": base64url(PEM), "kid": "one"}], {}, "key_unknown"),
    "no_kid_with_several_keys": ([public(rsa_key()), public(rsa_key("evil"))], {"kid": LEFT_OUT}, "key_ambiguous"),
    "the_kid_twice": ([public(rsa_key()), public(rsa_key("evil"), kid="one")], {}, "key_ambiguous"),
    "a_key_without_modulus": ([{"kty": "RSA", "kid": "one", "e": "AQAB"}], {}, "signature_bad"),
    "a_modulus_that_is_a_number": ([public(rsa_key(), n=7)], {}, "signature_bad"),
    "an_exponent_that_is_a_number": ([public(rsa_key(), e=65537)], {}, "signature_bad"),
    "an_exponent_that_is_even": ([public(rsa_key(), e="Ag")], {}, "signature_bad"),
    "an_exponent_that_is_empty": ([public(rsa_key(), e="")], {}, "signature_bad"),
}


CASES_OF_KEYS = {
    "use_enc": ("refuse/use-enc", "statement/22-use"),
    "alg_of_the_key_is_another": ("refuse/alg-not-of-the-key", "statement/22-alg"),
    "no_kid_with_several_keys": "refuse/no-kid-several-keys",
}


@pytest.mark.parametrize(("jwks", "header", "code"), marked(KEYS, CASES_OF_KEYS))
def test_these_keys_are_refused(
    start: StartProvider, jwks: list[dict[str, Any]], header: dict[str, object], code: str
) -> None:
    refuse(start(jwks=jwks, header=header), code)


@pytest.mark.filterwarnings("ignore:Key size:joserfc.errors.SecurityWarning")
def test_a_key_of_1024_bits_is_refused(start: StartProvider) -> None:
    weak = rsa_key("weak", 1024)
    refuse(start(key=weak, jwks=[public(weak)], header={"kid": "weak"}), "key_weak")


@pytest.mark.parametrize(
    ("alg", "key", "header_alg"),
    [("ES256", ec_key("P-384"), "ES384"), ("EdDSA", okp_key("X25519"), "EdDSA")],
    ids=["P-384", "X25519"],
)
def test_a_key_on_another_curve_fits_no_algorithm(start: StartProvider, alg: str, key: Any, header_alg: str) -> None:
    def under(token: str) -> str:
        return header_part(token, {"alg": alg, "kid": key.kid})

    refuse(start(jwks=[public(key)], id_token=under), "key_unknown")


KEYS_UNREADABLE: dict[str, tuple[Raw, str]] = {
    "a_page": (Raw(200, b"<html>"), "jwks_unreadable"),
    "500": (Raw(500), "jwks_unreadable"),
    "an_array": (as_json([]), "jwks_unreadable"),
    "keys_that_are_no_list": (as_json({"keys": {"one": {}}}), "jwks_unreadable"),
    "deep_json": (Raw(200, b"[" * 100_000), "jwks_unreadable"),
    "a_redirect": (Raw(302, headers={"Location": "/elsewhere"}), "jwks_unreadable"),
    "keys_that_are_no_objects": (as_json({"keys": ["one", 1, None]}), "key_unknown"),
}


@pytest.mark.parametrize(("answer", "code"), KEYS_UNREADABLE.values(), ids=KEYS_UNREADABLE)
def test_keys_that_cannot_be_read_are_refused(start: StartProvider, answer: Raw, code: str) -> None:
    server = start(raw={"/jwks": answer})
    refuse(server, code)
    assert server.counts["/elsewhere"] == 0


@pytest.mark.case("statement/24-jwks")
def test_keys_of_more_than_512_kib_are_not_read(start: StartProvider) -> None:
    server = start(raw={"/jwks": Raw(200, b" " * (id_token.JWKS_LIMIT + 1))})
    refused(LoginError, "id_token", "too_large", lambda: log_in(server))


class TestKeysAreFetched:
    def test_once_for_two_logins(self, start: StartProvider) -> None:
        server = start()
        attempt = attempt_at(server)
        for _ in range(2):
            attempt.handle_callback(server.authorize(attempt.get_login_url()))
        assert server.counts["/jwks"] == 1

    @pytest.mark.case("refuse/kid-unknown", "statement/25-refetch-once", "advisory/jwks-flood")
    def test_once_more_for_an_unknown_kid_and_then_not_for_a_minute(
        self, start: StartProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = start()
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        server.header = {"kid": "two"}
        for seconds_later, fetched in ((1, 2), (2, 2), (60, 2), (62, 3), (100, 3), (123, 4)):
            fixed = time.monotonic() + seconds_later
            with monkeypatch.context() as patch:
                patch.setattr("lexoffice_nb.oauth.id_token.time.monotonic", lambda at=fixed: at)
                callback = server.authorize(attempt.get_login_url())
                refused(IdTokenError, "id_token", "key_unknown", lambda c=callback: attempt.handle_callback(c))
            assert server.counts["/jwks"] == fetched, seconds_later

    @pytest.mark.parametrize("kid", ["two", LEFT_OUT])
    @pytest.mark.case("accept/keys-rotated-before-signing")
    def test_again_after_the_provider_has_changed_them(
        self, start: StartProvider, monkeypatch: pytest.MonkeyPatch, kid: object
    ) -> None:
        """Without a kid, too: a session that lives for days meets the next key."""
        server = start(header={} if kid == "two" else {"kid": LEFT_OUT})
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        server.key, server.jwks, server.header = rsa_key("two"), [public(rsa_key("two"))], {"kid": kid}
        monkeypatch.setattr(id_token, "REFETCH_SECONDS", 0)
        assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"
        assert server.counts["/jwks"] == 2

    @pytest.mark.case("statement/25-old-keys-stay")
    def test_and_the_old_ones_stay_when_that_fails(self, start: StartProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        server = start()
        attempt = attempt_at(server)
        attempt.handle_callback(server.authorize(attempt.get_login_url()))
        monkeypatch.setattr(id_token, "REFETCH_SECONDS", 0)
        server.header, server.raw["/jwks"] = {"kid": "two"}, Raw(500)
        callback = server.authorize(attempt.get_login_url())
        refused(IdTokenError, "id_token", "jwks_unreadable", lambda: attempt.handle_callback(callback))
        server.header = {}
        assert attempt.handle_callback(server.authorize(attempt.get_login_url())).claims["sub"] == "person-1"


ACCEPTED: dict[str, dict[str, Any]] = {
    "a_good_one": {},
    "aud_a_list_of_one": {"claims": {"aud": [CLIENT_ID]}},
    "several_aud_with_our_azp": {"claims": {"aud": ["another", CLIENT_ID], "azp": CLIENT_ID}},
    "our_azp": {"claims": {"azp": CLIENT_ID}},
    "at_hash_absent": {"claims": {"at_hash": LEFT_OUT}},
    "ps256": {"header": {"alg": "PS256"}},
    "ps256_with_a_key_for_it": {"header": {"alg": "PS256"}, "jwks": [public(rsa_key(), alg="PS256", use="sig")]},
    "es256": {"header": {"alg": "ES256", "kid": "ec-P-256"}, "key": ec_key(), "jwks": [public(ec_key())]},
    "eddsa": {
        "header": {"alg": "EdDSA", "kid": "okp-Ed25519"},
        "key": okp_key(),
        "jwks": [public(okp_key())],
        "claims": {"at_hash": at_hash(ACCESS, hashlib.sha512)},
    },
    "no_kid_with_one_key": {"header": {"kid": LEFT_OUT}},
    "no_kid_in_the_jwks_either": {"header": {"kid": LEFT_OUT}, "jwks": [public(rsa_key(), kid=LEFT_OUT)]},
    "no_kid_with_one_key_that_fits": {
        "header": {"kid": LEFT_OUT},
        "jwks": [public(ec_key()), public(rsa_key("enc"), use="enc"), public(rsa_key()), {"kty": "XYZ"}],
    },
    "no_typ": {"header": {"typ": LEFT_OUT}},
    "typ_in_lower_case": {"header": {"typ": "jwt"}},
    "unknown_claims": {"claims": {"x": {"y": [1]}, "acr": "0", "auth_time": 1, "nbf": now(-60)}},
    "unknown_header_members": {"header": {"x": 1, "https://provider.example/x": "y"}},
    "a_certificate_chain_in_the_header": {"header": {"x5c": ["A" * 2000], "x5t": "abc"}},
    "unknown_key_members": {"jwks": [public(rsa_key(), x5c=["A" * 2000], x=1, ext=True)]},
    "exp_59_seconds_ago": {"claims": {"exp": lambda: now(-55), "iat": lambda: now(-3600)}},
    "iat_in_55_seconds": {"claims": {"iat": lambda: now(55)}},
    "nbf_in_55_seconds": {"claims": {"nbf": lambda: now(55)}},
    "times_with_decimals": {"claims": {"iat": lambda: time.time(), "exp": lambda: time.time() + 300.5}},
}  # fmt: skip


CASES_OF_ACCEPTED = {
    "aud_a_list_of_one": "accept/aud-array-of-one",
    "at_hash_absent": "accept/at-hash-absent",
    "a_good_one": "accept/rs256",
    "ps256": "statement/21-ps256",
    "es256": ("accept/es256", "statement/21-es256"),
    "eddsa": "statement/21-eddsa",
    "no_kid_with_one_key": "accept/no-kid-one-key",
    "no_kid_with_one_key_that_fits": "accept/no-kid-one-key",
    "unknown_claims": "accept/unknown-members",
    "unknown_header_members": "accept/unknown-members",
    "unknown_key_members": "accept/unknown-members",
    "exp_59_seconds_ago": "accept/clock-skew",
    "iat_in_55_seconds": "accept/clock-skew",
    "nbf_in_55_seconds": "accept/clock-skew",
}


@pytest.mark.parametrize("differences", marked(ACCEPTED, CASES_OF_ACCEPTED))
def test_it_is_accepted_with(start: StartProvider, differences: dict[str, Any]) -> None:
    claims = {name: value() if callable(value) else value for name, value in differences.get("claims", {}).items()}
    server = start(**{**differences, "claims": claims, "token": {"access_token": ACCESS}})
    assert log_in(server).claims["sub"] == "person-1"


@pytest.mark.parametrize(("claim", "code"), [("exp", "exp_past"), ("iat", "iat_future"), ("nbf", "iat_future")])
def test_65_seconds_are_too_much(start: StartProvider, claim: str, code: str) -> None:
    seconds = -65 if claim == "exp" else 70
    refuse(start(claims={"iat": now(-3600), claim: now(seconds)}), code)


class TestAWrongClock:
    """The `Date` of the token response tells whose clock is wrong, by how much, and in which direction."""

    @staticmethod
    def server(start: StartProvider, minutes: float) -> misbehaving.Provider:
        """A provider to which our clock is ahead by so many minutes."""
        theirs = now(-60 * minutes)
        server = start(claims={"iat": theirs, "exp": theirs + 300})
        exchange = server._exchange

        def with_their_date(form: dict[str, str]) -> Raw:
            answer = exchange(form)
            return Raw(answer.status, answer.body, {**answer.headers, "Date": formatdate(theirs, usegmt=True)})

        server._exchange = with_their_date  # type: ignore[method-assign]
        return server

    def test_that_is_fast_is_named_with_its_minutes(self, start: StartProvider) -> None:
        error = refuse(self.server(start, 12), "clock_fast")
        assert "about 12 minutes ahead of the provider's" in str(error)

    def test_that_is_slow_is_named_with_its_minutes(self, start: StartProvider) -> None:
        error = refuse(self.server(start, -7), "clock_slow")
        assert "about 7 minutes behind the provider's" in str(error)

    def test_that_is_a_little_wrong_does_not_matter(self, start: StartProvider) -> None:
        assert log_in(self.server(start, 0.8)).claims["sub"] == "person-1"
        assert log_in(self.server(start, -0.8)).claims["sub"] == "person-1"

    @pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00"])
    def test_is_not_blamed_for_a_date_that_is_none(self, start: StartProvider, date: str) -> None:
        server = start(claims={"iat": now(-7200), "exp": now(-3600)})
        exchange = server._exchange
        server._exchange = lambda form: Raw(200, exchange(form).body, {"Date": date})  # type: ignore[method-assign]
        refuse(server, "exp_past")


def test_a_token_of_another_issuers_login_is_refused(start: StartProvider) -> None:
    """Mix-up: a good token of one provider, handed out by another."""
    good = start()
    attempt = attempt_at(good)
    tokens = attempt.handle_callback(good.authorize(attempt.get_login_url()))
    assert tokens.id_token is not None
    other = start(token={"id_token": tokens.id_token.reveal()})
    refuse(other, "iss_other")


def test_the_helper_signs_as_the_provider_does() -> None:
    """The tests' own signing is judged too: a token of it is taken apart again by joserfc alone."""
    token = signed({"alg": "RS256", "kid": "one"}, {"sub": "x"}, rsa_key())
    assert jwt.decode(token, rsa_key(), algorithms=["RS256"]).claims == {"sub": "x"}
