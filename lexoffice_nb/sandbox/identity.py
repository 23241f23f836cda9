"""How the sandbox proves that it is this user's own: it knows a secret that only this user's processes can read.

A port is anybody's once its server has died, and whatever a server says of itself can be repeated by the next one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.private_files import read_private_file, write_private_file

if TYPE_CHECKING:
    from pathlib import Path

SECRET_FILE = "identity-secret"
_NONCE = re.compile(r"[A-Za-z0-9_-]{22,128}")


def is_nonce(value: str) -> bool:
    """Whether this can be a nonce of at least 128 random bits."""
    return _NONCE.fullmatch(value) is not None


def make_secret(folder: Path) -> str:
    """The secret of a data folder: the stored one, or a new one in a file of mode 0600."""
    path = folder / SECRET_FILE
    if not path.exists():
        write_private_file(path, secrets.token_hex(32))
    return read_secret(folder)


def read_secret(folder: Path) -> str:
    """The stored secret.

    Raises:
        NotPrivate: Its file is not certainly this user's own.
        OSError: There is none.
        ValueError: There is something else in its place.
    """
    secret = read_private_file(folder / SECRET_FILE)
    if not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise ValueError("no secret")
    return secret


def proof(secret: str, nonce: str, issuer: str) -> str:
    """What only who knows the secret can answer to a nonce.

    The issuer is part of it, so that nobody can pass the question on to a sandbox at another port.
    """
    return hmac.new(secret.encode("ascii"), f"{nonce}|{issuer}".encode(), hashlib.sha256).hexdigest()


def proves(answer: str, secret: str, nonce: str, issuer: str) -> bool:
    """Whether an answer is the proof, compared in constant time."""
    return hmac.compare_digest(answer.encode("utf-8", "surrogatepass"), proof(secret, nonce, issuer).encode("ascii"))
