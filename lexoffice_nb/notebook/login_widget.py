"""The sign-in card: the view of one login flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.card_widget import CardWidget, script, style
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import pick, text, use_language

if TYPE_CHECKING:
    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.notebook.login_flow import LoginFlow

MESSAGE_LIMIT = 16 * 1024


class LoginWidget(CardWidget):
    """The view of one `LoginFlow`. It can be displayed several times."""

    _esm = script("login_widget.js")
    _css = style()

    def __init__(self, flow: LoginFlow, *, language: str = "auto") -> None:
        self.flow = flow
        self._language = language
        super().__init__()
        flow.observe(self._show, names="version")

    def _receive(self, message: dict[str, Any]) -> None:
        kind, given = message.get("kind"), message.get("text")
        if kind == "hello":
            self._greet(message.get("lang"))
        elif kind == "action":
            self._act(message.get("name"))
        elif kind == "remember" and isinstance(message.get("on"), bool):
            self.flow.want_remembered(message["on"])
        elif kind != self.flow.asks:
            return
        elif isinstance(given, str) and len(given) <= MESSAGE_LIMIT:
            self.flow.paste(Secret(given))

    def _act(self, name: object) -> None:
        if name == "again":
            self.flow.again()
        elif name == "confirm":
            self.flow.confirm()
        elif name == "paste_instead":
            self.flow.paste_instead()
        elif name == "use_account":
            self.flow.use_account()
        elif name == "refuse_account":
            self.flow.refuse_account()

    def _greet(self, language: object) -> None:
        if self._language == "auto" and isinstance(language, str) and len(language) < 40 and pick(language):
            use_language(language)
        self._show()

    def _show(self, _: object = None) -> None:
        self._send_card(lambda: card(self.flow))

    def _refuse(self, problem: LexofficeError) -> None:
        self.flow.refuse(problem)

    def _leave(self) -> None:
        self.flow.unobserve(self._show, names="version")

    def __repr__(self) -> str:
        return text("card.plain")
