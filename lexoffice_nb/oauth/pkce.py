"""Proof Key for Code Exchange (RFC 7636), S256 only: `plain` protects nothing once the link is seen."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

from lexoffice_nb.oauth.tokens import Secret

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def new_code_verifier() -> Secret:
    """Makes a code_verifier: 64 random octets from the operating system, as 86 characters (RFC 7636 section 4.1)."""
    return Secret(secrets.token_urlsafe(64))


def code_challenge(verifier: Secret | str) -> str:
    """Gives the S256 code_challenge of a verifier (RFC 7636 section 4.2).

    Raises:
        ValueError: if the verifier is not 43 to 128 characters of `A-Z a-z 0-9 - . _ ~`.
    """
    plain = verifier.reveal() if isinstance(verifier, Secret) else verifier
    if not _VERIFIER.fullmatch(plain):
        raise ValueError("A code_verifier has 43 to 128 characters out of A-Z a-z 0-9 - . _ ~ (RFC 7636 section 4.1).")
    return base64url(hashlib.sha256(plain.encode("ascii")).digest())


def base64url(octets: bytes) -> str:
    """Encodes octets as base64url without padding (RFC 7636 appendix A)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
