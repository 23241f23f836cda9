"""The vendor's contract for partners: a confidential client with PKCE, plural scopes, and no OpenID Connect."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError

from lexoffice_nb.sandbox.clients import Client
from lexoffice_nb.sandbox.contract import Contract
from lexoffice_nb.sandbox.database import new_secret
from lexoffice_nb.sandbox.private_files import read_private_file, write_private_file
from lexoffice_nb.sandbox.scopes import PARTNER_SCOPES

if TYPE_CHECKING:
    from pathlib import Path

    from lexoffice_nb.sandbox.people import Person
    from lexoffice_nb.sandbox.settings import SandboxSettings

CLIENT_ID = "partner-demo"
_CONNECTION_NAME = re.compile(r'[A-Za-zÄÖÜäöüß0-9 /?.\-{}"_\\:=,()]*')
_LEGACY_SCOPE = "read write"


@dataclass(frozen=True)
class PartnerClient:
    """What a program needs to sign in by this contract."""

    id: str
    secret: str = field(repr=False)


def partner_client(path: Path, settings: SandboxSettings) -> PartnerClient:
    """The client with the secret of the settings, or the stored one, or a new one kept in a file of mode 0600."""
    if settings.partner_secret is not None:
        return PartnerClient(CLIENT_ID, settings.partner_secret)
    if not path.exists():
        write_private_file(path, new_secret())
    return PartnerClient(CLIENT_ID, read_private_file(path))


def registered(client: PartnerClient, settings: SandboxSettings) -> Client:
    """The client as the server knows it: the exact redirect URI of the settings, and nothing of the secret."""
    return Client(
        *(client.id, "Partner Demo", " ".join(PARTNER_SCOPES)),
        accepts_redirect_uri=lambda redirect_uri: redirect_uri == settings.partner_redirect_uri,
        secret=client.secret,
    )


def check_connection_name(parameters: dict[str, str], _auth_time: float) -> float:
    """Refuse a `connection_name` with characters that the vendor does not take; any sign-in will do."""
    if not _CONNECTION_NAME.fullmatch(parameters.get("connection_name", "")):
        raise InvalidRequestError("connection_name has a character that is not allowed")
    return 0.0


def make_access_token(person: Person, scope: str, settings: SandboxSettings) -> str:
    """An access token as long as the settings say, that looks like a JWT (RFC 7519) and holds personal data.

    Its third part is random. Nobody but this server, which looks the token up, can say whether it is good.
    """
    now = int(time.time())
    claims = {
        "sub": person.subject,
        "name": person.name,
        "email": person.email,
        "organization": person.organisation.name,
        "client_id": CLIENT_ID,
        "scope": scope,
        "iat": now,
        "exp": now + settings.partner_access_token_life,
        "jti": str(uuid.uuid4()),
        "context": "",
    }
    header, signature = _encoded({"alg": "RS256", "typ": "JWT"}), new_secret(256)
    room = settings.partner_access_token_length - len(header) - len(signature) - 2
    claims["context"] = "0" * (room * 3 // 4 - _octets(claims))
    return f"{header}.{_encoded(claims)}.{signature}"


def _octets(value: dict[str, Any]) -> int:
    return len(json.dumps(value).encode())


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode("ascii")


PARTNER = Contract(
    prefix="/oauth2",
    openid=False,
    authorize_methods=("GET",),
    scopes=PARTNER_SCOPES,
    code_octets=96,  # 128 characters
    refresh_octets=96,
    one_live_pair=True,
    access_life=lambda settings: settings.partner_access_token_life,
    make_access_token=make_access_token,
    answered_scope=lambda granted, settings: _LEGACY_SCOPE if settings.partner_legacy_scope else granted,
    check=check_connection_name,
)
