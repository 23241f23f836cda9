"""The world of the exercises: who may steer it, what it never gives away, and that nothing of it is elsewhere."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox, person, process
from lexoffice_nb.sandbox.authorization import Issuer
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.process import find, find_or_start, stop
from lexoffice_nb.sandbox.settings import SandboxSettings
from lexoffice_nb.sandbox.workshop import browser as victims_browser
from lexoffice_nb.sandbox.workshop import journal as journals
from lexoffice_nb.sandbox.workshop import world as worlds
from lexoffice_nb.sandbox.workshop.defences import NO_EXERCISE, SETTINGS, Defences
from lexoffice_nb.sandbox.workshop.journal import ATTACKER, MARK_HEADER, MOST_EVENTS, Journal, Marks
from tests.sandbox.workshop_world import Listener, World, changed, query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

ROOT = Path(process.__file__).resolve().parents[2]
CALLBACK = "http://127.0.0.1:51234/callback"
ROUTES = [("GET", "state"), ("POST", "exercise"), ("POST", "victim"), ("GET", "leaks"), ("GET", "journal")]


@pytest.fixture
def idle(world: World) -> World:
    """The world in which no exercise goes on."""
    state = world.post("exercise", exercise=None)
    world.issuer, world.app, world.second, world.since = (state[n] for n in ("issuer", "app", "second", "since"))
    return world


# -- without --workshop there is nothing of it


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_without_the_option_there_is_no_control_route(shared_box, method, route):
    headers = World(shared_box).headers
    response = requests.request(method, f"{shared_box.url}/workshop/{route}", headers=headers, json={}, timeout=10)
    assert response.status_code == 404


def test_without_the_option_the_issuer_is_of_the_class_that_has_no_switch(box):
    assert (box.settings.workshop, box.workshop) == (False, None)
    assert not hasattr(Issuer, "defences")


def test_a_usual_sandbox_process_loads_nothing_of_the_workshop(tmp_path):
    program = (
        "import sys, pathlib; from lexoffice_nb.sandbox import Sandbox\n"
        f"with Sandbox(data_dir=pathlib.Path({str(tmp_path / 'data')!r})):\n"
        "    print([name for name in sys.modules if 'workshop' in name])"
    )
    hopeful = {"LEXOFFICE_NB_WORKSHOP": "1", "LEXOFFICE_WORKSHOP": "1", "WORKSHOP": "1"}
    environment = {**os.environ, **hopeful, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=40)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


LOOSE = {"exercise": "2", "defence": "false", "workshop": "true", "pkce_required": "false"}


@pytest.mark.parametrize("which", ["usual", "idle"])
def test_no_header_and_no_query_switches_a_check_off(shared_box, idle, which):
    url = shared_box.url if which == "usual" else idle.issuer
    asked = {"response_type": "code", "client_id": "lexoffice-nb", "redirect_uri": CALLBACK, "state": "s"}
    headers = {"X-Workshop": "1", MARK_HEADER: "browser", "X-Exercise": "2", "X-Defence": "off", "X-Pkce-Required": "0"}
    answer = requests.get(
        f"{url}/connect/authorize", params=asked | LOOSE, headers=headers, allow_redirects=False, timeout=10
    )
    assert query(answer.headers["Location"])["error"] == "invalid_request"


def test_the_defences_are_all_on_where_nobody_has_switched_one():
    assert NO_EXERCISE.on == NO_EXERCISE.off == Defences()
    values = vars(Defences()).values()
    assert all(value in (True, "S256") for value in values)
    with pytest.raises(AttributeError):
        Defences().checks_state = False  # type: ignore[misc]


@pytest.mark.parametrize("number", SETTINGS)
def test_an_exercise_switches_its_own_defence_and_no_other(number):
    setting = SETTINGS[number]
    differs = {name for name, value in vars(setting.on).items() if value != vars(setting.off)[name]}
    own = {
        1: {"pkce_required", "pkce"},
        2: {"pkce_required"},
        3: {"s256_only", "pkce"},
        4: {"checks_state"},
        5: {"pkce_required", "pkce"},
        6: {"codes_once"},
        7: {"exact_redirect"},
        8: {"literal_redirect"},
        9: {"checks_iss"},
        10: {"single_flight"},
    }
    assert differs == own[number]


def test_a_usual_sandbox_beside_it_keeps_every_check(world, shared_box):
    world.begin(2, defence=False)
    asked = {"response_type": "code", "client_id": "lexoffice-nb", "redirect_uri": CALLBACK}
    answer = requests.get(f"{shared_box.url}/connect/authorize", params=asked, allow_redirects=False, timeout=10)
    assert query(answer.headers["Location"])["error"] == "invalid_request"


def test_while_no_exercise_goes_on_every_check_is_on_and_the_notebook_can_sign_in(idle, client_of):
    with requests.Session() as http:
        client = client_of(idle.box, http)
        for refused in ({"code_challenge": None}, {"code_challenge_method": "plain"}):
            assert query(client.open(client.link(**refused)).headers["Location"])["error"] == "invalid_request"
        assert client.open(client.link(redirect_uri=f"{CALLBACK}/further")).status_code == 400
        code = client.code("demo")
        tokens = client.exchange(code)
        assert tokens.status_code == 200
        assert client.exchange(code).json()["error"] == "invalid_grant"
        assert client.api("/v1/profile", tokens.json()["access_token"]).status_code == 401  # the whole family ended
        assert client.exchange(client.code("demo"), code_verifier="x" * 43).json()["error"] == "invalid_grant"


# -- who may steer it


@pytest.mark.parametrize(("method", "route"), ROUTES)
@pytest.mark.parametrize("key", [None, "Bearer ", "Bearer 00", "Basic x", "Bearer \xe4"])
def test_a_control_route_needs_the_key_of_the_folder(world, method, route, key):
    headers = {} if key is None else {"Authorization": key}
    response = requests.request(method, f"{world.box.url}/workshop/{route}", headers=headers, json={}, timeout=10)
    assert (response.status_code, response.json()) == (403, {"error": "forbidden"})


def test_the_identity_secret_itself_is_not_the_key(world):
    headers = {"Authorization": f"Bearer {world.box.identity_secret}"}
    assert requests.get(f"{world.box.url}/workshop/state", headers=headers, timeout=10).status_code == 403


@pytest.mark.parametrize(
    ("route", "body"),
    [
        *[("exercise", body) for body in ([], {}, {"exercise": 1}, {"exercise": 0, "defence": True}, "exercise")],
        *[("exercise", {"exercise": 1, "defence": value}) for value in (0, "off", None)],
        *[("exercise", {"exercise": value, "defence": True}) for value in (11, -1, True, "1", 1.5)],
        *[("victim", body) for body in ([], {}, {"do": "pay"}, {"do": "open"}, {"do": "open", "url": 1})],
    ],
)
def test_an_order_that_makes_no_sense_changes_nothing(world, route, body):
    before = world.get("state")
    url = f"{world.box.url}/workshop/{route}"
    assert requests.post(url, json=body, headers=world.headers, timeout=10).status_code == 400
    assert requests.post(url, data=b"{", headers=world.headers, timeout=10).status_code == 400
    assert world.get("state") == before


@pytest.mark.parametrize("params", [{"since": "x"}, {"since": "1", "wait": "-1"}, {"since": "1e400"}, {"wait": "nan"}])
def test_a_journal_is_asked_for_with_numbers(world, params):
    url = f"{world.box.url}/workshop/journal"
    assert requests.get(url, params=params, headers=world.headers, timeout=10).status_code == 400


def test_the_state_says_where_everything_is(world):
    world.begin(3, defence=True)
    state = world.get("state")
    assert state.pop("since") == world.since
    assert all(urlsplit(state.pop(name)).hostname == "127.0.0.1" for name in ("issuer", "second", "app"))
    expected = {"exercise": 3, "defence": True, "client_id": "lexoffice-nb", "unavailable": []}
    assert state == expected


def test_without_ipv6_the_state_says_which_exercise_cannot_be_done(tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "has_ipv6", lambda: False)  # stands for such a machine
    with Sandbox(data_dir=tmp_path / "data", settings=SandboxSettings(workshop=True)) as box:
        other = World(box)
        for exercise in (1, 8):
            other.begin(exercise, defence=True)
            assert other.get("state")["unavailable"] == [8]
        other.victim("sign_in")
        assert other.victim("use")["status"] == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", urlsplit(other.app).port), 2)


@pytest.mark.parametrize("server", ["issuer", "second", "app"])
def test_a_request_under_another_hosts_name_is_refused(world, server):
    world.begin(1, defence=True)
    answer = requests.get(getattr(world, server) + "/", headers={"Host": "evil.example"}, timeout=10)
    assert answer.status_code == 421


# -- an exercise begun anew


def test_what_was_before_an_exercise_is_over_with_it(world):
    world.begin(6, defence=False)
    world.victim("sign_in")
    callback = world.leak("callback_url")
    tokens = world.exchange_callback(callback)
    assert world.call_api(tokens).status_code == 200
    since = world.since
    world.begin(6, defence=False)
    assert world.since > since
    assert world.events() == world.get("leaks") == []
    assert world.call_api(tokens).status_code == 401
    assert world.exchange_callback(callback).json()["error"] == "invalid_grant"
    assert world.victim("use")["status"] == 401


def test_a_request_that_waited_for_consent_meets_the_defences_of_now(world):
    world.begin(1, defence=False)
    with requests.Session() as http:
        page = http.get(world.link(), timeout=10)  # the sign-in page
        world.begin(1, defence=True)
        clicks = {("person", "kanzlei"), ("decision", "allow")}
        page = person._submit(http, page, clicks)
        page = http.get(world.issuer + page.headers["Location"], allow_redirects=False, timeout=10)
        answer = person._submit(http, page, clicks)
    assert query(answer.headers["Location"])["error"] == "invalid_request"
    assert "code" not in query(answer.headers["Location"])


def test_the_token_lives_of_an_exercise_end_with_it(world):
    usual = SandboxSettings()
    world.begin(10, defence=True)
    assert (world.box.settings.access_token_life, world.box.settings.slow) == (2, 0.5)
    world.begin(9, defence=True)
    assert (world.box.settings.access_token_life, world.box.settings.slow) == (usual.access_token_life, usual.slow)


@pytest.mark.parametrize(("path", "exercise"), [("app/go?to=http://127.0.0.1:1/", 7), ("second/operator", 9)])
def test_what_one_exercise_needs_is_there_in_that_one_only(world, path, exercise):
    for number in SETTINGS:
        world.begin(number, defence=True)
        server, _, rest = path.partition("/")
        answer = requests.get(f"{getattr(world, server)}/{rest}", allow_redirects=False, timeout=10)
        assert (answer.status_code != 404) == (number == exercise)


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "http://evil.example", "javascript:x", ""])
def test_even_the_open_redirector_stays_on_this_machine(world, to):
    world.begin(7, defence=False)
    answer = requests.get(f"{world.app}/go", params={"to": to}, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers.get("Location")) == (400, None)


@pytest.mark.parametrize("to", ["https://evil.example/", "http://evil.example/", 1, ["x"], "http://127.0.0.1:1/?x=y"])
def test_the_second_server_forwards_to_this_machine_only(world, to):
    world.begin(9, defence=False)
    assert requests.post(f"{world.second}/operator", json={"forward_to": to}, timeout=10).status_code == 400
    assert requests.get(f"{world.second}/operator", timeout=10).json() == {"forward_to": None, "received": []}


def test_a_form_of_another_page_cannot_operate_the_second_server(world):
    world.begin(9, defence=False)
    body = json.dumps({"forward_to": "http://127.0.0.1:1/"})
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type}
        assert requests.post(f"{world.second}/operator", data=body, headers=headers, timeout=10).status_code == 400


@pytest.mark.parametrize(("language", "text"), [("de-AT", "Niemand ist angemeldet"), ("fr", "Nobody is signed in")])
def test_the_app_speaks_the_language_of_the_browser(world, language, text):
    world.begin(9, defence=True)
    page = requests.get(world.app, headers={"Accept-Language": language}, timeout=10)
    assert text in page.text
    assert '"/login?server=second"' in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; frame-ancestors 'none'")


# -- the journal


def test_the_journal_says_who_did_what_in_which_order(world):
    world.begin(4, defence=True)
    world.victim("sign_in")
    world.victim("use")
    seen = [(e["by"], e["at"], e["what"], e["method"], e["status"], e["session"]) for e in world.events()]
    assert seen == [
        ("browser", "app", "start", "GET", 303, "victim"),
        ("browser", "issuer", "authorize", "GET", 303, "victim"),
        ("browser", "issuer", "sign_in", "GET", 200, "victim"),
        ("browser", "issuer", "sign_in", "POST", 303, "victim"),
        ("browser", "issuer", "consent", "GET", 200, "victim"),
        ("browser", "issuer", "consent", "POST", 303, "victim"),
        ("app", "issuer", "token", "POST", 200, "victim"),
        ("browser", "app", "callback", "GET", 303, "victim"),
        ("browser", "app", "other", "GET", 200, "victim"),
        ("app", "issuer", "api", "GET", 200, "victim"),
        ("browser", "app", "me", "GET", 200, "victim"),
    ]
    numbers = [event["n"] for event in world.events()]
    assert numbers == list(range(world.since, world.since + len(seen)))
    grants = {event["grant"] for event in world.events()} - {None}
    assert len(grants) == 1
    consent = world.only(what="consent", method="POST")
    assert (consent["person"], consent["to"], consent["path"]) == ("demo", f"{world.app}/callback", "/consent")
    assert world.only(what="sign_in", method="POST")["person"] == "demo"
    names = {"n", "time", "by", "at", "what", "method", "path", "status", "error", "grant", "person", "grant_type"}
    assert {*consent} == names | {"pkce", "to", "session", "began", "check", "met"}
    assert all(event["began"] <= event["time"] for event in world.events())


def test_whoever_invents_or_repeats_a_mark_is_the_attacker(world):
    world.begin(1, defence=True)
    for mark in ("browser", "app", ""):
        requests.get(f"{world.app}/", headers={MARK_HEADER: mark}, timeout=10)
    assert {event["by"] for event in world.events()} == {"attacker"}
    marks = Marks()
    mark = marks.new("browser", "victim")[MARK_HEADER]
    assert marks.take(mark).by == "browser"
    assert marks.take(mark) == ATTACKER


def test_who_waits_for_the_journal_hears_of_the_next_request(world):
    world.begin(1, defence=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.get, "journal", since=world.since, wait=15)
        time.sleep(0.3)
        assert not waiting.done()
        requests.get(f"{world.app}/", timeout=10)
        events = waiting.result(5)
    assert [event["at"] for event in events] == ["app"]
    began = time.monotonic()
    assert world.get("journal", since=world.since + 1, wait=0.3) == []
    assert 0.2 < time.monotonic() - began < 5


def test_steering_leaves_no_trace_in_the_journal(world):
    world.begin(1, defence=True)
    for path in ("state", "leaks", "journal"):
        world.get(path)
    requests.get(f"{world.box.url}/workshop/state", timeout=10)
    requests.get(f"{world.box.url}/sandbox/identity", params={"nonce": "x" * 30}, timeout=10)
    assert world.events() == []


def test_the_journal_keeps_so_many_events_and_no_more():
    journal = Journal()
    for number in range(MOST_EVENTS + 5):
        journal.add("attacker", "app", "redirector", "GET", "/go", 303, to=f"http://127.0.0.1:9/{number}")
    kept = journal.since(1)
    assert (len(kept), kept[0].n, kept[-1].n, journal.next) == (MOST_EVENTS, 6, MOST_EVENTS + 5, MOST_EVENTS + 6)


class Secrets:
    """Everything secret that came up, gathered at its sources and not from what the journal is made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: set[str] = set()
        for module, name in [(sys.modules[n], "new_secret") for n in sys.modules if n.startswith("lexoffice_nb.sandb")]:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, self._remembering(getattr(module, name)))

    def _remembering(self, make: Callable[..., str]) -> Callable[..., str]:
        def remember(*arguments: Any) -> str:
            secret = make(*arguments)
            self.all.add(secret)
            return secret

        return remember


