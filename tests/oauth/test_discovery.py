"""A provider's description of itself (OpenID Connect Discovery 1.0, RFC 8414), and the presets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import DiscoveryError
from lexoffice_nb.oauth import metadata as metadata_module
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.metadata import METADATA_LIMIT
from lexoffice_nb.oauth.provider import Provider
from tests.oauth.misbehaving import LEFT_OUT, OAUTH_DOCUMENT, OPENID_DOCUMENT, REDIRECT_URI, Raw, as_json
from tests.oauth.signing_in import log_in, parameters_of, refused

if TYPE_CHECKING:
    from pathlib import Path

    from lexoffice_nb.sandbox import Sandbox
    from tests.oauth.conftest import StartProvider

GOOD = {
    "issuer": "https://issuer.example",
    "authorization_endpoint": "https://issuer.example/authorize",
    "token_endpoint": "https://issuer.example/token",
    "jwks_uri": "https://issuer.example/jwks",
}

ENDPOINTS_OF_ONE = {
    "name": "one",
    "title": "One",
    "api_base": "https://issuer.example",
    "authorization_endpoint": "https://issuer.example/authorize",
    "token_endpoint": "https://issuer.example/token",
}


def test_the_sandbox_describes_itself(box: Sandbox) -> None:
    found = Provider.discover(box.url)
    assert found.issuer == found.api_base == box.url
    assert found.authorization_endpoint == f"{box.url}/connect/authorize"
    assert found.token_endpoint == f"{box.url}/connect/token"
    assert found.revocation_endpoint == f"{box.url}/connect/revoke"
    assert found.userinfo_endpoint == f"{box.url}/connect/userinfo"
    assert found.jwks_uri == f"{box.url}/connect/jwks"
    assert (found.openid, found.iss_in_response, found.s256, found.local, found.shipped) == (
        True,
        True,
        True,
        True,
        False,
    )


class TestTheTwoDocuments:
    def test_are_merged(self, start: StartProvider) -> None:
        server = start(oauth_metadata={"revocation_endpoint": "http://127.0.0.1:1/revoke"})
        assert Provider.discover(server.issuer).revocation_endpoint == "http://127.0.0.1:1/revoke"

    def test_are_merged_with_the_openid_document_first(self, start: StartProvider) -> None:
        server = start(oauth_metadata={"token_endpoint": "http://127.0.0.1:1/other"})
        assert Provider.discover(server.issuer).token_endpoint == server.origin + "/token"

    def test_may_be_the_oauth_document_alone(self, start: StartProvider) -> None:
        server = start(raw={OPENID_DOCUMENT: Raw(404)}, oauth_metadata={"jwks_uri": LEFT_OUT})
        found = Provider.discover(server.issuer)
        assert found.token_endpoint == server.origin + "/token"
        assert not found.openid
        assert found.scopes == ("profile",)

    def test_of_an_issuer_with_a_path_are_found_where_each_standard_says(self, start: StartProvider) -> None:
        server = start(path="/tenant/7", oauth_metadata={"revocation_endpoint": "http://127.0.0.1:1/revoke"})
        found = Provider.discover(server.issuer)
        assert found.revocation_endpoint == "http://127.0.0.1:1/revoke"
        assert set(server.counts) == {f"/tenant/7{OPENID_DOCUMENT}", f"{OAUTH_DOCUMENT}/tenant/7"}
        assert found.api_base == server.origin
        assert log_in(server).claims["iss"] == server.origin + "/tenant/7"

    def test_of_an_issuer_with_a_slash_at_its_end_are_found(self, start: StartProvider) -> None:
        server = start(metadata={"issuer": LEFT_OUT})
        server.metadata = {"issuer": server.origin + "/"}
        assert Provider.discover(server.origin + "/").issuer == server.origin + "/"

    @pytest.mark.parametrize(
        "other", [Raw(200, b"<!doctype html>"), Raw(403), Raw(500), Raw(302, headers={"Location": "/login"})]
    )
    def test_may_be_one_where_the_server_answers_anything_for_the_other(self, start: StartProvider, other: Raw) -> None:
        assert Provider.discover(start(raw={OAUTH_DOCUMENT: other}).issuer).openid
        assert Provider.discover(start(raw={OPENID_DOCUMENT: other}, oauth_metadata={}).issuer).openid


class TestAnIssuerThatDiffers:
    @pytest.mark.parametrize("change", ["{}/", "{}x", "x{}", "{}/tenant", " {}"])
    def test_by_one_character_is_refused(self, start: StartProvider, change: str) -> None:
        server = start()
        server.metadata = {"issuer": change.format(server.issuer)}
        refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer))

    @pytest.mark.parametrize("issuer", [LEFT_OUT, None, "", 7, ["https://issuer.example"]])
    def test_by_being_none_is_refused(self, start: StartProvider, issuer: object) -> None:
        server = start(metadata={"issuer": issuer})
        refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer))

    def test_in_the_second_document_alone_is_refused(self, start: StartProvider) -> None:
        server = start(oauth_metadata={"issuer": "https://evil.example"})
        refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer))

    def test_in_case_is_refused(self, start: StartProvider) -> None:
        server = start(path="/Tenant")
        server.metadata = {"issuer": server.origin + "/tenant"}
        refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer))


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "issuer.example",
        "http://issuer.example",
        "http://127.0.0.1@issuer.example",
        "http://localhost:80@issuer.example",
        "https://me:secret@issuer.example",
        "https://issuer.example?x=1",
        "https://issuer.example#x",
        "ftp://issuer.example",
        "javascript:alert(1)",
    ],
)
def test_an_issuer_that_is_not_allowed_is_not_asked(issuer: str) -> None:
    error = refused(DiscoveryError, "discovery", "issuer_not_allowed", lambda: Provider.discover(issuer))
    assert "secret" not in str(error)


class TestAnAuthorizationEndpoint:
    @pytest.mark.parametrize(
        "more",
        [
            "#",
            "#x",
            "?a=b#client_id=x",
            *(f"?{name}=x" for name in sorted(metadata_module.OWN_PARAMETERS)),
            "?tenant=7&client_id=x",
            "?client_id",
            "?client_id=",
            "?%63lient_id=x",
            "?Client_ID=x",
            "?a=b;client_id=x",
        ],
    )
    def test_that_says_what_only_the_client_says_is_refused(self, start: StartProvider, more: str) -> None:
        server = start()
        server.metadata = {"authorization_endpoint": server.origin + "/authorize" + more}
        refused(DiscoveryError, "discovery", "endpoint_parameters", lambda: Provider.discover(server.issuer))

    def test_may_have_parameters_of_its_own(self, start: StartProvider) -> None:
        server = start()
        server.metadata = {"authorization_endpoint": server.origin + "/authorize?tenant=7&p=b2c"}
        assert Provider.discover(server.issuer).authorization_endpoint.endswith("?tenant=7&p=b2c")

    def test_is_sent_every_name_that_it_must_not_have(self) -> None:
        attempt = LexofficeLogin("me", REDIRECT_URI, ["openid", "offline_access"], Provider(**ENDPOINTS_OF_ONE))
        assert set(parameters_of(attempt.get_login_url())) <= metadata_module.OWN_PARAMETERS


class TestWhereTheCodeGoes:
    """A browser at one provider and its code at another's: what a mix-up looks like (RFC 9207 section 1)."""

    @pytest.mark.parametrize(
        ("authorization_endpoint", "token_endpoint", "iss", "said"),
        [
            ("https://a.example/authorize", "https://a.example/token", False, ""),
            ("https://a.example:443/authorize", "https://A.example/token", False, ""),
            ("https://a.example/authorize", "https://b.example/token", False, "b.example"),
            ("https://a.example/authorize", "https://a.example:8443/token", False, "a.example:8443"),
            ("http://127.0.0.1:1/authorize", "http://127.0.0.1:2/token", False, "127.0.0.1:2"),
            ("https://a.example/authorize", "https://[2001:db8::1]/token", False, "[2001:db8::1]"),
            ("https://a.example/authorize", "https://b.example/token", True, ""),
        ],
    )
    def test_is_said_where_it_is_elsewhere_and_nothing_binds_the_two(
        self, authorization_endpoint: str, token_endpoint: str, iss: bool, said: str
    ) -> None:
        found = Provider(
            name="x",
            title="x",
            api_base="https://a.example",
            authorization_endpoint=authorization_endpoint,
            token_endpoint=token_endpoint,
            iss_in_response=iss,
        )
        assert found.code_goes_to == said

    def test_of_a_provider_with_two_hosts_is_no_reason_to_refuse(self, start: StartProvider) -> None:
        server, other = start(), start()
        server.metadata = {
            "token_endpoint": other.origin + "/token",
            "authorization_response_iss_parameter_supported": LEFT_OUT,
        }
        assert Provider.discover(server.issuer).code_goes_to == other.origin.removeprefix("http://")


