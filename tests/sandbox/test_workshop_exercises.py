"""The ten exercises, each carried out over real HTTP: with its defence off it succeeds, with it on it fails there."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.workshop.serving import has_ipv6
from tests.sandbox.workshop_world import Listener, World, changed, query

# -- 1: stolen code


def test_1_without_pkce_a_stolen_code_is_all_that_is_needed(world):
    world.begin(1, defence=False)
    world.victim("sign_in")
    tokens = world.exchange_callback(world.leak("callback_url"))
    assert tokens.status_code == 200
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    assert world.only(what="authorize", by="browser")["pkce"] == "none"
    assert not world.events(what="callback")  # the app never saw it
    assert not world.events(what="token", by="app")


@pytest.mark.parametrize(
    ("verifier", "error"), [({}, "invalid_request"), ({"code_verifier": "x" * 43}, "invalid_grant")]
)
def test_1_with_pkce_the_stolen_code_is_worth_nothing(world, verifier, error):
    world.begin(1, defence=True)
    world.victim("sign_in")
    assert world.exchange_callback(world.leak("callback_url"), **verifier).status_code == 400
    token = world.attacker_was_refused(error)
    assert token["pkce"] == ("verifier" if verifier else "none")
    assert world.only(what="authorize", by="browser")["pkce"] == "S256"


# -- 2: downgrade


def stripped(link: str) -> str:
    return changed(link, code_challenge=None, code_challenge_method=None)


def test_2_pkce_that_is_not_required_is_taken_out_of_the_link(world):
    world.begin(2, defence=False)
    link = world.link()
    assert query(link)["code_challenge_method"] == "S256"
    world.victim("open", url=stripped(link))
    tokens = world.exchange_callback(world.leak("callback_url"))
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    assert world.only(what="authorize", by="browser", pkce="none")["error"] is None


def test_2_the_link_of_the_victim_itself_leaks_too(world):
    world.begin(2, defence=False)
    world.victim("sign_in")
    world.victim("open", url=stripped(world.leak("authorization_url")))
    assert world.exchange_callback(world.leak("callback_url")).status_code == 200


def test_2_pkce_that_is_checked_where_present_is_really_checked(world):
    world.begin(2, defence=False)
    world.victim("sign_in")
    assert world.exchange_callback(world.leak("callback_url"), code_verifier="x" * 43).status_code == 400
    world.attacker_was_refused("invalid_grant")


def test_2_an_issuer_that_requires_pkce_refuses_the_stripped_link(world):
    world.begin(2, defence=True)
    world.victim("open", url=stripped(world.link()))
    refused = world.only(what="authorize", by="browser", pkce="none")
    assert (refused["status"], refused["error"]) == (303, "invalid_request")
    assert not [leak for leak in world.get("leaks") if leak["what"] == "callback_url"]
    assert not world.events(what="token")


# -- 3: plain


def test_3_a_plain_challenge_is_the_verifier(world):
    world.begin(3, defence=False)
    world.victim("sign_in")
    link = query(world.leak("authorization_url"))
    assert link["code_challenge_method"] == "plain"
    tokens = world.exchange_callback(world.leak("callback_url"), code_verifier=link["code_challenge"])
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()


def test_3_a_plain_challenge_still_needs_its_verifier(world):
    world.begin(3, defence=False)
    world.victim("sign_in")
    assert world.exchange_callback(world.leak("callback_url"), code_verifier="x" * 43).status_code == 400
    world.attacker_was_refused("invalid_grant")


def test_3_a_hashed_challenge_gives_no_verifier(world):
    world.begin(3, defence=True)
    world.victim("sign_in")
    link = query(world.leak("authorization_url"))
    assert link["code_challenge_method"] == "S256"
    refused = world.exchange_callback(world.leak("callback_url"), code_verifier=link["code_challenge"])
    assert refused.json()["error"] == "invalid_grant"
    world.attacker_was_refused("invalid_grant")


def test_3_with_the_defence_on_plain_is_refused_in_the_link(world):
    world.begin(3, defence=True)
    world.victim("open", url=changed(world.link(), code_challenge="x" * 43, code_challenge_method="plain"))
    assert world.only(what="authorize", by="browser")["error"] == "invalid_request"


# -- 4: login CSRF


def test_4_an_app_that_does_not_compare_the_state_signs_the_victim_in_as_the_attacker(world):
    world.begin(4, defence=False)
    callback = sign_in(world.link(), "kanzlei")
    world.victim("open", url=callback)
    assert world.victim("use")["status"] == 200
    token = world.only(what="token", at="issuer", by="app", status=200)
    assert (token["person"], token["session"]) == ("kanzlei", "victim")
    me = world.only(what="me", at="app", by="browser", status=200)
    assert (me["grant"], me["person"], me["session"]) == (token["grant"], "kanzlei", "victim")


def test_4_an_app_that_compares_the_state_asks_for_no_tokens(world):
    world.begin(4, defence=True)
    world.victim("open", url=sign_in(world.link(), "kanzlei"))
    refused = world.only(what="callback", at="app", by="browser")
    assert (refused["status"], refused["error"], refused["person"]) == (400, "state_mismatch", "kanzlei")
    assert not world.events(what="token")


# -- 5: code injection


def inject(world: World) -> tuple[requests.Response, requests.Response]:
    world.victim("sign_in")
    with requests.Session() as http:
        own = query(world.link(http))
        stolen = world.leak("callback_url")
        answer = http.get(changed(stolen, state=own["state"]), allow_redirects=False, timeout=10)
        return answer, http.get(f"{world.app}/me", timeout=10)


def test_5_the_state_does_not_stop_a_stolen_code_in_the_attackers_own_login(world):
    world.begin(5, defence=False)
    _, me = inject(world)
    assert me.status_code == 200
    token = world.only(what="token", by="app", at="issuer", status=200)
    assert (token["person"], token["session"]) == ("demo", "attacker")
    used = world.only(what="me", at="app", by="attacker", status=200)
    assert (used["grant"], used["person"], used["session"]) == (token["grant"], "demo", "attacker")
    assert world.only(what="callback", at="app", by="attacker")["grant"] == token["grant"]


def test_5_the_app_does_check_the_state(world):
    world.begin(5, defence=False)
    world.victim("sign_in")
    assert requests.get(world.leak("callback_url"), timeout=10).status_code == 400
    assert world.only(what="callback", at="app")["error"] == "state_mismatch"


def test_5_pkce_binds_the_code_to_the_login_it_was_made_for(world):
    world.begin(5, defence=True)
    answer, me = inject(world)
    assert (answer.status_code, me.status_code) == (400, 401)
    token = world.only(what="token", by="app", at="issuer")
    assert (token["status"], token["error"], token["pkce"]) == (400, "invalid_grant", "verifier")
    assert world.only(what="callback", at="app", by="attacker")["error"] == "invalid_grant"


# -- 6: replay


def replay(world: World) -> requests.Response:
    world.victim("sign_in")
    assert world.victim("use")["status"] == 200
    assert world.get("leaks")[-1]["where"] == "browser history"
    return world.exchange_callback(world.leak("callback_url"))


def test_6_a_code_that_works_twice_works_for_the_second_who_finds_it(world):
    world.begin(6, defence=False)
    tokens = replay(world)
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    first, second = world.events(what="token", status=200)
    assert (first["by"], second["by"], first["grant"]) == ("app", "attacker", second["grant"])
    assert world.victim("use")["status"] == 200


def test_6_a_code_that_works_once_ends_with_its_second_use_all_that_came_of_it(world):
    world.begin(6, defence=True)
    assert replay(world).json() == {"error": "invalid_grant", "error_description": "Invalid 'code' in request."}
    world.attacker_was_refused("invalid_grant")
    assert world.victim("use")["status"] == 401
    assert world.events(what="me")[-1]["error"] == "invalid_token"


# -- 7: open redirector


def test_7_a_prefix_and_an_open_redirector_carry_the_code_to_the_attacker(world):
    world.begin(7, defence=False)
    with Listener() as listener:
        redirect_uri = f"{world.app}/callback/../go?to={listener.url}"
        world.victim("open", url=changed(world.link(), redirect_uri=redirect_uri))
        caught, headers = listener.asked[0]
    assert "X-Workshop-Mark" not in headers
    tokens = world.exchange(query(caught)["code"], redirect_uri)
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    assert world.only(what="redirector", at="app", by="browser")["to"] == listener.url


def test_7_an_exact_comparison_redirects_nowhere(world):
    world.begin(7, defence=True)
    with Listener() as listener:
        redirect_uri = f"{world.app}/callback/../go?to={listener.url}"
        world.victim("open", url=changed(world.link(), redirect_uri=redirect_uri))
        assert listener.asked == []
    refused = world.only(what="authorize", by="browser")
    assert (refused["status"], refused["to"]) == (400, None)


@pytest.mark.parametrize("exercise", range(1, 11))
def test_in_no_exercise_the_attackers_own_port_is_a_redirect_uri(world, exercise):
    for defence in (False, True):
        world.begin(exercise, defence)
        with Listener() as listener:
            world.victim("open", url=changed(world.link(), redirect_uri=f"{listener.url}callback"))
            assert listener.asked == []


# -- 8: squatting


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback on this machine")


@needs_ipv6
def test_8_localhost_is_whoever_listens_on_ipv6_first(world):
    world.begin(8, defence=False)
    with Listener("::1", urlsplit(world.app).port) as squatter:
        visit = world.victim("sign_in")
        caught, headers = squatter.asked[0]
    assert visit["ended_at"] == f"http://localhost:{urlsplit(world.app).port}/callback"
    assert "X-Workshop-Mark" not in headers
    tokens = world.exchange(query(caught)["code"], visit["ended_at"])
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    assert not world.events(what="callback", at="app")


@needs_ipv6
def test_8_without_a_squatter_the_login_on_localhost_works(world):
    world.begin(8, defence=False)
    world.victim("sign_in")
    assert world.victim("use")["status"] == 200


@needs_ipv6
def test_8_an_app_that_names_its_address_and_holds_both_is_reached_itself(world):
    world.begin(8, defence=True)
    with pytest.raises(OSError, match="in use"):
        Listener("::1", urlsplit(world.app).port)
    world.victim("sign_in")
    callback = world.only(what="callback", at="app", by="browser")
    assert (callback["status"], callback["error"]) == (303, None)
    assert world.only(what="consent", method="POST")["to"] == f"{world.app}/callback"


@needs_ipv6
def test_8_an_app_whose_port_is_squatted_moves_to_another_one(world):
    world.begin(8, defence=False)
    with Listener("::1", urlsplit(world.app).port):
        before = world.app
        world.begin(8, defence=True)
        assert world.app != before
        world.victim("sign_in")
        assert world.victim("use")["status"] == 200


# -- 9: mix-up


def mix_up(world: World) -> None:
    told = requests.post(
        f"{world.second}/operator", json={"forward_to": f"{world.issuer}/connect/authorize"}, timeout=10
    )
    assert told.status_code == 200
    world.victim("open", url=f"{world.app}/login?server=second")


def test_9_an_app_that_ignores_who_answered_gives_code_and_verifier_away(world):
    world.begin(9, defence=False)
    mix_up(world)
    caught = query(world.leak("token_request"))
    assert requests.get(f"{world.second}/operator", timeout=10).json()["received"] == [caught]
    tokens = world.exchange(caught["code"], caught["redirect_uri"], code_verifier=caught["code_verifier"])
    assert world.call_api(tokens).status_code == 200
    world.attacker_got_in_as_the_victim()
    given_away = world.only(what="token", at="second", by="app")
    assert (given_away["person"], given_away["status"], given_away["pkce"]) == ("demo", 400, "verifier")
    assert given_away["grant"] == world.only(at="issuer", what="token", by="attacker")["grant"]
    assert world.only(what="authorize", at="second", by="browser")["to"] == f"{world.issuer}/connect/authorize"


def test_9_an_app_that_compares_iss_asks_the_second_server_for_nothing(world):
    world.begin(9, defence=True)
    mix_up(world)
    refused = world.only(what="callback", at="app", by="browser")
    assert (refused["status"], refused["error"]) == (400, "issuer_mismatch")
    assert not world.events(what="token")


def test_9_a_second_server_that_behaves_signs_people_in(world):
    world.begin(9, defence=True)
    world.victim("open", url=f"{world.app}/login?server=second")
    assert world.victim("use")["status"] == 200
    token = world.only(what="token", at="second", by="app", status=200)
    assert world.only(what="api", at="second")["grant"] == token["grant"]


# -- 10: renewal race


def race(world: World) -> list[int]:
    world.victim("sign_in")
    assert world.victim("use")["status"] == 200
    time.sleep(2.1)
    together = threading.Barrier(2)

    def use() -> int:
        together.wait(5)
        status: int = world.victim("use")["status"]
        return status

    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(use), pool.submit(use)]]


def test_10_two_renewals_at_once_sign_the_victim_out(world):
    world.begin(10, defence=False)
    race(world)
    assert world.victim("use")["status"] == 401
    renewals = world.events(what="token", grant_type="refresh_token", by="app")
    assert sorted(event["status"] for event in renewals) == [200, 400]
    assert {event["error"] for event in renewals} == {None, "invalid_grant"}
    assert len({event["grant"] for event in renewals}) == 1


def test_10_one_renewal_serves_both(world):
    world.begin(10, defence=True)
    assert race(world) == [200, 200]
    renewal = world.only(what="token", grant_type="refresh_token")
    assert renewal["status"] == 200
    assert [event["began"] < renewal["time"] < event["time"] for event in world.events(what="me", status=200)[1:]] == [
        True,
        True,
    ]
    assert world.victim("use")["status"] == 200


@pytest.mark.parametrize("exercise", range(1, 11))
def test_with_the_defence_on_the_victim_can_sign_in_and_work(world, exercise):
    world.begin(exercise, defence=True)
    world.victim("sign_in")
    if exercise in (1, 2, 3, 5):  # somebody else gets the callback there
        assert not world.events(what="callback")
    else:
        assert world.victim("use")["status"] == 200
