"""The texts in both languages, the choice of the language, and text from outside made harmless."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from string import Formatter
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb import texts
from lexoffice_nb.texts import current_language, de, en, from_server, has_text, pick, text, use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_TEXT = 300
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
# A key without a dot is an error, except for these.
NO_ERRORS = {"language", "date_and_time", "date"}
# What a person types or looks for: magics, options, variables, calls, URLs, names of standards.
NAMES = re.compile(
    r"%lexoffice\w+|--[a-z-]+|[A-Z]+(?:_[A-Z]+)+(?:=\w+)?|\w+\.\w+\(.*?\)|\w+\(\)|https?://[\w.:/]+|RFC \d+"
)
ENDS = re.compile(r"[ .:…]+$")
# JupyterLab makes a link of what this finds in an output (`webLinkRegex` in @jupyterlab/rendermime).
LINKED_BY_JUPYTERLAB = re.compile(
    r"(?:[a-zA-Z][a-zA-Z0-9+.-]{2,40}://|data:|www\.)"
    r"[^\s\x00-\x20\x7f-\x9f\"]{2,}[^\s\x00-\x20\x7f-\x9f\"'(){}\[\],:;.!?]",
    re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def no_language_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in LOCALE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    use_language(None)
    yield
    use_language(None)


def texts_of(language: str) -> dict[str, str]:
    return {"en": en.TEXTS, "de": de.TEXTS}[language]


def placeholders(template: str) -> list[tuple[str, str, str]]:
    """Name, conversion and format of each, sorted: another language may need another order."""
    return sorted(
        (name, conversion or "", spec or "")
        for _, name, spec, conversion in Formatter().parse(template)
        if name is not None
    )


class TestBothLanguages:
    def test_have_the_same_keys_in_the_same_order(self) -> None:
        assert list(de.TEXTS) == list(en.TEXTS)

    def test_have_the_same_placeholders(self) -> None:
        assert {key: placeholders(de.TEXTS[key]) for key in en.TEXTS} == {
            key: placeholders(template) for key, template in en.TEXTS.items()
        }

    def test_name_the_same_commands_options_variables_and_addresses(self) -> None:
        assert {key: sorted(NAMES.findall(de.TEXTS[key])) for key in en.TEXTS} == {
            key: sorted(NAMES.findall(template)) for key, template in en.TEXTS.items()
        }

    def test_end_alike(self) -> None:
        """A prompt keeps its blank, a sentence its full stop."""
        assert {key: ENDS.findall(de.TEXTS[key]) for key in en.TEXTS} == {
            key: ENDS.findall(template) for key, template in en.TEXTS.items()
        }

    @pytest.mark.parametrize("language", texts.LANGUAGES)
    def test_say_which_language_they_are(self, language: str) -> None:
        assert texts_of(language)["language"] == language

    @pytest.mark.parametrize(("language", "shown"), [("en", "03 May 2025, 14:05"), ("de", "03.05.2025, 14:05")])
    def test_write_a_date_and_a_time(self, language: str, shown: str) -> None:
        moment = datetime(2025, 5, 3, 14, 5, tzinfo=UTC)
        assert moment.strftime(text("date_and_time", language)) == shown

    @pytest.mark.parametrize(
        ("key", "english", "german"),
        [
            (
                "state_missing",
                "Invalid state parameter – possible CSRF attack: ",
                "Ungültiger state-Parameter – möglicher CSRF-Angriff: ",
            ),
            (
                "state_mismatch",
                "Invalid state parameter – possible CSRF attack: ",
                "Ungültiger state-Parameter – möglicher CSRF-Angriff: ",
            ),
            ("code_missing", "No authorization code received: ", "Kein Autorisierungscode erhalten: "),
            ("callback_without_answer", "No authorization code received: ", "Kein Autorisierungscode erhalten: "),
        ],
    )
    def test_keep_the_beginnings_that_are_promised(self, key: str, english: str, german: str) -> None:
        assert en.TEXTS[key].startswith(english)
        assert de.TEXTS[key].startswith(german)


@pytest.mark.parametrize("language", texts.LANGUAGES)
class TestEveryError:
    def test_says_what_to_do_now(self, language: str) -> None:
        errors = {key for key in texts_of(language) if "." not in key} - NO_ERRORS
        assert {key for key in errors if f"{key}.next" not in texts_of(language)} == set()

    def test_says_what_happened(self, language: str) -> None:
        advised = {key.removesuffix(".next") for key in texts_of(language) if key.endswith(".next")}
        assert advised - set(texts_of(language)) == set()


@pytest.mark.parametrize("language", texts.LANGUAGES)
class TestEveryText:
    def test_is_short(self, language: str) -> None:
        lengths = {key: len(template) for key, template in texts_of(language).items()}
        assert {key: length for key, length in lengths.items() if not 0 < length <= LONGEST_TEXT} == {}

    def test_has_no_doubled_blanks_and_none_in_front(self, language: str) -> None:
        assert {key for key, template in texts_of(language).items() if re.search("^ |  ", template)} == set()

    def test_has_only_placeholders_with_a_name_and_without_a_format(self, language: str) -> None:
        """A format such as `.0f` would raise for a value of another type, in the middle of an error."""
        for key, template in texts_of(language).items():
            for name, conversion, spec in placeholders(template):
                assert name.isidentifier(), key
                assert (conversion in ("", "r"), spec) == (True, ""), key

    @pytest.mark.parametrize(
        "hostile",
        [
            "{",
            "}",
            "{}",
            "{0}",
            "{said}",
            "{0.__class__.__mro__}",
            "{:>999999999}",
            "{!r:{}}",
            "%s %(x)d %lexoffice_login",
            "\x1b[31m\x00\u202e\ud800",
            "",
            None,
            -1,
            ["{", {"}": 1}],
        ],
    )
    def test_takes_any_value_as_it_is(self, language: str, hostile: object) -> None:
        for key, template in texts_of(language).items():
            wanted = placeholders(template)
            shown = text(key, language, **{name: hostile for name, _, _ in wanted})
            for _, conversion, _ in wanted:
                assert (repr(hostile) if conversion == "r" else str(hostile)) in shown, key


class TestText:
    def test_speaks_the_language_of_the_person(self) -> None:
        use_language("de")
        assert text("status.signed_in") == "Angemeldet"

    def test_speaks_the_language_that_is_asked_for(self) -> None:
        use_language("de")
        assert text("status.signed_in", "en") == "Signed in"

    def test_ignores_values_that_it_has_no_place_for(self) -> None:
        assert text("status.signed_in", "en", said="{", key="x", language="de") == "Signed in"

    def test_of_an_unknown_key_is_a_mistake(self) -> None:
        assert not has_text("no_such_key")
        with pytest.raises(KeyError):
            text("no_such_key")

    def test_is_there_for_every_key(self) -> None:
        assert all(has_text(key) for key in en.TEXTS)


class TestFromServer:
    def test_leaves_plain_text_alone(self) -> None:
        plain = "Der Code ist abgelaufen: bitte neu anmelden (10:30) – 50 % „ok“"
        assert from_server(plain) == plain

    def test_keeps_200_characters(self) -> None:
        assert from_server("x" * 200) == "x" * 200

    def test_cuts_what_is_longer_to_200_and_shows_it(self) -> None:
        assert from_server("x" * 201) == "x" * 199 + "…"
        assert len(from_server("ab " * 1_000_000)) == 200

    def test_cuts_to_another_limit(self) -> None:
        assert from_server("abcdef", 4) == "abc…"

    def test_folds_white_space(self) -> None:
        assert from_server("  one\r\n\ttwo\u00a0\u2028three\u3000 ") == "one two three"

    @pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
    def test_removes_control_characters(self, code: int) -> None:
        assert from_server(f"one{chr(code)}two") == "one two"

    @pytest.mark.parametrize(
        "sequence", ["\x1b[31m", "\x1b[2J", "\x1b]8;;x\x1b\\", "\x1b]0;title\x07", "\x9b31m", "\x1bP1$r\x1b\\"]
    )
    def test_takes_the_escape_out_of_a_sequence(self, sequence: str) -> None:
        assert from_server(f"one{sequence}two").isprintable()

    @pytest.mark.parametrize(
        "mark", [*"\u200e\u200f\u061c", *"\u202a\u202b\u202c\u202d\u202e", *"\u2066\u2067\u2068\u2069"]
    )
    def test_removes_bidirectional_marks(self, mark: str) -> None:
        assert from_server(f"one{mark}two") == "one two"

    @pytest.mark.parametrize(
        "invisible", ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\U000e0041", "\ue000", "\ud800"]
    )
    def test_removes_what_cannot_be_seen(self, invisible: str) -> None:
        assert from_server(f"one{invisible}two") == "one two"

    @pytest.mark.parametrize(
        "url",
        [
            "http://evil.example/x",
            "https://evil.example/x",
            "HTTPS://EVIL.EXAMPLE/X",
            "https:////evil.example",
            "https://https://evil.example",
            "https://www.evil.example",
            "javascript://evil.example/%0aalert(1)",
            "www.evil.example",
            "WWW.evil.example",
            "www.www.evil.example",
            "(www.evil.example)",
            "user@www.evil.example",
        ],
    )
    @pytest.mark.parametrize("around", ["{}", "sign in again at {} now", "[here]({})", "<{}>", '"{}"', "a.{}", "-{}"])
    def test_leaves_nothing_that_becomes_a_link(self, url: str, around: str) -> None:
        written = around.replace("{}", url)
        assert LINKED_BY_JUPYTERLAB.search(written)
        shown = from_server(written)
        assert LINKED_BY_JUPYTERLAB.search(shown) is None
        assert "://" not in shown
        assert "www." not in shown.lower()

    @pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\u200b", "\u202e", "\n"])
    @pytest.mark.parametrize("url", ["https:{}//evil.example", "https:/{}/evil.example", "ww{}w.evil.example"])
    def test_puts_no_link_together_by_what_it_removes(self, url: str, hidden: str) -> None:
        assert LINKED_BY_JUPYTERLAB.search(from_server(url.replace("{}", hidden))) is None

    @pytest.mark.parametrize("url", ["xwww.evil.example", "_www.evil.example", "data:text/html,evil"])
    def test_leaves_nothing_that_only_jupyterlab_makes_a_link_of(self, url: str) -> None:
        assert LINKED_BY_JUPYTERLAB.search(from_server(url)) is None

    def test_makes_no_link_where_it_cuts(self) -> None:
        for length in range(180, 200):
            assert LINKED_BY_JUPYTERLAB.search(from_server("x" * length + " https://www.evil.example")) is None

    def test_still_tells_a_person_which_address_was_meant(self) -> None:
        assert from_server("see https://www.example.org/a") == "see https[:]//www[.]example.org/a"

    @pytest.mark.parametrize(
        "value", [None, 400, 1.5, True, b"\x1b[31m", ["https://evil.example", "\x1b"], {"www.a.b": "\n"}]
    )
    def test_shows_what_is_no_text(self, value: object) -> None:
        shown = from_server(value)
        assert shown
        assert shown.isprintable()
        assert LINKED_BY_JUPYTERLAB.search(shown) is None


class TestPick:
    @pytest.mark.parametrize("tag", ["de", "DE", "de-AT", "de_CH", "de_DE.UTF-8", "de_DE@euro", "de.UTF-8"])
    def test_knows_german(self, tag: str) -> None:
        assert pick(tag) == "de"

    @pytest.mark.parametrize("tag", ["en", "EN", "en-GB", "en_US.UTF-8", "en_150"])
    def test_knows_english(self, tag: str) -> None:
        assert pick(tag) == "en"

    @pytest.mark.parametrize(
        "tag", [None, "", "auto", "fr", "fr_FR.UTF-8", "C", "C.UTF-8", "POSIX", "deu", "den", "-de", "{"]
    )
    def test_knows_no_other(self, tag: str | None) -> None:
        assert pick(tag) is None


class TestCurrentLanguage:
    def test_is_english_where_nothing_says_more(self) -> None:
        assert current_language() == "en"

    @pytest.mark.parametrize("variable", LOCALE_VARIABLES)
    @pytest.mark.parametrize(
        ("locale", "language"),
        [("de_AT.UTF-8", "de"), ("en_GB.UTF-8", "en"), ("fr_FR.UTF-8", "en"), ("C.UTF-8", "en"), ("POSIX", "en")],
    )
    def test_is_that_of_the_locale(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, locale: str, language: str
    ) -> None:
        monkeypatch.setenv(variable, locale)
        assert current_language() == language

    def test_is_that_of_lc_all_before_lang(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANG", "en_US.UTF-8")
        monkeypatch.setenv("LC_MESSAGES", "en_US.UTF-8")
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        assert current_language() == "de"

    def test_is_that_of_lc_messages_before_lang(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANG", "de_DE.UTF-8")
        monkeypatch.setenv("LC_MESSAGES", "en_US.UTF-8")
        assert current_language() == "en"

    def test_passes_over_an_empty_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LC_ALL", "")
        monkeypatch.setenv("LANG", "de_DE.UTF-8")
        assert current_language() == "de"

    def test_does_not_look_past_a_locale_that_is_neither(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.setenv("LANG", "de_DE.UTF-8")
        assert current_language() == "en"


class TestUseLanguage:
    @pytest.mark.parametrize(("tag", "language"), [("de", "de"), ("de-CH", "de"), ("en", "en"), ("en_US.UTF-8", "en")])
    def test_goes_before_the_locale(self, monkeypatch: pytest.MonkeyPatch, tag: str, language: str) -> None:
        monkeypatch.setenv("LC_ALL", "en_GB.UTF-8" if language == "de" else "de_DE.UTF-8")
        use_language(tag)
        assert current_language() == language

    @pytest.mark.parametrize("tag", ["auto", None, "", "fr", "tlh"])
    def test_returns_to_the_locale(self, monkeypatch: pytest.MonkeyPatch, tag: str | None) -> None:
        monkeypatch.setenv("LANG", "de_DE.UTF-8")
        use_language("en")
        use_language(tag)
        assert current_language() == "de"
