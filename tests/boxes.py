"""Folders for sandboxes that need not make a key first: that takes as long as starting one."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from lexoffice_nb.sandbox.signing import signing_key

KEY = "signing-key.json"


@functools.cache
def _key() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KEY
        signing_key(path)
        return path.read_bytes()


def with_a_key(folder: Path) -> Path:
    """Makes the folder, with the one key of this process in it."""
    folder.mkdir(mode=0o700)
    (folder / KEY).touch(0o600)
    (folder / KEY).write_bytes(_key())
    return folder
