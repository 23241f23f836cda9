"""Keeps the pace that an API allows one account, over all threads, processes and kernels of this user on this machine.

Nothing is reserved: whoever is first in the line of its process waits for the moment at which the next request may go,
and takes it. Whoever is interrupted meanwhile has taken nothing. The moment stands in a small file that the processes
change in turn. It is told by the wall clock, the one clock that they share; what cannot be true of it is not believed,
and each wait is measured by the monotonic clock, so that a clock that is set makes nobody wait.

An interrupt can come at any instant. So what holds others up ends by itself: the lock with its file, a place in the
line when its owner has not been seen for some seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import sys
import threading
import time
from collections import deque
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.log import log
from lexoffice_nb.oauth import private_file
from lexoffice_nb.oauth.private_file import NotPrivateError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LONGEST = 60.0
"""Seconds: no stored value, and no server, makes a wait longer."""
STRETCH = 1.5  # of the interval, for a while after a refusal
SLOW_SECONDS = 60.0
# Of the interval: how late one may be and still count from the moment that was due. It is less than the buffer that
# 0.55 s has against two requests a second.
CREDIT = 0.09
# Of the interval: the process that had the last turn comes a little later, so that another one has the next.
GRACE = 0.01
SLICE = 0.2  # seconds of a wait, so that Ctrl-C is heard everywhere
UNSEEN_SECONDS = 5.0  # after which a place in the line is nobody's: whoever waits shows up in each slice
LEAST_PAUSE = 0.01  # seconds, in place of an interval of 0, doubled from the first refusal on
LOCK_SECONDS, LOCK_POLL = 1.0, 0.002
WITHOUT_LOCK_SECONDS = 30.0  # for which a process goes by itself after the lock could not be had
KEPT_SECONDS = 3 * 24 * 3600.0
MOST_STRIKES = 12
_LIMIT = 512
_WINDOWS_LOCK_AT = 1 << 20  # a lock keeps others from reading there, so it is where nothing stands
_random = secrets.SystemRandom()
_lanes: dict[Path, _Lane] = {}
_me = secrets.token_hex(4)


def pacing_folder() -> Path:
    """Gives the folder of the files by which processes keep one pace, there or not."""
    from platformdirs import user_state_path

    return Path(user_state_path("lexoffice_nb"), "pacing")


@dataclass(frozen=True)
class _State:
    """What the processes tell each other; times are seconds of the wall clock."""

    written: float = 0.0
    next: float = 0.0  # when the next request may go
    paused: float = 0.0  # until when a refusal has everybody wait
    slow: float = 0.0  # until when the interval is longer
    strikes: int = 0  # refusals that have not been made up for
    by: str = ""  # whose turn the last one was

    @classmethod
    def read(cls, content: bytes, now: float) -> _State:
        """Reads what somebody has written; what cannot be true is as if nothing were there."""
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(values, list) or len(values) != 6:
            return cls()
        if [type(value) for value in values[4:]] != [int, str] or any(type(v) not in (int, float) for v in values[:4]):
            return cls()
        state = cls(*values)
        return state if state.is_true(now) else cls()

    def is_true(self, now: float) -> bool:
        """Whether it can have been written by one of us, by a clock that has not been set back since."""
        times = (self.next, self.paused, self.slow)
        return (
            0 <= self.written <= now + 1
            and all(0 <= each <= self.written + LONGEST for each in times)
            and 0 <= self.strikes <= MOST_STRIKES
            and len(self.by) <= 16
        )

    def content(self) -> bytes:
        return json.dumps(astuple(self)).encode()

    def after_a_turn(self, now: float, late: float, interval: float) -> _State:
        """Sets the next moment, counted from the one that was due if that was not long ago."""
        credit = min(late, interval * CREDIT) if late < interval else 0.0
        return replace(self, next=now - credit + self.stretched(interval, now), by=_me)

    def stretched(self, interval: float, now: float) -> float:
        return min(interval * STRETCH, LONGEST) if self.slow > now else interval

    def after_a_refusal(self, now: float, interval: float, retry_after: float) -> _State:
        """Has everybody wait; refusals of requests that went out together count as one."""
        strikes = self.strikes if self.paused > now else min(self.strikes + 1, MOST_STRIKES)
        pause = max(interval, LEAST_PAUSE) * 2**strikes * _random.uniform(1.0, 1.5)
        until = now + min(max(pause, retry_after), LONGEST)
        if strikes == self.strikes:  # counted already, and waited for: only what the server asks for is added
            until = now + min(retry_after, LONGEST)
        until = min(max(self.next, self.paused, until), now + LONGEST)
        return replace(self, next=until, paused=until, slow=now + SLOW_SECONDS, strikes=strikes)


class _Ticket:
    """A place in the line of this process."""

    def __init__(self) -> None:
        # A bare lock, which an interrupt cannot leave half changed; an Event has one inside that it can leave locked.
        self.gate = threading.Lock()
        self.gate.acquire()
        self.seen = time.monotonic()

    def call(self) -> None:
        with contextlib.suppress(RuntimeError):  # called already
            self.gate.release()


class _Lane:
    """The line of this process for one account, and the way to what the processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line: deque[_Ticket] = deque()
        self.state = _State()  # as it was seen last; all there is where nothing can be shared
        self._held: set[io.FileIO] = set()
        self._ready = False
        self._alone_until = -math.inf  # monotonic

    # --- the line ---

    def leave(self, ticket: _Ticket) -> None:
        with contextlib.suppress(ValueError):
            self.line.remove(ticket)
        if first := self._first():
            first.call()

    def is_first(self, ticket: _Ticket) -> bool:
        if ticket not in self.line:  # the machine slept, and somebody took the place for a lost one
            self.line.append(ticket)
        while (first := self._first()) is not ticket:
            if first is not None and time.monotonic() - first.seen < UNSEEN_SECONDS:
                return False
            with contextlib.suppress(ValueError):
                self.line.remove(first)  # type: ignore[arg-type]
        return True

    def _first(self) -> _Ticket | None:
        with contextlib.suppress(IndexError):
            return self.line[0]
        return None

    # --- what is shared ---

    def is_paused(self) -> bool:
        """Whether a refusal has everybody wait; a look without the lock."""
        if time.monotonic() >= self._alone_until:
            try:
                self.state = _State.read(private_file.read(self.path, _LIMIT), time.time())
            except FileNotFoundError:
                self.state = _State()
            except (OSError, NotPrivateError) as error:
                self._go_alone(error)
        return max(self.state.next, self.state.paused) > time.time() and self.state.is_true(time.time())

    def change(self, change: Callable[[_State, float], _State]) -> None:
        """Changes the state, by the wall clock's time, while nobody else does."""
        # The file's lock is one between threads as well; one more, in here, could stay locked after an interrupt.
        held: list[io.FileIO] = []
        try:
            try:
                self._change(change, held)
            finally:
                self._let_go(held)
        finally:
            self._let_go(held)  # an interrupt may have come into the first

    def _change(self, change: Callable[[_State, float], _State], held: list[io.FileIO]) -> None:
        file = self._open(held)
        before = self._read(file) if file else None
        now = time.time()
        if before is None:
            before = self.state if self.state.is_true(now) else _State()
        after = change(before, now)
        if after is not before:
            after = replace(after, written=now)
            if file:
                self._write(file, after)
        self.state = after

    def _open(self, held: list[io.FileIO]) -> io.FileIO | None:
        """Opens and locks the file; None where that cannot be done, which nobody waits for long."""
        if time.monotonic() < self._alone_until:
            return None
        try:
            if not self._ready:
                private_file.make_folder(self.path.parent)
                _tidy(self.path)
                self._ready = True
            file = private_file.open_in_place(self.path)
            held.append(file)
            self._held.add(file)
            if _lock(file):
                return file
        except (OSError, NotPrivateError) as error:
            self._ready = False
            self._go_alone(error)
        else:
            self._alone_until = time.monotonic() + WITHOUT_LOCK_SECONDS
            log.debug("pacing: somebody holds the lock for too long; for a while this process keeps its own pace")
        return None

    def _go_alone(self, error: Exception) -> None:
        self._alone_until = math.inf
        reason = error.reason if isinstance(error, NotPrivateError) else type(error).__name__
        log.debug("pacing: nothing can be shared with other processes (%s); this one keeps its own pace", reason)

    def _read(self, file: io.FileIO) -> _State | None:
        with contextlib.suppress(OSError):
            return _State.read(file.read(_LIMIT + 1) or b"", time.time())
        return None

    def _write(self, file: io.FileIO, state: _State) -> None:
        try:
            file.seek(0)
            file.write(state.content())  # it may be lost: nobody waits for the disk
            file.truncate()
        except OSError as error:
            self._go_alone(error)

    def _let_go(self, held: list[io.FileIO]) -> None:
        for file in held:
            if sys.platform == "win32" and not file.closed:
                _unlock(file)
            file.close()
            self._held.discard(file)

    def after_fork(self) -> None:
        """Makes the child's own: no other thread was forked, and the lock is the parent's as long as it is open."""
        self.line.clear()
        for file in self._held:
            file.close()
        self._held.clear()


