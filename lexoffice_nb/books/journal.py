"""The journal: what was fetched one by one, on the disk the moment it is acknowledged, until it becomes a part.

Each record is a line: the length of what follows in eight hexadecimal digits, its CRC-32 in eight, a blank; then the
source, the record's number and its body, with blanks between. Bodies are ASCII, so that a line's end is in none.
A line that a killed writer left unfinished, the last, is passed over.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexoffice_nb.oauth import private_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEAD = 18  # two numbers of eight digits, a blank, and the line's end
LIMIT = 1 << 30  # octets


@dataclass(frozen=True)
class Entry:
    """A record in the journal: its source, its number and its exact body."""

    source: str
    number: int
    raw: str


def read(path: Path) -> tuple[list[Entry], int]:
    """Reads what is whole.

    Returns:
        The records, and how many octets of the file are lines that are finished.

    Raises:
        OSError: if it cannot be read; a journal that is not there is empty.
        private_file.NotPrivateError: as `private_file.read`.
    """
    try:
        content = private_file.read(path, LIMIT)
    except FileNotFoundError:
        return [], 0
    whole = content.rfind(b"\n") + 1
    entries = (_entry(line) for line in content[:whole].split(b"\n"))
    return [entry for entry in entries if entry], whole


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


def append(path: Path, entries: Iterable[Entry], whole: int) -> int:
    """Adds records, and has them on the disk when it returns.

    Args:
        path: the journal.
        entries: the records.
        whole: how many octets of it are good; what is beyond was never acknowledged, and goes.

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
    return whole + len(content)


def _line(entry: Entry) -> bytes:
    payload = f"{entry.source} {entry.number} {entry.raw}".encode("ascii")
    return b"%08x%08x %b\n" % (len(payload), zlib.crc32(payload), payload)
