"""The one place that talks to the token and revocation endpoints (RFC 6749 sections 4.1.3, 5 and 6, RFC 7009)."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from lexoffice_nb.errors import InvalidGrant, LoginError, TokenEndpointError, shielded
from lexoffice_nb.log import log
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.trace import Recorder, observed
from lexoffice_nb.oauth.transport import Answer, Origin
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.oauth.provider import Provider

ANSWER_LIMIT = 256 * 1024
MOST_SCOPES = 200
LONGEST_SCOPE = 200
LONGEST_LIFE_SECONDS = 10 * 365 * 86400
# RFC 6749 section 5.2 and RFC 8707 section 2; `invalid_grant` has a class of its own
_ERRORS = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    }
)
_WORD = re.compile(r"[A-Za-z_-]{1,20}")


@dataclass(frozen=True)
class TokenAnswer:
    """A successful answer of the token endpoint, its secrets wrapped (RFC 6749 section 5.1)."""

    access_token: Secret
    expires_at: datetime | None
    refresh_token: Secret | None
    id_token: Secret | None
    scope: tuple[str, ...] | None
    clock_ahead: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TokenEndpoint:
    """A provider's token and revocation endpoints, for one client."""

    provider: Provider
    client_id: str
    client_secret: Secret | None = None
    resource: tuple[str, ...] = ()
    recorder: Recorder | None = field(default=None, compare=False, repr=False)

    @shielded
    def exchange(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

        Raises:
            InvalidGrant: if the code is used, too old, or another attempt's.
            TokenEndpointError: if the answer is none.
            LoginError: if there is no answer; stage `token`.
        """
        form: dict[str, str | Secret] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        return _tokens(self._post(self.provider.token_endpoint, self._for_resource(form), "token"), "token")

    @shielded
    def refresh(self, refresh_token: Secret) -> TokenAnswer:
        """Gets the next access token (RFC 6749 section 6). The answer's refresh token replaces the old one.

        Raises:
            InvalidGrant: if the refresh token is used up, revoked or too old.
            TokenEndpointError: if the answer is none.
            LoginError: if there is no answer; stage `refresh`.
        """
        form: dict[str, str | Secret] = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return _tokens(self._post(self.provider.token_endpoint, self._for_resource(form), "refresh"), "refresh")

    def _for_resource(self, form: dict[str, str | Secret]) -> dict[str, str | Secret]:
        # RFC 8707 section 2.2. Of several, one token is for all that were granted if none is named here.
        return {**form, "resource": self.resource[0]} if len(self.resource) == 1 else form

    @shielded
    def revoke(self, token: Secret, hint: str) -> None:
        """Revokes a token (RFC 7009). A provider without a revocation endpoint is asked nothing.

        Args:
            token: the token.
            hint: `refresh_token` or `access_token`.

        Raises:
            LoginError: if the provider did not confirm it; stage `revocation`.
        """
        if not self.provider.revocation_endpoint:
            log.debug("[revocation] the provider has no endpoint for it")
            return
        form: dict[str, str | Secret] = {"token": token, "token_type_hint": hint}
        answer = self._post(self.provider.revocation_endpoint, form, "revocation")
        if not 200 <= answer.status < 300:
            raise _error(answer, "revocation")

    def _post(self, url: str, form: dict[str, str | Secret], stage: str) -> Answer:
        """Sends a form with the client's one way to authenticate (RFC 6749 section 2.3)."""
        headers: dict[str, str | Secret] = {}
        if self.client_secret is None or self.provider.client_authentication == "none":
            form["client_id"] = self.client_id
        elif self.provider.client_authentication == "client_secret_post":
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        else:
            raw = self.provider.client_secret_encoding == "raw"
            headers["Authorization"] = _basic(self.client_id, self.client_secret, raw=raw)
        log.debug("[%s] the client authenticates with %s", stage, "Basic" if headers else _how(form))
        answer = observed(self.recorder, "POST", url, stage=stage, limit=ANSWER_LIMIT, form=form, headers=headers)
        if 300 <= answer.status < 400:
            log.debug("[%s] a redirect, which is not followed", stage)
            # Following it would carry code and verifier to wherever it points.
            raise TokenEndpointError("token_redirect", stage=stage, host=Origin.of(url).host)
        return answer if answer.status == 200 else _without_echoes(answer, form, self.client_secret)


def _how(form: Mapping[str, str | Secret]) -> str:
    return "a field of the form" if "client_secret" in form else "its name alone"


def _without_echoes(answer: Answer, form: Mapping[str, str | Secret], client_secret: Secret | None) -> Answer:
    """Takes out of a refusal what was sent with the request: a person reads it, and some servers repeat the code."""
    body = answer.body
    for secret in (*form.values(), client_secret):
        if isinstance(secret, Secret) and secret:
            body = body.replace(secret.reveal().encode("utf-8", "replace"), b"...")
    return replace(answer, body=body)


def _basic(client_id: str, client_secret: Secret, *, raw: bool = False) -> Secret:
    """Form-encodes both before joining them, as RFC 6749 section 2.3.1 demands; raw is for servers that do not."""
    parts = (client_id, client_secret.reveal())
    pair = ":".join(parts if raw else map(quote_plus, parts))
    return Secret("Basic " + base64.b64encode(pair.encode()).decode("ascii"))


def _tokens(answer: Answer, stage: str) -> TokenAnswer:
    if answer.status != 200:
        raise _error(answer, stage)
    members = _members(answer)
    if members is None:
        log.debug("[%s] refused (token_not_json)", stage)
        raise TokenEndpointError("token_not_json", stage=stage, status=answer.status)
    access_token = _secret(members.get("access_token"))
    if access_token is None:
        log.debug("[%s] refused (token_missing)", stage)
        raise TokenEndpointError("token_missing", stage=stage)
    kind = str(members.get("token_type", ""))
    if kind.lower() != "bearer":
        log.debug("[%s] refused (token_type)", stage)
        raise TokenEndpointError("token_type", stage=stage, said=kind if _WORD.fullmatch(kind) else "–")
    scope = members.get("scope")
    tokens = TokenAnswer(
        access_token=access_token,
        expires_at=_expires_at(members.get("expires_in")),
        refresh_token=_secret(members.get("refresh_token")),
        id_token=_secret(members.get("id_token")),
        scope=None,
        clock_ahead=answer.clock_ahead,
    )
    if isinstance(scope, str):
        tokens = replace(tokens, scope=_scope_names(scope, tokens))
    _tell(tokens, stage)
    return tokens


def _tell(tokens: TokenAnswer, stage: str) -> None:
    if not log.isEnabledFor(logging.DEBUG):
        return
    came = [name for name in ("access_token", "refresh_token", "id_token") if getattr(tokens, name) is not None]
    left = tokens.expires_at and round((tokens.expires_at - datetime.now(UTC)).total_seconds())
    life = "an unknown time" if left is None else f"{left} s"
    scope = "not told" if tokens.scope is None else " ".join(tokens.scope)
    log.debug("[%s] %s for %s; granted scope: %s", stage, " and ".join(came), life, scope)


def _members(answer: Answer) -> Mapping[str, Any] | None:
    try:
        members = answer.json()
    except ValueError:
        return None
    return members if isinstance(members, dict) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _scope_names(scope: str, tokens: TokenAnswer) -> tuple[str, ...]:
    """The names in a granted scope. They are shown and kept, so what no person could read is left out.

    So is what holds a token: a server may put anything into its scope, even the one that it has just issued.
    """
    secrets = [token.reveal() for token in (tokens.access_token, tokens.refresh_token, tokens.id_token) if token]
    names = (name for name in scope.split() if len(name) <= LONGEST_SCOPE and name.isprintable())
    return tuple(dict.fromkeys(name for name in names if not any(token in name for token in secrets)))[:MOST_SCOPES]


def _secret(value: object) -> Secret | None:
    return Secret(str(value)) if _is_text(value) else None


def _expires_at(expires_in: object) -> datetime | None:
    """Some servers send the seconds as a string or with decimals, some none at all: then the life is unknown."""
    try:
        seconds = int(expires_in if isinstance(expires_in, float) else str(expires_in))
    except (ValueError, OverflowError):
        return None
    return datetime.now(UTC) + timedelta(seconds=min(seconds, LONGEST_LIFE_SECONDS)) if seconds > 0 else None


def _error(answer: Answer, stage: str) -> LoginError:
    """Real servers send 400 with an empty body, 403, and JSON without `error`: decide by `error` where there is one."""
    members = _members(answer) or {}
    error = from_server(members.get("error") or "", 60)
    said = from_server(members.get("error_description") or "") or error or f"HTTP {answer.status}"
    trouble = answer.status >= 500 or answer.status == 429  # it says nothing about the grant, whatever `error` is
    # A renewal that is refused without a reason is over as well; the same token would be refused for ever.
    refused = error == "invalid_grant" or (stage == "refresh" and not error and answer.status in (400, 401, 403))
    if refused and not trouble:
        code = "invalid_grant_refresh" if stage == "refresh" else "invalid_grant"
        log.debug("[%s] refused (%s), HTTP %s", stage, code, answer.status)
        return InvalidGrant(code, stage=stage, said=said)
    code = f"token_{error}" if error in _ERRORS else "token_other"
    if trouble:
        code = "token_server"
    log.debug("[%s] refused (%s), HTTP %s", stage, code, answer.status)
    return TokenEndpointError(code, stage=stage, said=said, error=error, status=answer.status)
