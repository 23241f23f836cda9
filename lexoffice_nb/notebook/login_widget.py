"""The sign-in card as an anywidget. Everything travels as custom messages, which are kept nowhere.

Synced traits would be written into the notebook file and echoed to every client of the kernel; so there are none
beside anywidget's own script and style, and an update message from a client changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget

from lexoffice_nb.errors import CallbackError
from lexoffice_nb.notebook.card import card
from lexoffice_nb.oauth.callback import LIMIT
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import pick, text, use_language

if TYPE_CHECKING:
    from lexoffice_nb.notebook.login_flow import LoginFlow

_HERE = Path(__file__).parent
MESSAGE_LIMIT = 16 * 1024


class LoginWidget(anywidget.AnyWidget):
    """The view of one `LoginFlow`. It can be displayed several times."""

    _esm = (_HERE / "login_widget.js").read_text("utf-8")
    _css = (_HERE / "login_widget.css").read_text("utf-8")

    def __init__(self, flow: LoginFlow, *, language: str = "auto") -> None:
        super().__init__()
        self._flow = flow
        self._language = language
        self.on_msg(self._receive)
        flow.observe(self._show, names="version")

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores what clients write: any client of the kernel can send an update, read-only traits included."""

    def _show(self, _: object = None) -> None:
        if self.comm is not None:
            self.send(card(self._flow))

    def _receive(self, _: object, message: object, buffers: list[Any] | None = None) -> None:
        """Handles one message of the view; what is unknown, of the wrong type or too large is ignored."""
        if not isinstance(message, dict) or buffers:
            return
        kind = message.get("kind")
        given = message.get("text")
        if kind == "hello":
            self._greet(message.get("lang"))
        elif kind == "action" and message.get("name") == "again":
            self._flow.again()
        elif kind in ("callback", "key") and isinstance(given, str):
            if (kind == "key") is not self._flow.request.api_key:
                return
            if len(given.encode("utf-8", "replace")) > MESSAGE_LIMIT:
                self._flow.refuse(CallbackError("callback_too_long", limit=LIMIT))
            else:
                self._flow.paste(Secret(given))

    def _greet(self, language: object) -> None:
        if self._language == "auto" and isinstance(language, str) and len(language) < 40 and pick(language):
            use_language(language)
        self._show()

    def close(self) -> None:
        """Takes the card out of all front ends."""
        self._flow.unobserve(self._show, names="version")
        super().close()

    def __repr__(self) -> str:
        return text("card.plain")
