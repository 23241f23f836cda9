"""Files and folders that only their owner can read."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


class NotPrivate(RuntimeError):
    """A file or folder belongs to somebody else, or others can read it."""


def make_private_folder(folder: Path) -> Path:
    """Make a folder of mode 0700, or tighten one's own; the folders above it that are missing get the same mode.

    Raises:
        NotPrivate: It is a link or somebody else's, or somebody else can put another one in its place.
        OSError: It cannot be made.
    """
    if os.name != "posix":  # who may read what is not in the mode there
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    for missing in [each for each in reversed(folder.absolute().parents) if not each.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)
    _check_parent(folder.absolute().parent)
    if folder.is_symlink():
        raise NotPrivate(f"{folder} is a link")
    folder.mkdir(mode=0o700, exist_ok=True)
    # What is looked at and changed is the folder that was opened, whatever stands at its path by then.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        state = os.fstat(descriptor)
        if state.st_uid != os.getuid():
            raise NotPrivate(f"{folder} belongs to another user")
        if stat.S_IMODE(state.st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return folder


def _check_parent(parent: Path) -> None:
    # Who can write in it, or owns it, can take the folder away and put one of their own there. In a sticky folder such
    # as /tmp only the owners of things can move them.
    trusted = {os.getuid(), 0}
    state = parent.stat()
    if state.st_uid not in trusted or parent.lstat().st_uid not in trusted:
        raise NotPrivate(f"{parent} belongs to another user")
    if stat.S_IMODE(state.st_mode) & 0o022 and not state.st_mode & stat.S_ISVTX:
        raise NotPrivate(f"{parent} can be written by other users")


def create_private_file(path: Path) -> None:
    """Make an empty file of mode 0600, or tighten one's own; a link is refused."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if os.name == "posix":
            if os.fstat(descriptor).st_uid != os.getuid():
                raise NotPrivate(f"{path} belongs to another user")
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def write_private_file(path: Path, text: str) -> None:
    """Replace a file at once by a new one of mode 0600."""
    # mkstemp makes the file 0600 from its first moment; replacing it means that no reader ever sees half of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)  # noqa: PTH105 - the temporary name is a string already
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_private_file(path: Path, limit: int = 65536) -> str:
    """The text of a file, if it is one's own, of mode 0600 and no link.

    Raises:
        NotPrivate: It is somebody else's, readable by others, not a regular file, or too long.
        OSError: It is not there or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise NotPrivate(f"{path} is not a regular file")
        if os.name == "posix" and (state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077):
            raise NotPrivate(f"{path} is not private to you")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotPrivate(f"{path} is too long")
    return content.decode("utf-8")
