"""A file system that keeps no modes, as vfat on a stick: mounted for real, over /dev/fuse, with nothing but Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = struct.Struct("<IIQQIIII")
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _MKDIR, _UNLINK, _RMDIR = 1, 2, 3, 4, 9, 10, 11
_WRITE, _RELEASE, _FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _CREATE, _FORGETS = 16, 18, 25, 26, 27, 28, 29, 35, 42
_ROOT = 1


class ModelessFileSystem:
    """Holds folders and empty files, each with a mode that no chmod changes.

    Args:
        place: the folder to mount it on.
        folders: the mode of every folder.
        files: the mode of every file.

    Attributes:
        written: every octet that somebody wrote into a file.

    Raises:
        OSError: if this process may not mount it.
    """

    def __init__(self, place: Path, *, folders: int = 0o755, files: int = 0o755) -> None:
        self._place, self._modes = place, {True: stat.S_IFDIR | folders, False: stat.S_IFREG | files}
        self._nodes: dict[int, tuple[int, bytes, bool]] = {_ROOT: (0, b"", True)}  # parent, name, folder
        self._last = _ROOT
        self.written = b""

    def __enter__(self) -> Self:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40755,user_id={os.getuid()},group_id={os.getgid()}"
        target = os.fsencode(self._place)
        if self._libc.mount(b"modeless", target, b"fuse", 0, ctypes.c_char_p(options.encode())) != 0:
            os.close(self._device)
            raise OSError(ctypes.get_errno(), "mount")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._libc.umount2(os.fsencode(self._place), 2)  # MNT_DETACH; the device then ends the thread
        self._thread.join(5)
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # ENODEV: it is mounted no more
            _, operation, number, node, *_ = _HEADER.unpack_from(request)
            if operation in (_FORGET, _FORGETS):
                continue
            answer = self._answer(operation, node, request[_HEADER.size :])
            failure, body = (answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), -failure, number) + body)

    def _answer(self, operation: int, node: int, body: bytes) -> bytes | int:
        if operation == _INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1, 1 << 16, 1, 0, 0, 0)
        if operation == _LOOKUP:
            found = self._find(node, body.rstrip(b"\0"))
            return self._entry(found) if found else errno.ENOENT
        if operation in (_GETATTR, _SETATTR):  # chmod is taken and does nothing, as with vfat's `quiet`
            return struct.pack("<QII", 0, 0, 0) + self._state(node)
        if operation == _MKDIR:
            return self._entry(self._make(node, body[8:].rstrip(b"\0"), folder=True))
        if operation == _CREATE:
            return self._entry(self._make(node, body[16:].rstrip(b"\0"), folder=False)) + struct.pack("<QII", 0, 0, 0)
        if operation in (_UNLINK, _RMDIR):
            self._nodes.pop(self._find(node, body.rstrip(b"\0")), None)
            return b""
        if operation == _WRITE:
            self.written += body[40:]
            return struct.pack("<II", len(body) - 40, 0)
        if operation == _OPENDIR:
            return struct.pack("<QII", 0, 0, 0)
        return b"" if operation in (_RELEASE, _RELEASEDIR, _FLUSH, _READDIR) else errno.ENOSYS

    def _find(self, parent: int, name: bytes) -> int:
        return next((number for number, node in self._nodes.items() if node[:2] == (parent, name)), 0)

    def _make(self, parent: int, name: bytes, *, folder: bool) -> int:
        self._last += 1
        self._nodes[self._last] = (parent, name, folder)
        return self._last

    def _entry(self, node: int) -> bytes:
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._state(node)

    def _state(self, node: int) -> bytes:
        mode = self._modes[self._nodes.get(node, (0, b"", False))[2]]
        times = (0,) * 3 + (0,) * 3
        return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, *times, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)