class Pace:
    """The pace of one account. All that are made for the same account share it, in this process and in others.

    Args:
        account_key: what the account is known by; it is hashed before it becomes a file's name.
        interval: seconds between two requests, 0 for no pace.
        folder: where the processes share it; the platform's folder for what programs remember, where none is given.
    """

    def __init__(self, account_key: str, interval: float, folder: Path | None = None) -> None:
        self.interval = min(max(interval, 0.0), LONGEST)
        name = hashlib.sha256(account_key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        path = (folder or pacing_folder()) / f"{name}.pace"
        self._lane = _lanes.setdefault(path, _Lane(path))

    def __repr__(self) -> str:
        return f"<Pace of {self.interval} s>"

    def wait(self, longest: float = math.inf, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Waits until a request may go; threads of a process go in the order in which they came.

        Args:
            longest: seconds after which it is not worth while any more.
            wanted: whether it is still wanted; asked again and again.

        Returns:
            Whether it may go; False if it would have been too late or nobody wants it any more, and then nothing was
            taken from the others.
        """
        lane = self._lane
        if not self.interval and not lane.line and not lane.is_paused():
            return True
        ends = time.monotonic() + longest
        ticket = _Ticket()
        try:
            lane.line.append(ticket)
            return self._wait_in_line(ticket, ends, wanted)
        finally:
            lane.leave(ticket)

    def _wait_in_line(self, ticket: _Ticket, ends: float, wanted: Callable[[], bool]) -> bool:
        turn = _Turn(self.interval)
        while wanted():
            here = ticket.seen = time.monotonic()
            first = self._lane.is_first(ticket)
            if first and here >= turn.due:
                self._lane.change(turn.take)
                if turn.taken:
                    return True
                here = time.monotonic()
            if here >= ends or (first and turn.due > ends):
                return False
            if first:
                time.sleep(max(0.0, min(turn.due - here, SLICE)))
            else:
                ticket.gate.acquire(timeout=min(ends - here, SLICE))
        return False

    def refused(self, retry_after: float | None = None) -> None:
        """Slows everybody down, after the API has refused a request because there were too many.

        Args:
            retry_after: seconds that the server asks for.
        """
        asked = retry_after if retry_after is not None and retry_after > 0 else 0.0
        self._lane.change(lambda state, now: state.after_a_refusal(now, self.interval, asked))

    def served(self) -> None:
        """Makes up for a refusal, after the API has served a request; costs nothing where there was none."""
        if self._lane.state.strikes:
            self._lane.change(lambda state, _: replace(state, strikes=max(state.strikes - 1, 0)))


class _Turn:
    """The moment that the first of a line waits for, and whether it has taken it."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._awaited: float | None = None
        self._moment = 0.0  # monotonic
        self.due = -math.inf  # monotonic; not before
        self.taken = False

    def take(self, state: _State, now: float) -> _State:
        here = time.monotonic()
        if state.next != self._awaited:  # another process has gone, or was refused
            self._awaited = state.next
            self._moment = here + min(state.next - now, LONGEST)
            self.due = self._moment + (self._interval * GRACE if state.by == _me else 0.0)
        if here < self.due:
            return state
        self.taken = True
        return state.after_a_turn(now, here - self._moment, self._interval) if self._interval else state


def _lock(file: io.FileIO) -> bool:
    """Locks a file for this process, with others that do the same; the lock ends with the file. False: not in time."""
    ends = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            if sys.platform == "win32":
                file.seek(_WINDOWS_LOCK_AT)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                file.seek(0)
            else:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= ends:
                return False
            time.sleep(LOCK_POLL)
        else:
            return True


def _unlock(file: Any) -> None:
    """Ends the lock at once; Windows does it some time after the file was closed."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            file.seek(_WINDOWS_LOCK_AT)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _tidy(mine: Path) -> None:
    """Removes the files of accounts that nobody has used for days."""
    oldest = time.time() - KEPT_SECONDS
    for path in mine.parent.glob("*.pace"):
        with contextlib.suppress(OSError):
            if path != mine and path.lstat().st_mtime < oldest:
                path.unlink()


def _after_fork() -> None:
    global _me
    _me = secrets.token_hex(4)
    for lane in tuple(_lanes.values()):
        lane.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
