"""Signs requests with the access token, for one origin only (RFC 6750 section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests.auth import AuthBase

from lexoffice_nb.oauth.transport import Origin

if TYPE_CHECKING:
    import requests

    from lexoffice_nb.oauth.token_source import TokenSource


class Bearer(AuthBase):
    """Puts the access token into the header of requests to the API's own origin, and of no others."""

    def __init__(self, source: TokenSource, api_base: str) -> None:
        self._source = source
        self.origin = Origin.of(api_base)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Signs one request.

        Raises:
            SignedOut: if there is nothing to sign with.
        """
        if Origin.of(request.url or "") == self.origin:
            request.headers["Authorization"] = f"Bearer {self._source.access_token().reveal()}"
        return request
