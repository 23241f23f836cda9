"""The card of a sync: what it shows as data, and who puts it into the notebook.

The widget itself is in `sync_widget`, and is imported when the first card is shown. When a run is over, its card stands
still: then it is HTML (`still_card`), which a saved notebook shows also without its kernel.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import uuid
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook import still_card
from lexoffice_nb.notebook.progress_line import ProgressLine, counted_and_left, grouped, sentence
from lexoffice_nb.progress import watch_runs
from lexoffice_nb.texts import current_language, from_server, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.notebook.sync_widget import SyncWidget
    from lexoffice_nb.progress import Progress, Run

OVER = ("done", "stopped", "failed")
_SYNC = ("lexoffice_nb.books.sync", "Sync")  # by name: it is imported when books are
_ICONS = {
    "running": "busy",
    "stopping": "busy",
    "paused": "paused",
    "stopped": "stopped",
    "done": "ok",
    "removed": "info",
}
_cards: weakref.WeakKeyDictionary[InteractiveShell, SyncCards] = weakref.WeakKeyDictionary()


class SyncCards:
    """Shows a card for each sync that begins in a cell, where there is somebody to see it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = weakref.ref(shell)
        self._of: weakref.WeakKeyDictionary[Run, SyncWidget] = weakref.WeakKeyDictionary()
        self._places: weakref.WeakKeyDictionary[Run, list[str]] = weakref.WeakKeyDictionary()  # where each is displayed
        self._removed: weakref.WeakSet[Run] = weakref.WeakSet()
        self._in_cell: weakref.WeakKeyDictionary[Run, int] = weakref.WeakKeyDictionary()
        self._stop: Callable[[], None] | None = None

    @classmethod
    def of(cls, shell: InteractiveShell) -> SyncCards:
        """Gives the ones of a shell."""
        return _cards.setdefault(shell, cls(shell))

    def open(self) -> None:
        """Begins to watch; harmless if it does already."""
        if self._stop is None:
            self._stop = watch_runs(self)
            if (shell := self._shell()) is not None:
                shell.events.register("post_run_cell", self._cell_over)
            for formatter in self._formatters():
                formatter.for_type_by_name(*_SYNC, self._as_output)

    def close(self) -> None:
        """Takes all cards out of the notebook. Nobody could hold the syncs any more: they are stopped."""
        if self._stop is None:
            return
        self._stop()
        self._stop = None
        for formatter in self._formatters():
            formatter.pop(".".join(_SYNC), None)
        for run, card in tuple(self._of.items()):
            with contextlib.suppress(Exception):
                if run.state not in OVER:
                    run.stop()
            card.close()
        if (shell := self._shell()) is not None:
            shell.events.unregister("post_run_cell", self._cell_over)
            _cards.pop(shell, None)

    def __call__(self, run: Run) -> None:
        """Shows a run that is new; brings the card of one that is known up to date."""
        _shorten_interrupt(run)
        if (card := self._of.get(run)) is not None:
            card.show()
            if run.state in OVER:
                self._stand_still(run)
        elif run.state in OVER or threading.current_thread() is not threading.main_thread():
            return  # what another thread shows would land in whatever cell runs
        elif self._is_seen():
            self._show(run)
        elif run not in self._in_cell and (shell := self._shell()) is not None:
            self._in_cell[run] = shell.execution_count
            ProgressLine.of(shell).give_place(run, text("sync.status.rows"))

    def _is_seen(self) -> bool:
        """Whether it is a notebook with a person in front of it.

        A kernel without stdin (nbclient, papermill) has nobody who could press a button, but a file that should say
        how far it came: a line does that.
        """
        kernel = getattr(self._shell(), "kernel", None)
        return kernel is not None and bool(kernel._allow_stdin)

    def _show(self, run: Run) -> None:
        shell = self._shell()
        if shell is None:
            return
        place = uuid.uuid4().hex
        # Noted first: it may be over at any moment, in its own thread.
        self._places.setdefault(run, []).append(place)
        self._in_cell[run] = shell.execution_count
        if run.state in OVER:
            self._publish(self._still(run), place, update=False)
            return
        from IPython.display import display

        from lexoffice_nb.notebook.sync_widget import SyncWidget

        if run not in self._of:
            self._of[run] = SyncWidget(run)
            ProgressLine.of(shell).leave_out(run)
        display(self._of[run], display_id=place)  # type: ignore[no-untyped-call]
        if run.state in OVER:
            self._stand_still(run)

    def _stand_still(self, run: Run) -> None:
        """Puts what stays in the file wherever a run is displayed."""
        data = self._still(run)
        for place in tuple(self._places.get(run, ())):
            self._publish(data, place, update=True)

    def _still(self, run: Run) -> dict[str, str]:
        card = self._of.get(run)
        return still_card.still(sync_card(run, card.moment if card is not None else Moment()))

    def _publish(self, data: dict[str, str], place: str, *, update: bool) -> None:
        if (shell := self._shell()) is not None:
            shell.display_pub.publish(data, {}, transient={"display_id": place}, update=update)

    def _cell_over(self, *_: object) -> None:
        """A cell may have removed what a card says is there."""
        for run in tuple(self._places):
            with contextlib.suppress(Exception):  # IPython would show it, below the person's own cell
                if run.state in OVER and run not in self._removed and _is_removed(run):
                    self._removed.add(run)
                    self._stand_still(run)

    def _as_output(self, run: Run) -> None:
        """Shows a run that is the value of a cell: its card, unless that cell has shown it already."""
        shell = self._shell()
        if shell is not None and self._is_seen():
            if self._in_cell.get(run) != shell.execution_count:
                self._show(run)
        elif shell is not None:
            shell.display_pub.publish({"text/plain": repr(run)})

    def _formatters(self) -> list[Any]:
        """Gives what displays values in a notebook; nothing in a terminal, where a run is its `repr`."""
        shell = self._shell()
        formatter = shell.display_formatter if getattr(shell, "kernel", None) is not None and shell else None
        return [formatter.ipython_display_formatter] if formatter else []


