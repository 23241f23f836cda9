"""The lesson in a real JupyterLab, from its first step to its last, with the keyboard alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from lexoffice_nb.workshop.lesson import RIGHT, STEPS
from lexoffice_nb.workshop.words import say
from tests.browser.signing_in import LOAD, PATIENCE, allow, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Notebook

OPEN = f"{LOAD}\n%lexoffice_workshop"
SECRETS = """
import json, lexoffice_nb.workshop.lesson_widget as w
from lexoffice_nb.workshop.lesson_card import SECRETS
print(json.dumps([w._lessons[0].secret(name).reveal() for name in SECRETS]))
"""


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong inside the lesson."""
    found = Axe().run(page, context={"include": [[".lxo-lesson"]]}).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


class Walker:
    """A person without a mouse: Tab, arrows, Space and Enter."""

    def __init__(self, notebook: Notebook, language: str) -> None:
        self.notebook, self.page, self.language = notebook, notebook.page, language
        self.lesson = notebook.output(0).locator(".lxo-lesson")

    def at(self, step: str) -> None:
        heading = say(
            "lesson.step",
            self.language,
            number=STEPS.index(step) + 1,
            count=len(STEPS),
            title=say(f"{step}.title", self.language),
        )
        expect(self.lesson.get_by_role("heading", name=heading)).to_be_visible()

    def to(self, target: Locator) -> None:
        """Presses Tab until the target has the focus."""
        expect(target).to_be_visible(timeout=PATIENCE)
        for _ in range(60):
            if target.evaluate("node => node === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {target}")

    def predict(self, step: str, choice: str) -> None:
        options = self.lesson.get_by_role("radio")
        expect(options).to_have_count(3)
        expect(options.first).to_be_enabled()
        self.to(options.first)
        for _ in "abc"[: "abc".index(choice)]:
            self.page.keyboard.press("ArrowDown")
        self.page.keyboard.press("Enter")
        expect(self.lesson.get_by_text(say(f"{step}.answer", self.language))).to_be_visible()

    def press(self, name: str) -> None:
        self.to(self.lesson.get_by_role("button", name=name, exact=True))
        self.page.keyboard.press("Enter")

    def said(self, key: str) -> str:
        return say(key, self.language)


def sign_in_by_link(walker: Walker) -> None:
    link = walker.lesson.get_by_role("link", name=walker.said("sign_in.link"))
    walker.to(link)
    with walker.notebook.context.expect_page() as opened:
        walker.page.keyboard.press("Enter")
    tab = opened.value
    tab.wait_for_load_state()
    if walker.language == "en":
        sign_in(tab)
        allow(tab)
    else:
        tab.get_by_role("button", name="Als Erika Muster anmelden").click()
        tab.get_by_role("button", name="Erlauben").click()
    walker.page.bring_to_front()


@pytest.mark.parametrize(
    ("language", "locale", "theme"),
    [pytest.param("en", "en-US", "light", marks=pytest.mark.soak), ("de", "de-DE", "dark")],
    ids=["en-light", "de-dark"],
)
def test_the_whole_lesson_with_the_keyboard_alone(
    new_notebook: Callable[..., Notebook], language: str, locale: str, theme: str
) -> None:
    notebook = new_notebook(theme=theme, locale=locale)
    notebook.open([OPEN])
    notebook.run(0)
    walker = Walker(notebook, language)
    walker.at("verifier")
    notebook.screenshot(f"lesson-{language}-{theme}-begin", walker.lesson)
    # Into the card once with the keyboard of JupyterLab's own output; from there on it is Tab alone.
    walker.lesson.get_by_role("radio").first.focus()
    for step in STEPS:
        walker.at(step)
        wrong = "a" if RIGHT[step] != "a" else "b"
        walker.predict(step, RIGHT[step] if step != "callback" else wrong)
        if step == "sign_in":
            sign_in_by_link(walker)
        else:
            if step == "state":
                walker.press(walker.said("state.forge"))
                expect(
                    walker.lesson.get_by_text("possible CSRF attack")
                    .or_(walker.lesson.get_by_text("CSRF-Angriff"))
                    .first
                ).to_be_visible()
            walker.press(walker.said(f"{step}.do"))
        expect(walker.lesson.get_by_text(walker.said(f"{step}.explain"))).to_be_visible(timeout=PATIENCE)
        assert violations(notebook.page) == []
        notebook.screenshot(f"lesson-{language}-{theme}-{step}", walker.lesson)
        if step == "exchange":
            secrets: list[str] = json.loads(notebook.execute(SECRETS))
            shown = notebook.page.content()
            assert [each for each in secrets if each in shown] == []
        if step != STEPS[-1]:
            walker.press(walker.said("lesson.next"))
    expect(walker.lesson.get_by_role("status")).to_have_text(walker.said("lesson.status.end"))
    expect(walker.lesson.get_by_text("HTTP 401")).to_be_visible()
    notebook.save()
    kept = notebook.file_text()
    assert [each for each in secrets if each in kept] == []
    assert notebook.page_errors == []


