"""Files and folders that only their owner can read."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


class NotPrivate(RuntimeError):
    """A file or folder belongs to somebody else, or others can read it."""


def make_private_folder(folder: Path) -> Path:
    """Make a folder of mode 0700, or tighten one's own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        state = folder.stat()
        if state.st_uid != os.getuid():
            raise NotPrivate(f"{folder} belongs to another user")
        if stat.S_IMODE(state.st_mode) & 0o077:
            folder.chmod(0o700)
    return folder


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
