"""The lesson without a browser: its ten steps over real HTTP, and what it shows on the way."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from lexoffice_nb.oauth.pkce import code_challenge
from lexoffice_nb.sandbox import process
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from lexoffice_nb.workshop import lesson_de, lesson_en
from lexoffice_nb.workshop.lesson import CHOICES, EXAMPLE, RIGHT, STEPS, Lesson, tried
from lexoffice_nb.workshop.lesson_card import SECRETS, lesson_card
from lexoffice_nb.workshop.lesson_widget import LessonWidget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON = 20  # seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a person whose sandbox serves all lessons of this file."""
    folder = tmp_path_factory.mktemp("person")
    yield folder
    process.stop(folder=folder / "lexoffice_nb" / "sandbox")


@pytest.fixture
def lesson(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lesson]:
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    one = Lesson()
    yield one
    one.close()


def act(lesson: Lesson, name: str = "do") -> None:
    """Presses a button and waits until the work is done."""
    lesson.act(name)
    ends = time.monotonic() + SOON
    while lesson.busy and time.monotonic() < ends:
        time.sleep(0.005)
    assert not lesson.busy


def person(lesson: Lesson, allow: bool = True) -> requests.Response:
    """Signs in as a person does, and lets the browser come back."""
    with requests.Session() as browser:
        browser.trust_env = False
        navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        return browser.get(sign_in(lesson.url, allow=allow), headers=navigation, timeout=5)


def answers(port: int | None) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port or 0)) == 0


def through(lesson: Lesson, last: str) -> None:
    """Walks through all steps up to one."""
    for step in STEPS[: STEPS.index(last) + 1]:
        assert lesson.step == step
        lesson.predict(RIGHT[step])
        if step == "sign_in":
            assert person(lesson).status_code == 200
        else:
            act(lesson)
        assert lesson.problem is None
        assert step in lesson.done
        if step != last:
            lesson.act("next")


