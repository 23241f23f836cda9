"""Shows how far something is that takes longer than a second: a bar in a notebook, one line in a terminal."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import threading
import time
import uuid
import weakref
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from lexoffice_nb.progress import take_up, watch
from lexoffice_nb.texts import current_language, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.progress import Progress, Run

QUIET_SECONDS = 1.0
EVERY_SECONDS = 0.25
# Everything inline: a style sheet would be the whole page's, and a saved notebook that nobody trusts yet has none.
_LINE = (
    "display:flex;flex-wrap:wrap;align-items:center;gap:2px 10px;max-width:640px;min-height:20px;padding:3px 7px;"
    "color:var(--jp-ui-font-color1,inherit);line-height:20px;font-size:var(--jp-ui-font-size1,13px);"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-variant-numeric:tabular-nums"
)
_BAR = (
    "flex:none;box-sizing:border-box;width:200px;max-width:100%;height:8px;overflow:hidden;border-radius:4px;"
    "background:var(--jp-layout-color2,#8883);border:1px solid var(--jp-border-color1,#8888)"
)
_FILLED = "height:100%;background:"
_WORKING = "var(--jp-brand-color1,#1976d2)"
_STOPPED = "var(--jp-ui-font-color3,#888)"
# Where nobody knows the total: stripes that stand still, for nothing here moves.
_UNKNOWN = f"repeating-linear-gradient(135deg,{_WORKING} 0 6px,transparent 6px 12px)"
_QUIET = "color:var(--jp-ui-font-color2,inherit)"
_ICON = (
    "<svg aria-hidden='true' width='16' height='16' viewBox='0 0 16 16' style='flex:none;margin-right:-4px'>{}</svg>"
)
_DONE_ICON = _ICON.format(
    "<path d='M3 8.5l3.4 3.4L13 4.8' fill='none' stroke-width='2' stroke-linecap='round' stroke-linejoin='round'"
    " style='stroke:var(--jp-success-color1,#388e3c)'/>"
)
_STOPPED_ICON = _ICON.format(
    "<rect x='3.5' y='3.5' width='9' height='9' rx='1.5' style='fill:var(--jp-ui-font-color2,#757575)'/>"
)

_lines: weakref.WeakKeyDictionary[InteractiveShell, ProgressLine] = weakref.WeakKeyDictionary()


@dataclass
class _Shown:
    """What is shown of one task.

    Attributes:
        progress: the newest of it, shown or not.
        thread: who works on it.
        at: when it was shown last.
        display: the name of its place in the notebook.
        is_there: whether it has that place already.
    """

    progress: Progress
    thread: threading.Thread
    at: float
    display: str = field(default_factory=lambda: uuid.uuid4().hex)
    is_there: bool = False


class ProgressLine:
    """Watches progress and shows the newest of it, in the output of the cell that works."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = weakref.ref(shell)
        self._in_notebook = getattr(shell, "kernel", None) is not None
        self._shown: dict[int, _Shown] = {}
        self._lock = threading.RLock()
        self._cells: dict[int, int] = {}  # thread: how many run in it, one within the other
        self._left_out: weakref.WeakSet[Run] = weakref.WeakSet()
        self._places: weakref.WeakKeyDictionary[Run, str] = weakref.WeakKeyDictionary()
        self._stop: Callable[[], None] | None = None

    @classmethod
    def of(cls, shell: InteractiveShell) -> ProgressLine:
        """Gives the one of a shell."""
        return _lines.setdefault(shell, cls(shell))

    def open(self) -> None:
        """Begins to watch; harmless if it does already."""
        if self._stop is None and (shell := self._shell()) is not None:
            self._stop = watch(self)
            shell.events.register("pre_run_cell", self._cell_begins)
            shell.events.register("post_run_cell", self._cell_over)

    def close(self) -> None:
        """Ends it; harmless if it has ended."""
        if self._stop is not None and (shell := self._shell()) is not None:
            self._stop()
            self._stop = None
            shell.events.unregister("pre_run_cell", self._cell_begins)
            shell.events.unregister("post_run_cell", self._cell_over)
            _lines.pop(shell, None)

    def leave_out(self, run: Run) -> None:
        """Leaves a run to the card that shows it."""
        self._left_out.add(run)

    def give_place(self, run: Run, words: str) -> None:
        """Gives a run one line in the cell that asked for it: its steps are done in a thread, beside other cells."""
        shell = self._shell()
        if self._in_notebook and shell is not None:
            place = self._places[run] = uuid.uuid4().hex
            shell.display_pub.publish({"text/plain": words}, {}, transient={"display_id": place})

    def __call__(self, progress: Progress) -> None:
        """Shows it, if it is time to."""
        if progress.run is not None and progress.run in self._left_out:
            return
        now = time.monotonic()
        with self._lock:
            shown = self._shown.get(progress.task)
            if shown is None:
                place = self._places.get(progress.run) if progress.run is not None else None
                if progress.seconds_here < QUIET_SECONDS and not (place and progress.finished):
                    return
                shown = self._shown[progress.task] = _Shown(progress, threading.current_thread(), now)
                if place:
                    shown.display, shown.is_there = place, True
            else:
                shown.progress = progress
                if now - shown.at < EVERY_SECONDS and not progress.finished:
                    return
            shown.at = now
            self._show(shown)
            if progress.finished:  # only now: what an interrupt keeps from being shown is shown when the cell ends
                del self._shown[progress.task]

    def _cell_begins(self, *_: object) -> None:
        thread = threading.get_ident()
        self._cells[thread] = self._cells.get(thread, 0) + 1
        if self._cells[thread] == 1:
            take_up()

    def _cell_over(self, *_: object) -> None:
        """What was not finished when its cell ended is shown as stopped: nobody works on it any more.

        Not so a task of another thread that goes on, nor any when a cell ends that another one ran.
        """
        here = threading.current_thread()
        left = self._cells.pop(threading.get_ident(), 1) - 1
        if left > 0:
            self._cells[threading.get_ident()] = left
            return
        with self._lock:
            for task, shown in tuple(self._shown.items()):
                if shown.thread is here or not shown.thread.is_alive():
                    del self._shown[task]
                    with contextlib.suppress(Exception):  # IPython would show it, below the person's own cell
                        self._show(shown, stopped=not shown.progress.finished)

    def _show(self, shown: _Shown, *, stopped: bool = False) -> None:
        words = sentence(shown.progress, stopped=stopped)
        shell = self._shell()
        if self._in_notebook and shell is not None:
            data = {"text/plain": words, "text/html": _html(shown.progress, stopped=stopped)}
            # Noted first: an interrupt just here must not leave a second line that nobody ever ends.
            is_there, shown.is_there = shown.is_there, True
            shell.display_pub.publish(data, {}, transient={"display_id": shown.display}, update=is_there)
        elif not self._in_notebook and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            ends = stopped or shown.progress.finished
            if not ends:
                words = " | ".join(sentence(each.progress) for each in self._shown.values())
            width = shutil.get_terminal_size().columns - 1
            # The cursor goes back to the front, so that a traceback takes the line's place.
            sys.stderr.write(f"\r\x1b[K{words[:width]}" + ("\n" if ends else "\r"))
            sys.stderr.flush()


