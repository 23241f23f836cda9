"""The server's signing key, and what keeps signed and other tokens out of logs."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from joserfc.jwk import RSAKey

from lexoffice_nb.sandbox.private_files import read_private_file, write_private_file

if TYPE_CHECKING:
    from pathlib import Path


def signing_key(path: Path) -> RSAKey:
    """The server's RSA key: the stored one, or a new one of 2048 bits, kept in a file of mode 0600."""
    if path.exists():
        return _imported(read_private_file(path))
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"})
    key = RSAKey.import_key({**key.as_dict(private=True), "kid": key.thumbprint()})
    write_private_file(path, json.dumps(key.as_dict(private=True)))
    return key


_imported_keys: dict[bytes, RSAKey] = {}


def _imported(content: str) -> RSAKey:
    """The key in a file. To check one that was read takes a while: of the same content that is done once."""
    name = hashlib.sha256(content.encode()).digest()
    if name not in _imported_keys:
        _imported_keys[name] = RSAKey.import_key(json.loads(content))
    return _imported_keys[name]


class _NothingBelowWarning(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


def keep_tokens_out_of_logs() -> None:
    """Silence the two Authlib loggers that would write whole token responses at DEBUG.

    Filters and not levels: a host process that turns DEBUG on for everything keeps all its other loggers as they are.
    """
    for grant in ("authorization_code", "refresh_token"):
        logger = logging.getLogger(f"authlib.oauth2.rfc6749.grants.{grant}")
        if not any(isinstance(each, _NothingBelowWarning) for each in logger.filters):
            logger.addFilter(_NothingBelowWarning())