def texts_of(card: dict[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False)


# --- the way ---


def test_ten_steps_lead_from_the_verifier_to_its_revocation(lesson: Lesson) -> None:
    through(lesson, "revocation")
    assert lesson.api_status == 401
    titles = [step.title for step in lesson.recorded()]
    assert [t for t in titles if t in ("login_url", "callback", "callback_checked", "token", "id_token_checked")] == [
        *("login_url", "callback", "callback_checked", "token", "id_token_checked"),
    ]
    assert titles[-4:] == ["refresh", "revocation", "revocation", "profile"]
    assert lesson.recorded()[-1].status == 401


def test_the_link_carries_the_challenge_of_the_verifier_of_step_1(lesson: Lesson) -> None:
    through(lesson, "url")
    assert lesson.verifier is not None
    assert dict(lesson.parameters)["code_challenge"] == code_challenge(lesson.verifier)
    assert lesson.verifier.reveal() not in lesson.url


def test_nothing_can_be_done_before_it_was_predicted(lesson: Lesson) -> None:
    act(lesson)
    assert lesson.done == set()
    lesson.predict("a")
    lesson.predict("b")
    assert lesson.chosen == {"verifier": "a"}
    act(lesson)
    assert lesson.done == {"verifier"}


def test_nobody_gets_ahead_of_the_steps(lesson: Lesson) -> None:
    lesson.go(5)
    assert lesson.at == 0
    through(lesson, "challenge")
    lesson.go(2)
    assert lesson.step == "url"
    lesson.go(3)
    assert lesson.step == "url"


def test_a_forged_callback_is_refused_by_the_real_check_and_ends_nothing(lesson: Lesson) -> None:
    through(lesson, "callback")
    lesson.act("next")
    lesson.predict("a")
    act(lesson, "forge")
    assert lesson.forgery is not None
    assert lesson.forgery.code == "state_mismatch"
    act(lesson)
    assert lesson.problem is None
    assert "state" in lesson.done


def test_the_attacker_may_try_after_the_comparison_too(lesson: Lesson) -> None:
    through(lesson, "state")
    assert lesson_card(lesson, 1)["do"]["more"]["name"] == "forge"
    act(lesson, "forge")
    assert lesson.forgery is not None
    assert lesson.forgery.code == "state_mismatch"


def test_the_listener_is_closed_when_the_browser_has_come_back(lesson: Lesson) -> None:
    through(lesson, "sign_in")
    assert lesson.login is not None
    port = urlsplit(lesson.login.redirect_uri).port
    ends = time.monotonic() + SOON
    while answers(port):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_the_diagram_shows_the_last_link_alone_and_says_get_when_somebody_asked(lesson: Lesson) -> None:
    through(lesson, "url")
    assert lesson.login is not None
    lesson.url = lesson.login.get_login_url()
    words = [shape[2] for shape in lesson_card(lesson, 1)["drawing"]["shapes"] if len(shape) == 3]
    assert words.count("Login URL") == 1
    assert not [each for each in words if "GET" in each]
    person(lesson)
    words = [shape[2] for shape in lesson_card(lesson, 2)["drawing"]["shapes"] if len(shape) == 3]
    assert [each for each in words if "GET" in each]


def test_a_refusal_of_the_person_is_explained_and_a_new_link_is_a_click_away(lesson: Lesson) -> None:
    through(lesson, "url")
    lesson.act("next")
    lesson.predict("b")
    assert person(lesson, allow=False).status_code == 400
    assert lesson.problem is not None
    assert lesson.problem.code == "access_denied"
    assert "again" in [each["name"] for each in lesson_card(lesson, 1)["actions"]]
    said = lesson_card(lesson, 1)["problem"]["next"]
    assert lesson_en.WORDS["lesson.again"] in said
    assert "--scope" not in said
    before, verifier = lesson.url, lesson.verifier
    act(lesson, "again")
    assert lesson.url != before
    assert lesson.verifier != verifier  # it serves once
    assert [step.title for step in lesson.recorded() if step.title != "discovery"] == ["login_url"]
    assert person(lesson).status_code == 200
    assert "sign_in" in lesson.done


def test_somebody_elses_callback_is_refused_at_the_listener_and_changes_nothing(lesson: Lesson) -> None:
    through(lesson, "url")
    assert lesson.login is not None
    made_up = f"{lesson.login.redirect_uri}?code=made-up&state=made-up"
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answer = requests.get(made_up, headers=navigation, timeout=5)
    assert answer.status_code == 400
    assert lesson.callback is None
    assert lesson.problem is None


def test_a_new_beginning_revokes_what_was_granted_and_gives_the_port_back(lesson: Lesson) -> None:
    through(lesson, "exchange")
    assert lesson.login is not None
    assert lesson.tokens is not None
    provider, token = lesson.login.provider, lesson.tokens.access_token
    port = urlsplit(lesson.login.redirect_uri).port
    act(lesson, "restart")
    answer = requests.get(
        f"{provider.api_base}/v1/profile", headers={"Authorization": f"Bearer {token.reveal()}"}, timeout=5
    )
    assert answer.status_code == 401
    assert (lesson.at, lesson.done, lesson.url) == (0, set(), "")
    ends = time.monotonic() + SOON
    while any(f":{port}" in thread.name or "loopback" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert not answers(port)


def test_what_serves_once_is_done_once_however_often_somebody_asks(lesson: Lesson) -> None:
    through(lesson, "exchange")
    tokens = lesson.tokens
    act(lesson)
    assert lesson.problem is None
    assert lesson.tokens is tokens
    lesson.act("next")
    for step in ("tokens", "renewal"):
        lesson.predict(RIGHT[step])
        act(lesson)
        lesson.act("next")
    assert lesson.problem is None
    lesson.go(0)
    verifier = lesson.verifier
    act(lesson)
    assert lesson.verifier is verifier


def test_a_sandbox_that_ends_on_the_way_is_started_again_for_a_new_link(lesson: Lesson, data: Path) -> None:
    through(lesson, "callback")
    process.stop(folder=data / "lexoffice_nb" / "sandbox")
    lesson.act("next")
    lesson.predict("a")
    act(lesson)
    lesson.act("next")
    lesson.predict("b")
    act(lesson)
    assert lesson.problem is not None
    assert lesson.can_sign_in_again
    act(lesson, "again")
    assert lesson.problem is None
    assert person(lesson).status_code == 200
    assert "sign_in" in lesson.done


def test_after_its_end_a_lesson_tells_no_secret(lesson: Lesson) -> None:
    through(lesson, "exchange")
    lesson.close()
    assert [lesson.secret(name) for name in ("code_verifier", "code", "access_token", "refresh_token", "id_token")] == (
        [None] * 5
    )


def test_the_former_refresh_token_is_replaced(lesson: Lesson) -> None:
    through(lesson, "renewal")
    assert lesson.tokens is not None
    assert lesson.former_refresh_token is not None
    assert lesson.former_refresh_token != lesson.tokens.refresh_token


# --- what it shows ---


@pytest.mark.parametrize("language", ["en", "de"])
def test_threat_13_no_card_holds_a_secret_or_a_cookie_at_any_step(lesson: Lesson, language: str) -> None:
    use_language(language)
    shown = [texts_of(lesson_card(lesson, 0))]
    for step in STEPS:
        lesson.predict(RIGHT[step])
        if step == "sign_in":
            person(lesson)
        else:
            act(lesson)
        shown.append(texts_of(lesson_card(lesson, 1)))
        if step == "exchange":
            first = [secret.reveal() for name in SECRETS if (secret := lesson.secret(name))]
        lesson.act("next")
    secrets = [*first, *(secret.reveal() for name in SECRETS if (secret := lesson.secret(name)))]
    assert len(set(secrets)) >= len(SECRETS)
    assert not [each for each in secrets for card in shown if each in card]
    assert "lexoffice_sandbox_" not in "".join(shown)  # the name of its cookie


def test_a_card_says_in_both_languages_what_there_is_to_do(lesson: Lesson) -> None:
    english = lesson_card(lesson, 1)
    use_language("de")
    german = lesson_card(lesson, 2)
    assert (english["lang"], german["lang"]) == ("en", "de")
    assert english["predict"]["question"] != german["predict"]["question"]
    assert english["do"] is None
    lesson.predict("b")
    assert lesson_card(lesson, 3)["do"]["button"]["label"] == lesson_de.WORDS["verifier.do"]


def test_the_lesson_has_the_same_words_in_both_languages() -> None:
    assert lesson_en.WORDS.keys() == lesson_de.WORDS.keys()
    for step in STEPS:
        for part in ("title", "intro", "ask", *CHOICES, "answer", "explain", "source"):
            assert lesson_en.WORDS[f"{step}.{part}"] != ""
    same = {key for key, words in lesson_en.WORDS.items() if words == lesson_de.WORDS[key] and " " in words}
    assert same == set()


def test_the_diagram_has_the_attackers_lane_from_the_beginning(lesson: Lesson) -> None:
    shapes = lesson_card(lesson, 1)["drawing"]["shapes"]
    assert "Attacker" in [shape[2] for shape in shapes if len(shape) == 3]
    through(lesson, "exchange")
    said = lesson_card(lesson, 2)["drawing"]["list"]
    assert any("verifier" in line for line in said)
    assert len(said) > 5


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (EXAMPLE, ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", 0)),  # RFC 7636 appendix B
        (EXAMPLE[:-1], None),
        (EXAMPLE + "ä", None),
        ("x" * 129, None),
    ],
)
def test_a_verifier_to_try_out_has_the_challenge_of_the_standard(given: str, answer: object) -> None:
    assert tried(given) == answer


def test_one_other_character_changes_nearly_all_of_the_challenge() -> None:
    found = tried("e" + EXAMPLE[1:])
    assert found is not None
    assert found[1] >= 36


# --- the view's messages ---


def test_threat_5_what_clients_write_changes_nothing(lesson: Lesson) -> None:
    widget = LessonWidget(lesson)
    try:
        before = {name: getattr(widget, name) for name in ("_esm", "_css")}
        widget._handle_msg({"content": {"data": {"method": "update", "state": {"_esm": "alert(1)"}}}})
        for content in (None, 7, "do", {"kind": "go", "name": True}, {"kind": "go", "name": 99}, {"kind": "x"}):
            widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}})
        widget._handle_msg(
            {"content": {"data": {"method": "custom", "content": {"kind": "try", "text": "x" * 20_000}}}}
        )
        assert {name: getattr(widget, name) for name in before} == before
        assert (lesson.at, lesson.tried, lesson.chosen) == (0, None, {})
    finally:
        widget.close()


def test_a_secret_is_told_only_when_asked_for_and_only_of_the_sandbox(lesson: Lesson) -> None:
    through(lesson, "exchange")
    assert lesson.secret("code_verifier") == lesson.verifier
    assert lesson.secret("password") is None
    assert lesson.login is not None
    object.__setattr__(lesson.login.provider, "name", "lexware")
    try:
        assert [lesson.secret(name) for name in SECRETS] == [None] * len(SECRETS)
    finally:
        object.__setattr__(lesson.login.provider, "name", "sandbox")
