"""Reads a callback URL, caught or pasted, and explains the ones it refuses (RFC 6749 section 4.1.2, RFC 9207)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from lexoffice_nb.errors import AccessDenied, CallbackError, StateMismatch
from lexoffice_nb.oauth.pasted_url import DANGLING, clean, cut_at, last_parameter
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT = 16_000
MOST_PARAMETERS = 100

_BARE_CODE = re.compile(r"(?:code=)?[A-Za-z0-9._~+/=-]{16,}")
_TOKENS = ("access_token", "refresh_token", "id_token")


@dataclass(frozen=True)
class Expected:
    """What an attempt expects of its callback.

    Attributes:
        redirect_uri: where the callback leads.
        authorization_endpoint: where the login URL leads, to tell when that one was pasted.
        state: the attempt's state.
        issuer: the provider's issuer, or None where it has none.
        iss_required: whether the provider promised to name itself (RFC 9207 section 3).
        caught: whether a browser brought the callback to the loopback server. Then it is taken to the letter: nothing
            stands around it or has cut it off, and whoever sent it is not told how much of the state was right.
        whole: whether the person said, by pasting it again, that it was not cut off.
    """

    redirect_uri: str
    authorization_endpoint: str
    state: str = field(repr=False)
    issuer: str | None
    iss_required: bool
    caught: bool = False
    whole: bool = False


def state_of(pasted: str, *, caught: bool = False) -> str:
    """Gives the `state` in a callback URL, as it was pasted or caught, to find the attempt that it belongs to.

    It is cleaned as `read_callback` does, but nothing else about the URL is checked. Empty where there is none, where
    there are several, or where the text cannot be read.
    """
    if len(pasted) > LIMIT:
        return ""
    try:
        url = pasted if caught else clean(pasted)
        pairs = parse_qsl(urlsplit(url).query, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        return ""
    states = [value for name, value in pairs if name == "state"]
    return states[0] if len(states) == 1 else ""


def read_callback(pasted: str, expected: Expected) -> Secret:
    """Gives the authorization code in a callback URL.

    Args:
        pasted: the URL as it was pasted or caught.
        expected: what the attempt expects.

    Raises:
        StateMismatch: if it is of another attempt, or was cut off before its state ended; this one stays open.
        AccessDenied: if the person, or the provider, said no.
        CallbackError: if it is anything else than a callback of this attempt with one code.
    """
    if len(pasted) > LIMIT:
        raise CallbackError("callback_too_long", limit=LIMIT)
    url = pasted if expected.caught else clean(pasted)
    try:
        parameters = _parameters(url, expected)
        _check_state(parameters, expected)
        code = _code(parameters, expected)
    except CallbackError as refusal:
        error = refusal if expected.caught else _explained_by_a_cut(refusal, pasted, url, expected)
    else:
        if expected.caught or expected.whole or not (length := cut_at(pasted)) or last_parameter(url)[0] != "code":
            return code
        # Nothing comes after the code that would show that it is whole.
        error = CallbackError("callback_cut_off" if DANGLING.search(url) else "callback_cut_off_code", length=length)
    raise error


def _explained_by_a_cut(refusal: CallbackError, pasted: str, url: str, expected: Expected) -> CallbackError:
    """Gives the refusal of a URL that was cut off, if a cut explains the one that was found, else that one."""
    length = cut_at(pasted)
    name, value = last_parameter(url)
    whole = unquote(DANGLING.sub("", value))
    if isinstance(refusal, StateMismatch):
        cut = name == "state" and _begins(whole, expected.state) and bool(whole or length)
        if cut or (length and refusal.code == "state_missing" and "#" not in url):
            return StateMismatch("state_cut_off", length=length or len(url))
    elif length and "#" not in url:
        iss_cut = name == "iss" and _begins(whole, expected.issuer or "")
        if (
            refusal.code in ("callback_without_answer", "code_missing", "iss_missing")
            or (refusal.code == "iss_differs" and iss_cut)
            or (refusal.code == "authorize_other" and name == "error")
        ):
            return CallbackError("callback_cut_off", length=length)
    return refusal


def _begins(part: str, whole: str) -> bool:
    return part != whole and whole.startswith(part)


def ends_attempt(error: CallbackError) -> bool:
    """Tells whether a refused callback used its attempt up: it carried the attempt's own state, and was whole."""
    return error.code not in _LEAVES_OPEN


# RFC 6749 section 4.1.2.1, where `access_denied` has a class of its own; OpenID Connect Core section 3.1.2.6; RFC 8707
# section 2; OpenID Connect Core Error Code unmet_authentication_requirements 1.0
_ERRORS = frozenset(
    {
        "invalid_request",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "registration_not_supported",
        "invalid_target",
        "unmet_authentication_requirements",
    }
)
# Refused before the state was found to be right: anybody can send these, so they end nothing. Nor does a URL that was
# cut off: its code was not used, and can come in whole.
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
        "state_other_provider",
        "state_cut_off",
        "callback_cut_off",
        "callback_cut_off_code",
        "callback_used",
        "callback_replaced",
        "callback_signed_in",
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
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        fragment = parse_qsl(parts.fragment, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
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
        # Any page can have a browser ask for a caught one, and so write whatever it likes onto the card.
        stranger = "" if expected.caught else _stranger(parameters.get("iss", ""), expected.issuer)
        if stranger:
            raise StateMismatch("state_other_provider", host=stranger)
        raise StateMismatch("state_mismatch")


def _stranger(iss: str, issuer: str | None) -> str:
    """Gives the host of another provider that `iss` names (the whole of it on the same host), or nothing."""
    host = Origin.of(iss).host
    if issuer is None or iss == issuer or not host:
        return ""
    return from_server(iss if host == Origin.of(issuer).host else host, 80)


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
