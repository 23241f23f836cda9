"""The checks as pure functions: a log that somebody wrote by hand goes in, ticks come out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lexoffice_nb.workshop.checks import NUMBERS, STEPS, Event, Half, judge, with_askers

HALVES = [(number, defence) for number in NUMBERS for defence in (False, True)]
CODE, REFRESH = "authorization_code", "refresh_token"


def log(*entries: tuple[str, dict[str, Any]]) -> list[Event]:
    """Events from lines as `browser issuer consent 303`, numbered as they come, of the victim's first consent."""
    events = []
    for n, (line, more) in enumerate(entries, 1):
        by, at, what, status = line.split()
        given = {"grant": "g1", "person": "demo"} | more
        events.append(
            Event.of({"n": n, "time": float(n), "by": by, "at": at, "what": what, "status": int(status)} | given)
        )
    return events


def line(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return text, more


STARTED = line("browser app start 303", grant=None, person=None, session="victim")
CONSENT = line("browser issuer consent 303", to="http://127.0.0.1:5000/callback")
EXCHANGED = line("attacker issuer token 200", grant_type=CODE, pkce="none")
READ = line("attacker issuer api 200")
REFUSED = line("attacker issuer token 400", grant_type=CODE, pkce="none", error="invalid_grant", check="verifier")
USED_UP = line("attacker issuer token 400", grant_type=CODE, pkce="none", error="invalid_grant", check="code_used")
APP_EXCHANGED = line("app issuer token 200", grant_type=CODE, pkce="none")
SIGNED_OUT = line("browser app me 401", error="invalid_token", session="victim")


def asked(pkce: str, status: int = 303, **more: Any) -> tuple[str, dict[str, Any]]:
    return line(f"browser issuer authorize {status}", grant=None, person=None, pkce=pkce, **more)


OWN_CODE = line("attacker issuer consent 303", grant="g7", person="kanzlei")
MINE = {"grant": "g7", "person": "kanzlei"}
OWN_LOGIN = line("attacker app start 303", grant=None, person=None, session="attacker")
INJECTED = line(
    "app issuer token 400",
    grant_type=CODE,
    pkce="verifier",
    error="invalid_grant",
    session="attacker",
    check="verifier",
)
MET = line("attacker app other 200", grant=None, person=None, path="/", met="::1")
FORWARDED = line("browser second authorize 303", grant=None, person=None, pkce="S256")
REDIRECTED = line("browser app redirector 303", grant=None, person=None)
RENEWED = line("app issuer token 200", grant_type=REFRESH, began=2.0)
PAGE = line("browser app me 200", session="victim", began=1.5)

# What a log looks like when all went as it should.
PERFECT: dict[tuple[int, bool], list[Event]] = {
    (1, False): log(STARTED, asked("none"), CONSENT, EXCHANGED, READ),
    (1, True): log(STARTED, asked("S256"), CONSENT, REFUSED),
    (2, False): log(asked("none"), CONSENT, EXCHANGED, READ),
    (2, True): log(asked("none", error="invalid_request", check="challenge_missing")),
    (3, False): log(STARTED, asked("plain"), CONSENT, (EXCHANGED[0], EXCHANGED[1] | {"pkce": "verifier"}), READ),
    (3, True): log(STARTED, asked("S256"), CONSENT, (REFUSED[0], REFUSED[1] | {"pkce": "verifier"})),
    (4, False): log(
        OWN_CODE,
        (APP_EXCHANGED[0], APP_EXCHANGED[1] | MINE),
        line("browser app callback 303", **MINE),
        line("browser app me 200", session="victim", **MINE),
    ),
    (4, True): log(OWN_CODE, line("browser app callback 400", error="state_mismatch", **MINE)),
    (5, False): log(CONSENT, OWN_LOGIN, APP_EXCHANGED, line("attacker app me 200", session="attacker")),
    (5, True): log(CONSENT, OWN_LOGIN, INJECTED),
    (6, False): log(CONSENT, APP_EXCHANGED, EXCHANGED, READ),
    (6, True): log(CONSENT, APP_EXCHANGED, USED_UP, SIGNED_OUT),
    (7, False): log(asked("none"), CONSENT, REDIRECTED, EXCHANGED, READ),
    (7, True): log(asked("none", 400, check="redirect_uri")),
    (8, False): log((CONSENT[0], {"to": "http://localhost:5000/callback"}), EXCHANGED, READ),
    (8, True): log(MET, CONSENT, APP_EXCHANGED),
    (9, False): log(
        FORWARDED, CONSENT, line("app second token 400", grant_type=CODE, pkce="verifier"), EXCHANGED, READ
    ),
    (9, True): log(FORWARDED, CONSENT, line("browser app callback 400", error="issuer_mismatch")),
    (10, False): log(
        CONSENT, RENEWED, line("app issuer token 400", grant_type=REFRESH, error="invalid_grant"), SIGNED_OUT
    ),
    (10, True): log(CONSENT, RENEWED, PAGE, PAGE),
}
# What must not have happened, if a step is one of those.
FORBIDDEN = {
    "nothing_read": READ,
    "not_exchanged": (APP_EXCHANGED[0], APP_EXCHANGED[1] | MINE | {"session": "victim"}),
    "not_used": line("attacker app me 200", session="attacker"),
    "not_redirected": REDIRECTED,
    "not_delivered": line("browser app callback 303"),
    "not_posted": line("app second token 400"),
    "once": line("app issuer token 400", grant_type=REFRESH, error="invalid_grant"),
}


def missing(half: Half) -> list[str]:
    return [tick.key for tick in half.ticks if not tick.done]


@pytest.mark.parametrize(("number", "defence"), HALVES)
class TestEachHalf:
    def test_is_done_when_all_of_it_is_in_the_log(self, number: int, defence: bool) -> None:
        half = judge(number, defence, PERFECT[number, defence])
        assert missing(half) == []
        assert half.done
        assert half.notes == ()

    def test_is_not_done_by_an_empty_log(self, number: int, defence: bool) -> None:
        half = judge(number, defence, [])
        assert half.count == 0
        assert half.notes == ("nothing_yet",)

    def test_is_not_even_begun_without_a_log(self, number: int, defence: bool) -> None:
        half = judge(number, defence, None)
        assert (half.begun, half.done, half.count) == (False, False, 0)

    def test_misses_each_thing_that_is_not_in_the_log(self, number: int, defence: bool) -> None:
        for step in STEPS[number, defence]:
            if step.never:
                continue
            without = [event for event in with_askers(PERFECT[number, defence]) if not step.fits(event)]
            assert step.key in missing(judge(number, defence, without)), step.key

    def test_is_not_done_if_what_must_not_happen_has_happened(self, number: int, defence: bool) -> None:
        for step in STEPS[number, defence]:
            if step.never:
                too_much = [*PERFECT[number, defence], *[replace(each, n=99) for each in log(FORBIDDEN[step.key])]]
                assert step.key in missing(judge(number, defence, too_much)), step.key

    def test_is_not_done_by_pieces_of_two_different_sign_ins(self, number: int, defence: bool) -> None:
        bound = [step for step in STEPS[number, defence] if step.bound and not step.never]
        for step in bound[1:]:
            mixed = [replace(e, grant="g2") if step.test(e) else e for e in PERFECT[number, defence]]
            assert not judge(number, defence, mixed).done, step.key

    def test_is_not_done_by_codes_that_nobody_was_given(self, number: int, defence: bool) -> None:
        if (number, defence) in ((2, True), (7, True)):
            return  # here the attack ends before there is a code
        made_up = [replace(event, grant=None, person=None) for event in PERFECT[number, defence]]
        assert not judge(number, defence, made_up).done

    def test_is_not_done_by_the_log_of_the_other_half(self, number: int, defence: bool) -> None:
        assert not judge(number, defence, PERFECT[number, not defence]).done


@pytest.mark.parametrize("number", NUMBERS)
def test_the_log_of_the_next_exercise_does_not_do(number: int) -> None:
    neighbour = number % 10 + 1
    both = [judge(number, defence, PERFECT[neighbour, defence]) for defence in (False, True)]
    assert not all(half.done for half in both)
    assert not both[0].done


def test_the_attempt_that_came_furthest_counts_and_the_newest_of_equals() -> None:
    begun = log(STARTED, CONSENT)
    whole = [replace(e, n=e.n + 10, grant=e.grant and "g2") for e in PERFECT[1, False]]
    late = [replace(e, n=e.n + 20, grant=e.grant and "g3") for e in begun]
    assert judge(1, False, [*begun, *whole, *late]).done


def test_the_order_of_a_replay_matters() -> None:
    first_me = log(CONSENT, EXCHANGED, READ, APP_EXCHANGED)
    assert missing(judge(6, False, first_me)) == ["exchanged"]


def test_a_sign_out_before_the_replay_is_not_its_consequence() -> None:
    before = log(SIGNED_OUT, CONSENT, APP_EXCHANGED, USED_UP)
    assert "signed_out" in missing(judge(6, True, before))


def test_two_pages_one_after_the_other_are_no_race() -> None:
    after = log(CONSENT, RENEWED, PAGE, (PAGE[0], PAGE[1] | {"began": 3.5}))
    assert missing(judge(10, True, after)) == ["both_served", "once"]


def test_plain_without_the_verifier_is_another_attack() -> None:
    assert missing(half := judge(3, True, log(STARTED, asked("S256"), CONSENT, REFUSED))) == [
        "refused",
        "nothing_read",
    ]
    assert half.notes == ("no_verifier",)


def test_a_made_up_code_is_called_one() -> None:
    guess = log(line("attacker issuer token 400", grant_type=CODE, error="invalid_grant", grant=None, person=None))
    half = judge(1, False, guess)
    assert half.notes == ("made_up_code",)
    assert half.refusal == ("issuer.token", 400, "invalid_grant")


def test_an_own_code_is_called_one() -> None:
    own = log(line("attacker issuer token 200", grant_type=CODE, **MINE))
    assert judge(1, False, own).notes == ("own_code",)


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (1, ("issuer.token", 400, "invalid_grant")),
        (2, ("issuer.authorize", 303, "invalid_request")),
        (4, ("app.callback", 400, "state_mismatch")),
        (9, ("app.callback", 400, "issuer_mismatch")),
    ],
)
def test_a_half_that_is_done_says_where_the_attack_failed(number: int, stage: tuple[str, int, str]) -> None:
    assert judge(number, True, PERFECT[number, True]).refusal == stage