def test_neither_journal_nor_state_ever_holds_a_secret(world, monkeypatch):
    secrets = Secrets(monkeypatch)
    texts = []
    first = world.get("state")["since"]
    for number in SETTINGS:
        for defence in (False, True):
            world.begin(number, defence)
            world.victim("sign_in")
            world.victim("use")
            requests.post(
                f"{world.second}/operator", json={"forward_to": f"{world.issuer}/connect/authorize"}, timeout=10
            )
            world.victim("open", url=f"{world.app}/login?server=second")
            for leak in world.get("leaks"):
                secrets.all |= {value for value in query(leak["value"]).values() if len(value) > 40}
                put_everywhere(world, query(leak["value"]).get("code", "x"))
                tokens = world.exchange_callback(leak["value"]) if "code" in query(leak["value"]) else None
                if tokens is not None and tokens.ok:
                    for name in ("access_token", "refresh_token", "id_token"):
                        secrets.all.add(tokens.json()[name])
                        put_everywhere(world, tokens.json()[name])
            with requests.Session() as http:
                callback = sign_in(world.link(http), "kanzlei")
                secrets.all |= {value for value in query(callback).values() if len(value) > 40}
                http.get(callback, timeout=10)
                http.get(f"{world.app}/me", timeout=10)
                secrets.all |= {cookie.value for cookie in http.cookies if cookie.value}
            texts.append(json.dumps(world.get("state")))
    secrets.all |= {world.box.identity_secret, world.headers["Authorization"].split()[1]}
    everything = json.dumps(world.get("journal", since=first))
    assert len(secrets.all) > 100
    assert len(json.loads(everything)) > 200
    assert not [secret for secret in secrets.all if secret in everything or secret in "".join(texts)]


