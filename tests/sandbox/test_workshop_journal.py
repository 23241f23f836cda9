"""The journal of the workshop: which check refused, which address was met, and what it keeps."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
import requests

from lexoffice_nb.sandbox.workshop.journal import MOST_EVENTS, Journal
from lexoffice_nb.sandbox.workshop.serving import has_ipv6
from tests.sandbox.workshop_world import changed

# -- which check refused


@pytest.mark.parametrize(
    ("sent", "check"),
    [
        ({}, "verifier"),
        ({"code_verifier": "x" * 43}, "verifier"),
        ({"code_verifier": "short"}, "verifier"),
        ({"redirect_uri": "http://127.0.0.1:1/wrong"}, "redirect_uri"),
        ({"code": "made-up"}, "code_unknown"),
        ({"client_id": "somebody"}, "client"),
        ({"grant_type": "password"}, "grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "refresh_token"),
    ],
)
def test_a_refused_token_request_says_which_check_refused_it(world, sent, check):
    world.begin(1, defence=True)
    world.victim("sign_in")
    assert world.exchange_callback(world.leak("callback_url"), **sent).status_code in (400, 401)
    assert world.only(what="token", by="attacker")["check"] == check


def test_a_code_that_was_used_or_has_expired_is_refused_for_that(world):
    world.begin(1, defence=True)
    world.victim("sign_in")
    callback = world.leak("callback_url")
    for _ in range(2):
        world.exchange_callback(callback)
    world.victim("sign_in")
    world.box._database.write("UPDATE codes SET expires = ?", time.time() - 1)
    world.exchange_callback(world.leak("callback_url"))
    checks = [event["check"] for event in world.events(what="token")]
    assert checks == ["verifier", "code_used", "code_expired"]


def test_a_verifier_where_there_was_no_challenge_is_another_cause_than_a_wrong_one(world):
    world.begin(1, defence=False)
    world.victim("sign_in")
    world.exchange_callback(world.leak("callback_url"), code_verifier="x" * 43)
    assert world.only(what="token")["check"] == "challenge_missing"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "challenge_missing"),
        ({"code_challenge_method": "plain"}, "method"),
        ({"code_challenge": "x"}, "challenge"),
        ({"redirect_uri": "{app}/callback/../go?to=http://127.0.0.1:9/"}, "redirect_uri"),
        ({"redirect_uri": "http://127.0.0.1:9/"}, "redirect_uri_foreign"),
        ({"redirect_uri": None}, "redirect_uri_foreign"),
        ({"client_id": "somebody"}, "client"),
        ({"response_type": "token"}, "response_type"),
    ],
)
def test_a_refused_authorization_request_says_which_check_refused_it(world, changes, check):
    world.begin(3, defence=True)
    changes = {name: value and value.format(app=world.app) for name, value in changes.items()}
    world.victim("open", url=changed(world.link(), **changes))
    assert world.only(what="authorize")["check"] == check


@pytest.mark.parametrize("link", ["/connect/authorize?client_id=a&client_id=b", "/connect/authorize", "/connect/x"])
def test_a_malformed_link_is_not_refused_for_its_redirect_uri(world, link):
    world.begin(7, defence=True)
    world.victim("open", url=world.issuer + link)
    assert [event["check"] for event in world.events()] in ([None], ["client"])


def test_what_succeeds_was_refused_by_no_check(world):
    world.begin(4, defence=True)
    world.victim("sign_in")
    world.victim("use")
    assert {event["check"] for event in world.events()} == {None}


# -- which address was met


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback on this machine")
def test_a_request_to_the_app_says_which_address_it_reached_and_not_which_one_it_names(world):
    world.begin(8, defence=True)
    port = urlsplit(world.app).port
    for host, named in (("127.0.0.1", "[::1]"), ("[::1]", "127.0.0.1"), ("[::1]", "[::1]")):
        requests.get(f"http://{host}:{port}/", headers={"Host": f"{named}:{port}"}, timeout=10)
    requests.get(f"{world.issuer}/", timeout=10)
    assert [event["met"] for event in world.events(at="app")] == ["127.0.0.1", "::1", "::1"]
    assert {event["met"] for event in world.events(at="issuer")} == {None}


# -- what it keeps


def test_nobody_pushes_what_happened_out_of_the_journal_by_repeating_a_request():
    journal = Journal()
    journal.add("attacker", "issuer", "token", "POST", "/connect/token", 200, grant="g1", person="demo")
    for _ in range(MOST_EVENTS):
        journal.add("attacker", "app", "other", "GET", "/", 200)
        journal.add("attacker", "issuer", "token", "POST", "/connect/token", 400, error="invalid_grant")
    kept = journal.since(1)
    assert (kept[0].n, kept[0].status) == (1, 200)
    assert len(kept) < 300
    assert kept[-1].n == journal.next - 1 == 2 * MOST_EVENTS + 1


def test_of_equal_requests_the_journal_keeps_the_last_ones():
    journal = Journal()
    for _ in range(20):
        journal.add("attacker", "app", "other", "GET", "/", 200, met="127.0.0.1")
        journal.add("attacker", "app", "other", "GET", "/", 200, met="::1")
    assert [event.n for event in journal.since(1)] == list(range(31, 41))


def test_a_path_that_leads_nowhere_and_a_variable_part_are_not_written_down(world):
    world.begin(1, defence=True)
    for path in ("/ab/cd/ef", "/v1/invoices/abc-def", "/callback/x/y", "/me/ab", "/"):
        for server in (world.issuer, world.app, world.second):
            requests.get(server + path, timeout=10)
    assert {event["path"] for event in world.events()} <= {"…", "/", "/v1/invoices/<id>"}
    assert "/" in {event["path"] for event in world.events(at="app")}
