"""All ten exercises against a real sandbox process: the model solutions, and thirty wrong ones."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
import requests

from lexoffice_nb.workshop.checks import NUMBERS
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
    for _ in range(2):
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
