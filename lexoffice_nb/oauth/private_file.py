"""Files that only their owner can read: opened, then looked at, so that nothing can take their place in between.

On Windows the folders of a profile are private by themselves and have no such modes; what can be checked is checked.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

READ_OR_WRITE = 0o077
WRITE = 0o022
LEFT_BEHIND_SECONDS = 60.0  # after which what a writer that was killed has left is removed
_POSIX = os.name == "posix"
_LINKS = (0xA000000C, 0xA0000003)  # on Windows: symbolic links and junctions; OneDrive's folders are neither
_WINDOWS_PATIENCE = 2.0  # seconds; there nobody can replace a file while somebody reads it
# A link is refused; nothing waits, since it could be a pipe.
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NotPrivateError(ValueError):
    """The file or folder is not this user's alone; `reason` is owner, mode, kind or size."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(path: Path, limit: int, *, forbidden: int = READ_OR_WRITE) -> bytes:
    """Reads a private file.

    Args:
        path: the file; a link is refused.
        limit: the most octets that it may have.
        forbidden: the permission bits of others that it must not have.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read.
        NotPrivateError: `kind` if it is no regular file with this one name, `owner`, `mode`, or `size` if too long.
    """
    descriptor = _open(path, os.O_RDONLY)
    try:
        _check_file(os.fstat(descriptor), forbidden)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise NotPrivateError("size")
    return content


def _open(path: Path, flags: int) -> int:
    if not _POSIX:  # no O_NOFOLLOW there
        with contextlib.suppress(FileNotFoundError):
            if _is_link(path.lstat()):
                raise NotPrivateError("kind")
    try:
        return os.open(path, flags | _CAREFULLY, 0o600)
    except OSError as error:
        # A link (EMLINK on some systems), a socket or a pipe without a reader, a folder.
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
            raise NotPrivateError("kind") from None
        raise


def _is_link(state: os.stat_result) -> bool:
    return stat.S_ISLNK(state.st_mode) or getattr(state, "st_reparse_tag", 0) in _LINKS


def _check_file(state: os.stat_result, forbidden: int = READ_OR_WRITE) -> None:
    # No name is left where somebody has replaced it a moment ago; two are a link that somebody made.
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        raise NotPrivateError("kind")
    check(state, forbidden)


def check(state: os.stat_result, forbidden: int = READ_OR_WRITE) -> None:
    """Checks owner and mode.

    Raises:
        NotPrivateError: `owner` or `mode`.
    """
    if not _POSIX:
        return
    if state.st_uid != os.getuid():
        raise NotPrivateError("owner")
    if stat.S_IMODE(state.st_mode) & forbidden:
        raise NotPrivateError("mode")


def check_folder(folder: Path) -> None:
    """Checks that a folder is one, no link, and closed to others.

    Raises:
        OSError: if there is none.
        NotPrivateError: `kind`, `owner` or `mode`.
    """
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or _is_link(state):
        raise NotPrivateError("kind")
    check(state)


def make_folder(folder: Path) -> None:
    """Makes a folder that is closed to others, with those above it; checks one that is there.

    Raises:
        OSError: if it cannot be made.
        NotPrivateError: as `check_folder`.
    """
    for missing in (each for each in reversed(folder.absolute().parents) if not each.exists()):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=0o700)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_folder(folder)


def keeps_modes(folder: Path) -> bool:
    """Tells whether the file system can keep others out of a file, by making an empty one.

    Raises:
        OSError: if none can be made.
    """
    trial = folder / f".trial.{secrets.token_hex(8)}"
    descriptor = _open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        check(os.fstat(descriptor))
    except NotPrivateError:
        return False
    finally:
        os.close(descriptor)
        trial.unlink()
    return True


def prepare_lock(path: Path) -> None:
    """Makes an empty private file for a lock; refuses what is there and is none, so that nothing else is opened.

    Raises:
        OSError: if it cannot be made.
        NotPrivateError: `kind`, `owner` or `mode`.
    """
    open_in_place(path).close()


def open_in_place(path: Path) -> io.FileIO:
    """Opens a private file to be locked, read and written in place; makes an empty one where there is none.

    Raises:
        OSError: if it cannot be opened or made.
        NotPrivateError: `kind`, `owner` or `mode`.
    """
    file = io.FileIO(_open(path, os.O_RDWR | os.O_CREAT), "r+")
    try:
        _check_file(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def write(path: Path, content: bytes) -> None:
    """Replaces a private file as one step: whoever reads has the old or the new one, also after a crash.

    The time of the last change is not quite true: its part below a second is random. File systems count time in steps
    of milliseconds and use their numbers again, so two changes in a row could look like none.

    Raises:
        OSError: if it cannot be written; the old one is as it was.
        NotPrivateError: `mode` if the file system cannot keep others out.
    """
    remove_asides(path, older_than=LEFT_BEHIND_SECONDS)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(_open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            check(os.fstat(file.fileno()))  # before anything is in it
            file.write(content)
            file.flush()
            moment = (time.time_ns() // 10**9 - 1) * 10**9 + secrets.randbelow(10**9)
            os.utime(file.fileno() if os.utime in os.supports_fd else aside, ns=(moment, moment))
            os.fsync(file.fileno())
        _patiently(lambda: aside.replace(path))
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    keep_the_names(path.parent)


def remove(path: Path) -> None:
    """Removes a file for good, with all that writers which were killed have left beside it.

    Raises:
        OSError: if it cannot be removed.
    """
    _patiently(lambda: path.unlink(missing_ok=True))
    remove_asides(path, older_than=None)
    if path.parent.exists():
        keep_the_names(path.parent)


def remove_asides(path: Path, *, older_than: float | None) -> None:
    """Removes what writers of `path` that were killed have left; `older_than` is in seconds."""
    for aside in _asides(path):
        with contextlib.suppress(OSError):
            if older_than is None or aside.lstat().st_mtime < time.time() - older_than:
                aside.unlink()


def _asides(path: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (each for each in path.parent.iterdir() if each.name.startswith(f".{path.name}."))


def _patiently(act: Callable[[], object]) -> None:
    """Does it; on Windows again and again for a moment, as long as somebody has the file open."""
    ends = time.monotonic() + _WINDOWS_PATIENCE
    while True:
        try:
            act()
        except PermissionError:
            if _POSIX or time.monotonic() >= ends:
                raise
            time.sleep(0.01)
        else:
            return


def give_name(aside: Path, target: Path, *, overwrite: bool) -> None:
    """Gives a file that was written aside its name; `aside` may stay, and is the caller's to remove.

    Raises:
        FileExistsError: if the name is taken, and nothing is to be overwritten.
        OSError: if the name cannot be given.
    """
    if overwrite:
        aside.replace(target)
        return
    try:
        os.link(aside, target)  # unlike a rename, it never replaces what somebody else has just written
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError from None
        aside.replace(target)


def keep_the_names(folder: Path) -> None:
    """Makes a change of names outlive a power cut; where folders cannot be synchronised, nothing more can be done."""
    if not _POSIX:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
