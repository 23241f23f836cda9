"""Signs requests at the last moment, below `requests.Session`, so that no request or response ever shows a token.

Here as well: each signed request keeps the account's pace, and what only reads is tried again where that can help.
"""

from __future__ import annotations

import math
import secrets
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.utils import rewind_body, should_bypass_proxies

from lexoffice_nb.api.refusals import path_of, trouble
from lexoffice_nb.api.response import ApiResponse
from lexoffice_nb.errors import ServerTrouble, shielded
from lexoffice_nb.log import log
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin, ca_bundle, is_loopback, proxies_for
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest

    from lexoffice_nb.api.pacing import Pace
    from lexoffice_nb.oauth.bearer import Bearer
    from lexoffice_nb.oauth.token_source import TokenSource

# What would say who asks; the token alone does. Users' own and those that requests adds on a redirect go alike.
CREDENTIALS = ("Authorization", "Cookie", "DPoP", "Proxy-Authorization")


def without_credentials(request: PreparedRequest) -> PreparedRequest:
    """Gives a copy of a request that says nothing of who asks."""
    bare = request.copy()
    for name in CREDENTIALS:
        bare.headers.pop(name, None)
    return bare


# Reading changes nothing, so it may be done twice (RFC 9110 section 9.2.1). Nothing else is ever repeated.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_ATTEMPTS = 6
PATIENCE = 180.0  # seconds after which no attempt begins any more
LONGEST_REST = 8.0  # seconds between two attempts
SLICE = 0.2  # seconds of a rest, so that it ends with a log-out
LEAST_REST = 0.01  # seconds, in place of an interval of 0
LONGEST_ASKED = 60.0  # seconds that a server may ask for
# Decoded octets of an answer that is read whole: as many as a download may have, and some hundred times a page.
LARGEST_ANSWER = 100_000_000
_PASSING = frozenset({429, 500, 502, 503, 504})
_NO_ANSWER = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
# Kinds of the former that stay as they are, however often one asks.
_LASTING = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
_random = secrets.SystemRandom()


class SigningAdapter(BaseAdapter):
    """Sends one hop of a request through another adapter, signed with the bearer, and once more after a 401.

    What is signed waits for its turn in the account's pace. What is safe as well is tried again while the API is busy,
    in trouble, or breaks off. The signed copy exists in the frames of this class and below, which an exception never
    leaves with.

    Args:
        source: the tokens.
        bearer: what signs.
        pace: the account's pace.
        transport: what sends.
        attempts: how often a safe request is sent at most.
        ends: when nothing is waited for any more, by the monotonic clock.
    """

    def __init__(
        self,
        source: TokenSource,
        bearer: Bearer,
        pace: Pace,
        transport: BaseAdapter,
        attempts: int = MAX_ATTEMPTS,
        ends: float = math.inf,
    ) -> None:
        super().__init__()
        self._source = source
        self._bearer = bearer
        self._pace = pace
        self._transport = transport
        self._attempts = attempts
        self._ends = ends

    @shielded
    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Sends one request, as `requests.adapters.BaseAdapter.send` does.

        Raises:
            SignedOut: if the bearer is needed and there is none (any more).
            LoginError: if a renewal was needed and the provider did not answer.
            ServerTrouble: if there is no answer.
        """
        url = request.url or ""
        options = {
            "stream": stream,
            "timeout": timeout,
            "verify": (ca_bundle() or True) if verify is True else verify,
            "cert": cert,
            "proxies": _proxies(url, proxies or {}),
        }
        try:
            return self._send_patiently(request, options)
        except OSError as error:  # what requests raises is one, too
            problem = trouble(error, url, request.method)
        raise problem

    def close(self) -> None:
        """Closes the connections that wait for further requests."""
        self._transport.close()

    def _send_patiently(self, request: PreparedRequest, options: dict[str, Any]) -> requests.Response:
        """Sends a request, a safe one again while it can help; what came last counts."""
        ends = min(self._ends, time.monotonic() + PATIENCE)
        attempt = 1
        while True:
            asked, said, waits_here = 0.0, "", True
            repeated = attempt < self._attempts and self._may_repeat(request)
            try:
                response = self._send(request, options)
            except _NO_ANSWER as error:
                if not repeated or isinstance(error, _LASTING):
                    raise
                said = type(error).__name__
                rest = self._rest(attempt)
                if time.monotonic() + rest >= ends:
                    raise
            else:
                if not repeated or response.status_code not in _PASSING:
                    return response
                said, asked, waits_here = f"HTTP {response.status_code}", _asked(response), not _is_refusal(response)
                rest = max(self._rest(attempt), asked) if waits_here else asked  # else the pace waits, with everybody
                if time.monotonic() + rest >= ends:
                    return response
                response.close()
            log.debug(
                "api: %s %s: %s, attempt %s of %s%s",
                *(request.method, path_of(request.url), said, attempt, self._attempts),
                f"; again in {rest:.2f} s" if waits_here else "; again when it is its turn",
            )
            attempt += 1
            if waits_here:
                self._pause(rest)

    def _pause(self, seconds: float) -> None:
        """Waits, but no longer than somebody is signed in."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and self._source.signed_in:
            time.sleep(min(left, SLICE))

    def _may_repeat(self, request: PreparedRequest) -> bool:
        ours = Origin.of(request.url or "") == self._bearer.origin
        return ours and request.method in SAFE and _rewound(request)

    def _rest(self, attempt: int) -> float:
        """Full jitter: anything up to a time that doubles, so that those who were cut off together come apart."""
        return _random.uniform(0.0, min(max(self._pace.interval, LEAST_REST) * 2**attempt, LONGEST_REST))

    def _send(self, request: PreparedRequest, options: dict[str, Any]) -> requests.Response:
        response, rejected = self._send_signed(request, options)
        sent = [rejected]
        # A token can die before its time. Any 401, with or without WWW-Authenticate: renew once, try once more.
        if response.status_code == 401 and rejected is not None and self._source.renewable:
            self._source.renew(rejected)
            if _rewound(request):
                response.close()
                response, again = self._send_signed(request, options)
                sent.append(again)
        if response.status_code >= 400:
            # For whoever makes the error: what came back may be in use no more, and good for a while still.
            vars(response)["_sent"] = tuple(filter(None, sent))
        return response

    def _send_signed(
        self, request: PreparedRequest, options: dict[str, Any]
    ) -> tuple[requests.Response, Secret | None]:
        signed = without_credentials(request)
        self._bearer(signed)
        if "Authorization" not in signed.headers:
            return self._answer(request, signed, options), None
        # Signed first, since that may take a renewal, and once more with what is good when it is its turn.
        if not self._pace.wait(self._ends - time.monotonic(), lambda: self._source.signed_in):
            self._source.access_token()  # after a log-out meanwhile it says so
            raise requests.exceptions.ReadTimeout
        self._bearer(signed)
        header = Secret(str(signed.headers.get("Authorization")).removeprefix("Bearer "))
        response = self._answer(request, signed, options)
        if _is_refusal(response):
            self._pace.refused(_asked(response))
        else:
            self._pace.served()
        return response, header

    def _answer(self, request: PreparedRequest, signed: PreparedRequest, options: dict[str, Any]) -> requests.Response:
        response = self._transport.send(signed, **options)
        response.request = request
        response.__class__ = ApiResponse
        # Here, where one that breaks off can be asked for again. A redirect's would be read without a limit later on.
        if not options["stream"] or response.is_redirect:
            _read(response)
        return response


