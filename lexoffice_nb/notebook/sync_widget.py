"""The card of a sync as an anywidget. As with the sign-in card, everything travels as custom messages.

Synced traits would be written into the notebook file: a file that is opened tomorrow would show yesterday's progress
as if it went on. So a card that is restored asks who is there, and says "run the cell again".
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget

from lexoffice_nb.notebook.sync_card import OVER, Moment, plain, sync_card
from lexoffice_nb.progress import watch

if TYPE_CHECKING:
    from lexoffice_nb.progress import Progress, Run

_HERE = Path(__file__).parent
EVERY_SECONDS = 0.25
ACTIONS = ("pause", "resume", "stop")


class SyncWidget(anywidget.AnyWidget):
    """The view of one run. It can be displayed several times, and by several front ends of one kernel."""

    _esm = (_HERE / "sync_card.js").read_text("utf-8")
    # The family's look, and what only this card has.
    _css = (_HERE / "login_widget.css").read_text("utf-8") + (_HERE / "sync_card.css").read_text("utf-8")

    def __init__(self, run: Run) -> None:
        # Everything that a message or the working thread may touch is there before the comm is open.
        self.run = run
        self._moment = Moment()
        self._shown_at = 0.0
        self._lock = threading.Lock()
        super().__init__()
        self._stop_watching = watch(self._hear)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores what clients write: any client of the kernel can send an update, read-only traits included."""

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Handles a message of any client of the kernel; only two kinds are of interest, and none may raise."""
        data = msg["content"].get("data")
        method = data.get("method") if isinstance(data, dict) else None
        if method == "request_state":
            self.send_state()
        elif method == "custom" and not msg.get("buffers"):
            with contextlib.suppress(Exception):
                self._receive(data.get("content"))

    def _receive(self, message: object) -> None:
        if not isinstance(message, dict):
            return
        kind, name = message.get("kind"), message.get("name")
        if kind == "hello":
            self.show()
        elif kind == "action" and name in ACTIONS and self.run.state not in OVER:
            with self._lock:
                self._moment = replace(self._moment, wished=name)
            getattr(self.run, name)()
            self.show()

    def _hear(self, progress: Progress) -> None:
        """Takes the newest progress, in the thread that works; shows it, but not too often."""
        if progress.run is not self.run:
            return
        with self._lock:
            before = self._moment.newest
            self._moment = replace(self._moment, newest=progress)
        first = before is None or before.what != progress.what
        if first or progress.finished or time.monotonic() - self._shown_at >= EVERY_SECONDS:
            self.show()

    def show(self) -> None:
        """Sends the card as it stands to all its views; harmless in any thread, and without one."""
        # The comm may go at any time, and whoever works must not pay for it.
        with self._lock, contextlib.suppress(Exception):
            self._shown_at = time.monotonic()
            self._moment = replace(self._moment, version=self._moment.version + 1)
            if self.comm is not None:
                self.send(sync_card(self.run, self._moment))
        if self.run.state in OVER:
            self._stop_watching()

    def close(self) -> None:
        """Takes the card out of all front ends."""
        if self.comm is not None:
            self._stop_watching()
            self.layout.close()
        super().close()

    def __repr__(self) -> str:
        return plain(self.run, self._moment.newest)