@dataclass(frozen=True)
class Moment:
    """What a card knows of its run beside the run itself.

    Attributes:
        version: counts the cards that were made; an older one is not drawn over a newer one.
        newest: the newest progress of the step that it is at, or None before the first.
        wished: the button that was pressed last (`stop`, `pause`, `resume`), or nothing.
    """

    version: int = 0
    newest: Progress | None = None
    wished: str = ""


def _is_removed(run: Run) -> bool:
    """Whether what it brought is there no more; only some runs can tell."""
    return bool(run.state in OVER and getattr(run, "removed", False))


def _shorten_interrupt(run: Run) -> None:
    """Where Ctrl-C ends a run in the cell that waits for it: the card says how far it came, a line that it goes on.

    The interrupt stops the cell all the same, but without a page of frames of HTTP below the card.
    """
    interrupt = sys.exc_info()[1]
    if run.state == "stopped" and isinstance(interrupt, KeyboardInterrupt):
        vars(interrupt)["_render_traceback_"] = lambda: [text("cli.sync.stopped")]


def sync_card(run: Run, moment: Moment) -> dict[str, Any]:
    """Gives the whole card of a run as it stands, in the person's language."""
    state: str = run.state if not _is_removed(run) else "removed"
    if moment.wished == "stop" and state not in OVER:
        state = "stopping"
    return {
        "kind": "sync",
        "version": moment.version,
        "lang": current_language(),
        "state": state,
        "title": text("sync.title", who=run.who) if run.who else text("sync.title.plain"),
        "status": {"icon": _ICONS.get(state, "error"), "text": _status(state, moment.newest)},
        "bar": _bar(state, moment.newest),
        "rows": _rows(run, state),
        "problem": _problem(run) if state != "removed" else None,
        "notes": _notes(run, state, moment),
        "actions": _actions(run, state),
        "busy": text("sync.busy"),
    }


def _status(state: str, newest: Progress | None) -> str:
    if state == "running":
        return text("sync.status.documents" if _at_documents(newest) else "sync.status.rows")
    return text(f"sync.status.{state}")


def _at_documents(newest: Progress | None) -> bool:
    return newest is not None and newest.what != "progress.rows"


def _bar(state: str, newest: Progress | None) -> dict[str, Any] | None:
    """The bar and the words beside it; without a time that is left where nobody works on it."""
    if newest is None or state in ("done", "removed"):
        return None
    counted, left = counted_and_left(newest)
    return {
        "name": text(f"{newest.what}.name"),
        "done": newest.done,
        "total": newest.total,
        "text": counted,
        "more": left if state == "running" else "",
    }


def _problem(run: Run) -> dict[str, str] | None:
    problem = run.problem
    return {"what": problem[0], "next": problem[1]} if problem else None


def _rows(run: Run, state: str) -> list[dict[str, str]]:
    """What is there, once it has ended; a count of nothing is left out."""
    if state not in OVER:
        return []
    return [
        {"label": text(f"sync.{what}"), "value": grouped(int(value)) if value.isdecimal() else value}
        for what, value in run.summary().items()
        if value != "0"
    ]


def _notes(run: Run, state: str, moment: Moment) -> list[str]:
    if state == "removed":
        return [text("sync.note.removed")]
    notes = [from_server(note, 300) for note in run.notes]
    if state == "stopped":
        notes.append(text("sync.note.stopped"))
    elif state == "failed":  # its problem has said what to do now, which may be to wait
        notes.append(text("sync.note.kept"))
    elif state == "paused":
        notes.append(text("sync.note.paused"))
    elif state == "running" and run.waited_for:
        notes.append(text("sync.note.cell"))
    elif state == "running" and _at_documents(moment.newest):
        notes.append(text("sync.note.documents"))
    return notes


def _actions(run: Run, state: str) -> list[dict[str, Any]]:
    if run.waited_for or state in ("stopping", "removed", *OVER):
        return []
    first = "resume" if state == "paused" else "pause"
    return [
        {"name": first, "label": text(f"sync.{first}"), "primary": state == "paused"},
        {"name": "stop", "label": text("sync.stop"), "primary": False},
    ]


def plain(run: Run, newest: Progress | None) -> str:
    """Says it in one line, for front ends without widgets and for the file."""
    if newest is None:
        return text("sync.plain")
    return sentence(newest, stopped=run.state in ("paused", "stopped", "failed"))
