"""Readers say that they read, so that no file goes that one of them may still open.

A connection may live for days in a notebook, and opens the files of its views at each question. It holds a lock on an
empty file that has the time in its name; the system lets go of the lock when the process ends, however it ends. What
does not fit into a reader's memory lies beside that file, and goes with it.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from lexoffice_nb.oauth import private_file

if TYPE_CHECKING:
    from pathlib import Path

_YOUNG = 60.0  # seconds in which a file without a lock may be one that is just being made
_MARGIN = 2.0  # seconds: clocks count in steps


class Lease:
    """Keeps what is part of the books from now on from being removed.

    Where nothing can be written there is nothing to hold, and none is needed: nobody removes there.

    Args:
        folder: of the books.
    """

    def __init__(self, folder: Path) -> None:
        import filelock

        self._path = folder / f"reader-{time.time_ns() // 10**6}-{secrets.token_hex(4)}.lease"
        self._lock = filelock.FileLock(self._path, mode=0o600, thread_local=False)
        self.spill = _spill(self._path)
        """The folder for what does not fit into the reader's memory; the engine makes it."""
        with contextlib.suppress(OSError, private_file.NotPrivateError):
            private_file.prepare_lock(self._path)
            self._lock.acquire(timeout=0)

    def end(self) -> None:
        """Ends it, also if Ctrl-C comes meanwhile."""
        try:
            self._lock.release(force=True)
        finally:
            _remove(self._path)


def _spill(lease: Path) -> Path:
    return lease.with_suffix(".spill")


def _remove(lease: Path) -> None:
    with contextlib.suppress(OSError):
        lease.unlink(missing_ok=True)
    shutil.rmtree(_spill(lease), ignore_errors=True)


def oldest(folder: Path) -> float:
    """Tells since when somebody reads, in seconds since 1970; infinity where nobody does. Removes what others left."""
    import filelock

    since = float("inf")
    for path in folder.glob("reader-*.lease"):
        try:
            began = int(path.name.split("-")[1]) / 1000
        except ValueError:
            continue
        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        try:
            if 0 <= time.time() - began < _YOUNG:
                raise TimeoutError
            lock.acquire(timeout=0)
        except OSError:  # it is locked, young, or cannot be asked
            since = min(since, began - _MARGIN)
            continue
        lock.release()
        _remove(path)
    return since
