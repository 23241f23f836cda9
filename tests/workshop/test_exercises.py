"""All ten exercises against a real sandbox process: the model solutions, thirty wrong ones, and some clever ones."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from lexoffice_nb.workshop.checks import NUMBERS
from lexoffice_nb.workshop.listener import Listener
from lexoffice_nb.workshop.words import WorkshopError, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.workshop.scene import Exercise
    from lexoffice_nb.workshop.workshop import Verdict, Workshop
    from lexoffice_nb.workshop.world import World

# Where the attack ends with the defence on: who refused it, with which status and error.
STAGES = {
    1: ("issuer.token", 400, {"invalid_grant", "invalid_request"}),
    2: ("issuer.authorize", 303, {"invalid_request"}),
    3: ("issuer.token", 400, {"invalid_grant"}),
    4: ("app.callback", 400, {"state_mismatch"}),
    5: ("issuer.token", 400, {"invalid_grant"}),
    6: ("issuer.token", 400, {"invalid_grant"}),
    7: ("issuer.authorize", 400, {""}),
    8: None,  # it ends at the attacker's own listener
    9: ("app.callback", 400, {"issuer_mismatch"}),
    10: None,  # it ends in the app, which sends one request instead of two
}


@pytest.fixture(autouse=True)
def _only_what_this_machine_can_do(request: pytest.FixtureRequest, world: World) -> None:
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("number") in world.state().unavailable:
        pytest.skip("this machine has no ::1")


@pytest.fixture(autouse=True)
def _nobody_waits_longer_than_needed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The solutions wait as long as a person's machine may need. What they wait for is there at once here."""
    wait, sleep = Listener.wait, time.sleep
    monkeypatch.setattr(Listener, "wait", lambda self, seconds=5.0: wait(self, min(seconds, 0.2)))
    if "neighbours" in request.node.name:  # only one of them sleeps, where no token expires
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.1)))
    else:
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 2.1)))  # a token lives for two seconds


@pytest.mark.parametrize("number", NUMBERS)
def test_the_model_solution_succeeds_with_the_defence_off_and_fails_for_the_stated_reason_with_it_on(
    workshop: Workshop, number: int
) -> None:
    solution = workshop.solution(number)

    solution.attack(workshop.exercise(number))
    off = workshop.check(number)
    assert off.off.done, off
    assert not off.on.done
    assert not off.solved

    solution.attack(workshop.defence(number))
    verdict = workshop.check(number)
    assert verdict.on.done, verdict
    assert verdict.solved
    assert verdict.missing == []
    assert say("check.why", what=say(f"why.{number}")) in " ".join(repr(verdict).split())
    if (stage := STAGES[number]) is not None:
        where, status, errors = stage
        assert verdict.on.refusal is not None
        assert verdict.on.refusal[:2] == (where, status)
        assert verdict.on.refusal[2] in errors
    assert workshop.progress().solved == [number]


def nothing(_exercise: Exercise) -> None:
    """Wrong solution: an empty cell."""


def made_up(exercise: Exercise) -> None:
    """Wrong solution: every request that an attack could need, with constants in it."""
    code = {"code": "made-up", "redirect_uri": f"{exercise.app}/callback", "code_verifier": "v" * 43}
    named = {"client_id": exercise.client_id}
    endpoint = f"{exercise.issuer}/connect/token"
    requests.post(endpoint, data={"grant_type": "authorization_code", **code, **named}, timeout=10)
    requests.post(endpoint, data={"grant_type": "refresh_token", "refresh_token": "r", **named}, timeout=10)
    requests.get(f"{exercise.issuer}/v1/profile", headers={"Authorization": "Bearer made-up"}, timeout=10)
    with requests.Session() as mine:
        mine.get(f"{exercise.app}/callback?code=made-up&state=made-up&iss={exercise.issuer}", timeout=10)
        mine.get(f"{exercise.app}/me", timeout=10)
    exercise.victim.opens(f"{exercise.app}/callback?code=made-up&state=made-up&iss={exercise.issuer}")
    exercise.victim.uses_app()


def neighbours(number: int) -> Callable[[Workshop, Exercise], None]:
    """Wrong solution: that of the next exercise."""

    def attack(workshop: Workshop, exercise: Exercise) -> None:
        with contextlib.suppress(WorkshopError, KeyError):  # what it looks for may not be here
            workshop.solution(number % 10 + 1).attack(exercise)

    return attack