def put_everywhere(world: World, secret: str) -> None:
    """An attacker who wants a secret to be written down."""
    for server in (world.issuer, world.second, world.app):
        for path in (f"/{secret}", f"/callback/{secret}", f"/v1/invoices/{secret}", f"/me?x={secret}"):
            requests.get(server + path, headers={MARK_HEADER: secret}, allow_redirects=False, timeout=10)
        requests.request("REPORT", f"{server}/", timeout=10)
    form = {"grant_type": secret, "client_id": secret, "error": secret, "person": secret}
    for path in ("/connect/token", "/connect/revoke", "/sign-in"):
        requests.post(world.issuer + path, data=form, allow_redirects=False, timeout=10)
    requests.get(f"{world.issuer}/connect/authorize", params=form | {"code_challenge_method": secret}, timeout=10)
    requests.get(f"{world.app}/callback", params=form | {"state": secret, "iss": secret}, timeout=10)
    to = f"http://127.0.0.1:9/{secret}?error={secret}"
    requests.get(f"{world.app}/go", params={"to": to, "x": secret}, allow_redirects=False, timeout=10)


def test_a_place_keeps_what_is_short_and_loses_what_may_be_a_secret_in_one_piece_or_in_many():
    for _ in range(50):
        secret = journals.new_secret(32)
        pieces = "/".join(secret[at : at + 10] for at in range(0, len(secret), 10))
        for path in (f"/callback/{secret}", f"/callback/{pieces}", f"/{pieces}", f"/{secret[:20]}/../{secret[20:]}"):
            assert journals.place(f"http://127.0.0.1:1{path}?code=x") == "http://127.0.0.1:1/…"
    assert journals.place("http://127.0.0.1:1/connect/authorize") == "http://127.0.0.1:1/connect/authorize"