class TestEndpoints:
    @pytest.mark.parametrize("name", metadata_module.ENDPOINTS)
    @pytest.mark.parametrize(
        "url",
        [
            "http://issuer.example/x",
            "http://127.0.0.1:8888/x",
            "https://127.0.0.1:8888/x",
            "https://localhost/x",
            "https://10.0.0.1/x",
            "https://me@issuer.example/x",
            "javascript:alert(1)",
            "/x",
            "",
            7,
            ["https://issuer.example/x"],
        ],
    )
    def test_that_a_remote_issuer_must_not_name_are_refused(self, name: str, url: object) -> None:
        metadata = {**GOOD, name: url}
        error = refused(
            DiscoveryError,
            "discovery",
            "endpoint_not_allowed",
            lambda: metadata_module.fields_of(metadata, GOOD["issuer"]),
        )
        assert name in str(error)

    def test_of_another_host_are_allowed(self) -> None:
        fields = metadata_module.fields_of({**GOOD, "token_endpoint": "https://t.example/t"}, GOOD["issuer"])
        assert fields["token_endpoint"] == "https://t.example/t"

    def test_over_http_named_by_a_local_issuer_lead_to_this_machine_only(self, start: StartProvider) -> None:
        server = start(metadata={"token_endpoint": "http://issuer.example/token"})
        refused(DiscoveryError, "discovery", "endpoint_not_allowed", lambda: Provider.discover(server.issuer))

    @pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
    def test_that_are_needed_must_be_there(self, start: StartProvider, name: str) -> None:
        server = start(metadata={name: LEFT_OUT})
        error = refused(DiscoveryError, "discovery", "endpoint_missing", lambda: Provider.discover(server.issuer))
        assert name in str(error)

    @pytest.mark.parametrize(("methods", "s256"), [(["S256"], True), (["plain"], False), (LEFT_OUT, None), ("S256", None)])  # fmt: skip  # noqa: E501
    def test_tell_whether_s256_is_listed(self, start: StartProvider, methods: object, s256: bool | None) -> None:
        server = start(metadata={"code_challenge_methods_supported": methods})
        assert Provider.discover(server.issuer).s256 is s256


