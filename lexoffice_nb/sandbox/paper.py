"""The contract of the paper: OpenID Connect for a public, native client with PKCE (RFC 8252)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lexoffice_nb.sandbox.clients import Client
from lexoffice_nb.sandbox.contract import Contract
from lexoffice_nb.sandbox.database import new_secret
from lexoffice_nb.sandbox.openid import needed_sign_in
from lexoffice_nb.sandbox.scopes import DEFAULT_SCOPE, SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_ID = "lexoffice-nb"
PASTE_REDIRECT_URI = "http://127.0.0.1/lexoffice-nb/paste"
_LOOPBACK_REDIRECT_URI = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?/callback")

PAPER = Contract(
    prefix="/connect",
    openid=True,
    authorize_methods=("GET", "POST"),
    scopes=SCOPES,
    code_octets=32,
    refresh_octets=48,
    one_live_pair=False,
    access_life=lambda settings: settings.access_token_life,
    make_access_token=lambda _person, _scope, _settings: new_secret(),
    answered_scope=lambda granted, _settings: granted,
    check=needed_sign_in,
)


def accepts_redirect_uri(redirect_uri: str) -> bool:
    """Exact match, with a free port for loopback addresses (RFC 8252, section 7.3; RFC 9700, section 2.1)."""
    if redirect_uri == PASTE_REDIRECT_URI:
        return True
    loopback = _LOOPBACK_REDIRECT_URI.fullmatch(redirect_uri)
    return loopback is not None and int(loopback[1] or 80) <= 65535


def notebook_client(accepts: Callable[[str], bool] = accepts_redirect_uri) -> Client:
    """The one client of this contract."""
    return Client(CLIENT_ID, "lexoffice-nb", DEFAULT_SCOPE, accepts)