# -- the victim's browser


def redirecting(handler: BaseHTTPRequestHandler, to: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", to)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    "url",
    [
        *("https://127.0.0.1/", "http://example.com/", "http://127.0.0.1@example.com/", "http://192.168.0.1/", "x"),
        *(
            "file:///etc/passwd",
            "http://127.0.0.2/",
            "http://[::2]/",
            "http://localhost.example/",
            "http://127.1:99999/",
        ),
        *("http://user@127.0.0.1/", "http://2130706433/", "", "//127.0.0.1/", "http://[::1", "http://127.0.0.1:x/"),
    ],
)
def test_the_victim_opens_links_of_this_machine_only(world, url):
    sent = requests.post(
        f"{world.box.url}/workshop/victim", json={"do": "open", "url": url}, headers=world.headers, timeout=10
    )
    assert (sent.status_code, sent.json()) == (400, {"error": "not_loopback"})


def test_the_victim_follows_no_redirect_off_this_machine(world, answering):
    url = answering(lambda handler: redirecting(handler, "http://example.com/"))
    assert world.victim("open", url=f"{url}/x?y=z") == {"ended_at": f"{url}/x", "status": 302}


def test_the_victim_gives_up_after_ten_requests(world, answering):
    asked: list[str] = []

    def around(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        redirecting(handler, f"/{len(asked)}")

    url = answering(around)
    world.victim("open", url=f"{url}/")
    assert asked == ["/", *(f"/{n}" for n in range(1, 10))]


@pytest.mark.parametrize("first", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_the_victim_gives_up_a_page_that_drips(world, answering, monkeypatch, first):
    monkeypatch.setattr(victims_browser, "MOST_SECONDS", 1.0)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(first)
        try:
            for _ in range(40):
                handler.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    url = answering(drip)
    began = time.monotonic()
    assert world.victim("open", url=url) == {"ended_at": url, "status": None}
    assert 0.8 < time.monotonic() - began < 3


def test_a_link_to_a_port_without_a_server_ends_there(world):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert world.victim("open", url=f"{url}/x") == {"ended_at": f"{url}/x", "status": None}


def test_the_victim_fills_in_no_form_of_a_stranger(world, answering):
    posted: list[str] = []

    def form(handler: BaseHTTPRequestHandler) -> None:
        posted.append(handler.command)
        page = b'<form method=post action="/"><button name=person value=demo>x</button></form>'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page)

    world.victim("open", url=answering(form))
    assert posted == ["GET"]


def test_the_mark_of_the_victim_is_sent_to_no_stranger(world):
    world.begin(7, defence=False)
    with Listener() as listener:
        world.victim("open", url=f"{world.app}/go?to={listener.url}")
        assert MARK_HEADER not in listener.asked[0][1]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        *[("/a/../b", "/b"), ("/a/%2e%2E/b", "/b"), ("/a/./b", "/a/b"), ("/a/..", "/"), ("/../..", "/")],
        *[("", "/"), ("/a/b/.", "/a/b/"), ("/a/...", "/a/..."), ("/callback/../go", "/go"), ("/a//b", "/a//b")],
    ],
)
def test_the_browser_takes_dots_out_of_a_path(path, sent):
    assert victims_browser._without_dots(path) == sent


