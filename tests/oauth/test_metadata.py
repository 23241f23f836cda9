"""A provider's description is kept for the session: how long, for whom, and that nobody can change it."""

from __future__ import annotations

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from lexoffice_nb.errors import DiscoveryError
from lexoffice_nb.oauth import metadata, transport
from lexoffice_nb.oauth.provider import Provider
from tests.oauth.misbehaving import OAUTH_DOCUMENT, OPENID_DOCUMENT, Raw, as_json
from tests.oauth.signing_in import refused

if TYPE_CHECKING:
    from tests.oauth.conftest import StartProvider
    from tests.oauth.misbehaving import Provider as Server


def asked(server: Server) -> int:
    return sum(server.counts.values())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that says how old a description is; a test sets it."""
    now = [1000.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(metadata, "time", Clock)
    return now


def test_a_second_look_asks_for_nothing(start: StartProvider) -> None:
    server = start(oauth_metadata={})
    first = Provider.discover(server.issuer)
    assert asked(server) == 2
    assert Provider.discover(server.issuer) == first
    assert asked(server) == 2


def test_what_is_forgotten_is_asked_for_again(start: StartProvider) -> None:
    server, other = start(), start()
    Provider.discover(server.issuer)
    Provider.discover(other.issuer)
    metadata.forget_metadata(server.issuer)
    Provider.discover(server.issuer)
    Provider.discover(other.issuer)
    assert (asked(server), asked(other)) == (4, 2)
    metadata.forget_metadata()
    Provider.discover(server.issuer)
    Provider.discover(other.issuer)
    assert (asked(server), asked(other)) == (6, 4)


def test_what_was_forgotten_may_be_another_now(start: StartProvider) -> None:
    server = start()
    Provider.discover(server.issuer)
    server.metadata = {"token_endpoint": f"{server.origin}/new"}
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/token"
    metadata.forget_metadata(server.issuer)
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/new"


def test_after_its_time_it_is_asked_for_again(start: StartProvider, clock: list[float]) -> None:
    server = start()
    Provider.discover(server.issuer)
    clock[0] += metadata.KEPT_SECONDS - 0.001
    Provider.discover(server.issuer)
    assert asked(server) == 2
    clock[0] += 0.001
    Provider.discover(server.issuer)
    assert asked(server) == 4
    clock[0] += metadata.KEPT_SECONDS - 0.001  # counted from the newest answer
    Provider.discover(server.issuer)
    assert asked(server) == 4


def test_it_is_kept_in_the_first_hour_of_a_machine_too(start: StartProvider, clock: list[float]) -> None:
    clock[0] = 1.0
    server = start()
    Provider.discover(server.issuer)
    Provider.discover(server.issuer)
    assert asked(server) == 2


FAILURES: dict[str, tuple[Raw, str]] = {
    "500": (Raw(500), "metadata_status"),
    "404": (Raw(404), "no_metadata"),
    "a_page": (Raw(200, b"<!doctype html>"), "metadata_not_json"),
    "another_issuer": (as_json({"issuer": "https://other.example"}), "issuer_differs"),
    "too_large": (Raw(200, b"x" * (metadata.METADATA_LIMIT + 1)), "too_large"),
}


@pytest.mark.parametrize(("answer", "code"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_never_kept(start: StartProvider, answer: Raw, code: str) -> None:
    server = start(raw={OPENID_DOCUMENT: answer})
    refused(DiscoveryError, "discovery", code, lambda: Provider.discover(server.issuer))
    before = server.counts[OPENID_DOCUMENT]
    refused(DiscoveryError, "discovery", code, lambda: Provider.discover(server.issuer))
    assert server.counts[OPENID_DOCUMENT] == before + 1
    del server.raw[OPENID_DOCUMENT]
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/token"


def test_past_its_time_it_is_not_used_even_where_nothing_newer_can_be_had(
    start: StartProvider, clock: list[float]
) -> None:
    server = start()
    Provider.discover(server.issuer)
    clock[0] += metadata.KEPT_SECONDS
    server.raw[OPENID_DOCUMENT] = Raw(500)
    refused(DiscoveryError, "discovery", "metadata_status", lambda: Provider.discover(server.issuer))


def test_a_description_elsewhere_is_another_one(start: StartProvider) -> None:
    server = start()
    for number in (1, 2):
        other = {**server._description(), "token_endpoint": f"{server.origin}/token/{number}"}
        server.raw[f"/odd/{number}"] = as_json(other)
    places = [None, f"{server.origin}/odd/1", f"{server.origin}/odd/2"]
    for _ in range(2):
        found = [Provider.discover(server.issuer, metadata_url=place).token_endpoint for place in places]
        assert [url.removeprefix(server.origin) for url in found] == ["/token", "/token/1", "/token/2"]
    assert asked(server) == 4
    metadata.forget_metadata(server.issuer)
    Provider.discover(server.issuer, metadata_url=places[1])
    assert asked(server) == 5


def test_an_issuer_spelled_otherwise_is_another_one(start: StartProvider) -> None:
    server = start()
    Provider.discover(server.issuer)
    error = refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer + "/"))
    assert f"calls itself {server.issuer.replace('://', '[:]//')}, and" in error.what("en")  # no link, and told apart


def test_settings_of_one_sign_in_are_not_kept_for_the_next(start: StartProvider) -> None:
    server = start()
    mine = Provider.discover(server.issuer, token_endpoint=f"{server.origin}/mine")
    assert mine.token_endpoint == f"{server.origin}/mine"
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/token"


def test_many_threads_at_once_are_all_told_the_same(start: StartProvider) -> None:
    server = start()
    gate = threading.Barrier(8)

    def look(_: int) -> Provider:
        gate.wait(10)
        return Provider.discover(server.issuer)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, range(8)))
    assert found == [found[0]] * 8
    before = asked(server)
    assert Provider.discover(server.issuer) == found[0]
    assert asked(server) == before


def test_what_is_kept_cannot_be_changed_by_who_got_it(start: StartProvider) -> None:
    server = start(metadata={"code_challenge_methods_supported": ["plain"], "mtls": {"token_endpoint": "x"}})
    found = Provider.discover(server.issuer)
    changeable: Any = found.metadata
    with pytest.raises(TypeError):
        changeable["token_endpoint"] = "https://evil.example/token"
    changeable["code_challenge_methods_supported"].append("S256")
    changeable["mtls"]["token_endpoint"] = "y"
    again = Provider.discover(server.issuer)
    assert (again.s256, again.leaves_pkce_open) == (False, True)
    assert again.metadata["mtls"] == {"token_endpoint": "x"}
    assert asked(server) == 2


@pytest.mark.parametrize("depth", [10, 300, 900, 990, 1000, 5000])
def test_a_description_of_any_depth_is_read_or_refused_as_ours(start: StartProvider, depth: int) -> None:
    server = start()
    described = json.dumps(server._description())[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
    server.raw[OPENID_DOCUMENT] = Raw(200, described.encode())
    assert _outcome(server) in (["", "metadata_not_json"] if depth > 100 else [""])


def _outcome(server: Server, frames: int = 0) -> str:
    """Discovers from that deep within a program; gives the error's code, or nothing if all is well."""
    if frames:
        return _outcome(server, frames - 1)
    try:
        found = Provider.discover(server.issuer)
    except DiscoveryError as error:
        return error.code
    return "" if found.token_endpoint == f"{server.origin}/token" else "wrong"


