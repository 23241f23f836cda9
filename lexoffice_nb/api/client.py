"""`ApiSession`: a `requests.Session` for one API, whose responses hold no secret and whose errors say what to do."""

from __future__ import annotations

import copy
import difflib
import functools
import math
import re
import time
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import requote_uri

from lexoffice_nb.api import exact_json
from lexoffice_nb.api.brief import BriefAdapter
from lexoffice_nb.api.endpoints import operation_at, resources
from lexoffice_nb.api.pacing import Pace
from lexoffice_nb.api.refusals import path_of, refusal, trouble
from lexoffice_nb.api.resources import Resource
from lexoffice_nb.api.response import ApiResponse
from lexoffice_nb.api.signing import MAX_ATTEMPTS, SAFE, SigningAdapter, without_credentials
from lexoffice_nb.errors import (
    ApiError,
    DiscoveryError,
    Invalid,
    LexofficeError,
    NoMember,
    ServerTrouble,
    SignedOut,
    StoreError,
)
from lexoffice_nb.log import log, redact_others
from lexoffice_nb.oauth.bearer import Bearer
from lexoffice_nb.oauth.deadline import Deadline
from lexoffice_nb.oauth.provider import usual_interval
from lexoffice_nb.oauth.quiet import make_quiet
from lexoffice_nb.oauth.transport import PORTS, Origin, is_allowed, refuse_cookies
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests.adapters import BaseAdapter

    from lexoffice_nb.oauth.token_source import TokenSource
    from lexoffice_nb.oauth.tokens import Secret

