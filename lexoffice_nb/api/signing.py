"""Signs requests at the last moment, below `requests.Session`, so that no request or response ever shows a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter
from requests.utils import rewind_body, should_bypass_proxies

from lexoffice_nb.api.refusals import trouble
from lexoffice_nb.api.response import ApiResponse
from lexoffice_nb.errors import shielded
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import ca_bundle, is_loopback, proxies_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest

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


class SigningAdapter(BaseAdapter):
    """Sends one hop of a request through another adapter, signed with the bearer, and once more after a 401.

    The signed copy exists in the frames of this class and below, which an exception never leaves with.
    """

    def __init__(self, source: TokenSource, bearer: Bearer, transport: BaseAdapter) -> None:
        super().__init__()
        self._source = source
        self._bearer = bearer
        self._transport = transport

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
            return self._send(request, options)
        except OSError as error:  # what requests raises is one, too
            problem = trouble(error, url)
        raise problem

    def close(self) -> None:
        """Closes the connections that wait for further requests."""
        self._transport.close()

    def _send(self, request: PreparedRequest, options: dict[str, Any]) -> requests.Response:
        response, rejected = self._send_signed(request, options)
        # A token can die before its time. Any 401, with or without WWW-Authenticate: renew once, try once more.
        if response.status_code == 401 and rejected is not None and self._source.renewable:
            self._source.renew(rejected)
            if _rewound(request):
                response.close()
                response, _ = self._send_signed(request, options)
        return response

    def _send_signed(
        self, request: PreparedRequest, options: dict[str, Any]
    ) -> tuple[requests.Response, Secret | None]:
        signed = without_credentials(request)
        self._bearer(signed)
        header = signed.headers.get("Authorization")
        response = self._transport.send(signed, **options)
        response.request = request
        response.__class__ = ApiResponse
        return response, None if header is None else Secret(str(header).removeprefix("Bearer "))


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
