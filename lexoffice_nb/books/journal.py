"""The journal: what was fetched one by one, on the disk the moment it is acknowledged, until it becomes a part.

Each record is a line: the length of what follows in eight hexadecimal digits, its CRC-32 in eight, a blank; then the
source, the record's number and its body, with blanks between. Bodies are ASCII, so that a line's end is in none.
A line that a killed writer left unfinished, the last, is passed over.

The first line says how many records were acknowledged. It is changed in place when they are on the disk, and gets there
itself a little later: after a power cut it may be too low, but never too high. Fewer records than that are damage.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexoffice_nb.oauth import private_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FIRST = b"%08x records\n"
_FIRST_LENGTH = len(_FIRST % 0)
LIMIT = 1 << 30  # octets


@dataclass(frozen=True)
class Entry:
    """A record in the journal: its source, its number and its exact body."""

    source: str
    number: int
    raw: str


@dataclass(frozen=True)
class Journal:
    """What a journal has.

    Attributes:
        entries: the records that are whole.
        whole: how many octets of the file are lines that are finished.
        lost: how many records were acknowledged and are not there; at least, where nothing says how many there were.
        is_begun: whether its first line is there.
    """

    entries: tuple[Entry, ...] = ()
    whole: int = 0
    lost: int = 0
    is_begun: bool = False


def begin(path: Path) -> int:
    """Makes an empty journal, on the disk when it returns.

    Returns:
        How many octets it has.

    Raises:
        OSError: if it cannot be written.
        private_file.NotPrivateError: as `private_file.write`.
    """
    private_file.write(path, _FIRST % 0)
    return _FIRST_LENGTH


def read(path: Path, *, may_lack_its_first_line: bool = False) -> Journal:
    """Reads what is whole.

    Args:
        path: the journal.
        may_lack_its_first_line: for one of the first version, which was also not made before there was a record.

    Raises:
        OSError: if it cannot be read.
        private_file.NotPrivateError: as `private_file.read`.
    """
    try:
        content = private_file.read(path, LIMIT)
    except FileNotFoundError:
        content = b""
    whole = content.rfind(b"\n") + 1
    acknowledged = _acknowledged(content)
    lines = content[0 if acknowledged is None else _FIRST_LENGTH : whole].split(b"\n")[:-1]
    entries = tuple(entry for line in lines if (entry := _entry(line)))
    lost = len(lines) - len(entries)
    if acknowledged is not None:
        lost = max(lost, acknowledged - len(entries))
    elif not may_lack_its_first_line:
        lost = max(lost, 1)
    return Journal(entries, whole, lost, acknowledged is not None)


def _acknowledged(content: bytes) -> int | None:
    with contextlib.suppress(ValueError):
        if content[8:_FIRST_LENGTH] == (_FIRST % 0)[8:]:
            return int(content[:8], 16)
    return None


def _entry(line: bytes) -> Entry | None:
    try:
        length, checksum = int(line[:8], 16), int(line[8:16], 16)
        payload = line[17:]
        if len(payload) != length or zlib.crc32(payload) != checksum:
            return None
        source, number, raw = payload.decode("ascii").split(" ", 2)
        return Entry(source, int(number), raw)
    except ValueError:
        return None


def append(path: Path, entries: Iterable[Entry], whole: int, acknowledged: int) -> int:
    """Adds records, and has them on the disk when it returns.

    Args:
        path: the journal, which has been begun.
        entries: the records.
        whole: how many octets of it are good; what is beyond was never acknowledged, and goes.
        acknowledged: how many records it has then.

    Returns:
        How many octets are good now.

    Raises:
        OSError: if they cannot be written; what was there is as it was.
        private_file.NotPrivateError: as `private_file.open_in_place`.
    """
    content = b"".join(_line(entry) for entry in entries)
    with private_file.open_in_place(path) as file:
        file.truncate(whole)
        file.seek(whole)
        try:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(whole)
            raise
        file.seek(0)
        file.write(b"%08x" % acknowledged)
    return whole + len(content)


def _line(entry: Entry) -> bytes:
    payload = f"{entry.source} {entry.number} {entry.raw}".encode("ascii")
    return b"%08x%08x %b\n" % (len(payload), zlib.crc32(payload), payload)
