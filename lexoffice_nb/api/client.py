"""`ApiSession`: a `requests.Session` for one API, whose responses hold no secret and whose errors say what to do."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from lexoffice_nb import errors
from lexoffice_nb.api.table import records_html
from lexoffice_nb.errors import ApiError, ServerTrouble, SignedOut, shielded
from lexoffice_nb.oauth.bearer import Bearer
from lexoffice_nb.oauth.transport import Origin, ca_bundle, is_loopback, proxies_for, refuse_cookies
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.oauth.token_source import TokenSource

TIMEOUT_SECONDS = (10.0, 60.0)
_KINDS: Mapping[int, tuple[type[ApiError], str]] = {
    401: (errors.Unauthorized, "api_unauthorized"),
    402: (errors.NotAllowed, "api_contract"),
    403: (errors.NotAllowed, "api_not_allowed"),
    404: (errors.NotFound, "api_not_found"),
    409: (errors.Conflict, "api_conflict"),
    429: (errors.RateLimited, "api_rate_limited"),
}


class ApiResponse(requests.Response):
    """A response whose numbers are exact, and that a notebook shows as a table."""

    def json(self, **options: Any) -> Any:
        """Parses the body; every number becomes a `decimal.Decimal`, so that money stays exact.

        Raises:
            ServerTrouble: if the body is not JSON.
        """
        exact: dict[str, Any] = {"parse_float": Decimal, "parse_int": Decimal, "parse_constant": _no_number}
        try:
            return json.loads(self.content, **{**exact, **options})
        except (ValueError, RecursionError):
            pass
        raise ServerTrouble("api_not_json", status=self.status_code, path=urlsplit(self.url).path)

    def _repr_html_(self) -> str | None:
        """Shows a record, or a page of them, as a table in a notebook; None where the body is something else."""
        try:
            return records_html(self.json())
        except ApiError:
            return None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Adapter(HTTPAdapter):
    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.__class__ = ApiResponse
        return response


class ApiSession(requests.Session):
    """A session for one API: relative paths, the bearer token for its origin only, one renewal on a 401.

    An answer of 400 and above is raised as an `ApiError`. Cookies and `~/.netrc` are not used. It can be shared by
    threads, and cannot be pickled or copied.
    """

    def __init__(self, source: TokenSource, api_base: str | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self._source = source
        self._bearer: Bearer | None = None
        self._api_base = ""
        refuse_cookies(self)
        self.headers.update({"Accept": "application/json", "User-Agent": "lexoffice_nb"})
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter())
        if api_base:
            self._point_to(api_base)

    def _point_to(self, api_base: str) -> None:
        self._api_base = api_base.rstrip("/") + "/"
        self._bearer = Bearer(self._source, api_base)

    # The method stands in for requests', whose signature names every option; they all pass through.
    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> ApiResponse:
        """Sends a request to the API.

        Args:
            method: the HTTP method.
            url: a path such as `/v1/profile`, or a whole URL; the token goes to the API's own origin only.
            args: as for `requests.Session.request`.
            options: as for `requests.Session.request`.

        Raises:
            SignedOut: if nobody is signed in (any more).
            ApiError: if the API refuses the request or does not answer.
        """
        if self._bearer is None:
            self._source.access_token()  # says in its own words that nobody is signed in yet
            raise SignedOut("signed_out_waiting")
        if isinstance(url, bytes):
            url = url.decode()
        if isinstance(method, bytes):
            method = method.decode()
        if not urlsplit(url).scheme:
            url = urljoin(self._api_base, url.lstrip("/"))
        response = super().request(method, url, *args, **options)
        assert isinstance(response, ApiResponse)  # noqa: S101 - our adapter makes no other
        if response.status_code >= 400:
            raise _error(response)
        return response

    @shielded
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Signs and sends one prepared request (each hop of a redirect comes through here).

        The signed copy exists only below this frame: neither the request that came in nor the response holds a token.
        """
        options["timeout"] = options.get("timeout") or TIMEOUT_SECONDS
        options["proxies"] = (
            {} if is_loopback(request.url or "") else {**proxies_for(request.url or ""), **self.proxies}
        )
        if options.get("verify", True) is True:
            options["verify"] = ca_bundle() or True
        try:
            return self._signed_send(request, options)
        except requests.exceptions.SSLError:
            code = "api_tls"
        except requests.exceptions.Timeout:
            code = "api_timeout"
        except requests.exceptions.RequestException:
            code = "api_unreachable"
        path = urlsplit(request.url or "").path
        raise ServerTrouble(code, path=path, host=Origin.of(request.url or "").host)

    def _signed_send(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        ours = self._bearer is not None and Origin.of(request.url or "") == self._bearer.origin
        token = self._source.access_token() if ours else None
        response = self._send_copy(request, options)
        # A token can die before its time. Any 401 without a redirect: renew once, try once more.
        if response.status_code == 401 and token is not None and not response.history and _repeatable(request):
            response.close()
            self._source.renew(token)
            response = self._send_copy(request, options)
        return response

    def _send_copy(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        signed = request.copy()
        signed.headers.pop("Authorization", None)
        if self._bearer is not None:
            self._bearer(signed)
        response = super().send(signed, **options)
        for answer in (response, *response.history):
            answer.request.headers.pop("Authorization", None)
        return response

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "A session cannot be pickled or copied, because it holds tokens: sign in again where it is needed."
        )


def _repeatable(request: requests.PreparedRequest) -> bool:
    return request.body is None or isinstance(request.body, (str, bytes))


def _error(response: ApiResponse) -> ApiError:
    """Makes one error of the vendor's several error bodies; nothing of the request goes into it."""
    status = response.status_code
    kind, code = _KINDS.get(status) or (
        (ServerTrouble, "api_server") if status >= 500 else (errors.Invalid, "api_invalid")
    )
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    body = body if isinstance(body, dict) else {}
    if status == 403 and "key=value pair" in str(body.get("message")):
        # The vendor's gateway says it in these words when there is no such path.
        kind, code = errors.NotFound, "api_not_found"
    return kind(
        code,
        status=status,
        path=urlsplit(response.url).path,
        request_id=from_server(body["requestId"], 60) if isinstance(body.get("requestId"), str) else None,
        issues=_issues(body),
        said=from_server(body.get("message") or body.get("error") or response.reason or "-"),
    )


def _issues(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Reads `details` (regular body) and `IssueList` (legacy body)."""
    found = []
    for list_name, field, reason in (("details", "field", "message"), ("IssueList", "source", "i18nKey")):
        entries = body.get(list_name)
        found += [
            (from_server(entry.get(field) or "-", 80), from_server(entry.get(reason) or "-", 120))
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]
    return found[:20]
