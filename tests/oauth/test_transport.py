"""The way to a provider: time, size, redirects, proxies, netrc, cookies."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import DiscoveryError, LoginError
from lexoffice_nb.oauth import deadline, transport
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.transport import Origin, fetch, is_allowed, is_loopback, proxies_for, proxy_host
from tests.oauth.misbehaving import CountingProxy, Raw
from tests.oauth.signing_in import attempt_at, log_in, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.oauth.conftest import StartProvider

SHORT = 0.3
LONG_ENOUGH = 3.0
DRIP = tuple(b"x" for _ in range(400))
SLOW: dict[str, Raw] = {
    "silence": Raw(slowly=(b"late",), pause=20, headers_end=False, headers={}),
    "a_body_that_never_comes": Raw(slowly=(b"late",), pause=20),
    "a_body_that_drips": Raw(slowly=DRIP, pause=0.05),
    "a_body_that_drips_in_chunks": Raw(
        headers={"Transfer-Encoding": "chunked"}, slowly=(b"1\r\nx\r\n",) * 400, pause=0.05
    ),
    "headers_that_drip": Raw(slowly=tuple(b"X-%d: y\r\n" % n for n in range(400)), pause=0.05, headers_end=False),
    "one_header_that_drips": Raw(slowly=DRIP, pause=0.05, headers_end=False),
}


def get(url: str, *, stage: str = "token", limit: int = 1000) -> transport.Answer:
    return fetch("GET", url, stage=stage, limit=limit)


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", SHORT)


@pytest.fixture
def proxy() -> Iterator[CountingProxy]:
    with CountingProxy() as proxy:
        yield proxy


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class TestAProviderThatIsDown:
    def test_is_named_at_discovery(self) -> None:
        issuer = f"http://127.0.0.1:{closed_port()}"
        error = refused(DiscoveryError, "discovery", "unreachable", lambda: Provider.discover(issuer))
        assert str(error).startswith("127.0.0.1 cannot be reached")

    def test_is_named_at_the_token_request(self, start: StartProvider) -> None:
        server = start(metadata={"token_endpoint": f"http://127.0.0.1:{closed_port()}/token"})
        refused(LoginError, "token", "unreachable", lambda: log_in(server))

    def test_by_hanging_up_is_unreachable(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=lambda: listening.accept()[0].close())
            thread.start()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            refused(LoginError, "token", "unreachable", lambda: get(url))
            thread.join()

    def test_by_cutting_its_answer_short_is_unreachable(self, start: StartProvider) -> None:
        server = start(raw={"/cut": Raw(headers={"Content-Length": "100"}, slowly=(b"{}",))})
        refused(LoginError, "token", "unreachable", lambda: get(server.origin + "/cut"))

    def test_by_speaking_no_tls_is_named_as_such(self, start: StartProvider) -> None:
        url = start().origin.replace("http:", "https:")
        refused(LoginError, "token", "tls", lambda: get(url))

    def test_by_a_damaged_encoding_is_unreachable(self, start: StartProvider) -> None:
        server = start(raw={"/gzip": Raw(200, b"no gzip", {"Content-Encoding": "gzip"})})
        refused(LoginError, "token", "unreachable", lambda: get(server.origin + "/gzip"))


class TestAProviderThatIsSlow:
    @pytest.mark.usefixtures("short_deadline")
    @pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
    def test_is_given_up_when_the_time_is_over(self, start: StartProvider, answer: Raw) -> None:
        server = start(raw={"/slow": answer})
        begun = time.monotonic()
        error = refused(LoginError, "token", "timeout", lambda: get(server.origin + "/slow"))
        assert SHORT <= time.monotonic() - begun < LONG_ENOUGH
        assert "within 1 seconds" in str(error)

    @pytest.mark.usefixtures("short_deadline")
    def test_in_its_tls_handshake_is_given_up_too(self) -> None:
        ended = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def drip() -> None:
                connection, _ = listening.accept()
                with connection:
                    # The head of a handshake record of 16 KiB, then its body, octet by octet.
                    connection.sendall(b"\x16\x03\x03\x40\x00")
                    while not ended.wait(0.05):
                        try:
                            connection.sendall(b"\x02")
                        except OSError:
                            return

            thread = threading.Thread(target=drip)
            thread.start()
            begun = time.monotonic()
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            refused(LoginError, "token", "timeout", lambda: get(url))
            assert time.monotonic() - begun < LONG_ENOUGH
            ended.set()
            thread.join()

    @pytest.mark.usefixtures("short_deadline")
    @pytest.mark.parametrize(
        ("path", "kind", "stage"),
        [
            ("/.well-known/openid-configuration", DiscoveryError, "discovery"),
            ("/token", LoginError, "token"),
            ("/jwks", LoginError, "id_token"),
        ],
    )
    def test_is_named_with_the_stage(self, start: StartProvider, path: str, kind: type[LoginError], stage: str) -> None:
        server = start(raw={path: SLOW["headers_that_drip"]})
        refused(kind, stage, "timeout", lambda: log_in(server))

    def test_whose_connection_comes_after_the_end_is_shut_down_at_once(self) -> None:
        late = deadline.Deadline(60)
        late._end()
        one, other = socket.socketpair()
        with one, other, late:
            late.watch(one)
            other.settimeout(5)
            assert other.recv(1) == b""

    def test_leaves_no_thread_and_no_connection_behind(self, start: StartProvider) -> None:
        server = start()
        watched: list[deadline.Deadline] = []

        class Noted(deadline.Deadline):
            def __init__(self, seconds: float) -> None:
                super().__init__(seconds)
                watched.append(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deadline, "Deadline", Noted)
            get(server.origin + "/jwks", limit=10_000)
        assert len(watched) == 1
        assert watched[0]._connections == []
        watched[0]._timer.join(5)
        assert not watched[0]._timer.is_alive()


class TestAnAnswerThatIsTooLarge:
    @pytest.mark.parametrize(
        "answer",
        [
            Raw(200, b"x" * 1001),
            Raw(200, gzip.compress(b"x" * 1001), {"Content-Encoding": "gzip"}),
            Raw(200, b"", slowly=(b"x" * 600, b"x" * 600), headers={}),
        ],
        ids=["plain", "compressed", "without_length"],
    )
    def test_is_not_read(self, start: StartProvider, answer: Raw) -> None:
        server = start(raw={"/large": answer})
        refused(LoginError, "token", "too_large", lambda: get(server.origin + "/large"))

    def test_may_have_just_the_limit(self, start: StartProvider) -> None:
        server = start(raw={"/fits": Raw(200, gzip.compress(b"x" * 1000), {"Content-Encoding": "gzip"})})
        assert get(server.origin + "/fits").body == b"x" * 1000

    def test_is_dropped_at_the_limit_even_as_a_gzip_bomb(self, start: StartProvider) -> None:
        import tracemalloc

        bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
        server = start(raw={"/bomb": Raw(200, bomb, {"Content-Encoding": "gzip"})})
        tracemalloc.start()
        try:
            refused(LoginError, "token", "too_large", lambda: get(server.origin + "/bomb"))
            assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
        finally:
            tracemalloc.stop()

    def test_ends_a_login_by_a_gzip_bomb(self, start: StartProvider) -> None:
        bomb = gzip.compress(json.dumps({"x": "x" * 5_000_000}).encode())
        server = start(raw={"/token": Raw(200, bomb, {"Content-Encoding": "gzip"})})
        refused(LoginError, "token", "too_large", lambda: log_in(server))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/jwks", "/.well-known/openid-configuration"])
def test_no_redirect_is_followed(start: StartProvider, status: int, path: str) -> None:
    elsewhere = start()
    server = start(raw={path: Raw(status, headers={"Location": elsewhere.origin + path})})
    with pytest.raises(LoginError):
        log_in(server)
    assert elsewhere.counts == {}
    assert server.counts[path] == 1


class TestCredentialsThatNobodyAskedFor:
    @pytest.mark.case("requests/netrc-provider")
    def test_a_netrc_entry_is_not_used(
        self, start: StartProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine 127.0.0.1 login me password hunter2\ndefault login me password hunter2\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(netrc))
        server = start()
        log_in(server)
        assert [sent for sent in server.headers if "Authorization" in sent] == []
        assert len(server.headers) == 4

    def test_cookies_are_neither_kept_nor_sent(self, start: StartProvider) -> None:
        server = start()
        good = server._description()
        body = json.dumps(good).encode()
        server.raw["/.well-known/openid-configuration"] = Raw(200, body, {"Set-Cookie": "who=me; Path=/"})
        log_in(server)
        log_in(server)
        assert [sent for sent in server.headers if "Cookie" in sent] == []


class TestProxies:
    @pytest.fixture(autouse=True)
    def _proxies_are_set(self, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

    @pytest.mark.case("requests/proxy-loopback")
    def test_threat_09_loopback_never_goes_to_a_proxy(self, start: StartProvider, proxy: CountingProxy) -> None:
        server = start()
        assert log_in(server).claims["sub"] == "person-1"
        get(server.origin.replace("127.0.0.1", "localhost") + "/jwks", limit=10_000)
        assert proxy.asked == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "[::1]"])
    def test_threat_09_no_spelling_of_loopback_has_a_proxy(self, host: str) -> None:
        assert proxies_for(f"http://{host}:8765/token") == {}
        assert proxy_host(f"https://{host}/token") is None

    def test_threat_09_every_other_host_goes_through_it(self, proxy: CountingProxy) -> None:
        refused(
            DiscoveryError, "discovery", "unreachable", lambda: Provider.discover("https://provider.invalid/tenant")
        )
        assert proxy.asked == ["CONNECT provider.invalid:443"]
        assert get("http://provider.invalid/x").status == 502
        assert proxy.asked[1:] == ["GET http://provider.invalid/x"]

    @pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
    @pytest.mark.parametrize("value", ["provider.invalid", ".invalid", "other.invalid, provider.invalid", "*"])
    @pytest.mark.case("requests/no-proxy")
    def test_threat_09_no_proxy_holds(
        self, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        asked: list[str] = []

        def no_such_host(host: str, *_: object, **__: object) -> None:
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "not known")

        monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
        refused(LoginError, "token", "unreachable", lambda: get("https://provider.invalid/token"))
        assert proxy.asked == []
        assert asked == ["provider.invalid"]

    @pytest.mark.case("requests/no-proxy")
    def test_threat_09_each_origin_has_its_own(self, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "direct.invalid")
        monkeypatch.delenv("no_proxy", raising=False)
        assert proxies_for("https://direct.invalid/a") == {}
        assert proxies_for("https://provider.invalid/a")["https"] == proxy.url
        assert proxies_for("https://direct.invalid/b") == {}

    def test_threat_09_a_proxy_that_is_set_later_counts_from_then_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert proxy_host("https://provider.invalid/") != "later.invalid:3128"
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://me:hunter2@later.invalid:3128")
        assert proxy_host("https://provider.invalid/") == "later.invalid:3128"

    def test_threat_09_the_deadline_holds_for_a_proxy(
        self, start: StartProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "DEADLINE_SECONDS", SHORT)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for name in ("https_proxy", "HTTPS_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
            begun = time.monotonic()
            refused(LoginError, "token", "timeout", lambda: get("https://provider.invalid/token"))
            assert time.monotonic() - begun < LONG_ENOUGH


class TestAllowed:
    @pytest.mark.parametrize(
        "url",
        ["https://issuer.example", "https://issuer.example:8443/a?b=c", "http://127.0.0.1:8765/", "http://[::1]/x"],
    )
    def test_are_https_and_loopback(self, url: str) -> None:
        assert is_allowed(url)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "issuer.example",
            "//issuer.example",
            "http://issuer.example",
            "http://localhost.example",
            "http://anything.localhost",
            "http://127.1/",
            "http://127.0.0.1.example/",
            "http://127.0.0.1@issuer.example/",
            "http://localhost:80@issuer.example/",
            "https://me@issuer.example/",
            "https://me:secret@issuer.example/",
            "https://@issuer.example/",
            "https://issuer.example\\@127.0.0.1/",
            "https://issuer.example\\.other.example/",
            "https://issuer%2eexample/",
            "https://issuer.example/a b",
            "https://issuer.example/\n",
            "https://issu\ter.example/",
            "https://issüer.example/",
            "https://127。0。0。1/",
            "https://issuer.example:99999/",
            "https://issuer.example:0/",
            "https://[::1/",
            "https://",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
        ],
    )
    def test_are_not(self, url: str) -> None:
        assert not is_allowed(url)

    @pytest.mark.parametrize(
        ("named_by", "url", "allowed"),
        [
            ("https://issuer.example", "https://token.example/token", True),
            ("https://issuer.example", "https://8.8.8.8/token", True),
            ("https://issuer.example", "http://127.0.0.1:8888/token", False),
            ("https://issuer.example", "https://127.0.0.1:8888/token", False),
            ("https://issuer.example", "https://127.1/token", False),
            ("https://issuer.example", "https://2130706433/token", False),
            ("https://issuer.example", "https://0x7f000001/token", False),
            ("https://issuer.example", "https://0/token", False),
            ("https://issuer.example", "https://[::1]/token", False),
            ("https://issuer.example", "https://[::ffff:127.0.0.1]/token", False),
            ("https://issuer.example", "https://[::]/token", False),
            ("https://issuer.example", "https://localhost/token", False),
            ("https://issuer.example", "https://localhost./token", False),
            ("https://issuer.example", "https://x.localhost/token", False),
            ("https://issuer.example", "https://10.0.0.1/token", False),
            ("https://issuer.example", "https://192.168.1.1/token", False),
            ("https://issuer.example", "https://169.254.169.254/token", False),
            ("https://issuer.example", "https://[fe80::1]/token", False),
            ("https://issuer.example", "https://[fd00::1]/token", False),
            ("https://issuer.example", "https://[::127.0.0.1]/token", False),
            ("https://issuer.example", "https://[::10.0.0.1]/token", False),
            ("https://issuer.example", "https://[64:ff9b::7f00:1]/token", False),
            ("https://issuer.example", "https://[64:ff9b::a00:1]/token", False),
            ("https://issuer.example", "https://[64:ff9b::808:808]/token", True),
            ("https://issuer.example", "https://[64:ff9b:1::808:808]/token", False),
            ("https://issuer.example", "https://[2002:7f00:1::]/token", False),
            ("https://issuer.example", "https://[2002:a00:1::1]/token", False),
            ("https://issuer.example", "https://[2002:808:808::1]/token", True),
            ("https://issuer.example", "https://[::ffff:0:127.0.0.1]/token", False),
            ("https://issuer.example", "https://[::ffff:0:10.0.0.1]/token", False),
            ("https://issuer.example", "https://[2606:4700::1]/token", True),
            ("https://issuer.example", "https://ip6-localhost/token", False),
            ("https://issuer.example", "https://ip6-loopback/token", False),
            ("https://issuer.example", "https://localhost.localdomain/token", False),
            ("https://issuer.example", "https://intranet/token", False),
            ("https://issuer.example", "https://intranet./token", False),
            ("https://issuer.example", "https://printer.local/token", False),
            ("https://issuer.example", "https://PRINTER.LOCAL./token", False),
            ("https://issuer.example", "https://metadata.google.internal/token", False),
            ("https://issuer.example", "https://local.example/token", True),
            ("https://keycloak", "https://keycloak/token", True),
            ("https://keycloak", "https://10.0.0.1/token", True),
            ("https://keycloak.local", "https://keycloak.local/token", True),
            ("https://keycloak", "https://ip6-localhost/token", False),
            ("https://keycloak", "https://[64:ff9b::7f00:1]/token", False),
            ("https://10.0.0.1", "https://10.0.0.2/token", True),
            ("https://10.0.0.1", "https://127.0.0.1/token", False),
            ("https://10.0.0.1", "http://127.0.0.1/token", False),
            ("https://10.0.0.1", "https://[::ffff:127.0.0.1]/token", False),
            ("https://10.0.0.1", "https://0.0.0.0/token", False),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/token", True),
            ("http://127.0.0.1:1", "https://token.example/token", True),
            ("http://127.0.0.1:1", "http://token.example/token", False),
        ],
    )
    def test_lead_no_nearer_than_who_names_them(self, named_by: str, url: str, allowed: bool) -> None:
        assert is_allowed(url, named_by=named_by) is allowed


class TestOrigin:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("https://a.example", "https://A.example:443/x?y#z", True),
            ("http://a.example:80", "http://a.example", True),
            ("https://a.example", "http://a.example", False),
            ("https://a.example", "https://a.example:444", False),
            ("https://a.example", "https://a.example.evil", False),
            ("http://a.example", "http://a.example:0", False),
        ],
    )
    def test_is_compared_as_a_whole(self, one: str, other: str, same: bool) -> None:
        assert (Origin.of(one) == Origin.of(other)) is same

    @pytest.mark.parametrize(
        ("url", "shown"),
        [("https://a.example:443/x", "https://a.example"), ("http://[::1]:8080/", "http://[::1]:8080")],
    )
    def test_is_written_like_a_browser_does(self, url: str, shown: str) -> None:
        assert str(Origin.of(url)) == shown

    @pytest.mark.parametrize("url", ["", "x", "https://[", "https://a:b", "http://:80"])
    def test_of_what_has_no_host_is_none(self, url: str) -> None:
        assert Origin.of(url).host == ""
        assert not is_loopback(url)


def test_an_answer_shows_neither_body_nor_headers(start: StartProvider) -> None:
    answer = get(start(raw={"/x": Raw(200, b"s3cr3t", {"X-Secret": "s3cr3t"})}).origin + "/x")
    assert answer.body == b"s3cr3t"
    assert "s3cr3t" not in repr(answer)


@pytest.mark.case("requests/ca-bundle")
def test_the_certificates_of_the_environment_are_used(
    start: StartProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    assert transport.ca_bundle() == str(tmp_path / "none.pem")
    refused(LoginError, "token", "unreachable", lambda: get(start().origin.replace("http:", "https:")))
    assert attempt_at(start()).provider.token_endpoint  # plain http needs none