# -- its life


def test_nothing_of_it_is_left_when_the_sandbox_stops(tmp_path):
    before = set(threading.enumerate())
    box = Sandbox(data_dir=tmp_path / "data", settings=SandboxSettings(workshop=True))
    box.start()
    world = World(box)
    world.begin(9, defence=True)
    world.victim("sign_in")
    ports = [urlsplit(url).port for url in (world.issuer, world.second, world.app)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.get, "journal", since=world.get("state")["since"] + 100, wait=20)
        time.sleep(0.3)
        began = time.monotonic()
        box.stop()
        assert waiting.exception(5) is not None or waiting.result() == []
        assert time.monotonic() - began < 5
    for address in [*(("127.0.0.1", port) for port in ports), ("::1", ports[2])]:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, 2).close()
    deadline = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    with pytest.raises(Exception, match="closed"):
        box.workshop._second.grants.bearer("x")


def test_a_start_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    before = set(threading.enumerate())

    def fail() -> None:
        raise OSError("no port")

    box = Sandbox(data_dir=tmp_path / "data", settings=SandboxSettings(workshop=True))
    monkeypatch.setattr(box, "application", fail)
    with pytest.raises(OSError, match="no port"):
        box.start()
    assert set(threading.enumerate()) == before


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "workshop"
    yield folder
    stop(folder=folder)