def test_an_entry_with_more_members_than_known_is_read() -> None:
    entry = {"n": 1, "by": "app", "at": "issuer", "what": "api", "status": 200, "colour": "green"}
    assert Event.of(entry) == Event(1, "app", "issuer", "api", status=200)


def with_the_cause(number: int, cause: str) -> list[Event]:
    """A perfect log, but that the refusal had another cause."""
    step = next(step for step in STEPS[number, True] if step.key == "refused")
    return [replace(event, check=cause) if step.fits(event) else event for event in PERFECT[number, True]]


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (1, "redirect_uri"),
        (1, "code_used"),
        (2, "redirect_uri_foreign"),
        (3, "code_used"),
        (5, "code_used"),
        (5, "code_unknown"),
        (6, "redirect_uri"),
        (7, "redirect_uri_foreign"),
        (7, "client"),
    ],
)
def test_a_refusal_for_another_cause_does_not_do_and_the_cause_is_said(number: int, cause: str) -> None:
    half = judge(number, True, with_the_cause(number, cause))
    assert "refused" in missing(half)
    assert half.notes == (f"cause.{cause}",)


def test_a_cause_that_has_no_words_is_another_one() -> None:
    assert judge(1, True, with_the_cause(1, "the_weather")).notes == ("cause.other",)


