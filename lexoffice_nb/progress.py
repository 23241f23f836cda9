"""What takes longer says how far it is. Whoever works reports, whoever shows it watches; neither knows the other.

stop = watch(print)
task = Task("progress.rows")
task.report(250, 12345)

What can be held and taken up again besides, is a `Run`: it is announced when it begins and when its state changes.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RunState = Literal["running", "paused", "stopped", "done", "failed"]

# The speed is that of the last seconds: the first page may be slow, and so may be the provider since a moment ago.
RECENT_SECONDS = 10.0
FEWEST_REPORTS = 5  # but never of fewer than these, where there are as many


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes:
        task: which one; equal for all reports of one task, and of no other.
        what: what is counted: a key of the texts.
        done: how many.
        total: of how many, or None where nobody knows.
        seconds: for which it was worked on. Where it was interrupted and taken up again, the time between is left out.
        seconds_here: for which it was worked on since it was taken up.
        seconds_left: how long it takes from here at the speed of the last seconds, or None where nobody can tell.
        finished: whether this is its last report.
        run: what it is a step of, if that can be held, or None.
    """

    task: int
    what: str
    done: int
    total: int | None
    seconds: float
    seconds_here: float
    seconds_left: float | None = None
    finished: bool = False
    run: Run | None = None


class Run(Protocol):
    """Work of several steps that can be held; whoever shows it reads this, in any thread. None of it waits."""

    @property
    def state(self) -> RunState:
        """How it stands; stopped, done and failed are final."""

    @property
    def who(self) -> str:
        """Whose account it is about, or nothing."""

    @property
    def waited_for(self) -> bool:
        """Whether the main thread waits for its end: then no button of a notebook gets through."""

    @property
    def problem(self) -> tuple[str, str] | None:
        """Why it failed and what to do now, in the person's language; or None."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to know about it, in the person's language."""

    def summary(self) -> Mapping[str, str]:
        """What is there now, by the names of the texts `sync.…` that say what it is."""

    def pause(self) -> None:
        """Holds it, after the request that is under way."""

    def resume(self) -> None:
        """Goes on."""

    def stop(self) -> None:
        """Ends it, after the request that is under way."""


_watchers: list[Callable[[Progress], None]] = []
_run_watchers: list[Callable[[Run], None]] = []
_numbers = itertools.count()
_taken_up: dict[int, float] = {}  # thread: when its work was


def watch(watcher: Callable[[Progress], None]) -> Callable[[], None]:
    """Has a watcher told of all progress, in the thread that works; gives the function that ends it."""
    _watchers.append(watcher)

    def stop() -> None:
        with contextlib.suppress(ValueError):
            _watchers.remove(watcher)

    return stop


def watch_runs(watcher: Callable[[Run], None]) -> Callable[[], None]:
    """Has a watcher told of each run when it begins and whenever its state changes; gives the function that ends it."""
    _run_watchers.append(watcher)

    def stop() -> None:
        with contextlib.suppress(ValueError):
            _run_watchers.remove(watcher)

    return stop


def announce(run: Run) -> None:
    """Says that a run begins, in the thread that asked for it, or that its state has changed, in any."""
    for watcher in tuple(_run_watchers):
        with contextlib.suppress(Exception):
            watcher(run)


def take_up() -> None:
    """Says that this thread takes its work up just now: what passed since its last report was a pause."""
    _taken_up[threading.get_ident()] = time.monotonic()


class Task:
    """Something that takes longer."""

    def __init__(self, what: str, run: Run | None = None) -> None:
        self._number = next(_numbers)
        self._what = what
        self._run = run
        self._until = time.monotonic()
        self._seconds = self._seconds_here = 0.0
        self._recent: deque[tuple[float, int]] = deque()

    def report(self, done: int, total: int | None, *, finished: bool = False) -> None:
        """Says how far it is. A watcher that fails does not hold the work up; an interrupt does, as everywhere."""
        self._count(done)
        left = None if finished else self._left(done, total)
        progress = Progress(
            *(self._number, self._what, done, total, self._seconds, self._seconds_here, left, finished, self._run)
        )
        for watcher in tuple(_watchers):
            with contextlib.suppress(Exception):
                watcher(progress)

    def _count(self, done: int) -> None:
        """Counts the time since the last report, or since the work was taken up."""
        now, taken_up = time.monotonic(), _taken_up.get(threading.get_ident(), 0.0)
        if taken_up > self._until:
            self._until, self._seconds_here = taken_up, 0.0
        passed, self._until = now - self._until, now
        self._seconds += passed
        self._seconds_here += passed
        self._recent.append((self._seconds, done))
        while len(self._recent) > FEWEST_REPORTS and self._recent[1][0] < self._seconds - RECENT_SECONDS:
            self._recent.popleft()

    def _left(self, done: int, total: int | None) -> float | None:
        if total is None or done > total:
            return None
        seconds, before = self._recent[0] if len(self._recent) > 1 else (0.0, 0)
        if done <= before:
            return None
        return (self._seconds - seconds) / (done - before) * (total - done)