def _read(response: requests.Response) -> None:
    if vars(response)["_content"] is not False:
        return
    parts, came = [], 0
    try:
        for part in response.iter_content(64 * 1024):
            parts.append(part)
            came += len(part)
            if came > LARGEST_ANSWER:
                break
    except (urllib3.exceptions.HTTPError, ValueError):  # what requests knows no name for: a chunk of a negative length
        response.close()
    except BaseException:
        response.close()
        raise
    else:
        if came <= LARGEST_ANSWER:
            whole: Any = response
            whole._content, whole._content_consumed = b"".join(parts), True
            return
        response.close()
        host, changed = from_server(Origin.of(response.url).host), (response.request.method or "") not in SAFE
        raise ServerTrouble("too_large", host=host, limit=LARGEST_ANSWER, may_have_been_applied=changed)
    raise requests.exceptions.ChunkedEncodingError


def _is_refusal(response: requests.Response) -> bool:
    """Whether the API says that there were too many requests; its gateway has two ways to."""
    if response.status_code == 429:
        return True
    if response.status_code != 500:
        return False
    _read(response)
    return b"rate limit exceeded" in response.content[:2000].lower()


def _asked(response: requests.Response) -> float:
    """The seconds that a server asks to wait (RFC 9110 section 10.2.3), within bounds; 0 where it asks for nothing."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return LONGEST_ASKED if len(value) > 4 else min(float(value), LONGEST_ASKED)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_ASKED)


def _proxies(url: str, given: Mapping[str, str]) -> dict[str, str]:
    """The proxies of one hop; NO_PROXY holds for those that a person gave as well, since they may be a copied set."""
    if is_loopback(url) or should_bypass_proxies(url, given.get("no_proxy")):
        return {}
    return {**proxies_for(url), **given}


def _rewound(request: PreparedRequest) -> bool:
    """Makes a body ready to be sent again; False where it cannot be (a stream that is read once)."""
    if request.body is None or isinstance(request.body, (str, bytes)):
        return True
    try:
        rewind_body(request)
    except requests.exceptions.UnrewindableBodyError:
        return False
    return True
