"""Readers say that they read, so that no file goes that one of them may still open.

A connection may live for days in a notebook, and opens the files of its views at each question. It holds a lock on an
empty file that has the time in its name; the system lets go of the lock when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from lexoffice_nb.oauth import private_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_YOUNG = 60.0  # seconds in which a file without a lock may be one that is just being made
_MARGIN = 2.0  # seconds: clocks count in steps


def hold(folder: Path) -> Callable[[], None]:
    """Keeps what is part of the books from now on from being removed.

    Returns:
        What ends it. Where nothing can be written there is nothing to hold, and none is needed: nobody removes there.
    """
    import filelock

    path = folder / f"reader-{time.time_ns() // 10**6}-{secrets.token_hex(4)}.lease"
    lock = filelock.FileLock(path, mode=0o600, thread_local=False)
    with contextlib.suppress(OSError, private_file.NotPrivateError):
        private_file.prepare_lock(path)
        lock.acquire(timeout=0)

    def end() -> None:
        lock.release(force=True)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    return end


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
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return since
