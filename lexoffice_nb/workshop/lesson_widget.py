"""The lesson as an anywidget, of the same family as the sign-in card."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook.card_widget import CardWidget, script, style
from lexoffice_nb.texts import pick, use_language
from lexoffice_nb.workshop.lesson import CHOICES, LONGEST_TRY, STEPS, Lesson
from lexoffice_nb.workshop.lesson_card import SECRETS, lesson_card
from lexoffice_nb.workshop.words import say
from lexoffice_nb.xray.sequence import STYLE

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_HERE = Path(__file__).parent
ACTIONS = ("do", "forge", "next", "back", "again", "restart")
REVEALED_SECONDS = 5
_lessons: list[Lesson] = []  # the one that goes on


class LessonWidget(CardWidget):
    """The view of one lesson. It can be displayed several times; all show the same."""

    _esm = script(_HERE / "lesson.js")
    _css = style(_HERE / "lesson.css") + STYLE

    def __init__(self, lesson: Lesson | None = None, *, language: str = "auto") -> None:
        self.lesson = lesson or Lesson()
        self._language = language
        self._version = 0
        self._sending = threading.Lock()
        super().__init__()
        self.lesson.watch(self.show_card)

    def _receive(self, message: dict[str, Any]) -> None:
        kind, name = message.get("kind"), message.get("name")
        if kind == "hello":
            self._greet(message.get("lang"))
        elif kind == "action" and name in ACTIONS:
            self.lesson.act(name)
        elif kind == "predict" and name in CHOICES:
            self.lesson.predict(name)
        elif kind == "go" and isinstance(name, int) and 1 <= name <= len(STEPS):
            self.lesson.go(name - 1)
        elif kind == "try" and isinstance(message.get("text"), str) and len(message["text"]) <= 2 * LONGEST_TRY:
            self.lesson.try_verifier(message["text"])
        elif kind == "reveal" and name in SECRETS:
            self._reveal(name)

    def _greet(self, language: object) -> None:
        if self._language == "auto" and isinstance(language, str) and len(language) < 40 and pick(language):
            use_language(language)
        self.show_card()

    def _reveal(self, name: str) -> None:
        """Sends one secret on its own, for the five seconds that the view shows it; no card ever holds it."""
        secret = self.lesson.secret(name)
        if secret is not None:
            shown = {"kind": "reveal", "name": name, "value": secret.reveal(), "seconds": REVEALED_SECONDS}
            self._send_card(lambda: shown)

    def show_card(self) -> None:
        """Sends the lesson as it stands to all its views; harmless in any thread."""
        with self._sending:
            self._version += 1
            self._send_card(lambda: lesson_card(self.lesson, self._version))

    def _leave(self) -> None:
        self.lesson.unwatch(self.show_card)

    def __repr__(self) -> str:
        return say("lesson.plain")


def show_lesson(shell: InteractiveShell, language: str = "auto") -> None:
    """Shows the lesson where it stands, from the beginning if there is none; in a terminal, a line that says where.

    Args:
        shell: where.
        language: of the view; `auto` takes the browser's.
    """
    if getattr(shell, "kernel", None) is None:
        sys.stdout.write(say("lesson.plain") + "\n")
        return
    from IPython.display import display

    if not _lessons:
        _lessons.append(Lesson())
    display(LessonWidget(_lessons[0], language=language))


def close_lesson() -> None:
    """Ends the lesson: gives its port back and revokes what was granted."""
    while _lessons:
        _lessons.pop().close()
