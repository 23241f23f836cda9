"""The words of the workshop: both languages, all of them used, and nothing in them that a browser would obey."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest

import lexoffice_nb.workshop
from lexoffice_nb.texts import use_language
from lexoffice_nb.workshop import de, en
from lexoffice_nb.workshop.checks import CAUSES, NUMBERS, STEPS, judge
from lexoffice_nb.workshop.exercises import EXERCISES
from lexoffice_nb.workshop.page import Block, Line, Page
from lexoffice_nb.workshop.scene import Exercise
from lexoffice_nb.workshop.words import PortTaken, WorkshopError, say
from lexoffice_nb.workshop.workshop import Hint, Progress, Solution, Verdict
from lexoffice_nb.workshop.world import State, World

PACKAGE = Path(lexoffice_nb.workshop.__file__).parent
LONGEST = 420
# Made from a number or a name; each kind has its own test below.
MADE_UP_KEYS = re.compile(
    r"(name|story|have|goal|defence|why|hint|tick)\.\d+|error\.|note\.|where\.|server\.|half\.|mark\."
)
CALLS = re.compile(r"workshop\.\w+\(|\be\.\w+(?:\.\w+)*|--[a-z-]+|/[a-z0-9/]+\b|\b[a-z]+_[a-z_]+\b")


def placeholders(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def state(number: int, defence: bool = False) -> State:
    return State(
        number, defence, "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "lexoffice-nb", 1, 1
    )


class TestBothLanguages:
    def test_have_the_same_keys_in_the_same_order(self) -> None:
        assert list(de.WORDS) == list(en.WORDS)

    @pytest.mark.parametrize("key", en.WORDS)
    def test_have_the_same_placeholders_and_name_the_same_calls(self, key: str) -> None:
        assert placeholders(de.WORDS[key]) == placeholders(en.WORDS[key])
        assert sorted(set(CALLS.findall(de.WORDS[key]))) == sorted(set(CALLS.findall(en.WORDS[key])))

    @pytest.mark.parametrize("words", [en.WORDS, de.WORDS], ids=["en", "de"])
    def test_are_short_enough_to_be_read_in_a_cell(self, words: dict[str, str]) -> None:
        assert [key for key, text in words.items() if len(text) > LONGEST] == []

    def test_german_speaks_to_an_adult(self) -> None:
        informal = re.compile(r"\b(du|dein\w*|dich|dir|euch|euer\w*)\b", re.IGNORECASE)
        assert [key for key, text in de.WORDS.items() if informal.search(text)] == []


def test_every_key_is_used() -> None:
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.glob("*.py") if not path.stem.endswith(("en", "de")))
    fixed = [key for key in en.WORDS if not MADE_UP_KEYS.match(key)]
    assert [key for key in fixed if f'"{key}"' not in sources and f"'{key}'" not in sources] == []
    codes = {key.split(".")[1] for key in en.WORDS if key.startswith("error.")}
    assert [code for code in codes if f'"{code}"' not in sources] == []
    notes = [key.removeprefix("note.") for key in en.WORDS if key.startswith("note.")]
    assert [note for note in notes if f'"{note.removeprefix("cause.")}"' not in sources and note != "cause.other"] == []


def test_every_cause_of_a_refusal_has_words_and_no_others_have() -> None:
    assert {key for key in en.WORDS if key.startswith("note.cause.")} == {
        f"note.cause.{cause}" for cause in (*CAUSES, "other")
    }


def test_every_error_says_what_to_do_now() -> None:
    errors = [key for key in en.WORDS if key.startswith("error.") and not key.endswith(".next")]
    assert errors
    assert [key for key in errors if f"{key}.next" not in en.WORDS] == []


def test_every_tick_has_words_and_no_others_have() -> None:
    wanted = {
        f"tick.{number}.{'on' if defence else 'off'}.{step.key}"
        for (number, defence), steps in STEPS.items()
        for step in steps
    }
    assert {key for key in en.WORDS if key.startswith("tick.")} == wanted


@pytest.mark.parametrize("number", NUMBERS)
def test_every_exercise_has_a_story_three_hints_a_solution_and_something_to_read(number: int) -> None:
    entry = EXERCISES[number]
    for key in ("name", "story", "have", "goal", "defence", "why", "hint.1", "hint.2", "hint.3"):
        kind, _, which = key.partition(".")
        assert en.WORDS[f"{kind}.{number}" + (f".{which}" if which else "")]
    assert "def attack(exercise):" in Solution(number).code
    assert any(re.match(r"RFC (6749|7636|8252|9207|9700), section [0-9.]+ \(.+\)$", each) for each in entry.reads)


@pytest.mark.parametrize("number", NUMBERS)
def test_no_early_hint_is_code(number: int) -> None:
    assert "requests." not in en.WORDS[f"hint.{number}.1"]
    assert "(e." not in en.WORDS[f"hint.{number}.1"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_model_solution_fits_on_a_wall(number: int) -> None:
    code = Solution(number).code
    assert len(code.splitlines()) <= 45
    assert max(map(len, code.splitlines())) <= 76


class _Checked(HTMLParser):
    void = frozenset({"br", "hr", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.names |= {tag, *(f"@{name}" for name, _ in attrs)}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def pages() -> list[Page]:
    return [
        *(Exercise(World(Path("unused")), state(number, on)) for number in NUMBERS for on in (False, True)),
        *(Verdict(number, judge(number, False, []), judge(number, True, None)) for number in NUMBERS),
        *(Hint(number, which) for number in NUMBERS for which in (1, 2, 3)),
        *(Solution(number) for number in NUMBERS),
        Progress({(1, False): judge(1, False, [])}),
    ]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_can_be_shown_as_text_and_as_well_formed_html(language: str) -> None:
    use_language(language)
    for page in pages():
        text, html = repr(page), page._repr_html_()
        assert text.strip()
        assert f"lang='{language}'" in html
        parser = _Checked()
        parser.feed(html)
        parser.close()
        assert parser.open == []
        assert parser.names <= {
            *("section", "p", "ul", "li", "span", "code", "pre"),
            *("@class", "@lang", "@aria-label", "@style", "@aria-hidden"),
        }


def test_everything_on_a_page_is_escaped() -> None:
    evil = "<script>alert('1')</script>\"&"

    class Evil(Page):
        def _title(self) -> str:
            return evil

        def _blocks(self) -> list[Block]:
            return [Block(evil, evil, [Line(evil, True, evil), Line(evil, None, evil)], evil)]

    html = Evil()._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 9
    assert "alert('" not in html


def test_a_tick_is_a_word_too_for_who_cannot_see_the_mark() -> None:
    half = judge(1, False, [])
    html = Verdict(1, half, judge(1, True, None))._repr_html_()
    assert html.count("(still missing)") == len(half.ticks) + 4


def test_an_error_is_two_lines_in_the_persons_language() -> None:
    error = WorkshopError("not_begun", number=3)
    assert error._render_traceback_() == [
        "WorkshopError: Exercise 3 has not been begun in this kernel.",
        "→ Begin it with: e = workshop.exercise(3); e",
    ]
    use_language("de")
    assert error._render_traceback_()[0].endswith("Aufgabe 3 wurde in diesem Kernel noch nicht begonnen.")
    assert str(error).startswith("Exercise 3")


def test_a_value_that_is_words_itself_comes_in_each_language() -> None:
    error = PortTaken("port_taken", host="::1", port=5000, who="who.somebody")
    assert "some program" in str(error)
    assert "ein anderes Programm" in error.what("de")
    assert isinstance(error, OSError)


def test_unknown_words_are_a_mistake_of_the_program() -> None:
    with pytest.raises(KeyError):
        say("no.such.words")
