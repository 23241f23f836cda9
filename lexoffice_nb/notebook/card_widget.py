"""What the widgets of all cards have in common. Everything travels as custom messages, which are kept nowhere.

Synced traits would be written into the notebook file and echoed to every client of the kernel; so there are none
beside anywidget's own script and style, and an update message from a client changes nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget

from lexoffice_nb.notebook.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.errors import LexofficeError

_HERE = Path(__file__).parent


def script(name: str | Path) -> str:
    """Gives the JavaScript of a card; browsers get it as one module, with what all have in common in front."""
    return (_HERE / "card.js").read_text("utf-8") + (_HERE / name).read_text("utf-8")


def style(*names: str | Path) -> str:
    """Gives the family's look, and what only this card has."""
    return "".join((_HERE / name).read_text("utf-8") for name in ("login_widget.css", *names))


class CardWidget(anywidget.AnyWidget):
    """The view of something that goes on in the kernel. It can be displayed several times, in several front ends."""

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
            content = data.get("content")
            problem = problem_of(lambda: self._receive(content)) if isinstance(content, dict) else None
            if problem is not None:
                self._refuse(problem)

    def _receive(self, message: dict[str, Any]) -> None:
        """Handles one message of the view; what is unknown, of the wrong type or too large is ignored."""

    def _refuse(self, problem: LexofficeError) -> None:
        """Tells what a message met."""

    def _send_card(self, make: Callable[[], dict[str, Any]]) -> None:
        # The comm may go at any time, and whoever changed something must not pay for it.
        with contextlib.suppress(Exception):
            if self.comm is not None:
                self.send(make())

    def _leave(self) -> None:
        """Ends what keeps the card up to date."""

    def close(self) -> None:
        """Takes the card out of all front ends."""
        if self.comm is not None:
            self._leave()
            self.layout.close()
        super().close()
