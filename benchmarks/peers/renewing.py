"""The load of benchmarks/renewal.py with four other packages, each renewing as its documentation says.

    python -m benchmarks.peers.renewing authlib '{"issuer": …}'

The tokens come on the first line of stdin. Where a package lets one say how long before its end a token is renewed,
that is a quarter of its life, as with us.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.soak_renewal.processes import asked_for, end_in_time, load_in_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

# Both refuse http otherwise, loopback included.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def authlib(given: dict[str, Any]) -> Callable[[str], requests.Response]:
    from authlib.integrations.requests_client import OAuth2Session

    session = OAuth2Session(
        given["client_id"],
        token_endpoint_auth_method="none",
        token=given["token"],
        token_endpoint=given["token_endpoint"],
        update_token=lambda token, refresh_token=None, access_token=None: None,  # the session itself keeps it
        leeway=given["life"] / 4,
    )
    return session.get


def requests_oauthlib(given: dict[str, Any]) -> Callable[[str], requests.Response]:
    from requests_oauthlib import OAuth2Session

    session = OAuth2Session(
        given["client_id"],
        token=given["token"],
        auto_refresh_url=given["token_endpoint"],
        auto_refresh_kwargs={"client_id": given["client_id"]},
        token_updater=lambda token: None,  # the session itself keeps it
    )
    return session.get


def requests_oauth2client(given: dict[str, Any]) -> Callable[[str], requests.Response]:
    import requests
    from requests_oauth2client import BearerToken, OAuth2AccessTokenAuth, OAuth2Client

    # `testing` allows http to loopback.
    client = OAuth2Client(token_endpoint=given["token_endpoint"], client_id=given["client_id"], testing=True)
    token = BearerToken(
        given["token"]["access_token"],
        refresh_token=given["token"]["refresh_token"],
        expires_at=datetime.fromtimestamp(given["token"]["expires_at"], UTC),
    )
    session = requests.Session()
    session.auth = OAuth2AccessTokenAuth(client, token, leeway=given["life"] / 4)
    return session.get


def google_auth(given: dict[str, Any]) -> Callable[[str], requests.Response]:
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2.credentials import Credentials

    credentials = Credentials(
        given["token"]["access_token"],
        refresh_token=given["token"]["refresh_token"],
        token_uri=given["token_endpoint"],
        client_id=given["client_id"],
        client_secret=given["client_secret"],  # it renews for confidential clients only
        expiry=datetime.fromtimestamp(given["token"]["expires_at"], UTC).replace(tzinfo=None),
    )
    return AuthorizedSession(credentials).get


PEERS = {one.__name__: one for one in (authlib, requests_oauthlib, requests_oauth2client, google_auth)}


def main() -> None:
    end_in_time()
    what, place, options = asked_for()
    get = PEERS[what](json.loads(sys.stdin.readline()))
    url = place.api.rstrip("/") + place.path

    def request() -> None:
        get(url).raise_for_status()

    load_in_steps(request, **options)


if __name__ == "__main__":
    main()
