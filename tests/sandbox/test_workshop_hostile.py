"""The world of the exercises against those who want to break it, or to pass an exercise in another way."""

from __future__ import annotations

import http.client
import json
import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox, person
from lexoffice_nb.sandbox.app import default_data_dir
from lexoffice_nb.sandbox.database import Database
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.settings import SandboxSettings
from lexoffice_nb.sandbox.workshop.serving import has_ipv6
from lexoffice_nb.sandbox.workshop.untrusted import cookies_of
from tests.sandbox.workshop_world import Listener, query

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler

    Answer = Callable[[BaseHTTPRequestHandler], None]


def redirecting(to: str, *headers: tuple[str, str]) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        for name, value in (("Location", to), ("Content-Length", "0"), *headers):
            handler.send_header(name, value)
        handler.end_headers()

    return answer


# -- its folder


@pytest.mark.parametrize("named", [False, True])
def test_a_sandbox_of_the_workshop_never_opens_the_grants_of_the_usual_one(tmp_path, monkeypatch, named):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(default_data_dir())
    box = Sandbox(data_dir=link if named else None, settings=SandboxSettings(workshop=True))
    with pytest.raises(ValueError, match="a folder of its own"):
        box.start()
    assert not default_data_dir().exists()


# -- an exercise that cannot be set up


def test_what_cannot_be_written_down_is_not_set_up(world):
    world.begin(2, defence=False)
    before = world.get("state")
    for database in (world.box._database, world.box.workshop._second._database):
        database.row("PRAGMA query_only = ON")  # as where the disk is full
        try:
            refused = requests.post(
                f"{world.box.url}/workshop/exercise",
                json={"exercise": 3, "defence": True},
                headers=world.headers,
                timeout=10,
            )
        finally:
            database.row("PRAGMA query_only = OFF")
        assert (refused.status_code, refused.json()) == (507, {"error": "cannot_write"})
        assert world.get("state") == before
    assert "code_challenge_method=S256" in world.link()
    world.begin(3, defence=True)


