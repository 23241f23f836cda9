"""Reads a callback URL, caught or pasted, and explains the ones it refuses (RFC 6749 section 4.1.2, RFC 9207)."""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from lexoffice_nb.errors import AccessDenied, CallbackError, StateMismatch
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT = 16_000
# What terminals, mail programs and web pages put around or into a pasted URL
_PASTE_MARKS = re.compile(r"\x1b?\[20[01]~")
_AROUND = "<>\"'`“”„‚‘’«»()[]{},;"
_BARE_CODE = re.compile(r"(?:code=)?[A-Za-z0-9._~+/=-]{16,}")
_TOKENS = ("access_token", "refresh_token", "id_token")


@dataclass(frozen=True)
class Expected:
    """What an attempt expects of its callback."""

    redirect_uri: str
    authorization_endpoint: str
    state: str
    issuer: str | None
    iss_required: bool


def clean(pasted: str) -> str:
    """Takes off what terminals, mail programs and web pages add to a pasted URL."""
    # No white space, nor anything that cannot be seen, is part of a URL.
    text = "".join(c for c in _PASTE_MARKS.sub("", pasted) if unicodedata.category(c)[0] not in "CZ")
    return text.strip(_AROUND).replace("&amp;", "&")


def read_callback(pasted: str, expected: Expected) -> Secret:
    """Gives the authorization code in a callback URL.

    Args:
        pasted: the URL as it was pasted or caught.
        expected: what the attempt expects.

    Raises:
        StateMismatch: if it is of another attempt; this one stays open.
        AccessDenied: if the person, or the provider, said no.
        CallbackError: if it is anything else than a callback of this attempt with one code.
    """
    if len(pasted) > LIMIT:
        raise CallbackError("callback_too_long", limit=LIMIT)
    url = clean(pasted)
    parameters = _parameters(url, expected)
    _check_state(parameters, expected)
    return _code(parameters, expected)


def ends_attempt(error: CallbackError) -> bool:
    """Tells whether a refused callback used its attempt up: it carried the attempt's own state."""
    return error.code not in _LEAVES_OPEN


# RFC 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6, as far as there are words for them
_ERRORS = frozenset(
    {
        "invalid_request",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        "login_required",
        "consent_required",
    }
)
# Refused before the state was found to be right: anybody can send these, so they end nothing.
_LEAVES_OPEN = frozenset(
    {
        "callback_too_long",
        "callback_empty",
        "callback_is_login_url",
        "callback_bare_code",
        "callback_no_url",
        "callback_elsewhere",
        "callback_has_tokens",
        "callback_repeats",
        "callback_without_answer",
        "state_missing",
        "state_mismatch",
        "callback_used",
        "no_login_url",
    }
)


def _parameters(url: str, expected: Expected) -> Mapping[str, str]:
    if not url:
        raise CallbackError("callback_empty")
    try:
        parts = urlsplit(url)
        origin = Origin.of(url)
    except ValueError:
        raise CallbackError("callback_no_url") from None
    if parts.scheme not in ("http", "https") or not origin.host:
        raise CallbackError("callback_bare_code" if _BARE_CODE.fullmatch(url) else "callback_no_url")
    if _without_query(url) == _without_query(expected.authorization_endpoint):
        raise CallbackError("callback_is_login_url")
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100)
        fragment = parse_qsl(parts.fragment, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise CallbackError("callback_no_url") from None
    if any(name in _TOKENS for name, _ in (*pairs, *fragment)):
        raise CallbackError("callback_has_tokens")
    if parts.username is not None or _without_query(url) != _without_query(expected.redirect_uri):
        raise CallbackError("callback_elsewhere", host=from_server(origin.host, 80), expected=expected.redirect_uri)
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise CallbackError("callback_repeats")
    return parameters


def _without_query(url: str) -> tuple[Origin, str]:
    return Origin.of(url), urlsplit(url).path or "/"  # a browser writes the slash even where the redirect URI has none


def _check_state(parameters: Mapping[str, str], expected: Expected) -> None:
    state = parameters.get("state", "")
    if not state and "code" not in parameters and "error" not in parameters:
        raise CallbackError("callback_without_answer")
    if not state:
        raise StateMismatch("state_missing")
    if not hmac.compare_digest(state.encode("utf-8", "replace"), expected.state.encode()):
        raise StateMismatch("state_mismatch")


def _code(parameters: Mapping[str, str], expected: Expected) -> Secret:
    iss = parameters.get("iss")
    if iss is not None and expected.issuer is not None and iss != expected.issuer:
        raise CallbackError("iss_differs", host=Origin.of(expected.issuer).host)
    code, error = parameters.get("code", ""), parameters.get("error", "")
    if code and error:
        raise CallbackError("callback_code_and_error")
    if error:
        raise _refusal(error, parameters.get("error_description", ""))
    if not code:
        raise CallbackError("code_missing")
    if iss is None and expected.iss_required:
        raise CallbackError("iss_missing")
    return Secret(code)


def _refusal(error: str, description: str) -> CallbackError:
    said = from_server(description) or from_server(error, 60)
    if error == "access_denied":
        return AccessDenied("access_denied", said=said)
    code = f"authorize_{error}" if error in _ERRORS else "authorize_other"
    return CallbackError(code, said=said, error=from_server(error, 60))
