"""Where a request goes, what it carries, and what happens on a 401."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from lexoffice_nb import LexofficeSession, Provider, errors
from lexoffice_nb.api.client import ApiSession

VOUCHERS = {"voucherType": "invoice", "voucherStatus": "any", "size": 1}


def authorization(seen: Any) -> str | None:
    return seen.headers.get("Authorization")


def bearer(session: LexofficeSession) -> str:
    return f"Bearer {session.tokens.access_token.reveal()}"


def paths(box: Any, path: str) -> list[Any]:
    return [record for record in box.requests if record.path == path]


class TestAddresses:
    @pytest.mark.parametrize("path", ["/v1/x", "v1/x", "//v1/x", b"/v1/x", "/v1/x?a=b", "/v1/x#part"])
    def test_a_path_is_one_of_the_api(self, elsewhere, server, path):
        server.answers["/v1/x"] = [server.answers["/v1/profile"][0]]
        assert elsewhere.get(path).status_code == 200
        assert server.seen[-1].path.startswith("/v1/x")
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    def test_a_path_that_looks_like_a_host_stays_a_path(self, elsewhere, server):
        with pytest.raises(errors.NotFound):
            elsewhere.get("//evil.invalid/v1/x")
        assert server.seen[-1].path == "/evil.invalid/v1/x"

    def test_a_whole_url_of_the_api_is_signed(self, elsewhere, server):
        assert elsewhere.get(f"{server.url}/v1/profile").status_code == 200
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    def test_the_base_may_have_a_path(self, box, server, signed_in, answer):
        server.answers["/gate/v1/profile"] = [answer.of({})]
        session = signed_in(box, api=f"{server.url}/gate/")
        session.get("/v1/profile")
        assert server.seen[-1].path == "/gate/v1/profile"

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://[::1", "localhost:80/x", "file:///etc/x"])
    def test_what_is_no_address_is_refused_in_plain_words(self, elsewhere, server, url):
        with pytest.raises(errors.Invalid) as refused:
            elsewhere.get(url)
        assert refused.value.code == "api_url"
        assert server.seen == []

    @pytest.mark.parametrize("base", ["http://api.invalid", "ftp://127.0.0.1", "https://u:p@api.invalid", "api"])
    def test_an_api_that_is_neither_https_nor_here_gets_no_token(self, session, base):
        with pytest.raises(errors.DiscoveryError):
            ApiSession(session._source, base)


class TestTheBearerGoesToTheOriginOfTheApiOnly:
    @pytest.mark.case("requests/bearer-one-origin")
    def test_not_to_another_port(self, elsewhere, server, other, answer):
        other.answers["/x"] = [answer.of({})]
        elsewhere.get(f"{other.url}/x")
        assert authorization(other.seen[0]) is None

    @pytest.mark.case("requests/bearer-one-origin")
    def test_not_to_another_name_of_the_same_machine(self, elsewhere, server):
        elsewhere.get(f"http://localhost:{server.port}/v1/profile")
        assert authorization(server.seen[-1]) is None

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:{api}@127.0.0.1:{other}/x",
            "http://127.0.0.1:{api}%2F@127.0.0.1:{other}/x",
            "http://127.0.0.1:{other}#@127.0.0.1:{api}/x",
            "http://127.0.0.1:{other}?@127.0.0.1:{api}/x",
            "http://127.0.0.1:{other}\\@127.0.0.1:{api}/x",
        ],
    )
    @pytest.mark.case("requests/bearer-one-origin", "advisory/loopback-at-sign")
    def test_not_to_a_url_that_only_looks_like_it(self, elsewhere, server, other, answer, url):
        for path in ("/x", "/", "/%5C@127.0.0.1:" + str(server.port) + "/x"):
            other.answers[path] = [answer.of({})]
        elsewhere.get(url.format(api=server.port, other=other.port))
        assert server.seen == []
        assert [authorization(seen) for seen in other.seen] == [None]

    @pytest.mark.case("requests/bearer-redirect")
    def test_a_redirect_to_another_origin_loses_it(self, elsewhere, server, other, answer):
        other.answers["/there"] = [answer.of({"a": 1})]
        server.answers["/go"] = [answer(302, headers={"Location": f"{other.url}/there"})]
        assert elsewhere.get("/go").status_code == 200
        assert authorization(server.seen[-1]) == bearer(elsewhere)
        assert authorization(other.seen[0]) is None

    def test_a_redirect_on_the_same_origin_keeps_it(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/v1/profile"})]
        assert elsewhere.get("/go").history[0].status_code == 302
        assert [authorization(seen) for seen in server.seen] == [bearer(elsewhere)] * 2

    def test_a_way_back_is_signed_again(self, elsewhere, server, other, answer):
        server.answers["/go"] = [answer(307, headers={"Location": f"{other.url}/back"})]
        other.answers["/back"] = [answer(307, headers={"Location": f"{server.url}/v1/profile"})]
        elsewhere.get("/go")
        assert authorization(server.seen[-1]) == bearer(elsewhere)
        assert authorization(other.seen[0]) is None

    @pytest.mark.parametrize(
        "location",
        ["http://api.invalid/x", "http://127.0.0.1:1@evil.invalid/", "http://[::1", "ftp://x.invalid/", "javascript:1"],
    )
    def test_a_redirect_to_nowhere_good_is_not_followed(self, elsewhere, server, answer, location):
        server.answers["/go"] = [answer(302, headers={"Location": location})]
        with pytest.raises(errors.ServerTrouble) as refused:
            elsewhere.get("/go")
        assert refused.value.code == "api_redirect"

    @pytest.mark.parametrize(
        "location",
        [
            "////{host}/x",
            "/////{host}/x",
            "http:////{host}/x",
            "http://///{host}/x",
            "/\\{host}/x",
            "\\\\{host}/x",
            "http:\\\\{host}/x",
            "http:/\\{host}/x",
            "///{host}/x",
            "http:///{host}/x",
        ],
    )
    def test_a_redirect_that_names_a_host_in_no_proper_way_stays_with_the_api(
        self, elsewhere, server, other, answer, location
    ):
        server.answers["/go"] = [answer(307, headers={"Location": location.format(host=f"127.0.0.1:{other.port}")})]
        with pytest.raises(errors.NotFound):
            elsewhere.get("/go", json={"secret": "of the books"})
        assert other.seen == []
        assert [seen.method for seen in server.seen] == ["GET", "GET"]

    def test_an_empty_location_leads_nowhere(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": ""})]
        assert elsewhere.get("/go").status_code == 302
        assert len(server.seen) == 1

    def test_a_public_api_cannot_redirect_to_this_machine(self, session, other):
        remote = ApiSession(session._source, "https://api.invalid")
        response = requests.Response()
        response.status_code, response.url, response.raw = 302, "https://api.invalid/go", io.BytesIO()
        response.headers["Location"] = f"{other.url}/x"
        with pytest.raises(errors.ServerTrouble):
            remote.get_redirect_target(response)
        assert other.seen == []

    def test_redirects_in_circles_end(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/go"})]
        with pytest.raises(errors.ServerTrouble) as refused:
            elsewhere.get("/go")
        assert refused.value.code == "api_redirect"


class TestNothingElseSaysWhoAsks:
    @pytest.fixture
    def netrc(self, tmp_path, monkeypatch):
        path = tmp_path / "netrc"
        path.write_text("machine 127.0.0.1 login me password netrc-secret\n")
        path.chmod(0o600)
        monkeypatch.setenv("NETRC", str(path))

    @pytest.mark.case("requests/netrc")
    def test_netrc_does_not_replace_the_bearer(self, netrc, elsewhere, server):
        assert requests.utils.get_netrc_auth(server.url) == ("me", "netrc-secret")
        elsewhere.get("/v1/profile")
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    @pytest.mark.case("requests/netrc-after-redirect")
    def test_netrc_does_not_replace_it_after_a_redirect_either(self, netrc, elsewhere, server, other, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/v1/profile"})]
        elsewhere.get("/go")
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    @pytest.mark.case("requests/netrc")
    def test_netrc_is_not_used_even_if_somebody_trusts_the_environment(self, netrc, elsewhere, server):
        elsewhere.trust_env = True
        elsewhere.get("/v1/profile")
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    @pytest.mark.parametrize(
        "options",
        [{"headers": {"Authorization": "Bearer mine"}}, {"headers": {"authorization": "x"}}, {"auth": ("me", "word")}],
    )
    def test_a_header_of_the_caller_is_not_sent_instead(self, elsewhere, server, options):
        response = elsewhere.get("/v1/profile", **options)
        assert authorization(server.seen[-1]) == bearer(elsewhere)
        assert "Authorization" not in response.request.headers

    def test_a_name_in_the_url_is_not_sent_instead(self, elsewhere, server):
        elsewhere.get(f"http://me:word@127.0.0.1:{server.port}/v1/profile")
        assert authorization(server.seen[-1]) == bearer(elsewhere)

    def test_cookies_are_neither_kept_nor_sent(self, elsewhere, server, answer):
        server.answers["/set"] = [answer(302, headers={"Set-Cookie": "a=1; Path=/", "Location": "/v1/profile"})]
        elsewhere.get("/set", cookies={"b": "2"})
        elsewhere.get("/v1/profile")
        assert len(elsewhere.cookies) == 0
        assert [seen.headers.get("Cookie") for seen in server.seen] == [None] * 3


class TestA401:
    @pytest.mark.case("real/14-401-with-challenge")
    def test_is_followed_by_one_renewal_and_one_more_try(self, box, session):
        box.expire_access_tokens()
        before = len(box.requests)
        assert session.get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"
        assert [(r.path, r.status) for r in box.requests[before:]] == [
            ("/v1/profile", 401),
            ("/connect/token", 200),
            ("/v1/profile", 200),
        ]

    def test_twice_is_unauthorized(self, box, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer.of({"message": "Unauthorized"}, 401)]
        before = len(paths(box, "/connect/token"))
        with pytest.raises(errors.Unauthorized):
            elsewhere.get("/v1/x")
        assert len(server.seen) == 2
        assert len(paths(box, "/connect/token")) == before + 1
        assert authorization(server.seen[0]) != authorization(server.seen[1]) == bearer(elsewhere)

    def test_of_another_origin_renews_nothing(self, box, elsewhere, other, answer):
        other.answers["/x"] = [answer(401)]
        with pytest.raises(errors.Unauthorized):
            elsewhere.get(f"{other.url}/x")
        assert len(other.seen) == 1
        assert len(paths(box, "/connect/token")) == 1

    def test_behind_a_redirect_is_repeated_there(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/v1/x"})]
        server.answers["/v1/x"] = [answer(401), answer.of({"good": True})]
        assert elsewhere.get("/go").json() == {"good": True}
        assert [seen.path for seen in server.seen] == ["/go", "/v1/x", "/v1/x"]

    @pytest.mark.parametrize("body", [b"some octets", "text", io.BytesIO(b"a file")])
    def test_repeats_the_whole_body(self, elsewhere, server, answer, body):
        server.answers["/v1/files"] = [answer(401), answer.of({})]
        elsewhere.post("/v1/files", data=body)
        first, second = (seen.body for seen in server.seen)
        assert first == second != b""

    def test_of_a_body_that_can_be_read_once_is_an_error_and_renews_for_the_next_request(
        self, box, elsewhere, server, answer
    ):
        class Once(io.BytesIO):
            def seek(self, *args: Any) -> int:
                raise OSError

            def tell(self) -> int:
                raise OSError

            def __len__(self) -> int:
                return 3

        server.answers["/v1/files"] = [answer(401)]
        before = elsewhere.tokens.access_token
        with pytest.raises(errors.Unauthorized):
            elsewhere.post("/v1/files", data=Once(b"abc"))
        assert len(server.seen) == 1
        assert elsewhere.tokens.access_token != before

    def test_of_an_api_key_is_clear(self, box):
        session = LexofficeSession.from_api_key(box.make_api_key(), Provider.discover(box.url))
        box.revoke_everything()
        with pytest.raises(errors.Unauthorized, match="nothing to renew it with") as refused:
            session.get("/v1/profile")
        assert "--force" in refused.value.remedy
        assert [r.status for r in paths(box, "/v1/profile")] == [200, 401]

    def test_without_a_refresh_token_is_clear(self, box, signed_in):
        session = signed_in(box)
        kept = session._source.kept
        session._source.store.save(replace(kept, tokens=type(kept.tokens)(kept.tokens.access_token)))
        box.expire_access_tokens()
        with pytest.raises(errors.Unauthorized, match="nothing to renew it with"):
            session.get("/v1/profile")
        assert len(paths(box, "/connect/token")) == 1

    def test_with_an_ended_refresh_token_is_signed_out(self, box, session):
        box.revoke_everything()
        with pytest.raises(errors.SignedOut, match="has ended this sign-in"):
            session.get("/v1/profile")
        assert not session.signed_in

    def test_with_a_provider_in_trouble_says_so_and_keeps_the_sign_in(self, box, session):
        box.expire_access_tokens()
        box.settings.fail_token_endpoint = 503
        with pytest.raises(errors.LoginError) as refused:
            session.get("/v1/profile")
        assert refused.value.stage == "refresh"
        box.settings.fail_token_endpoint = None
        assert session.get("/v1/profile").status_code == 200

    @pytest.mark.case("real/02-no-replay")
    def test_rotated_tokens_are_kept_over_several_renewals(self, box, session):
        seen = {session.tokens.refresh_token}
        for _ in range(4):
            box.expire_access_tokens()
            session.get("/v1/profile")
            seen.add(session.tokens.refresh_token)
        assert len(seen) == 5
        assert [r.status for r in paths(box, "/connect/token")] == [200] * 5

    @pytest.mark.case("real/01-single-flight-threads")
    def test_of_eight_threads_renews_once(self, box, session):
        box.expire_access_tokens()
        start = threading.Barrier(8)

        def ask(_: int) -> int:
            start.wait()
            return session.get("/v1/voucherlist", params=VOUCHERS).status_code

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == [200] * 8
        assert [r.grant_type for r in paths(box, "/connect/token")] == ["authorization_code", "refresh_token"]


class TestWithoutASignIn:
    @pytest.mark.parametrize("url", ["/v1/profile", "https://api.invalid/x", "http://["])
    def test_every_use_says_in_two_lines_to_finish_it(self, url):
        with pytest.raises(errors.SignedOut) as refused:
            LexofficeSession().get(url)
        assert refused.value._render_traceback_() == [
            "SignedOut: Nobody is signed in yet.",
            "→ Finish the sign-in above, then run this cell again.",
        ]

    def test_a_prepared_request_is_refused_as_well(self, session, server):
        prepared = session.prepare_request(requests.Request("GET", f"{server.url}/v1/profile"))
        session.forget()
        with pytest.raises(errors.SignedOut):
            session.send(prepared)
        assert server.seen == []


class TestProxies:
    @pytest.fixture
    def proxy(self, other, answer):
        other.answers["api.invalid:443"] = [answer(502)]
        return other

    def counts(self, proxy, session, url):
        with pytest.raises(errors.ServerTrouble):
            session.get(url)
        return [seen.path for seen in proxy.seen]

    def test_of_the_environment_are_used_for_other_hosts(self, session, proxy, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert self.counts(proxy, session, "https://api.invalid/x") == ["api.invalid:443"]

    def test_in_the_way_are_named_in_the_error(self, session, proxy, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(errors.ServerTrouble) as refused:
            session.get("https://api.invalid/x")
        assert refused.value.code == "api_proxy"

    @pytest.mark.case("requests/proxy-loopback")
    def test_threat_09_never_stand_before_this_machine(self, box, session, proxy, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        session.proxies = {"http": proxy.url, "all": proxy.url}
        box.expire_access_tokens()
        session.get("/v1/profile", proxies={"http": proxy.url})
        session.userinfo()
        session.logout()
        assert proxy.seen == []

    @pytest.mark.parametrize("no_proxy", ["api.invalid", ".invalid", "*"])
    @pytest.mark.case("requests/no-proxy")
    def test_threat_09_no_proxy_holds(self, session, proxy, monkeypatch, no_proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert self.counts(proxy, session, "https://api.invalid/x") == []
        session.proxies = {"https": proxy.url}
        assert self.counts(proxy, session, "https://api.invalid/x") == []

    def test_given_for_one_request_are_used(self, session, proxy):
        with pytest.raises(errors.ServerTrouble):
            session.get("https://api.invalid/x", proxies={"https": proxy.url})
        assert len(proxy.seen) == 1

    def test_see_no_token(self, session, proxy, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        remote = ApiSession(session._source, "https://api.invalid")
        assert self.counts(proxy, remote, "/v1/profile") == ["api.invalid:443"]
        assert all(session.tokens.access_token.reveal() not in str(seen) for seen in proxy.seen)


@pytest.mark.case("requests/ca-bundle")
def test_a_certificates_file_that_is_missing_is_named_as_the_cause(session, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/does/not/exist.pem")
    with pytest.raises(errors.ServerTrouble) as refused:
        session.get("https://127.0.0.1:1/x")
    assert refused.value.code == "api_certificates"


def test_hooks_of_a_person_fail_in_their_own_words(session):
    def hook(response: Any, *args: Any, **options: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        session.get("/v1/profile", hooks={"response": hook})
