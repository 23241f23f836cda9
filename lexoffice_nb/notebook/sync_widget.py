"""The card of a sync as an anywidget. As with the sign-in card, everything travels as custom messages.

Synced traits would be written into the notebook file: a file that is opened tomorrow would show yesterday's progress
as if it went on. So a card that is restored asks who is there, and says "run the cell again". When the run is over,
what it came to takes the place of the widget (`SyncCards`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook.card_widget import CardWidget, script, style
from lexoffice_nb.notebook.sync_card import OVER, Moment, plain, sync_card
from lexoffice_nb.progress import watch

if TYPE_CHECKING:
    from lexoffice_nb.progress import Progress, Run

EVERY_SECONDS = 0.25
ACTIONS = ("pause", "resume", "stop")


class SyncWidget(CardWidget):
    """The view of one run. It can be displayed several times, and by several front ends of one kernel."""

    _esm = script("sync_card.js")
    _css = style("sync_card.css")

    def __init__(self, run: Run) -> None:
        # Everything that a message or the working thread may touch is there before the comm is open.
        self.run = run
        self._moment = Moment()
        self._shown_at = 0.0
        self._lock = threading.Lock()
        super().__init__()
        self._stop_watching = watch(self._hear)

    @property
    def moment(self) -> Moment:
        """What it knows of the run beside the run itself."""
        return self._moment

    def _receive(self, message: dict[str, Any]) -> None:
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
        with self._lock:
            self._shown_at = time.monotonic()
            self._moment = replace(self._moment, version=self._moment.version + 1)
            self._send_card(lambda: sync_card(self.run, self._moment))
        if self.run.state in OVER:
            self._leave()

    def _leave(self) -> None:
        self._stop_watching()

    def __repr__(self) -> str:
        return plain(self.run, self._moment.newest)