def test_a_database_that_was_full_can_be_written_again(tmp_path):
    database = Database(tmp_path / "data.sqlite3")
    (used,) = database.row("PRAGMA page_count") or (0,)
    database.row(f"PRAGMA max_page_count = {used + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.remember("much", "x" * 100_000)
    database.row("PRAGMA max_page_count = 1000")
    database.remember("much", "y" * 100_000)
    assert len(database.note("much") or "") == 100_000
    database.close()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"exercise":' * 50_000, "\ud800", "1" * 5000])
def test_json_without_sense_or_end_is_refused(world, text):
    world.begin(9, defence=False)
    body, headers = text.encode("utf-8", "surrogatepass"), {"Content-Type": "application/json"}
    urls = [f"{world.issuer}/workshop/exercise", f"{world.issuer}/workshop/victim", f"{world.second}/operator"]
    for url in urls:
        assert requests.post(url, data=body, headers=headers | world.headers, timeout=10).status_code == 400


# -- addresses that are none

NO_ADDRESSES = [
    *("http://[", "http://127.0.0.1:99999999/", "http://a]@127.0.0.1/", "http://me:pass@127.0.0.1/", "http://[::1"),
    *("http://127.0.0.1:1/\r\nX: y", "http://127.0.0.1:1/\x00", "http://127.0.0.1:0/", "http://127.0.0.1:x/"),
]


@pytest.mark.parametrize("to", NO_ADDRESSES)
def test_the_open_redirector_leads_to_no_such_address(world, to):
    world.begin(7, defence=False)
    answer = requests.get(f"{world.app}/go", params={"to": to}, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.json()) == (400, {"error": "not_loopback"})
    assert world.only(what="redirector")["error"] == "not_loopback"


@pytest.mark.parametrize("to", [*NO_ADDRESSES, "http://127.0.0.1:1/\ud800", "http://127.0.0.1:1/\u202e"])
def test_the_second_server_forwards_to_no_such_address(world, to):
    world.begin(9, defence=False)
    assert requests.post(f"{world.second}/operator", json={"forward_to": to}, timeout=10).status_code == 400
    answer = requests.get(f"{world.second}/connect/authorize", allow_redirects=False, timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize("to", ["http://[", "http://127.0.0.1:99999999/", "http://a]@127.0.0.1/", "//[", "\x85"])
def test_a_redirect_that_is_no_url_ends_the_visit(world, answering, to):
    url = answering(redirecting(to))
    assert world.victim("open", url=f"{url}/x")["ended_at"].startswith(url)


# -- cookies


def test_an_attacker_on_another_port_sets_no_cookie_of_the_app(world, answering):
    world.begin(4, defence=True)
    with requests.Session() as http:
        callback = sign_in(world.link(http), "kanzlei")
        (own,) = [f"{cookie.name}={cookie.value}; Path=/" for cookie in http.cookies]
        world.victim("open", url=answering(redirecting(callback, ("Set-Cookie", own))))
        world.victim("use")
    assert world.only(what="callback")["error"] == "state_mismatch"
    assert {event["session"] for event in world.events(by="browser", at="app")} == {"victim"}
    assert not world.events(what="token")


def test_cookies_of_a_stranger_do_not_disable_the_browser(world, answering):
    world.begin(4, defence=True)
    asked: list[str] = []

    def bake(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Cookie"])
        cookies = [("Set-Cookie", f"c{len(asked)}-{n}={'x' * 900}") for n in range(90)]
        bad = [("Set-Cookie", 'a="\\012b"'), ("Set-Cookie", f"b={'x' * 3000}"), ("Set-Cookie", "belegheft=x")]
        redirecting("/again", *cookies[:40], *bad)(handler)

    visit = world.victim("open", url=answering(bake))
    assert (visit["status"], len(asked)) == (302, 10)
    assert 0 < max(len(each) for each in asked) < 20_000
    world.victim("sign_in")
    assert world.victim("use")["status"] == 200


def test_a_cookie_that_could_not_be_sent_back_is_not_kept():
    lines = [
        'a="\\012x"',
        'b="\\001"',
        'c="\\342\\200\\256"',
        f"d={'x' * 5000}",
        "e=ok; Path=/; HttpOnly",
        "f=a-z_=:!~",
    ]
    assert cookies_of(lines) == {"e": "ok", "f": "a-z_=:!~"}


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback on this machine")
def test_a_callback_that_was_seen_opens_nobodys_session(world):
    world.begin(8, defence=False)
    port = urlsplit(world.app).port
    with Listener("::1", port) as squatter:
        world.victim("sign_in")
        caught = query(squatter.asked[0][0])
    with requests.Session() as http:
        for path in ("/", "/me", "/login", "/callback"):
            http.get(f"{world.app}{path}", params=caught, allow_redirects=False, timeout=10)
        assert http.get(f"{world.app}/me", timeout=10).status_code == 401
    events = world.events(by="attacker", at="app")
    assert {event["session"] for event in events if event["what"] != "callback"} == {"attacker"}


# -- a round that is over


def test_a_visit_ends_with_its_round_and_leaks_nothing_into_the_next_one(world, answering):
    asked: list[str] = []
    began, go_on = threading.Event(), threading.Event()
    world.begin(1, defence=False)

    def slow(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if len(asked) == 1:
            began.set()
            go_on.wait(5)
        cookie = ("Set-Cookie", "left=over")
        redirecting(f"{world.app}/callback?code=of-the-last-round", cookie)(handler)

    url = answering(slow)
    with ThreadPoolExecutor(1) as pool:
        visit = pool.submit(world.victim, "open", url=f"{url}/x")
        assert began.wait(5)
        world.begin(1, defence=False)
        go_on.set()
        assert visit.result(10) == {"ended_at": f"{url}/x", "status": 302}
    assert world.get("leaks") == world.events() == []
    sent = []
    world.victim("open", url=answering(lambda handler: (sent.append(handler.headers["Cookie"]), slow(handler))[1]))
    assert sent == [""]


# -- the second server's operator


def test_forms_of_other_pages_do_not_push_out_what_the_app_sent(world):
    world.begin(9, defence=False)
    token = f"{world.second}/connect/token"
    requests.post(token, data={"code": "real"}, timeout=10)
    for origin in ("null", "http://evil.example"):
        for _ in range(15):
            requests.post(token, data={"code": "junk"}, headers={"Origin": origin}, timeout=10)
    assert requests.get(f"{world.second}/operator", timeout=10).json()["received"] == [{"code": "real"}]


def test_the_forms_that_the_second_server_keeps_are_few_and_short(world):
    world.begin(9, defence=False)
    for number in range(25):
        form = {"code": "x" * 50_000, "n": str(number)} | {f"f{n}": "y" for n in range(60)}
        requests.post(f"{world.second}/connect/token", data=form, timeout=10)
    received = requests.get(f"{world.second}/operator", timeout=10).json()["received"]
    assert (len(received), received[-1]["n"]) == (20, "24")
    assert len(json.dumps(received)) < 40_000
    assert len(world.get("leaks")) == 20


# -- the scripted person


@pytest.mark.parametrize("allow", [True, False])
def test_a_scripted_sign_in_prints_and_logs_nothing(world, capfd, caplog, monkeypatch, allow):
    world.begin(3, defence=True)
    link = world.link()
    before = logging.getLogger("urllib3.connectionpool").filters
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with caplog.at_level(logging.DEBUG):
        callback = sign_in(link, "kanzlei", allow)
        written = "".join(capfd.readouterr()) + caplog.text
    secrets = [value for value in (*query(link).values(), *query(callback).values()) if len(value) > 40]
    assert len(secrets) >= 3
    assert not [secret for secret in secrets if secret in written]
    assert "/sign-in?request=••••" in written
    assert logging.getLogger("urllib3.connectionpool").filters == before


def test_other_connections_of_the_same_program_are_logged_as_ever(world, caplog):
    world.begin(3, defence=True)
    with caplog.at_level(logging.DEBUG), person._discreet(), ThreadPoolExecutor(1) as pool:
        pool.submit(requests.get, f"{world.app}/?a=b", timeout=10).result(10)
        requests.get(f"{world.app}/?c=d", timeout=10)
    assert '"GET /?a=b HTTP' in caplog.text
    assert '"GET /?c=•••• HTTP' in caplog.text