TIMEOUT_SECONDS = (10.0, 60.0)
BRIEF_SECONDS = 15.0
BRIEF_LIMIT = 256 * 1024
BRIEF_ATTEMPTS = 2
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class ApiSession(requests.Session):
    """A session for one API: relative paths, the bearer token for its origin only, one renewal on a 401.

    An answer of 400 and above is raised as an `ApiError`. Requests to the API keep the account's pace, and what only
    reads is sent up to `max_attempts` times while the API is busy, in trouble, or breaks off. Cookies, `~/.netrc`, and
    an Authorization header of the caller's own are not sent. It can be shared by threads, and cannot be pickled or
    copied.
    """

    def __init__(self, source: TokenSource, api_base: str | None = None, pace: Pace | None = None) -> None:
        redact_others()
        super().__init__()
        self.trust_env = False
        self._source = source
        self._signing: Callable[[BaseAdapter, int, float], SigningAdapter] | None = None
        self._api_base = ""
        self._pace: Pace | None = None
        self.max_attempts = MAX_ATTEMPTS
        self._ends = math.inf  # monotonic; nothing is waited for after it
        refuse_cookies(self)
        self.headers.update({"Accept": "application/json", "User-Agent": "lexoffice_nb"})
        if api_base:
            self._point_to(source, api_base, pace)

    def _point_to(self, source: TokenSource, api_base: str, pace: Pace | None = None) -> None:
        """Takes tokens together with the API that they are for: a request under way keeps those that it began with."""
        if not is_allowed(api_base):
            raise DiscoveryError("endpoint_not_allowed", host=from_server(Origin.of(api_base).host), endpoint="API")
        self._api_base = api_base.rstrip("/") + "/"
        # Until it is known whose account it is, all that one API serves go at one pace.
        self._pace = pace or Pace(str(Origin.of(api_base)), usual_interval(api_base))
        self._signing = functools.partial(SigningAdapter, source, Bearer(source, api_base), self._pace)
        self._source = source

    @property
    def whose(self) -> object:
        """Stands for whose books are read just now: equal to what it was as long as they are the same."""
        return self._source

    def __getattr__(self, name: str) -> Resource:
        """Gives a resource of the API, such as `session.invoices`; asked only for what is no attribute.

        Raises:
            NoMember: if there is none of that name; an AttributeError, too.
        """
        if name in resources():
            return Resource(self, name)
        near = difflib.get_close_matches(name, resources(), 1, 0.7) if not name.startswith("_") else []
        if near:
            raise NoMember("session_lacks_near", name=from_server(name, 60), near=near[0])
        raise NoMember("session_lacks", name=from_server(name, 60), there=", ".join(resources()))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *resources()})

    def _require_sign_in(self) -> None:
        """Has the source say in its own words that nobody is signed in yet, or any more."""
        if not self._source.signed_in:
            self._source.access_token()
        if self._signing is None:
            raise SignedOut("signed_out_waiting")

    # The method stands in for requests', whose signature names every option; they all pass through.
    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> ApiResponse:
        """Sends a request to the API.

        Args:
            method: the HTTP method.
            url: a path such as `/v1/profile`, or a whole URL; the token goes to the API's own origin only.
            args: as for `requests.Session.request`.
            options: as for `requests.Session.request`; a `Decimal` in `json` is sent with its very digits.

        Raises:
            SignedOut: if nobody is signed in (any more).
            LoginError: if the token had to be renewed and the provider did not answer.
            ApiError: if the API refuses the request or does not answer.
        """
        self._require_sign_in()
        url = url.decode() if isinstance(url, bytes) else str(url)
        if not _SCHEME.match(url):
            url = self._api_base + url.lstrip("/")
        method = method.decode() if isinstance(method, bytes) else method
        response = super().request(method, url, *args, **options)
        assert isinstance(response, ApiResponse)  # noqa: S101 - our adapter makes no other
        if response.status_code >= 400:
            problem = self._refusal(response, method, vars(response).pop("_sent", ()))
            del response  # some servers repeat the token that they refuse, and a traceback keeps what is in its frames
            raise problem
        return response

    def _refusal(self, response: ApiResponse, method: str, sent: tuple[Secret, ...]) -> ApiError:
        """Makes the error. Some servers repeat the token that they refuse: it is taken out of their words."""
        try:
            in_use = self._source.tokens
        except (SignedOut, StoreError):  # signed out meanwhile
            return refusal(response, key=not self._source.renewable, method=method, secrets=sent)
        operation = operation_at(method, urlsplit(response.url).path)
        by_paper = "openid" in in_use.scope
        scopes = operation.scopes(by_paper=by_paper) if operation else ()
        partner = operation is not None and operation.partner and not self._source.confidential
        return refusal(
            response,
            key=not self._source.renewable,
            method=method,
            scopes=scopes,
            granted=in_use.scope if by_paper else (),  # partners' may come in an older form, which is not asked for
            partner=partner,
            secrets=(*sent, in_use.access_token),
        )

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepares a request as `requests.Session` does, except that JSON is written with exact numbers.

        Raises:
            Invalid: if the URL is none, or JSON has no word for a value.
        """
        exact = copy.copy(request)
        is_json = request.json is not None and not request.data and not request.files
        if is_json:
            exact.data, exact.json = exact_json.encode(request.json), None
        try:
            prepared = super().prepare_request(exact)
        except (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
        ):
            prepared = None
        if prepared is None or urlsplit(prepared.url or "").scheme not in ("http", "https"):
            raise Invalid("api_url")
        if is_json:
            prepared.headers.setdefault("Content-Type", "application/json")
        return prepared

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Sends one prepared request and follows its redirects, each of which comes through here as well.

        Raises:
            SignedOut: if nobody is signed in (any more).
            ServerTrouble: if there is no answer, or only a part of one.
        """
        self._require_sign_in()
        options["timeout"] = options.get("timeout") or TIMEOUT_SECONDS
        path, begun = path_of(request.url), time.monotonic()
        log.debug("api: %s %s%s", request.method, Origin.of(request.url or ""), path)
        try:
            response = super().send(without_credentials(request), **options)
        except requests.exceptions.RequestException as error:
            problem = trouble(error, request.url, request.method)
        except LexofficeError as error:
            log.debug("api: %s %s failed (%s) after %.0f ms", request.method, path, error.code, _since(begun))
            raise
        else:
            log.debug("api: %s %s: HTTP %s in %.0f ms", request.method, path, response.status_code, _since(begun))
            return response
        log.debug("api: %s %s failed (%s) after %.0f ms", request.method, path, problem.code, _since(begun))
        raise problem

    def read_briefly(self, path: str) -> Any:
        """Reads a small answer of the API within one deadline for all of it, by connections of its own.

        Raises:
            SignedOut: if nobody is signed in (any more).
            LoginError: if the token had to be renewed and the provider did not answer.
            ApiError: if the API refuses the request, or does not answer in time, or with more than a small answer.
        """
        deadline = Deadline(BRIEF_SECONDS)
        with deadline, ApiSession(self._source, self._api_base, self._pace) as brief:
            brief.max_attempts, brief._ends = BRIEF_ATTEMPTS, time.monotonic() + BRIEF_SECONDS
            brief.proxies, brief.verify, brief.cert = self.proxies, self.verify, self.cert
            for scheme in PORTS:
                brief.mount(f"{scheme}://", BriefAdapter(deadline, BRIEF_LIMIT))
            return brief.get(path, timeout=(BRIEF_SECONDS, BRIEF_SECONDS)).json()

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Takes an adapter for a prefix, and has its connections print nothing of what goes over them."""
        make_quiet(adapter)
        super().mount(prefix, adapter)

    def get_adapter(self, url: str) -> BaseAdapter:
        """Gives the adapter for a URL, and has it sign."""
        transport = super().get_adapter(url)
        return transport if self._signing is None else self._signing(transport, self.max_attempts, self._ends)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Gives where a response redirects to, or None.

        Raises:
            ServerTrouble: if that is no place to go: not https, or nearer to this machine than the API itself is.
        """
        try:
            target = super().get_redirect_target(resp)
            if not target:
                return None
            whole = requote_uri(urljoin(resp.url, target))
        except ValueError:
            whole = ""
        if not is_allowed(whole, named_by=self._api_base):
            resp.close()
            host = from_server(Origin.of(resp.url).host)
            raise ServerTrouble("api_redirect", status=resp.status_code, path=path_of(resp.url), host=host)
        if resp.request.method not in SAFE:
            # What was written may be written; sent on, it would be written twice or to somebody else, and a failure
            # on the way would look like one of reading.
            path, because = path_of(resp.url), "api_redirect"
            host = from_server(Origin.of(resp.url).host)
            resp.close()
            raise ServerTrouble(
                "api_write_unknown",
                status=resp.status_code,
                path=path,
                host=host,
                because=because,
                may_have_been_applied=True,
            )
        # The whole one, which was judged: requests would join the target in a way of its own (`////host`).
        return whole

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "A session cannot be pickled or copied, because it holds tokens: sign in again where it is needed."
        )


def _since(begun: float) -> float:
    return (time.monotonic() - begun) * 1000
