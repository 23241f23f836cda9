"""The words of the workshop in the person's language, and its errors."""

from __future__ import annotations

from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.texts import current_language
from lexoffice_nb.workshop import de, en, lesson_de, lesson_en

_LANGUAGES = {"en": en.WORDS | lesson_en.WORDS, "de": de.WORDS | lesson_de.WORDS}


def say(key: str, language: str | None = None, /, **values: object) -> str:
    """Gives the words of a key in a language (the person's, where none is named), with the values filled in.

    Raises:
        KeyError: if there are no words of that key: a mistake in the program.
    """
    return _LANGUAGES[language or current_language()][key].format(**values)


def knows(key: str) -> bool:
    """Tells whether there are words of this key."""
    return key in _LANGUAGES["en"]


class WorkshopError(LexofficeError):
    """Something in the workshop did not work; two lines say what, and what to do now."""

    def what(self, language: str | None = None) -> str:
        """Says what happened and why."""
        return say(f"error.{self.code}", language, **self._said(language))

    def next(self, language: str | None = None) -> str:
        """Says what to do now."""
        return say(f"error.{self.code}.next", language, **self._said(language))

    def _said(self, language: str | None) -> dict[str, object]:
        # A value may be the key of words itself, so that each language has its own.
        return {
            name: say(value, language) if isinstance(value, str) and knows(value) else value
            for name, value in self.values.items()
        }


class PortTaken(WorkshopError, OSError):
    """The port that the attacker wanted to listen on is taken."""
