"""Makes one error of the vendor's several error bodies, and of requests' several exceptions. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ReadTimeoutError

from lexoffice_nb import errors
from lexoffice_nb.errors import ApiError, ServerTrouble
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ISSUES = 20
_KINDS: Mapping[int, tuple[type[ApiError], str]] = {
    401: (errors.Unauthorized, "api_unauthorized"),
    402: (errors.NotAllowed, "api_contract"),
    403: (errors.NotAllowed, "api_not_allowed"),
    404: (errors.NotFound, "api_not_found"),
    409: (errors.Conflict, "api_conflict"),
    429: (errors.RateLimited, "api_rate_limited"),
}
# The first that fits: some are kinds of others.
_TROUBLES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (requests.exceptions.SSLError, "api_tls"),
    ((requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL), "api_proxy"),
    (requests.exceptions.Timeout, "api_timeout"),
    ((requests.exceptions.TooManyRedirects, requests.exceptions.InvalidSchema), "api_redirect"),
    ((requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError), "api_broken_off"),
    (requests.exceptions.RequestException, "api_unreachable"),
)


def refusal(response: requests.Response, *, key: bool = False) -> ApiError:
    """Makes an error of an answer of 400 and above; nothing of the request goes into it.

    Args:
        response: the answer.
        key: whether the credential is one that nobody renews, which a 401 should say.
    """
    status = response.status_code
    kind, code = _KINDS.get(status) or (
        (ServerTrouble, "api_server") if status >= 500 else (errors.Invalid, "api_invalid")
    )
    body = _body(response)
    issues = _issues(body)
    if status == 401 and key:
        code = "api_unauthorized_for_good"
    if status == 403 and "key=value pair" in str(body.get("message")):
        # The vendor's gateway says it in these words when there is no such path.
        kind, code = errors.NotFound, "api_not_found"
    message = body.get("message") or body.get("error") or response.reason or "-"
    said = [from_server(message), *(f"{field}: {reason}" for field, reason in issues[:3])]
    return kind(
        code,
        status=status,
        path=path_of(response.url),
        request_id=from_server(body["requestId"], 60) if isinstance(body.get("requestId"), str) else None,
        issues=issues,
        said=from_server("; ".join(said)),
    )


def trouble(error: Exception, url: str | None) -> ServerTrouble:
    """Makes an error of an exception of requests': there is no answer, or only a part of one."""
    # Not `next` of a generator: an interrupt while that is thrown away could only be printed.
    codes = [code for kinds, code in _TROUBLES if isinstance(error, kinds)]
    code = codes[0] if codes else "api_certificates"
    if error.args and isinstance(error.args[0], ReadTimeoutError):  # requests calls it a ConnectionError in a body
        code = "api_timeout"
    return ServerTrouble(code, path=path_of(url), host=from_server(Origin.of(url or "").host or "-", 80))


def path_of(url: str | None) -> str:
    """Gives a URL's path, harmless to show: after a redirect it is the server's text."""
    return from_server(urlsplit(url or "").path)


def _body(response: requests.Response) -> Mapping[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError, RuntimeError, requests.exceptions.RequestException):
        body = None
    return body if isinstance(body, dict) else {}


def _issues(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Reads `details` (regular body), `IssueList` (legacy body), and the one issue that has no list around it."""
    found = []
    for list_name, field, reason in (("details", "field", "message"), ("IssueList", "source", "i18nKey")):
        entries = body.get(list_name)
        found += [_issue(entry, field, reason) for entry in (entries if isinstance(entries, list) else [])]
    if "i18nKey" in body:
        found.append(_issue(body, "source", "i18nKey"))
    return [issue for issue in found if issue is not None][:MOST_ISSUES]


def _issue(entry: Any, field: str, reason: str) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        return None
    return from_server(entry.get(field) or "-", 80), from_server(entry.get(reason) or "-", 120)