def test_a_secret_is_shown_for_five_seconds_and_is_in_no_file(notebook: Notebook) -> None:
    notebook.open([OPEN], save_widget_state=True)
    notebook.run(0)
    walker = Walker(notebook, "en")
    walker.lesson.get_by_role("radio").first.focus()
    walker.predict("verifier", "b")
    walker.press("Make a verifier")
    button = walker.lesson.get_by_role("button", name="Reveal for 5 seconds")
    expect(button).to_be_visible(timeout=PATIENCE)
    verifier = notebook.execute(
        "import lexoffice_nb.workshop.lesson_widget as w; print(w._lessons[0].verifier.reveal())"
    )
    assert len(verifier) == 86
    assert verifier not in notebook.page.content()
    button.click()
    expect(walker.lesson.get_by_text(verifier)).to_be_visible()
    notebook.save()
    assert verifier not in notebook.file_text()
    expect(walker.lesson.get_by_text(verifier)).to_have_count(0, timeout=8000)
    assert verifier not in notebook.page.content()


def test_it_stands_where_it_was_when_the_cell_runs_again(notebook: Notebook) -> None:
    notebook.open([OPEN])
    notebook.run(0)
    walker = Walker(notebook, "en")
    walker.lesson.get_by_role("radio").first.focus()
    walker.predict("verifier", "b")
    walker.press("Make a verifier")
    walker.press("Next step")
    walker.at("challenge")
    notebook.run(0)
    walker.at("challenge")
    assert notebook.execute("workshop.__name__") == "'lexoffice_nb.workshop'"


def test_a_changed_verifier_shows_its_own_challenge(notebook: Notebook) -> None:
    notebook.open([OPEN])
    notebook.run(0)
    walker = Walker(notebook, "en")
    walker.lesson.get_by_role("radio").first.focus()
    for step in ("verifier", "challenge"):
        walker.predict(step, RIGHT[step])
        walker.press(walker.said(f"{step}.do"))
        if step == "verifier":
            walker.press("Next step")
    box = walker.lesson.get_by_role("textbox")
    # The challenge of RFC 7636 appendix B for its verifier.
    expect(walker.lesson.get_by_text("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")).to_be_visible()
    box.fill("eBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    expect(walker.lesson.get_by_text("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")).to_have_count(0)
    expect(walker.lesson.get_by_text("of 43 characters differ")).to_be_visible()
    box.fill("too short")
    expect(walker.lesson.get_by_text("A verifier has 43 to 128 characters")).to_be_visible()


def test_messages_of_any_client_change_nothing_they_should_not(notebook: Notebook) -> None:
    notebook.open([OPEN])
    notebook.run(0)
    sent: list[Any] = [{"kind": "go", "name": 9}, {"kind": "action", "name": "_reset"}, {"kind": "reveal", "name": "x"}]
    said = notebook.execute(
        "import lexoffice_nb.workshop.lesson_widget as w\n"
        "widget = w.LessonWidget(w._lessons[0])\n"
        f"for message in {sent!r}:\n"
        "    widget._handle_msg({'content': {'data': {'method': 'custom', 'content': message}}})\n"
        "print(w._lessons[0].at)"
    )
    assert said == "0"


HOSTILE = """
import lexoffice_nb.workshop.lesson_widget as w
from lexoffice_nb.workshop.lesson_card import lesson_card

EVIL = "<img src=x onerror='window.hit=1'>\u202e"

def spoilt(value, key=""):
    if isinstance(value, dict):
        return {k: spoilt(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [spoilt(each, key) for each in value]
    return EVIL if isinstance(value, str) and key not in ("kind", "lang", "state", "mark", "name", "icon") else value

lesson = w._lessons[0]
widget = w.LessonWidget(lesson)
card = spoilt(lesson_card(lesson, 10**6))
card["see"] = {"label": EVIL, "blocks": [
    {"kind": "facts", "rows": [{"label": EVIL, "value": EVIL, "mono": True, "secret": None}]},
    {"kind": "raw", "label": EVIL, "lines": [EVIL]},
    {"kind": "parameters", "label": EVIL, "items": [
        {"name": EVIL, "value": EVIL, "secret": None, "text": EVIL, "source": EVIL}]},
]}
card["do"] = {"label": EVIL, "link": {"href": "javascript:window.hit=1", "label": EVIL, "host_label": EVIL}}
card["drawing"]["shapes"] = [["script", {}, "window.hit=1"], ["text", {"x": 9, "y": 9, "onclick": "hit=1"}, EVIL]]
lesson.watch(lambda: None)
for view in lesson._watchers[:1]:
    view.__self__._send_card(lambda: card)
"""


def test_threat_35_hostile_text_is_shown_literally_in_the_lesson(notebook: Notebook) -> None:
    notebook.open([OPEN])
    notebook.run(0)
    walker = Walker(notebook, "en")
    walker.at("verifier")
    notebook.execute(HOSTILE)
    expect(walker.lesson.get_by_text("<img src=x onerror='window.hit=1'>").first).to_be_visible()
    assert walker.lesson.locator("img, script, [onclick]").count() == 0
    assert walker.lesson.get_by_role("link").count() == 0
    assert notebook.page.evaluate("window.hit") is None
    assert notebook.page_errors == []