def sentence(progress: Progress, *, stopped: bool = False) -> str:
    """Gives it in words: how many, of how many, and how long it takes still, rounded up."""
    return " · ".join(part for part in _parts(progress, stopped=stopped) if part)


def counted_and_left(progress: Progress) -> tuple[str, str]:
    """Gives how many there are, of how many, and how long it takes still, which is nothing where nobody can tell."""
    return _parts(progress, stopped=False)


def _parts(progress: Progress, *, stopped: bool) -> tuple[str, str]:
    of = progress.total is not None and not progress.finished
    key = f"{progress.what}.of" if of else progress.what
    counted = text(key, done=grouped(progress.done), total=grouped(progress.total or 0))
    if stopped:
        return counted, text("progress.stopped")
    if progress.finished:
        return counted, text("progress.took", time=_took(progress.seconds))
    left = progress.seconds_left
    return counted, "" if left is None else text("progress.left", time=_about(left))


def _about(seconds: float) -> str:
    """A guess, rounded up, and the coarser the longer it is: it is no clock."""
    whole = max(1, math.ceil(seconds))
    if whole > 90:
        return text("progress.minutes", n=math.ceil(whole / 60))
    return text("progress.seconds", n=whole if whole <= 10 else 5 * math.ceil(whole / 5))


def _took(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 100:
        return text("progress.seconds", n=whole)
    return text("progress.minutes", n=f"{whole // 60}:{whole % 60:02}")


def grouped(number: int) -> str:
    """Writes a number with its thousands apart, as in the person's language."""
    return f"{number:,}".replace(",", "." if current_language() == "de" else ",")


def _html(progress: Progress, *, stopped: bool) -> str:
    counted, more = _parts(progress, stopped=stopped)
    words = (
        f"<span>{escape(counted)}" + (f"<span style='{_QUIET}'> · {escape(more)}</span>" if more else "") + "</span>"
    )
    if progress.finished:
        return f"<div style='{_LINE}'>{_DONE_ICON}{words}</div>"
    if stopped:
        bar = _bar(progress, _STOPPED, "aria-hidden='true'") if progress.total else ""
        return f"<div style='{_LINE}'>{bar}{_STOPPED_ICON}{words}</div>"
    said = f"role='progressbar' aria-label='{_quoted(text(f'{progress.what}.name'))}' aria-valuemin='0'"
    if progress.total:
        said += f" aria-valuemax='{progress.total}' aria-valuenow='{min(progress.done, progress.total)}'"
    said += f" aria-valuetext='{_quoted(counted)}'"
    return f"<div style='{_LINE}'>{_bar(progress, _WORKING if progress.total else _UNKNOWN, said)}{words}</div>"


def _bar(progress: Progress, colour: str, attributes: str) -> str:
    share = min(1.0, progress.done / progress.total) if progress.total else 1.0
    return f"<div {attributes} style='{_BAR}'><div style='width:{share:.1%};{_FILLED}{colour}'></div></div>"


def _quoted(words: str) -> str:
    return escape(words, quote=True)