def test_the_right_refusal_after_a_wrong_one_does() -> None:
    wrong = [replace(event, n=event.n - 10) for event in with_the_cause(1, "redirect_uri")]
    assert judge(1, True, [*wrong, *PERFECT[1, True]]).done


@pytest.mark.parametrize("number", [1, 2, 3, 6, 7, 8, 9])
@pytest.mark.parametrize("way", [READ, line("attacker app me 200", session="attacker")])
def test_who_reads_the_victims_data_in_another_way_has_read_them(number: int, way: tuple[str, dict[str, Any]]) -> None:
    otherwise = [replace(event, n=99, grant="g5") for event in log(way)]
    half = judge(number, True, [*PERFECT[number, True], *otherwise])
    assert missing(half) == ["nothing_read"]
    assert half.notes == ("read_all_the_same",)


def test_who_reads_his_own_data_reads_nothing_of_hers() -> None:
    own = [replace(event, n=99) for event in log((READ[0], MINE))]
    assert judge(1, True, [*PERFECT[1, True], *own]).done


@pytest.mark.parametrize(("number", "defence"), [(1, False), (1, True), (3, False), (3, True)])
def test_a_link_of_the_attackers_is_not_her_own_sign_in(number: int, defence: bool) -> None:
    """She signed in by herself as well, but the code that is used comes of the link."""
    perfect = PERFECT[number, defence]
    link = [replace(event, n=event.n + 10) for event in perfect if event.what != "start"]
    hers = [replace(event, grant="g9" if event.grant else None) for event in perfect if event.by == "browser"]
    half = judge(number, defence, [*hers, *link])
    assert "signed_in" in missing(half) or "read" in missing(half) or "refused" in missing(half)
    assert "own_link" in half.notes


def test_the_apps_usual_address_is_not_the_one_that_was_to_be_taken() -> None:
    usual = [replace(event, met=event.met and "127.0.0.1") for event in PERFECT[8, True]]
    half = judge(8, True, usual)
    assert missing(half) == ["tried", "nothing_read"]
    assert half.notes == ("wrong_address",)


def test_a_callback_that_was_caught_and_handed_on_is_called_so() -> None:
    handed_on = line("attacker app callback 303", session="victim")
    half = judge(8, False, log((CONSENT[0], {"to": "http://localhost:5000/callback"}), APP_EXCHANGED, handed_on))
    assert missing(half) == ["exchanged", "read", "not_delivered"]
    assert half.notes == ("handed_on",)


def test_a_session_that_was_planted_in_her_browser_is_an_account_of_yours_too() -> None:
    planted = log(line("browser app me 200", session="attacker", **MINE))
    half = judge(4, True, [*PERFECT[4, True], *[replace(event, n=99) for event in planted]])
    assert missing(half) == ["not_exchanged"]


def test_a_log_that_has_lost_its_beginning_is_called_one() -> None:
    assert judge(1, False, log(READ), is_cut=True).notes == ("log_is_cut",)
    assert judge(1, False, PERFECT[1, False], is_cut=True).notes == ()