@pytest.mark.parametrize("frames", [0, 200, 350, 500])
def test_what_is_kept_is_read_or_refused_as_ours_however_deep_a_program_is(start: StartProvider, frames: int) -> None:
    server = start()
    described = json.dumps(server._description())[:-1] + ', "deep": ' + "[" * 600 + "]" * 600 + "}"
    server.raw[OPENID_DOCUMENT] = Raw(200, described.encode())
    assert _outcome(server) == ""
    assert _outcome(server, frames) in ("", "metadata_not_json")
    assert asked(server) == 2


def test_a_description_has_its_limit_when_it_is_unpacked(start: StartProvider) -> None:
    def packed(more: int) -> Raw:
        described = json.dumps(server._description())[:-1] + ', "x": "'
        octets = described + "x" * (metadata.METADATA_LIMIT - len(described) - 2 + more) + '"}'
        return Raw(200, gzip.compress(octets.encode()), {"Content-Encoding": "gzip"})

    server = start()
    server.raw[OPENID_DOCUMENT] = packed(1)
    refused(DiscoveryError, "discovery", "too_large", lambda: Provider.discover(server.issuer))
    server.raw[OPENID_DOCUMENT] = packed(0)
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/token"


@pytest.mark.parametrize("path", [OPENID_DOCUMENT, OAUTH_DOCUMENT])
def test_either_document_has_to_come_in_time(start: StartProvider, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(transport, "DEADLINE_SECONDS", 0.3)
    server = start(oauth_metadata={}, raw={path: Raw(slowly=(b"x",) * 400, pause=0.05)})
    begun = time.monotonic()
    refused(DiscoveryError, "discovery", "timeout", lambda: Provider.discover(server.issuer))
    assert time.monotonic() - begun < 3
    server.raw.clear()
    assert Provider.discover(server.issuer).token_endpoint == f"{server.origin}/token"


def test_a_provider_is_named_with_its_port_and_path(start: StartProvider) -> None:
    server = start(raw={OPENID_DOCUMENT: Raw(404)})
    port = urlsplit(server.issuer).port
    error = refused(DiscoveryError, "discovery", "no_metadata", lambda: Provider.discover(server.issuer))
    assert error.what("en").startswith(f"127.0.0.1:{port} publishes")
    error = refused(DiscoveryError, "discovery", "no_metadata", lambda: Provider.discover(f"{server.issuer}/realms/a"))
    assert error.what("en").startswith(f"127.0.0.1:{port}/realms/a publishes")


@pytest.mark.parametrize(
    "place", ["openid-configuration", "oauth-authorization-server", "oauth-authorization-server/a"]
)
def test_the_address_of_a_description_is_told_from_an_issuers(start: StartProvider, place: str) -> None:
    server = start()
    given = f"{server.issuer}/.well-known/{place}"
    error = refused(DiscoveryError, "discovery", "issuer_description", lambda: Provider.discover(given))
    assert "Give the part before /.well-known/." in str(error)
    assert asked(server) == 0


@pytest.mark.parametrize("said", ["https://evil.example/\x1b[31m", "www.evil.example", "x" * 5000, None, 7, ["a"]])
def test_what_another_issuer_calls_itself_is_shown_harmlessly(start: StartProvider, said: object) -> None:
    server = start(raw={OPENID_DOCUMENT: as_json({"issuer": said})})
    shown = refused(DiscoveryError, "discovery", "issuer_differs", lambda: Provider.discover(server.issuer)).what("en")
    assert len(shown) < 400
    assert shown.isprintable()
    assert "://" not in shown
    assert "www." not in shown