def refused(workshop: Workshop, number: int, attack: Callable[[Exercise], None]) -> Verdict:
    attack(workshop.exercise(number))
    attack(workshop.defence(number))
    verdict = workshop.check(number)
    assert not verdict.off.done
    assert not verdict.solved
    assert say("check.missing", what=verdict.missing[0]) in " ".join(repr(verdict).split())
    assert verdict.missing[0] in verdict._repr_html_().replace("&#x27;", "'")
    assert workshop.progress().solved == []
    return verdict


@pytest.mark.parametrize("number", NUMBERS)
def test_an_empty_solution_is_refused(workshop: Workshop, number: int) -> None:
    verdict = refused(workshop, number, nothing)
    assert verdict.off.count == verdict.on.count == 0
    assert say("note.nothing_yet") in " ".join(repr(verdict).split())


@pytest.mark.parametrize("number", NUMBERS)
def test_a_solution_of_constants_is_refused(workshop: Workshop, number: int) -> None:
    verdict = refused(workshop, number, made_up)
    assert not verdict.on.done
    assert say("note.made_up_code") in " ".join(repr(verdict).split())


@pytest.mark.parametrize("number", NUMBERS)
def test_the_neighbours_solution_is_refused(workshop: Workshop, number: int) -> None:
    refused(workshop, number, lambda exercise: neighbours(number)(workshop, exercise))


def test_a_learners_claim_changes_nothing(workshop: Workshop) -> None:
    exercise = workshop.exercise(1)
    exercise.solved = True  # type: ignore[attr-defined]
    exercise.defence = True
    exercise.number = 2
    assert not workshop.check(1).off.done


def test_an_attack_with_the_own_account_is_told_apart_from_one_with_the_victims(workshop: Workshop) -> None:
    exercise = workshop.exercise(1)
    exercise.victim.signs_in()
    login = requests.get(f"{exercise.app}/login", allow_redirects=False, timeout=10)
    mine = exercise.attacker.sign_in(login.headers["Location"])
    form = {"grant_type": "authorization_code", "code": mine["code"], "client_id": exercise.client_id}
    form["redirect_uri"] = f"{exercise.app}/callback"
    assert requests.post(f"{exercise.issuer}/connect/token", data=form, timeout=10).ok
    verdict = workshop.check(1)
    assert [tick.done for tick in verdict.off.ticks] == [True, True, False, False]
    assert verdict.off.notes == ("own_code",)


def test_a_half_that_is_done_stays_done(workshop: Workshop) -> None:
    workshop.solution(1).attack(workshop.exercise(1))
    workshop.exercise(1)  # begun anew before anybody checked
    assert workshop.check(1).off.done
    workshop.exercise(2)
    assert workshop.check(1).off.done


def test_two_pages_one_after_the_other_are_no_race(workshop: Workshop) -> None:
    exercise = workshop.defence(10)
    exercise.victim.signs_in()
    time.sleep(2.2)
    assert [exercise.victim.uses_app().status for _ in range(2)] == [200, 200]
    verdict = workshop.check(10)
    assert [tick.done for tick in verdict.on.ticks] == [True, True, False, False]


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B, with its challenge
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def exchange(exercise: Exercise, code: str, **more: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "client_id": exercise.client_id}
    form |= {"redirect_uri": f"{exercise.app}/callback"} | more
    return requests.post(f"{exercise.issuer}/connect/token", data=form, timeout=10)