def test_the_process_is_started_with_its_option_and_found_again(own_folder):
    address = find_or_start(folder=own_folder, arguments=("--workshop",))
    assert address.options == "--workshop"
    assert find(folder=own_folder) == find_or_start(folder=own_folder, arguments=("--workshop",)) == address
    key = worlds.control.control_key((own_folder / "identity-secret").read_text())
    headers = {"Authorization": f"Bearer {key}"}
    state = requests.get(f"{address.url}/workshop/state", headers=headers, timeout=10).json()
    assert (state["exercise"], state["defence"], state["issuer"]) == (None, True, address.url)
    sent = {"exercise": 4, "defence": True}
    requests.post(f"{address.url}/workshop/exercise", json=sent, headers=headers, timeout=10).raise_for_status()
    visit = requests.post(f"{address.url}/workshop/victim", json={"do": "sign_in"}, headers=headers, timeout=20).json()
    assert visit == {"ended_at": f"{state['app']}/", "status": 200}
    assert stop(folder=own_folder)
    for url in (state["app"], state["second"], address.url):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    log = (own_folder / "sandbox.log").read_text()
    assert log == f"sandbox at {address.url}\n"


def test_the_process_keeps_out_of_the_folder_of_the_usual_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path)}
    usual = tmp_path / "lexoffice_nb" / "sandbox"
    done = subprocess.run(
        [sys.executable, "-m", "lexoffice_nb.sandbox", "--workshop", "--data-dir", str(usual)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "lexoffice-nb sandbox: error: --workshop needs a folder of its own: its checks can be switched off",
    )
    assert not usual.exists()


def test_the_link_that_a_test_changes_is_changed():
    assert changed("http://x/y?a=1&b=2", a=None, c="3") == "http://x/y?b=2&c=3"
