"""What an `Authorization` header carries."""

from __future__ import annotations

import base64
from urllib.parse import unquote_plus


def bearer_token(header: str) -> str:
    """The bearer token, or nothing: this header is the only place where one is taken from (RFC 6750, section 2.1)."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def basic_credentials(header: str, raw: bool) -> tuple[str, str] | None:
    """Client ID and secret, or None.

    Both are form-encoded before they are joined by a colon (RFC 6749, section 2.3.1), so a plus sign is a blank; with
    `raw` they are taken as they are (RFC 7617, section 2).
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except ValueError:
        return None
    client_id, colon, secret = pair.partition(":")
    if not colon:
        return None
    return (client_id, secret) if raw else (unquote_plus(client_id), unquote_plus(secret))