DOCUMENTS: dict[str, tuple[Raw, str]] = {
    "a_page": (Raw(200, b"<!doctype html>"), "metadata_not_json"),
    "nothing": (Raw(200), "metadata_not_json"),
    "an_array": (as_json([GOOD]), "metadata_not_json"),
    "deep_json": (Raw(200, b'{"a":' * 40_000), "metadata_not_json"),
    "500": (Raw(500), "metadata_status"),
    "403": (Raw(403), "metadata_status"),
    "a_redirect": (Raw(301, headers={"Location": "https://evil.example/"}), "metadata_status"),
    "404": (Raw(404), "no_metadata"),
    "more_than_256_kib": (Raw(200, json.dumps({"x": "x" * METADATA_LIMIT}).encode()), "too_large"),
}


@pytest.mark.parametrize(("answer", "code"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_description_is_refused_that_is(start: StartProvider, answer: Raw, code: str) -> None:
    server = start(raw={OPENID_DOCUMENT: answer})
    refused(DiscoveryError, "discovery", code, lambda: Provider.discover(server.issuer))


class TestPresets:
    def test_of_an_unknown_name_the_known_ones_are_listed(self) -> None:
        error = refused(DiscoveryError, "discovery", "unknown_provider_near", lambda: Provider.named("lexwhere"))
        assert "Did you mean lexware?" in str(error)
        assert "'lexwhere'" in str(error)
        assert all(name in str(error) for name in Provider.names())
        assert {"sandbox", "lexware"} <= set(Provider.names())

    def test_none_has_an_endpoint_that_is_not_allowed(self) -> None:
        for name in Provider.names():
            for key, value in Provider.preset(name).items():
                if key.endswith(("_endpoint", "issuer", "api_base", "jwks_uri")):
                    assert value.startswith("https://"), (name, key)

    def test_lexware_is_a_confidential_client_without_openid(self) -> None:
        found = Provider.named("lexware")
        assert (found.client_authentication, found.openid, found.issuer, found.shipped) == (
            "client_secret_basic",
            False,
            None,
            True,
        )

    def test_the_sandbox_is_found_by_its_file(
        self, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path)
        (tmp_path / "sandbox" / "address.json").write_text(json.dumps({"issuer": box.url}))
        found = Provider.named("sandbox")
        assert (found.issuer, found.client_id, found.shipped) == (box.url, "lexoffice-nb", True)
        assert found.key_page == box.url + "/addons/public-api"

    @pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"issuer"'])
    def test_the_sandbox_that_does_not_run_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path)
        if content is not None:
            (tmp_path / "sandbox").mkdir()
            (tmp_path / "sandbox" / "address.json").write_text(content)
        refused(DiscoveryError, "discovery", "sandbox_not_running", lambda: Provider.named("sandbox"))


def test_settings_override_what_was_discovered(start: StartProvider) -> None:
    found = Provider.discover(start().issuer, name="mine", title="Mine", api_base="https://api.example")
    assert (found.name, found.title, found.api_base) == ("mine", "Mine", "https://api.example")
