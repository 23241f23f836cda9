"""Where the sandbox on this machine answers, believed only after it has proved that it is this user's own.

On a machine with several users the port of a sandbox that has ended is anybody's. So the address comes from a file that
only this user can write, and the server there must answer a fresh nonce with a secret that only this user can read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from typing import TYPE_CHECKING

from lexoffice_nb.errors import DiscoveryError, LoginError, shielded
from lexoffice_nb.oauth import private_file
from lexoffice_nb.oauth.transport import fetch

if TYPE_CHECKING:
    from pathlib import Path

SECRET_FILE = "identity-secret"
_FILE_LIMIT = 4096
_ANSWER_LIMIT = 4096
_ISSUER = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]{0,4})")
_SECRET = re.compile(r"[0-9a-f]{64}")


@shielded
def proven_issuer(address_file: Path) -> str:
    """Gives the issuer of this user's running sandbox.

    Args:
        address_file: where the sandbox writes its address; its secret is beside it.

    Raises:
        DiscoveryError: `sandbox_not_running` if there is none, or it is not certain that it is this user's own.
    """
    try:
        private_file.check_folder(address_file.parent)
        # The address is no secret: what counts is that nobody else can write it, in a folder that is closed to them.
        issuer = _issuer_in(private_file.read(address_file, _FILE_LIMIT, forbidden=private_file.WRITE).decode("utf-8"))
        secret = private_file.read(address_file.with_name(SECRET_FILE), _FILE_LIMIT).decode("utf-8")
        if not _SECRET.fullmatch(secret):
            raise ValueError("no secret")
        _challenge(issuer, secret)
    except (OSError, ValueError, RecursionError, LoginError):
        raise DiscoveryError("sandbox_not_running") from None
    return issuer


def _issuer_in(text: str) -> str:
    match json.loads(text):
        case {"issuer": str(issuer)} if (found := _ISSUER.fullmatch(issuer)) and int(found[1]) < 65536:
            return issuer
    raise ValueError("no address")


def _challenge(issuer: str, secret: str) -> None:
    nonce = secrets.token_urlsafe(32)
    answer = fetch("GET", f"{issuer}/sandbox/identity?nonce={nonce}", stage="discovery", limit=_ANSWER_LIMIT)
    # The issuer is part of what is proved: else whoever holds the port could pass the nonce on to the real one.
    expected = hmac.new(secret.encode("ascii"), f"{nonce}|{issuer}".encode("ascii"), hashlib.sha256).hexdigest()
    match answer.json() if answer.status == 200 else None:
        case {"proof": str(proof)} if hmac.compare_digest(proof.encode("utf-8", "surrogatepass"), expected.encode()):
            return
    raise ValueError("an impostor")