def read(exercise: Exercise, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{exercise.issuer}/v1/profile", headers=bearer, timeout=10).ok


def link(exercise: Exercise, **more: str) -> str:
    asked = {"response_type": "code", "client_id": exercise.client_id, "redirect_uri": f"{exercise.app}/callback"}
    return f"{exercise.issuer}/connect/authorize?{urlencode(asked | {'scope': 'openid profile'} | more)}"


class TestWithTheDefenceOn:
    """Attacks that fail, but not because of the defence."""

    def test_a_wrong_redirect_uri_is_not_pkce(self, workshop: Workshop) -> None:
        exercise = workshop.defence(1)
        exercise.victim.signs_in()
        exchange(exercise, exercise.leaks()["callback_url"]["code"], redirect_uri="http://127.0.0.1:1/wrong")
        self.is_said(workshop, 1, "cause.redirect_uri")

    def test_data_that_were_read_in_another_way_are_read(self, workshop: Workshop) -> None:
        exercise = workshop.defence(1)
        workshop.solution(1).attack(exercise)
        exercise.victim.opens(link(exercise, code_challenge=CHALLENGE, code_challenge_method="S256"))
        answer = exchange(exercise, exercise.leaks()["callback_url"]["code"], code_verifier=VERIFIER)
        read(exercise, answer.json()["access_token"])
        self.is_said(workshop, 1, "read_all_the_same")

    @pytest.mark.parametrize("number", [1, 3])
    def test_a_code_that_is_used_up_is_not_pkce(self, workshop: Workshop, number: int) -> None:
        exercise = workshop.defence(number)
        exercise.victim.signs_in()
        stolen = exercise.leaks()["callback_url"]
        exercise.victim.opens(stolen)
        challenge = dict(parse_qsl(urlsplit(exercise.leaks()["authorization_url"].value).query)) if number == 3 else {}
        exchange(exercise, stolen["code"], code_verifier=challenge.get("code_challenge", VERIFIER))
        self.is_said(workshop, number, "cause.code_used")

    def test_a_used_code_that_is_injected_is_not_pkce(self, workshop: Workshop) -> None:
        exercise = workshop.defence(5)
        exercise.victim.signs_in()
        stolen = exercise.leaks()["callback_url"]
        exercise.victim.opens(stolen)
        with requests.Session() as mine:
            login = mine.get(f"{exercise.app}/login", allow_redirects=False, timeout=10)
            state = dict(parse_qsl(urlsplit(login.headers["Location"]).query))["state"]
            answer = {"code": stolen["code"], "state": state, "iss": exercise.issuer}
            mine.get(f"{exercise.app}/callback", params=answer, timeout=10)
        self.is_said(workshop, 5, "cause.code_used")

    @pytest.mark.parametrize("query", ["", "?client_id=lexoffice-nb", "?client_id=nobody&redirect_uri=http://x/"])
    def test_a_malformed_link_is_not_the_open_redirector(self, workshop: Workshop, query: str) -> None:
        exercise = workshop.defence(7)
        exercise.victim.opens(f"{exercise.issuer}/connect/authorize{query}")
        self.is_said(workshop, 7, "cause.redirect_uri_foreign" if "lexoffice" in query else "cause.client")

    @pytest.mark.parametrize("number", [8])
    def test_a_visit_to_the_app_is_no_squatting(self, workshop: Workshop, number: int) -> None:
        exercise = workshop.defence(number)
        requests.get(exercise.app, timeout=10)
        exercise.victim.signs_in()
        self.is_said(workshop, number, "wrong_address")

    @staticmethod
    def is_said(workshop: Workshop, number: int, note: str) -> None:
        verdict = workshop.check(number)
        assert not verdict.on.done
        assert verdict.on.notes == (note,)
        assert say(f"note.{note}", number=number) in " ".join(repr(verdict).split())


@pytest.mark.parametrize("signs_in", [False, True])
def test_a_link_with_a_verifier_of_the_attackers_needs_no_leak_and_is_another_attack(
    workshop: Workshop, signs_in: bool
) -> None:
    exercise = workshop.exercise(3)
    if signs_in:
        exercise.victim.signs_in()
    exercise.victim.opens(link(exercise, code_challenge=VERIFIER, code_challenge_method="plain"))
    answer = exchange(exercise, exercise.leaks()["callback_url"]["code"], code_verifier=VERIFIER)
    read(exercise, answer.json()["access_token"])
    verdict = workshop.check(3)
    assert not verdict.off.done
    assert "own_link" in verdict.off.notes
    workshop.solution(3).attack(exercise)
    assert workshop.check(3).off.done


@pytest.mark.parametrize("number", [8])
def test_a_callback_that_was_caught_and_handed_on_gives_nothing_and_is_called_so(
    workshop: Workshop, number: int
) -> None:
    exercise = workshop.exercise(number)
    listener = exercise.attacker.listen("::1", urlsplit(exercise.app).port or 0)
    exercise.victim.signs_in()
    caught = listener.wait(2)
    assert caught is not None
    with requests.Session() as mine:
        mine.get(f"{exercise.app}/callback?{urlsplit(caught.value).query}", timeout=10)
        assert mine.get(f"{exercise.app}/me", timeout=10).status_code == 401
    verdict = workshop.check(number)
    assert not verdict.off.done
    assert verdict.off.notes == ("handed_on",)
