"""The sign-in card as an anywidget. Everything travels as custom messages, which are kept nowhere.

Synced traits would be written into the notebook file and echoed to every client of the kernel; so there are none
beside anywidget's own script and style, and an update message from a client changes nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget

from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.problems import problem_of
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
        self.flow = flow
        self._language = language
        super().__init__()
        flow.observe(self._show, names="version")

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores what clients write: any client of the kernel can send an update, read-only traits included."""

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Handles a message of any client of the kernel; only two kinds are of interest, and none may raise.

        ipywidgets shows what a handler raises in the notebook, with its local variables under `%xmode Verbose`.
        """
        data = msg["content"].get("data")
        method = data.get("method") if isinstance(data, dict) else None
        if method == "request_state":
            self.send_state()
        elif method == "custom" and not msg.get("buffers"):
            problem = problem_of(lambda: self._receive(data.get("content")))
            if problem is not None:
                self.flow.refuse(problem)

    def _receive(self, message: object) -> None:
        """Handles one message of the view; what is unknown, of the wrong type or too large is ignored."""
        if not isinstance(message, dict):
            return
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
        # The comm may go at any time, and whoever changed the flow must not pay for it.
        with contextlib.suppress(Exception):
            if self.comm is not None:
                self.send(card(self.flow))

    def close(self) -> None:
        """Takes the card out of all front ends."""
        if self.comm is not None:
            self.flow.unobserve(self._show, names="version")
            self.layout.close()
        super().close()

    def __repr__(self) -> str:
        return text("card.plain")
