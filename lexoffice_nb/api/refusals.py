"""Makes one error of the vendor's several error bodies, and of requests' several exceptions. Pure."""

from __future__ import annotations

import json
import re
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3.exceptions

from lexoffice_nb import errors
from lexoffice_nb.errors import ApiError, ServerTrouble
from lexoffice_nb.log import HIDDEN, redacted
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.texts import from_server
from lexoffice_nb.texts.issues import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lexoffice_nb.oauth.tokens import Secret

MOST_ISSUES = 20
MOST_PARAMETERS = 5
# More than any refusal of the vendor's; a larger one is a page of somebody in between and is not read.
BODY_LIMIT = 1024 * 1024
# What is looked at of one text from outside, in characters; 200 of them are shown.
TEXT_LIMIT = 4000
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_KINDS: Mapping[int, tuple[type[ApiError], str]] = {
    401: (errors.Unauthorized, "api_unauthorized"),
    402: (errors.NotAllowed, "api_contract"),
    403: (errors.NotAllowed, "api_not_allowed"),
    404: (errors.NotFound, "api_not_found"),
    405: (errors.Invalid, "api_method"),
    409: (errors.Conflict, "api_conflict"),
    415: (errors.Invalid, "api_media"),
    429: (errors.RateLimited, "api_rate_limited"),
    501: (ServerTrouble, "api_not_offered"),
    503: (ServerTrouble, "api_busy"),
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
# With these no request has left this machine, or none has reached further than the proxy.
_NOT_SENT = (
    requests.exceptions.ConnectTimeout,
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.UnrewindableBodyError,
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    ssl.SSLCertVerificationError,
)
# Gateways put the name of a request here; the vendor's runs at Amazon's.
_REQUEST_ID_HEADERS = ("x-amzn-RequestId", "x-amz-request-id", "X-Request-Id", "X-Correlation-Id")
_ID = re.compile(r"/v\d+/[\w-]+/[^/]+")
_FILE = re.compile(r"/(?:file|document)/?$")
_PARAMETER = re.compile(r"\bparameter '([\w.-]{1,40})'|^([\w.-]{1,40}) parameter is required")


def refusal(
    response: requests.Response,
    *,
    key: bool = False,
    method: str | None = None,
    scopes: Sequence[str] = (),
    granted: Sequence[str] = (),
    partner: bool = False,
    secrets: Sequence[Secret] = (),
) -> ApiError:
    """Makes an error of an answer of 400 and above; nothing of the request goes into it.

    Args:
        response: the answer.
        key: whether the credential is one that nobody renews, which a 401 should say.
        method: the request's method; that of `response.request` where none is named.
        scopes: what the path asks for, in the provider's names, where it is known; a 403 says it.
        granted: what the sign-in has, in names that can be asked for again.
        partner: whether the path is there for a partner's client only, and this sign-in is none of those.
        secrets: what was sent with the request and some servers repeat; it is taken out of their words.
    """
    status, path = response.status_code, path_of(response.url)
    method = _method(method, response)
    body = _Body(response, secrets)
    issues = list(body.issues())
    said = body.said()
    kind, code = _kind(status, path, said, issues)
    values: dict[str, object] = {}
    parameter = _parameter(response.url, method, said, issues) if status == 400 else ""
    if status == 401 and key:
        code = "api_unauthorized_for_good"
    elif code == "api_not_allowed" and "key=value pair" in said:
        # The vendor's gateway says it in these words when there is no such path, and quotes the credential in them.
        kind, code, said = errors.NotFound, "api_not_found", ""
    elif code == "api_not_allowed" and partner:
        code = "api_partner"
    elif code == "api_not_allowed" and scopes:
        code, values["scopes"] = "api_scopes", from_server(" ".join(scopes))
        values["have"] = from_server(" ".join(granted), 200) or "…"
    elif parameter:
        code, values["parameter"] = "api_parameter", parameter
    elif code == "api_method":
        values["method"] = from_server(method, 20)
    applied = status >= 500 and code != "api_not_offered" and not _is_safe(method)
    if applied:
        code, values["because"] = "api_write_unknown", code
    return kind(
        code,
        status=status,
        path=path,
        request_id=body.request_id(),
        issues=[(field, reason) for field, reason, _ in issues],
        issues_said=[words for _, _, words in issues],
        may_have_been_applied=applied,
        said=from_server(said or body.reason() or "-"),
        **values,
    )


def trouble(error: Exception, url: str | None, method: str | None = None) -> ServerTrouble:
    """Makes an error of an exception of requests': there is no answer, or only a part of one.

    Args:
        error: the exception.
        url: where the request went.
        method: its method; where none is named that of the exception's own request, else one that only reads.
    """
    # Not `next` of a generator: an interrupt while that is thrown away could only be printed.
    codes = [code for kinds, code in _TROUBLES if isinstance(error, kinds)]
    code = codes[0] if codes else "api_certificates"
    if error.args and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError):
        code = "api_timeout"  # requests calls it a ConnectionError in a body
    applied = bool(codes) and not _is_safe(_method(method, error)) and not _was_not_sent(error)
    return ServerTrouble(
        "api_write_unknown" if applied else code,
        path=path_of(url),
        host=from_server(Origin.of(url or "").host or "-", 80),
        may_have_been_applied=applied,
        because=code if applied else None,
    )


def path_of(url: str | None) -> str:
    """Gives a URL's path, harmless to show: after a redirect it is the server's text."""
    try:
        return from_server(urlsplit(url or "").path)
    except ValueError:
        return ""


def _kind(status: int, path: str, said: str, issues: Sequence[tuple[str, str, str]]) -> tuple[type[ApiError], str]:
    lowered = said.lower()
    if _FILE.search(path) and (status == 409 or (status == 406 and "draft" in lowered)):
        return errors.Conflict, "api_draft_without_file"
    if status == 406 and "/payments/" in path and "draft" in lowered:
        return errors.Conflict, "api_draft_without_payments"
    # A version that is missing is nobody else's change.
    if status == 406 and any(field in VERSIONS and code != "missing_entity" for field, code, _ in issues):
        return errors.Conflict, "api_conflict"
    if status >= 500 and "search window" in lowered:
        return ServerTrouble, "api_window"
    if status == 404 and _FILE.search(path):
        return errors.NotFound, "api_no_file"
    if status == 404 and _ID.search(path):
        return errors.NotFound, "api_no_such_id"
    if found := _KINDS.get(status):
        return found
    if status >= 500:
        return ServerTrouble, "api_server"
    return errors.Invalid, "api_fields" if issues and status != 400 else "api_invalid"


def _parameter(url: str | None, method: str, said: str, issues: Sequence[tuple[str, str, str]]) -> str:
    """Finds which query parameter a 400 is about; where the vendor does not say, all that were sent with a read."""
    for words in (said, *(field for field, _, _ in issues)):
        if found := _PARAMETER.findall(words):
            return from_server("".join(found[-1]))
    if not _is_safe(method):
        return ""
    # Not more of a query than this is looked at: after a redirect it is the server's.
    names = [name for name, _ in parse_qsl((url or "").partition("?")[2][:TEXT_LIMIT], keep_blank_values=True)]
    return from_server(", ".join(list(dict.fromkeys(names))[:MOST_PARAMETERS]), 100)


def _is_safe(method: str) -> bool:
    return method.upper() in _SAFE_METHODS


def _method(named: str | None, sent: object) -> str:
    return named or getattr(getattr(sent, "request", None), "method", None) or "GET"


def _was_not_sent(error: BaseException) -> bool:
    """Looks at an exception and at what it was made of: requests wraps urllib3's, which wraps the system's."""
    found: object = error
    for _ in range(5):
        if isinstance(found, _NOT_SENT):
            return True
        arguments = getattr(found, "args", None)
        found = getattr(found, "reason", None) or (arguments[0] if arguments else None)
    return False


class _Body:
    """What can be read of the answer: a JSON object, or nothing."""

    def __init__(self, response: requests.Response, secrets: Sequence[Secret]) -> None:
        self._response = response
        self._secrets = [secret.reveal() for secret in secrets]
        self._body = _object(_content(response))

    def said(self) -> str:
        """The vendor's sentence, cleaned of secrets but not yet cut; empty where there is none."""
        return self._text(self._body.get("message")) or self._text(self._body.get("error"))

    def reason(self) -> str:
        """The words of the status line, or those that are usual for its number."""
        return self._text(self._response.reason)

    def request_id(self) -> str | None:
        """The request's name: of the body, else of a gateway's header, else that of a trace."""
        headers = [self._response.headers.get(name) for name in _REQUEST_ID_HEADERS]
        for value in (self._body.get("requestId"), *headers, self._body.get("traceId")):
            if found := from_server(self._text(value), 60):
                return found
        return None

    def issues(self) -> Iterator[tuple[str, str, str]]:
        """Field, code and the vendor's words: `details`, `IssueList`, and the one issue without a list around it."""
        entries = [
            *(self._issue(entry, "field", "violation", "message") for entry in self._list("details")),
            *(self._issue(entry, "source", "i18nKey", "message") for entry in self._list("IssueList")),
        ]
        if "i18nKey" in self._body:
            entries.append(self._issue(self._body, "source", "i18nKey", "message"))
        return iter([entry for entry in entries if entry is not None][:MOST_ISSUES])

    def _list(self, name: str) -> list[Any]:
        entries = self._body.get(name)
        return entries[:MOST_ISSUES] if isinstance(entries, list) else []

    def _issue(self, entry: Any, field: str, reason: str, words: str) -> tuple[str, str, str] | None:
        if not isinstance(entry, dict):
            return None
        named, code, said = (self._text(entry.get(name)) for name in (field, reason, words))
        return from_server(named or "-", 120), from_server(code or said or "-", 120), from_server(said, 120)

    def _text(self, value: object) -> str:
        """Gives a text of the server's without what it repeats of the request's credential."""
        if not isinstance(value, str):
            return ""
        # Before it is cut: a part of a secret would not be found.
        for secret in self._secrets:
            value = value.replace(secret, HIDDEN) if secret else value
        return redacted(value[:TEXT_LIMIT])


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}


def _content(response: requests.Response) -> bytes:
    """Reads the body, of which a stream has not been read yet; nothing of one that is too large to be a refusal."""
    content = vars(response).get("_content")
    if isinstance(content, bytes):
        return content if len(content) <= BODY_LIMIT else b""
    read = bytearray()
    # ValueError and urllib3's own are what requests knows no name for: a chunk of a negative length, for one.
    with suppress(OSError, RuntimeError, ValueError, urllib3.exceptions.HTTPError):
        for part in response.iter_content(64 * 1024):
            read += part
            if len(read) > BODY_LIMIT:
                break
    response.close()
    return bytes(read) if len(read) <= BODY_LIMIT else b""
